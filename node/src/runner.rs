//! A server with what runs beside it: the publisher that wakes when the log grows, and the keys of rounds.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use annona_protocol::{ids::Round, voucher::RoundMaster};

use crate::{
    home::{HomeError, IssuerHome},
    keys::Passphrase,
    officers::Proposal,
    publisher::{AnnounceError, Announcer, LogOwner, PublishError, Publisher},
    server::{self, Config, Running, ServeError},
    service::{
        issuer::{IssuerError, IssuerService},
        site::SiteService,
    },
    sync::{Mirror, MirrorError, Received, headquarters},
    witness::{WitnessClient, WitnessError},
};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The server.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The log cannot be published: a tampered or rolled-back store.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A witness' address.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The received logs.
    #[error(transparent)]
    Received(#[from] MirrorError),
    /// A witness that the manifest does not name.
    #[error("[publish] names witness {0:?}, which the manifest does not. Check its name")]
    UnknownWitness(String),
    /// A backup that nothing vouches for.
    #[error(
        "this store was made from a backup, and no witness was there to compare it with. Let one answer; at a site without a network, open the round again with the last day's code"
    )]
    Uncompared,
    /// The system gives no thread.
    #[error("the system refused a thread: {0}. Check its limits")]
    Thread(#[source] std::io::Error),
}

impl RunError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Publish(error) => error.is_transient(),
            Self::Uncompared => true,
            _ => false,
        }
    }
}

/// The witnesses of the manifest that the settings give an address to.
///
/// # Errors
/// [`RunError::UnknownWitness`], [`RunError::Witness`].
pub fn witnesses<S: LogOwner>(owner: &S, addresses: &BTreeMap<String, String>) -> Result<Vec<WitnessClient>, RunError> {
    let terms = owner.terms().map_err(PublishError::from)?;
    addresses
        .iter()
        .map(|(name, url)| {
            let key = terms.witnesses.iter().find(|key| key.name() == name);
            let key = key.ok_or_else(|| RunError::UnknownWitness(name.clone()))?;
            Ok(WitnessClient::new(key.clone(), url)?)
        })
        .collect()
}

/// Publishes whenever the log grew, and again until enough witnesses cosigned.
#[derive(Debug)]
struct Publishing {
    grew: Mutex<Option<Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Publishing {
    fn start<S: LogOwner + 'static>(
        publisher: Publisher<S>,
        witnesses: Vec<WitnessClient>,
        every: Duration,
        between: impl Fn() + Send + 'static,
    ) -> Result<Self, RunError> {
        // A store that contradicts what it published does not serve at all.
        report(&publisher.publish(&witnesses)?);
        // Nor one that is older than what witnesses saw: with the whole disk what it published went back, too (spec 8.4-M9).
        let silent = publisher.compare(&witnesses)?;
        let store = publisher.owner().store();
        if store.is_uncompared().map_err(PublishError::from)? {
            // So many that at least one of them is among whichever cosigned the log's newest checkpoint.
            let terms = publisher.owner().terms().map_err(PublishError::from)?;
            if witnesses.len() - silent.len() + terms.threshold <= terms.witnesses.len() {
                return Err(RunError::Uncompared);
            }
            store.was_compared().map_err(PublishError::from)?;
        }
        for (name, error) in silent {
            tracing::warn!(code = "witness-silent", witness = name, error = %error, "a witness was not asked");
        }
        let (grew, growing) = channel();
        let thread = std::thread::Builder::new().name("publish".into()).spawn(move || {
            loop {
                match growing.recv_timeout(every) {
                    Ok(()) => while growing.try_recv().is_ok() {},
                    Err(RecvTimeoutError::Timeout) => between(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                match publisher.publish(&witnesses) {
                    Ok(published) => report(&published),
                    Err(error) => tracing::error!(code = error.code(), "the log was not published"),
                }
            }
        });
        Ok(Self { grew: Mutex::new(Some(grew)), thread: Some(thread.map_err(RunError::Thread)?) })
    }

    fn wake(&self) {
        if let Some(grew) = self.grew.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // The thread ends only with this sender.
            let _sent = grew.send(());
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        drop(self.grew.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn report(published: &crate::publisher::Published) {
    for (name, error) in &published.waiting {
        if matches!(error, WitnessError::Behind { .. } | WitnessError::Inconsistent { .. }) {
            tracing::error!(code = "log-behind", witness = name, error = %error, "this store is an older copy: stop it");
        }
    }
    if published.is_complete() {
        tracing::info!(size = published.size, "log published");
    } else {
        tracing::warn!(
            code = "witnesses-missing",
            size = published.size,
            have = published.cosignatures,
            need = published.threshold,
            "the newest checkpoint waits for witnesses"
        );
    }
}

struct IssuerHooks {
    home: IssuerHome,
    passphrase: Passphrase,
    service: Arc<IssuerService>,
    announcer: Announcer,
    publishing: Publishing,
    received: Mutex<Mirror>,
    witnesses: Vec<WitnessClient>,
}

impl server::issuer::Hooks for IssuerHooks {
    fn log_grew(&self) {
        self.publishing.wake();
    }

    fn announcement(&self) -> Option<Vec<u8>> {
        match self.announcer.announcement() {
            Ok(bytes) => Some(bytes.to_vec()),
            Err(AnnounceError::NotYet) => None,
            Err(error) => {
                tracing::error!(code = "announcement", error = %error, "no announcement");
                None
            }
        }
    }

    fn master(&self, round: Round) -> Option<RoundMaster> {
        self.home.master(round, &self.passphrase).ok().flatten()
    }

    fn round_closed(&self, round: Round) {
        if self.home.erase_closed(&self.service).is_err() {
            tracing::error!(code = "master-not-erased", round = round.0, "the master of a closed round was not erased");
        }
    }

    fn receive_log(&self, package: &[u8]) -> Result<Received, MirrorError> {
        headquarters::receive(&self.service, &self.received, &self.witnesses, package)
    }

    fn log_state(&self, origin: &str) -> Result<Received, MirrorError> {
        headquarters::state(&self.service, &self.received, &self.witnesses, origin)
    }

    fn approve(&self, service: &IssuerService, approval: &[u8]) -> Result<(), IssuerError> {
        let proposal = Proposal::from_bytes(approval).map_err(|_| IssuerError::Signatures)?;
        match IssuerHome::approve(service, proposal) {
            Ok(()) => Ok(()),
            Err(HomeError::Issuer(error)) => Err(error),
            Err(_) => Err(IssuerError::Signatures),
        }
    }
}

/// A running server. Its publisher ends with it.
#[derive(Debug)]
pub struct Node {
    running: Running,
}

impl Node {
    /// Starts the issuer's server and its publisher.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn issuer(
        home: IssuerHome,
        service: IssuerService,
        passphrase: Passphrase,
        config: &Config,
    ) -> Result<Self, RunError> {
        let service = Arc::new(service);
        let publisher = Publisher::new(Arc::clone(&service), home.published());
        let received = Mutex::new(Mirror::open(&home.received())?);
        let clients = witnesses(&*service, &config.publish.witnesses)?;
        let of_sites = clients.clone();
        let (closing, least) = (Arc::clone(&service), u64::from(config.publish.batch_min));
        let between = move || {
            // A batch that is large enough hides what is in it: it need not wait for an officer.
            if let Err(error) = closing.close_batch_of(least) {
                tracing::error!(code = error.code(), "the batch was not closed");
            }
        };
        let publishing = Publishing::start(publisher, clients, every(config), between)?;
        let announcer = Announcer::new(Arc::clone(&service));
        let hooks = Arc::new(IssuerHooks {
            home,
            passphrase,
            service: Arc::clone(&service),
            announcer,
            publishing,
            received,
            witnesses: of_sites,
        });
        let running = server::issuer::run(service, config, hooks)?;
        Ok(Self { running })
    }

    /// Starts a site's server and its publisher. Without a witness in reach the log is published when it is synced.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn site(published: PathBuf, service: SiteService, config: &Config) -> Result<Self, RunError> {
        struct SiteHooks(Publishing);
        impl server::site::Hooks for SiteHooks {
            fn log_grew(&self) {
                self.0.wake();
            }
        }
        let service = Arc::new(service);
        let publisher = Publisher::new(Arc::clone(&service), published);
        let clients = witnesses(&*service, &config.publish.witnesses)?;
        let publishing = Publishing::start(publisher, clients, every(config), || {})?;
        let running = server::site::run(service, config, Arc::new(SiteHooks(publishing)))?;
        Ok(Self { running })
    }

    /// The server.
    pub fn server(&self) -> &Running {
        &self.running
    }

    /// Runs until SIGTERM or SIGINT, then stops in order.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn run_until_signal(self) -> Result<(), ServeError> {
        self.running.run_until_signal()
    }

    /// Stops in order.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn stop(self) -> Result<(), ServeError> {
        self.running.shutdown();
        self.running.join()
    }
}

fn every(config: &Config) -> Duration {
    Duration::from_secs(config.publish.every_seconds.into())
}
