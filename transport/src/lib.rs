//! How parties reach each other: HTTP clients whose TLS trusts one pinned key, and nothing else.
//!
//! A server is its origin and an Ed25519 key that the manifest names: the key of its current log. Certificate authorities, names
//! and dates play no part. One thing is taken from whoever answers, as it verifies by itself: an issuer's announcement. A client
//! keeps nothing between requests: no cookies, no tickets, and no connection unless asked, so that two requests have nothing in
//! common but what their bytes say (spec 10.5).
#![forbid(unsafe_code)]

mod error;
mod pin;

use std::{fmt, io::Read as _, net::IpAddr, time::Duration};

use annona_protocol::signature::PublicKey;
use reqwest::{
    Proxy, Url,
    blocking::{Client as HttpClient, RequestBuilder, Response},
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};

use zeroize::Zeroizing;

pub use error::{Problem, TransportError};
use pin::Trust;

/// What protocol messages are sent as.
pub const MESSAGE_TYPE: &str = "application/octet-stream";
/// The header beside a signed message that explains a refusal.
pub const CODE_HEADER: &str = "annona-code";
/// Where an issuer has its announcement.
pub const ANNOUNCEMENT: &str = "/v1/announcement";

/// Whom to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The origin: `https://host[:port]`, or `http://` to this machine.
    pub url: String,
    /// The server's Ed25519 key; needed for `https`.
    pub key: Option<PublicKey>,
}

/// How to reach it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until the answer is whole.
    pub timeout: Duration,
    /// The longest answer that is read, in bytes.
    pub max_body: usize,
    /// A SOCKS5 proxy, `host:port`, that also resolves names; none is taken from the system. Every connection shows it a user and
    /// password of its own, unless connections are shared.
    pub socks_proxy: Option<String>,
    /// Whether requests may share a connection: never for a wallet, whose visits it would join.
    pub reuse_connections: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            // The longest messages are packs and announcements.
            max_body: 1 << 24,
            socks_proxy: None,
            reuse_connections: false,
        }
    }
}

/// A blocking client of one server. Not to be used inside an asynchronous runtime.
#[derive(Clone)]
pub struct Client {
    origin: String,
    http: HttpClient,
    max_body: usize,
    token: Option<Zeroizing<String>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.origin)
    }
}

impl Client {
    /// A client of a server.
    ///
    /// # Errors
    /// [`TransportError::Address`] for an address without a key, a proxy or a place beyond the origin that does not belong
    /// there, or plain `http` to another machine; [`TransportError::Client`].
    pub fn new(server: Server, options: &Options) -> Result<Self, TransportError> {
        let trust = server.key.map_or(Trust::Nobody, Trust::Key);
        Self::with(origin(&server.url, trust, options)?, trust, options)
    }

    /// The announcement of the issuer at an origin, from whoever answers there: the one request of a wallet that has a ticket and
    /// no manifest. Who holds the programme's id can tell whether it is true, and the issuer's key is in it: [`Client::new`] for
    /// everything else (spec 4.1).
    ///
    /// # Errors
    /// As [`Client::new`] and [`Client::get`].
    pub fn unpinned_announcement(url: &str, options: &Options) -> Result<Vec<u8>, TransportError> {
        let origin = origin(url, Trust::Anybody, options)?;
        Self::with(origin, Trust::Anybody, options)?.get(ANNOUNCEMENT)
    }

    fn with(origin: String, trust: Trust, options: &Options) -> Result<Self, TransportError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(MESSAGE_TYPE));
        let builder = HttpClient::builder()
            .tls_backend_preconfigured(pin::config(trust))
            .default_headers(headers)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .no_proxy()
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout);
        let builder = if options.reuse_connections { builder } else { builder.pool_max_idle_per_host(0) };
        let builder = match &options.socks_proxy {
            None => builder,
            Some(proxy) => builder.proxy(socks(proxy, options.reuse_connections)?),
        };
        let http = builder.build().map_err(|source| TransportError::Client { source })?;
        Ok(Self { origin, http, max_body: options.max_body, token: None })
    }

    /// The same client with an operator's token in every request.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(Zeroizing::new(token.trim().to_owned())), ..self }
    }

    /// Posts a message and gives the answer's body.
    ///
    /// # Errors
    /// [`TransportError`]. After a transient one the caller repeats the same bytes, and no others.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.run(self.http.post(self.url(path)).header(CONTENT_TYPE, MESSAGE_TYPE).body(body.to_vec()))
    }

    /// Gets what is at a path.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn get(&self, path: &str) -> Result<Vec<u8>, TransportError> {
        self.run(self.http.get(self.url(path)))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{}", self.origin, path.trim_start_matches('/'))
    }

    fn run(&self, request: RequestBuilder) -> Result<Vec<u8>, TransportError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        };
        let response = request.send().map_err(TransportError::of_sending)?;
        let status = response.status();
        if status.is_success() { self.body(response) } else { Err(self.refusal(response)) }
    }

    /// The whole body, up to the limit.
    fn body(&self, response: Response) -> Result<Vec<u8>, TransportError> {
        let limit = self.max_body;
        let mut body = Vec::new();
        let mut bounded = response.take(limit as u64 + 1);
        bounded.read_to_end(&mut body).map_err(|source| TransportError::AnswerLost { source: source.into() })?;
        if body.len() > limit { Err(TransportError::TooLong { limit }) } else { Ok(body) }
    }

    fn refusal(&self, response: Response) -> TransportError {
        let status = response.status().as_u16();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (content_type, code, retry_after) =
            (header(CONTENT_TYPE.as_str()), header(CODE_HEADER), header("retry-after"));
        let body = match self.body(response) {
            Ok(body) => body,
            Err(error) => return error,
        };
        if content_type == MESSAGE_TYPE {
            return TransportError::Signed { status, code: error::printable(&code), body };
        }
        TransportError::Refused(Box::new(Problem::parse(status, &body, &retry_after)))
    }
}

/// Checks what [`Options::socks_proxy`] is to be.
///
/// # Errors
/// [`TransportError::Address`] for anything but `host:port`.
pub fn check_proxy(proxy: &str) -> Result<(), TransportError> {
    proxy_url(proxy).map(drop)
}

/// The proxy for a client. Unless connections are shared, each has a user and password of its own, drawn at random: Tor, and proxies
/// that do as it does, give every pair a circuit of its own.
fn socks(proxy: &str, shared: bool) -> Result<Proxy, TransportError> {
    let url = proxy_url(proxy)?;
    if shared {
        return Proxy::all(url).map_err(|_| TransportError::Address(AddressError::Proxy));
    }
    // Asked once a connection. A proxy that wants no password is not gone through then: that would join them.
    Ok(Proxy::custom(move |_| {
        let mut url = url.clone();
        let half = || hex::encode(rand::random::<[u8; 16]>());
        // Neither fails for an address with a host; a bare address would be a shared circuit, so there is none.
        let isolated = url.set_username(&half()).and_then(|()| url.set_password(Some(&half())));
        isolated.expect("the address has a host");
        Some(url)
    }))
}

/// `socks5h`: the proxy resolves the name, so that no resolver here learns of it.
fn proxy_url(proxy: &str) -> Result<Url, TransportError> {
    let url = Url::parse(&format!("socks5h://{proxy}")).ok();
    let bare = |url: &Url| {
        url.has_host()
            && url.port().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    };
    url.filter(bare).ok_or(TransportError::Address(AddressError::Proxy))
}

/// Why an address is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not `https://host[:port]`.
    #[error("not an origin: write https://host:port and nothing behind it")]
    Origin,
    /// `https` without the server's key.
    #[error("no key: give the key of the server that the manifest names")]
    Key,
    /// `http` to another machine, or through a proxy.
    #[error("plain http leaves this machine: use https")]
    Plain,
    /// Not `host:port`.
    #[error("not a SOCKS5 proxy: write host:port")]
    Proxy,
}

/// The origin without a slash at its end.
fn origin(url: &str, trust: Trust, options: &Options) -> Result<String, TransportError> {
    let address = |error| Err(TransportError::Address(error));
    let Ok(url) = Url::parse(url) else { return address(AddressError::Origin) };
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    let Some(host) = url.host_str().filter(|_| bare && anonymous) else { return address(AddressError::Origin) };
    match (url.scheme(), trust) {
        ("https", Trust::Nobody) => return address(AddressError::Key),
        ("https", _) => {}
        ("http", _) if options.socks_proxy.is_none() && is_loopback(host) => {}
        ("http", _) => return address(AddressError::Plain),
        _ => return address(AddressError::Origin),
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
