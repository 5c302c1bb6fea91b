//! Progress bars on a terminal, a line a step elsewhere.

use std::{io::IsTerminal as _, time::Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A step of the demo with its bar.
pub(crate) struct Step {
    name: String,
    bar: ProgressBar,
    started: Instant,
}

impl Step {
    /// Starts a step of `length` parts.
    pub(crate) fn new(name: impl Into<String>, length: usize) -> Self {
        let name = name.into();
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(length as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("  {msg:<34} {bar:30} {pos:>6}/{len} {eta:>4}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name.clone());
        Self { name, bar, started: Instant::now() }
    }

    /// One part is done.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// How many parts are done.
    pub(crate) fn set(&self, done: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(done);
    }

    /// Ends the step with a line that says what came of it.
    pub(crate) fn finish(self, result: impl AsRef<str>) {
        self.bar.finish_and_clear();
        crate::say(format!("  {:<34} {} ({:.1} s)", self.name, result.as_ref(), self.started.elapsed().as_secs_f64()));
    }
}
