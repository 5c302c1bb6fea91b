//! Forms as people write them: `10 + 6 * members`, and conditions: `under-two >= 1`.
//!
//! ```text
//! condition = sum (">=" | "<=") sum
//! sum       = ["-"] term (("+" | "-") term)*
//! term      = number | attribute | number "*" attribute | attribute "*" number
//! ```
//!
//! Attributes have hyphens in their names, so a minus stands behind a space.

use annona_protocol::programme::{Attribute, Form};

/// What is wrong with a form, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FormError {
    pub(super) at: usize,
    pub(super) problem: FormProblem,
}

/// What is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormProblem {
    /// A name that no attribute has.
    #[error("`{name}` is no attribute of this programme: use {}{}", known_names(known), minus_hint(name))]
    UnknownAttribute {
        /// The name.
        name: String,
        /// The attributes that there are.
        known: Vec<String>,
    },
    /// Too large a number.
    #[error("this number is too large: write one below 4,294,967,296")]
    Number,
    /// Something else than a sum.
    #[error("a sum is expected here, such as `10 + 6 * members`: numbers and attributes with +, - and * between them")]
    Syntax,
    /// A condition without a comparison, or with more than one.
    #[error("a condition is two sums with >= or <= between them, such as `under-two >= 1`: write it so")]
    Comparison,
    /// A product of two attributes.
    #[error("two attributes cannot be multiplied: write a number beside the *")]
    Product,
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() { "numbers alone, or add an attribute".into() } else { known.join(", ") }
}

fn minus_hint(name: &str) -> &'static str {
    if name.contains('-') { "; a minus needs a space on both sides" } else { "" }
}

/// Reads a sum.
pub(super) fn sum(text: &str, attributes: &[Attribute]) -> Result<Form, FormError> {
    let mut reader = Reader { text, at: 0, attributes };
    let form = reader.sum()?;
    if reader.peek().is_some() { Err(reader.error(FormProblem::Syntax)) } else { Ok(form.into_form()) }
}

/// Reads a condition as the form that is not negative where it holds.
pub(super) fn condition(text: &str, attributes: &[Attribute]) -> Result<Form, FormError> {
    let mut reader = Reader { text, at: 0, attributes };
    let left = reader.sum()?;
    let at_least = reader.take(">=");
    if !at_least && !reader.take("<=") {
        return Err(reader.error(FormProblem::Comparison));
    }
    let right = reader.sum()?;
    if reader.peek().is_some() {
        return Err(reader.error(FormProblem::Comparison));
    }
    let (greater, less) = if at_least { (left, right) } else { (right, left) };
    Ok(greater.plus(less, -1).into_form())
}

/// A form in words: what a file says to get it.
pub fn write_sum(form: &Form, attributes: &[Attribute]) -> String {
    let mut parts: Vec<(bool, String)> = Vec::new();
    if form.constant != 0 || form.terms.is_empty() {
        parts.push((form.constant < 0, form.constant.unsigned_abs().to_string()));
    }
    for (at, coefficient) in &form.terms {
        let name = attributes.get(usize::from(*at)).map_or("(unknown attribute)", |attribute| attribute.name.as_str());
        let text = match coefficient.unsigned_abs() {
            1 => name.to_owned(),
            factor => format!("{factor} * {name}"),
        };
        parts.push((*coefficient < 0, text));
    }
    let mut text = String::new();
    for (at, (negative, part)) in parts.into_iter().enumerate() {
        text.push_str(match (at, negative) {
            (0, true) => "-",
            (0, false) => "",
            (_, true) => " - ",
            (_, false) => " + ",
        });
        text.push_str(&part);
    }
    text
}

/// A predicate in words: what a file says to get it.
pub fn write_condition(form: &Form, attributes: &[Attribute]) -> String {
    let (positive, negative): (Vec<_>, Vec<_>) = form.terms.iter().partition(|(_, coefficient)| *coefficient > 0);
    let mut left = Form { constant: 0, terms: positive };
    let mut right =
        Form { constant: 0, terms: negative.into_iter().map(|(at, by)| (at, by.saturating_neg())).collect() };
    if form.constant < 0 {
        right.constant = form.constant.saturating_neg();
    } else {
        left.constant = form.constant;
    }
    format!("{} >= {}", write_sum(&left, attributes), write_sum(&right, attributes))
}

/// A sum while it is read: wide numbers, so that nothing overflows before the bounds are checked.
struct Sum {
    constant: i128,
    /// One an attribute.
    coefficients: Vec<i128>,
}

impl Sum {
    fn plus(mut self, other: Self, sign: i128) -> Self {
        self.constant += sign * other.constant;
        self.coefficients.iter_mut().zip(other.coefficients).for_each(|(mine, more)| *mine += sign * more);
        self
    }

    /// Numbers are below 2^32 and texts have fewer than 2^20 bytes, so sums fit.
    fn into_form(self) -> Form {
        let narrow = |wide: i128| i64::try_from(wide).expect("at most 2^20 numbers below 2^32");
        let terms = (0u8..).zip(self.coefficients).filter(|(_, coefficient)| *coefficient != 0);
        Form { constant: narrow(self.constant), terms: terms.map(|(at, by)| (at, narrow(by))).collect() }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    attributes: &'a [Attribute],
}

impl Reader<'_> {
    fn error(&self, problem: FormProblem) -> FormError {
        FormError { at: self.at, problem }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// The next character behind white space.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.peek().is_some() && self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn sum(&mut self) -> Result<Sum, FormError> {
        let sign = if self.take("-") { -1 } else { 1 };
        let zero = Sum { constant: 0, coefficients: vec![0; self.attributes.len()] };
        let mut sum = zero.plus(self.term()?, sign);
        loop {
            let sign = if self.take("+") {
                1
            } else if self.take("-") {
                -1
            } else {
                return Ok(sum);
            };
            sum = sum.plus(self.term()?, sign);
        }
    }

    fn term(&mut self) -> Result<Sum, FormError> {
        let (left_number, left_name) = self.factor()?;
        let (number, name) = if self.take("*") {
            self.peek();
            let at = self.at;
            let (right_number, right_name) = self.factor()?;
            if left_name.is_some() && right_name.is_some() {
                return Err(FormError { at, problem: FormProblem::Product });
            }
            (left_number * right_number, left_name.or(right_name))
        } else {
            (left_number, left_name)
        };
        if number >= LIMIT {
            return Err(self.error(FormProblem::Number));
        }
        let mut coefficients = vec![0; self.attributes.len()];
        let constant = match name {
            Some(at) => {
                coefficients[at] = number;
                0
            }
            None => number,
        };
        Ok(Sum { constant, coefficients })
    }

    /// A number, or 1 and the position of an attribute.
    fn factor(&mut self) -> Result<(i128, Option<usize>), FormError> {
        let first = self.peek().ok_or(self.error(FormProblem::Syntax))?;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii();
        let length = if first.is_ascii_digit() {
            self.rest().find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(self.rest().len())
        } else {
            self.rest().find(|c: char| !is_part(c) || c.is_whitespace()).unwrap_or(self.rest().len())
        };
        if length == 0 || first == '-' {
            return Err(self.error(FormProblem::Syntax));
        }
        let word = &self.text[self.at..self.at + length];
        let result = if first.is_ascii_digit() {
            let number = word.replace('_', "").parse().ok().filter(|number| *number < LIMIT);
            (number.ok_or_else(|| self.error(FormProblem::Number))?, None)
        } else {
            let known = || self.attributes.iter().map(|attribute| attribute.name.clone()).collect();
            let place = self.attributes.iter().position(|attribute| attribute.name == word);
            let name: String = word.chars().filter(|c| !c.is_control()).take(64).collect();
            let unknown = || self.error(FormProblem::UnknownAttribute { name, known: known() });
            (1, Some(place.ok_or_else(unknown)?))
        };
        self.at += length;
        Ok(result)
    }
}

/// Numbers stay below the largest width.
const LIMIT: i128 = 1 << 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attributes() -> Vec<Attribute> {
        ["members", "under-two"].map(|name| Attribute { name: name.into(), min: 0, max: 15 }).into()
    }

    fn form(constant: i64, terms: &[(u8, i64)]) -> Form {
        Form { constant, terms: terms.to_vec() }
    }

    #[test]
    fn sums_are_read() {
        for (text, expected) in [
            ("0", form(0, &[])),
            ("members", form(0, &[(0, 1)])),
            ("10 + 6 * members", form(10, &[(0, 6)])),
            ("10+6*members", form(10, &[(0, 6)])),
            ("members * 6 + 10", form(10, &[(0, 6)])),
            ("2 * 3 + 1_000", form(1006, &[])),
            ("- 5 + under-two", form(-5, &[(1, 1)])),
            ("-under-two + 2 * members - 3", form(-3, &[(0, 2), (1, -1)])),
            ("members + members", form(0, &[(0, 2)])),
            ("members - members", form(0, &[])),
            ("under-two + members", form(0, &[(0, 1), (1, 1)])),
        ] {
            assert_eq!(sum(text, &attributes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn conditions_are_read() {
        for (text, expected) in [
            ("under-two >= 1", form(-1, &[(1, 1)])),
            ("1 <= under-two", form(-1, &[(1, 1)])),
            ("members <= 4", form(4, &[(0, -1)])),
            ("members >= 2 * under-two + 1", form(-1, &[(0, 1), (1, -2)])),
        ] {
            assert_eq!(condition(text, &attributes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn errors_name_their_place() {
        let unknown = |name: &str| FormProblem::UnknownAttribute {
            name: name.into(),
            known: vec!["members".into(), "under-two".into()],
        };
        for (text, at, problem) in [
            ("", 0, FormProblem::Syntax),
            ("10 +", 4, FormProblem::Syntax),
            ("10 + * 3", 5, FormProblem::Syntax),
            ("10 20", 3, FormProblem::Syntax),
            ("10 + children", 5, unknown("children")),
            ("members-1", 0, unknown("members-1")),
            ("Members", 0, unknown("Members")),
            ("члени", 0, unknown("члени")),
            ("members * under-two", 10, FormProblem::Product),
            ("4294967296", 0, FormProblem::Number),
            ("1 + 99999999999999999999999999999999999999999999 * members", 4, FormProblem::Number),
            ("65536 * 65536", 13, FormProblem::Number),
            ("members >= 1", 8, FormProblem::Syntax),
            ("1.5 * members", 1, FormProblem::Syntax),
            ("(members)", 0, FormProblem::Syntax),
            ("members\u{0}", 7, FormProblem::Syntax),
        ] {
            assert_eq!(sum(text, &attributes()), Err(FormError { at, problem }), "{text}");
        }
        for (text, at) in [("members", 7), ("members > 1", 8), ("1 <= members <= 4", 13), ("members = 4", 8)] {
            let error = condition(text, &attributes());
            assert_eq!(error, Err(FormError { at, problem: FormProblem::Comparison }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(constant in -1000i64..1000, a in -50i64..50, b in -50i64..50) {
            let terms = [(0u8, a), (1, b)].into_iter().filter(|(_, by)| *by != 0).collect();
            let form = Form { constant, terms };
            prop_assert_eq!(sum(&write_sum(&form, &attributes()), &attributes()), Ok(form.clone()));
            prop_assert_eq!(condition(&write_condition(&form, &attributes()), &attributes()), Ok(form));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}|[0-9a-z+*<>= -]{0,60}") {
            let _ = (sum(&text, &attributes()), condition(&text, &attributes()));
        }
    }
}
