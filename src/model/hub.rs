//! The hub: its cache on this machine first, else a download.
//!
//! hf-hub speaks the protocol and keeps the cache in the layout that Python's `huggingface_hub`
//! shares. What it leaves out is done here: it accepts a file whose bytes are wrong or too few,
//! does not try again, waits for a silent host without end, asks for files that are in the cache,
//! and knows neither `HF_TOKEN` nor `HF_HUB_OFFLINE`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use sha2::Digest;

use super::files::{
    BPE_VOCABULARY, CONFIG, MERGES, TOKENIZER, TOKENIZER_CONFIG, VOCABULARY, WEIGHTS, WEIGHTS_INDEX, shards,
};
use super::progress::{Meter, Progress};
use crate::config::{DEFAULT_MODEL, DEFAULT_MODEL_OWNER, HubConfig, HubModel};
use crate::error::{Error, Result};
use crate::panic;

/// How long a hub may say nothing before it is given up.
const SILENCE: Duration = Duration::from_millis(9_500);

/// How often one file is tried.
const ATTEMPTS: u32 = 4;

/// Sizes in bytes and SHA-256 of the default model's files at its pinned commit.
const PINS: [(&str, u64, &str); 4] = [
    (CONFIG, 629, "582122c8f414793d131e10022ce9ba04e3811a9da6389137ee2f18665b4f4d15"),
    (VOCABULARY, 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    (TOKENIZER_CONFIG, 48, "5ab9097b4149371c5fd52b2d6e26cb6f9c07c0d19fcfdda895b1adad6b57c3e0"),
    (WEIGHTS, 267_832_558, "7c3919835e442510166d267fe7cbe847e0c51cd26d9ba07b89a57b952b49b8aa"),
];

/// Where the hub is when `HF_ENDPOINT` does not say.
const ENDPOINT: &str = "https://huggingface.co";

/// The directory that holds the files of `model`, downloaded if they are not in the cache.
///
/// # Errors
/// [`Error::ModelNotFound`] if the hub has no such model, [`Error::ModelDownload`] if it cannot be
/// had from there, [`Error::ModelChecksum`] if what came is not what was published.
pub fn fetch(model: &HubModel, hub: &HubConfig, meter: &Arc<Meter>) -> Result<PathBuf> {
    let fetch = Fetch { model, hub, meter, cache: Cache::new(hub.cache_dir.clone()) };
    if let Some(directory) = fetch.cached() {
        return Ok(directory);
    }
    if hub.offline {
        return Err(Error::ModelDownload {
            message: format!(
                "HF_HUB_OFFLINE is set and {} is not in the cache {}; \
                 unset it, or set ANOMALY_MODEL to a directory or to 'bundled'",
                fetch.described(),
                hub.cache_dir.display()
            ),
            unreachable: true,
        });
    }
    // Whoever comes second finds the files in the cache.
    let _lock = fetch.lock()?;
    fetch.cached().map_or_else(|| fetch.download(), Ok)
}

/// One attempt to have the files of a model.
struct Fetch<'a> {
    model: &'a HubModel,
    hub: &'a HubConfig,
    meter: &'a Arc<Meter>,
    cache: Cache,
}

impl Fetch<'_> {
    fn described(&self) -> String {
        format!("{}@{}", self.model.id, self.model.revision)
    }

    fn endpoint(&self) -> &str {
        self.hub.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/')
    }

    /// The directory of the model in the cache, if everything that is needed is there.
    fn cached(&self) -> Option<PathBuf> {
        let canonical = format!("{DEFAULT_MODEL_OWNER}/{DEFAULT_MODEL}");
        let mut ids = vec![self.model.id.as_str()];
        if self.model.is_default_repository() {
            // Either name may have been used to download it.
            ids.extend([canonical.as_str(), DEFAULT_MODEL].iter().filter(|id| **id != self.model.id));
        }
        ids.into_iter().find_map(|id| {
            let repository = self.cache.repo(repository(id, &self.model.revision));
            // A revision that is a commit needs no reference to be found.
            let config = Some(repository.pointer_path(&self.model.revision).join(CONFIG)).filter(|path| path.exists());
            let directory = config.or_else(|| repository.get(CONFIG))?.parent()?.to_owned();
            let has = |name: &str| self.is_right_size(name, &directory.join(name));
            let sharded = || {
                let index = fs::read(directory.join(WEIGHTS_INDEX)).ok()?;
                Some(shards(&index).ok()?.iter().all(|name| has(name)))
            };
            let weights = has(WEIGHTS) || sharded().unwrap_or(false);
            let tokenizer = has(TOKENIZER) || has(VOCABULARY) || (has(BPE_VOCABULARY) && has(MERGES));
            (has(CONFIG) && weights && tokenizer).then_some(directory)
        })
    }

    /// A start from the cache checks sizes alone: hashing the weights would take longer than
    /// loading them.
    fn is_right_size(&self, name: &str, path: &Path) -> bool {
        let Ok(metadata) = fs::metadata(path) else { return false };
        let pin = PINS.iter().find(|(file, ..)| self.model.is_pinned() && *file == name);
        pin.map_or(metadata.len() > 0, |(_, size, _)| metadata.len() == *size)
    }

    /// A lock among the processes that download this model with this library.
    fn lock(&self) -> Result<File> {
        let directory = self.hub.cache_dir.join(".locks");
        let path = directory.join(format!("audit-anomaly--{}.lock", self.model.id.replace('/', "--")));
        fs::create_dir_all(&directory).map_err(|error| self.unwritable(&error))?;
        let file = File::create(&path).map_err(|error| self.unwritable(&error))?;
        // Its holder gives up a silent hub by itself, and a lock ends with its process.
        file.lock().map_err(|error| self.unwritable(&error))?;
        Ok(file)
    }

    fn unwritable(&self, error: &dyn std::fmt::Display) -> Error {
        Error::ModelDownload {
            message: format!("the hub cache {} cannot be written: {error}", self.hub.cache_dir.display()),
            unreachable: false,
        }
    }

    fn download(&self) -> Result<PathBuf> {
        let mut builder = ApiBuilder::from_cache(self.cache.clone())
            .with_endpoint(self.endpoint().to_owned())
            .with_user_agent("audit-anomaly", env!("CARGO_PKG_VERSION"))
            .with_progress(false);
        if let Some(token) = &self.hub.token {
            builder = builder.with_token(Some(token.0.clone()));
        }
        let api = builder.build().map_err(|error| Error::Internal(format!("the hub client cannot start: {error}")))?;
        let missing = |name: &str| {
            Error::ModelNotFound(format!(
                "the hub {} has no {name} for {}; check the id and the revision of ANOMALY_MODEL \
                 (a private model needs HF_TOKEN)",
                self.endpoint(),
                self.described()
            ))
        };
        let config = self.file(&api, CONFIG, &self.model.revision)?.ok_or_else(|| missing(CONFIG))?;
        // The rest comes from the same commit, even if the branch moves meanwhile:
        // the path is that of the snapshot, …/snapshots/<commit>/config.json.
        let directory = config.parent().unwrap_or(&config).to_owned();
        let commit = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.file(&api, TOKENIZER, &commit)?.is_none() && self.file(&api, VOCABULARY, &commit)?.is_none() {
            self.file(&api, BPE_VOCABULARY, &commit)?.ok_or_else(|| missing(VOCABULARY))?;
            self.file(&api, MERGES, &commit)?.ok_or_else(|| missing(MERGES))?;
        }
        self.file(&api, TOKENIZER_CONFIG, &commit)?;
        if self.file(&api, WEIGHTS, &commit)?.is_none() {
            let index = self.file(&api, WEIGHTS_INDEX, &commit)?.ok_or_else(|| missing(WEIGHTS))?;
            let unusable =
                |found: String| Error::ModelInvalid(format!("{WEIGHTS_INDEX} of {}: {found}", self.described()));
            let index = fs::read(index).map_err(|error| unusable(error.to_string()))?;
            let names = shards(&index).map_err(unusable)?;
            for name in names {
                self.file(&api, &name, &commit)?.ok_or_else(|| missing(&name))?;
            }
        }
        Ok(directory)
    }

    /// The path of one file, downloaded and checked; `None` if the hub has no such file.
    fn file(&self, api: &Api, name: &str, revision: &str) -> Result<Option<PathBuf>> {
        let mut attempt = 1;
        loop {
            let problem = match self.attempt(api, name, revision)? {
                Ok((path, announced)) => match self.check(name, &path, announced) {
                    Ok(()) => return Ok(Some(path)),
                    Err(error) => {
                        discard(&path);
                        error
                    }
                },
                Err(error) if status(&error) == Some(404) => return Ok(None),
                // What an earlier download left does not fit what the hub has now.
                Err(error @ ApiError::InvalidResume) => {
                    self.discard_parts();
                    self.refused(name, &error)
                }
                Err(error) if is_passing(&error) => self.refused(name, &error),
                Err(error) => return Err(self.refused(name, &error)),
            };
            if attempt == ATTEMPTS {
                return Err(problem);
            }
            std::thread::sleep(Duration::from_millis(150 << attempt));
            attempt += 1;
        }
    }

    /// Downloads one file into the cache; the size is the one that the hub announced. What an
    /// earlier attempt left is resumed.
    ///
    /// The client waits for a silent host without end, so it does that on a thread of its own,
    /// which is left alone then: it ends with its connection, or with the process.
    fn attempt(&self, api: &Api, name: &str, revision: &str) -> Result<Result<(PathBuf, u64), ApiError>> {
        let watch = Arc::new(Watch::new(name, self.meter.clone()));
        let (sender, receiver) = channel();
        let download = {
            let (api, watch, name) = (api.repo(repository(&self.model.id, revision)), watch.clone(), name.to_owned());
            move || {
                let sent = panic::caught(|| Ok(api.download_with_progress(&name, Listener(watch))));
                // The receiver may have given up.
                let _ = sender.send(sent);
            }
        };
        std::thread::Builder::new()
            .name(format!("{}hub", panic::THREAD))
            .spawn(download)
            .map_err(|error| Error::Internal(format!("the thread that downloads cannot start: {error}")))?;
        loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(sent) => return sent.map(|sent| sent.map(|path| (path, watch.heard().announced))),
                Err(RecvTimeoutError::Timeout) if watch.heard().last.elapsed() < SILENCE => {}
                Err(_) => return Err(self.silent(name)),
            }
        }
    }

    /// Takes unfinished downloads out of the cache.
    fn discard_parts(&self) {
        let blobs = self.cache.repo(repository(&self.model.id, &self.model.revision)).blob_path("");
        for entry in fs::read_dir(blobs).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "part") {
                // One that stays is found again by the next attempt, which then reports it.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Checks the bytes of a file that just came against everything that is known of them.
    fn check(&self, name: &str, path: &Path, announced: u64) -> Result<()> {
        let unreadable =
            |error: std::io::Error| Error::ModelInvalid(format!("{} cannot be read: {error}", path.display()));
        let size = fs::metadata(path).map_err(unreadable)?.len();
        if announced > 0 && size != announced {
            return Err(Error::ModelDownload {
                message: format!("{name} of {} broke off after {size} of {announced} bytes", self.described()),
                unreachable: false,
            });
        }
        // The hub's entity tag is the SHA-256 of a large file and the git object id of a small one.
        let tag = fs::read_link(path).ok().and_then(|blob| Some(blob.file_name()?.to_str()?.to_owned()));
        let pin = PINS.iter().find(|(file, ..)| self.model.is_pinned() && *file == name);
        let expected = pin.map(|(.., sha256)| (*sha256).to_owned()).or(tag).filter(|tag| is_hex(tag));
        let found = match expected.as_deref().map(str::len) {
            Some(64) => hex(digest(sha2::Sha256::new(), path).map_err(unreadable)?),
            Some(40) => {
                let header = format!("blob {size}\0");
                hex(digest(sha1::Sha1::new_with_prefix(header), path).map_err(unreadable)?)
            }
            _ => return Ok(()),
        };
        match expected {
            Some(expected) if expected != found => Err(Error::ModelChecksum(format!(
                "{name} of {} has the checksum {found}, but {expected} was published; nothing of it was kept. \
                 A proxy or mirror may have changed it: check HF_ENDPOINT and try again",
                self.described()
            ))),
            _ => Ok(()),
        }
    }

    fn silent(&self, name: &str) -> Error {
        Error::ModelDownload {
            message: format!(
                "the hub {} said nothing for {} s while {name} of {} was asked for; check the network and HF_ENDPOINT, \
                 or set ANOMALY_MODEL=bundled",
                self.endpoint(),
                SILENCE.as_secs_f32(),
                self.described()
            ),
            unreachable: true,
        }
    }

    fn refused(&self, name: &str, error: &ApiError) -> Error {
        let (what, unreachable) = match (status(error), error) {
            (Some(401), _) => (
                "answered 401: it wants a token that may read this model, or there is no such model; set HF_TOKEN"
                    .to_owned(),
                false,
            ),
            (Some(403), _) => ("answered 403: the token in HF_TOKEN may not read this model".to_owned(), false),
            (Some(429), _) => ("answered 429, too many requests, again and again; try later".to_owned(), false),
            (Some(status), _) => (format!("answered {status}"), false),
            (None, ApiError::RequestError(error)) if is_unreachable(error) => {
                (format!("cannot be reached ({error}); check the network and HF_ENDPOINT"), true)
            }
            (None, ApiError::RequestError(error)) => (format!("broke off: {error}"), false),
            (None, ApiError::IoError(error)) if is_of_the_disk(error) => return self.unwritable(error),
            (None, ApiError::IoError(error)) => (format!("broke off: {error}"), false),
            (None, ApiError::LockAcquisition(path)) => (
                format!(
                    "was not asked, since another program holds {} and may be downloading the same",
                    path.display()
                ),
                false,
            ),
            (None, other) => (format!("gave an answer that makes no sense: {other}"), false),
        };
        Error::ModelDownload {
            message: format!("the hub {} {what} ({name} of {})", self.endpoint(), self.described()),
            unreachable,
        }
    }
}

fn repository(id: &str, revision: &str) -> Repo {
    Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned())
}

/// The HTTP status that an error is about.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the same request may well succeed a moment later.
fn is_passing(error: &ApiError) -> bool {
    match (status(error), error) {
        (Some(status), _) => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
        (None, ApiError::RequestError(error)) => !is_unreachable(error),
        (None, ApiError::IoError(error)) => !is_of_the_disk(error),
        _ => false,
    }
}

/// Whether no connection came about at all: the rest of what can go wrong with one happens later.
fn is_unreachable(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Io(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::InvalidInput
        ),
        _ => false,
    }
}

/// Whether an error came from writing the cache and not from the connection.
fn is_of_the_disk(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::PermissionDenied
            | std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::ReadOnlyFilesystem
            | std::io::ErrorKind::NotADirectory
            | std::io::ErrorKind::NotFound
            | std::io::ErrorKind::AlreadyExists
            | std::io::ErrorKind::QuotaExceeded
    )
}

/// What was heard of one file.
struct Watch {
    name: String,
    meter: Arc<Meter>,
    heard: Mutex<Heard>,
}

#[derive(Clone, Copy)]
struct Heard {
    last: Instant,
    announced: u64,
    received: u64,
}

impl Watch {
    fn new(name: &str, meter: Arc<Meter>) -> Self {
        let heard = Heard { last: Instant::now(), announced: 0, received: 0 };
        Watch { name: name.to_owned(), meter, heard: Mutex::new(heard) }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, change: impl FnOnce(&mut Heard)) {
        let mut heard = self.heard();
        heard.last = Instant::now();
        change(&mut heard);
        let Heard { announced: total, received, .. } = *heard;
        drop(heard);
        self.meter.report(Progress { file: self.name.clone(), received, total });
    }
}

/// Hears the client's reports of one file.
struct Listener(Arc<Watch>);

impl hf_hub::api::Progress for Listener {
    fn init(&mut self, size: usize, _name: &str) {
        self.0.hear(|heard| (heard.announced, heard.received) = (size as u64, 0));
    }

    fn update(&mut self, size: usize) {
        self.0.hear(|heard| heard.received += size as u64);
    }

    fn finish(&mut self) {}
}

/// Takes a bad file out of the cache: the link and what it points to.
fn discard(path: &Path) {
    // Either may be gone already; what matters is that the next attempt starts from nothing.
    if let Ok(blob) = fs::canonicalize(path) {
        let _ = fs::remove_file(blob);
    }
    let _ = fs::remove_file(path);
}

fn digest<D: Digest>(mut digest: D, path: &Path) -> std::io::Result<impl AsRef<[u8]>> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize()),
            read => digest.update(&buffer[..read]),
        }
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
