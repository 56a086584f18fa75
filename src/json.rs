//! JSON as Python's `json` module reads it, with its error messages and places.
//!
//! The service's clients see these: a body that is not JSON is answered with the cause and the
//! offset that Python gives. Python also keeps whole numbers of any length, and takes `NaN` and
//! `Infinity`. Grammar: RFC 8259; messages and places: those of CPython 3.11's `_json`, held
//! against it by tests/fixtures/json_errors.json.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

/// Nesting that is read; Python gives up at about a thousand.
const DEPTH: usize = 200;

/// The cause of an error that Python has not: more values than were allowed.
pub const TOO_MANY_VALUES: &str = "Too many values";

/// A JSON value. Numbers stay as they were written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction and exponent, as it was written.
    Integer(String),
    /// Any other number; `NaN` and the infinities are among them.
    Float(f64),
    /// A string. Lone surrogates have become U+FFFD, and the flag says that there were some.
    String(String, bool),
    /// An array.
    Array(Vec<Value>),
    /// An object, each key once: the last one of equal keys counts.
    Object(Vec<(String, Value)>),
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Python's words.
    pub cause: &'static str,
    /// Where, in characters from the start.
    pub offset: usize,
}

impl Value {
    /// Reads a whole text.
    ///
    /// # Errors
    /// What Python would say of it, and where.
    pub fn parse(text: &str) -> Result<Value, JsonError> {
        Value::parse_within(text, usize::MAX)
    }

    /// Reads a whole text that may hold so many values: one takes up to thirty times as much memory
    /// as it takes in a text.
    ///
    /// # Errors
    /// As [`Value::parse`], and [`TOO_MANY_VALUES`].
    pub fn parse_within(text: &str, values: usize) -> Result<Value, JsonError> {
        let mut reader = Reader { text, at: 0, left: values };
        let value = reader.document();
        value.map_err(|(cause, at)| JsonError { cause, offset: text[..at].chars().count() })
    }

    /// The value of a key of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            // Digits as they are: no type of Rust holds all of them.
            Value::Integer(digits) => match RawValue::from_string(digits.clone()) {
                Ok(raw) => raw.serialize(serializer),
                Err(error) => Err(serde::ser::Error::custom(error)),
            },
            // JSON has no NaN and no infinities.
            Value::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::Float(_) => serializer.serialize_unit(),
            Value::String(text, _) => serializer.serialize_str(text),
            Value::Array(items) => {
                let mut array = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    array.serialize_element(item)?;
                }
                array.end()
            }
            Value::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    object.serialize_entry(key, value)?;
                }
                object.end()
            }
        }
    }
}

/// A cause, and the byte where it was found.
type Fault = (&'static str, usize);

/// What is read of a text so far; `at` is always at a character's first byte.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    left: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn document(&mut self) -> Result<Value, Fault> {
        self.space();
        let value = self.value(0)?;
        self.space();
        if self.at == self.text.len() { Ok(value) } else { Err(("Extra data", self.at)) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        if depth > DEPTH {
            return Err(("Too deeply nested", self.at));
        }
        self.left = self.left.checked_sub(1).ok_or((TOO_MANY_VALUES, self.at))?;
        match self.peek() {
            Some(b'"') => self.string().map(|(text, lone)| Value::String(text.into_owned(), lone)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value, Fault> {
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(("Expecting value", self.at))
    }

    /// Digits from `at` on.
    fn digits(&self, at: usize) -> usize {
        self.text.as_bytes()[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start + usize::from(bytes[start] == b'-');
        end += match bytes.get(end) {
            Some(b'0') => 1,
            Some(b'1'..=b'9') => self.digits(end),
            _ => return self.word(),
        };
        let whole = end;
        if bytes.get(end) == Some(&b'.') && self.digits(end + 1) > 0 {
            end += 1 + self.digits(end + 1);
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.len() > end + 1 + sign && self.digits(end + 1 + sign) > 0 {
                end += 1 + sign + self.digits(end + 1 + sign);
            }
        }
        self.at = end;
        let written = &self.text[start..end];
        if end == whole {
            return Ok(Value::Integer(written.to_owned()));
        }
        // What the grammar lets through is a number to Rust as well.
        written.parse().map(Value::Float).map_err(|_| ("Expecting value", start))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b']') => break,
                Some(b',') => self.at += 1,
                _ => return Err(("Expecting ',' delimiter", self.at)),
            }
            self.space();
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut members = Members::default();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Vec::new()));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(("Expecting property name enclosed in double quotes", self.at));
            }
            let (key, _) = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(("Expecting ':' delimiter", self.at));
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            members.insert(key.into_owned(), value);
            self.space();
            match self.peek() {
                Some(b'}') => break,
                Some(b',') => self.at += 1,
                _ => return Err(("Expecting ',' delimiter", self.at)),
            }
            self.space();
        }
        self.at += 1;
        Ok(Value::Object(members.list))
    }

    /// A string, and whether it had lone surrogates.
    fn string(&mut self) -> Result<(Cow<'a, str>, bool), Fault> {
        let begin = self.at;
        let unterminated = ("Unterminated string starting at", begin);
        self.at += 1;
        let (mut units, mut lone): (Option<Vec<u16>>, bool) = (None, false);
        let mut start = self.at;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count();
            self.at += plain;
            match rest.get(plain) {
                None => return Err(unterminated),
                Some(b'"') => break,
                Some(b'\\') => {
                    let units = units.get_or_insert_default();
                    units.extend(self.text[start..self.at].encode_utf16());
                    units.push(self.escape(unterminated)?);
                    start = self.at;
                }
                Some(_) => return Err(("Invalid control character at", self.at)),
            }
        }
        let tail = &self.text[start..self.at];
        self.at += 1;
        let Some(mut units) = units else { return Ok((Cow::Borrowed(tail), lone)) };
        units.extend(tail.encode_utf16());
        let text = char::decode_utf16(units).map(|unit| {
            unit.unwrap_or_else(|_| {
                lone = true;
                char::REPLACEMENT_CHARACTER
            })
        });
        Ok((Cow::Owned(text.collect()), lone))
    }

    /// One escape, as a unit of UTF-16.
    fn escape(&mut self, unterminated: Fault) -> Result<u16, Fault> {
        let backslash = self.at;
        let bytes = self.text.as_bytes();
        let unit = match bytes.get(backslash + 1) {
            None => return Err(unterminated),
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'/') => b'/',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let fault = ("Invalid \\uXXXX escape", backslash + 1);
                // A closing quote must follow, or Python does not look at the digits.
                let digits = bytes.get(backslash + 2..backslash + 6).filter(|_| bytes.len() > backslash + 6);
                let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).ok_or(fault)?;
                let value = |digit: &u8| (*digit as char).to_digit(16).unwrap_or_default() as u16;
                self.at += 6;
                return Ok(digits.iter().fold(0, |unit, digit| unit * 16 + value(digit)));
            }
            Some(_) => return Err(("Invalid \\escape", backslash)),
        };
        self.at += 2;
        Ok(u16::from(unit))
    }
}

/// The members of an object while it is read.
#[derive(Default)]
struct Members {
    list: Vec<(String, Value)>,
    places: std::collections::HashMap<String, usize>,
}

impl Members {
    fn insert(&mut self, key: String, value: Value) {
        if let Some(&place) = self.places.get(&key) {
            self.list[place].1 = value;
        } else {
            self.places.insert(key.clone(), self.list.len());
            self.list.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    /// Against what tests/fixtures/make_json_errors.py wrote down.
    #[test]
    fn errors_are_pythons_in_words_and_places() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/json_errors.json");
        let Value::Array(cases) = read(&std::fs::read_to_string(file).unwrap()) else { panic!("no list") };
        assert!(cases.len() > 1_000);
        for case in &cases {
            // A lone surrogate in a text is U+FFFD here and not there, but it is one character in both.
            let Some(Value::String(text, _)) = case.get("text") else { panic!("no text") };
            let found =
                Value::parse(text).err().map(|JsonError { cause, offset }| (cause.to_owned(), offset.to_string()));
            let expected = match (case.get("cause"), case.get("offset")) {
                (Some(Value::String(cause, _)), Some(Value::Integer(offset))) => Some((cause.clone(), offset.clone())),
                _ => None,
            };
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn values_keep_what_was_written() {
        let text = r#"{"id":123456789012345678901234567890,"a":[1.5,true,null,"é\n"],"b":{}}"#;
        assert_eq!(serde_json::to_string(&read(text)).unwrap(), text);
        assert_eq!(read(r#"{"a":1,"b":2,"a":3}"#), read(r#"{"a":3,"b":2}"#), "the last of equal keys counts");
        assert_eq!(read(r#""\ud83d\ude00""#), Value::String("😀".to_owned(), false));
        assert_eq!(read(r#""\ud83d""#), Value::String("\u{fffd}".to_owned(), true));
        assert_eq!(serde_json::to_string(&read("[NaN, -Infinity]")).unwrap(), "[null,null]");
    }

    #[test]
    fn values_are_bounded() {
        assert!(Value::parse_within("[1, [2]]", 4).is_ok());
        assert_eq!(Value::parse_within("[1, [2]]", 3).unwrap_err().cause, TOO_MANY_VALUES);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Value::parse(&nested(DEPTH)).is_ok());
        assert_eq!(Value::parse(&nested(1_000_000)).unwrap_err().cause, "Too deeply nested");
    }
}
