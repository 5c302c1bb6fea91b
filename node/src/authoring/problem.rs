//! What can be wrong with a programme's file: always with the place in it and what to do.

use std::fmt;

use annona_protocol::programme::ManifestError;

use super::forms::FormProblem;

/// Why a file is no programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: DraftProblem,
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, problem } = self;
        write!(f, "{file}, line {line}, column {column}: {problem}")
    }
}

impl std::error::Error for DraftError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

impl DraftError {
    pub(super) fn new(file: &str, text: &str, at: usize, problem: DraftProblem) -> Self {
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Self { file: file.to_owned(), line, column: before[start..].chars().count() + 1, problem }
    }
}

/// What is wrong with a programme's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftProblem {
    /// Longer than any programme.
    #[error("the file has more than 1 MiB: a programme is shorter, check that this is the right file")]
    TooLong,
    /// No TOML, or a field that is missing, unknown or of another type.
    #[error("{}", toml_advice(.0))]
    Toml(String),
    /// A text that is empty, too long or not printable.
    #[error(
        "this text is empty, longer than {max} bytes, or has characters that cannot be seen: write a shorter, plain one"
    )]
    Text {
        /// The most bytes.
        max: usize,
    },
    /// A name with other characters than names have.
    #[error("a name has 1 to 64 letters a to z, digits and hyphens, and begins with a letter: write one")]
    Name,
    /// The name of a log with spaces or a `+`.
    #[error("the name of a log has no space and no +: write one such as aid.example.org/programme/issuer")]
    LogName,
    /// A language tag that is none.
    #[error("a language is a BCP 47 tag such as en or zh-Hant: write one")]
    Language,
    /// A label in a language that the programme does not list.
    #[error("the programme does not list this language: add it to `languages`, or remove the label")]
    LanguageUnlisted,
    /// No label in a language of the programme.
    #[error("a label for `{0}` is missing: add it, or remove the language from `languages`")]
    LabelMissing(String),
    /// The same id, name or key twice.
    #[error("{0} stands here a second time: give each its own")]
    Duplicate(&'static str),
    /// A number out of its range.
    #[error("{what} is not between {min} and {max}: correct it")]
    Range {
        /// What the number is.
        what: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Neither 16 nor 32.
    #[error("the width is neither 16 nor 32: write 16, or 32 if amounts reach 65,536")]
    Width,
    /// More coordinates than a credential has.
    #[error("lines, spares and attributes are together more than {0}: remove some")]
    Arity(usize),
    /// More forms than a draw of all lines can prove.
    #[error(
        "lines and their predicates are together more than {0} forms: remove some, as a draw could not prove them all"
    )]
    TooManyForms(usize),
    /// A form that does not read.
    #[error(transparent)]
    Form(#[from] FormProblem),
    /// An accrual or balance that takes away.
    #[error("what a household gets cannot be negative: remove the minus, or make it a predicate")]
    Negative,
    /// A form that can exceed the width.
    #[error(
        "this can reach {maximum}, and amounts stay below {limit}: lower a number or an attribute's `max`, or, before the first \
         version, choose the width 32"
    )]
    TooLarge {
        /// What the form can reach.
        maximum: i128,
        /// 2^width.
        limit: i128,
    },
    /// A carry line whose accruals can exceed the width together.
    #[error(
        "all rounds together can reach {maximum}, and amounts stay below {limit}: lower the accrual or the last round, count in \
         a larger unit, or, before the first version, choose the width 32"
    )]
    AccruesTooMuch {
        /// What accrues at most.
        maximum: i128,
        /// 2^width.
        limit: i128,
    },
    /// Entries that are not in the order of their rounds.
    #[error("entries stand in the order of their rounds, each round once: put this one in its place")]
    Order,
    /// A predicate of a carry line.
    #[error("a carry line has no predicates: let attributes decide in `accrual`, as in `6 * eligible`")]
    PredicateOnCarry,
    /// No voucher values.
    #[error("a line needs at least one voucher value: write some such as [1, 2, 4, 8]")]
    NoValues,
    /// Not `amount measure item`.
    #[error("what a unit is worth is written as amount, measure, item, such as \"12000 g cereals\": write it so")]
    Worth,
    /// Neither no slots nor 2 to 4.
    #[error("slots are 0 for one list of spent vouchers, or 2 to 4: correct the number")]
    Slots,
    /// No log of a site.
    #[error("a site needs the verifier key of its log: add the one that the site printed")]
    NoLog,
    /// Not an officer's key.
    #[error("this is no Ed25519 key of 64 hexadecimal digits: copy the officer's public key again")]
    OfficerKey,
    /// Not a verifier key.
    #[error("this is no verifier key of a {0} (name+id+base64): copy it again")]
    VerifierKey(&'static str),
    /// A line that a balance names and nobody defines.
    #[error("no line has this name: write the name of a line of this file")]
    UnknownLine,
    /// Starting balances before the first round.
    #[error(
        "tickets that start before the first round start with nothing: remove the balances, or let `drawn` be a round"
    )]
    EarlyBalances,
    /// Something that is fixed was changed.
    #[error("{what} is fixed since the first version that had it: put it back{advice}")]
    Fixed {
        /// What.
        what: &'static str,
        /// What can be done in its place.
        advice: &'static str,
    },
    /// What a round that is planned already grants was changed.
    #[error(
        "round {round} is planned already, and what it grants is fixed: put it back, and add an entry from round {next} on"
    )]
    PlannedRound {
        /// The round.
        round: u32,
        /// The first round that is free.
        next: u32,
    },
    /// Something that the version before had is missing.
    #[error("{what} {id} of the version before is missing: put it back, as nothing is ever removed{advice}")]
    Removed {
        /// What.
        what: &'static str,
        /// Its id.
        id: u32,
        /// What can be done in its place.
        advice: &'static str,
    },
    /// No spare for a new line.
    #[error("the programme has no spare left for a new line: remove it; only a new programme can have more lines")]
    NoSpare,
    /// The version counter is at its end.
    #[error("the programme has had as many versions as there can be: start a new programme")]
    NoVersion,
    /// A rule that no other problem names.
    #[error("{0}: compare this with the example and correct it")]
    Manifest(#[source] ManifestError),
}

fn toml_advice(message: &str) -> String {
    let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let advice = if message.starts_with("unknown field") {
        "correct the name or remove it"
    } else if message.starts_with("missing field") {
        "add it"
    } else if message.starts_with("duplicate") {
        "keep one"
    } else {
        "correct it"
    };
    format!("{message}: {advice}")
}
