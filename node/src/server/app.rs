//! What both servers have: the edge that every request passes, operators' rights, health, metrics.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{MatchedPath, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use rusqlite::Connection;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    config::Config,
    files,
    limits::{Admission, Gate, Peer, seconds},
    metrics::{Gauges, METRICS_TYPE, Metrics, Shown},
    openapi::{OperatorProblems, PublicProblems},
    operators::{self, OperatorError, Role},
    problem::{Code, MESSAGE_TYPE, Problem, Refusal},
};
use crate::store::{Store, StoreError};

/// How long a look at the store's health holds.
const HEALTH: Duration = Duration::from_secs(2);
/// Requests of operators that are worked on and that wait, beside everybody else's: a flood does not lock them out.
const OFFICE: (usize, usize) = (2, 64);
/// The same of those who may not be operators: tokens that were not seen to be good, and `/readyz`.
const DOOR: (usize, usize) = (2, 64);
/// The same of logs that sites bring: who takes them in waits for witnesses, and wallets must not wait for that.
const CARRIERS: (usize, usize) = (1, 16);
/// An event of one kind is written at most so often: when single requests came is nobody's business.
const EVENT: Duration = Duration::from_secs(3600);

/// The party behind a server.
pub(super) trait Party: Send + Sync + 'static {
    /// Its store.
    fn store(&self) -> &Store;
    /// Rounds that are open.
    fn open_rounds(&self) -> Vec<u32>;
    /// What is measured beside requests.
    fn gauges(&self) -> Result<Gauges, Refusal>;
}

/// What a server has beside its party's own.
pub(super) struct App {
    party: Arc<dyn Party>,
    work: Admission,
    office: Admission,
    door: Admission,
    carriers: Admission,
    /// Hashes of tokens that were good when they were last seen. They do not queue with the others; what they may do is looked up
    /// every time.
    known: Mutex<HashSet<[u8; 32]>>,
    gate: Gate,
    metrics: Metrics,
    body_timeout: Duration,
    published: PathBuf,
    stopping: AtomicBool,
    health: Mutex<Option<(Instant, bool)>>,
    /// When an event of a kind was last written.
    told: Mutex<HashMap<&'static str, Instant>>,
    document: OnceLock<Bytes>,
}

impl App {
    pub(super) fn new(party: Arc<dyn Party>, config: &Config, shown: Shown) -> Result<Arc<Self>, Refusal> {
        let home = party.store().path().parent().map(PathBuf::from).unwrap_or_default();
        let gauges = party.gauges()?;
        Ok(Arc::new(Self {
            work: Admission::of_config(&config.limits),
            office: Admission::new(OFFICE.0, OFFICE.1, seconds(config.limits.queue_seconds)),
            door: Admission::new(DOOR.0, DOOR.1, seconds(config.limits.queue_seconds)),
            carriers: Admission::new(CARRIERS.0, CARRIERS.1, seconds(config.limits.queue_seconds)),
            told: Mutex::default(),
            known: Mutex::new(operators::hashes(party.store())?),
            gate: Gate::new(&config.rates),
            metrics: Metrics::new(shown, gauges),
            body_timeout: seconds(config.limits.body_seconds),
            published: home.join(files::FOLDER),
            stopping: AtomicBool::new(false),
            health: Mutex::default(),
            document: OnceLock::new(),
            party,
        }))
    }

    /// Routes of both servers and of one, behind the edge.
    pub(super) fn router(self: &Arc<Self>, own: OpenApiRouter, title: &str) -> Router {
        let common = OpenApiRouter::new()
            .routes(routes!(healthz))
            .routes(routes!(readyz))
            .routes(routes!(metrics))
            .routes(routes!(revoke))
            .routes(routes!(backup))
            .routes(routes!(openapi))
            .routes(routes!(files::checkpoint))
            .routes(routes!(files::tile))
            .with_state(Arc::clone(self));
        let (router, document) = super::openapi::base(title).merge(common).merge(own).split_for_parts();
        let mut document = document;
        // The router's way to write "the rest of the path" is not the document's.
        document.paths.paths =
            document.paths.paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
        let document = document.to_json().expect("the document is JSON");
        self.document.get_or_init(|| document.into());
        router
            .method_not_allowed_fallback(|| async { Problem::of_status(StatusCode::METHOD_NOT_ALLOWED) })
            .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
            .layer(CatchPanicLayer::custom(|_| Problem::new("internal").into_response()))
            .layer(middleware::from_fn_with_state(Arc::clone(self), edge))
    }

    /// No new work: the server is told to stop.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Answers a message: reads it whole, then works on it.
    pub(super) async fn message<T: Send + 'static, E: Into<Refusal> + Send + 'static>(
        &self,
        request: Request,
        most: usize,
        answer: impl FnOnce(&[u8]) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.answer_by(&self.work, request, most, answer).await
    }

    /// The same for what a site or a carrier brings.
    pub(super) async fn carried<T: Send + 'static, E: Into<Refusal> + Send + 'static>(
        &self,
        request: Request,
        most: usize,
        answer: impl FnOnce(&[u8]) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.answer_by(&self.carriers, request, most, answer).await
    }

    async fn answer_by<T: Send + 'static, E: Into<Refusal> + Send + 'static>(
        &self,
        workers: &Admission,
        request: Request,
        most: usize,
        answer: impl FnOnce(&[u8]) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal> {
        let body = self.body(request, most, MESSAGE_TYPE).await?;
        workers.run(move || answer(&body)).await?.map_err(Into::into)
    }

    /// Works without a message.
    pub(super) async fn work<T: Send + 'static, E: Into<Refusal> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.work.run(work).await?.map_err(Into::into)
    }

    /// Works for an operator.
    pub(super) async fn office<T: Send + 'static, E: Into<Refusal> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.office.run(work).await?.map_err(Into::into)
    }

    /// Whether the request is an operator's who has one of these roles.
    pub(super) async fn authorize(
        self: &Arc<Self>,
        headers: &HeaderMap,
        roles: &'static [Role],
    ) -> Result<(), Refusal> {
        let token = operators::presented(headers)?;
        let app = Arc::clone(self);
        let admission = if self.knows(&token) { &self.office } else { &self.door };
        let role =
            admission.run(move || operators::role_of(app.party.store(), &token)).await?.map_err(Refusal::from)?;
        let Some(role) = role else {
            self.known().remove(&token);
            return Err(Problem::new("token-missing").into());
        };
        self.known().insert(token);
        if roles.contains(&role) { Ok(()) } else { Err(Problem::new("role").into()) }
    }

    fn knows(&self, token: &[u8; 32]) -> bool {
        self.known().contains(token)
    }

    fn known(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a body of at most so many bytes, within the time that it may take.
    pub(super) async fn body(&self, request: Request, most: usize, media: &str) -> Result<Bytes, Refusal> {
        let sent =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sent = sent.split(';').next().unwrap_or_default().trim();
        // Also keeps other origins' pages from posting through a browser without being asked for.
        if !sent.eq_ignore_ascii_case(media) {
            return Err(Problem::new("media-type").into());
        }
        let body = request.into_body();
        let too_long = || Refusal::from(Problem::new("too-long"));
        if body.size_hint().lower() > most as u64 {
            return Err(too_long());
        }
        let announced = body.size_hint().exact().is_some();
        match tokio::time::timeout(self.body_timeout, to_bytes(body, most)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            // One that says its length was within it and broke off; of the others only the limit is left.
            Ok(Err(_)) if announced => Err(Problem::new("bad-request").into()),
            Ok(Err(_)) => Err(too_long()),
            Err(_) => Err(Problem::new("slow").into()),
        }
    }

    pub(super) fn published(&self) -> &PathBuf {
        &self.published
    }

    /// Leaves went into the log: shows what was counted, where it is held back until then.
    pub(super) fn batch_closed(&self) {
        if let Ok(gauges) = self.party.gauges() {
            self.metrics.batch_closed(gauges);
        }
    }

    /// Writes down that requests fail, not when each did.
    fn tell_failure(&self, code: &'static str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(code).is_none_or(|last| last.elapsed() >= EVENT) {
            told.insert(code, Instant::now());
            tracing::error!(code, "requests fail: this is not written again within the hour");
        }
    }

    /// Whether the store takes a write, as of a moment ago.
    fn is_healthy(&self) -> bool {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, healthy)) = *health
            && since.elapsed() < HEALTH
        {
            return healthy;
        }
        let touch = |connection: &Connection| {
            connection.execute("UPDATE meta SET value = value WHERE name = 'epoch'", []).map(drop)
        };
        let healthy = matches!(self.party.store().write(touch), Ok(Ok(())));
        *health = Some((Instant::now(), healthy));
        healthy
    }
}

impl From<OperatorError> for Refusal {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Store(error) => error.into(),
            _ => Problem::of_status(StatusCode::NOT_FOUND).into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        crate::service::issuer::IssuerError::Store(error).into()
    }
}

/// What a request passes before and after it is answered.
async fn edge(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other".to_owned(), |path| path.as_str().to_owned());
    let peer = request.extensions().get::<Peer>().copied();
    let alive = route == "/healthz";
    // Officers have to get through while everybody's rate is used up.
    let known = operators::presented(request.headers()).is_ok_and(|token| app.knows(&token));
    let passed = match peer {
        Some(peer) if !alive && !known => app.gate.pass(peer),
        _ => Ok(()),
    };
    let mut response = match passed {
        Ok(()) if !alive && app.stopping.load(Ordering::Relaxed) => Problem::new("not-ready").into_response(),
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if is_foreign_error(&response) {
        response = in_our_words(&response);
    }
    let code = response.extensions().get::<Code>().map_or("ok", |code| code.0);
    app.metrics.answered(&route, code, start.elapsed());
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR || matches!(code, "disk-full" | "store-later") {
        app.tell_failure(code);
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn is_foreign_error(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error()) && response.extensions().get::<Code>().is_none()
}

/// What the framework refuses by itself, as a problem.
fn in_our_words(response: &Response) -> Response {
    let mut ours = Problem::of_status(response.status()).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        ours.headers_mut().insert(header::ALLOW, allow.clone());
    }
    ours
}

/// The answer to `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// Always `ready`: anything else is a problem.
    status: &'static str,
    /// Rounds that are open.
    open_rounds: Vec<u32>,
}

/// Whether the process runs.
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "It runs", body = String, content_type = "text/plain; charset=utf-8"), PublicProblems))]
async fn healthz() -> &'static str {
    "ok"
}

/// Whether it takes requests: the store can be written and the server is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It takes requests", body = Ready), PublicProblems))]
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Ready>, Refusal> {
    let own = Arc::clone(&app);
    let (healthy, open_rounds) = app.door.run(move || (own.is_healthy(), own.party.open_rounds())).await?;
    if healthy { Ok(Json(Ready { status: "ready", open_rounds })) } else { Err(Problem::new("not-ready").into()) }
}

/// Counters for Prometheus. A site's move when a batch closes and at no other time.
#[utoipa::path(get, path = "/metrics", tag = "operators", security(("supervisor" = [])), responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = METRICS_TYPE), OperatorProblems))]
async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    app.authorize(&headers, &[Role::Supervisor]).await?;
    let own = Arc::clone(&app);
    let text = app.office(move || own.metrics.text(|| own.party.gauges())).await?;
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

/// Takes an operator's token away, from this moment on.
#[utoipa::path(post, path = "/operator/operators/{name}/revoke", tag = "operators", security(("supervisor" = [])),
    params(("name" = String, Path, description = "The operator's name")),
    responses((status = 204, description = "The token is worthless"), OperatorProblems))]
async fn revoke(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    app.authorize(&headers, &[Role::Supervisor]).await?;
    let own = Arc::clone(&app);
    app.office(move || operators::revoke(own.party.store(), &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a copy of the store is.
#[derive(Debug, Serialize, ToSchema)]
struct Copied {
    /// The file, in `backups/` of the party's folder.
    file: String,
}

/// Copies the store while it is in use.
#[utoipa::path(post, path = "/operator/backup", tag = "operators", security(("supervisor" = [])), responses(
    (status = 200, description = "It is copied", body = Copied), OperatorProblems))]
async fn backup(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<Copied>, Refusal> {
    app.authorize(&headers, &[Role::Supervisor]).await?;
    let own = Arc::clone(&app);
    let file = app.office(move || own.party.store().backup_beside()).await?;
    tracing::info!("the store was copied");
    Ok(Json(Copied { file }))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses(
    (status = 200, description = "OpenAPI 3.1", body = serde_json::Value, content_type = "application/json"), PublicProblems))]
async fn openapi(State(app): State<Arc<App>>) -> Response {
    let document = app.document.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], Body::from(document)).into_response()
}

/// A protocol message as the answer.
pub(super) fn message(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, MESSAGE_TYPE)], body).into_response()
}
