//! Listens, shakes hands, serves connections, and stops in order.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use ed25519_dalek::SigningKey;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::{
    app::App,
    config::{Config, Limits},
    drain::Drained,
    limits::{Connections, Peer, seconds},
    tls::{self, TlsError},
};

/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a listener that has no room for another connection waits before it tries again.
const NO_ROOM: Duration = Duration::from_millis(50);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}. Choose another address, or stop what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be written down.
    #[error("cannot write {}: {source}. Check the folder and its permissions", path.display())]
    AddressFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no threads or signals.
    #[error("the system refused what a server needs: {0}. Check its limits")]
    System(#[from] io::Error),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store does not answer.
    #[error("the store cannot be read ({code}). Check the disk")]
    Store {
        /// The stable code.
        code: &'static str,
    },
    /// The server stopped by itself.
    #[error("the server stopped by a fault of the program. Start it again, and report what its log of events says")]
    Died,
}

/// A server that runs on threads of its own. Not to be used inside an asynchronous runtime.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    tls: bool,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    runtime: Runtime,
}

impl Running {
    pub(super) fn start(config: &Config, key: &SigningKey, app: Arc<App>, router: Router) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build()?;
        let address = config.listen.address;
        let listener =
            runtime.block_on(TcpListener::bind(address)).map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.local_addr()?;
        let tls = if config.listen.tls { Some(TlsAcceptor::from(tls::server_config(key)?)) } else { None };
        if !config.listen.address_file.as_os_str().is_empty() {
            write_address(&config.listen.address_file, address)?;
        }
        let (stop, stopping) = watch::channel(false);
        let has_tls = tls.is_some();
        let server = Server {
            connections: Connections::new(config.limits.peer_connections),
            room: Arc::new(Semaphore::new(config.limits.connections as usize)),
            limits: config.limits.clone(),
            tls,
            app,
            router,
            stopping,
        };
        let accepting = runtime.spawn(server.run(listener));
        tracing::info!("started");
        Ok(Self { address, tls: has_tls, stop, accepting, runtime })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The origin that clients are told.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Tells the server to stop: it accepts nothing more, and ends what it works on.
    pub fn shutdown(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the server has stopped. The service can be dropped then, which closes its store.
    ///
    /// # Errors
    /// [`ServeError::Died`].
    pub fn join(self) -> Result<(), ServeError> {
        let ended = self.runtime.block_on(self.accepting);
        // What still computes is finished and written: nobody waits for its answer any more.
        drop(self.runtime);
        tracing::info!("stopped");
        ended.map_err(|_| ServeError::Died)
    }

    /// Runs until SIGTERM or SIGINT, then stops in order.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn run_until_signal(self) -> Result<(), ServeError> {
        self.runtime.block_on(signal())?;
        self.shutdown();
        self.join()
    }
}

#[cfg(unix)]
async fn signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn signal() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Whole or not at all: whoever waits for the file reads an address.
fn write_address(path: &Path, address: SocketAddr) -> Result<(), ServeError> {
    let failed = |source| ServeError::AddressFile { path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    std::fs::write(&name, format!("{address}\n")).map_err(failed)?;
    std::fs::rename(&name, path).map_err(failed)
}

struct Server {
    connections: Arc<Connections>,
    room: Arc<Semaphore>,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    app: Arc<App>,
    router: Router,
    stopping: watch::Receiver<bool>,
}

impl Server {
    async fn run(mut self, listener: TcpListener) {
        let mut open = JoinSet::new();
        let mut stopping = self.stopping.clone();
        loop {
            let accepted = tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => break,
                accepted = self.accept(&listener) => accepted,
                // Ended ones are taken out as they end.
                Some(_) = open.join_next() => continue,
            };
            if let Some((stream, peer, room)) = accepted
                && let Some(connection) = self.connections.open(peer)
            {
                let serving = self.serve(stream, peer);
                open.spawn(async move {
                    serving.await;
                    drop((connection, room));
                });
            }
        }
        self.app.stop();
        drop(listener);
        self.router = Router::new();
        let grace = seconds(self.limits.shutdown_seconds);
        // Those that do not end in time are cut off.
        let ended = tokio::time::timeout(grace, async { while open.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(code = "cut-off", "stopped before every request was answered");
        }
    }

    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
        let room = Arc::clone(&self.room).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, address)) => Some((stream, Peer::of(address.ip()), room)),
            Err(_) => {
                tokio::time::sleep(NO_ROOM).await;
                None
            }
        }
    }

    /// Serves one connection to its end.
    fn serve(&self, stream: TcpStream, peer: Peer) -> impl Future<Output = ()> + Send + use<> {
        let (tls, limits, router, stopping) =
            (self.tls.clone(), self.limits.clone(), self.router.clone(), self.stopping.clone());
        async move {
            // Answers are small: waiting to fill a packet only delays them.
            drop(stream.set_nodelay(true));
            match tls {
                None => exchange(stream, peer, &limits, router, stopping).await,
                Some(tls) => {
                    let handshake = tokio::time::timeout(seconds(limits.handshake_seconds), tls.accept(stream));
                    if let Ok(Ok(stream)) = handshake.await {
                        exchange(stream, peer, &limits, router, stopping).await;
                    }
                }
            }
        }
    }
}

/// Answers requests until the connection ends, is too old, or the server stops. What goes wrong with a connection is its peer's
/// affair, and is not written down.
async fn exchange<S>(stream: S, peer: Peer, limits: &Limits, router: Router, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (head, body) = request.into_parts();
        let body = Body::new(Drained::new(body, &head.headers));
        router.clone().oneshot(Request::from_parts(head, body))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(seconds(limits.head_seconds))
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(seconds(limits.connection_seconds)) => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    // A peer that does not read its answer is not waited for longer than a stop takes.
    drop(tokio::time::timeout(seconds(limits.shutdown_seconds), connection).await);
}
