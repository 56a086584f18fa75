//! Analyses on their way out: a table for people, or one of three forms for programs.

use std::io::{self, Write};

use console::{Style, Term};

use super::input::{Record, Source};
use crate::analysis::Verdict;
use crate::json::Value;

/// How analyses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Columns and colours for a terminal.
    Table,
    /// One object a line.
    Ndjson,
    /// Comma-separated values, with the names of the columns first.
    Csv,
    /// One array.
    Json,
}

/// Characters of a score's bar.
const BAR: usize = 12;

/// Narrowest place for a text.
const TEXT: usize = 40;

/// Place for an id.
const ID: usize = 8;

/// Writes analyses in one form.
pub struct Output<W: Write> {
    to: W,
    form: Form,
    model_name: String,
    /// Whether ids need the names of their files beside them.
    many: bool,
    /// Place for an id, with the name of its file if need be.
    id_width: usize,
    /// Of the terminal, or of a page.
    width: usize,
    written: u64,
}

impl<W: Write> Output<W> {
    /// Begins; if there are several sources, each analysis says which one it is from.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(mut to: W, form: Form, model_name: &str, sources: &[Source]) -> io::Result<Self> {
        let many = sources.len() > 1;
        let longest = sources.iter().map(|source| console::measure_text_width(&source.name())).max().unwrap_or(0);
        let id_width = if many { (longest + 1 + ID).min(TEXT) } else { ID };
        let width = Term::stdout().size_checked().map_or(120, |(_, columns)| usize::from(columns));
        match form {
            Form::Table => {
                let head = format!("{:>id_width$}  {:<19}  {:<7}  text", "id", "anomaly score", "verdict");
                writeln!(to, "{}", Style::new().bold().apply_to(head))?;
            }
            Form::Csv => {
                writeln!(to, "log_id,anomaly_score,is_anomaly,model_name,log_text{}", if many { ",file" } else { "" })?
            }
            Form::Ndjson | Form::Json => (),
        }
        Ok(Output { to, form, model_name: model_name.to_owned(), many, id_width, width, written: 0 })
    }

    /// Writes one.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&mut self, record: &Record, verdict: Verdict) -> io::Result<()> {
        let first = self.written == 0;
        self.written += 1;
        match self.form {
            Form::Table => self.row(record, verdict),
            Form::Csv => {
                let id = match &record.id {
                    Value::String(id, _) => id.clone(),
                    id => serde_json::to_string(id)?,
                };
                let Verdict { anomaly_score, is_anomaly } = verdict;
                let (score, flag) = (anomaly_score.to_string(), is_anomaly.to_string());
                let mut writer = csv::Writer::from_writer(Vec::new());
                let fields = [&id, &score, &flag, &self.model_name, &record.text].map(String::as_str);
                writer.write_record(fields.into_iter().chain(self.many.then_some(&*record.source)))?;
                let row = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
                self.to.write_all(&row)
            }
            Form::Ndjson => {
                self.object(record, verdict)?;
                writeln!(self.to)
            }
            Form::Json => {
                self.to.write_all(if first { b"[\n" } else { b",\n" })?;
                self.object(record, verdict)
            }
        }
    }

    /// Ends.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> io::Result<()> {
        if self.form == Form::Json {
            self.to.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.to.flush()
    }

    /// Hands over what was written.
    ///
    /// # Errors
    /// Those of writing.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn object(&mut self, record: &Record, verdict: Verdict) -> io::Result<()> {
        #[derive(serde::Serialize)]
        struct Analysis<'a> {
            log_id: &'a Value,
            anomaly_score: f64,
            is_anomaly: bool,
            model_name: &'a str,
            log_text: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<&'a str>,
        }
        let Verdict { anomaly_score, is_anomaly } = verdict;
        let (model_name, log_text) = (self.model_name.as_str(), record.text.as_str());
        let file = self.many.then_some(&*record.source);
        let analysis = Analysis { log_id: &record.id, anomaly_score, is_anomaly, model_name, log_text, file };
        Ok(serde_json::to_writer(&mut self.to, &analysis)?)
    }

    fn row(&mut self, record: &Record, verdict: Verdict) -> io::Result<()> {
        let Verdict { anomaly_score: score, is_anomaly } = verdict;
        let filled = (score * BAR as f64).round() as usize;
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled));
        let style = match (is_anomaly, score >= 0.3) {
            (true, _) => Style::new().red(),
            (false, true) => Style::new().yellow(),
            (false, false) => Style::new().green(),
        };
        let verdict = if is_anomaly { style.apply_to("ANOMALY") } else { Style::new().dim().apply_to("ok     ") };
        let id = match &record.id {
            Value::String(id, _) => printable(id),
            id => serde_json::to_string(id)?,
        };
        let id = if self.many { format!("{}:{id}", printable(&record.source)) } else { id };
        let text = printable(&record.text);
        let id_width = self.id_width;
        let room = self.width.saturating_sub(id_width + 2 + BAR + 1 + 6 + 2 + 7 + 2).max(TEXT);
        let text = console::truncate_str(&text, room, "…");
        writeln!(self.to, "{id:>id_width$}  {} {score:.4}  {verdict}  {text}", style.apply_to(bar))
    }
}

/// Control characters of a log line must not reach a terminal, nor those that turn its direction.
fn printable(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmful(c) { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, texts: &[&str]) -> String {
        written_of(form, texts, &["a.log"])
    }

    fn written_of(form: Form, texts: &[&str], files: &[&str]) -> String {
        let mut bytes = Vec::new();
        let sources: Vec<Source> = files.iter().map(|file| Source::File(file.into())).collect();
        let mut output = Output::new(&mut bytes, form, "tiny", &sources).unwrap();
        for (index, text) in texts.iter().enumerate() {
            let id = Value::Integer((index + 1).to_string());
            let source = files[index % files.len()].into();
            let record = Record { source, id, text: (*text).to_owned(), repaired: false, cut: false };
            output.write(&record, Verdict::new(0.75, 0.7)).unwrap();
        }
        output.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn programs_get_what_they_can_read() {
        let texts = ["a \"b\", c", "line\nline"];
        let json: serde_json::Value = serde_json::from_str(&written(Form::Json, &texts)).unwrap();
        assert_eq!(json[1]["log_text"], texts[1]);
        assert_eq!(written(Form::Json, &[]), "[]\n");
        let lines = written(Form::Ndjson, &texts);
        assert_eq!(lines.lines().count(), 2);
        assert_eq!(
            lines.lines().next().unwrap(),
            r#"{"log_id":1,"anomaly_score":0.75,"is_anomaly":true,"model_name":"tiny","log_text":"a \"b\", c"}"#
        );
        let csv = written(Form::Csv, &texts);
        let rows: Vec<csv::StringRecord> =
            csv::Reader::from_reader(csv.as_bytes()).records().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows[1].iter().collect::<Vec<_>>(), ["2", "0.75", "true", "tiny", texts[1]]);
    }

    #[test]
    fn of_several_files_each_line_says_which_one_it_is_from() {
        let write = |form| written_of(form, &["one", "two"], &["a.log", "b.log"]);
        assert!(write(Form::Ndjson).lines().nth(1).unwrap().ends_with(r#""log_text":"two","file":"b.log"}"#));
        let csv: Vec<String> = write(Form::Csv).lines().map(str::to_owned).collect();
        assert_eq!(csv[0], "log_id,anomaly_score,is_anomaly,model_name,log_text,file");
        assert_eq!(csv[2], "2,0.75,true,tiny,two,b.log");
        assert!(write(Form::Table).lines().nth(2).unwrap().starts_with("       b.log:2  "));
    }

    #[test]
    fn a_terminal_gets_no_control_characters_of_a_log() {
        let table = written(Form::Table, &["\u{1b}[2Jgone\u{7}\u{202e}"]);
        assert!(!table.contains('\u{1b}') && table.contains("·[2Jgone··"), "{table:?}");
    }
}
