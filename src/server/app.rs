//! The routes, and what each does.
//!
//! One table says which routes there are, with which methods, and who may use them. The checks that
//! come before any route follow it in the order of the Python service: a path that is a route but
//! for slashes at its end is redirected, then comes the method, then the key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, oneshot};
use tower_http::cors::CorsLayer;
use utoipa::{OpenApi, ToSchema};

use super::answer::{Invalid, Problem, Refusal, json};
use super::body;
use super::docs;
use super::entry::{self, Entry, Slip, Step};
use super::metrics::{self, Metrics};
use crate::analysis::Verdict;
use crate::config::{Config, ServeConfig};
use crate::engine::{ENGINE, Engine};
use crate::error::Error;
use crate::json::Value;
use crate::queue::Call;

/// A route: its path, its methods as Allow lists them, and whether it is open to all when there is a key.
struct Route {
    path: &'static str,
    methods: &'static str,
    open: bool,
}

/// What the Python service's framework takes on its own pages; its other routes have the one method that they name.
const PAGE: &str = "GET, HEAD";

/// Every route there is.
const ROUTES: [Route; 14] = [
    Route { path: "/health", methods: "GET", open: true },
    Route { path: "/live", methods: "GET", open: true },
    Route { path: "/ready", methods: "GET", open: true },
    Route { path: "/analyze-log", methods: "POST", open: false },
    Route { path: "/analyze-batch", methods: "POST", open: false },
    Route { path: "/metrics", methods: "GET", open: false },
    Route { path: "/openapi.json", methods: PAGE, open: false },
    Route { path: "/docs", methods: PAGE, open: false },
    Route { path: "/docs/start.js", methods: PAGE, open: false },
    Route { path: "/docs/swagger-ui-bundle.js", methods: PAGE, open: false },
    Route { path: "/docs/swagger-ui.css", methods: PAGE, open: false },
    Route { path: "/redoc", methods: PAGE, open: false },
    Route { path: "/redoc/start.js", methods: PAGE, open: false },
    Route { path: "/redoc/redoc.standalone.js", methods: PAGE, open: false },
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all requests share.
pub struct App {
    engine: &'static Engine,
    config: Config,
    serve: ServeConfig,
    /// A permit for each byte that the bodies of all requests may take.
    room: Semaphore,
    /// Counted here and read by [`super::listen`].
    pub metrics: Metrics,
    /// Set when the process is to end.
    pub draining: AtomicBool,
}

impl App {
    /// The application over the process's engine.
    pub fn new(config: Config, serve: ServeConfig) -> Arc<Self> {
        let (metrics, draining) = (Metrics::default(), AtomicBool::new(false));
        let room = Semaphore::new(serve.max_total_body_bytes);
        Arc::new(App { engine: &ENGINE, config, serve, room, metrics, draining })
    }

    /// The settings of the server.
    pub fn serve(&self) -> &ServeConfig {
        &self.serve
    }

    /// All routes with the checks before them.
    pub fn router(self: &Arc<Self>) -> Router {
        // Methods are checked in `gate`: axum's own routing would let HEAD through to every GET.
        let router = Router::new()
            .route("/health", any(health))
            .route("/live", any(live))
            .route("/ready", any(ready))
            .route("/analyze-log", any(analyze_log))
            .route("/analyze-batch", any(analyze_batch))
            .route("/metrics", any(metrics_text))
            .route("/openapi.json", any(openapi))
            .route("/docs", any(docs::swagger))
            .route("/docs/start.js", any(docs::swagger_start))
            .route("/docs/swagger-ui-bundle.js", any(docs::swagger_script))
            .route("/docs/swagger-ui.css", any(docs::swagger_style))
            .route("/redoc", any(docs::redoc))
            .route("/redoc/start.js", any(docs::redoc_start))
            .route("/redoc/redoc.standalone.js", any(docs::redoc_script))
            .with_state(self.clone())
            .layer(from_fn_with_state(self.clone(), gate));
        match self.cors() {
            Some(cors) => router.layer(cors),
            None => router,
        }
    }

    /// Lets pages of the one origin that may read answers do so. Without one there is no layer: it would still
    /// answer OPTIONS.
    fn cors(&self) -> Option<CorsLayer> {
        let origin = HeaderValue::from_str(self.serve.cors_origin.as_deref()?).ok()?;
        Some(CorsLayer::new().allow_origin(origin).allow_methods([Method::GET, Method::POST]).allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("x-api-key"),
        ]))
    }

    fn model_name(&self) -> String {
        let configured = || self.config.model.choice.name();
        self.engine.detector().map_or_else(configured, |detector| detector.model_name().to_owned())
    }

    fn ready(&self) -> Result<(), Refusal> {
        if self.draining.load(Ordering::Relaxed) {
            Err(Refusal::Draining)
        } else if self.engine.detector().is_none() {
            Err(Refusal::Loading)
        } else {
            Ok(())
        }
    }

    /// Scores entries; gives up their place in the queue when the client goes away.
    async fn analyze(&self, entries: Vec<Entry>) -> Result<Vec<AnalysisResult>, Refusal> {
        let queue = self.engine.queue(&self.config.limits);
        queue.admit()?;
        queue.count(1, entries.len());
        let waiting = Waiting { engine: self.engine, call: Call::new() };
        let (ids, texts): (Vec<String>, Vec<String>) =
            entries.into_iter().map(|entry| (entry.log_id, entry.log_text)).unzip();
        let (sender, receiver) = oneshot::channel();
        // Nobody listens when the client has gone.
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        self.engine.submit(&self.config, &waiting.call, texts, done);
        let scores = receiver.await.map_err(|_| Error::Internal("the queue lost a call".to_owned()))??;
        let model_name = self.model_name();
        let results: Vec<AnalysisResult> = ids
            .into_iter()
            .zip(scores)
            .map(|(log_id, score)| {
                let Verdict { anomaly_score, is_anomaly } = Verdict::new(score, self.config.threshold);
                let log_id = RawValue::from_string(log_id).map_err(|error| Error::Internal(error.to_string()))?;
                Ok(AnalysisResult { log_id, anomaly_score, is_anomaly, model_name: model_name.clone() })
            })
            .collect::<Result<_, Error>>()?;
        self.metrics.scored(results.len(), results.iter().filter(|result| result.is_anomaly).count());
        Ok(results)
    }

    /// The slips of texts that are too long.
    fn check_lengths<'a>(&self, entries: impl Iterator<Item = (Option<usize>, &'a Entry)>) -> Result<(), Refusal> {
        let limit = self.config.max_text_bytes;
        let slips: Vec<Slip> = entries
            .filter(|(_, entry)| entry.log_text.len() > limit)
            .map(|(index, entry)| {
                let mut loc = vec![Step::Name("body".to_owned())];
                loc.extend(index.map(Step::Index));
                loc.push(Step::Name("log_text".to_owned()));
                let shown = entry.log_text.chars().take(100).collect();
                let msg = format!("String should have at most {limit} bytes of UTF-8 (ANOMALY_MAX_TEXT_BYTES)");
                Slip { kind: "string_too_long", loc, msg, input: Value::String(shown, false), ctx: None }
            })
            .collect();
        if slips.is_empty() { Ok(()) } else { Err(Refusal::Slips(slips)) }
    }
}

/// A call in the queue, which it leaves when this is dropped.
struct Waiting {
    engine: &'static Engine,
    call: Call,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.engine.cancel(&self.call);
    }
}

// The shapes of the Python service.

/// One line of an audit log.
#[derive(ToSchema)]
#[schema(as = LogEntry)]
#[allow(dead_code, reason = "describes what entry.rs reads")]
struct LogEntry {
    /// Any whole number; it comes back as it was. `"123"`, `123.0` and `true` are taken as well.
    #[schema(example = 123)]
    log_id: i64,
    /// The text to score; may be empty.
    #[schema(example = "Failed login attempt for username: admin", max_length = 65536)]
    log_text: String,
}

/// What is said of one line.
#[derive(Serialize, ToSchema)]
struct AnalysisResult {
    /// The id of the line.
    #[schema(value_type = i64, example = 123)]
    log_id: Box<RawValue>,
    /// Probability that the line is anomalous, rounded to 4 decimals.
    #[schema(minimum = 0, maximum = 1, example = 0.9207)]
    anomaly_score: f64,
    /// Whether the score reaches the threshold.
    #[schema(example = true)]
    is_anomaly: bool,
    /// The model that made the score.
    #[schema(example = "audit-anomaly-small")]
    model_name: String,
}

/// How things stand.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `starting`, `healthy`, or `unhealthy` once loading failed.
    #[schema(example = "healthy")]
    status: &'static str,
    /// Whether the model is loaded.
    model_loaded: bool,
    /// The model, or the one that is to be loaded.
    #[schema(example = "audit-anomaly-small")]
    model_name: String,
    /// The score from which on a line is flagged.
    #[schema(example = 0.7)]
    threshold: f64,
}

/// A word for machines that only look at the status.
#[derive(Serialize, ToSchema)]
struct Word {
    /// `live` or `ready`.
    #[schema(example = "ready")]
    status: &'static str,
}

/// How things stand, as the Python service says it.
#[utoipa::path(get, path = "/health", tag = "state", responses(
    (status = 200, description = "Always, whatever the status in it", body = Health),
    (status = 503, description = "Too many connections", body = Problem),
))]
async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    let model_loaded = app.engine.detector().is_some();
    let status = match (model_loaded, app.engine.failed()) {
        (true, _) => "healthy",
        (false, true) => "unhealthy",
        (false, false) => "starting",
    };
    Json(Health { status, model_loaded, model_name: app.model_name(), threshold: app.config.threshold })
}

/// The process runs.
#[utoipa::path(get, path = "/live", tag = "state", responses(
    (status = 200, description = "It does", body = Word),
    (status = 503, description = "Too many connections", body = Problem),
))]
async fn live() -> Json<Word> {
    Json(Word { status: "live" })
}

/// The model is loaded, and the process is not about to end.
#[utoipa::path(get, path = "/ready", tag = "state", responses(
    (status = 200, description = "Send requests", body = Word),
    (status = 503, description = "Not yet, or no more; Retry-After says when to ask again", body = Problem),
))]
async fn ready(State(app): State<Arc<App>>) -> Result<Json<Word>, Refusal> {
    app.ready().map(|()| Json(Word { status: "ready" }))
}

/// Scores one line.
#[utoipa::path(post, path = "/analyze-log", tag = "scores", request_body = LogEntry, responses(
    (status = 200, description = "The analysis", body = AnalysisResult),
    (status = 400, description = "The body is not UTF-8", body = Problem),
    (status = 401, description = "The key is missing or wrong", body = Problem),
    (status = 408, description = "The body took too long to arrive", body = Problem),
    (status = 413, description = "The body is too large", body = Problem),
    (status = 415, description = "The body is compressed", body = Problem),
    (status = 422, description = "The body is no entry", body = Invalid),
    (status = 429, description = "The queue is full; Retry-After says when to try again", body = Problem),
    (status = 500, description = "A bug", body = Problem),
    (status = 503, description = "The model is loading, too many connections or bodies are there, or the request took too long", body = Problem),
), security((), ("bearer" = []), ("header" = [])))]
async fn analyze_log(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    // Held until there is an answer: the text in it lives as long.
    let (body, _held) = body::read(request, &app.serve, &app.room, 1).await?;
    let entry = entry::entry(&body).map_err(Refusal::Slips)?;
    drop(body);
    app.check_lengths(std::iter::once((None, &entry)))?;
    app.ready_to_score()?;
    let results = app.analyze(vec![entry]).await?;
    Ok(results.first().map_or_else(
        || Refusal::Engine(Error::Internal("the queue lost a text".to_owned())).into_response(),
        |result| json(StatusCode::OK, result),
    ))
}

/// Scores a list of lines; the answers come in their order.
#[utoipa::path(post, path = "/analyze-batch", tag = "scores", request_body = Vec<LogEntry>, responses(
    (status = 200, description = "One analysis for each line", body = Vec<AnalysisResult>),
    (status = 400, description = "The body is not UTF-8", body = Problem),
    (status = 401, description = "The key is missing or wrong", body = Problem),
    (status = 408, description = "The body took too long to arrive", body = Problem),
    (status = 413, description = "The body or the list is too large", body = Problem),
    (status = 415, description = "The body is compressed", body = Problem),
    (status = 422, description = "The body is no list of entries", body = Invalid),
    (status = 429, description = "The queue is full; Retry-After says when to try again", body = Problem),
    (status = 500, description = "A bug", body = Problem),
    (status = 503, description = "The model is loading, too many connections or bodies are there, or the request took too long", body = Problem),
), security((), ("bearer" = []), ("header" = [])))]
async fn analyze_batch(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let limit = app.config.limits.max_batch;
    let (body, _held) = body::read(request, &app.serve, &app.room, limit).await?;
    if let Value::Array(items) = &body
        && items.len() > limit
    {
        let found = items.len();
        return Err(Refusal::TooLarge(format!("the list has {found} records; ANOMALY_MAX_BATCH allows {limit}")));
    }
    let entries = entry::entries(&body).map_err(Refusal::Slips)?;
    drop(body);
    app.check_lengths(entries.iter().enumerate().map(|(index, entry)| (Some(index), entry)))?;
    app.ready_to_score()?;
    Ok(json(StatusCode::OK, &app.analyze(entries).await?))
}

impl App {
    /// What is in flight when the process is to end is still served.
    fn ready_to_score(&self) -> Result<(), Refusal> {
        if self.engine.detector().is_some() { Ok(()) } else { Err(Refusal::Loading) }
    }
}

/// Counters for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "state", responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
    (status = 401, description = "The key is missing or wrong", body = Problem),
    (status = 503, description = "Too many connections", body = Problem),
), security((), ("bearer" = []), ("header" = [])))]
async fn metrics_text(State(app): State<Arc<App>>) -> impl IntoResponse {
    let text = app.metrics.text(&app.engine.stats(), &app.model_name(), app.config.model.precision);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)
}

/// The description of all of this.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "audit-anomaly",
        description = "Tells which lines of an audit log are anomalous. The score of a line is the probability that a \
                       sentiment classifier gives to NEGATIVE; a line is flagged from the threshold up.",
        license(name = "MIT", identifier = "MIT"),
    ),
    paths(health, live, ready, analyze_log, analyze_batch, metrics_text),
    tags((name = "scores", description = "Scoring"), (name = "state", description = "For operators")),
    modifiers(&Keys),
)]
struct Description;

/// The two ways to send a key.
struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("header", SecurityScheme::ApiKey(key));
    }
}

async fn openapi() -> Response {
    json(StatusCode::OK, &Description::openapi())
}

// What comes before any route.

/// Redirects, refuses, bounds the time, counts and logs; whoever passes is served.
async fn gate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let path = request.uri().path().to_owned();
    let route = ROUTES.iter().find(|route| route.path == path);
    let method = request.method().clone();
    let mut response = match route {
        None => no_route(&path, request.uri().query()),
        Some(route) => match app.check(route, &request) {
            Err(refusal) => refusal.into_response(),
            Ok(()) => match tokio::time::timeout(app.serve.body + app.serve.request, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Refusal::Timeout.into_response(),
            },
        },
    };
    let (took, status) = (begun.elapsed(), response.status().as_u16());
    let label = route.map_or("other", |route| route.path);
    app.metrics.answered(label, status, took);
    let id_text = id.to_str().unwrap_or_default();
    // Neither path nor query of what is no route: they are the client's words.
    tracing::info!(target: "audit_anomaly::http", id = id_text, method = %Known(&method), route = label, status, ms = took.as_secs_f64() * 1000.0);
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A method by name, if it is one that everybody knows.
struct Known<'a>(&'a Method);

impl std::fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
        f.write_str(if known.contains(&self.0.as_str()) { self.0.as_str() } else { "other" })
    }
}

/// The client's id, if it is harmless, else one of our own.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |id: &&HeaderValue| {
        (1..=64).contains(&id.len())
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(harmless) {
        return id.clone();
    }
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let id = format!("{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("0"))
}

/// 307 to the route that a path is but for slashes at its end, else 404.
fn no_route(path: &str, query: Option<&str>) -> Response {
    let Some(route) = ROUTES.iter().find(|route| path.trim_end_matches('/') == route.path) else {
        return Refusal::NotFound.into_response();
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let place = query.map_or_else(|| route.path.to_owned(), |query| format!("{}?{query}", route.path));
    match HeaderValue::from_str(&place) {
        Ok(place) => response.headers_mut().insert(header::LOCATION, place),
        Err(_) => return Refusal::NotFound.into_response(),
    };
    response
}

impl App {
    fn check(&self, route: &Route, request: &Request) -> Result<(), Refusal> {
        if route.methods.split(", ").all(|method| method != request.method().as_str()) {
            return Err(Refusal::MethodNotAllowed(route.methods));
        }
        match &self.serve.api_key {
            Some(key) if !route.open && !knows(request.headers(), &key.0) => Err(Refusal::Unauthorized),
            _ => Ok(()),
        }
    }
}

/// Whether the headers hold the key.
fn knows(headers: &HeaderMap, key: &str) -> bool {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let sent = bearer.or_else(|| headers.get("x-api-key")?.to_str().ok());
    // Digests are compared, and in constant time: not even the key's length shows.
    sent.is_some_and(|sent| Sha256::digest(sent.as_bytes()).ct_eq(&Sha256::digest(key.as_bytes())).into())
}
