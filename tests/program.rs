//! The program `audit-anomaly`, from outside: what it answers, what it refuses, and how it ends.
//!
//! `cargo test --release --no-default-features --features server --test program`

#[path = "program/client.rs"]
mod client;
#[path = "program/download.rs"]
mod download;
#[path = "program/limits.rs"]
mod limits;
#[path = "program/parity.rs"]
mod parity;
#[path = "program/scan.rs"]
mod scan;
#[path = "program/service.rs"]
mod service;
