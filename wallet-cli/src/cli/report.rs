//! What a command found: lines for people, one JSON object for programs.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Desk, Problem};

/// What a command found.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<String>,
    value: Map<String, Value>,
    exit: u8,
}

impl Report {
    /// A line for people.
    pub(super) fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// A member for programs.
    pub(super) fn set(&mut self, name: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).expect("what is reported has a JSON form");
        self.value.insert(name.to_owned(), value);
    }

    /// Takes a member out again, to put it into a list.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.value.remove(name)
    }

    /// Ends with another status than 0.
    pub(super) fn end_with(&mut self, exit: u8) {
        self.exit = exit;
    }

    pub(super) fn exit(&self) -> u8 {
        self.exit
    }

    pub(super) fn print(&self, desk: &Desk) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        let written = if desk.global.json {
            writeln!(out, "{:#}", Value::Object(self.value.clone()))
        } else {
            self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
        };
        written.and_then(|()| out.flush()).map_err(Problem::Output)
    }
}
