//! What goes back to a client: one type for every outcome, one place for status and headers.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::entry::Slip;
use crate::error::Error;

/// Why a request was not served.
#[derive(Debug)]
pub enum Refusal {
    /// The body does not fit the route: 422, as FastAPI has it.
    Slips(Vec<Slip>),
    /// Bytes that are not UTF-8, or a number beyond all bounds: 400.
    Unreadable,
    /// 404.
    NotFound,
    /// 405, with the methods that the route has.
    MethodNotAllowed(&'static str),
    /// 401.
    Unauthorized,
    /// 413: a body or a list is over its limit.
    TooLarge(String),
    /// 415: a content encoding that nobody reads here.
    Encoding(String),
    /// 408: the client took too long to send the body.
    SlowBody,
    /// 503: the bodies of all requests together take as much memory as they may.
    Crowded,
    /// 503: the request took too long.
    Timeout,
    /// 503: the server is about to end.
    Draining,
    /// 503: the model is not there yet.
    Loading,
    /// The engine's own: 429 for a full queue, 503 for a model, 500 for a bug.
    Engine(Error),
}

/// The body of every refusal but 422.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// For people.
    #[schema(example = "the queue is full")]
    pub detail: String,
    /// Stable, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "OVERLOADED")]
    pub code: Option<&'static str>,
}

/// The body of a 422.
#[derive(Serialize, ToSchema)]
pub struct Invalid {
    /// All that is wrong with the request.
    pub detail: Vec<Slip>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Engine(error)
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::Slips(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Unreadable => StatusCode::BAD_REQUEST,
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
            Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refusal::Crowded | Refusal::Timeout | Refusal::Draining | Refusal::Loading => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::Engine(error) => {
                StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// FastAPI's words where it has some, and a code where this server has more to say.
    fn problem(&self) -> Problem {
        let (detail, code) = match self {
            Refusal::Slips(_) => ("Unprocessable Entity".to_owned(), None),
            Refusal::Unreadable => ("There was an error parsing the body".to_owned(), None),
            Refusal::NotFound => ("Not Found".to_owned(), None),
            Refusal::MethodNotAllowed(_) => ("Method Not Allowed".to_owned(), None),
            Refusal::Unauthorized => {
                ("send the key as Authorization: Bearer KEY, or as X-API-Key".to_owned(), Some("UNAUTHORIZED"))
            }
            Refusal::TooLarge(what) => (what.clone(), Some("TOO_LARGE")),
            Refusal::Encoding(encoding) => (
                format!("a body with Content-Encoding {encoding} is not read here; send it plain"),
                Some("INVALID_INPUT"),
            ),
            Refusal::SlowBody => ("the body took too long to arrive".to_owned(), Some("TIMEOUT")),
            Refusal::Crowded => {
                ("the bodies of all requests take as much memory as they may".to_owned(), Some("OVERLOADED"))
            }
            Refusal::Timeout => ("the request took too long and was given up".to_owned(), Some("TIMEOUT")),
            Refusal::Draining => ("the server is about to end".to_owned(), Some("DRAINING")),
            Refusal::Loading => ("the model is loading".to_owned(), Some("LOADING")),
            Refusal::Engine(error) => (error.to_string(), Some(error.code())),
        };
        Problem { detail, code }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match self {
            Refusal::Slips(detail) => return json(status, &Invalid { detail }),
            _ => json(status, &self.problem()),
        };
        let mut set = |name: HeaderName, value: &'static str| {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        };
        match self {
            Refusal::MethodNotAllowed(methods) => set(header::ALLOW, methods),
            Refusal::Unauthorized => set(header::WWW_AUTHENTICATE, "Bearer"),
            // What is left of such a body is not worth reading.
            Refusal::TooLarge(_) | Refusal::SlowBody => set(header::CONNECTION, "close"),
            Refusal::Crowded => {
                set(header::CONNECTION, "close");
                set(header::RETRY_AFTER, "1");
            }
            Refusal::Loading | Refusal::Draining | Refusal::Engine(Error::Overloaded(_)) => {
                set(header::RETRY_AFTER, "1")
            }
            _ => (),
        }
        response
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(value) else {
        // Nothing that is answered here has a form that JSON lacks.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
