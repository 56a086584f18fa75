//! Too much, too long, too slow: each is refused clearly, and the next request works.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use audit_anomaly::json::Value;

use crate::client::{Answer, Server, read_answer};

const ENTRY: &str = r#"{"log_id": 1, "log_text": "Failed login attempt"}"#;

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = Server::start(&[("ANOMALY_MAX_BODY_BYTES", "1000")]);
    let large = format!(r#"{{"log_id": 1, "log_text": "{}"}}"#, "x".repeat(1_000));
    let answer = server.post("/analyze-log", &large);
    assert_eq!((answer.status, answer.code().as_str()), (413, "TOO_LARGE"));

    // Announced, but never sent.
    let mut stream = server.connect();
    write!(stream, "POST /analyze-log HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).status, 413);

    // Of unknown length, and without end.
    let mut stream = server.connect();
    write!(stream, "POST /analyze-log HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..20 {
        // It may have been refused by now.
        let _ = stream.write_all(format!("64\r\n{}\r\n", "x".repeat(100)).as_bytes());
    }
    assert_eq!(read_answer(&mut stream).status, 413);
    assert_eq!(server.post("/analyze-log", ENTRY).status, 200);
}

#[test]
fn a_body_of_very_many_values_is_refused() {
    let server = Server::start(&[]);
    let body = format!(r#"{{"log_id": 1, "log_text": "a", "more": [{}0]}}"#, "0,".repeat(1_000_000));
    let answer = server.post("/analyze-log", &body);
    assert_eq!((answer.status, answer.code().as_str()), (413, "TOO_LARGE"));
}

#[test]
fn a_client_that_never_reads_is_let_go() {
    let server = Server::start(&[("ANOMALY_IDLE_SECONDS", "1")]);
    let mut stream = server.connect();
    // It is echoed in the answer, which does not fit into the buffers of the system.
    let body = "x".repeat(15 << 20);
    let head = "POST /analyze-log HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}GET /live HTTP/1.1\r\nHost: test\r\n\r\n", body.len())
        .unwrap();
    let connections = || {
        let metrics = server.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("anomaly_http_connections ")).map(str::to_owned);
        line.and_then(|value| value.parse::<u64>().ok()).expect("a number")
    };
    assert_eq!(connections(), 2, "it and the one that asks");
    let begun = Instant::now();
    while connections() > 1 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it must be let go");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn lists_and_texts_over_their_limits_are_refused() {
    let server = Server::start(&[("ANOMALY_MAX_BATCH", "2"), ("ANOMALY_MAX_TEXT_BYTES", "30")]);
    assert_eq!(server.post("/analyze-batch", &format!("[{ENTRY}, {ENTRY}]")).status, 200);
    let answer = server.post("/analyze-batch", &format!("[{ENTRY}, {ENTRY}, {ENTRY}]"));
    assert_eq!((answer.status, answer.code().as_str()), (413, "TOO_LARGE"));
    let long = format!(r#"{{"log_id": 1, "log_text": "{}"}}"#, "é".repeat(16));
    let answer = server.post("/analyze-batch", &format!("[{ENTRY}, {long}]"));
    assert_eq!(answer.status, 422);
    let Some(Value::Array(slips)) = answer.json().get("detail").cloned() else { panic!("no detail") };
    assert_eq!(slips[0].get("type"), Some(&Value::String("string_too_long".to_owned(), false)));
    let loc =
        [Value::String("body".into(), false), Value::Integer("1".into()), Value::String("log_text".into(), false)];
    assert_eq!(slips[0].get("loc"), Some(&Value::Array(loc.to_vec())));
}

#[test]
fn a_full_queue_answers_429_with_retry_after() {
    // One thread, and texts of many windows: the queue stays full for a while.
    let server = Server::start(&[("ANOMALY_MAX_QUEUE", "1"), ("ANOMALY_THREADS", "1"), ("ANOMALY_MODEL", "bundled")]);
    let text = |client: usize| format!("{client} words and more ").repeat(2_000);
    let statuses: Vec<(u16, Option<String>)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|client| {
                let server = &server;
                scope.spawn(move || {
                    let body = format!(r#"{{"log_id": 1, "log_text": "{}"}}"#, text(client));
                    let answer = server.post("/analyze-log", &body);
                    (answer.status, answer.header("retry-after").map(str::to_owned))
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let refused = statuses.iter().filter(|(status, _)| *status == 429).count();
    let served = statuses.iter().filter(|(status, _)| *status == 200).count();
    assert!(refused > 0 && served > 0 && refused + served == 20, "{statuses:?}");
    assert!(statuses.iter().all(|(status, retry)| (*status == 429) == retry.is_some()));
    assert_eq!(server.post("/analyze-log", ENTRY).status, 200);
}

#[test]
fn slow_and_silent_clients_are_let_go_and_hold_nobody_up() {
    let server = Server::start(&[("ANOMALY_IDLE_SECONDS", "1"), ("ANOMALY_BODY_SECONDS", "1")]);
    let begun = Instant::now();
    // One says nothing, one stops in its head, one in its body.
    let mut silent = server.connect();
    let mut half_a_head = server.connect();
    write!(half_a_head, "POST /analyze-log HTTP/1.1\r\nHost: te").unwrap();
    let mut half_a_body = server.connect();
    write!(half_a_body, "POST /analyze-log HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n{{").unwrap();
    assert_eq!(server.post("/analyze-log", ENTRY).status, 200, "others are served meanwhile");
    let answer = read_answer(&mut half_a_body);
    assert_eq!((answer.status, answer.code().as_str()), (408, "TIMEOUT"));
    let answer = read_answer(&mut half_a_head);
    assert_eq!((answer.status, answer.code().as_str()), (408, "TIMEOUT"));
    assert_eq!(answer.header("connection"), Some("close"));
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).expect("closed, and not reset");
    assert!(rest.is_empty(), "who asks nothing is told nothing");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_head_that_is_broken_or_too_long_is_answered() {
    let server = Server::start(&[]);
    let endless = "GET /live HTTP/1.1\r\nX: ".to_owned() + &"x".repeat(200_000);
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(66_000));
    let many = format!("GET /live HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    for (head, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /live HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET /live HTTP/9.9\r\n\r\n", 400),
        ("POST /analyze-log HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (&endless, 431),
        (&path, 414),
        (&many, 431),
    ] {
        let mut stream = server.connect();
        // It may have been refused by now.
        let _ = stream.write_all(head.as_bytes());
        let answer = read_answer(&mut stream);
        let shown = head.get(..30).unwrap_or(head);
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{shown:?}");
    }
    assert_eq!(server.post("/analyze-log", ENTRY).status, 200);
}

#[test]
fn the_bodies_of_all_requests_together_are_bounded() {
    let server = Server::start(&[("ANOMALY_MAX_BODY_BYTES", "1000"), ("ANOMALY_MAX_TOTAL_BODY_BYTES", "1500")]);
    let body = |length: usize| format!(r#"{{"log_id": 1, "log_text": "{}"}}"#, "x".repeat(length));
    // They have announced much, and sent a part of it.
    let hold = || {
        let mut stream = server.connect();
        let head = "POST /analyze-log HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
        write!(stream, "{head}{}", "x".repeat(650)).unwrap();
        stream
    };
    let held = RefCell::new([hold(), hold()]);
    let ask = || {
        // Whoever comes before them takes their room, and then it is they who are refused.
        for stream in held.borrow_mut().iter_mut().filter(|stream| is_answered(stream)) {
            *stream = hold();
        }
        server.post("/analyze-log", &body(300))
    };
    let answer = eventually(ask, 503);
    assert_eq!(answer.code(), "OVERLOADED");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
    assert_eq!(server.post("/analyze-log", ENTRY).status, 200, "there is room for a small one");
    drop(held);
    eventually(|| server.post("/analyze-log", &body(900)), 200);
    // What was taken is given back, by those that were served, that were refused, and that went away.
    for _ in 0..10 {
        assert_eq!(server.post("/analyze-log", &body(900)).status, 200);
    }
}

/// Whether the server has said or closed something; does not wait for it.
fn is_answered(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let found = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !matches!(found, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Asks until the status is there, for what a client does takes a moment to arrive.
fn eventually(ask: impl Fn() -> Answer, status: u16) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if answer.status == status {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_connection_too_many_is_told_so() {
    let server = Server::start(&[("ANOMALY_MAX_CONNECTIONS", "2")]);
    // Those of the probes before must be closed.
    std::thread::sleep(Duration::from_millis(200));
    let held = [server.connect(), server.connect()];
    std::thread::sleep(Duration::from_millis(200));
    let answer = server.post("/analyze-log", ENTRY);
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"));
    drop(held);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.post("/analyze-log", ENTRY).status, 200);
}

#[test]
fn a_compressed_body_is_refused() {
    let server = Server::start(&[]);
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let answer = server.send("POST", "/analyze-log", &headers, Some(b"\x1f\x8b"));
    assert_eq!(answer.status, 415);
    let plain = [("Content-Type", "application/json"), ("Content-Encoding", "identity")];
    assert_eq!(server.send("POST", "/analyze-log", &plain, Some(ENTRY.as_bytes())).status, 200);
}

#[test]
fn a_client_that_goes_away_leaves_the_queue() {
    let server = Server::start(&[("ANOMALY_THREADS", "1"), ("ANOMALY_MODEL", "bundled")]);
    let entries: Vec<String> =
        (0..1_000).map(|id| format!(r#"{{"log_id": 1, "log_text": "line {id} of a list"}}"#)).collect();
    let body = format!("[{}]", entries.join(","));
    let mut stream = server.connect();
    let head = "POST /analyze-batch HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let depth = || {
        let metrics = server.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("anomaly_queue_depth ")).map(str::to_owned);
        line.and_then(|value| value.parse::<u64>().ok()).expect("a depth")
    };
    while depth() == 0 {}
    drop(stream);
    let begun = Instant::now();
    while depth() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let metrics = server.get("/metrics").text();
    let scored = metrics.lines().find_map(|line| line.strip_prefix("anomaly_sequences_total ")).unwrap();
    assert!(scored.parse::<u64>().unwrap() < 1_000, "{scored} were computed for nobody");
}
