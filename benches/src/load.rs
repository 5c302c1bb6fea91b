//! How fast a store, a service and a server answer, how many callers at once, and what of it is the disk's or the processor's.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Barrier, Mutex, PoisonError},
    time::{Duration, Instant},
};

use annona_node::store::Store;
use reqwest::Client;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::measure::median;

/// What callers got.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Answers a second of everybody together.
    pub rate: f64,
    /// Half of the answers came within this time.
    pub p50: Duration,
    /// 99 of 100 came within this time.
    pub p99: Duration,
    /// Processor time of the whole process, an answer.
    pub processor: Duration,
    /// Of it, the storing threads'.
    pub storing: Duration,
}

/// Reads clocks around a run.
struct Clocks {
    start: Instant,
    processor: Duration,
    storing: Duration,
}

impl Clocks {
    fn start() -> Self {
        Self { processor: process_time(), storing: storing_time(), start: Instant::now() }
    }

    fn stop(self, mut times: Vec<Duration>) -> Served {
        let elapsed = self.start.elapsed();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let share = |now: Duration, then: Duration| now.saturating_sub(then).checked_div(count).unwrap_or_default();
        times.sort_unstable();
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or_default();
        Served {
            rate: f64::from(count) / elapsed.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            processor: share(process_time(), self.processor),
            storing: share(storing_time(), self.storing),
        }
    }
}

/// Callers at once: each takes the next request when its last was answered.
pub fn serve<T: Send>(callers: usize, requests: Vec<T>, answer: impl Fn(T) + Sync) -> Served {
    let requests = Mutex::new(requests.into_iter());
    let ready = Barrier::new(callers + 1);
    let caller = || {
        let mut times = Vec::new();
        ready.wait();
        loop {
            let next = requests.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(request) = next else { return times };
            let start = Instant::now();
            answer(request);
            times.push(start.elapsed());
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(caller)).collect();
        let clocks = Clocks::start();
        ready.wait();
        let times = threads.into_iter().flat_map(|thread| thread.join().expect("answers do not panic")).collect();
        clocks.stop(times)
    })
}

/// The same over HTTP. Connections are open before the clock starts; the clients share one thread.
///
/// # Errors
/// If the server cannot be reached, or refuses.
pub fn serve_http(callers: usize, origin: &str, path: &str, requests: Vec<Vec<u8>>) -> Result<Served, reqwest::Error> {
    // Another part of the program may have chosen a provider already: the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder().pool_max_idle_per_host(callers).no_proxy().build()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system gives a reactor");
    let (health, url) = (format!("{origin}/healthz"), format!("{origin}{path}"));
    let requests = Arc::new(Mutex::new(requests.into_iter()));
    let caller = |client: Client, url: String| {
        let requests = Arc::clone(&requests);
        async move {
            let mut times = Vec::new();
            loop {
                let next = requests.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(request) = next else { return Ok(times) };
                let start = Instant::now();
                let sent = client.post(&url).header("content-type", "application/octet-stream").body(request).send();
                sent.await?.error_for_status()?.bytes().await?;
                times.push(start.elapsed());
            }
        }
    };
    runtime.block_on(async {
        let connect =
            |client: Client, url| async move { client.get(url).send().await?.error_for_status()?.bytes().await };
        all((0..callers).map(|_| connect(client.clone(), health.clone()))).await?;
        let clocks = Clocks::start();
        let times: Vec<Vec<Duration>> = all((0..callers).map(|_| caller(client.clone(), url.clone()))).await?;
        Ok(clocks.stop(times.into_iter().flatten().collect()))
    })
}

/// Runs futures side by side on this thread.
async fn all<T, F>(futures: impl Iterator<Item = F>) -> Result<Vec<T>, reqwest::Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, reqwest::Error>> + Send + 'static,
{
    futures.collect::<JoinSet<_>>().join_all().await.into_iter().collect()
}

/// The median of writing 4 KiB to a file in `folder` and syncing it.
///
/// # Errors
/// If it cannot be written.
pub fn fsync(folder: &Path, times: usize) -> io::Result<Duration> {
    let path = folder.join("fsync");
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let samples: Vec<f64> = (0..times).map(|_| append(&mut file)).collect::<io::Result<_>>()?;
    fs::remove_file(path)?;
    Ok(Duration::from_secs_f64(median(&samples)))
}

fn append(file: &mut File) -> io::Result<f64> {
    let start = Instant::now();
    file.write_all(&[0x5a; 4096])?;
    file.sync_data()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Jobs of one row each.
///
/// # Panics
/// If the store fails.
pub fn commits(store: &Store, callers: usize, count: usize) -> Served {
    serve(callers, (0..count).collect(), |at| {
        let job = move |connection: &rusqlite::Connection| {
            connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('load', ?1)")?.execute([at]).map(drop)
        };
        store.write(job).expect("the store writes").expect("one row");
    })
}

/// What the process has in memory now, and the most that it had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Bytes, now.
    pub resident: u64,
    /// Bytes, at most.
    pub peak: u64,
}

impl Memory {
    /// As the system says; zero where it does not.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name| {
            let line = status.lines().find_map(|line: &str| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        let bytes = |name| field(name).unwrap_or(0) * 1024;
        Self { resident: bytes("VmRSS:"), peak: bytes("VmHWM:") }
    }
}

fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The processor time of the stores' writing threads, by their name.
fn storing_time() -> Duration {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let of_task = |task: fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds: u64 = times.split(' ').next()?.parse().ok()?;
        (name.trim() == "store").then_some(nanoseconds)
    };
    Duration::from_nanos(tasks.filter_map(Result::ok).filter_map(of_task).sum::<u64>())
}
