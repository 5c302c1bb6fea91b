//! TLS 1.3 under the party's log key: what the manifest names is what clients trust, and nothing else.
//!
//! The certificate is made at start and signed by its own key; clients look at the key in it and ignore names and dates. Using
//! the log's key here cannot be confused with its other signatures: what TLS 1.3 signs begins with 64 spaces and a context string
//! (RFC 8446, 4.4.3), a certificate is DER and begins with 0x30, the protocol's signatures begin with `annona v1 signature` and a
//! zero byte (registry), and a checkpoint is a text that begins with its log's origin, which has no space in it. No byte string
//! is two of these.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
    version::TLS13,
};
use zeroize::Zeroizing;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate cannot be made.
    #[error("the server's certificate cannot be made: {0}. Check the key file")]
    Certificate(#[from] rcgen::Error),
    /// The certificate and the key cannot be used.
    #[error("the server's certificate cannot be used: {0}. Check the key file")]
    Config(#[from] rustls::Error),
}

/// The name in the certificate; nobody looks at it.
const NAME: &str = "annona.invalid";
/// An Ed25519 seed as PKCS #8 (RFC 8410, 7), up to the seed.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A server's side: a fresh certificate of this key, TLS 1.3 only, and no resumption, which would link connections.
pub(super) fn server_config(key: &SigningKey) -> Result<Arc<ServerConfig>, TlsError> {
    let pkcs8 = Zeroizing::new([&PKCS8[..], key.as_bytes()].concat());
    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(&pkcs8[..]))?;
    let certificate = CertificateParams::new([NAME.to_owned()])?.self_signed(&pair)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
