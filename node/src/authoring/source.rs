//! The text of a programme's file: errors at its values, and the rules for its texts, names and numbers.

use super::{
    file::At,
    problem::{DraftError, DraftProblem},
};

const MAX_TEXT_BYTES: usize = 200;

/// The text of a file and what errors call it.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    text: String,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    pub(super) fn error(&self, at: usize, problem: DraftProblem) -> DraftError {
        DraftError::new(&self.name, &self.text, at, problem)
    }

    /// An error at a value.
    pub(super) fn at<T>(&self, value: &At<T>, problem: DraftProblem) -> DraftError {
        self.error(value.span().start, problem)
    }

    /// An error inside a string: exact where the string is written without escapes on one line.
    pub(super) fn inside(&self, value: &At<String>, offset: usize, problem: DraftProblem) -> DraftError {
        let span = value.span();
        let written = self.text.get(span.clone()).unwrap_or_default();
        let is_plain = written.get(1..written.len().saturating_sub(1)) == Some(value.get_ref());
        self.error(if is_plain { span.start + 1 + offset } else { span.start }, problem)
    }

    pub(super) fn ensure<T>(&self, condition: bool, value: &At<T>, problem: DraftProblem) -> Result<(), DraftError> {
        if condition { Ok(()) } else { Err(self.at(value, problem)) }
    }

    pub(super) fn text(&self, value: &At<String>) -> Result<String, DraftError> {
        let text = value.get_ref();
        let fits = !text.trim().is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(is_invisible);
        self.ensure(fits, value, DraftProblem::Text { max: MAX_TEXT_BYTES })?;
        Ok(text.clone())
    }

    pub(super) fn name(&self, value: &At<String>) -> Result<String, DraftError> {
        let name = value.get_ref();
        let fits = name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        self.ensure(fits, value, DraftProblem::Name)?;
        Ok(name.clone())
    }

    pub(super) fn range<T: Copy + Into<u64>>(
        &self,
        value: &At<T>,
        what: &'static str,
        min: u64,
        max: u64,
    ) -> Result<(), DraftError> {
        let fits = (min..=max).contains(&(*value.get_ref()).into());
        self.ensure(fits, value, DraftProblem::Range { what, min, max })
    }
}

/// What would let a text show as something else than it says.
fn is_invisible(character: char) -> bool {
    character.is_control() || crate::caseload::is_unprintable(character)
}
