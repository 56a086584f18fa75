//! Checks request bodies as the Python service's models do (Pydantic 2, lax mode).
//!
//! An entry is `{log_id: int, log_text: str}`. Every slip is reported at once, entry by entry and in
//! the order of the fields, in the body of a 422 answer. Rules and words are those that
//! tests/fixtures/http_parity.json recorded.

use serde::Serialize;
use utoipa::ToSchema;

use crate::json::{JsonError, Value};

/// Digits of the longest `log_id`, as Python's own limit has it.
const MAX_DIGITS: usize = 4300;

/// A log line that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Digits, with a minus sign where there is one.
    pub log_id: String,
    /// The text to score.
    pub log_text: String,
}

/// One step of the way to what is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Step {
    /// A field, or `body`.
    Name(String),
    /// Index of an entry, or the character where a body ceases to be JSON.
    Index(usize),
}

/// What is wrong with a request, and where.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Slip {
    /// Stable name of the kind of error.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The way to it, from `body` on.
    pub loc: Vec<Step>,
    /// What would be right.
    pub msg: String,
    /// What was found.
    #[schema(value_type = serde_json::Value)]
    pub input: Value,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Context>,
}

/// More about an error.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Context {
    /// Why the body is not JSON.
    pub error: String,
}

impl Slip {
    fn new(kind: &'static str, place: &[Step], msg: &str, input: &Value) -> Self {
        let mut loc = vec![Step::Name("body".to_owned())];
        loc.extend_from_slice(place);
        Slip { kind, loc, msg: msg.to_owned(), input: input.clone(), ctx: None }
    }

    fn missing(place: &[Step], input: &Value) -> Self {
        Slip::new("missing", place, "Field required", input)
    }

    /// There is no body.
    pub fn no_body() -> Self {
        Slip::missing(&[], &Value::Null)
    }

    /// The body is not JSON.
    pub fn not_json(error: &JsonError) -> Self {
        let place = [Step::Index(error.offset)];
        let slip = Slip::new("json_invalid", &place, "JSON decode error", &Value::Object(Vec::new()));
        Slip { ctx: Some(Context { error: error.cause.to_owned() }), ..slip }
    }
}

/// One entry, or all that is wrong with it.
///
/// # Errors
/// The slips of the entry.
pub fn entry(body: &Value) -> Result<Entry, Vec<Slip>> {
    let mut slips = Vec::new();
    check(body, &[], &mut slips).ok_or(slips)
}

/// All entries of a list, or all that is wrong with it.
///
/// # Errors
/// The slips of all entries.
pub fn entries(body: &Value) -> Result<Vec<Entry>, Vec<Slip>> {
    let Value::Array(items) = body else {
        return Err(vec![Slip::new("list_type", &[], "Input should be a valid list", body)]);
    };
    let mut slips = Vec::new();
    let mut entries = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        entries.extend(check(item, &[Step::Index(index)], &mut slips));
    }
    if slips.is_empty() { Ok(entries) } else { Err(slips) }
}

fn check(value: &Value, place: &[Step], slips: &mut Vec<Slip>) -> Option<Entry> {
    if !matches!(value, Value::Object(_)) {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        slips.push(Slip::new("model_attributes_type", place, msg, value));
        return None;
    }
    let mut field = |name: &str, check: fn(&Value) -> Result<String, (&'static str, &'static str)>| {
        let place = [place, &[Step::Name(name.to_owned())]].concat();
        match value.get(name) {
            None => slips.push(Slip::missing(&place, value)),
            Some(found) => match check(found) {
                Ok(checked) => return Some(checked),
                Err((kind, msg)) => slips.push(Slip::new(kind, &place, msg, found)),
            },
        }
        None
    };
    // Both are checked, whatever comes of the first.
    let (log_id, log_text) = (field("log_id", log_id), field("log_text", log_text));
    Some(Entry { log_id: log_id?, log_text: log_text? })
}

const NOT_A_NUMBER: (&str, &str) =
    ("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
const TOO_LONG: (&str, &str) =
    ("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size");
const FRACTION: (&str, &str) =
    ("int_from_float", "Input should be a valid integer, got a number with a fractional part");

/// The digits of an id: of a whole number, however it is written, or of a truth value.
fn log_id(value: &Value) -> Result<String, (&'static str, &'static str)> {
    match value {
        Value::Bool(value) => Ok(u8::from(*value).to_string()),
        Value::Integer(digits) => Ok(if digits == "-0" { "0".to_owned() } else { digits.clone() }),
        Value::Float(number) if !number.is_finite() => Err(("finite_number", "Input should be a finite number")),
        Value::Float(number) if number.fract() != 0.0 => Err(FRACTION),
        // 2^63: beyond, Pydantic does not trust a float to be whole.
        Value::Float(number) if number.abs() >= 9_223_372_036_854_775_808.0 => Err(TOO_LONG),
        Value::Float(number) => Ok((*number as i64).to_string()),
        Value::String(text, _) => whole_number(text),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(("int_type", "Input should be a valid integer")),
    }
}

/// `"5"`, `" +5 "`, `"5.0"`, `"1_000"`: what Pydantic takes for a whole number in a string.
fn whole_number(text: &str) -> Result<String, (&'static str, &'static str)> {
    let text = text.trim();
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let whole = match unsigned.split_once('.') {
        None => unsigned,
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return Err(NOT_A_NUMBER),
    };
    let grouped = whole.split('_').all(|group| !group.is_empty() && group.bytes().all(|digit| digit.is_ascii_digit()));
    if !grouped {
        return Err(NOT_A_NUMBER);
    }
    let digits: String = whole.chars().filter(|&digit| digit != '_').collect();
    if digits.len() > MAX_DIGITS {
        return Err(TOO_LONG);
    }
    Ok(match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}"),
    })
}

fn log_text(value: &Value) -> Result<String, (&'static str, &'static str)> {
    match value {
        Value::String(text, false) => Ok(text.clone()),
        Value::String(_, true) => {
            Err(("string_unicode", "Input should be a valid string, unable to parse raw data as a unicode string"))
        }
        _ => Err(("string_type", "Input should be a valid string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Result<String, &'static str> {
        log_id(&Value::parse(json).unwrap()).map_err(|(kind, _)| kind)
    }

    #[test]
    fn whole_numbers_are_taken_however_they_are_written() {
        for (written, digits) in [
            ("5", "5"),
            ("5.0", "5"),
            ("5e0", "5"),
            ("-0", "0"),
            ("true", "1"),
            ("false", "0"),
            (r#""5""#, "5"),
            (r#"" 5 ""#, "5"),
            (r#""+5""#, "5"),
            (r#""-5.00""#, "-5"),
            (r#""1_000""#, "1000"),
            (r#""007""#, "7"),
            (r#""-0""#, "0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(id(written).as_deref(), Ok(digits), "{written}");
        }
        let longest = "9".repeat(MAX_DIGITS);
        assert_eq!(id(&format!("\"{longest}\"")), Ok(longest));
    }

    #[test]
    fn nothing_else_is() {
        for (written, kind) in [
            ("5.5", "int_from_float"),
            ("1e20", "int_parsing_size"),
            ("9223372036854775808.0", "int_parsing_size"),
            ("1e999", "finite_number"),
            ("NaN", "finite_number"),
            (r#""5.5""#, "int_parsing"),
            (r#""5.""#, "int_parsing"),
            (r#""5e0""#, "int_parsing"),
            (r#""0x5""#, "int_parsing"),
            (r#""1__0""#, "int_parsing"),
            (r#""_1""#, "int_parsing"),
            (r#""1_""#, "int_parsing"),
            (r#""""#, "int_parsing"),
            (r#""-""#, "int_parsing"),
            (r#""+-5""#, "int_parsing"),
            (r#""５""#, "int_parsing"),
            ("null", "int_type"),
            ("[]", "int_type"),
            ("{}", "int_type"),
        ] {
            assert_eq!(id(written), Err(kind), "{written}");
        }
        assert_eq!(id(&format!("\"{}\"", "9".repeat(MAX_DIGITS + 1))), Err("int_parsing_size"));
    }
}
