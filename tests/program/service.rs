//! What the service does beyond the Python one: state, keys, origins, metrics, logs, and its end.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use audit_anomaly::json::Value;

use crate::client::{Server, read_answer};

const ENTRY: &str = r#"{"log_id": 1, "log_text": "Failed login attempt"}"#;

#[test]
fn head_is_answered_where_the_python_service_answers_it() {
    let server = Server::start(&[]);
    for path in ["/docs", "/redoc", "/openapi.json"] {
        let (head, get) = (server.send("HEAD", path, &[], None), server.get(path));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        let answer = server.send("POST", path, &[], None);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
    for (path, allow) in [("/health", "GET"), ("/live", "GET"), ("/metrics", "GET"), ("/analyze-log", "POST")] {
        let answer = server.send("HEAD", path, &[], None);
        assert_eq!((answer.status, answer.header("allow"), answer.body.len()), (405, Some(allow), 0), "{path}");
    }
}

#[test]
fn while_the_model_loads_it_is_live_but_not_ready() {
    let hub = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", hub.local_addr().unwrap());
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start_only(&[
        ("ANOMALY_MODEL", "acme/silent"),
        ("HF_ENDPOINT", &endpoint),
        ("HF_HUB_CACHE", cache.path().to_str().unwrap()),
    ]);
    assert_eq!(server.get("/live").status, 200);
    for answer in [server.get("/ready"), server.post("/analyze-log", ENTRY), server.post("/analyze-batch", "[]")] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert_eq!(answer.code(), "LOADING");
    }
    let health = server.get("/health").json();
    assert_eq!(health.get("status"), Some(&Value::String("starting".to_owned(), false)));
    assert_eq!(health.get("model_loaded"), Some(&Value::Bool(false)));
}

#[test]
fn a_model_that_cannot_be_loaded_ends_it_with_4_and_the_reason() {
    let mut server = Server::start_only(&[("ANOMALY_MODEL", "/nowhere/at/all")]);
    assert_eq!(server.exit_code(), Some(4));
    std::thread::sleep(Duration::from_millis(100));
    assert!(server.log().contains("MODEL_NOT_FOUND: "), "{}", server.log());
}

#[test]
fn with_a_key_every_route_needs_it_but_those_for_probes() {
    let server = Server::start(&[("ANOMALY_API_KEY", "a-long-key")]);
    let openapi = server.send("GET", "/openapi.json", &[("X-API-Key", "a-long-key")], None).json();
    let Some(Value::Object(paths)) = openapi.get("paths") else { panic!("no paths") };
    let routes: Vec<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| match methods {
            Value::Object(methods) => methods.iter().map(|(method, _)| (path.clone(), method.to_uppercase())).collect(),
            _ => Vec::new(),
        })
        .chain(
            [("/openapi.json", "GET"), ("/docs", "GET"), ("/redoc", "GET")].map(|(a, b)| (a.to_owned(), b.to_owned())),
        )
        .collect();
    assert!(routes.len() >= 7, "{routes:?}");
    for (path, method) in &routes {
        let open = ["/live", "/ready", "/health"].contains(&path.as_str());
        let send = |headers: &[(&str, &str)]| server.send(method, path, headers, Some(ENTRY.as_bytes())).status;
        for wrong in [
            &[][..],
            &[("Authorization", "Bearer a-long-kez")],
            &[("X-API-Key", "")],
            &[("Authorization", "Basic a-long-key")],
        ] {
            assert_eq!(send(wrong) == 401, !open, "{method} {path} {wrong:?}");
        }
        for right in [
            ("Authorization", "Bearer a-long-key"),
            ("authorization", "bearer a-long-key"),
            ("X-API-Key", "a-long-key"),
        ] {
            assert_ne!(send(&[right]), 401, "{method} {path} {right:?}");
        }
    }
    assert!(!server.log().contains("a-long-ke"), "a key, right or wrong, is not logged");
    assert!(!server.log().contains('\u{1b}'), "colours are for terminals");
}

#[test]
fn other_origins_see_nothing_unless_they_are_named() {
    let origin = |server: &Server, origin: &str| {
        let answer = server.send("GET", "/health", &[("Origin", origin)], None);
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    let server = Server::start(&[]);
    assert_eq!(origin(&server, "https://a.example"), None);
    assert_eq!(server.send("OPTIONS", "/analyze-log", &[], None).header("allow"), Some("POST"));
    let server = Server::start(&[("ANOMALY_CORS_ORIGIN", "https://a.example")]);
    assert_eq!(origin(&server, "https://a.example").as_deref(), Some("https://a.example"));
    assert_ne!(origin(&server, "https://b.example").as_deref(), Some("https://b.example"));
    let asks = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")];
    let answer = server.send("OPTIONS", "/analyze-log", &asks, None);
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (200, Some("GET,POST")));
}

#[test]
fn the_metrics_count_what_happened() {
    let server = Server::start(&[("ANOMALY_THRESHOLD", "0")]);
    server.post("/analyze-batch", &format!("[{ENTRY}, {ENTRY}]"));
    server.post("/analyze-log", ENTRY);
    server.post("/analyze-log", "nonsense");
    server.get("/nope/with/words");
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = answer.text();
    let values: HashMap<&str, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("name and value"))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    for (name, value) in [
        (r#"anomaly_http_requests_total{route="/analyze-log",status="200"}"#, 1.0),
        (r#"anomaly_http_requests_total{route="/analyze-log",status="422"}"#, 1.0),
        (r#"anomaly_http_requests_total{route="/analyze-batch",status="200"}"#, 1.0),
        (r#"anomaly_http_requests_total{route="other",status="404"}"#, 1.0),
        ("anomaly_records_total", 3.0),
        ("anomaly_anomalies_total", 3.0),
        ("anomaly_sequences_total", 1.0),
        ("anomaly_cache_hits_total", 1.0),
        ("anomaly_queue_depth", 0.0),
        (r#"anomaly_model_info{name="tiny",precision="f32"}"#, 1.0),
        (r#"anomaly_http_request_duration_seconds_count{route="/analyze-log"}"#, 2.0),
    ] {
        assert_eq!(values.get(name), Some(&value), "{name} in\n{text}");
    }
    assert!(values["anomaly_tokens_total"] > 2.0 && values["anomaly_compute_seconds_total"] > 0.0);
    assert!(text.ends_with("# EOF\n"), "the end of OpenMetrics");
    assert!(!text.contains("words"), "{text}");
}

#[test]
fn logs_have_ids_and_no_text_of_a_log() {
    let server = Server::start(&[("ANOMALY_LOG_FORMAT", "json")]);
    let body = r#"{"log_id": 77, "log_text": "the secret text"}"#;
    let headers = [("Content-Type", "application/json"), ("X-Request-Id", "mine-1")];
    let answer = server.send("POST", "/analyze-log?secret=query", &headers, Some(body.as_bytes()));
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("mine-1")));
    server.send("SECRET", "/secret/path", &[("X-Request-Id", "a secret with spaces")], None);
    std::thread::sleep(Duration::from_millis(200));
    let log = server.log();
    assert!(!log.contains("secret") && !log.contains("SECRET"), "{log}");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let line = lines.iter().find(|line| line["id"] == "mine-1").expect("the request");
    assert_eq!((line["route"].as_str(), line["status"].as_u64()), (Some("/analyze-log"), Some(200)));
}

#[test]
fn a_signal_lets_requests_under_way_end_and_the_process_exits_with_0() {
    let mut server = Server::start(&[]);
    // Requests whose bodies are not complete are under way.
    let body = format!("[{}]", vec![ENTRY; 100].join(","));
    let mut streams: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            let head = "POST /analyze-batch HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{}", body.len(), &body[..50]).unwrap();
            stream
        })
        .collect();
    let idle = server.connect();
    std::thread::sleep(Duration::from_millis(200));
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    assert!(std::net::TcpStream::connect(server.address).is_err(), "no more connections are accepted");
    for stream in &mut streams {
        stream.write_all(&body.as_bytes()[50..]).unwrap();
    }
    for stream in &mut streams {
        let answer = read_answer(stream);
        assert_eq!(answer.status, 200);
        let Value::Array(results) = answer.json() else { panic!("no list") };
        assert_eq!(results.len(), 100);
    }
    assert_eq!(server.exit_code(), Some(0), "{}", server.log());
    drop(idle);
}

#[test]
fn what_does_not_end_in_time_is_cut_off_and_a_second_signal_ends_at_once() {
    let hang = |server: &Server| {
        let mut stream = server.connect();
        write!(stream, "POST /analyze-log HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        stream
    };
    let mut server = Server::start(&[("ANOMALY_DRAIN_SECONDS", "1")]);
    let stream = hang(&server);
    server.signal("INT");
    assert_eq!(server.exit_code(), Some(1));
    drop(stream);
    let mut server = Server::start(&[]);
    let stream = hang(&server);
    let begun = Instant::now();
    server.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(stream);
}

#[test]
fn two_hundred_connections_lose_nothing() {
    let server = Server::start(&[("ANOMALY_CACHE_SIZE", "0")]);
    let alone: Vec<Value> = (0..20).map(|id| server.post("/analyze-log", &entry(id)).json()).collect();
    std::thread::scope(|scope| {
        for client in 0..200 {
            let (server, alone) = (&server, &alone);
            scope.spawn(move || {
                for id in 0..20 {
                    let id = (client + id) % 20;
                    let answer = server.post("/analyze-log", &entry(id));
                    assert_eq!((answer.status, &answer.json()), (200, &alone[id]));
                }
            });
        }
    });
}

fn entry(id: usize) -> String {
    format!(r#"{{"log_id": {id}, "log_text": "user {id} opened report {}"}}"#, id * 7)
}
