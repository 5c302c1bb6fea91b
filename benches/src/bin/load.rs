//! How fast an issuer and a site answer on this machine, beside what its disk and its processor allow; in one table.
//!
//! `load` measures everything once; `load --millions N` redeems until a site has N million spent vouchers. Never fails on a
//! figure.
#![allow(clippy::print_stdout)]

use std::{path::PathBuf, sync::Arc, time::Duration};

use annona_benches::{
    load::{self, Memory, Served},
    node::{Node, VALUES, VOUCHERS},
};
use annona_node::server::{self, Config};
use annona_node::sync::{MirrorError, Received};
use annona_protocol::{ids::Round, voucher::RoundMaster};
use clap::Parser;

/// Redemptions that are measured, by how many callers at once.
const REDEMPTIONS: [(usize, usize); 3] = [(1, 500), (32, 3000), (256, 4000)];
/// Draws.
const DRAWS: [(usize, usize); 2] = [(1, 60), (32, 240)];
const LOOSE: usize = 100;
const VERIFIED: usize = 1000;
/// Visits of one go in `--millions`: fewer than a site remembers quotes.
const GO: usize = 3334;
/// Vouchers of a batch.
const BATCH: usize = 100_000;
const CALLERS: usize = 32;

#[derive(Parser)]
#[command(about = "How fast an issuer and a site answer on this machine")]
struct Arguments {
    /// Where the stores are made; the disk that is measured.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Redeem until so many million vouchers are spent, and measure nothing else.
    #[arg(long, value_name = "N")]
    millions: Option<usize>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { folder, millions } = Arguments::parse();
    match millions {
        Some(millions) => fill(&Node::new(&folder, 1)?, millions),
        None => measure(Node::new(&folder, 2 + 2 * DRAWS.iter().map(|(_, count)| count).sum::<usize>())?)?,
    }
    Ok(())
}

fn measure(mut node: Node) -> Result<(), Box<dyn std::error::Error>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores. A visit is {VOUCHERS} vouchers, a draw {VALUES} values. Requests are made before the clock starts, \
         so that a wallet's work is in no figure; over HTTP its connection is, on the same cores. \"Allowed\" is the slowest \
         part by itself: computing on two threads, or one-row jobs through the store by as many callers; for one caller, one \
         after the other. Processor time is the whole process', in brackets the storing thread's. Memory includes the \
         requests.\n"
    );
    println!("| | callers | a second | p50 | p99 | allowed | ratio | processor | memory, peak |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let sync = load::fsync(node.folder(), 300)?;
    row("4 KiB and fsync", 1, &format!("{:.0}", 1.0 / sync.as_secs_f64()), &time(sync), "", None, "");
    let commits: Vec<(usize, Served)> = [(1, 300), (32, 5000), (256, 20_000)]
        .map(|(callers, count)| (callers, load::commits(node.site.store(), callers, count)))
        .into();
    for (callers, served) in &commits {
        served_row("job of one row", *callers, served, None);
    }

    let visits = node.visits(VERIFIED);
    let counter = node.counter();
    let verify = |threads| {
        load::serve(threads, visits.iter().collect(), |(quote, request)| {
            drop(counter.verify(quote, request).expect("honest"))
        })
    };
    let verified = [1, 2].map(verify);
    drop(visits);
    for (threads, served) in [1, 2].into_iter().zip(&verified) {
        served_row("visit verified alone", threads, served, None);
    }
    let loose = [1, 2].map(|threads| (threads, node.loose_draws(LOOSE)));
    let drawn = loose.map(|(threads, draws)| load::serve(threads, draws, |draw| drop(node.answer(draw))));
    for (threads, served) in [1, 2].into_iter().zip(&drawn) {
        served_row("draw answered alone", threads, served, None);
    }

    let allowed = |computed: &[Served; 2], callers: usize| {
        let stored = commits.iter().find(|(of, _)| *of == callers).map_or(f64::NAN, |(_, served)| served.rate);
        match callers {
            1 => 1.0 / (1.0 / computed[0].rate + 1.0 / stored),
            _ => computed[1].rate.min(stored),
        }
    };
    for (callers, count) in REDEMPTIONS {
        let requests = node.redemptions(count);
        let served = load::serve(callers, requests, |request| drop(node.site.redeem(&request).expect("honest")));
        served_row("visit, service", callers, &served, Some(allowed(&verified, callers)));
    }
    for (callers, count) in DRAWS {
        let requests = node.draws(count);
        let rng = annona_node::random::os;
        let served =
            load::serve(callers, requests, |request| drop(node.issuer.draw(&request, &mut rng()).expect("honest")));
        served_row("draw, service", callers, &served, Some(allowed(&drawn, callers)));
    }

    let site = server::site::run(Arc::clone(&node.site), &settings(Config::site_defaults()), Arc::new(Nothing))?;
    for (callers, count) in REDEMPTIONS {
        let requests = node.redemptions(count);
        let served = load::serve_http(callers, &site.origin(), "/v1/redeem", requests)?;
        served_row("visit, HTTP", callers, &served, Some(allowed(&verified, callers)));
    }
    site.shutdown();
    site.join()?;
    let issuer =
        server::issuer::run(Arc::clone(&node.issuer), &settings(Config::issuer_defaults()), Arc::new(Nothing))?;
    for (callers, count) in DRAWS {
        let requests = node.draws(count);
        let served = load::serve_http(callers, &issuer.origin(), "/v1/draw", requests)?;
        served_row("draw, HTTP", callers, &served, Some(allowed(&drawn, callers)));
    }
    issuer.shutdown();
    issuer.join()?;
    Ok(())
}

/// Redeems until so many million vouchers are spent.
fn fill(node: &Node, millions: usize) {
    println!(
        "{CALLERS} callers of the service, visits of {VOUCHERS} vouchers, a batch closed every {BATCH} vouchers.\n"
    );
    println!("| million spent | visits a second | p50 | p99 | slowest batch to close | database | memory, peak |");
    println!("|---|---|---|---|---|---|---|");
    let (mut spent, mut open) = (0, 0);
    for million in 1..=millions {
        let (mut goes, mut slowest) = (Vec::new(), Duration::ZERO);
        while spent < million * 1_000_000 {
            let requests = node.redemptions(GO);
            goes.push(load::serve(CALLERS, requests, |request| drop(node.site.redeem(&request).expect("honest"))));
            spent += GO * VOUCHERS;
            open += GO * VOUCHERS;
            if open >= BATCH {
                let start = std::time::Instant::now();
                node.site.close_batch(false).expect("large enough");
                slowest = slowest.max(start.elapsed());
                open = 0;
            }
        }
        let rate = goes.len() as f64 / goes.iter().map(|go| 1.0 / go.rate).sum::<f64>();
        let worst = |of: fn(&Served) -> Duration| time(goes.iter().map(of).max().unwrap_or_default());
        let size = std::fs::metadata(node.site.store().path()).map_or(0, |file| file.len());
        println!(
            "| {:.2} | {rate:.0} | {} | {} | {} | {} | {} |",
            spent as f64 / 1e6,
            worst(|go| go.p50),
            worst(|go| go.p99),
            time(slowest),
            mebibytes(size),
            memory()
        );
    }
}

/// Any port of the loopback, without rates.
fn settings(mut config: Config) -> Config {
    config.listen.address.set_port(0);
    config.rates.per_second = 0;
    config.rates.peer_per_second = 0;
    config.limits.peer_connections = 0;
    config
}

/// Nothing around the servers: no log grows while they are measured.
struct Nothing;

impl server::site::Hooks for Nothing {
    fn log_grew(&self) {}
}

impl server::issuer::Hooks for Nothing {
    fn receive_log(&self, _: &[u8]) -> Result<Received, MirrorError> {
        Err(MirrorError::Foreign)
    }
    fn log_state(&self, _: &str) -> Result<Received, MirrorError> {
        Err(MirrorError::Foreign)
    }
    fn log_grew(&self) {}

    fn announcement(&self) -> Option<Vec<u8>> {
        None
    }

    fn master(&self, _: Round) -> Option<RoundMaster> {
        None
    }

    fn round_closed(&self, _: Round) {}
}

fn served_row(name: &str, callers: usize, served: &Served, allowed: Option<f64>) {
    let processor = format!("{} ({})", time(served.processor), time(served.storing));
    let against = allowed.map(|allowed| (allowed, served.rate / allowed));
    row(name, callers, &format!("{:.0}", served.rate), &time(served.p50), &time(served.p99), against, &processor);
}

fn row(name: &str, callers: usize, rate: &str, p50: &str, p99: &str, against: Option<(f64, f64)>, processor: &str) {
    let (allowed, ratio) =
        against.map_or_else(Default::default, |(allowed, ratio)| (format!("{allowed:.0}"), format!("{ratio:.2}")));
    println!("| {name} | {callers} | {rate} | {p50} | {p99} | {allowed} | {ratio} | {processor} | {} |", memory());
}

fn memory() -> String {
    let Memory { resident, peak } = Memory::now();
    format!("{}, {}", mebibytes(resident), mebibytes(peak))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn time(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
