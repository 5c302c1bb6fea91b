//! How much a server takes on at once, and how fast.
//!
//! Addresses of peers are in memory only, and in no log.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{
    config::{self, Rates},
    problem::Problem,
};

/// The most addresses that are remembered.
const PEERS: usize = 1 << 16;
/// How often those who stay away are forgotten, once there are so many.
const SWEEP: Duration = Duration::from_secs(1);

/// Lets a bounded number of requests work, and a bounded number wait for that.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// A place for each request that works or waits.
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    patience: Duration,
}

impl Admission {
    pub(super) fn new(workers: usize, queue: usize, patience: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(workers + queue)), workers: Arc::new(Semaphore::new(workers)), patience }
    }

    pub(super) fn of_config(limits: &config::Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if limits.workers == 0 { 8 * cores } else { limits.workers as usize };
        Self::new(workers, limits.queue as usize, seconds(limits.queue_seconds))
    }

    /// Runs what computes or waits for the disk on a thread of its own.
    ///
    /// Whoever asked may go away: the place stays taken until the work is done, which is finished in any case.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let overloaded = || Problem::new("overloaded");
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| overloaded())?;
        let worker = tokio::time::timeout(self.patience, Arc::clone(&self.workers).acquire_owned()).await;
        let worker = worker.ok().and_then(Result::ok).ok_or_else(overloaded)?;
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, worker);
            work()
        });
        // A panic: the hook has written down where.
        done.await.map_err(|_| Problem::new("internal"))
    }
}

pub(super) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Who is counted together: an address, or the network that one IPv6 customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))),
            address => Self(address),
        }
    }
}

/// Tokens that refill with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second: per_second.into(), burst: burst.into() })
    }

    fn full(self, now: Instant) -> Bucket {
        Bucket { tokens: self.burst, at: now }
    }

    fn refill(self, bucket: &mut Bucket, now: Instant) {
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second;
        *bucket = Bucket { tokens: (bucket.tokens + gained).min(self.burst), at: now };
    }

    /// Takes a token, or says after how many seconds there is one.
    fn take(self, bucket: &mut Bucket, now: Instant) -> Result<(), u32> {
        self.refill(bucket, now);
        if bucket.tokens < 1.0 {
            return Err(((1.0 - bucket.tokens) / self.per_second).ceil() as u32);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// Who may ask now.
#[derive(Debug)]
pub(super) struct Gate {
    all: Option<Rate>,
    peer: Option<Rate>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    all: Bucket,
    peers: HashMap<Peer, Bucket>,
    /// When those who stay away were last forgotten.
    swept: Option<Instant>,
}

impl Gate {
    pub(super) fn new(rates: &Rates) -> Self {
        let all = Rate::new(rates.per_second, rates.burst);
        let start = Bucket { tokens: rates.burst.into(), at: Instant::now() };
        Self {
            all,
            peer: Rate::new(rates.peer_per_second, rates.peer_burst),
            state: Mutex::new(State { all: start, peers: HashMap::new(), swept: None }),
        }
    }

    /// Counts a request.
    pub(super) fn pass(&self, peer: Peer) -> Result<(), Problem> {
        self.pass_at(peer, Instant::now()).map_err(|seconds| Problem::new("rate").after(seconds))
    }

    fn pass_at(&self, peer: Peer, now: Instant) -> Result<(), u32> {
        let mut state = self.state();
        // The peer's own first: what one sends too much takes nothing from the others.
        if let Some(rate) = self.peer {
            let full = state.peers.len() >= PEERS && !state.peers.contains_key(&peer);
            if full && state.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP) {
                state.swept = Some(now);
                state.peers.retain(|_, bucket| {
                    rate.refill(bucket, now);
                    bucket.tokens < rate.burst
                });
            }
            // Whoever finds no room counts with everybody only.
            if state.peers.len() < PEERS || state.peers.contains_key(&peer) {
                rate.take(state.peers.entry(peer).or_insert_with(|| rate.full(now)), now)?;
            }
        }
        self.all.map_or(Ok(()), |rate| rate.take(&mut state.all, now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Open connections by peer.
#[derive(Debug)]
pub(super) struct Connections {
    most: u32,
    open: Mutex<HashMap<Peer, u32>>,
}

/// An open connection; it no longer counts once this is dropped.
#[derive(Debug)]
pub(super) struct Open {
    of: Arc<Connections>,
    peer: Peer,
}

impl Connections {
    pub(super) fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// `None` if the peer has too many.
    pub(super) fn open(self: &Arc<Self>, peer: Peer) -> Option<Open> {
        let mut open = self.count();
        let count = open.entry(peer).or_default();
        if self.most > 0 && *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Open { of: Arc::clone(self), peer })
    }

    fn count(&self) -> MutexGuard<'_, HashMap<Peer, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.of.count();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(text.parse().unwrap())
    }

    fn gate(per_second: u32, burst: u32, peer_per_second: u32, peer_burst: u32) -> Gate {
        Gate::new(&Rates { per_second, burst, peer_per_second, peer_burst })
    }

    #[test]
    fn a_peer_that_floods_is_told_when_to_come_back_and_others_pass() {
        let gate = gate(0, 1, 2, 3);
        let now = Instant::now();
        let passed = (0..10).filter(|_| gate.pass_at(peer("192.0.2.1"), now).is_ok()).count();
        assert_eq!(passed, 3);
        assert_eq!(gate.pass_at(peer("192.0.2.1"), now), Err(1));
        assert_eq!(gate.pass_at(peer("192.0.2.2"), now), Ok(()));
        assert_eq!(gate.pass_at(peer("192.0.2.1"), now + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn everybody_together_has_a_rate_too() {
        let gate = gate(1, 2, 0, 1);
        let now = Instant::now();
        assert_eq!(gate.pass_at(peer("192.0.2.1"), now), Ok(()));
        assert_eq!(gate.pass_at(peer("192.0.2.2"), now), Ok(()));
        assert_eq!(gate.pass_at(peer("192.0.2.3"), now), Err(1));
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    }

    #[test]
    fn addresses_are_forgotten() {
        let gate = gate(0, 1, 1, 2);
        let now = Instant::now();
        for at in 0..PEERS as u32 {
            gate.pass_at(Peer::of(IpAddr::V4(at.into())), now).unwrap();
        }
        let later = now + Duration::from_secs(60);
        gate.pass_at(peer("203.0.113.1"), later).unwrap();
        assert_eq!(gate.state().peers.len(), 1);
    }

    #[test]
    fn a_peer_has_so_many_connections() {
        let connections = Connections::new(1);
        let first = connections.open(peer("192.0.2.1")).unwrap();
        assert!(connections.open(peer("192.0.2.1")).is_none());
        let _other = connections.open(peer("192.0.2.2")).unwrap();
        drop(first);
        assert!(connections.open(peer("192.0.2.1")).is_some());
    }

    #[tokio::test]
    async fn who_finds_no_place_is_told_so() {
        let admission = Admission::new(1, 0, Duration::from_secs(60));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (started, working) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let admission = admission.clone();
            async move {
                admission
                    .run(move || {
                        started.send(()).unwrap();
                        wait.recv().unwrap();
                    })
                    .await
            }
        });
        working.await.unwrap();
        assert_eq!(admission.run(|| ()).await, Err(Problem::new("overloaded")));
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(admission.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_frees_its_place() {
        let admission = Admission::new(1, 0, Duration::from_secs(60));
        assert_eq!(admission.run(|| panic!("on purpose")).await, Err::<(), _>(Problem::new("internal")));
        assert_eq!(admission.run(|| 7).await, Ok(7));
    }
}
