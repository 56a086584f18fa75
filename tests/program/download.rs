//! `audit-anomaly download`, against a hub on this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/__test__/fixtures/tiny");

/// A hub with one model, `acme/tiny`, whose files it names by their SHA-256.
struct Hub {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Hub {
    /// Starts one; with `spoiled`, the weights that it sends are not those that it names.
    fn start(spoiled: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                // A client that has gone is no failure of the hub.
                std::thread::spawn(move || drop(answer(stream, spoiled)));
            }
        });
        Hub { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Answers one request as the real hub does, with ranges, a tag and a commit, and closes the connection.
fn answer(mut stream: TcpStream, spoiled: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut range = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        range = range.or_else(|| line.strip_prefix("range: bytes=").map(str::to_owned));
        if line.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let name = path.strip_prefix("/acme/tiny/resolve/").and_then(|rest| rest.split('/').nth(1));
    let known = ["config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"];
    let Some(name) = name.filter(|name| known.contains(name)) else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    };
    let mut bytes = std::fs::read(Path::new(TINY).join(name))?;
    let tag: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if spoiled && name == "model.safetensors" {
        bytes[100_000] ^= 1;
    }
    let size = bytes.len();
    let (from, to) = range.as_deref().and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let (from, last) = (from.parse().unwrap_or(0), to.parse().unwrap_or(size - 1).min(size - 1));
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nAccept-Ranges: bytes\r\nETag: \"{tag}\"\r\n\
         X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\nContent-Range: bytes {from}-{last}/{size}\r\n\
         Content-Length: {}\r\n\r\n",
        last + 1 - from
    )?;
    stream.write_all(&bytes[from..=last])
}

/// What a run of `audit-anomaly download` prints, with a cache in `home`.
fn download(model: &str, hub: SocketAddr, home: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_audit-anomaly"))
        .args(["download", model])
        .env_clear()
        .env("HF_ENDPOINT", format!("http://{hub}"))
        .env("HF_HOME", home)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// All files in the cache that hold data of the model.
fn blobs(home: &Path) -> usize {
    let entries = std::fs::read_dir(home.join("hub/models--acme--tiny/blobs")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_none_or(|extension| extension != "lock")).count()
}

static HUB: LazyLock<Hub> = LazyLock::new(|| Hub::start(false));

#[test]
fn a_model_is_put_into_the_cache_once_and_is_used_from_there_without_a_network() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(false);
    let (code, place, told) = download("acme/tiny", hub.address, home.path(), &[]);
    // Where standard error is no terminal there is no bar, and nothing else to say.
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let place = Path::new(place.trim_end());
    assert!(place.starts_with(home.path()) && place.join("model.safetensors").is_file(), "{}", place.display());
    let requests = hub.requests();
    assert!(requests >= 4, "each file is asked for");

    assert_eq!(download("acme/tiny", hub.address, home.path(), &[]).0, Some(0));
    let offline = [("HF_HUB_OFFLINE", "1")];
    assert_eq!(download("acme/tiny", hub.address, home.path(), &offline).0, Some(0));
    let scanned = Command::new(env!("CARGO_BIN_EXE_audit-anomaly"))
        .args(["scan", "--model", "acme/tiny", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/audit.log")])
        .env_clear()
        .env("HF_HOME", home.path())
        .envs(offline)
        .output()
        .unwrap();
    assert!(scanned.status.success(), "{}", String::from_utf8_lossy(&scanned.stderr));
    assert_eq!(hub.requests(), requests, "nothing is asked for twice");
}

#[test]
fn what_is_not_what_was_published_is_refused_and_not_kept() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(true);
    let (code, place, told) = download("acme/tiny", hub.address, home.path(), &[]);
    assert_eq!((code, place.as_str()), (Some(4), ""));
    assert!(told.starts_with("audit-anomaly: MODEL_CHECKSUM: model.safetensors of acme/tiny@main has "), "{told}");
    assert!(told.contains("was published; nothing of it was kept"), "{told}");
    assert_eq!(blobs(home.path()), 3, "the other files are right");
    assert_eq!(download("acme/tiny", HUB.address, home.path(), &[]).0, Some(0), "a right hub is asked next");
    assert_eq!(blobs(home.path()), 4);
}

#[test]
fn what_cannot_be_had_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (code, _, told) = download("acme/tiny", HUB.address, home.path(), &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!(code, Some(4));
    assert!(
        told.starts_with("audit-anomaly: MODEL_DOWNLOAD: HF_HUB_OFFLINE is set and acme/tiny@main is not"),
        "{told}"
    );
    let (code, _, told) = download("acme/other", HUB.address, home.path(), &[]);
    assert_eq!(code, Some(4));
    assert!(told.starts_with("audit-anomaly: MODEL_NOT_FOUND: the hub http://"), "{told}");
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, told) = download("acme/tiny", gone, home.path(), &[]);
    assert_eq!(code, Some(4));
    assert!(told.contains("MODEL_DOWNLOAD: ") && told.contains("cannot be reached"), "{told}");
    let (code, place, told) = download("not a model", HUB.address, home.path(), &[]);
    assert_eq!((code, place.as_str()), (Some(2), ""));
    assert!(told.starts_with("audit-anomaly: INVALID_CONFIG: ANOMALY_MODEL=not a model is not allowed"), "{told}");
}
