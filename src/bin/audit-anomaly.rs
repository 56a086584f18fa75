//! The command line: reads arguments, and hands over to the part of the crate that does the work.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use audit_anomaly::config::{Config, DEFAULT_MODEL, ServeConfig};
use audit_anomaly::engine::ENGINE;
use audit_anomaly::error::{Error, Result};
use audit_anomaly::model::files::ModelFiles;
use audit_anomaly::model::source::Source as ModelSource;
use audit_anomaly::scan;
use audit_anomaly::scan::input::{Format, Source};
use audit_anomaly::scan::output::Form;
use audit_anomaly::server::app::App;
use audit_anomaly::server::listen;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_mangen::Man;
use tokio::net::TcpListener;

/// Tells which lines of an audit log are anomalous
///
/// The score of a line is the probability, 0 to 1, that a sentiment classifier gives to NEGATIVE; a line is flagged from
/// the threshold up. The settings of scoring, of limits and of serve are environment variables too, --max-queue is
/// ANOMALY_MAX_QUEUE; the flag wins.
#[derive(Parser)]
#[command(version, max_term_width = 100, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of these in a process")]
enum Command {
    /// Serve HTTP: the interface of the Python service, and /live, /ready and /metrics
    #[command(after_help = "Example:\n  audit-anomaly serve --model bundled --port 5000 &\n  \
        curl -s localhost:5000/analyze-log -H 'content-type: application/json' \\\n    \
        -d '{\"log_id\": 1, \"log_text\": \"Failed login attempt\"}'")]
    Serve(Serve),
    /// Score log files or a pipe, line by line
    ///
    /// Reads plain, gzip and zstd files, and any amount of input in constant memory. Without --output it writes a table to a
    /// terminal, and NDJSON to a file or pipe.
    #[command(after_help = "Examples:\n  audit-anomaly scan --model bundled app.log\n  \
        audit-anomaly scan --only-anomalies --output csv app.log.1.gz app.log.2.zst > anomalies.csv\n  \
        journalctl -f -o cat | audit-anomaly scan --only-anomalies -\n\n\
        Exit codes:\n  \
        0 done; 10 with --fail-on-anomaly, if any line is flagged; 2 bad arguments or input; 4 no model;\n  \
        130 interrupted, with all that was scored written")]
    Scan(Scan),
    /// Put a model into the hub's cache ahead of time, for images and hosts without a network
    ///
    /// Prints the folder that it is in. Files are checked against their published checksums. HF_HOME, HF_HUB_CACHE,
    /// HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean in Python, and the cache is shared with it.
    Download(Download),
    /// Ask a server on this host whether it is ready: exit code 0 if so, for the health checks of containers
    Check(Check),
    /// Print a script that completes commands and options in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Args)]
struct Scan {
    /// Files to scan; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the input is written
    #[arg(long, value_enum, default_value = "text")]
    format: InputFormat,
    /// Column of the ids in CSV [default: log_id if there is one, else records are numbered]
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
    /// Column of the texts in CSV
    #[arg(long, value_name = "NAME", default_value = "log_text")]
    text_column: String,
    /// How the output is written [default: table on a terminal, else ndjson]
    #[arg(long, value_enum)]
    output: Option<OutputForm>,
    /// Leave out lines that are not flagged
    #[arg(long)]
    only_anomalies: bool,
    /// Only the N lines with the highest scores, highest first, once all is read
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Exit with 10 if any line is flagged
    #[arg(long)]
    fail_on_anomaly: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    /// One log line per line; its id is the number of the line
    Text,
    /// One object per line, with log_id and log_text
    Ndjson,
    /// Comma-separated values, with the names of the columns first
    Csv,
}

#[derive(Clone, Copy, ValueEnum)]
enum OutputForm {
    /// Columns, with colours on a terminal
    Table,
    /// One object per line
    Ndjson,
    /// Comma-separated values, with the names of the columns first
    Csv,
    /// One array
    Json,
}

impl Scan {
    fn run(self) -> Result<ExitCode> {
        static STOP: AtomicBool = AtomicBool::new(false);
        // The first time everything that was scored is written, the second time not.
        let handler = || {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        ctrlc::set_handler(handler).map_err(|error| Error::Internal(format!("Ctrl-C cannot be handled: {error}")))?;
        let config = Config::from_env(|name| self.engine.variable(name))?;
        let sources = self
            .files
            .into_iter()
            .map(|file| if file.as_os_str() == "-" { Source::StandardInput } else { Source::File(file) });
        let scan = scan::Scan {
            sources: sources.collect(),
            format: match self.format {
                InputFormat::Text => Format::Text,
                InputFormat::Ndjson => Format::Ndjson,
                InputFormat::Csv => Format::Csv { id: self.id_column, text: self.text_column },
            },
            form: match self.output {
                Some(OutputForm::Table) => Form::Table,
                Some(OutputForm::Ndjson) => Form::Ndjson,
                Some(OutputForm::Csv) => Form::Csv,
                Some(OutputForm::Json) => Form::Json,
                None if std::io::stdout().is_terminal() => Form::Table,
                None => Form::Ndjson,
            },
            only_anomalies: self.only_anomalies,
            top: self.top,
        };
        let Some(summary) = scan::run(&scan, &config, &STOP)? else { return Ok(ExitCode::SUCCESS) };
        let (seconds, rate) = (summary.seconds, summary.records as f64 / summary.seconds);
        let plural = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let mut parts = vec![
            plural(summary.records, "line", "lines"),
            format!("{} (score {} and up)", plural(summary.anomalies, "anomaly", "anomalies"), config.threshold),
        ];
        for (count, what) in [
            (summary.repaired, "with bytes that are no UTF-8"),
            (summary.cut, "cut, being too long"),
            (summary.unusable, "skipped"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        eprintln!("{}; {:.1} s, {:.0} lines/s", parts.join(", "), seconds, rate);
        Ok(if let Some(error) = summary.failure {
            return Err(error);
        } else if summary.stopped {
            ExitCode::from(130)
        } else if self.fail_on_anomaly && summary.anomalies > 0 {
            ExitCode::from(10)
        } else {
            ExitCode::SUCCESS
        })
    }
}

#[derive(Args)]
struct Check {
    /// Port that it listens on [default: 5000]
    #[arg(long, env = "ANOMALY_PORT")]
    port: Option<String>,
}

impl Check {
    fn run(&self) -> Result<ExitCode> {
        let variable = |name: &str| if name == "ANOMALY_PORT" { self.port.clone() } else { None };
        let port = ServeConfig::from_env(variable)?.port;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(2)))
            // The proxy of the environment is for other hosts.
            .proxy(None)
            .build()
            .new_agent();
        let outcome = agent.get(format!("http://127.0.0.1:{port}/ready")).call();
        Ok(match outcome {
            Ok(_) => {
                println!("ready");
                ExitCode::SUCCESS
            }
            Err(error) => {
                println!("not ready: {error}");
                ExitCode::FAILURE
            }
        })
    }
}

#[derive(Args)]
struct Download {
    /// Hub id like owner/name or owner/name@revision [default: distilbert-base-uncased-finetuned-sst-2-english]
    model: Option<String>,
}

impl Download {
    fn run(&self) -> Result<ExitCode> {
        let config = Config::from_env(|name| match name {
            "ANOMALY_MODEL" => Some(self.model.clone().unwrap_or_else(|| DEFAULT_MODEL.to_owned())),
            _ => variable(name),
        })?;
        let meter = Arc::default();
        let found = ModelSource::find(&config.model.choice, &config.model.hub, &meter);
        // Else the last bar would stand above the outcome.
        meter.finish();
        let source = found?;
        match source.files {
            ModelFiles::Bundled => println!("{} is part of this program: there is nothing to download", source.name),
            ModelFiles::Directory(path) => println!("{}", path.display()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Settings of the model and the engine. Their values are checked where the addon's are.
#[derive(Args)]
struct EngineArgs {
    /// Score from which on a line is flagged, 0 to 1 [default: 0.7]
    #[arg(long, env = "ANOMALY_THRESHOLD", value_name = "SCORE", help_heading = "Scoring")]
    threshold: Option<String>,
    /// Model: 'bundled', a directory, or a hub id like owner/name or owner/name@revision
    /// [default: distilbert-base-uncased-finetuned-sst-2-english, or the bundled one where no hub can be heard]
    #[arg(long, env = "ANOMALY_MODEL", help_heading = "Scoring")]
    model: Option<String>,
    /// Branch, tag or commit of a hub model
    #[arg(long, env = "ANOMALY_MODEL_REVISION", value_name = "REVISION", help_heading = "Scoring")]
    model_revision: Option<String>,
    /// Labels that mean an anomaly, separated by commas [default: those whose names say so, like NEGATIVE]
    #[arg(long, env = "ANOMALY_LABELS", help_heading = "Scoring")]
    labels: Option<String>,
    /// f32 is exact, int8 is faster and a quarter of the memory [default: f32]
    #[arg(long, env = "ANOMALY_PRECISION", help_heading = "Scoring")]
    precision: Option<String>,
    /// Threads that compute [default: what the container and affinity allow]
    #[arg(long, env = "ANOMALY_THREADS", value_name = "N", help_heading = "Scoring")]
    threads: Option<String>,
    /// Longest text in bytes of UTF-8 [default: 65536]
    #[arg(long, env = "ANOMALY_MAX_TEXT_BYTES", value_name = "BYTES", help_heading = "Limits")]
    max_text_bytes: Option<String>,
    /// Scores that are remembered; 0 turns the cache off [default: 10000]
    #[arg(long, env = "ANOMALY_CACHE_SIZE", value_name = "N", help_heading = "Limits")]
    cache_size: Option<String>,
    /// Memory that remembered texts may take, in bytes [default: 16777216]
    #[arg(long, env = "ANOMALY_CACHE_BYTES", value_name = "BYTES", help_heading = "Limits")]
    cache_bytes: Option<String>,
}

impl EngineArgs {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "ANOMALY_THRESHOLD" => self.threshold.clone(),
            "ANOMALY_MODEL" => self.model.clone(),
            "ANOMALY_MODEL_REVISION" => self.model_revision.clone(),
            "ANOMALY_LABELS" => self.labels.clone(),
            "ANOMALY_PRECISION" => self.precision.clone(),
            "ANOMALY_THREADS" => self.threads.clone(),
            "ANOMALY_MAX_TEXT_BYTES" => self.max_text_bytes.clone(),
            "ANOMALY_CACHE_SIZE" => self.cache_size.clone(),
            "ANOMALY_CACHE_BYTES" => self.cache_bytes.clone(),
            _ => variable(name),
        }
    }
}

/// A variable of the environment. One that is no Unicode is not taken for unset: a key would be lost.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

#[derive(Args)]
struct Serve {
    /// Address to listen on; 0.0.0.0 for all [default: 127.0.0.1]
    #[arg(long, env = "ANOMALY_HOST")]
    host: Option<String>,
    /// Port to listen on; 0 lets the system choose [default: 5000]
    #[arg(long, env = "ANOMALY_PORT")]
    port: Option<String>,
    /// The one other origin whose web pages may read answers, like https://dashboard.example [default: none]
    #[arg(long, env = "ANOMALY_CORS_ORIGIN", value_name = "ORIGIN")]
    cors_origin: Option<String>,
    /// Form of the log on standard error
    #[arg(long, env = "ANOMALY_LOG_FORMAT", value_enum, default_value = "human")]
    log_format: LogFormat,
    #[command(flatten)]
    engine: EngineArgs,
    /// Records that may wait; a request that finds more is answered with 429 [default: 10000]
    #[arg(long, env = "ANOMALY_MAX_QUEUE", value_name = "N", help_heading = "Limits")]
    max_queue: Option<String>,
    /// Bytes of text that may wait [default: 67108864]
    #[arg(long, env = "ANOMALY_MAX_QUEUE_BYTES", value_name = "BYTES", help_heading = "Limits")]
    max_queue_bytes: Option<String>,
    /// Records of one request [default: 1000]
    #[arg(long, env = "ANOMALY_MAX_BATCH", value_name = "N", help_heading = "Limits")]
    max_batch: Option<String>,
    /// Largest body of a request [default: 16777216]
    #[arg(long, env = "ANOMALY_MAX_BODY_BYTES", value_name = "BYTES", help_heading = "Limits")]
    max_body_bytes: Option<String>,
    /// What the bodies of all requests together may take; what comes then is answered with 503
    /// [default: four times the largest body]
    #[arg(long, env = "ANOMALY_MAX_TOTAL_BODY_BYTES", value_name = "BYTES", help_heading = "Limits")]
    max_total_body_bytes: Option<String>,
    /// Connections at a time [default: 1024]
    #[arg(long, env = "ANOMALY_MAX_CONNECTIONS", value_name = "N", help_heading = "Limits")]
    max_connections: Option<String>,
    /// How long a connection may be without a complete request head [default: 75]
    #[arg(long, env = "ANOMALY_IDLE_SECONDS", value_name = "SECONDS", help_heading = "Limits")]
    idle_seconds: Option<String>,
    /// How long a client may take to send a body [default: 30]
    #[arg(long, env = "ANOMALY_BODY_SECONDS", value_name = "SECONDS", help_heading = "Limits")]
    body_seconds: Option<String>,
    /// How long a request may take from then on [default: 60]
    #[arg(long, env = "ANOMALY_REQUEST_SECONDS", value_name = "SECONDS", help_heading = "Limits")]
    request_seconds: Option<String>,
    /// How long requests under way may take after SIGTERM or SIGINT [default: 30]
    #[arg(long, env = "ANOMALY_DRAIN_SECONDS", value_name = "SECONDS", help_heading = "Limits")]
    drain_seconds: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Human,
    /// One object a line
    Json,
}

impl Serve {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "ANOMALY_HOST" => self.host.clone(),
            "ANOMALY_PORT" => self.port.clone(),
            "ANOMALY_CORS_ORIGIN" => self.cors_origin.clone(),
            "ANOMALY_MAX_QUEUE" => self.max_queue.clone(),
            "ANOMALY_MAX_QUEUE_BYTES" => self.max_queue_bytes.clone(),
            "ANOMALY_MAX_BATCH" => self.max_batch.clone(),
            "ANOMALY_MAX_BODY_BYTES" => self.max_body_bytes.clone(),
            "ANOMALY_MAX_TOTAL_BODY_BYTES" => self.max_total_body_bytes.clone(),
            "ANOMALY_MAX_CONNECTIONS" => self.max_connections.clone(),
            "ANOMALY_IDLE_SECONDS" => self.idle_seconds.clone(),
            "ANOMALY_BODY_SECONDS" => self.body_seconds.clone(),
            "ANOMALY_REQUEST_SECONDS" => self.request_seconds.clone(),
            "ANOMALY_DRAIN_SECONDS" => self.drain_seconds.clone(),
            _ => self.engine.variable(name),
        }
    }

    fn run(&self) -> Result<ExitCode> {
        // Not into a file or a container's log, and not against NO_COLOR.
        let colours = console::colors_enabled_stderr();
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
        match self.log_format {
            LogFormat::Human => log.init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        let config = Config::from_env(|name| self.variable(name))?;
        let serve = ServeConfig::from_env(|name| self.variable(name))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            // The model's threads do the work; these only pass it on.
            .worker_threads(2)
            .thread_name("http")
            .build()
            .map_err(|error| Error::Internal(format!("the threads for HTTP cannot start: {error}")))?;
        runtime.block_on(listen(config, serve))
    }
}

async fn listen(config: Config, serve: ServeConfig) -> Result<ExitCode> {
    let place = (serve.host.clone(), serve.port);
    let cannot = |error: std::io::Error| {
        Error::InvalidConfig(format!("cannot listen on {}:{}: {error}", serve.host, serve.port))
    };
    let listener = TcpListener::bind((place.0.as_str(), place.1)).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let key = if serve.api_key.is_some() { "required" } else { "none" };
    tracing::info!(key, "listening on http://{address}");
    if serve.api_key.is_none() && !address.ip().is_loopback() {
        tracing::warn!("other hosts may use this service without a key; ANOMALY_API_KEY sets one");
    }

    let app = App::new(config.clone(), serve);
    let (loaded, failure) = tokio::sync::oneshot::channel();
    ENGINE.load(&config, move |outcome| drop(loaded.send(outcome)));
    let loading = async move {
        match failure.await {
            Ok(Ok(())) => {
                if let Some(warning) = ENGINE.take_warning() {
                    tracing::warn!("{warning}");
                }
                let name = ENGINE.detector().map(|detector| detector.model_name().to_owned()).unwrap_or_default();
                tracing::info!(model = name, "ready");
                std::future::pending::<Error>().await
            }
            Ok(Err(error)) => error,
            Err(_) => Error::Internal("the load was lost".to_owned()),
        }
    };
    let stop = async {
        let first = ended().await;
        tracing::info!("{first}: ending; a second signal ends at once");
        tokio::spawn(async {
            ended().await;
            std::process::exit(130);
        });
    };
    tokio::select! {
        error = loading => Err(error),
        cut_off = listen::run(&app, listener, stop) => {
            if cut_off > 0 {
                tracing::warn!(connections = cut_off, "the time to end is over; requests were cut off");
                return Ok(ExitCode::FAILURE);
            }
            tracing::info!("ended");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Waits for SIGTERM or SIGINT.
#[cfg(unix)]
async fn ended() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers a signal ends the process in its own way.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// As above, where Ctrl-C is all that there is.
#[cfg(not(unix))]
async fn ended() -> &'static str {
    match tokio::signal::ctrl_c().await {
        Ok(()) => "Ctrl-C",
        Err(_) => std::future::pending().await,
    }
}

fn print_completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    clap_complete::generate(shell, &mut Cli::command(), "audit-anomaly", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

/// One page for all commands: clap_mangen makes one for each, and refers to pages that nobody has installed.
fn manual() -> std::io::Result<String> {
    let mut command = Cli::command();
    command.build();
    let main = Man::new(command.clone());
    let mut page = Vec::new();
    main.render_title(&mut page)?;
    main.render_name_section(&mut page)?;
    main.render_synopsis_section(&mut page)?;
    main.render_description_section(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let (name, man) = (command.get_name().to_uppercase(), Man::new(command.clone()));
        let mut part = Vec::new();
        man.render_synopsis_section(&mut part)?;
        man.render_description_section(&mut part)?;
        man.render_options_section(&mut part)?;
        if command.get_after_help().is_some() {
            man.render_extra_section(&mut part)?;
        }
        page += &format!(
            ".SH {name}\n{}",
            String::from_utf8_lossy(&part).replace(".SH EXTRA", ".SH NOTES").replace(".SH ", ".SS ")
        );
    }
    Ok(page)
}

fn print_manual() -> Result<ExitCode> {
    let cannot = |error| Error::Internal(format!("the manual cannot be written: {error}"));
    print!("{}", manual().map_err(cannot)?);
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Scan(scan) => scan.run(),
        Command::Download(download) => download.run(),
        Command::Check(check) => check.run(),
        Command::Completions { shell } => print_completions(shell),
        Command::Man => print_manual(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("audit-anomaly: {}: {error}", error.code());
        ExitCode::from(error.exit_code())
    })
}
