//! The files of a model, wherever they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::ops::{Deref, Range};
use std::path::PathBuf;

use memmap2::Mmap;
use serde::Deserialize;

use crate::error::{Error, Result};

/// The network's sizes and its labels.
pub const CONFIG: &str = "config.json";
/// The weights. Nothing but safetensors is read: it holds data alone, where pickle holds code.
pub const WEIGHTS: &str = "model.safetensors";
/// Which file holds which tensor, for models whose weights are in several files instead.
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// The whole tokenizer in one file.
pub const TOKENIZER: &str = "tokenizer.json";
/// The WordPiece vocabulary, for models that have no [`TOKENIZER`].
pub const VOCABULARY: &str = "vocab.txt";
/// The vocabulary of a byte-level BPE, for models that have no [`TOKENIZER`]; with [`MERGES`].
pub const BPE_VOCABULARY: &str = "vocab.json";
/// Which pairs of tokens become one, the first first.
pub const MERGES: &str = "merges.txt";
/// Casing and special tokens that go with the vocabularies.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Largest file that is read into memory (everything but the weights, which are mapped).
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Where the files of a model are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFiles {
    /// Compiled into this library.
    Bundled,
    /// A directory in Hugging Face layout.
    Directory(PathBuf),
}

/// The bytes of one file.
pub enum Bytes {
    /// Compiled in.
    Static(&'static [u8]),
    /// Read.
    Owned(Vec<u8>),
    /// Memory-mapped.
    Mapped(Mmap),
}

impl Bytes {
    /// Lets the system take back the pages of `range`; they are read again when they are needed.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = self {
            // SAFETY: the map is of a file and read-only, so a page that was dropped comes back as it was.
            // A refusal costs memory and nothing else.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Static(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(bytes) => bytes,
        }
    }
}

impl ModelFiles {
    /// How messages call the file `name`.
    pub fn describe(&self, name: &str) -> String {
        match self {
            ModelFiles::Bundled => format!("{name} of the bundled model"),
            ModelFiles::Directory(path) => path.join(name).display().to_string(),
        }
    }

    /// The bytes of `name`, or `None` if the model has no such file.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if the directory is missing, [`Error::ModelInvalid`] if the file
    /// cannot be read or is too large.
    pub fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let ModelFiles::Directory(_) = self else { return Ok(bundled(name).map(Bytes::Static)) };
        let Some((file, length)) = self.open(name)? else { return Ok(None) };
        if length > MAX_FILE_BYTES {
            return Err(Error::ModelInvalid(format!(
                "{} has {length} bytes; at most {MAX_FILE_BYTES} make sense",
                self.describe(name)
            )));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|error| self.unreadable(name, &error))?;
        Ok(Some(Bytes::Owned(bytes)))
    }

    /// Like [`read`](Self::read), for a file that the model must have.
    ///
    /// # Errors
    /// Also [`Error::ModelNotFound`] if there is no such file.
    pub fn require(&self, name: &str) -> Result<Bytes> {
        self.read(name)?.ok_or_else(|| self.missing(name))
    }

    /// Names of the files that hold the weights: one, or those that the index names.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if there is neither, [`Error::ModelInvalid`] for an index that cannot
    /// be used.
    pub fn weight_files(&self) -> Result<Vec<String>> {
        let ModelFiles::Directory(path) = self else { return Ok(vec![WEIGHTS.to_owned()]) };
        if self.open(WEIGHTS)?.is_some() {
            return Ok(vec![WEIGHTS.to_owned()]);
        }
        let Some(index) = self.read(WEIGHTS_INDEX)? else {
            let pickled = path.join("pytorch_model.bin").exists();
            let hint = if pickled { "; pytorch_model.bin is never read, convert it to safetensors" } else { "" };
            return Err(Error::ModelNotFound(format!("{} does not exist{hint}", self.describe(WEIGHTS))));
        };
        shards(&index).map_err(|found| Error::ModelInvalid(format!("{}: {found}", self.describe(WEIGHTS_INDEX))))
    }

    /// The file `name` of weights, memory-mapped where it is one.
    ///
    /// # Errors
    /// As [`require`](Self::require).
    pub fn map(&self, name: &str) -> Result<Bytes> {
        if *self == ModelFiles::Bundled {
            return self.require(name);
        }
        let (file, _) = self.open(name)?.ok_or_else(|| self.missing(name))?;
        // SAFETY: the map lives as long as the model, for its embeddings. A file that another process
        // cuts short meanwhile would fault, as it does in every program that maps weights; the hub's
        // cache never does so, since it puts files in place by renaming.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| self.unreadable(name, &error))?;
        Ok(Bytes::Mapped(map))
    }

    /// [`Error::ModelNotFound`] for the file `name`.
    pub fn missing(&self, name: &str) -> Error {
        Error::ModelNotFound(format!("{} does not exist", self.describe(name)))
    }

    fn open(&self, name: &str) -> Result<Option<(File, u64)>> {
        let ModelFiles::Directory(path) = self else { return Ok(None) };
        if !path.is_dir() {
            let found = if path.exists() { "is not a directory" } else { "does not exist" };
            return Err(Error::ModelNotFound(format!(
                "the model directory {} {found}; set ANOMALY_MODEL to a directory in Hugging Face layout, \
                 to a hub id, or to 'bundled'",
                path.display()
            )));
        }
        let file = match File::open(path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreadable(name, &error)),
        };
        let metadata = file.metadata().map_err(|error| self.unreadable(name, &error))?;
        if !metadata.is_file() {
            return Err(Error::ModelInvalid(format!("{} is not a regular file", self.describe(name))));
        }
        Ok(Some((file, metadata.len())))
    }

    fn unreadable(&self, name: &str, error: &std::io::Error) -> Error {
        Error::ModelInvalid(format!("{} cannot be read: {error}", self.describe(name)))
    }
}

/// The files that an index of weights names, each once.
///
/// # Errors
/// What is wrong with the index.
pub fn shards(index: &[u8]) -> std::result::Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let Index { weight_map } = serde_json::from_slice(index).map_err(|error| error.to_string())?;
    let files: BTreeSet<String> = weight_map.into_values().collect();
    // A name from the hub must not lead out of the model's directory.
    let plain = |name: &str| name.ends_with(".safetensors") && !name.contains(['/', '\\']) && !name.starts_with('.');
    match files.iter().find(|name| !plain(name)) {
        Some(name) => Err(format!("{name:?} is not the name of a safetensors file in this directory")),
        None if files.is_empty() => Err("it names no file".to_owned()),
        None => Ok(files.into_iter().collect()),
    }
}

fn bundled(name: &str) -> Option<&'static [u8]> {
    macro_rules! model_file {
        ($name:literal) => {
            Some(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/model/", $name)).as_slice())
        };
    }
    match name {
        CONFIG => model_file!("config.json"),
        WEIGHTS => model_file!("model.safetensors"),
        TOKENIZER => model_file!("tokenizer.json"),
        _ => None,
    }
}
