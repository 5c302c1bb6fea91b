//! What an audit found, for people: text, JSON and one page of HTML, whole or with small figures withheld or made noisy.
//!
//! A [`Document`] decides once which figures are shown. [`text`], [`json`] and [`html`] write what it holds and nothing else
//! (spec/audit.md, 5 to 7).

mod amounts;
pub mod figures;
pub mod html;
pub mod json;
pub mod manifest;
mod network;
mod noise;
pub mod sheet;
pub mod stock;
mod suppress;
pub mod text;
mod workbook;

use annona_protocol::{
    audit::{Finding, Note, Report},
    ids::ProgrammeId,
};
use rand_core::CryptoRng;

use figures::{Figure, Figures};
use manifest::ManifestFacts;
pub use noise::{Epsilon, EpsilonError, NoiseError};
use stock::StockRow;

use crate::print::clean;

/// How a report protects households.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It shows every figure.
    None,
    /// It withholds figures from 1 to one less than this, and what would tell them.
    SuppressBelow(u64),
    /// It shows noisy figures.
    Noise(Epsilon),
}

/// A report as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The programme.
    pub programme: ProgrammeId,
    /// The agency's name, as the manifest has it: anything may stand in it.
    pub agency: String,
    /// The programme's name.
    pub name: String,
    /// How it protects households.
    pub protection: Protection,
    /// The figures that it shows.
    pub figures: Figures,
    /// Every check that failed.
    pub findings: Vec<Finding>,
    /// What accuses nobody.
    pub notes: Vec<String>,
    /// Stock against vouchers.
    pub stock: Vec<StockRow>,
}

impl Document {
    /// The document of an audit. `rng` is used for noise only.
    ///
    /// # Errors
    /// [`NoiseError`].
    pub fn new<R: CryptoRng + ?Sized>(
        report: &Report,
        facts: &ManifestFacts,
        mut stock: Vec<StockRow>,
        protection: Protection,
        rng: &mut R,
    ) -> Result<Self, NoiseError> {
        let mut figures = Figures::new(report, facts);
        match protection {
            Protection::None => {}
            Protection::SuppressBelow(below) => {
                suppress::suppress(&mut figures, facts, below);
                stock::suppress(&mut stock, &figures, facts);
            }
            Protection::Noise(epsilon) => {
                stock.clear();
                // What one household can have drawn is bounded by the checks that failed.
                if report.findings.is_empty() { noise::add(&mut figures, epsilon, rng)? } else { figures.withhold() }
            }
        }
        stock.retain(|row| !row.is_idle());
        let notes = report.notes.iter().map(|note| note_text(note, protection)).collect();
        Ok(Self {
            programme: report.programme,
            agency: report.names.agency.clone(),
            name: report.names.programme.clone(),
            protection,
            figures,
            findings: report.findings.clone(),
            notes,
            stock,
        })
    }

    /// Whether every check held.
    pub fn verified(&self) -> bool {
        self.findings.is_empty()
    }

    /// Units at stake in a finding: shown only in a report that shows everything.
    pub fn stake(&self, finding: &Finding) -> Figure {
        (self.protection == Protection::None).then(|| finding.units.0.into())
    }

    /// The verdict in a sentence or two.
    pub fn verdict(&self) -> String {
        match self.findings.len() {
            0 => "Everything that the programme published holds together: every signature and proof, every total. The figures \
                  below are recomputed from the published logs."
                .to_owned(),
            count => format!(
                "{count} {} failed. The figures below count what is valid by itself; they are not verified, and are no basis \
                 for decisions until each failure is explained.",
                if count == 1 { "check" } else { "checks" }
            ),
        }
    }

    /// What a verified report does not say.
    pub fn limits(&self) -> &'static str {
        "An audit shows that the records agree with each other and with the rules. It cannot show that goods were handed over, \
         that a household exists, or that its size is true."
    }

    /// What was done to protect households, in sentences; nothing of a report that shows every figure.
    pub fn protection_text(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        match self.protection {
            Protection::None => {}
            Protection::SuppressBelow(below) => {
                sentences.push(format!(
                    "Figures from 1 to {} are withheld, and others so that they cannot be computed from what is shown; zeros \
                     are shown. A withheld figure is marked (x).",
                    below.saturating_sub(1)
                ));
                let most = self
                    .figures
                    .lines
                    .iter()
                    .flat_map(|line| line.household.iter().flatten().max().map(|most| (*most, line.name.as_str())));
                if let Some((most, name)) = most.filter(|(most, _)| *most >= below).max() {
                    sentences.push(format!(
                        "The limit counts units, not households: one household may draw up to {most} units of {} in a round, \
                         so that a figure that is shown may still be of one household.",
                        clean(name)
                    ));
                }
                sentences.push(
                    "This protects whoever has only this report. The published logs hold every voucher, and a second report \
                     with another limit or of another day may tell what this one withholds."
                        .to_owned(),
                );
            }
            Protection::Noise(epsilon) => {
                if !self.verified() {
                    sentences.push(
                        "No noisy figures are shown: what a household can have drawn is bounded by checks that failed."
                            .to_owned(),
                    );
                    return sentences;
                }
                sentences.push(format!(
                    "Redeemed and drawn units carry random noise: this report spends epsilon = {epsilon} of differential \
                     privacy, for what one household's credential drew in one round and what became of it. Sums are sums of \
                     noisy figures. Figures may be negative."
                ));
                sentences.push(
                    "Everything else is withheld. The verdict, findings and notes are outside epsilon. Each further noisy report \
                     spends again: publish one. The published logs hold every voucher without noise."
                        .to_owned(),
                );
            }
        }
        sentences
    }
}

/// A note, without counts of households or vouchers where the report protects them.
fn note_text(note: &Note, protection: Protection) -> String {
    match note {
        Note::BoundByMaximum { class, .. } if protection != Protection::None => {
            let what = if class.amend { "amends" } else { "enrolments" };
            format!(
                "some {what} (drawn {}, expires {}) are in no opened cohort: bounded by the maximum",
                class.drawn, class.expires
            )
        }
        Note::LogReplaced { site, name, .. } if protection != Protection::None => {
            format!("log {name} of site {site} was replaced: what was accepted after its end is in no log")
        }
        note => note.to_string(),
    }
}
