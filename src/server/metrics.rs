//! What happens, counted, in the text format of Prometheus (OpenMetrics 1.0).

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::config::Precision;
use crate::queue::Stats;

/// Media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds, from a cached score to a list that waits.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Route and status of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Status(u16);

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

type Seconds = Family<Route, Histogram, fn() -> Histogram>;

/// What is counted as it happens. What the engine counts is read when somebody asks.
#[derive(Clone)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    seconds: Seconds,
    records: Counter,
    anomalies: Counter,
    connections: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            records: Counter::default(),
            anomalies: Counter::default(),
            connections: Gauge::default(),
        }
    }
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Request { route, status: Status(status) }).inc();
        self.seconds.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    /// So many records were scored, of which so many are anomalous.
    pub fn scored(&self, records: usize, anomalies: usize) {
        self.records.inc_by(records as u64);
        self.anomalies.inc_by(anomalies as u64);
    }

    /// How many connections are open.
    pub fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// All of it, as Prometheus reads it.
    pub fn text(&self, engine: &Stats, model: &str, precision: Precision) -> String {
        let mut registry = Registry::with_prefix("anomaly");
        let precision = match precision {
            Precision::F32 => "f32",
            Precision::Int8 => "int8",
        };
        let labels = vec![("name", model.to_owned()), ("precision", precision.to_owned())];
        registry.register("model", "The model that makes the scores", Info::new(labels));
        registry.register("http_requests", "Requests by route and status", self.requests.clone());
        let help = "From the request's head to the answer's";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.seconds.clone());
        registry.register("http_connections", "Open connections", self.connections.clone());
        registry.register("records", "Records that were scored", self.records.clone());
        registry.register("anomalies", "Records that were flagged", self.anomalies.clone());

        let mut counter = |name: &str, help: &str, value: u64| {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            registry.register(name, help, counter);
        };
        counter("queue_refused", "Requests that found the queue full", engine.refused);
        counter("batches", "Batches that went through the model", engine.batches);
        counter("sequences", "Sequences in those batches", engine.sequences);
        counter("tokens", "Tokens in those batches", engine.tokens);
        counter("cache_hits", "Texts whose score was remembered", engine.cache_hits);
        counter("cache_misses", "Texts whose score was not", engine.cache_misses);
        let mut seconds = |name: &str, help: &str, value: f64| {
            let counter: Counter<f64, AtomicU64> = Counter::default();
            counter.inc_by(value);
            registry.register_with_unit(name, help, Unit::Seconds, counter);
        };
        seconds("compute", "What the threads' time on batches adds up to", engine.compute_seconds);
        seconds("queue_wait", "What the waiting of texts for a thread adds up to", engine.wait_seconds);
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(value as i64);
            registry.register(name, help, gauge);
        };
        gauge("queue_depth", "Records that wait", engine.queue_depth);
        gauge("queue_bytes", "Bytes of their texts", engine.queue_bytes);
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory_bytes", "Memory of this process", bytes);
        }
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// Memory of this process, where the system tells it in a file.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
