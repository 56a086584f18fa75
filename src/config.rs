//! Every setting, read and checked in one place.
//!
//! Settings are environment variables. They come in through a lookup function instead of
//! [`std::env`], because a Node.js program's `process.env` may differ from the process's own
//! environment (Jest gives each test file a copy, worker threads may get another).

use std::fmt::{Debug, Display};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// Short name of the default model, and the `model_name` of its scores.
pub const DEFAULT_MODEL: &str = "distilbert-base-uncased-finetuned-sst-2-english";

/// Owner of the default model's repository.
pub const DEFAULT_MODEL_OWNER: &str = "distilbert";

/// The commit of the default model that is meant when no revision is given.
pub const DEFAULT_MODEL_REVISION: &str = "714eb0fa89d2f80546fda750413ed43d93601a13";

/// Every setting, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `ANOMALY_THRESHOLD`: the score from which on a line is flagged, 0 to 1.
    pub threshold: f64,
    /// `ANOMALY_MAX_TEXT_BYTES`: longest text that is scored, in bytes of UTF-8.
    pub max_text_bytes: usize,
    /// What decides which scores come out; one process has one of these.
    pub model: ModelConfig,
    /// `ANOMALY_CACHE_SIZE` and the four limits below.
    pub limits: Limits,
}

/// Which model a process runs, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `ANOMALY_MODEL` with `ANOMALY_MODEL_REVISION`.
    pub choice: ModelChoice,
    /// `ANOMALY_LABELS`: names of the labels that mean an anomaly; `None` for those whose names say so.
    pub labels: Option<Vec<String>>,
    /// `ANOMALY_PRECISION`: the arithmetic of the encoder.
    pub precision: Precision,
    /// `ANOMALY_THREADS`: threads that compute.
    pub threads: NonZeroUsize,
    /// The `HF_*` variables.
    pub hub: HubConfig,
}

/// `ANOMALY_MODEL`, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// Unset: the default model if it can be had, else the bundled one.
    DefaultOrBundled,
    /// `bundled`: the model compiled into this library.
    Bundled,
    /// A directory in Hugging Face layout.
    Directory(PathBuf),
    /// A repository of the hub.
    Hub(HubModel),
}

/// A repository of the hub at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    /// `owner/name`, or `name` alone, as it was given.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: String,
}

/// Arithmetic of the encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision, equal to Python `transformers` within 1e-5.
    #[default]
    F32,
    /// 8-bit products: a quarter of the memory and faster, with small differences to the scores.
    Int8,
}

/// A value that must not reach a log: its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// How to reach the hub: the variables that Python's `huggingface_hub` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// `HF_ENDPOINT`: base URL of the hub or of a mirror.
    pub endpoint: Option<String>,
    /// `HF_TOKEN`: sent as a bearer token.
    pub token: Option<Secret>,
    /// `HF_HUB_CACHE`, or `hub` below `HF_HOME`, or the usual folder below the home directory.
    pub cache_dir: PathBuf,
    /// `HF_HUB_OFFLINE`: use the cache alone.
    pub offline: bool,
}

/// Bounds on what waits and what is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `ANOMALY_CACHE_SIZE`: scores that are remembered; 0 turns the cache off.
    pub cache_size: usize,
    /// `ANOMALY_CACHE_BYTES`: memory that the remembered texts may take.
    pub cache_bytes: usize,
    /// `ANOMALY_MAX_QUEUE`: records that may wait.
    pub max_queue: usize,
    /// `ANOMALY_MAX_QUEUE_BYTES`: bytes of text that may wait.
    pub max_queue_bytes: usize,
    /// `ANOMALY_MAX_BATCH`: records of one HTTP request.
    pub max_batch: usize,
}

/// What `audit-anomaly serve` needs besides: `ANOMALY_HOST` and the others below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeConfig {
    /// `ANOMALY_HOST`: name or address to listen on.
    pub host: String,
    /// `ANOMALY_PORT`: 0 lets the system choose.
    pub port: u16,
    /// `ANOMALY_API_KEY`, or the first line of the file `ANOMALY_API_KEY_FILE`: what clients must know.
    pub api_key: Option<Secret>,
    /// `ANOMALY_CORS_ORIGIN`: the one other origin whose pages may read answers.
    pub cors_origin: Option<String>,
    /// `ANOMALY_MAX_BODY_BYTES`: largest body of a request.
    pub max_body_bytes: usize,
    /// `ANOMALY_MAX_TOTAL_BODY_BYTES`: what the bodies of all requests together may take.
    pub max_total_body_bytes: usize,
    /// `ANOMALY_MAX_CONNECTIONS`: connections at a time.
    pub max_connections: usize,
    /// `ANOMALY_IDLE_SECONDS`: how long a connection may be without a complete request head.
    pub idle: Duration,
    /// `ANOMALY_BODY_SECONDS`: how long a client may take to send a body.
    pub body: Duration,
    /// `ANOMALY_REQUEST_SECONDS`: how long a request may take from then on.
    pub request: Duration,
    /// `ANOMALY_DRAIN_SECONDS`: how long requests under way may take after a signal to end.
    pub drain: Duration,
}

impl ModelChoice {
    /// The `model_name` to report before anything is loaded.
    pub fn name(&self) -> String {
        match self {
            ModelChoice::DefaultOrBundled => DEFAULT_MODEL.to_owned(),
            ModelChoice::Bundled => crate::model::source::BUNDLED_NAME.to_owned(),
            ModelChoice::Directory(path) => directory_name(path),
            ModelChoice::Hub(model) => model.id.clone(),
        }
    }
}

impl HubModel {
    /// The default model at its pinned commit.
    pub fn default_model() -> Self {
        HubModel { id: DEFAULT_MODEL.to_owned(), revision: DEFAULT_MODEL_REVISION.to_owned() }
    }

    /// Whether this names the repository of the default model, with or without its owner.
    pub fn is_default_repository(&self) -> bool {
        self.id == DEFAULT_MODEL || self.id.strip_prefix(DEFAULT_MODEL_OWNER) == Some(&format!("/{DEFAULT_MODEL}"))
    }

    /// Whether this is exactly the commit whose checksums are known.
    pub fn is_pinned(&self) -> bool {
        self.is_default_repository() && self.revision == DEFAULT_MODEL_REVISION
    }
}

impl Config {
    /// Reads every setting through `variable`, which gives the value of an environment variable.
    /// An empty value counts as unset.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], naming the variable, its value and what is allowed.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let env = Environment(&|name: &str| variable(name).filter(|value| !value.trim().is_empty()));
        Ok(Config {
            threshold: env.threshold()?,
            max_text_bytes: env.integer("ANOMALY_MAX_TEXT_BYTES", 64 << 10, 1..=64 << 20)?,
            model: ModelConfig {
                choice: env.model_choice()?,
                labels: env.labels()?,
                precision: env.precision()?,
                threads: env.threads()?,
                hub: env.hub()?,
            },
            limits: Limits {
                cache_size: env.integer("ANOMALY_CACHE_SIZE", 10_000, 0..=1_000_000_000)?,
                cache_bytes: env.integer("ANOMALY_CACHE_BYTES", 16 << 20, 0..=1 << 40)?,
                max_queue: env.integer("ANOMALY_MAX_QUEUE", 10_000, 1..=1_000_000_000)?,
                max_queue_bytes: env.integer("ANOMALY_MAX_QUEUE_BYTES", 64 << 20, 1..=1 << 40)?,
                max_batch: env.integer("ANOMALY_MAX_BATCH", 1_000, 1..=1_000_000)?,
            },
        })
    }
}

impl ServeConfig {
    /// Reads the settings as [`Config::from_env`] does.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], naming the variable, its value (but for a key) and what is allowed.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let env = Environment(&|name: &str| variable(name).filter(|value| !value.trim().is_empty()));
        let seconds = |name: &str, default: usize| {
            env.integer(name, default, 1..=86_400).map(|seconds| Duration::from_secs(seconds as u64))
        };
        let max_body_bytes = env.integer("ANOMALY_MAX_BODY_BYTES", 16 << 20, 1..=1 << 30)?;
        // Fewer than that, and a body that is allowed could never be read.
        let totals = max_body_bytes..=1 << 40;
        Ok(ServeConfig {
            host: env.get("ANOMALY_HOST").map_or_else(|| "127.0.0.1".to_owned(), |host| host.trim().to_owned()),
            port: env.integer("ANOMALY_PORT", 5000, 0..=65_535)? as u16,
            api_key: env.api_key()?,
            cors_origin: env.cors_origin()?,
            max_body_bytes,
            max_total_body_bytes: env.integer("ANOMALY_MAX_TOTAL_BODY_BYTES", 4 * max_body_bytes, totals)?,
            max_connections: env.integer("ANOMALY_MAX_CONNECTIONS", 1_024, 1..=1_000_000)?,
            idle: seconds("ANOMALY_IDLE_SECONDS", 75)?,
            body: seconds("ANOMALY_BODY_SECONDS", 30)?,
            request: seconds("ANOMALY_REQUEST_SECONDS", 60)?,
            drain: seconds("ANOMALY_DRAIN_SECONDS", 30)?,
        })
    }
}

/// Reads single variables and words the refusals.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.0(name)
    }

    fn parse<T: FromStr>(&self, name: &str, allowed: impl Display, valid: impl Fn(&T) -> bool) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.trim().parse() {
            Ok(parsed) if valid(&parsed) => Ok(Some(parsed)),
            _ => Err(refused(name, &value, allowed)),
        }
    }

    fn integer(&self, name: &str, default: usize, range: std::ops::RangeInclusive<usize>) -> Result<usize> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        Ok(self.parse(name, allowed, |value| range.contains(value))?.unwrap_or(default))
    }

    fn threshold(&self) -> Result<f64> {
        let name = "ANOMALY_THRESHOLD";
        let value = self.parse(name, "a number from 0 to 1", |value: &f64| (0.0..=1.0).contains(value))?;
        Ok(value.unwrap_or(0.7))
    }

    fn precision(&self) -> Result<Precision> {
        match self.get("ANOMALY_PRECISION").as_deref().map(str::trim) {
            None | Some("f32") => Ok(Precision::F32),
            Some("int8") => Ok(Precision::Int8),
            Some(other) => Err(refused("ANOMALY_PRECISION", other, "f32 or int8")),
        }
    }

    fn threads(&self) -> Result<NonZeroUsize> {
        // available_parallelism heeds affinity and container quotas.
        let available = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let allowed = "a whole number from 1 to 1024";
        let chosen = self.parse("ANOMALY_THREADS", allowed, |value: &NonZeroUsize| value.get() <= 1024)?;
        Ok(chosen.unwrap_or(available))
    }

    fn labels(&self) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get("ANOMALY_LABELS") else { return Ok(None) };
        let labels: Vec<String> = value.split(',').map(|label| label.trim().to_owned()).collect();
        if labels.iter().any(String::is_empty) {
            return Err(refused("ANOMALY_LABELS", &value, "label names of the model, separated by commas"));
        }
        Ok(Some(labels))
    }

    fn model_choice(&self) -> Result<ModelChoice> {
        let revision = self.get("ANOMALY_MODEL_REVISION").map(|revision| revision.trim().to_owned());
        if let Some(revision) = &revision
            && !is_revision(revision)
        {
            return Err(refused("ANOMALY_MODEL_REVISION", revision, "a branch, tag or commit of the model"));
        }
        let Some(value) = self.get("ANOMALY_MODEL") else {
            return Ok(match revision {
                None => ModelChoice::DefaultOrBundled,
                Some(revision) => ModelChoice::Hub(HubModel { id: DEFAULT_MODEL.to_owned(), revision }),
            });
        };
        let value = value.trim();
        let without_revision = |choice| match &revision {
            None => Ok(choice),
            Some(revision) => Err(refused(
                "ANOMALY_MODEL_REVISION",
                revision,
                format_args!("unset, since ANOMALY_MODEL={value} is not a model of the hub"),
            )),
        };
        if value == "bundled" {
            return without_revision(ModelChoice::Bundled);
        }
        if looks_like_a_path(value) || std::path::Path::new(value).is_dir() {
            return without_revision(ModelChoice::Directory(PathBuf::from(value)));
        }
        let (id, at) = match value.split_once('@') {
            Some((id, at)) => (id, Some(at.to_owned())),
            None => (value, None),
        };
        if !is_hub_id(id) || at.as_deref().is_some_and(|at| !is_revision(at)) {
            let allowed = "'bundled', a directory, or a hub id like owner/name or owner/name@revision";
            return Err(refused("ANOMALY_MODEL", value, allowed));
        }
        let revision = match (at, revision) {
            (Some(at), Some(revision)) if at != revision => {
                return Err(refused(
                    "ANOMALY_MODEL_REVISION",
                    &revision,
                    format_args!("the revision in ANOMALY_MODEL={value}, or unset"),
                ));
            }
            (at, revision) => at.or(revision),
        };
        let mut model = HubModel { id: id.to_owned(), revision: "main".to_owned() };
        if let Some(revision) = revision {
            model.revision = revision;
        } else if model.is_default_repository() {
            model.revision = DEFAULT_MODEL_REVISION.to_owned();
        }
        Ok(ModelChoice::Hub(model))
    }

    fn api_key(&self) -> Result<Option<Secret>> {
        let file = self.get("ANOMALY_API_KEY_FILE");
        let key = match (self.get("ANOMALY_API_KEY"), &file) {
            (Some(_), Some(file)) => {
                return Err(refused("ANOMALY_API_KEY_FILE", file, "unset, since ANOMALY_API_KEY is set"));
            }
            (key, None) => key,
            (None, Some(file)) => match std::fs::read_to_string(file.trim()) {
                Ok(text) => Some(text.lines().next().unwrap_or_default().to_owned()),
                Err(error) => {
                    return Err(refused("ANOMALY_API_KEY_FILE", file, format_args!("a readable file: {error}")));
                }
            },
        };
        match key.map(|key| key.trim().to_owned()) {
            // Never shown, not even when it is refused.
            Some(key) if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(Error::InvalidConfig(
                    "ANOMALY_API_KEY is not allowed: it must be printable ASCII without spaces".to_owned(),
                ))
            }
            key => Ok(key.map(Secret)),
        }
    }

    fn cors_origin(&self) -> Result<Option<String>> {
        let Some(origin) = self.get("ANOMALY_CORS_ORIGIN").map(|origin| origin.trim().to_owned()) else {
            return Ok(None);
        };
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain =
            |host: &str| !host.is_empty() && host.bytes().all(|c| c.is_ascii_graphic() && !b"/?#@\\,*".contains(&c));
        if host.is_some_and(plain) {
            Ok(Some(origin))
        } else {
            Err(refused("ANOMALY_CORS_ORIGIN", &origin, "one origin, like https://dashboard.example"))
        }
    }

    fn hub(&self) -> Result<HubConfig> {
        let endpoint = self.get("HF_ENDPOINT").map(|url| url.trim().to_owned());
        if let Some(url) = &endpoint
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err(refused("HF_ENDPOINT", url, "a URL that starts with https:// or http://"));
        }
        let home = self.get("HOME").or_else(|| self.get("USERPROFILE")).map_or_else(std::env::temp_dir, PathBuf::from);
        let hf_home = self.get("HF_HOME").map_or_else(
            || {
                let caches = self.get("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
                caches.join("huggingface")
            },
            PathBuf::from,
        );
        let cache_dir = self.get("HF_HUB_CACHE").or_else(|| self.get("HUGGINGFACE_HUB_CACHE"));
        let offline = self.get("HF_HUB_OFFLINE").unwrap_or_default().trim().to_ascii_uppercase();
        Ok(HubConfig {
            endpoint,
            token: self.get("HF_TOKEN").map(|token| Secret(token.trim().to_owned())),
            cache_dir: cache_dir.map_or_else(|| hf_home.join("hub"), PathBuf::from),
            offline: matches!(offline.as_str(), "1" | "ON" | "YES" | "TRUE"),
        })
    }
}

fn refused(name: &str, value: &str, allowed: impl Display) -> Error {
    let shown: String = value.chars().take(80).flat_map(char::escape_default).collect();
    Error::InvalidConfig(format!("{name}={shown} is not allowed: it must be {allowed}"))
}

/// The name by which a model directory's scores are reported.
pub fn directory_name(path: &std::path::Path) -> String {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    resolved.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn looks_like_a_path(value: &str) -> bool {
    let path = std::path::Path::new(value);
    path.is_absolute()
        || value.starts_with('.')
        || value.starts_with('~')
        || value.ends_with('/')
        || value.contains('\\')
        || value.matches('/').count() > 1
}

/// The hub's own rule for repository ids: one or two names of letters, digits, `-`, `_` and `.`,
/// none of which starts or ends with `-` or `.` or holds `--` or `..`.
fn is_hub_id(id: &str) -> bool {
    let name = |name: &str| {
        let edge = |c: char| c == '-' || c == '.';
        !name.is_empty()
            && name.len() <= 96
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !name.starts_with(edge)
            && !name.ends_with(edge)
            && !name.contains("--")
            && !name.contains("..")
    };
    match id.split_once('/') {
        Some((owner, rest)) => name(owner) && name(rest),
        None => name(id),
    }
}

/// A git reference that is safe as a part of a URL and of a path in the cache.
fn is_revision(revision: &str) -> bool {
    !revision.is_empty()
        && revision.len() <= 255
        && revision.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && revision.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config> {
        Config::from_env(|name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn choice(model: &str) -> Result<ModelChoice> {
        config(&[("ANOMALY_MODEL", model)]).map(|config| config.model.choice)
    }

    fn hub(id: &str, revision: &str) -> ModelChoice {
        ModelChoice::Hub(HubModel { id: id.to_owned(), revision: revision.to_owned() })
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        let config = config(&[("HOME", "/home/u"), ("ANOMALY_THRESHOLD", " ")]).unwrap();
        assert_eq!(config.threshold, 0.7);
        assert_eq!(config.max_text_bytes, 65_536);
        assert_eq!(config.model.choice, ModelChoice::DefaultOrBundled);
        assert_eq!(config.model.choice.name(), DEFAULT_MODEL);
        assert_eq!(config.model.labels, None);
        assert_eq!(config.model.hub.cache_dir, PathBuf::from("/home/u/.cache/huggingface/hub"));
        assert_eq!(config.limits.cache_size, 10_000);
    }

    #[test]
    fn nonsense_is_refused_with_name_value_and_what_is_allowed() {
        for (name, value, allowed) in [
            ("ANOMALY_THRESHOLD", "1.5", "0 to 1"),
            ("ANOMALY_THRESHOLD", "-0.1", "0 to 1"),
            ("ANOMALY_THRESHOLD", "NaN", "0 to 1"),
            ("ANOMALY_THRESHOLD", "high", "0 to 1"),
            ("ANOMALY_MAX_TEXT_BYTES", "0", "1 to"),
            ("ANOMALY_MAX_TEXT_BYTES", "64k", "whole number"),
            ("ANOMALY_THREADS", "0", "1 to 1024"),
            ("ANOMALY_THREADS", "1e3", "1 to 1024"),
            ("ANOMALY_PRECISION", "int4", "f32 or int8"),
            ("ANOMALY_LABELS", "NEGATIVE,", "commas"),
            ("ANOMALY_CACHE_SIZE", "-1", "0 to"),
            ("ANOMALY_CACHE_BYTES", "many", "0 to"),
            ("ANOMALY_MAX_QUEUE", "0", "1 to"),
            ("ANOMALY_MAX_QUEUE_BYTES", "1.5", "1 to"),
            ("ANOMALY_MAX_BATCH", "9999999", "1 to"),
            ("ANOMALY_MODEL", "own..er/name", "hub id"),
            ("ANOMALY_MODEL", "owner/na me", "hub id"),
            ("ANOMALY_MODEL", "owner/name@a b", "hub id"),
            ("ANOMALY_MODEL_REVISION", "../../x", "branch"),
            ("HF_ENDPOINT", "localhost:8080", "http://"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert_eq!(error.code(), "INVALID_CONFIG");
            let message = error.to_string();
            assert!(message.starts_with(&format!("{name}={value} ")), "{message}");
            assert!(message.contains(allowed), "{message}");
        }
    }

    #[test]
    fn the_model_setting_tells_its_kinds_apart() {
        assert_eq!(choice("bundled").unwrap(), ModelChoice::Bundled);
        for path in ["/models/a", "./a", "../a", "a/", "a/b/c", "C:\\models"] {
            assert_eq!(choice(path).unwrap(), ModelChoice::Directory(PathBuf::from(path)), "{path}");
        }
        assert_eq!(choice("src").unwrap(), ModelChoice::Directory(PathBuf::from("src")), "exists");
        assert_eq!(choice("owner/name").unwrap(), hub("owner/name", "main"));
        assert_eq!(choice("owner/name@v1").unwrap(), hub("owner/name", "v1"));
        assert_eq!(choice(DEFAULT_MODEL).unwrap(), hub(DEFAULT_MODEL, DEFAULT_MODEL_REVISION));
        let canonical = format!("distilbert/{DEFAULT_MODEL}");
        assert_eq!(choice(&canonical).unwrap(), hub(&canonical, DEFAULT_MODEL_REVISION));
        assert_eq!(choice(&format!("{DEFAULT_MODEL}@main")).unwrap(), hub(DEFAULT_MODEL, "main"));
    }

    #[test]
    fn a_revision_may_come_from_either_place_but_not_from_both() {
        let with = |model: &str, revision: &str| {
            config(&[("ANOMALY_MODEL", model), ("ANOMALY_MODEL_REVISION", revision)]).map(|config| config.model.choice)
        };
        assert_eq!(with("owner/name", "v2").unwrap(), hub("owner/name", "v2"));
        assert_eq!(with("owner/name@v2", "v2").unwrap(), hub("owner/name", "v2"));
        assert_eq!(with("", "main").unwrap(), hub(DEFAULT_MODEL, "main"));
        for (model, revision) in [("owner/name@v1", "v2"), ("bundled", "v2"), ("./a", "v2")] {
            assert_eq!(with(model, revision).unwrap_err().code(), "INVALID_CONFIG");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let config = config(&[("HF_TOKEN", "hf_secret")]).unwrap();
        assert_eq!(config.model.hub.token, Some(Secret("hf_secret".to_owned())));
        assert!(!format!("{config:?}").contains("hf_secret"));
    }

    #[test]
    fn the_server_has_defaults_and_refuses_nonsense() {
        let serve = |name: &str, value: &str| {
            ServeConfig::from_env(|variable| (variable == name).then(|| value.to_owned())).map_err(|e| e.to_string())
        };
        let defaults = serve("", "").unwrap();
        assert_eq!((defaults.host.as_str(), defaults.port, defaults.api_key), ("127.0.0.1", 5000, None));
        assert_eq!(serve("ANOMALY_CORS_ORIGIN", "https://a.example:8443").unwrap().cors_origin.unwrap().len(), 22);
        for (name, value) in [
            ("ANOMALY_PORT", "65536"),
            ("ANOMALY_IDLE_SECONDS", "0"),
            ("ANOMALY_MAX_TOTAL_BODY_BYTES", "1000"),
            ("ANOMALY_CORS_ORIGIN", "*"),
            ("ANOMALY_CORS_ORIGIN", "https://a.example/path"),
            ("ANOMALY_API_KEY_FILE", "/nowhere/at/all"),
        ] {
            let message = serve(name, value).unwrap_err();
            assert!(message.starts_with(&format!("{name}={value} ")), "{message}");
        }
        let message = serve("ANOMALY_API_KEY", "a secret").unwrap_err();
        assert!(message.contains("ANOMALY_API_KEY") && !message.contains("secret"), "{message}");
        let key = serve("ANOMALY_API_KEY", "hunter2").unwrap();
        assert_eq!(key.api_key, Some(Secret("hunter2".to_owned())));
        assert!(!format!("{key:?}").contains("hunter2"));
    }

    #[test]
    fn the_cache_folder_follows_the_hub_clients_order() {
        let dir = |variables: &[(&str, &str)]| config(variables).unwrap().model.hub.cache_dir;
        assert_eq!(dir(&[("HF_HOME", "/h"), ("HOME", "/u")]), PathBuf::from("/h/hub"));
        assert_eq!(dir(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]), PathBuf::from("/c"));
        assert_eq!(dir(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/u")]), PathBuf::from("/x/huggingface/hub"));
    }
}
