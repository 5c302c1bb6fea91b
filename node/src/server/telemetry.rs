//! The log of events: JSON lines, fixed events, and nothing about single requests.
//!
//! Only this crate's own events are written: what libraries say of connections would name addresses.

use std::panic;

use tracing::{Subscriber, level_filters::LevelFilter, subscriber::SetGlobalDefaultError};
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt::MakeWriter, layer::SubscriberExt as _, registry::LookupSpan,
};

use super::config::Level;

/// Writes the events of the process to standard error from now on, and panics as an event that says where and not what.
///
/// # Errors
/// If the process has a subscriber already.
pub fn init(level: Level) -> Result<(), SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(level, std::io::stderr))?;
    silence_panics();
    Ok(())
}

/// What writes events to a writer.
pub fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
    };
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(own))
}

/// A panic's message may quote what it was working on: only its place is written down.
pub fn silence_panics() {
    panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("unknown", 0), |at| (at.file(), at.line()));
        tracing::error!(code = "panic", file, line, "a request or task failed unexpectedly");
    }));
}
