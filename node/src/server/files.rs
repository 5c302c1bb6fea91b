//! The published log as static files (C2SP tlog-tiles).

use std::{io, sync::Arc};

use annona_protocol::log::TilePath;
use axum::{
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    app::App,
    openapi::PublicProblems,
    problem::{MESSAGE_TYPE, Problem, Refusal},
};

/// The folder below a party's home that holds `checkpoint` and `tile/`.
pub(super) const FOLDER: &str = "published";

/// The newest cosigned checkpoint.
#[utoipa::path(get, path = "/log/checkpoint", tag = "log", responses(
    (status = 200, description = "A signed note", body = String, content_type = "text/plain; charset=utf-8"), PublicProblems))]
pub(super) async fn checkpoint(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let bytes = read(&app, "checkpoint".to_owned()).await?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, bytes).into_response())
}

/// A tile of hashes, or a bundle of entries.
#[utoipa::path(get, path = "/log/tile/{*tile}", tag = "log",
    params(("tile" = String, Path, description = "`<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]`, as C2SP tlog-tiles spells it")),
    responses((status = 200, description = "The tile", body = super::openapi::Bytes, content_type = "application/octet-stream"),
        PublicProblems))]
pub(super) async fn tile(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    // The path as it was sent: an escaped letter is another spelling, and there is one.
    let path = request.uri().path().strip_prefix("/log/").unwrap_or_default();
    let tile: TilePath = path.parse().map_err(|_| Problem::new("not-found"))?;
    let bytes = read(&app, tile.to_string()).await?;
    let headers =
        [(header::CONTENT_TYPE, MESSAGE_TYPE), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, bytes).into_response())
}

/// Reads a file below the folder. `path` is one of ours, never a client's.
async fn read(app: &Arc<App>, path: String) -> Result<Vec<u8>, Refusal> {
    let file = app.published().join(path);
    app.work(move || {
        std::fs::read(file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refusal::from(Problem::new("not-found")),
            _ => Problem::new("internal").into(),
        })
    })
    .await
}
