//! The HTTP server around a [`Witness`]. Plain HTTP, to be reached from elsewhere through a proxy that speaks TLS.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    runtime::{self, Runtime},
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};

use super::{MAX_REQUEST_BYTES, Refusal, Witness};

/// Open connections. More wait until one closes.
const CONNECTIONS: usize = 64;
/// Requests that are worked on at once; for one log it is one.
const WORKERS: usize = 8;
/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(10);
/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(10);
/// How long a connection is kept.
const CONNECTION: Duration = Duration::from_secs(120);
/// How long requests may take to end once the server is told to stop.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// After an error of the system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

const SIZE_TYPE: &str = "text/x.tlog.size";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// Where a witness listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether an address outside loopback is allowed: only in a network where a proxy with TLS stands in front.
    pub allow_remote: bool,
}

impl Default for Listen {
    /// A free port of 127.0.0.1.
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), allow_remote: false }
    }
}

/// A running server, on a thread of its own. Dropping it stops it as [`Server::stop`] does.
#[derive(Debug)]
#[must_use = "a server that is dropped stops"]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The submission prefix of C2SP: `http://address`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no more requests, lets those that are there end, and waits for that at most some seconds.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread died");
        }
    }
}

/// Serves a witness until it is told to stop. Can be called from anywhere, also within another runtime.
///
/// # Errors
/// [`ServeError`].
pub fn serve(witness: Arc<Witness>, listen: Listen) -> Result<Server, ServeError> {
    let Listen { address, allow_remote } = listen;
    if !address.ip().is_loopback() && !allow_remote {
        return Err(ServeError::Remote { address });
    }
    let bound = || -> io::Result<_> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    };
    let (address, listener) = bound().map_err(|source| ServeError::Listen { address, source })?;
    let system = |source| ServeError::System { source };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(system)?;
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("witness".into())
        .spawn(move || run(&runtime, witness, listener, stopped))
        .map_err(system)?;
    Ok(Server { address, stop: Some(stop), thread: Some(thread) })
}

fn run(runtime: &Runtime, witness: Arc<Witness>, listener: TcpListener, stopped: oneshot::Receiver<()>) {
    let router = Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(witness);
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => accept(&listener, &router, stopped).await,
            Err(error) => tracing::error!(%error, "cannot listen"),
        }
    });
}

async fn accept(listener: &tokio::net::TcpListener, router: &Router, mut stopped: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            // The sender is dropped to stop.
            _ = &mut stopped => break,
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => (place, stream),
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks off is the client's affair.
            drop(timeout(CONNECTION, connection).await);
            drop(place);
        });
    }
    if timeout(SHUTDOWN, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off at the stop");
    }
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Body) -> Response {
    let body = match whole(body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // Goes on to its end though the client may be gone.
    match tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await {
        Ok(Ok(line)) => text(StatusCode::OK, TEXT_TYPE, format!("{line}\n")),
        Ok(Err(refusal)) => refuse(&refusal),
        Err(_) => internal(),
    }
}

/// Reads the body, within its bounds.
async fn whole(body: Body) -> Result<Bytes, Response> {
    if body.size_hint().lower() > MAX_REQUEST_BYTES as u64 {
        return Err(refuse(&Refusal::TooLarge));
    }
    let announced = body.size_hint().exact().is_some();
    match timeout(BODY, to_bytes(body, MAX_REQUEST_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // One that says its length was within it and broke off; of the others only the limit is left.
        Ok(Err(_)) if announced => Err(text(StatusCode::BAD_REQUEST, TEXT_TYPE, "the body broke off\n".into())),
        Ok(Err(_)) => Err(refuse(&Refusal::TooLarge)),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, TEXT_TYPE, "the body took too long\n".into())),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Old { known } => return text(StatusCode::CONFLICT, SIZE_TYPE, format!("{known}\n")),
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::UnknownLog => StatusCode::NOT_FOUND,
        Refusal::Signature { .. } => StatusCode::FORBIDDEN,
        Refusal::TwoRoots { .. } | Refusal::Consistency { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::State(_) | Refusal::Logs { .. } | Refusal::Clock => {
            tracing::error!("{refusal}");
            return internal();
        }
    };
    text(status, TEXT_TYPE, format!("{refusal}\n"))
}

/// Paths and settings are the operator's to see.
fn internal() -> Response {
    text(StatusCode::INTERNAL_SERVER_ERROR, TEXT_TYPE, "the witness cannot work; its operator is told why\n".into())
}

fn text(status: StatusCode, media: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, media)], body).into_response()
}

/// Why a witness cannot serve. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Plain HTTP where others can read and change it.
    #[error(
        "{address} is not a loopback address. Listen on 127.0.0.1 behind a proxy with TLS, or add --allow-remote if the proxy is \
         on another machine of a network that you trust"
    )]
    Remote {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}. Choose another address or port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No thread or event queue is to be had.
    #[error("the operating system refuses what a server needs: {source}. Look at the limits of this user")]
    System {
        /// What the system said.
        source: io::Error,
    },
}
