//! From a request to the JSON value in it: sizes and times bounded, and read as FastAPI reads it.
//!
//! What all bodies together may take is counted as they arrive, not as they are announced: whoever only promises much
//! takes nothing from others.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::block_in_place;

use super::answer::Refusal;
use super::entry::Slip;
use crate::config::ServeConfig;
use crate::json::{TOO_MANY_VALUES, Value};

/// Digits that Python reads into a whole number.
const MAX_DIGITS: usize = 4300;

/// Values that a body may hold for each record of a list, and besides.
const VALUES: (usize, usize) = (64, 10_000);

/// What is read of a body that was refused for its size, so that the client sees the answer and not a reset.
const REST: (usize, Duration) = (1 << 20, Duration::from_secs(1));

/// Bodies of this size and more are read beside the threads that serve others.
const LARGE: usize = 64 << 10;

/// Reads the body of `request` as FastAPI does, for a list of at most `max_batch` records. `room` has a permit for each
/// byte that all bodies together may take; those of this one are with the value, to be held as long as it is of use.
///
/// # Errors
/// A refusal for a body that is too large or too slow, compressed, or one too many; for one that is not UTF-8, not
/// JSON, or absent.
pub async fn read<'a>(
    request: Request<Body>,
    config: &ServeConfig,
    room: &'a Semaphore,
    max_batch: usize,
) -> Result<(Value, SemaphorePermit<'a>), Refusal> {
    let (parts, mut body) = request.into_parts();
    let limit = config.max_body_bytes;
    let too_large = || Refusal::TooLarge(format!("the body is larger than ANOMALY_MAX_BODY_BYTES, {limit} bytes"));
    if let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Refusal::Encoding(String::from_utf8_lossy(encoding.as_bytes()).escape_default().to_string()));
    }
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        drop_rest(&mut body).await;
        return Err(too_large());
    }
    let collecting = async {
        let mut bytes = Vec::new();
        let mut held = room.try_acquire_many(0).map_err(|_| Refusal::Crowded)?;
        while let Some(frame) = body.frame().await {
            // The client has gone, or sent what is no HTTP: nobody reads this.
            let frame = frame.map_err(|_| Refusal::Unreadable)?;
            let Some(data) = frame.data_ref() else { continue };
            if data.len() > limit - bytes.len() {
                return Err(too_large());
            }
            // Within a limit that 32 bits hold.
            held.merge(room.try_acquire_many(data.len() as u32).map_err(|_| Refusal::Crowded)?);
            bytes.extend_from_slice(data);
        }
        Ok((bytes, held))
    };
    let (bytes, held) = match tokio::time::timeout(config.body, collecting).await {
        Err(_) => return Err(Refusal::SlowBody),
        Ok(Err(refusal @ (Refusal::TooLarge(_) | Refusal::Crowded))) => {
            drop_rest(&mut body).await;
            return Err(refusal);
        }
        Ok(collected) => collected?,
    };
    let json = is_json(&parts.headers);
    let parse = || parse(&bytes, json, max_batch);
    let value = if bytes.len() < LARGE { parse() } else { block_in_place(parse) };
    Ok((value?, held))
}

fn parse(bytes: &[u8], json: bool, max_batch: usize) -> Result<Value, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::Slips(vec![Slip::no_body()]));
    }
    if !json {
        // FastAPI takes such a body for one string, which then is no entry.
        return Ok(Value::String(String::from_utf8_lossy(bytes).into_owned(), false));
    }
    let text = str::from_utf8(bytes).map_err(|_| Refusal::Unreadable)?;
    let values = VALUES.0 * max_batch + VALUES.1;
    let value = Value::parse_within(text.strip_prefix('\u{feff}').unwrap_or(text), values).map_err(|error| {
        if error.cause == TOO_MANY_VALUES {
            return Refusal::TooLarge(format!("the body has more than {values} values"));
        }
        Refusal::Slips(vec![Slip::not_json(&error)])
    })?;
    if has_endless_number(&value) { Err(Refusal::Unreadable) } else { Ok(value) }
}

/// Reads on for a while, and keeps nothing of it.
async fn drop_rest(body: &mut Body) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, |data| data.len());
            if read > REST.0 {
                break;
            }
        }
    };
    // It is refused in any case.
    let _ = tokio::time::timeout(REST.1, reading).await;
}

/// Whether the body is `application/json` or `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(media) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = media.strip_prefix("application/") else { return false };
    subtype == "json" || subtype.ends_with("+json")
}

/// Whether Python would refuse to read one of the whole numbers.
fn has_endless_number(value: &Value) -> bool {
    match value {
        Value::Integer(digits) => digits.trim_start_matches('-').len() > MAX_DIGITS,
        Value::Array(items) => items.iter().any(has_endless_number),
        Value::Object(members) => members.iter().any(|(_, value)| has_endless_number(value)),
        _ => false,
    }
}
