//! `annona-audit watch`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use annona_audit::{
    verify_folder,
    watch::{Event, Watch as State},
};
use annona_protocol::ids::ProgrammeId;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Done, Outcome, mirror::Sources, programme, tuning::Tuning};

#[derive(Args)]
pub(super) struct Watch {
    /// The mirror's folder, made if it is missing.
    folder: PathBuf,
    /// The programme's id, from a source that you trust: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = programme)]
    programme: ProgrammeId,
    #[command(flatten)]
    sources: Sources,
    /// From the end of a round to the beginning of the next: a number with s, m, h or d.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    every: Duration,
    /// One round, then ends.
    #[arg(long)]
    once: bool,
    /// Ends after the first round in which a fault was named or something did not hold, with status 1.
    #[arg(long)]
    until_failure: bool,
    /// Prints an object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tuning: Tuning,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let expected = "write a number with s, m, h or d, such as 15m";
    let unit = text.chars().last().ok_or(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(expected),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| expected)?;
    let seconds = number.checked_mul(seconds).filter(|seconds| (1..=365 * 24 * 60 * 60).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("take between a second and a year")
}

/// What the main thread does, for the one that waits for signals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Copying or printing: it looks at the flag between two writes.
    Working,
    /// An audit, which writes nothing but its cache: it is cut off, with this status.
    Auditing(i32),
    /// Waiting for the next round.
    Waiting,
}

struct Control {
    stop: AtomicBool,
    phase: Mutex<Phase>,
    woken: Condvar,
}

impl Control {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Begins a phase, unless it is to stop.
    fn enter(&self, phase: Phase) -> bool {
        let mut current = self.phase();
        *current = phase;
        !self.is_stopped()
    }

    /// Waits; true if it was told to stop.
    fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut phase = self.phase();
        *phase = Phase::Waiting;
        while !self.is_stopped() {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                *phase = Phase::Working;
                return false;
            };
            phase = self.woken.wait_timeout(phase, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Stops at SIGINT and SIGTERM. The handlers are there when this returns.
    fn listen(self: &Arc<Self>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = runtime
            .block_on(async { io::Result::Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)) })?;
        let control = Arc::clone(self);
        thread::Builder::new().name("signals".into()).spawn(move || {
            let (mut terminate, mut interrupt) = signals;
            let mut next = || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                });
            };
            next();
            control.stop.store(true, Ordering::SeqCst);
            let phase = control.phase();
            if let Phase::Auditing(status) = *phase {
                process::exit(status);
            }
            control.woken.notify_all();
            drop(phase);
            // A server may be slow to answer; the mirror is whole whenever the process dies.
            next();
            process::exit(1);
        })?;
        Ok(())
    }
}

impl Watch {
    pub(super) fn run(self) -> Done {
        let options = self.sources.options(self.programme);
        let tuning = self.tuning.options()?;
        let control = Arc::new(Control {
            stop: AtomicBool::new(false),
            phase: Mutex::new(Phase::Working),
            woken: Condvar::new(),
        });
        control
            .listen()
            .map_err(|error| format!("cannot wait for signals: {error}. Look at the limits of this user"))?;
        let mut state = State::new(self.folder.clone());
        loop {
            let Some(events) = state.mirror(&options, &control.stop)? else { break };
            self.say(&events)?;
            // With --once, what is cut off was not verified.
            let status = if state.has_failed() { 1 } else { 2 * i32::from(self.once) };
            if state.is_stale() && control.enter(Phase::Auditing(status)) {
                let report = verify_folder(&self.folder, self.programme, &tuning, &|_| {});
                // From here on the signal waits for what is printed.
                control.enter(Phase::Working);
                self.say(&state.verified(report)?)?;
            }
            if self.once || (self.until_failure && state.has_failed()) || control.wait(self.every) {
                break;
            }
        }
        if state.has_failed() {
            return Ok(Outcome::Fails);
        }
        if self.once && state.is_incomplete() {
            return Err("not everything could be copied and verified. Run it again".into());
        }
        Ok(Outcome::Holds)
    }

    fn say(&self, events: &[Event]) -> Result<(), String> {
        let mut out = io::stdout().lock();
        let written = events.iter().try_for_each(|event| {
            if self.json { writeln!(out, "{}", event.to_json()) } else { writeln!(out, "{event}") }
        });
        let failed = |error: io::Error| format!("cannot write: {error}. Check where the output goes");
        written.and_then(|()| out.flush()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_a_unit() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("15m", 900), ("2h", 7200), ("365d", 31_536_000)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "s", "15", "0s", "-1m", "1.5h", "366d", "1w", "99999999999999999999s", "5й"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
