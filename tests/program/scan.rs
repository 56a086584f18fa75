//! `audit-anomaly scan`: every form in and out, what is broken in files, and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/__test__/fixtures/tiny");

fn scan(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_audit-anomaly"));
    command.arg("scan").args(arguments).env_clear().env("ANOMALY_MODEL", TINY);
    command
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child =
        scan(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read all.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    output
}

fn objects(output: &Output) -> Vec<serde_json::Value> {
    let text = str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn summary(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_pipe_of_lines_becomes_ndjson_in_order() {
    let lines: String = (1..=300).map(|id| format!("user {id} opened report\n")).collect();
    let output = run(&["-"], lines.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", summary(&output));
    let objects = objects(&output);
    assert_eq!(objects.len(), 300);
    for (index, object) in objects.iter().enumerate() {
        assert_eq!(object["log_id"], index as u64 + 1);
        assert_eq!(object["log_text"], format!("user {} opened report", index + 1));
        let score = object["anomaly_score"].as_f64().unwrap();
        assert_eq!(object["is_anomaly"], score >= 0.7);
        assert_eq!(object["model_name"], "tiny");
    }
    assert!(summary(&output).starts_with("300 lines, "), "{}", summary(&output));
}

#[test]
fn filters_and_exit_codes() {
    let lines: String = (1..=200).map(|id| format!("user {id} opened report\n")).collect();
    let all = objects(&run(&["-"], lines.as_bytes()));
    let score = |object: &serde_json::Value| object["anomaly_score"].as_f64().unwrap();
    let mut scores: Vec<f64> = all.iter().map(score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let threshold = scores[20].to_string();

    let output = run(&["--only-anomalies", "--threshold", &threshold, "--fail-on-anomaly", "-"], lines.as_bytes());
    assert_eq!(output.status.code(), Some(10));
    let found = objects(&output);
    assert_eq!(found.len(), scores.iter().filter(|&&score| score >= scores[20]).count());

    let output = run(&["--top", "5", "-"], lines.as_bytes());
    assert_eq!(objects(&output).iter().map(score).collect::<Vec<_>>(), scores[..5]);

    let output = run(&["--threshold", "1", "--fail-on-anomaly", "-"], b"one\n");
    assert_eq!(output.status.code(), Some(0), "nothing reaches 1");
    let output = run(&["--threshold", "2", "-"], b"one\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(summary(&output).contains("INVALID_CONFIG: ANOMALY_THRESHOLD=2"), "{}", summary(&output));
    let output = run(&["/nowhere/at/all.log"], b"");
    assert_eq!(output.status.code(), Some(2));
    let output = run(&["--model", "/nowhere/at/all", "-"], b"");
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn what_is_broken_is_counted_and_nothing_is_lost() {
    let mut input = b"good\ncaf\xe9\n\n".to_vec();
    input.extend(vec![b'x'; 200_000]);
    input.extend(b"\nlast");
    let output = run(&["-"], &input);
    assert_eq!(output.status.code(), Some(0));
    let texts: Vec<usize> = objects(&output).iter().map(|object| object["log_text"].as_str().unwrap().len()).collect();
    assert_eq!(texts, [4, 6, 65_536, 4]);
    let told = summary(&output);
    assert!(
        told.contains("4 lines, ") && told.contains("1 with bytes that are no UTF-8, 1 cut, being too long"),
        "{told}"
    );

    let output = run(
        &["--format", "ndjson", "-"],
        b"{\"log_id\": \"a\", \"log_text\": \"one\"}\nnonsense\n{\"log_text\": \"two\"}\n",
    );
    let ids: Vec<serde_json::Value> = objects(&output).iter().map(|object| object["log_id"].clone()).collect();
    assert_eq!(ids, [serde_json::json!("a"), serde_json::json!(3)]);
    let told = summary(&output);
    assert!(told.contains("standard input:2: skipped: it is no JSON") && told.contains("1 skipped"), "{told}");
}

#[test]
fn files_of_all_kinds_are_read_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a.log"), "from a\n").unwrap();
    let mut gzip =
        flate2::write::GzEncoder::new(std::fs::File::create(path("b")).unwrap(), flate2::Compression::fast());
    gzip.write_all(b"from b\n").unwrap();
    gzip.finish().unwrap();
    std::fs::write(path("c.zst"), zstd::encode_all(&b"from c\n"[..], 1).unwrap()).unwrap();
    let output = run(&[&path("a.log"), &path("b"), &path("c.zst"), "-"], b"from standard input\n");
    let texts: Vec<String> =
        objects(&output).iter().map(|object| object["log_text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, ["from a", "from b", "from c", "from standard input"]);
    let files: Vec<String> =
        objects(&output).iter().map(|object| object["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(files, [path("a.log"), path("b"), path("c.zst"), "standard input".to_owned()]);
    assert!(objects(&run(&[&path("a.log")], b""))[0].get("file").is_none(), "of one file that goes without saying");

    std::fs::write(path("d.csv"), "id,what\n7,\"a, b\"\n").unwrap();
    let arguments =
        ["--format", "csv", "--id-column", "id", "--text-column", "what", "--output", "csv", &path("d.csv")];
    let output = run(&arguments, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("log_id,anomaly_score,is_anomaly,model_name,log_text\n7,0."), "{text}");
    assert!(text.ends_with(",tiny,\"a, b\"\n"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_told_before_anything_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    for (missing, why) in [("/nowhere/at/all.log", "No such file"), (folder.path().to_str().unwrap(), "is a directory")]
    {
        let output = run(&["-", missing], b"one\n");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        let told = summary(&output);
        assert!(told.starts_with(&format!("audit-anomaly: INVALID_INPUT: {missing} cannot be read: ")), "{told}");
        assert!(told.contains(why) && told.lines().count() == 1, "{told}");
    }
}

#[test]
fn what_comes_before_a_break_in_a_file_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.log.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    for id in 0..10_000 {
        writeln!(gzip, "line {id}").unwrap();
    }
    let bytes = gzip.finish().unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let output = run(&[path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(2));
    let (count, told) = (objects(&output).len(), summary(&output));
    assert!(count > 1_000, "{count}");
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with(&format!("{count} lines, ")), "{told}");
    assert!(lines[1].contains("broken.log.gz cannot be read: "), "{told}");
}

/// A scan of a pipe that stays open.
fn follow(arguments: &[&str]) -> Child {
    scan(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_pipe_that_stays_open_is_answered_line_by_line_and_ctrl_c_loses_nothing() {
    let mut child = follow(&["-"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for id in 0..3 {
        writeln!(stdin, "line {id}").unwrap();
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("\"line {id}\"")), "{line}");
    }
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.starts_with("3 lines, "), "{told}");
}

#[test]
fn whoever_closes_the_output_ends_it_quietly() {
    let mut child = follow(&["-"]);
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    let feeding = std::thread::spawn(move || while writeln!(stdin, "a line of text").is_ok() {});
    assert_eq!(child.wait().unwrap().code(), Some(0));
    feeding.join().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_million_lines_run_in_constant_memory() {
    let mut child = scan(&["--cache-size", "0", "--only-anomalies", "--threshold", "1", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let memory = PathBuf::from(format!("/proc/{}/status", child.id()));
    let peak = || -> u64 {
        let status = std::fs::read_to_string(&memory).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let mut stdin = std::io::BufWriter::new(child.stdin.take().unwrap());
    let mut peaks = Vec::new();
    for id in 0..1_000_000 {
        writeln!(stdin, "line {id}").unwrap();
        if id == 200_000 || id == 990_000 {
            peaks.push(peak());
        }
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(summary(&output).starts_with("1000000 lines, "), "{}", summary(&output));
    assert!(peaks[1] < peaks[0] + 10_000, "{peaks:?} kB");
}

#[test]
fn the_manual_the_completions_and_the_check_are_there() {
    let program =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_audit-anomaly")).args(arguments).output().unwrap();
    let manual = String::from_utf8(program(&["man"]).stdout).unwrap();
    for part in
        [".TH audit-anomaly 1", ".SH SCAN", r"\-\-fail\-on\-anomaly", ".SH SERVE", r"\-\-max\-batch", ".SH DOWNLOAD"]
    {
        assert!(manual.contains(part), "{part}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            String::from_utf8(program(&["completions", shell]).stdout).unwrap().contains("fail-on-anomaly"),
            "{shell}"
        );
    }
    let server = crate::client::Server::start(&[]);
    let port = server.address.port().to_string();
    assert!(program(&["check", "--port", &port]).status.success());
    drop(server);
    let deadline = Instant::now() + Duration::from_secs(5);
    while program(&["check", "--port", &port]).status.success() {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(program(&["download", "bundled"]).status.code(), Some(0));
    assert_eq!(program(&["scan"]).status.code(), Some(2), "a file is needed");
}
