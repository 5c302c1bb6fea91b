//! Names of lines and sites: as people write them, and as they read them.

use annona_protocol::{
    ids::{LineId, Round, SiteId, Units},
    programme::{Header, Label, Line, Site},
};
use serde_json::{Value, json};

use super::{Desk, Problem};

/// A line and an amount of it: `food=2`.
#[derive(Clone, Debug)]
pub(super) struct Amount {
    pub(super) line: String,
    pub(super) units: u64,
}

pub(super) fn amount(text: &str) -> Result<Amount, &'static str> {
    let error = "write a line and its units, such as food=2";
    let (line, units) = text.split_once('=').ok_or(error)?;
    let units = units.parse().ok().filter(|units| *units > 0).ok_or(error)?;
    Ok(Amount { line: line.trim().to_owned(), units })
}

pub(super) fn round(text: &str) -> Result<Round, std::num::ParseIntError> {
    text.parse().map(Round)
}

/// The site that a number, a name or a label means.
pub(super) fn find_site(header: &Header, text: &str) -> Result<SiteId, Problem> {
    let means = |site: &&Site| site.id.0.to_string() == text || is_called(&site.name, &site.labels, text);
    header.sites.iter().find(means).map(|site| site.id).ok_or_else(|| Problem::UnknownSite(text.to_owned()))
}

/// The line that a number, a name or a label means.
pub(super) fn find_line(header: &Header, text: &str) -> Result<LineId, Problem> {
    let means = |line: &&Line| line.id.0.to_string() == text || is_called(&line.name, &line.labels, text);
    header.lines.iter().find(means).map(|line| line.id).ok_or_else(|| Problem::UnknownLine(text.to_owned()))
}

fn is_called(name: &str, labels: &[Label], text: &str) -> bool {
    let text = text.to_lowercase();
    name.to_lowercase() == text || labels.iter().any(|label| label.text.to_lowercase() == text)
}

impl Desk {
    pub(super) fn site_name(&self, header: &Header, id: SiteId) -> String {
        header.site(id).map_or_else(|| id.to_string(), |site| self.label(&site.labels, &site.name))
    }

    pub(super) fn line_name(&self, header: &Header, id: LineId) -> String {
        header.line(id).map_or_else(|| id.to_string(), |line| self.label(&line.labels, &line.name))
    }

    /// In the holder's language, or as the programme calls it.
    fn label(&self, labels: &[Label], name: &str) -> String {
        let tag = self.words.language().tag();
        let own = labels.iter().find(|label| label.language.split('-').next() == Some(tag));
        own.map_or_else(|| name.to_owned(), |label| label.text.clone())
    }

    /// Amounts in one line.
    pub(super) fn amounts(&self, header: &Header, units: &[(LineId, Units)]) -> String {
        let amount = |(line, units): &(LineId, Units)| {
            self.say("amount", &[("line", self.line_name(header, *line).into()), ("units", units.0.into())])
        };
        self.words.list(&units.iter().map(amount).collect::<Vec<_>>())
    }
}

/// Amounts for programs.
pub(super) fn amounts(header: &Header, units: &[(LineId, Units)]) -> Vec<Value> {
    let amount = |(line, units): &(LineId, Units)| {
        let name = header.line(*line).map(|line| line.name.as_str());
        json!({ "line": line.0, "name": name, "units": units.0 })
    };
    units.iter().map(amount).collect()
}
