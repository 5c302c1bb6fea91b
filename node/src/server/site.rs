//! A site's server.

use std::{collections::BTreeMap, fmt, sync::Arc};

use annona_protocol::{
    ids::{Digest, LineId, QuoteId, Units},
    programme::Announcement,
    redeem::{BearerVoucher, CollectRequest, RedeemRequest, RedeemResponse, VoidRequest},
    slip::OpeningPack,
    wire::Message as _,
};
use axum::{
    Json,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    app::{App, Party, message},
    config::Config,
    metrics::{Gauges, Shown},
    openapi::{Bytes, OperatorProblems, PublicProblems, Slip},
    operators::Role,
    problem::{MESSAGE_TYPE, Problem, Refusal},
    serve::{Running, ServeError},
};
use crate::{
    random,
    service::site::{CounterId, SiteError, SiteService, SiteStatus, TapId},
    store::Store,
};

/// The longest list of stock, in bytes.
const STOCK_BYTES: usize = 64 * 1024;

/// What the server asks of the program around it. Called on threads that may block.
pub trait Hooks: Send + Sync + 'static {
    /// The log grew: a batch or a statement. Wakes the publisher, and returns at once.
    fn log_grew(&self);
}

/// Starts a site's server.
///
/// # Errors
/// [`ServeError`].
pub fn run(service: Arc<SiteService>, config: &Config, hooks: Arc<dyn Hooks>) -> Result<Running, ServeError> {
    let app = App::new(Arc::clone(&service) as Arc<dyn Party>, config, Shown::AtBatchClose)
        .map_err(|refusal| ServeError::Store { code: refusal.code() })?;
    let key = service.key().clone();
    let site = Arc::new(Site { app: Arc::clone(&app), service, hooks });
    let router = app.router(routes(site), "Annona site");
    Running::start(config, &key, app, router)
}

impl Party for SiteService {
    fn store(&self) -> &Store {
        self.store()
    }

    fn open_rounds(&self) -> Vec<u32> {
        self.status().ok().and_then(|status| status.round).into_iter().collect()
    }

    fn gauges(&self) -> Result<Gauges, Refusal> {
        let status = self.status()?;
        Ok(Gauges { log_size: status.log_size, batches: status.batches, sessions: None })
    }
}

struct Site {
    app: Arc<App>,
    service: Arc<SiteService>,
    hooks: Arc<dyn Hooks>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Site")
    }
}

impl Site {
    async fn answer(
        self: &Arc<Self>,
        request: Request,
        most: usize,
        answer: impl FnOnce(&SiteService, &[u8]) -> Result<RedeemResponse, SiteError> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let own = Arc::clone(self);
        let answer = self.app.message(request, most, move |bytes| answer(&own.service, bytes)).await?;
        Ok(message(answer.encode()))
    }

    async fn act<T: Send + 'static, E: Into<Refusal> + Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Refusal> {
        let own = Arc::clone(self);
        self.app.office(move || act(&own)).await
    }

    /// After leaves went into the log.
    fn grew(&self) {
        self.app.batch_closed();
        self.hooks.log_grew();
    }
}

fn routes(site: Arc<Site>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(quote))
        .routes(routes!(redeem))
        .routes(routes!(sheet))
        .routes(routes!(collect))
        .routes(routes!(handed_over))
        .routes(routes!(void))
        .routes(routes!(take_over))
        .routes(routes!(stock))
        .routes(routes!(open))
        .routes(routes!(open_without_pack))
        .routes(routes!(close_batch))
        .routes(routes!(close_round))
        .routes(routes!(announce))
        .routes(routes!(status))
        .with_state(site)
}

type Own = State<Arc<Site>>;

/// A counter of the site.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AtCounter {
    /// The counter's number; 0 where there is one.
    #[serde(default)]
    #[param(default = 0)]
    counter: u32,
}

/// A desk's tap.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Tap {
    /// The counter's number; 0 where there is one.
    #[serde(default)]
    #[param(default = 0)]
    counter: u32,
    /// A random name of this tap, 32 hexadecimal digits: sent again with it, because the answer was lost, the tap is answered as
    /// at first until the batch closes. Without it a second tap is refused.
    #[param(pattern = "^[0-9a-f]{32}$")]
    tap: Option<String>,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|letter| letter.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if lower => Ok(bytes),
        _ => Err(Problem::new("bad-request")),
    }
}

/// A fresh quote.
#[utoipa::path(post, path = "/v1/quote", tag = "wallets", params(AtCounter), responses(
    (status = 200, description = "A Quote", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn quote(State(site): Own, Query(at): Query<AtCounter>) -> Result<Response, Refusal> {
    let own = Arc::clone(&site);
    let quote = site.app.work(move || own.service.quote(CounterId(at.counter), &mut random::os())).await?;
    Ok(message(quote.encode()))
}

/// Redeems a visit's vouchers.
#[utoipa::path(post, path = "/v1/redeem", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A RedeemRequest"), responses(
    (status = 200, description = "A RedeemResponse", body = Bytes, content_type = "application/octet-stream"),
    PublicProblems, Slip))]
async fn redeem(State(site): Own, request: Request) -> Result<Response, Refusal> {
    site.answer(request, RedeemRequest::MAX_BYTES, SiteService::redeem).await
}

/// The quote that a printed voucher is shown under.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct UnderQuote {
    /// Its id, 32 hexadecimal digits.
    #[param(pattern = "^[0-9a-f]{32}$")]
    quote: String,
}

/// Redeems a printed voucher.
#[utoipa::path(post, path = "/v1/sheet", tag = "wallets", params(UnderQuote),
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A BearerVoucher"), responses(
    (status = 200, description = "A RedeemResponse", body = Bytes, content_type = "application/octet-stream"),
    PublicProblems, Slip))]
async fn sheet(State(site): Own, Query(under): Query<UnderQuote>, request: Request) -> Result<Response, Refusal> {
    let quote = QuoteId(parse_hex(&under.quote)?);
    site.answer(request, BearerVoucher::MAX_BYTES, move |service, bytes| service.redeem_sheet(quote, bytes)).await
}

/// Collects on an owed slip.
#[utoipa::path(post, path = "/v1/collect", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A CollectRequest"), responses(
    (status = 200, description = "A RedeemResponse without receipts", body = Bytes, content_type = "application/octet-stream"),
    PublicProblems, Slip))]
async fn collect(State(site): Own, request: Request) -> Result<Response, Refusal> {
    site.answer(request, CollectRequest::MAX_BYTES, SiteService::collect).await
}

/// The goods of a visit go out.
#[utoipa::path(post, path = "/operator/handed-over/{visit}", tag = "operators", security(("distributor" = [])),
    params(Tap, ("visit" = String, Path, description = "The visit, 64 hexadecimal digits", pattern = "^[0-9a-f]{64}$")),
    responses((status = 204, description = "It is written down"), OperatorProblems))]
async fn handed_over(
    State(site): Own,
    Path(visit): Path<String>,
    Query(at): Query<Tap>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    site.app.authorize(&headers, &[Role::Distributor]).await?;
    let visit = Digest(parse_hex(&visit)?);
    let tap = at.tap.as_deref().map(parse_hex).transpose()?.map(TapId);
    site.act(move |own| own.service.tapped(visit, CounterId(at.counter), tap)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Voids a whole visit before its batch closes.
#[utoipa::path(post, path = "/operator/void", tag = "operators", security(("supervisor" = [])),
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A VoidRequest"), responses(
    (status = 200, description = "A VoidSlip", body = Bytes, content_type = "application/octet-stream"),
    OperatorProblems, Slip))]
async fn void(State(site): Own, request: Request) -> Result<Response, Refusal> {
    site.app.authorize(request.headers(), &[Role::Supervisor]).await?;
    let body = site.app.body(request, VoidRequest::MAX_BYTES, MESSAGE_TYPE).await?;
    let slip = site.act(move |own| own.service.void(&body)).await?;
    Ok(message(slip.encode()))
}

/// Another counter serves a visit.
#[utoipa::path(post, path = "/operator/take-over/{visit}", tag = "operators", security(("supervisor" = [])),
    params(AtCounter, ("visit" = String, Path, description = "The visit, 64 hexadecimal digits", pattern = "^[0-9a-f]{64}$")),
    responses((status = 204, description = "It is that counter's"), OperatorProblems))]
async fn take_over(
    State(site): Own,
    Path(visit): Path<String>,
    Query(at): Query<AtCounter>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    site.app.authorize(&headers, &[Role::Supervisor]).await?;
    let visit = Digest(parse_hex(&visit)?);
    site.act(move |own| own.service.take_over(visit, CounterId(at.counter))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes over a newer announcement of the programme: rounds that were opened since.
#[utoipa::path(post, path = "/operator/announcement", tag = "operators", security(("supervisor" = [])),
    request_body(content = Bytes, content_type = "application/octet-stream", description = "An Announcement"),
    responses((status = 204, description = "The site knows it"), OperatorProblems))]
async fn announce(State(site): Own, request: Request) -> Result<StatusCode, Refusal> {
    site.app.authorize(request.headers(), &[Role::Supervisor]).await?;
    let body = site.app.body(request, Announcement::MAX_BYTES, MESSAGE_TYPE).await?;
    site.act(move |own| own.service.announce(&body)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets what is in stock, by line.
#[utoipa::path(post, path = "/operator/stock", tag = "operators", security(("supervisor" = [])),
    request_body(content = BTreeMap<u16, u64>, content_type = "application/json", description = "Units by line"),
    responses((status = 204, description = "It is set"), OperatorProblems))]
async fn stock(State(site): Own, request: Request) -> Result<StatusCode, Refusal> {
    site.app.authorize(request.headers(), &[Role::Supervisor]).await?;
    let body = site.app.body(request, STOCK_BYTES, "application/json").await?;
    let stock: BTreeMap<u16, u64> = serde_json::from_slice(&body).map_err(|_| Problem::new("malformed"))?;
    let stock = stock.into_iter().map(|(line, units)| (LineId(line), Units(units))).collect();
    site.act(move |own| own.service.set_stock(stock)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an officer wrote down when the last day closed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Day {
    /// The code that was printed then; none while the log is empty.
    day_code: Option<String>,
}

/// Opens a round by its pack.
#[utoipa::path(post, path = "/operator/open", tag = "operators", security(("supervisor" = [])), params(Day),
    request_body(content = Bytes, content_type = "application/octet-stream", description = "An OpeningPack"),
    responses((status = 204, description = "It is open"), OperatorProblems))]
async fn open(State(site): Own, Query(day): Query<Day>, request: Request) -> Result<StatusCode, Refusal> {
    site.app.authorize(request.headers(), &[Role::Supervisor]).await?;
    let body = site.app.body(request, OpeningPack::MAX_BYTES, MESSAGE_TYPE).await?;
    let round = site
        .act(move |own| {
            own.service.store().check_day(day.day_code.as_deref())?;
            own.service.open_round(&body)
        })
        .await?
        .0;
    tracing::info!(round, "round opened");
    Ok(StatusCode::NO_CONTENT)
}

/// Opens a round whose pack did not arrive. Counted, and all receipts say pending.
#[utoipa::path(post, path = "/operator/open-without-pack/{round}", tag = "operators", security(("supervisor" = [])),
    params(Day, ("round" = u32, Path, description = "The round")),
    responses((status = 204, description = "It is open"), OperatorProblems))]
async fn open_without_pack(
    State(site): Own,
    Path(round): Path<u32>,
    Query(day): Query<Day>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    site.app.authorize(&headers, &[Role::Supervisor]).await?;
    site.act(move |own| {
        own.service.store().check_day(day.day_code.as_deref())?;
        own.service.open_without_pack(annona_protocol::ids::Round(round))
    })
    .await?;
    tracing::info!(round, "round opened without its pack");
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a small batch is closed all the same.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Insist {
    /// Closes a batch that hides people behind few others.
    #[serde(default)]
    #[param(default = false)]
    insist: bool,
}

/// Closes the batch: what waits goes into the log, and visits are no longer grouped.
#[utoipa::path(post, path = "/operator/close-batch", tag = "operators", security(("supervisor" = [])), params(Insist),
    responses((status = 200, description = "It is closed", body = ClosedDay), OperatorProblems))]
async fn close_batch(
    State(site): Own,
    Query(Insist { insist }): Query<Insist>,
    headers: HeaderMap,
) -> Result<Json<ClosedDay>, Refusal> {
    site.app.authorize(&headers, &[Role::Supervisor]).await?;
    let (leaves, day_code) = site
        .act(move |own| {
            let leaves = own.service.close_batch(insist)?;
            own.grew();
            Ok::<_, SiteError>((leaves, own.service.store().day_code()?.to_string()))
        })
        .await?;
    tracing::info!(leaves, "batch closed");
    Ok(Json(ClosedDay { leaves, day_code }))
}

/// How many leaves a site's batch had.
#[derive(Debug, Serialize, ToSchema)]
struct ClosedDay {
    /// Leaves, without the batch's header.
    leaves: u64,
    /// To be written down, and typed when a round is opened.
    day_code: String,
}

/// Closes the round with its statement.
#[utoipa::path(post, path = "/operator/close-round", tag = "operators", security(("supervisor" = [])), responses(
    (status = 200, description = "A SiteStatement; the day's code in `annona-day-code`", body = Bytes,
        content_type = "application/octet-stream"), OperatorProblems))]
async fn close_round(State(site): Own, headers: HeaderMap) -> Result<Response, Refusal> {
    site.app.authorize(&headers, &[Role::Supervisor]).await?;
    let (statement, day_code) = site
        .act(|own| {
            let statement = own.service.close_round()?;
            own.grew();
            Ok::<_, SiteError>((statement, own.service.store().day_code()?))
        })
        .await?;
    let round = statement.content.place.round.0;
    tracing::info!(round, "round closed");
    let mut response = message(statement.encode());
    let code = HeaderValue::from_str(&day_code.to_string()).expect("a code is letters, digits, spaces and hyphens");
    response.headers_mut().insert("annona-day-code", code);
    Ok(response)
}

/// What an officer wants to know.
#[utoipa::path(get, path = "/operator/status", tag = "operators",
    security(("supervisor" = []), ("distributor" = [])), responses(
    (status = 200, description = "Round, batch, stock", body = serde_json::Value), OperatorProblems))]
async fn status(State(site): Own, headers: HeaderMap) -> Result<Json<SiteStatus>, Refusal> {
    site.app.authorize(&headers, &[Role::Supervisor, Role::Distributor]).await?;
    site.act(|own| own.service.status()).await.map(Json)
}
