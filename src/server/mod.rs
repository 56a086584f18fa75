//! The same service out of process: the Python service's HTTP interface, and what an operator
//! needs besides. The only place with axum types.
//!
//! | module | what it is for |
//! |---|---|
//! | [`app`] | the routes and what each does |
//! | [`body`] | from a request to the JSON value in it |
//! | [`docs`] | the pages for people |
//! | [`entry`] | from a JSON value to log lines, or to all that is wrong with it |
//! | [`answer`] | every refusal, its status and its body |
//! | [`metrics`] | what happens, counted |
//! | [`listen`] | connections: how many, how slow, and how all of it ends |

pub mod answer;
pub mod app;
pub mod body;
pub mod docs;
pub mod entry;
pub mod listen;
pub mod metrics;
