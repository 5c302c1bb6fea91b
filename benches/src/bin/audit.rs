//! What an audit costs: the real `annona-audit verify` on large true published folders; in one table.
//!
//! `audit run` measures, and generates the folders that are missing; `audit make` only generates. The folders stay in a cache
//! and are made anew when the code that they come from changes. Never fails on a figure; fails if an audit does not say
//! *verified*.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use annona_benches::{
    measure::{Budget, measure},
    published::{self, Folder, Size},
    yardsticks,
};
use clap::{Args, Parser, Subcommand};

/// Signatures of the yardstick's batch.
const SIGNATURES: usize = 1024;
/// How often the child's high-water mark is read. The kernel keeps the mark: only a peak in the last moment is missed.
const SAMPLE: Duration = Duration::from_millis(5);
/// The smaller folder is a tenth.
const SMALLER: u64 = 10;
const BILLION: f64 = 1e9;
/// Mebibytes of records in memory: the program's default, and so few that both folders are sorted on disk.
const DEFAULT: u32 = 256;
const LITTLE: u32 = 1;

#[derive(Parser)]
#[command(about = "What an audit of large published folders costs on this machine")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Generates the folder.
    Make(Wanted),
    /// Audits a tenth and the whole with one thread and with two, beside ed25519 batch verification.
    Run {
        #[command(flatten)]
        wanted: Wanted,
        /// The program; beside this one by default.
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Wanted {
    /// Draws, each after its roll-over; a quarter as many households enrol.
    #[arg(long, default_value_t = 20_000)]
    draws: u64,
    /// Vouchers, each drawn and redeemed.
    #[arg(long, default_value_t = 1_000_000)]
    vouchers: u64,
    /// Where generated folders stay.
    #[arg(long, default_value = "target/audit-fixtures")]
    folder: PathBuf,
}

impl Wanted {
    fn size(&self) -> Size {
        Size { draws: self.draws, vouchers: self.vouchers }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Action::Make(wanted) => drop(make(&wanted.folder, wanted.size())?),
        Action::Run { wanted, program } => {
            let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("annona-audit"));
            run(&wanted, &program.map_or_else(beside, Ok)?)?;
        }
    }
    Ok(())
}

fn make(cache: &Path, size: Size) -> Result<Folder, Box<dyn Error>> {
    let start = Instant::now();
    let mut next = 0;
    let folder = published::folder(cache, size, &mut |done| {
        if done >= next {
            eprintln!("{done} of {} draws, {:.0} s", size.draws, start.elapsed().as_secs_f64());
            next = done + size.draws / 20;
        }
    })?;
    let how = if folder.cached { "cached" } else { "generated" };
    eprintln!("{}: {how}, {:.0} s", folder.published.display(), start.elapsed().as_secs_f64());
    Ok(folder)
}

/// One audit.
struct Audit {
    seconds: f64,
    /// Bytes of memory, at most.
    peak: u64,
}

fn run(wanted: &Wanted, program: &Path) -> Result<(), Box<dyn Error>> {
    let whole = wanted.size();
    let small = Size { draws: whole.draws / SMALLER, vouchers: whole.vouchers / SMALLER };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "`annona-audit verify` on {cores} cores ({}, {}). Seconds are elapsed, from the program's start to its end: reading, \
         hashing, every proof and signature, all totals. The peak is the kernel's high-water mark of the program's memory.\n",
        processor(),
        yardsticks::backend(),
    );
    println!("| vouchers | draws | disk | threads | `--memory` | seconds | vouchers a second | peak memory |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut audits = Vec::new();
    for size in [small, whole] {
        let folder = make(&wanted.folder, size)?;
        let disk = bytes_below(&folder.published)?;
        for (threads, memory) in [(1, DEFAULT), (2, DEFAULT), (2, LITTLE)] {
            let audit = audit(program, &folder, threads, memory)?;
            println!(
                "| {} | {} | {} | {threads} | {memory} MiB | {:.1} | {:.0} | {} |",
                size.vouchers,
                size.draws,
                mebibytes(disk),
                audit.seconds,
                size.vouchers as f64 / audit.seconds,
                mebibytes(audit.peak),
            );
            audits.push(audit);
        }
    }
    let [small_one, small_two, small_little, whole_one, whole_two, whole_little] = &audits[..] else {
        return Err("six audits were run".into());
    };
    let signature = measure(&mut yardsticks::batch(SIGNATURES), Budget::milliseconds(2000)) / 1e9;
    println!(
        "\ned25519-dalek verifies a batch of {SIGNATURES} at {:.0} signatures a second on one thread, measured between the audits' \
         end and this line. The audit does {:.0} vouchers a second on one thread, their part of draws, roll-overs and \
         enrolments included: {:.2} of it.",
        1.0 / signature,
        whole.vouchers as f64 / whole_one.seconds,
        whole.vouchers as f64 / whole_one.seconds * signature,
    );
    println!(
        "Two threads are {:.2} times as fast as one ({:.2} on the smaller folder). Ten times as many leaves take {:.1} times as \
         long and {:.2} times the memory on two threads; {:.2} times where records may fill {LITTLE} MiB only, as then both are \
         sorted on disk.",
        whole_one.seconds / whole_two.seconds,
        small_one.seconds / small_two.seconds,
        whole_two.seconds / small_two.seconds,
        whole_two.peak as f64 / small_two.peak as f64,
        whole_little.peak as f64 / small_little.peak as f64,
    );
    // On paper: a straight line through both folders.
    let (more, fewer) = (whole.vouchers as f64, small.vouchers as f64);
    let line = |at_more: f64, at_fewer: f64| at_more + (at_more - at_fewer) / (more - fewer) * (BILLION - more);
    let seconds = line(whole_two.seconds, small_two.seconds);
    println!(
        "On paper, a billion vouchers with their draws, a straight line through both folders: {:.1} hours on two threads, \
         {:.1} on 32 of their kind if all scale. Memory grows until records fill what `--memory` allows; what is more is sorted \
         on disk, which takes about 108 GB (spec/audit.md, 2.2).",
        seconds / 3600.0,
        seconds / 3600.0 / 16.0,
    );
    Ok(())
}

fn audit(program: &Path, folder: &Folder, threads: usize, memory: u32) -> Result<Audit, Box<dyn Error>> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .arg("verify")
        .arg(&folder.published)
        .args(["--programme", &folder.programme.to_string(), "--threads", &threads.to_string()])
        .args(["--memory", &memory.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| {
            format!("cannot start {}: {error}. Build annona-audit, or name it with --program", program.display())
        })?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let exit = loop {
        peak = fs::read_to_string(&status).ok().and_then(|text| high_water(&text)).unwrap_or(0).max(peak);
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        thread::sleep(SAMPLE);
    };
    let seconds = start.elapsed().as_secs_f64();
    if !exit.success() {
        return Err(format!(
            "{} was not verified ({exit}): this is a bug of the generator or of the audit",
            folder.published.display()
        )
        .into());
    }
    Ok(Audit { seconds, peak })
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { bytes_below(&entry.path())? } else { data.len() };
    }
    Ok(bytes)
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    name.trim_start_matches([' ', '\t', ':']).to_owned()
}
