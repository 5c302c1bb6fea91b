//! A proposal in plain words.
//!
//! A header becomes a list of facts, one a line, each under a name of its own. A new programme shows all of them, a later
//! version those that differ: since every field is a fact, no difference can be missing. Taking the structures apart by name
//! makes the compiler ask for a fact when a field is added.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
};

use annona_protocol::{
    ids::{Round, SiteId, Slot},
    programme::{
        Attribute, Carry, Header, KeyEntry, Line, LogKey, LotTerms, Policy, Schema, Site, Start, TicketKind, Worth,
    },
    signature::PublicKey,
};

use super::Subject;
use crate::authoring::{key_ids, write_condition, write_sum};

pub(super) fn proposal(subject: &Subject, previous: Option<&Header>) -> String {
    let text = match (subject, previous) {
        (Subject::Version { header, added, .. }, previous) => version(header, added, previous),
        (Subject::Lot { lot, count, root, programme }, Some(manifest)) => {
            let mut text = format!("Ticket lot {lot} of {}\n", one_line(&manifest.name));
            text.push_str(&field("Agency", &manifest.agency));
            text.push_str(&field("Programme", &programme.to_string()));
            text.push_str(&field("Tickets", &count.to_string()));
            for (name, value) in manifest.lot(*lot).map(|terms| lot_facts(terms, manifest)).unwrap_or_default() {
                text.push_str(&field(&name, &value));
            }
            text.push_str(&field("Root of the tickets", &root.to_string()));
            text
        }
        (Subject::Lot { .. }, None) => String::new(),
    };
    printable(&text)
}

fn version(header: &Header, added: &[KeyEntry], previous: Option<&Header>) -> String {
    let mut text = match previous {
        None => format!("A new programme: {}\n", one_line(&header.name)),
        Some(previous) => {
            format!("Version {} of {}, after version {}\n", header.version, one_line(&header.name), previous.version)
        }
    };
    text.push_str(&field("Hash that officers sign", &header.hash().to_string()));
    text.push_str(&field("Programme", &header.programme_id().to_string()));
    let facts = facts(header);
    match previous {
        None => facts.iter().for_each(|(name, value)| text.push_str(&field(name, value))),
        Some(previous) => {
            let old = self::facts(previous);
            let of = |facts: &[(String, String)], name: &str| {
                facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            };
            let mut differences = 0;
            for (name, value) in &facts {
                let line = match of(&old, name) {
                    Some(before) if before == *value => continue,
                    Some(before) => format!("{before}  ->  {value}"),
                    None => format!("new: {value}"),
                };
                differences += 1;
                text.push_str(&field(name, &line));
            }
            for (name, value) in old.iter().filter(|(name, _)| of(&facts, name).is_none()) {
                differences += 1;
                text.push_str(&field(name, &format!("removed: {value}")));
            }
            if differences == 0 {
                text.push_str("  Nothing but voucher keys changes.\n");
            }
        }
    }
    keys(header, added, &mut text);
    text
}

/// How many keys of each round, site and slot are added, and whether that is all that there can be.
fn keys(header: &Header, added: &[KeyEntry], text: &mut String) {
    text.push_str(&field("Voucher keys", &format!("{} new, {} in all", added.len(), header.key_count)));
    let mut places: BTreeMap<(Round, Option<SiteId>, Option<Slot>), usize> = BTreeMap::new();
    for entry in added {
        *places.entry((entry.id.round, entry.id.site, entry.id.slot)).or_default() += 1;
    }
    let per_place: usize = header.lines.iter().map(|line| line.values.len()).sum();
    for ((round, site, slot), count) in &places {
        let place = match (site, slot) {
            (None, _) => "any site".to_owned(),
            (Some(site), None) => site_name(header, *site),
            (Some(site), Some(slot)) => format!("{}, slot {slot}", site_name(header, *site)),
        };
        let whole =
            if *count == per_place { "every line and value" } else { "NOT every line and value: ask the office why" };
        text.push_str(&field(&format!("Keys of round {round}, {place}"), &format!("{count}, {whole}")));
    }
    let rounds: HashSet<Round> = added.iter().map(|entry| entry.id.round).collect();
    let ids: HashSet<_> = added.iter().map(|entry| entry.id).collect();
    for round in rounds {
        let missing: HashSet<SiteId> =
            key_ids(header, round).into_iter().filter(|id| !ids.contains(id)).filter_map(|id| id.site).collect();
        let without =
            missing.into_iter().filter(|site| places.keys().all(|(r, s, _)| (*r, *s) != (round, Some(*site))));
        let mut without: Vec<String> = without.map(|site| site_name(header, site)).collect();
        without.sort_unstable();
        if !without.is_empty() {
            text.push_str(&field(&format!("No keys in round {round}"), &without.join(", ")));
        }
    }
}

fn site_name(header: &Header, id: SiteId) -> String {
    format!("site {id} {}", header.site(id).map_or("(unknown)", |site| site.name.as_str()))
}

fn field(name: &str, value: &str) -> String {
    format!("  {}: {}\n", one_line(name), one_line(value))
}

/// Text of a file that somebody else made, fit for a terminal: nothing in it moves the cursor or turns letters around.
fn printable(text: &str) -> String {
    let shown = |c: char| if c != '\n' && crate::caseload::is_unprintable(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// One line a value: a line break inside it must not begin a fact of its own.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn hex_key(key: &PublicKey) -> String {
    hex::encode(key.0)
}

fn log(key: &LogKey) -> String {
    let LogKey { name, key } = key;
    format!("{name}, key {}", hex_key(key))
}

type Facts = Vec<(String, String)>;

fn facts(header: &Header) -> Facts {
    let Header {
        version: _,
        previous: _,
        programme: _,
        agency,
        name,
        schema,
        issuer_key,
        issuer_log,
        officers,
        threshold,
        witnesses,
        witness_threshold,
        policy,
        last_round,
        lines,
        sites,
        lots,
        key_count: _,
        key_root: _,
    } = header;
    let Policy { first_round, advance, cohort_min } = policy;
    let Schema { width, lapse, carry, spares, attributes } = schema;
    let mut facts: Facts = vec![
        ("Agency".into(), agency.clone()),
        ("Name".into(), name.clone()),
        ("Rounds".into(), format!("{first_round} to {last_round}")),
        ("Rounds that may be drawn ahead".into(), advance.to_string()),
        ("Fewest households in a published sum".into(), cohort_min.to_string()),
        ("Amounts".into(), format!("below 2^{width}")),
        (
            "Room for lines".into(),
            format!("{lapse} that lapse and {carry} that carry from the start, {spares} for later"),
        ),
    ];
    for Attribute { name, min, max } in attributes {
        facts.push((format!("Household attribute {name}"), format!("{min} to {max}")));
    }
    facts.push(("Issuer's credential key".into(), hex::encode(issuer_key.as_bytes())));
    facts.push(("Issuer's log".into(), log(issuer_log)));
    facts.push(("Officers who must sign".into(), format!("{threshold} of {}", officers.len())));
    for (at, key) in officers.iter().enumerate() {
        facts.push((format!("Officer {}", at + 1), hex_key(key)));
    }
    facts.push(("Witnesses who must cosign".into(), format!("{witness_threshold} of {}", witnesses.len())));
    for (at, witness) in witnesses.iter().enumerate() {
        facts.push((format!("Witness {}", at + 1), log(witness)));
    }
    lines.iter().for_each(|line| line_facts(line, &schema.attributes, &mut facts));
    sites.iter().for_each(|site| site_facts(site, &mut facts));
    for lot in lots {
        facts.extend(lot_facts(lot, header));
    }
    facts
}

fn line_facts(line: &Line, attributes: &[Attribute], facts: &mut Facts) {
    let Line { id, name, carry, state, accrual, predicates, values, unit, worth, labels, pictogram } = line;
    let mut fact = |what: &str, value: String| facts.push((format!("Line {id}, {what}"), value));
    fact("name", name.clone());
    let kind = match carry {
        Carry::Lapse => "lapses at the end of a round",
        Carry::Carry => "carries over",
    };
    fact("what is not drawn", kind.into());
    fact("coordinate", state.to_string());
    for entry in accrual {
        let what = format!("a household gets, from round {}", entry.round);
        fact(&what, format!("{} ({unit})", write_sum(&entry.value, attributes)));
    }
    for entry in predicates {
        let conditions: Vec<String> = entry.value.iter().map(|form| write_condition(form, attributes)).collect();
        let conditions = if conditions.is_empty() { "none".into() } else { conditions.join(" and ") };
        fact(&format!("conditions, from round {}", entry.round), conditions);
    }
    let list: Vec<String> = values.iter().map(u32::to_string).collect();
    fact("voucher values", list.join(", "));
    fact("unit", unit.clone());
    for entry in worth {
        let parts: Vec<String> =
            entry.value.iter().map(|Worth { item, amount, measure }| format!("{amount} {measure} {item}")).collect();
        fact(&format!("a unit is worth, from round {}", entry.round), parts.join(", "));
    }
    for label in labels {
        fact(&format!("label in {}", label.language), label.text.clone());
    }
    fact("pictogram", pictogram.clone());
}

fn site_facts(site: &Site, facts: &mut Facts) {
    let Site { id, name, slots, logs, labels } = site;
    let mut fact = |what: &str, value: String| facts.push((format!("Site {id}, {what}"), value));
    fact("name", name.clone());
    fact("groups of counters", if *slots == 0 { "one".into() } else { slots.to_string() });
    for (at, key) in logs.iter().enumerate() {
        fact(&format!("log {}", at + 1), log(key));
    }
    for label in labels {
        fact(&format!("label in {}", label.language), label.text.clone());
    }
}

fn lot_facts(lot: &LotTerms, header: &Header) -> Facts {
    let LotTerms { id, kind, start } = lot;
    let Start { drawn, balances } = start;
    let kind = match kind {
        TicketKind::Enrol => "new credentials",
        TicketKind::Amend => "changes of a household",
        TicketKind::Split => "parts that leave a household",
    };
    let mut facts = vec![(format!("Lot {id}, for"), kind.to_owned())];
    let mut starts = format!("drawn up to round {drawn}");
    for (line, form) in balances {
        let name = header.line(*line).map_or("(unknown)", |line| line.name.as_str());
        let _ = write!(starts, ", then {name}: {}", write_sum(form, &header.schema.attributes));
    }
    facts.push((format!("Lot {id}, starts"), starts));
    facts
}
