//! The one error type of the crate.

use serde::Serialize;

/// Why a call failed. Every case has a stable [`code`](Error::code); the message says what was
/// found, where, and what would be right, and never holds the text of a log line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// An argument of a call is of the wrong type or out of bounds.
    #[error("{message}")]
    InvalidInput {
        /// What was found and what would be right.
        message: String,
        /// Which item of the call's list and which of its fields.
        details: Details,
    },
    /// A setting makes no sense, or contradicts another one.
    #[error("{0}")]
    InvalidConfig(String),
    /// The model is neither on this machine nor, as far as can be seen, at the hub.
    #[error("{0}")]
    ModelNotFound(String),
    /// The hub could not be reached, refused, or broke off.
    #[error("{message}")]
    ModelDownload {
        /// What was tried and what came back.
        message: String,
        /// Whether nothing at all could be heard from the hub. Only then may the bundled model
        /// stand in for a default model that nobody asked for by name.
        unreachable: bool,
    },
    /// A downloaded file is not the one that was published.
    #[error("{0}")]
    ModelChecksum(String),
    /// The model's files cannot be used.
    #[error("{0}")]
    ModelInvalid(String),
    /// Too much waits already; the same call may work a moment later.
    #[error("{0}")]
    Overloaded(String),
    /// The caller gave up.
    #[error("the call was aborted")]
    Aborted,
    /// A bug in this crate.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Where in a call's arguments an [`Error::InvalidInput`] lies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Index in the list that was passed; absent for a call with one record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// Name of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Error {
    /// The stable code, as `AnomalyError.code` has it.
    pub fn code(&self) -> &'static str {
        match self {
            Error::InvalidInput { .. } => "INVALID_INPUT",
            Error::InvalidConfig(_) => "INVALID_CONFIG",
            Error::ModelNotFound(_) => "MODEL_NOT_FOUND",
            Error::ModelDownload { .. } => "MODEL_DOWNLOAD",
            Error::ModelChecksum(_) => "MODEL_CHECKSUM",
            Error::ModelInvalid(_) => "MODEL_INVALID",
            Error::Overloaded(_) => "OVERLOADED",
            Error::Aborted => "ABORTED",
            Error::Internal(_) => "INTERNAL",
        }
    }

    /// The status with which HTTP answers it (RFC 9110; 499 is nginx's for a client that has gone).
    pub fn http_status(&self) -> u16 {
        match self {
            Error::InvalidInput { .. } => 422,
            Error::Overloaded(_) => 429,
            Error::Aborted => 499,
            Error::ModelNotFound(_)
            | Error::ModelDownload { .. }
            | Error::ModelChecksum(_)
            | Error::ModelInvalid(_) => 503,
            Error::InvalidConfig(_) | Error::Internal(_) => 500,
        }
    }

    /// The exit code with which the command line ends for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::InvalidInput { .. } | Error::InvalidConfig(_) => 2,
            Error::Overloaded(_) => 3,
            Error::ModelNotFound(_)
            | Error::ModelDownload { .. }
            | Error::ModelChecksum(_)
            | Error::ModelInvalid(_) => 4,
            Error::Aborted => 130,
            Error::Internal(_) => 1,
        }
    }

    /// The place in the arguments, where there is one.
    pub fn details(&self) -> Option<&Details> {
        match self {
            Error::InvalidInput { details, .. } => Some(details),
            _ => None,
        }
    }
}

/// What the crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
