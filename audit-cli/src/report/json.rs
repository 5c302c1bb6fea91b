//! A report for programs: the schema is in spec/audit.md, 5. What is withheld is `null`.

use annona_protocol::audit::Finding;
use serde_json::{Value, json};

use super::{
    Document, Protection,
    figures::{Figure, Grid, LineFigures},
    stock::{Amount, StockRow},
};
use crate::print;

/// The schema's name: another one for any change but an added field.
pub const SCHEMA: &str = "annona-report-1";

/// The document as JSON.
pub fn document(document: &Document) -> Value {
    let Document { programme, agency, name, figures, notes, stock, .. } = document;
    let (kind, below, epsilon) = match document.protection {
        Protection::None => ("none", None, None),
        Protection::SuppressBelow(below) => ("suppression", Some(below), None),
        Protection::Noise(epsilon) => ("noise", None, Some(epsilon.to_string())),
    };
    json!({
        "schema": SCHEMA,
        "verified": document.verified(),
        "verdict": document.verdict(),
        "programme": programme.to_string(),
        "agency": agency,
        "name": name,
        "protection": {"kind": kind, "below": below, "epsilon": epsilon, "statement": document.protection_text()},
        "rounds": figures.rounds.iter().map(|round| round.0).collect::<Vec<_>>(),
        "sites": figures.sites.iter().map(|(site, name)| json!({"site": site.0, "name": name})).collect::<Vec<_>>(),
        "lines": figures.lines.iter().map(line).collect::<Vec<_>>(),
        "enrolments": number(figures.enrolments),
        "amends": number(figures.amends),
        "leaves": number(figures.leaves),
        "stock": stock.iter().map(stock_row).collect::<Vec<_>>(),
        "notes": notes,
        "findings": document.findings.iter().map(|found| finding(document, found)).collect::<Vec<_>>(),
    })
}

/// Units are whole numbers below 2^64, noisy ones below 2^63 in magnitude; whatever is beyond is written as text.
fn number(figure: Figure) -> Value {
    match figure {
        None => Value::Null,
        Some(value) => u64::try_from(value)
            .map(Value::from)
            .or_else(|_| i64::try_from(value).map(Value::from))
            .unwrap_or_else(|_| value.to_string().into()),
    }
}

fn numbers<'a>(figures: impl IntoIterator<Item = &'a Figure>) -> Vec<Value> {
    figures.into_iter().map(|figure| number(*figure)).collect()
}

fn grid(grid: &Grid) -> Value {
    json!({
        "cells": grid.cells.iter().map(numbers).collect::<Vec<_>>(),
        "by_round": numbers(&grid.by_round),
        "by_site": numbers(&grid.by_site),
        "total": number(grid.total),
    })
}

fn line(line: &LineFigures) -> Value {
    json!({
        "line": line.line.0,
        "name": line.name,
        "unit": line.unit,
        "carry": line.carry,
        "household_maximum": line.household,
        "redeemed": grid(&line.redeemed),
        "voided": grid(&line.voided),
        "owed": grid(&line.owed),
        "collected": grid(&line.collected),
        "drawn": numbers(line.drawn.iter().map(|row| &row.drawn)),
        "counted": numbers(line.drawn.iter().map(|row| &row.counted)),
        "granted_at_most": numbers(line.drawn.iter().map(|row| &row.granted)),
        "swapped": numbers(line.drawn.iter().map(|row| &row.swapped)),
    })
}

fn stock_row(row: &StockRow) -> Value {
    let amount = |amount: Option<i128>| amount.map(|amount| Amount(amount).to_string());
    json!({
        "site": row.site.0,
        "item": row.item,
        "measure": row.measure,
        "round": row.round.map(|round| round.0),
        "sheet": amount(row.sheet),
        "vouchers": amount(row.vouchers),
        "difference": amount(row.difference()),
    })
}

/// What [`print::finding`] says, with the units that may be shown and without the voucher.
fn finding(document: &Document, finding: &Finding) -> Value {
    let mut value = print::finding(finding);
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| name != "key" && name != "holder");
        members.insert("units".into(), number(document.stake(finding)));
    }
    value
}
