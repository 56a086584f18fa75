//! Files and pipes to records, in memory that does not grow: plain, gzip or zstd; lines of text,
//! JSON, or CSV.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;

use crate::error::{Error, Result};
use crate::json::Value;

/// Bytes that are read at a time.
const BUFFER: usize = 128 << 10;

/// What an object or a record of CSV may hold beside its text.
const BESIDES: usize = 1 << 20;

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `-`
    StandardInput,
    /// A file.
    File(PathBuf),
}

/// How the records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// One text a line; its id is the number of the line.
    Text,
    /// One object a line, with `log_id` and `log_text`.
    Ndjson,
    /// Comma-separated values under a line with the names of the columns.
    Csv {
        /// Column of the ids; without one an id is the number of the record.
        id: Option<String>,
        /// Column of the texts.
        text: String,
    },
}

/// A text to score, and what became of it on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Name of the source that it is from.
    pub source: Arc<str>,
    /// Comes back as it was.
    pub id: Value,
    /// At most as long as a text may be.
    pub text: String,
    /// Whether bytes that are no UTF-8 have become U+FFFD.
    pub repaired: bool,
    /// Whether the rest of a text that is too long was cut off.
    pub cut: bool,
}

/// What a source gives next.
pub enum Item {
    /// A record.
    Record(Record),
    /// Something that is none, and why; the number is that of the line.
    Unusable(u64, String),
    /// All that can be had without waiting was given.
    Pause,
}

/// Reads the records of one source.
pub struct Records {
    lines: Lines,
    parser: Parser,
    name: Arc<str>,
    limit: usize,
    /// Records that were read, for the ids of CSV.
    count: u64,
}

enum Parser {
    Text,
    Ndjson,
    Csv { id: Option<usize>, text: usize },
}

impl Source {
    /// How messages call it.
    pub fn name(&self) -> String {
        match self {
            Source::StandardInput => "standard input".to_owned(),
            Source::File(path) => path.display().to_string(),
        }
    }

    /// Its size in bytes, if that is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Source::StandardInput => None,
            Source::File(path) => path.metadata().ok().filter(|data| data.is_file()).map(|data| data.len()),
        }
    }

    /// Whether it is there and no directory, without reading it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if not.
    pub fn check(&self) -> Result<()> {
        let Source::File(path) = self else { return Ok(()) };
        let looked = path.metadata().and_then(|data| if data.is_dir() { Err(directory()) } else { Ok(()) });
        looked.map_err(|error| unreadable(&self.name(), &error))
    }

    /// Opens it; `bar` follows what is read, `limit` is the longest text in bytes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it cannot be read, or lacks the columns that `format` names.
    pub fn open(&self, format: &Format, limit: usize, bar: &ProgressBar) -> Result<Records> {
        let failed = |error: io::Error| unreadable(&self.name(), &error);
        let raw: Box<dyn Read + Send> = match self {
            Source::StandardInput => Box::new(io::stdin()),
            Source::File(path) => Box::new(File::open(path).map_err(failed)?),
        };
        let besides = if *format == Format::Text { 0 } else { BESIDES };
        let lines = Lines::new(bar.wrap_read(raw), limit + besides).map_err(failed)?;
        let mut records = Records { lines, parser: Parser::Text, name: self.name().into(), limit, count: 0 };
        records.parser = match format {
            Format::Text => Parser::Text,
            Format::Ndjson => Parser::Ndjson,
            Format::Csv { id, text } => records.columns(id.as_deref(), text)?,
        };
        Ok(records)
    }
}

fn directory() -> io::Error {
    io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")
}

fn unreadable(name: &str, error: &io::Error) -> Error {
    Error::InvalidInput { message: format!("{name} cannot be read: {error}"), details: Default::default() }
}

impl Records {
    /// The next record, or what stands in its place; `None` at the end.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the source breaks off.
    pub fn next(&mut self, may_pause: bool) -> Result<Option<Item>> {
        loop {
            if may_pause && self.lines.would_wait() {
                return Ok(Some(Item::Pause));
            }
            let first = self.lines.number + 1;
            let Some(line) = self.read()? else { return Ok(None) };
            if line.text.is_empty() {
                // An empty line of a file is no event.
                continue;
            }
            self.count += 1;
            let number = if matches!(self.parser, Parser::Csv { .. }) { self.count } else { first };
            return Ok(Some(match self.record(line, number) {
                Ok(record) => Item::Record(record),
                Err(reason) => Item::Unusable(first, reason),
            }));
        }
    }

    fn read(&mut self) -> Result<Option<Line>> {
        let quoted = matches!(self.parser, Parser::Csv { .. });
        self.lines.read(quoted).map_err(|error| unreadable(&self.name, &error))
    }

    fn record(&self, line: Line, number: u64) -> Result<Record, String> {
        let Line { text, repaired, cut } = line;
        let numbered = || Value::Integer(number.to_string());
        match self.parser {
            Parser::Text => Ok(Record { source: self.name.clone(), id: numbered(), text, repaired, cut }),
            _ if cut => Err("it is too long, or a quote is not closed".to_owned()),
            Parser::Ndjson => {
                let value = Value::parse(&text).map_err(|error| format!("it is no JSON: {}", error.cause))?;
                let id = match value.get("log_id") {
                    Some(id @ (Value::Integer(_) | Value::Float(_) | Value::String(..))) => id.clone(),
                    Some(_) => return Err("log_id is neither a number nor a string".to_owned()),
                    None => numbered(),
                };
                let Some(Value::String(text, lone)) = value.get("log_text") else {
                    return Err("log_text is missing or no string".to_owned());
                };
                Ok(self.shortened(id, text.clone(), repaired || *lone))
            }
            Parser::Csv { id, text: column } => {
                let fields = fields(&text)?;
                let text = fields.get(column).ok_or("it has too few columns")?.clone();
                let id = match id {
                    Some(column) => Value::String(fields.get(column).ok_or("it has too few columns")?.clone(), false),
                    None => numbered(),
                };
                Ok(self.shortened(id, text, repaired))
            }
        }
    }

    fn shortened(&self, id: Value, mut text: String, repaired: bool) -> Record {
        let cut = text.len() > self.limit;
        text.truncate(text.floor_char_boundary(self.limit));
        Record { source: self.name.clone(), id, text, repaired, cut }
    }

    /// Reads the names of the columns, and finds those that are wanted.
    fn columns(&mut self, id: Option<&str>, text: &str) -> Result<Parser> {
        let invalid = |found: String| Error::InvalidInput {
            message: format!("{}: {found}", self.name),
            details: Default::default(),
        };
        let line = self.lines.read(true).map_err(|error| unreadable(&self.name, &error))?;
        let Some(line) = line else { return Err(invalid("there is no line with the names of the columns".to_owned())) };
        let names = fields(&line.text).map_err(invalid)?;
        let find = |wanted: &str| {
            let place = names.iter().position(|name| name.trim() == wanted);
            place.ok_or_else(|| {
                // Where the names are missing, the first line is one of the log, which no message repeats.
                let plain =
                    |name: &String| name.len() <= 32 && name.chars().all(|c| c.is_alphanumeric() || " _-.".contains(c));
                let found = match names.iter().all(plain) {
                    true => format!("its columns are {}", names.join(", ").chars().take(200).collect::<String>()),
                    false => "its first line does not look like names of columns".to_owned(),
                };
                invalid(format!("there is no column {wanted:?}; {found}"))
            })
        };
        let id = match id {
            Some(wanted) => Some(find(wanted)?),
            // The name that the service uses, where there is such a column.
            None => find("log_id").ok(),
        };
        Ok(Parser::Csv { id, text: find(text)? })
    }
}

/// The fields of one record of CSV.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| format!("it is no CSV: {error}"))?;
    Ok(record.iter().map(str::to_owned).collect())
}

struct Line {
    text: String,
    repaired: bool,
    cut: bool,
}

/// Lines of at most so many bytes; the rest of a longer one is read and dropped.
struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    limit: usize,
    /// Line ends that were read.
    number: u64,
    begun: bool,
}

/// Where in a record of CSV a reader is; a quote opens a field only at its start (RFC 4180).
#[derive(Clone, Copy)]
enum Field {
    Start,
    Plain,
    Quoted,
    /// After a quote within quotes: its end, or the first of two that stand for one.
    Quote,
}

impl Field {
    /// Goes on by a byte, and says whether it ends the record.
    fn ends_record(&mut self, byte: u8) -> bool {
        *self = match (*self, byte) {
            (Field::Quoted, b'"') => Field::Quote,
            (Field::Quoted, _) | (Field::Start | Field::Quote, b'"') => Field::Quoted,
            (_, b'\n') => return true,
            (_, b',') => Field::Start,
            _ => Field::Plain,
        };
        false
    }
}

impl Lines {
    fn new(raw: impl Read + Send + 'static, limit: usize) -> io::Result<Self> {
        let mut raw = BufReader::with_capacity(BUFFER, raw);
        // By what it holds, not by its name. One read may give less than a magic number of a pipe; such a pipe is
        // taken for plain text.
        let plain: Box<dyn Read + Send> = match raw.fill_buf()? {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
            _ => Box::new(raw),
        };
        Ok(Lines { input: BufReader::with_capacity(BUFFER, plain), limit, number: 0, begun: false })
    }

    /// Whether the next line is not all here.
    fn would_wait(&self) -> bool {
        !self.input.buffer().contains(&b'\n')
    }

    /// The next line without its end; with `quoted`, line ends within quotes do not end it.
    fn read(&mut self, quoted: bool) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let (mut seen, mut cut, mut field) = (false, false, Field::Start);
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            seen = true;
            // A quote that is never closed must not swallow the file.
            let end = if quoted && !cut {
                buffer.iter().position(|&byte| {
                    self.number += u64::from(byte == b'\n');
                    field.ends_record(byte)
                })
            } else {
                let end = buffer.iter().position(|&byte| byte == b'\n');
                self.number += u64::from(end.is_some());
                end
            };
            let part = &buffer[..end.map_or(buffer.len(), |end| end + 1)];
            let room = (self.limit + 2).saturating_sub(bytes.len());
            bytes.extend_from_slice(&part[..part.len().min(room)]);
            cut |= part.len() > room;
            let length = part.len();
            self.input.consume(length);
            if end.is_some() {
                break;
            }
        }
        if !seen {
            return Ok(None);
        }
        let first = !std::mem::replace(&mut self.begun, true);
        if first && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        while let Some(b'\n' | b'\r') = bytes.last() {
            bytes.pop();
        }
        if bytes.len() > self.limit {
            cut = true;
            bytes.truncate(self.limit);
            // Not in the middle of a character.
            let tail = bytes.iter().rev().take(4).take_while(|&&byte| byte & 0xc0 == 0x80).count();
            let start = bytes.len().saturating_sub(tail + 1);
            if bytes.get(start).is_some_and(|&byte| byte >= 0xc0) && str::from_utf8(&bytes[start..]).is_err() {
                bytes.truncate(start);
            }
        }
        let (text, repaired) = match String::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        Ok(Some(Line { text, repaired, cut }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn records(bytes: &[u8], format: &Format, limit: usize) -> Vec<Result<Record, (u64, String)>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let source = Source::File(file.path().to_owned());
        let mut records = source.open(format, limit, &ProgressBar::hidden()).unwrap();
        let mut found = Vec::new();
        while let Some(item) = records.next(false).unwrap() {
            match item {
                Item::Record(record) => found.push(Ok(record)),
                Item::Unusable(number, reason) => found.push(Err((number, reason))),
                Item::Pause => panic!("it was not allowed to"),
            }
        }
        found
    }

    fn texts(bytes: &[u8], limit: usize) -> Vec<(String, bool, bool)> {
        let found = records(bytes, &Format::Text, limit).into_iter().map(Result::unwrap);
        found.map(|record| (record.text, record.repaired, record.cut)).collect()
    }

    fn plain(text: &str) -> (String, bool, bool) {
        (text.to_owned(), false, false)
    }

    #[test]
    fn lines_end_as_they_like() {
        assert_eq!(texts(b"one\ntwo\r\n\n\nthree", 100), [plain("one"), plain("two"), plain("three")]);
        let ids: Vec<Value> =
            records(b"a\n\nb\n", &Format::Text, 9).into_iter().map(|record| record.unwrap().id).collect();
        assert_eq!(ids, [Value::Integer("1".into()), Value::Integer("3".into())]);
        assert_eq!(texts(b"", 100), []);
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_told() {
        assert_eq!(texts(b"caf\xe9\nok\n", 100), [("caf\u{fffd}".to_owned(), true, false), plain("ok")]);
    }

    #[test]
    fn long_lines_are_cut_between_characters_and_told() {
        let line = "é".repeat(300_000);
        let found = texts(format!("{line}\nnext\n").as_bytes(), 11);
        assert_eq!(found, [("é".repeat(5), false, true), plain("next")]);
        assert_eq!(texts(b"12345\n", 5), [plain("12345")]);
    }

    #[test]
    fn compressed_files_are_read_as_they_are() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"one\n").unwrap();
        let mut two = gzip.finish().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"two\n").unwrap();
        two.extend(gzip.finish().unwrap());
        assert_eq!(texts(&two, 100), [plain("one"), plain("two")], "several members, as logs are rotated");
        let mut zstd = zstd::encode_all(&b"one\n"[..], 3).unwrap();
        zstd.extend(zstd::encode_all(&b"two\n"[..], 3).unwrap());
        assert_eq!(texts(&zstd, 100), [plain("one"), plain("two")]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        assert_eq!(texts(b"\xef\xbb\xbfone\n", 100), [plain("one")]);
        assert_eq!(
            records(b"\xef\xbb\xbf{\"log_text\": \"one\"}", &Format::Ndjson, 100)[0].as_ref().unwrap().text,
            "one"
        );
    }

    #[test]
    fn ndjson_gives_ids_and_says_what_is_none() {
        let lines = br#"{"log_id": "a-1", "log_text": "one"}
{"log_text": "two"}
{"log_id": 1}
nonsense
"#;
        let found: Vec<_> = records(lines, &Format::Ndjson, 100)
            .into_iter()
            .map(|record| record.map(|record| (record.id, record.text)))
            .collect();
        let ok = |id, text: &str| Ok((id, text.to_owned()));
        assert_eq!(found[0], ok(Value::String("a-1".into(), false), "one"));
        assert_eq!(found[1], ok(Value::Integer("2".into()), "two"));
        assert_eq!(found[2], Err((3, "log_text is missing or no string".to_owned())));
        assert_eq!(found[3], Err((4, "it is no JSON: Expecting value".to_owned())));
    }

    #[test]
    fn csv_is_read_by_the_names_of_its_columns() {
        let csv = b"when,log_id,message\n1,7,\"a, \"\"b\"\"\nc\"\n2,8,d\n";
        let format = Format::Csv { id: None, text: "message".to_owned() };
        let found: Vec<(Value, String)> =
            records(csv, &format, 100).into_iter().map(Result::unwrap).map(|record| (record.id, record.text)).collect();
        let id = |text: &str| Value::String(text.to_owned(), false);
        let stray = b"log_id,message\n1,disk 5\" failed\n2,login failed\n3,again 3\" x\n4,ok\n";
        assert_eq!(records(stray, &format, 100).len(), 4, "a quote within a field hides no line");
        let numbered: Vec<Value> = records(b"\xef\xbb\xbfmessage\na\n\"b\nb\"\nc\n", &format, 100)
            .into_iter()
            .map(|record| record.unwrap().id)
            .collect();
        assert_eq!(numbered, ["1", "2", "3"].map(|number| Value::Integer(number.to_owned())));
        assert_eq!(found, [(id("7"), "a, \"b\"\nc".to_owned()), (id("8"), "d".to_owned())]);

        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(csv).unwrap();
        let format = Format::Csv { id: None, text: "text".to_owned() };
        let source = Source::File(file.path().to_owned());
        let Err(error) = source.open(&format, 100, &ProgressBar::hidden()) else { panic!("no such column") };
        assert!(error.to_string().contains("its columns are when, log_id, message"), "{error}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"08:00 login of admin failed: wrong password\n").unwrap();
        let source = Source::File(file.path().to_owned());
        let Err(error) = source.open(&format, 100, &ProgressBar::hidden()) else { panic!("no such column") };
        assert!(!error.to_string().contains("admin"), "{error}");
    }

    #[test]
    fn it_pauses_where_it_would_wait() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"one\ntwo").unwrap();
        let source = Source::File(file.path().to_owned());
        let mut records = source.open(&Format::Text, 100, &ProgressBar::hidden()).unwrap();
        records.next(false).unwrap();
        assert!(matches!(records.next(true).unwrap(), Some(Item::Pause)));
        assert!(matches!(records.next(false).unwrap(), Some(Item::Record(_))));
        assert!(records.next(false).unwrap().is_none());
    }
}
