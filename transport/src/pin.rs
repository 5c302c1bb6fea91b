//! TLS 1.3 with one pinned Ed25519 key in place of certificate authorities.

use std::sync::Arc;

use annona_protocol::signature::PublicKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use webpki::EndEntityCert;

/// The encoding of an Ed25519 key in a certificate (RFC 8410), before its 32 bytes.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whose certificate is accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust {
    /// Nobody's: no handshake succeeds.
    Nobody,
    /// That of whoever holds this key.
    Key(PublicKey),
    /// Anybody's: for what verifies by itself.
    Anybody,
}

/// A client's TLS.
pub(crate) fn config(trust: Trust) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let pinned = Arc::new(Pinned { trust, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_no_client_auth();
    // A ticket would tie two connections together.
    config.resumption = Resumption::disabled();
    config
}

#[derive(Debug)]
struct Pinned {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    /// The certificate's key is the pinned one. Its names, dates and issuer say nothing.
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = EndEntityCert::try_from(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let found = parsed.subject_public_key_info();
        let trusted = match self.trust {
            Trust::Nobody => false,
            Trust::Key(key) => [&ED25519[..], &key.0].concat() == *found,
            Trust::Anybody => true,
        };
        if trusted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    /// The server holds the key: it signed this handshake.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
