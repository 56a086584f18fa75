//! A server process and a plain HTTP client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use audit_anomaly::json::Value;

/// A running server, which ends with this.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        Value::parse(&self.text()).unwrap_or_else(|error| panic!("{error:?}: {}", self.text()))
    }

    /// The `code` of a refusal.
    pub fn code(&self) -> String {
        match self.json().get("code") {
            Some(Value::String(code, _)) => code.clone(),
            other => panic!("{other:?} in {}", self.text()),
        }
    }
}

impl Server {
    /// Starts one with the tiny model and waits until it is ready.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let server = Self::start_only(variables);
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.get("/ready").status != 200 {
            assert!(Instant::now() < deadline, "{}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// Starts one and waits until it listens.
    pub fn start_only(variables: &[(&str, &str)]) -> Self {
        let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/__test__/fixtures/tiny");
        let mut child = Command::new(env!("CARGO_BIN_EXE_audit-anomaly"))
            .args(["serve", "--port", "0"])
            .env_clear()
            .env("ANOMALY_MODEL", tiny)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines().map_while(Result::ok);
        let mut address = None;
        while address.is_none() {
            let line = lines.next().unwrap_or_else(|| panic!("it must listen: {}", log.lock().unwrap()));
            // The address may be coloured or part of an object.
            address = line.split("http://").nth(1).and_then(|rest| {
                rest.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next()?.parse().ok()
            });
            log.lock().unwrap().push_str(&(line + "\n"));
        }
        let seen = log.clone();
        std::thread::spawn(move || {
            for line in lines {
                seen.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Server { address: address.expect("an address"), child, log }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Asks for a path.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], Some(body.as_bytes()))
    }

    /// One request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // A server that has refused already may not read the rest.
        let _ = stream.write_all(body.unwrap_or_default());
        read_answer(&mut stream)
    }

    /// A connection with a limit for every read.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end, and gives the exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it must end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads an answer to the end of the connection.
pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer does not take it back.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
    let headers = lines
        .map(|line| line.split_once(':').expect("a header"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers, body: bytes[end + 4..].to_vec() }
}
