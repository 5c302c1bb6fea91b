//! Asks witnesses for cosignatures: C2SP `tlog-witness` (<https://c2sp.org/tlog-witness>).
//!
//! Nothing that a witness says is believed: a cosignature is verified under its key in the manifest, and a size that it claims to
//! have seen decides only which consistency proof is sent.

use std::{io::Read as _, net::IpAddr, time::Duration};

use annona_protocol::log::{NoteError, NoteSignature, SignedNote, TreeHash, VerifierKey, note::verify_checkpoint};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;
/// How often a witness may name another size: others may submit the same log's checkpoints.
const ATTEMPTS: usize = 3;

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The manifest does not name it.
    #[error("the manifest names no such witness. Check the witness' key in the configuration")]
    NotInManifest,
    /// The address cannot be used.
    #[error("{url} is not an address of a witness: https, or http on this machine. Check the configuration")]
    Address {
        /// The address.
        url: String,
    },
    /// No answer.
    #[error("the witness cannot be reached: {0}. It is asked again with the next publication")]
    Unreachable(#[source] reqwest::Error),
    /// It does not know the log.
    #[error("the witness does not know this log. Ask its keeper to add the log's key")]
    UnknownLog,
    /// It does not accept the log's signature.
    #[error("the witness knows this log under another key. Ask its keeper to update the log's key")]
    Key,
    /// It finds the log inconsistent with what it cosigned before.
    #[error(
        "the witness says that this log contradicts what it cosigned before, at size {size:?}. Stop, keep the store, and run `recover`"
    )]
    Inconsistent {
        /// The size it names, if it names one.
        size: Option<u64>,
    },
    /// It cosigned a larger log before.
    #[error(
        "the witness cosigned size {size} of this log, and this store has only {ours}: the store is an older copy, or the witness is wrong. Serve nothing from it, keep it, and compare it with the mirrored log first"
    )]
    Behind {
        /// What it cosigned.
        size: u64,
        /// What this store has.
        ours: u64,
    },
    /// Any other status.
    #[error("the witness answered with status {0}. Try again later")]
    Status(u16),
    /// No valid cosignature in the answer.
    #[error("the witness' answer does not hold: {0}. Check the witness' key in the manifest")]
    Answer(#[from] NoteError),
    /// An answer that is none.
    #[error("the witness' answer is malformed. Check its address")]
    Malformed,
    /// The proof cannot be made.
    #[error("the log's rows give no consistency proof. Check the store")]
    Proof,
}

/// A witness and where it is reached.
#[derive(Clone, Debug)]
pub struct WitnessClient {
    key: VerifierKey,
    url: String,
}

impl WitnessClient {
    /// `prefix` is the submission prefix; requests go to `<prefix>/add-checkpoint`.
    ///
    /// # Errors
    /// [`WitnessError::Address`] unless it is https, or http on this machine.
    pub fn new(key: VerifierKey, prefix: &str) -> Result<Self, WitnessError> {
        let url = format!("{}/add-checkpoint", prefix.trim_end_matches('/'));
        let failed = || WitnessError::Address { url: url.clone() };
        let parsed = reqwest::Url::parse(&url).map_err(|_| failed())?;
        let local = parsed.host_str().is_some_and(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        });
        match parsed.scheme() {
            "https" => {}
            "http" if local => {}
            _ => return Err(failed()),
        }
        Ok(Self { key, url })
    }

    /// Its key, as the manifest names it.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Asks for a cosignature of a signed checkpoint and verifies it. `known` is a size that it may have cosigned before; `prove`
    /// gives consistency proofs from an older size.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn cosign(
        &self,
        note: &SignedNote,
        log: &VerifierKey,
        known: u64,
        prove: impl Fn(u64) -> Option<Vec<TreeHash>>,
    ) -> Result<NoteSignature, WitnessError> {
        let verified = verify_checkpoint(note.to_string().as_bytes(), log, &[], 0)?;
        let size = verified.checkpoint().size();
        let mut old = known.min(size);
        for _ in 0..ATTEMPTS {
            let proof = prove(old).ok_or(WitnessError::Proof)?;
            let (status, answer) = post(&self.url, request(old, &proof, note))?;
            match status {
                200 => return self.read(&answer, note, log),
                404 => return Err(WitnessError::UnknownLog),
                403 => return Err(WitnessError::Key),
                409 => {
                    let seen = parse_size(&answer).ok_or(WitnessError::Malformed)?;
                    if seen > size {
                        return Err(WitnessError::Behind { size: seen, ours: size });
                    }
                    if seen == old {
                        return Err(WitnessError::Inconsistent { size: Some(seen) });
                    }
                    old = seen;
                }
                422 => return Err(WitnessError::Inconsistent { size: None }),
                status => return Err(WitnessError::Status(status)),
            }
        }
        Err(WitnessError::Status(409))
    }

    fn read(&self, answer: &[u8], note: &SignedNote, log: &VerifierKey) -> Result<NoteSignature, WitnessError> {
        let answer = std::str::from_utf8(answer).map_err(|_| WitnessError::Malformed)?;
        let mut failed = WitnessError::Malformed;
        for line in answer.lines() {
            let signature: NoteSignature = line.parse()?;
            if signature.name() != self.key.name() || signature.key_id() != self.key.id() {
                continue;
            }
            let cosigned = note.clone().with_signature(signature.clone()).to_string();
            match verify_checkpoint(cosigned.as_bytes(), log, std::slice::from_ref(&self.key), 1) {
                Ok(_) => return Ok(signature),
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }
}

/// The body of a request.
fn request(old: u64, proof: &[TreeHash], note: &SignedNote) -> String {
    let proof: String = proof.iter().map(|hash| BASE64.encode(hash.0) + "\n").collect();
    format!("old {old}\n{proof}\n{note}")
}

fn parse_size(answer: &[u8]) -> Option<u64> {
    std::str::from_utf8(answer).ok()?.strip_suffix('\n')?.parse().ok()
}

/// The one function that touches the network.
fn post(url: &str, body: String) -> Result<(u16, Vec<u8>), WitnessError> {
    // Another part of the program may have chosen a provider already: the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::blocking::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(WitnessError::Unreachable)?;
    let answer = client.post(url).body(body).send().map_err(WitnessError::Unreachable)?;
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    answer.take(MAX_ANSWER).read_to_end(&mut bytes).map_err(|_| WitnessError::Malformed)?;
    Ok((status, bytes))
}
