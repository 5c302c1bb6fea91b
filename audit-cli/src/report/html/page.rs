//! The sections of the page: verdict first, then findings, then figures.

use std::fmt::Write as _;

use super::{
    chart::{self, Mark, Scale, Series, Words},
    escape, figure, name,
};
use crate::report::{
    Document,
    figures::{DrawnFigures, Figure, Grid, LineFigures, sum},
    stock::{Amount, StockRow},
    text::{is_zero, measures},
};

/// Rounds beside each other in a table that still prints.
const ROUNDS_A_TABLE: usize = 9;

pub(super) fn body(document: &Document) -> String {
    let mut out = String::new();
    // The one pattern, for all charts.
    out.push_str(
        "<svg class=\"defs\" aria-hidden=\"true\" focusable=\"false\"><defs><pattern id=\"hatch\" width=\"5\" height=\"5\" \
         patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><line class=\"stripe\" x1=\"0\" y1=\"0\" x2=\"0\" \
         y2=\"5\"/></pattern></defs></svg>\n",
    );
    if !document.verified() {
        out.push_str("<div class=\"running\" aria-hidden=\"true\">NOT VERIFIED</div>\n");
    }
    head(document, &mut out);
    findings(document, &mut out);
    overview(document, &mut out);
    for (at, line) in document.figures.lines.iter().enumerate() {
        section(document, at, line, &mut out);
    }
    stock(document, &mut out);
    notes(document, &mut out);
    words(&mut out);
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

fn head(document: &Document, out: &mut String) {
    let verified = document.verified();
    let (class, strong) = if verified { ("good", "\u{2713} Verified") } else { ("bad", "\u{2717} Not verified") };
    push(out, format_args!("<header>\n<p class=\"over\">Audit report</p>\n<h1>{}</h1>\n", name(&document.name)));
    push(
        out,
        format_args!(
            "<p>{}</p>\n<p><code>programme {}</code></p>\n</header>\n<main>\n",
            name(&document.agency),
            document.programme
        ),
    );
    push(
        out,
        format_args!(
            "<section class=\"verdict {class}\" aria-label=\"Verdict\"><strong>{strong}</strong>\n<p>{}</p>\n<p>{}</p></section>\n",
            escape(&document.verdict()),
            document.limits()
        ),
    );
    let protection = document.protection_text();
    if !protection.is_empty() {
        out.push_str("<div class=\"note\">");
        protection.iter().for_each(|sentence| push(out, format_args!("<p>{}</p>\n", escape(sentence))));
        out.push_str("</div>\n");
    }
}

/// A heading over figures; those of a run with findings say so each time.
fn flag(document: &Document) -> &'static str {
    if document.verified() { "" } else { " <span class=\"flag\">not verified</span>" }
}

fn findings(document: &Document, out: &mut String) {
    if document.findings.is_empty() {
        return;
    }
    push(
        out,
        format_args!(
            "<section>\n<h2>What failed</h2>\n<p>Each failed check, with its number in the protocol's \
        section 9, who answers for it, and where it is in the logs.</p>\n<div class=\"wide\"><table>\n<thead><tr>\
        <th scope=\"col\">Check</th><th scope=\"col\">Answers for it</th><th scope=\"col\">Log</th>\
        <th scope=\"col\" class=\"n\">Leaf</th><th scope=\"col\" class=\"n\">Round</th><th scope=\"col\">Line</th>\
        <th scope=\"col\" class=\"n\">Units at stake</th></tr></thead>\n<tbody>\n"
        ),
    );
    for finding in &document.findings {
        let none = || "\u{2013}".to_owned();
        let line = finding.line.map(|line| {
            let known = document.figures.lines.iter().find(|figures| figures.line == line);
            known.map_or_else(|| line.to_string(), |figures| name(&figures.name))
        });
        push(
            out,
            format_args!(
                "<tr><th scope=\"row\">{} {}</th><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td>{}</td><td class=\"n\">{}</td></tr>\n<tr class=\"meaning\"><td colspan=\"7\">{}</td></tr>\n",
                finding.check.number(),
                finding.check,
                who(document, finding.party),
                name(&finding.log),
                finding.leaf.map_or_else(none, |leaf| figure(Some(leaf.into()))),
                finding.round.map_or_else(none, |round| round.to_string()),
                line.unwrap_or_else(none),
                figure(document.stake(finding)),
                escape(finding.check.meaning())
            ),
        );
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

fn who(document: &Document, party: annona_protocol::audit::Party) -> String {
    use annona_protocol::audit::Party;
    match party {
        Party::Issuer => "the issuer".to_owned(),
        Party::Voucher => "the voucher only: site or holder".to_owned(),
        Party::Site(site) => {
            let known = document.figures.sites.iter().find(|(id, _)| *id == site);
            format!("site {site} {}", known.map(|(_, text)| name(text)).unwrap_or_default())
        }
    }
}

fn overview(document: &Document, out: &mut String) {
    let figures = &document.figures;
    push(
        out,
        format_args!(
            "<section>\n<h2>Lines at a glance{}</h2>\n<p>{} rounds, {} sites; {} enrolments, {} amends, {} leaves read.</p>\n",
            flag(document),
            figures.rounds.len(),
            figures.sites.len(),
            figure(figures.enrolments),
            figure(figures.amends),
            figure(figures.leaves)
        ),
    );
    let rows: Vec<(&LineFigures, Figure, Figure)> = figures
        .lines
        .iter()
        .map(|line| (line, sum(line.drawn.iter().map(|row| row.drawn)), line.redeemed.total))
        .collect();
    let share = |drawn: Figure, redeemed: Figure| match (drawn, redeemed) {
        (Some(drawn @ 1..), Some(redeemed)) => Some(redeemed.saturating_mul(1000) / drawn),
        _ => None,
    };
    let shares: Vec<Figure> = rows.iter().map(|(_, drawn, redeemed)| share(*drawn, *redeemed)).collect();
    let places: Vec<String> = rows.iter().map(|(line, ..)| line.name.clone()).collect();
    let shown = |_: usize, at: usize| match (shares[at], rows[at].1) {
        (Some(share), _) => format!("{}.{} %", share / 10, (share % 10).abs()),
        (None, Some(0)) => "nothing drawn".to_owned(),
        _ => "(x)".to_owned(),
    };
    if !rows.is_empty() {
        // Nothing drawn is nothing redeemed of it, and not withheld.
        let values = shares.iter().zip(&rows).map(|(share, row)| share.or(row.1.filter(|drawn| *drawn == 0))).collect();
        let words = Words {
            id: "share".into(),
            title: "Redeemed units as a share of drawn units, by line".into(),
            description: "One bar a line; its figures are in the table below.".into(),
            unit: "%",
        };
        let series = [Series { label: "redeemed of drawn", mark: Mark::Solid, values }];
        push(
            out,
            format_args!(
                "<h3>Redeemed, as a share of what was drawn</h3>\n<figure class=\"chart\">{}</figure>\n",
                chart::bars(&words, &places, &series, Scale::To(1000), &shown)
            ),
        );
    }
    out.push_str(
        "<div class=\"wide\"><table>\n<caption>Units by line, all rounds and sites</caption>\n<thead><tr><th scope=\"col\">Line</th>\
         <th scope=\"col\">Unit</th><th scope=\"col\" class=\"n\">Drawn</th><th scope=\"col\" class=\"n\">Redeemed</th>\
         <th scope=\"col\" class=\"n\">Of drawn</th><th scope=\"col\" class=\"n\">Voided</th>\
         <th scope=\"col\" class=\"n\">Owed</th><th scope=\"col\" class=\"n\">Collected</th></tr></thead>\n<tbody>\n",
    );
    for (at, (line, drawn, redeemed)) in rows.iter().enumerate() {
        push(
            out,
            format_args!(
                "<tr><th scope=\"row\">{}</th><td>{}</td>{}{}<td class=\"n\">{}</td>{}{}{}</tr>\n",
                name(&line.name),
                name(&line.unit),
                cell(*drawn),
                cell(*redeemed),
                shown(0, at),
                cell(line.voided.total),
                cell(line.owed.total),
                cell(line.collected.total)
            ),
        );
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

fn cell(value: Figure) -> String {
    let class = if value.is_none() { "n x" } else { "n" };
    format!("<td class=\"{class}\">{}</td>", figure(value))
}

fn section(document: &Document, at: usize, line: &LineFigures, out: &mut String) {
    let unit = if line.unit.is_empty() { "unit" } else { &line.unit };
    push(
        out,
        format_args!(
            "<section class=\"line\">\n<h2>Line {}{}</h2>\n<p class=\"soft\">Counted in units ({}). {}</p>\n",
            name(&line.name),
            flag(document),
            name(unit),
            if line.carry {
                "What is not drawn stays for later rounds."
            } else {
                "What is not drawn in a round lapses."
            }
        ),
    );
    by_round(document, at, line, unit, out);
    by_site(document, at, line, unit, out);
    promises(document, at, line, unit, out);
    for (what, grid) in measures(line) {
        if !is_zero(grid) {
            matrix(document, &format!("Units {what}, by site and round"), grid, out);
        }
    }
    out.push_str("</section>\n");
}

/// Granted, drawn and redeemed; of a carry line so far, as its bound is.
fn by_round(document: &Document, at: usize, line: &LineFigures, unit: &str, out: &mut String) {
    let so_far = |figures: &[Figure]| -> Vec<Figure> {
        (1..=figures.len()).map(|until| sum(figures[..until].iter().copied())).collect()
    };
    let noisy = matches!(document.protection, crate::report::Protection::Noise(_));
    let of = |figure: fn(&DrawnFigures) -> Figure| line.drawn.iter().map(figure).collect::<Vec<_>>();
    let carried = line.carry && !noisy;
    let (drawn, redeemed, suffix) = if carried {
        (of(|row| row.counted), so_far(&line.redeemed.by_round), " so far")
    } else {
        (of(|row| row.drawn), line.redeemed.by_round.clone(), "")
    };
    let labels = [format!("granted at most{suffix}"), format!("drawn{suffix}"), format!("redeemed{suffix}")];
    let granted = of(|row| row.granted);
    let mut series = vec![
        Series { label: &labels[1], mark: Mark::Hatched, values: drawn },
        Series { label: &labels[2], mark: Mark::Solid, values: redeemed },
    ];
    if !noisy {
        series.insert(0, Series { label: &labels[0], mark: Mark::Line, values: granted });
    }
    let places: Vec<String> = document.figures.rounds.iter().map(u32_text).collect();
    let title =
        format!("{}, by round{suffix}", if noisy { "Drawn and redeemed" } else { "Granted, drawn and redeemed" });
    let words = Words {
        id: format!("rounds-{at}"),
        title: format!("{title}, line {}", crate::report::clean(&line.name)),
        description:
            "Hatched bars are drawn units, full bars redeemed ones; a line across marks the most that was granted. \
                      The same figures are in the table beside it."
                .into(),
        unit,
    };
    push(
        out,
        format_args!(
            "<h3>{title}</h3>\n<div class=\"pair\"><figure class=\"chart\">{}</figure>\n<table>\n<thead><tr><th scope=\"col\" class=\"n\">Round</th>",
            chart::columns(&words, &places, &series)
        ),
    );
    for Series { label, .. } in &series {
        push(out, format_args!("<th scope=\"col\" class=\"n\">{}</th>", escape(&capital(label))));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (row, place) in places.iter().enumerate() {
        push(out, format_args!("<tr><th scope=\"row\" class=\"n\">{place}</th>"));
        series.iter().for_each(|series| out.push_str(&cell(series.values[row])));
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

fn u32_text(round: &annona_protocol::ids::Round) -> String {
    round.to_string()
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn by_site(document: &Document, at: usize, line: &LineFigures, unit: &str, out: &mut String) {
    let sites = &document.figures.sites;
    if sites.is_empty() {
        return;
    }
    let places: Vec<String> = sites.iter().map(|(_, name)| name.clone()).collect();
    let series = [Series { label: "redeemed", mark: Mark::Solid, values: line.redeemed.by_site.clone() }];
    let words = Words {
        id: format!("sites-{at}"),
        title: format!("Redeemed units by site, line {}", crate::report::clean(&line.name)),
        description: "One bar a site, over all rounds. The same figures are in the table beside it.".into(),
        unit,
    };
    let shown = |_: usize, at: usize| figure(line.redeemed.by_site[at]);
    push(
        out,
        format_args!(
            "<h3>Redeemed, by site</h3>\n<div class=\"pair\"><figure class=\"chart\">{}</figure>\n<table>\n<thead><tr>\
             <th scope=\"col\">Site</th><th scope=\"col\" class=\"n\">Redeemed</th></tr></thead>\n<tbody>\n",
            chart::bars(&words, &places, &series, Scale::Common, &shown)
        ),
    );
    for ((_, site), value) in sites.iter().zip(&line.redeemed.by_site) {
        push(out, format_args!("<tr><th scope=\"row\">{}</th>{}</tr>\n", name(site), cell(*value)));
    }
    push(
        out,
        format_args!(
            "<tr class=\"sum\"><th scope=\"row\">All sites</th>{}</tr>\n</tbody></table></div>\n",
            cell(line.redeemed.total)
        ),
    );
}

/// Owed, collected and voided units, if there are any.
fn promises(document: &Document, at: usize, line: &LineFigures, unit: &str, out: &mut String) {
    let grids = [
        ("owed", Mark::Outlined, &line.owed),
        ("collected", Mark::Solid, &line.collected),
        ("voided", Mark::Hatched, &line.voided),
    ];
    if matches!(document.protection, crate::report::Protection::Noise(_)) {
        return;
    }
    if grids.iter().all(|(.., grid)| is_zero(grid)) {
        out.push_str("<h3>Owed and voided</h3>\n<p>Nothing of this line was owed, collected or voided.</p>\n");
        return;
    }
    let sites = &document.figures.sites;
    let places: Vec<String> = sites.iter().map(|(_, name)| name.clone()).collect();
    let series = grids.map(|(label, mark, grid)| Series { label, mark, values: grid.by_site.clone() });
    let words = Words {
        id: format!("owed-{at}"),
        title: format!("Owed, collected and voided units by site, line {}", crate::report::clean(&line.name)),
        description:
            "Three bars a site, over all rounds: owed outlined, collected full, voided hatched. The same figures are \
                      in the table beside it."
                .into(),
        unit,
    };
    let shown = |which: usize, at: usize| figure(series[which].values[at]);
    push(
        out,
        format_args!(
            "<h3>Owed and voided, by site</h3>\n<div class=\"pair\"><figure class=\"chart\">{}</figure>\n<table>\n<thead><tr>\
             <th scope=\"col\">Site</th><th scope=\"col\" class=\"n\">Owed</th><th scope=\"col\" class=\"n\">Collected</th>\
             <th scope=\"col\" class=\"n\">Voided</th></tr></thead>\n<tbody>\n",
            chart::bars(&words, &places, &series, Scale::Common, &shown)
        ),
    );
    for (row, (_, site)) in sites.iter().enumerate() {
        push(out, format_args!("<tr><th scope=\"row\">{}</th>", name(site)));
        series.iter().for_each(|series| out.push_str(&cell(series.values[row])));
        out.push_str("</tr>\n");
    }
    out.push_str("<tr class=\"sum\"><th scope=\"row\">All sites</th>");
    grids.iter().for_each(|(.., grid)| out.push_str(&cell(grid.total)));
    out.push_str("</tr>\n</tbody></table></div>\n");
}

/// Sites by rounds, in parts that fit a page.
fn matrix(document: &Document, caption: &str, grid: &Grid, out: &mut String) {
    let (rounds, sites) = (&document.figures.rounds, &document.figures.sites);
    let parts = rounds.len().div_ceil(ROUNDS_A_TABLE).max(1);
    push(out, format_args!("<h3>{caption}</h3>\n"));
    for part in 0..parts {
        let from = part * ROUNDS_A_TABLE;
        let until = (from + ROUNDS_A_TABLE).min(rounds.len());
        let last = part + 1 == parts;
        // A table that fits a page is not split over two.
        let keep = if sites.len() <= 25 { " keep" } else { "" };
        push(out, format_args!("<div class=\"wide{keep}\"><table>\n<thead><tr><th scope=\"col\">Site</th>"));
        rounds[from..until]
            .iter()
            .for_each(|round| push(out, format_args!("<th scope=\"col\" class=\"n\">Round {round}</th>")));
        out.push_str(if last {
            "<th scope=\"col\" class=\"n\">All rounds</th></tr></thead>\n<tbody>\n"
        } else {
            "</tr></thead>\n<tbody>\n"
        });
        for (at, (_, site)) in sites.iter().enumerate() {
            push(out, format_args!("<tr><th scope=\"row\">{}</th>", name(site)));
            grid.cells[from..until].iter().for_each(|row| out.push_str(&cell(row[at])));
            if last {
                out.push_str(&cell(grid.by_site[at]).replace("class=\"n", "class=\"sum n"));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("<tr class=\"sum\"><th scope=\"row\">All sites</th>");
        grid.by_round[from..until].iter().for_each(|value| out.push_str(&cell(*value)));
        if last {
            out.push_str(&cell(grid.total));
        }
        out.push_str("</tr>\n</tbody></table></div>\n");
    }
}

fn stock(document: &Document, out: &mut String) {
    let rows = &document.stock;
    if rows.is_empty() {
        return;
    }
    let amount = |amount: Option<i128>, none: &str| amount.map_or(none.to_owned(), |amount| grouped(Amount(amount)));
    let place = |row: &StockRow| match row.round {
        Some(round) => format!("{}, round {round}", row.item),
        None => row.item.clone(),
    };
    let places: Vec<String> = rows.iter().map(place).collect();
    let unnamed = |row: &StockRow| row.sheet.or_else(|| (!row.withheld).then_some(0));
    let series = [
        Series {
            label: "left the store, by the sheet",
            mark: Mark::Hatched,
            values: rows.iter().map(unnamed).collect(),
        },
        Series {
            label: "handed out, by the vouchers",
            mark: Mark::Solid,
            values: rows.iter().map(|row| row.vouchers).collect(),
        },
    ];
    let words = Words {
        id: "stock".into(),
        title: "Stock against vouchers, by item".into(),
        description:
            "Two bars an item: what left the store by the sheet, hatched, and what the vouchers say, full. Each pair \
                      has its own scale. The same figures are in the table below."
                .into(),
        unit: "",
    };
    let shown = |which: usize, at: usize| {
        let row = &rows[at];
        let (value, none) = if which == 0 {
            (row.sheet, if row.withheld { "(x)" } else { "not on the sheet" })
        } else {
            (row.vouchers, "(x)")
        };
        value.map_or(none.to_owned(), |value| {
            format!("{} {}", grouped(Amount(value)), crate::report::clean(&row.measure))
        })
    };
    push(
        out,
        format_args!(
            "<section class=\"line\">\n<h2>Stock against vouchers{}</h2>\n<p>What left a site's store by its own sheet, against what \
             its vouchers say was handed out, in goods. Each pair of bars has its own scale. A positive difference left the store \
             without vouchers; a negative one was redeemed and did not leave the store.</p>\n<figure class=\"chart\">{}</figure>\n\
             <div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">Item</th><th scope=\"col\">Site</th>\
             <th scope=\"col\">Rounds</th><th scope=\"col\" class=\"n\">By the sheet</th>\
             <th scope=\"col\" class=\"n\">By vouchers</th><th scope=\"col\" class=\"n\">Difference</th>\
             <th scope=\"col\">Measure</th><th scope=\"col\">Agree</th></tr></thead>\n<tbody>\n",
            flag(document),
            chart::bars(&words, &places, &series, Scale::Each, &shown)
        ),
    );
    for row in rows {
        let site = document.figures.sites.iter().find(|(id, _)| *id == row.site).map(|(_, site)| name(site));
        let (class, agree) = match (row.withheld, row.agrees()) {
            (true, _) => ("", "(x)"),
            (_, true) => ("", "yes"),
            _ => (" class=\"off\"", "NO"),
        };
        push(
            out,
            format_args!(
                "<tr{class}><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td>{}</td><td>{agree}</td></tr>\n",
                name(&row.item),
                site.unwrap_or_else(|| row.site.to_string()),
                row.round.map_or("all".to_owned(), |round| round.to_string()),
                amount(row.sheet, if row.withheld { "(x)" } else { "not on it" }),
                amount(row.vouchers, "(x)"),
                amount(row.difference(), "(x)"),
                name(&row.measure)
            ),
        );
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

/// An amount with its thousands apart.
fn grouped(amount: Amount) -> String {
    let text = amount.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |text| ("\u{2212}", text));
    let (whole, part) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{sign}{}{part}", whole.parse().map_or(whole.to_owned(), |whole| figure(Some(whole))))
}

fn notes(document: &Document, out: &mut String) {
    if document.notes.is_empty() {
        return;
    }
    out.push_str("<section>\n<h2>Notes</h2>\n<p>To know; none of them accuses anybody.</p>\n<ul>\n");
    document.notes.iter().for_each(|note| push(out, format_args!("<li>{}</li>\n", name(&capital(note)))));
    out.push_str("</ul>\n</section>\n");
}

fn words(out: &mut String) {
    const WORDS: [(&str, &str); 7] = [
        (
            "Granted at most",
            "An upper bound of what households could draw, from sums that the issuer opened and the auditor checked. Of a line whose units stay, all rounds so far.",
        ),
        ("Drawn", "Vouchers that the issuer signed for households, in units of their line."),
        (
            "Redeemed",
            "Vouchers that a site accepted and did not void. Goods that a site still owed then are among them.",
        ),
        ("Voided", "Acceptances that were taken back, with the holder's proof."),
        (
            "Owed, collected",
            "Units promised on slips because goods were short, and those handed out later on such slips.",
        ),
        ("Leaf", "An entry of a log. Leaves are counted from 0."),
        ("(x)", "Withheld to protect households."),
    ];
    out.push_str("<section>\n<h2>Words</h2>\n<dl>\n");
    WORDS.iter().for_each(|(term, meaning)| push(out, format_args!("<dt>{term}</dt><dd>{meaning}</dd>\n")));
    push(
        out,
        format_args!(
            "</dl>\n</section>\n</main>\n<footer><p>Made by annona-audit {} from the programme's published files. Whoever has these \
             files can repeat it. The programme's id above must be the one that the agency prints: a page can be forged, the \
             audit behind it cannot.</p></footer>\n",
            env!("CARGO_PKG_VERSION")
        ),
    );
}
