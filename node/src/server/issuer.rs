//! The issuer's server.

use std::{fmt, sync::Arc};

use annona_protocol::{
    bucket::{Bucket, SlotKind},
    draw::{AmendRequest, DrawRequest, RollOverRequest, SessionRequest},
    enrol::EnrolRequest,
    ids::{Round, SiteId},
    log::leaf::LotLeaf,
    programme::{KeyEntry, SignedHeader},
    redeem::Surrender,
    swap::SwapRequest,
    voucher::RoundMaster,
    wire::Message as _,
};
use axum::{
    Json,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    app::{App, Party, message},
    config::Config,
    limits::{Admission, seconds},
    metrics::{Gauges, Shown},
    openapi::{Bytes, Gone, OperatorProblems, PublicProblems},
    operators::Role,
    problem::{Problem, Refusal},
    serve::{Running, ServeError},
};
use crate::{
    random,
    service::issuer::{IssuerError, IssuerService},
    store::Store,
    sync::{MirrorError, Received},
};

/// The longest approval, in bytes: a version with its key list.
const APPROVAL_BYTES: usize = 1 << 24;

/// Requests for slots that are worked on and that wait, beside all others: a bucket is a thousand times the work of an announcement,
/// and who restores must not keep others from drawing.
const SLOTS: (usize, usize) = (1, 64);

/// What the server asks of the program around it. Called on threads that may block.
pub trait Hooks: Send + Sync + 'static {
    /// The log grew: a batch, a version, a round. Wakes the publisher, and returns at once.
    fn log_grew(&self);
    /// The newest announcement in its encoding, if anything was published.
    fn announcement(&self) -> Option<Vec<u8>>;
    /// The master of a round that is to be opened.
    fn master(&self, round: Round) -> Option<RoundMaster>;
    /// A round is closed: its master is to be erased.
    fn round_closed(&self, round: Round);
    /// Takes in a package of a site's log (see [`crate::sync`]).
    ///
    /// # Errors
    /// [`MirrorError`].
    fn receive_log(&self, package: &[u8]) -> Result<Received, MirrorError>;
    /// How much of a site's log is here.
    ///
    /// # Errors
    /// [`MirrorError::Foreign`].
    fn log_state(&self, origin: &str) -> Result<Received, MirrorError>;
    /// Takes an approval that the officers signed; by default an encoded [`Approval`].
    ///
    /// # Errors
    /// [`IssuerError`].
    fn approve(&self, service: &IssuerService, approval: &[u8]) -> Result<(), IssuerError> {
        match Approval::decode(approval)? {
            Approval::Version(header, keys) => service.append_version(&header, &keys),
            Approval::Lot(leaf) => service.approve_lot(&leaf),
        }
    }
}

/// What officers approved, as a supervisor brings it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approval {
    /// A manifest version, and the keys that it adds.
    Version(SignedHeader, Vec<KeyEntry>),
    /// A ticket lot.
    Lot(LotLeaf),
}

impl Approval {
    /// The encoding: postcard.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("writing to memory cannot fail")
    }

    /// Decodes a whole byte string.
    ///
    /// # Errors
    /// [`IssuerError::Decode`] for anything but the one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, IssuerError> {
        use annona_protocol::wire::DecodeError;
        let approval: Self = postcard::from_bytes(bytes).map_err(DecodeError::Malformed)?;
        if approval.encode() == bytes { Ok(approval) } else { Err(DecodeError::NotCanonical.into()) }
    }
}

/// Starts the issuer's server.
///
/// # Errors
/// [`ServeError`].
pub fn run(service: Arc<IssuerService>, config: &Config, hooks: Arc<dyn Hooks>) -> Result<Running, ServeError> {
    let app = App::new(Arc::clone(&service) as Arc<dyn Party>, config, Shown::Always)
        .map_err(|refusal| ServeError::Store { code: refusal.code() })?;
    let key = service.log_key().clone();
    let archive = Admission::new(SLOTS.0, SLOTS.1, seconds(config.limits.queue_seconds));
    let bucket_min = config.publish.bucket_min;
    let issuer = Arc::new(Issuer { app: Arc::clone(&app), service, hooks, archive, bucket_min });
    let router = app.router(routes(issuer), "Annona issuer");
    Running::start(config, &key, app, router)
}

impl Party for IssuerService {
    fn store(&self) -> &Store {
        self.store()
    }

    fn open_rounds(&self) -> Vec<u32> {
        self.open_rounds().unwrap_or_default()
    }

    fn gauges(&self) -> Result<Gauges, Refusal> {
        let (log_size, batches) = self.log_counts()?;
        Ok(Gauges { log_size, batches, sessions: Some(self.sessions()) })
    }
}

struct Issuer {
    app: Arc<App>,
    service: Arc<IssuerService>,
    hooks: Arc<dyn Hooks>,
    /// Who reads slots.
    archive: Admission,
    bucket_min: u32,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issuer")
    }
}

impl Issuer {
    /// Answers one kind of message.
    async fn answer(
        self: &Arc<Self>,
        request: Request,
        most: usize,
        answer: impl FnOnce(&IssuerService, &[u8]) -> Result<Vec<u8>, IssuerError> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let own = Arc::clone(self);
        self.app.message(request, most, move |bytes| answer(&own.service, bytes)).await.map(message)
    }

    /// Does what a supervisor asks for; the log grew by it.
    async fn supervise<T: Send + 'static>(
        self: &Arc<Self>,
        headers: &HeaderMap,
        act: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.app.authorize(headers, &[Role::Supervisor]).await?;
        let own = Arc::clone(self);
        self.app
            .office(move || {
                let done = act(&own);
                // Also after a failure: it may have come after the commit.
                own.app.batch_closed();
                own.hooks.log_grew();
                done
            })
            .await
    }
}

fn routes(issuer: Arc<Issuer>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(announcement))
        .routes(routes!(enrol))
        .routes(routes!(roll_over))
        .routes(routes!(sessions))
        .routes(routes!(draw))
        .routes(routes!(swap))
        .routes(routes!(amend))
        .routes(routes!(surrender))
        .routes(routes!(slot_directory))
        .routes(routes!(slot_bucket))
        .routes(routes!(pack))
        .routes(routes!(receive_log))
        .routes(routes!(log_state))
        .routes(routes!(close_batch))
        .routes(routes!(open_round))
        .routes(routes!(freeze_round))
        .routes(routes!(close_round))
        .routes(routes!(approve))
        .routes(routes!(status))
        .with_state(issuer)
}

type Own = State<Arc<Issuer>>;

/// The programme with its proofs.
#[utoipa::path(get, path = "/v1/announcement", tag = "wallets", responses(
    (status = 200, description = "An Announcement", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn announcement(State(issuer): Own) -> Result<Response, Refusal> {
    let own = Arc::clone(&issuer);
    let found = issuer.app.work(move || Ok::<_, Refusal>(own.hooks.announcement())).await?;
    found.map(message).ok_or_else(|| Problem::new("no-announcement").into())
}

/// Enrols a household with its ticket.
#[utoipa::path(post, path = "/v1/enrol", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "An EnrolRequest"), responses(
    (status = 200, description = "An EnrolResponse", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn enrol(State(issuer): Own, request: Request) -> Result<Response, Refusal> {
    issuer.answer(request, EnrolRequest::MAX_BYTES, |service, bytes| service.enrol(bytes, &mut random::os())).await
}

/// Brings a credential into a round.
#[utoipa::path(post, path = "/v1/roll-over", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A RollOverRequest"), responses(
    (status = 200, description = "A RollOverResponse", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn roll_over(State(issuer): Own, request: Request) -> Result<Response, Refusal> {
    issuer
        .answer(request, RollOverRequest::MAX_BYTES, |service, bytes| service.roll_over(bytes, &mut random::os()))
        .await
}

/// Opens a signing session.
#[utoipa::path(post, path = "/v1/sessions", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A SessionRequest"), responses(
    (status = 200, description = "A SessionOffer", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn sessions(State(issuer): Own, request: Request) -> Result<Response, Refusal> {
    issuer
        .answer(request, SessionRequest::MAX_BYTES, |service, bytes| service.open_session(bytes, &mut random::os()))
        .await
}

/// Draws vouchers.
#[utoipa::path(post, path = "/v1/draw", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A DrawRequest"), responses(
    (status = 200, description = "A DrawResponse", body = Bytes, content_type = "application/octet-stream"),
    PublicProblems, Gone))]
async fn draw(State(issuer): Own, request: Request) -> Result<Response, Refusal> {
    issuer.answer(request, DrawRequest::MAX_BYTES, |service, bytes| service.draw(bytes, &mut random::os())).await
}

/// Swaps vouchers for others of the same worth.
#[utoipa::path(post, path = "/v1/swap", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A SwapRequest"), responses(
    (status = 200, description = "A SwapResponse", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn swap(State(issuer): Own, request: Request) -> Result<Response, Refusal> {
    issuer.answer(request, SwapRequest::MAX_BYTES, IssuerService::swap).await
}

/// Amends a household.
#[utoipa::path(post, path = "/v1/amend", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "An AmendRequest"), responses(
    (status = 200, description = "An AmendResponse", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn amend(State(issuer): Own, request: Request) -> Result<Response, Refusal> {
    issuer.answer(request, AmendRequest::MAX_BYTES, |service, bytes| service.amend(bytes, &mut random::os())).await
}

/// Publishes an unspent voucher after its round.
#[utoipa::path(post, path = "/v1/surrender", tag = "wallets",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A Surrender"), responses(
    (status = 204, description = "It is kept"), PublicProblems))]
async fn surrender(State(issuer): Own, request: Request) -> Result<StatusCode, Refusal> {
    let own = Arc::clone(&issuer);
    issuer.app.message(request, Surrender::MAX_BYTES, move |bytes| own.service.surrender(bytes)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How sealed slots are cut into buckets: a wallet that restores asks for this first.
#[utoipa::path(get, path = "/v1/slots", tag = "wallets", responses(
    (status = 200, description = "A SlotDirectory", body = Bytes, content_type = "application/octet-stream"), PublicProblems))]
async fn slot_directory(State(issuer): Own) -> Result<Response, Refusal> {
    let own = Arc::clone(&issuer);
    let found = issuer.archive.run(move || own.service.slot_directory(own.bucket_min)).await?;
    Ok(message(found?.encode()))
}

/// Where a part of a bucket begins.
#[derive(Debug, Deserialize)]
struct Behind {
    /// 64 hexadecimal digits.
    after: Option<String>,
}

/// The sealed slots of a bucket, all of them: there is no look-up of one.
#[utoipa::path(get, path = "/v1/slots/{kind}/{round}/{depth}/{bucket}", tag = "wallets",
    params(("kind" = String, Path, description = "`vouchers` or `credential`"),
        ("round" = u32, Path, description = "The round; 0 for slots of enrolments"),
        ("depth" = u8, Path, description = "The directory's depth, or one less"),
        ("bucket" = u32, Path, description = "The first bits of the ids, as many as the depth says"),
        ("after" = Option<String>, Query, description = "For the next part of a bucket that is too long for one message: the last id of the part before, 64 hexadecimal digits")),
    responses((status = 200, description = "A SlotBucket", body = Bytes, content_type = "application/octet-stream"),
        PublicProblems))]
async fn slot_bucket(
    State(issuer): Own,
    Path((kind, round, depth, number)): Path<(String, u32, u8, u32)>,
    Query(Behind { after }): Query<Behind>,
) -> Result<Response, Refusal> {
    let unknown = || Problem::new("bucket-unknown");
    let kind = SlotKind::parse(&kind).ok_or_else(unknown)?;
    let bucket = Bucket::new(kind, Round(round), depth, number).ok_or_else(unknown)?;
    let after = after.map(|after| {
        let mut id = [0; 32];
        hex::decode_to_slice(&after, &mut id).map(|()| id).map_err(|_| Problem::new("bad-request"))
    });
    let after = after.transpose()?;
    let own = Arc::clone(&issuer);
    let found = issuer
        .archive
        .run(move || {
            let found = own.service.slot_bucket(&bucket, after.as_ref(), own.bucket_min)?;
            Ok::<_, IssuerError>(found.encode())
        })
        .await?;
    Ok(message(found?))
}

/// The opening pack of a site, once the round is frozen.
#[utoipa::path(get, path = "/v1/packs/{round}/{site}", tag = "sites",
    params(("round" = u32, Path, description = "The round"), ("site" = u16, Path, description = "The site's number")),
    responses((status = 200, description = "An OpeningPack", body = Bytes, content_type = "application/octet-stream"),
        PublicProblems))]
async fn pack(State(issuer): Own, Path((round, site)): Path<(u32, u16)>) -> Result<Response, Refusal> {
    let own = Arc::clone(&issuer);
    let found = issuer
        .app
        .work(move || match own.service.pack(Round(round), SiteId(site)) {
            Err(IssuerError::Round(_)) => Err(Problem::new("pack-unknown").into()),
            other => other.map_err(Refusal::from),
        })
        .await?;
    Ok(message(found))
}

/// The longest name of a log, in bytes.
const ORIGIN_BYTES: usize = 1024;

/// Takes in a range of a site's log. It proves itself: no token is needed.
#[utoipa::path(post, path = "/v1/logs", tag = "sites",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "A package of a site's log"),
    responses((status = 200, description = "What is here of the log", body = serde_json::Value), PublicProblems))]
async fn receive_log(State(issuer): Own, request: Request) -> Result<Json<Received>, Refusal> {
    let own = Arc::clone(&issuer);
    issuer.app.carried(request, crate::sync::MAX_BYTES, move |bytes| own.hooks.receive_log(bytes)).await.map(Json)
}

/// How much of a site's log is here: the body is the log's name.
#[utoipa::path(post, path = "/v1/logs/state", tag = "sites",
    request_body(content = Bytes, content_type = "application/octet-stream", description = "The name of a log"),
    responses((status = 200, description = "What is here of the log", body = serde_json::Value), PublicProblems))]
async fn log_state(State(issuer): Own, request: Request) -> Result<Json<Received>, Refusal> {
    let own = Arc::clone(&issuer);
    let state = issuer.app.carried(request, ORIGIN_BYTES, move |bytes| {
        let origin = std::str::from_utf8(bytes).map_err(|_| MirrorError::Foreign)?;
        own.hooks.log_state(origin)
    });
    state.await.map(Json)
}

/// How many leaves a batch had.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Closed {
    /// Leaves, without the batch's header.
    pub(super) leaves: u64,
}

/// Closes the batch: what waits goes into the log.
#[utoipa::path(post, path = "/operator/close-batch", tag = "operators", security(("supervisor" = [])), responses(
    (status = 200, description = "It is closed", body = Closed), OperatorProblems))]
async fn close_batch(State(issuer): Own, headers: HeaderMap) -> Result<Json<Closed>, Refusal> {
    let leaves = issuer.supervise(&headers, |own| Ok(own.service.close_batch()?)).await?;
    tracing::info!(leaves, "batch closed");
    Ok(Json(Closed { leaves }))
}

/// Puts the newest version in force for a round and opens it for draws.
#[utoipa::path(post, path = "/operator/rounds/{round}/open", tag = "operators", security(("supervisor" = [])),
    params(("round" = u32, Path, description = "The round")),
    responses((status = 204, description = "It is open"), OperatorProblems))]
async fn open_round(State(issuer): Own, Path(round): Path<u32>, headers: HeaderMap) -> Result<StatusCode, Refusal> {
    issuer
        .supervise(&headers, move |own| {
            let master = own.hooks.master(Round(round)).ok_or_else(|| Problem::new("round-master"))?;
            Ok(own.service.open_round(Round(round), &master)?)
        })
        .await?;
    tracing::info!(round, "round opened");
    Ok(StatusCode::NO_CONTENT)
}

/// Freezes a round: swaps end, opening packs are made.
#[utoipa::path(post, path = "/operator/rounds/{round}/freeze", tag = "operators", security(("supervisor" = [])),
    params(("round" = u32, Path, description = "The round")),
    responses((status = 204, description = "It is frozen"), OperatorProblems))]
async fn freeze_round(State(issuer): Own, Path(round): Path<u32>, headers: HeaderMap) -> Result<StatusCode, Refusal> {
    issuer.supervise(&headers, move |own| Ok(own.service.freeze(Round(round)).map(drop)?)).await?;
    tracing::info!(round, "round frozen");
    Ok(StatusCode::NO_CONTENT)
}

/// Closes a round, and has its master erased.
#[utoipa::path(post, path = "/operator/rounds/{round}/close", tag = "operators", security(("supervisor" = [])),
    params(("round" = u32, Path, description = "The round")),
    responses((status = 204, description = "It is closed"), OperatorProblems))]
async fn close_round(State(issuer): Own, Path(round): Path<u32>, headers: HeaderMap) -> Result<StatusCode, Refusal> {
    issuer
        .supervise(&headers, move |own| {
            let done = own.service.close_round(Round(round));
            if own.service.closed_rounds()?.contains(&Round(round)) {
                own.hooks.round_closed(Round(round));
            }
            Ok(done?)
        })
        .await?;
    tracing::info!(round, "round closed");
    Ok(StatusCode::NO_CONTENT)
}

/// Takes what the officers approved: a manifest version or a ticket lot.
#[utoipa::path(post, path = "/operator/approve", tag = "operators", security(("supervisor" = [])),
    request_body(content = Bytes, content_type = "application/octet-stream", description = "An approved proposal"),
    responses((status = 204, description = "It is in the log"), OperatorProblems))]
async fn approve(State(issuer): Own, request: Request) -> Result<StatusCode, Refusal> {
    let headers = request.headers().clone();
    issuer.app.authorize(&headers, &[Role::Supervisor]).await?;
    let body = issuer.app.body(request, APPROVAL_BYTES, super::problem::MESSAGE_TYPE).await?;
    issuer.supervise(&headers, move |own| Ok(own.hooks.approve(&own.service, &body)?)).await?;
    tracing::info!("approval taken");
    Ok(StatusCode::NO_CONTENT)
}

/// What an officer wants to know.
#[utoipa::path(get, path = "/operator/status", tag = "operators",
    security(("supervisor" = []), ("caseworker" = [])), responses(
    (status = 200, description = "Rounds, batches, tickets", body = serde_json::Value), OperatorProblems))]
async fn status(State(issuer): Own, headers: HeaderMap) -> Result<Json<crate::service::issuer::IssuerStatus>, Refusal> {
    issuer.app.authorize(&headers, &[Role::Supervisor, Role::Caseworker]).await?;
    let own = Arc::clone(&issuer);
    issuer.app.office(move || own.service.status()).await.map(Json)
}
