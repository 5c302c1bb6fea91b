//! The TOML file as it is written, before any of it is understood. Every value remembers its place.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
pub(super) use toml::Spanned as At;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) agency: At<String>,
    pub(super) name: At<String>,
    pub(super) log: At<String>,
    pub(super) languages: At<Vec<At<String>>>,
    pub(super) rounds: At<Rounds>,
    pub(super) policy: At<Policy>,
    pub(super) schema: At<Schema>,
    #[serde(default)]
    pub(super) attributes: Vec<At<Attribute>>,
    #[serde(default)]
    pub(super) lines: Vec<At<Line>>,
    #[serde(default)]
    pub(super) sites: Vec<At<Site>>,
    #[serde(default)]
    pub(super) lots: Vec<At<Lot>>,
    pub(super) witnesses: At<Keys>,
    pub(super) officers: At<Keys>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rounds {
    pub(super) first: At<u32>,
    pub(super) last: At<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) advance: At<u32>,
    pub(super) cohort_min: At<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Schema {
    pub(super) width: At<u8>,
    pub(super) spares: At<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attribute {
    pub(super) name: At<String>,
    pub(super) min: At<u64>,
    pub(super) max: At<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) id: At<u16>,
    pub(super) name: At<String>,
    pub(super) kind: At<LineKind>,
    pub(super) accrual: Timeline<At<String>>,
    #[serde(default)]
    pub(super) predicates: Option<Timeline<Vec<At<String>>>>,
    pub(super) values: At<Vec<At<u32>>>,
    pub(super) unit: At<String>,
    #[serde(default)]
    pub(super) worth: Vec<From<Vec<At<String>>>>,
    pub(super) labels: At<Entries>,
    pub(super) pictogram: At<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LineKind {
    Lapse,
    Carry,
}

/// What holds in which rounds.
pub(super) type Timeline<T> = At<Vec<From<T>>>;

/// What holds from a round on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From<T> {
    pub(super) from: At<u32>,
    pub(super) is: T,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Site {
    pub(super) id: At<u16>,
    pub(super) name: At<String>,
    pub(super) slots: At<u8>,
    pub(super) logs: At<Vec<At<String>>>,
    #[serde(default)]
    pub(super) labels: Option<At<Entries>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lot {
    pub(super) id: At<u32>,
    pub(super) kind: At<LotKind>,
    pub(super) start: At<Start>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LotKind {
    Enrol,
    Amend,
    Split,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) drawn: At<u32>,
    #[serde(default)]
    pub(super) balances: Entries,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    pub(super) threshold: At<u8>,
    pub(super) keys: At<Vec<At<String>>>,
}

/// A table of texts by name.
#[derive(Debug, Default)]
pub(super) struct Entries(pub(super) Vec<(At<String>, At<String>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}
