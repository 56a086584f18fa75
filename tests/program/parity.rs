//! The recorded answers of the Python service's framework, replayed: tests/fixtures/http_parity.json.

use audit_anomaly::json::Value;

use crate::client::{Answer, Server};

/// What the placeholders of a recorded answer stand for.
struct Facts {
    model_name: String,
    threshold: f64,
    body_length: usize,
}

fn text(value: &Value) -> &str {
    match value {
        Value::String(text, _) => text,
        other => panic!("{other:?} is no string"),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(digits) => digits.parse().ok(),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'=').collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().enumerate().fold(0, |bits, (place, &digit)| bits | value(digit) << (18 - 6 * place));
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}

fn body_of(request: &Value) -> Option<Vec<u8>> {
    if let Some(body) = request.get("body") {
        return Some(text(body).as_bytes().to_vec());
    }
    if let Some(body) = request.get("body_base64") {
        return Some(decode_base64(text(body)));
    }
    let repeat = request.get("body_repeat")?;
    let part = |name: &str| text(repeat.get(name).unwrap()).to_owned();
    let count = number(repeat.get("count").unwrap()).unwrap() as usize;
    Some((part("head") + &part("unit").repeat(count) + &part("tail")).into_bytes())
}

/// Where `found` is not what was recorded, or nothing.
fn difference(expected: &Value, found: &Value, extra_keys: bool, facts: &Facts, path: &str) -> Option<String> {
    let wrong = || Some(format!("{path}: expected {expected:?}, found {found:?}"));
    let unless = |right: bool| if right { None } else { wrong() };
    match (expected, found) {
        (Value::String(placeholder, _), _) if placeholder.starts_with('<') => match placeholder.as_str() {
            "<any>" => None,
            "<string>" => unless(matches!(found, Value::String(text, _) if !text.is_empty())),
            "<model_name>" => unless(matches!(found, Value::String(text, _) if *text == facts.model_name)),
            "<is_anomaly>" => unless(matches!(found, Value::Bool(_))),
            "<threshold>" => unless(number(found) == Some(facts.threshold)),
            "<score>" => unless(number(found).is_some_and(|score| {
                (0.0..=1.0).contains(&score) && (score * 1e4 - (score * 1e4).round()).abs() < 1e-9
            })),
            offset if offset.starts_with("<offset:") => {
                let wanted = offset["<offset:".len()..offset.len() - 1].parse::<f64>().ok();
                unless(number(found) == wanted && wanted.unwrap() <= facts.body_length as f64)
            }
            other => panic!("the placeholder {other} is not known"),
        },
        (Value::Object(expected), Value::Object(members)) => {
            if !extra_keys && members.len() != expected.len() {
                return wrong();
            }
            expected.iter().find_map(|(key, value)| match found.get(key) {
                None => Some(format!("{path}.{key} is missing")),
                // Words of an error and what they are about are compared too: they are all alike here.
                Some(member) => difference(value, member, extra_keys, facts, &format!("{path}.{key}")),
            })
        }
        (Value::Array(expected), Value::Array(items)) => {
            if expected.len() != items.len() {
                return wrong();
            }
            let pairs = expected.iter().zip(items).enumerate();
            pairs.into_iter().find_map(|(index, (expected, item))| {
                difference(expected, item, extra_keys, facts, &format!("{path}[{index}]"))
            })
        }
        (Value::Float(expected), _) => unless(number(found) == Some(*expected)),
        _ => unless(expected == found),
    }
}

/// Whether each verdict of an answer fits its score.
fn verdicts_fit(value: &Value, threshold: f64) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| verdicts_fit(item, threshold)),
        Value::Object(_) => match (value.get("anomaly_score").and_then(number), value.get("is_anomaly")) {
            (Some(score), Some(Value::Bool(flagged))) => *flagged == (score >= threshold),
            _ => true,
        },
        _ => true,
    }
}

fn check(case: &Value, answer: &Answer, facts: &Facts) -> Result<(), String> {
    let response = case.get("response").unwrap();
    let status = number(response.get("status").unwrap()).unwrap() as u16;
    if text(case.get("compare").unwrap()) == "status" {
        let also: Vec<u16> = match case.get("also_accept_status") {
            Some(Value::Array(also)) => also.iter().filter_map(number).map(|status| status as u16).collect(),
            _ => Vec::new(),
        };
        let accepted = answer.status == status && status < 500 || also.contains(&answer.status);
        return if accepted { Ok(()) } else { Err(format!("status {}", answer.status)) };
    }
    if answer.status != status {
        return Err(format!("status {} instead of {status}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
    let media = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_head = text(case.get("request").unwrap().get("method").unwrap()) == "HEAD";
    if let (Some(Value::String(expected, _)), false) = (response.get("content_type"), is_head) {
        let found = answer.header("content-type").map(media);
        if found.as_ref() != Some(&media(expected)) {
            return Err(format!("content type {found:?} instead of {expected}"));
        }
    }
    let headers = response.get("headers").unwrap();
    for name in ["allow", "location"] {
        let expected = headers.get(name).filter(|value| **value != Value::Null).map(text);
        if answer.header(name) != expected {
            return Err(format!("{name} {:?} instead of {expected:?}", answer.header(name)));
        }
    }
    let expected = response.get("json").unwrap();
    if *expected == Value::Null {
        return Ok(());
    }
    let found = answer.json();
    let extra_keys = case.get("allow_extra_keys") == Some(&Value::Bool(true));
    if let Some(difference) = difference(expected, &found, extra_keys, facts, "$") {
        return Err(difference);
    }
    if verdicts_fit(&found, facts.threshold) { Ok(()) } else { Err("a verdict does not fit its score".to_owned()) }
}

fn replay(file: &std::path::Path) {
    let cases = Value::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
    let Some(Value::Array(cases)) = cases.get("cases") else { panic!("no cases") };
    let server = Server::start(&[]);
    let health = server.get("/health").json();
    let (model_name, threshold) = (text(health.get("model_name").unwrap()), number(health.get("threshold").unwrap()));
    let mut wrong = Vec::new();
    let mut compared = 0;
    for case in cases {
        let name = text(case.get("name").unwrap());
        if text(case.get("compare").unwrap()) == "skip" {
            continue;
        }
        let request = case.get("request").unwrap();
        let Some(Value::Object(headers)) = request.get("headers") else { panic!("no headers") };
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        let body = body_of(request);
        let method = text(request.get("method").unwrap());
        let answer = server.send(method, text(request.get("path").unwrap()), &headers, body.as_deref());
        let body_length = body.map_or(0, |body| body.len());
        let facts = Facts { model_name: model_name.to_owned(), threshold: threshold.unwrap(), body_length };
        if let Err(difference) = check(case, &answer, &facts) {
            wrong.push(format!("{name}: {difference}"));
        }
        compared += 1;
    }
    println!("{}: {compared} cases", file.display());
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 40);
}

#[test]
fn a_redirect_keeps_the_query() {
    let answer = Server::start(&[]).post("/analyze-log//?a=1", "{}");
    assert_eq!((answer.status, answer.header("location")), (307, Some("/analyze-log?a=1")));
}

#[test]
fn the_recorded_answers_are_given() {
    replay(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/http_parity.json")));
}
