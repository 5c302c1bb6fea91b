//! `annona-wallet show`: one screen.

use std::collections::BTreeMap;

use annona_protocol::{
    ids::{LineId, Round, Units},
    programme::{
        Carry, Form, InForce, Programme,
        schema::{DRAWN, EXPIRES},
    },
};
use annona_wallet::{Medium, Task, Wallet};
use clap::Args;
use serde_json::{Value, json};

use super::{
    Desk, Done, Problem, Report,
    crowd::{self, Place},
    holder, names,
    names::round,
};

#[derive(Args)]
pub(super) struct Show {
    /// Another open round than the newest that the wallet knows.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
}

impl Show {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        let mut report = Report::default();
        if stored.state.membership.is_none() {
            report.line(desk.say("show-empty", &[]));
            report.set("programme", Value::Null);
            return Ok(report);
        }
        let membership = stored.membership()?;
        let (programme, wallet) = (holder::announced(membership)?, stored.wallet()?);
        let header = programme.latest();
        report.set("programme", hex::encode(programme.id().0));
        report.set("name", &header.name);
        report.set("agency", &header.agency);
        let title = [("programme", header.name.as_str().into()), ("agency", header.agency.as_str().into())];
        report.line(desk.say("show-title", &title));
        match holder::round(&programme, self.round) {
            Ok(round) => {
                report.line(desk.say("show-round", &[("round", round.0.into())]));
                report.set("round", round.0);
                vouchers(desk, &programme, &wallet, &mut report);
                drawable(desk, &programme.in_force(round)?, &wallet, &mut report);
            }
            Err(Problem::NoRound) => {
                report.line(desk.say("show-no-round", &[]));
                report.set("round", Value::Null);
            }
            Err(problem) => return Err(problem),
        }
        expiry(desk, &wallet, &mut report);
        owed(desk, &programme, &wallet, &mut report);
        refused(desk, &programme, &wallet, &mut report);
        packed(desk, &wallet, &mut report);
        let receipts = wallet.receipts().len();
        if receipts > 0 {
            report.line(desk.say("show-receipts", &[("count", receipts.into())]));
        }
        report.set("receipts", receipts);
        crowd::alike(desk, &programme, &wallet, &stored.state.crowds, &mut report);
        unfinished(desk, &wallet, &mut report);
        Ok(report)
    }
}

/// What waits under a number to be read back, handed on, or taken back.
fn packed(desk: &Desk, wallet: &Wallet, report: &mut Report) {
    let mut list = Vec::new();
    for parcel in wallet.parcels() {
        let count = parcel.vouchers().len();
        let (id, medium) = match parcel.medium() {
            Medium::Gift => ("show-gift", "gift"),
            Medium::Card => ("show-card", "card"),
            Medium::Sheet => ("show-sheet", "sheet"),
            Medium::SplitSheet => ("show-sheet", "split-sheet"),
        };
        report.line(desk.say(id, &[("number", parcel.number().into()), ("count", count.into())]));
        list.push(json!({ "number": parcel.number(), "medium": medium, "vouchers": count }));
    }
    report.set("packed", list);
}

/// What is not answered yet: every command that leaves it so says it.
pub(super) fn unfinished(desk: &Desk, wallet: &Wallet, report: &mut Report) {
    let tasks = wallet.tasks();
    if !tasks.is_empty() {
        report.line(desk.say("unfinished", &[("count", tasks.len().into())]));
    } else if wallet.refresh_due() {
        report.line(desk.say("refresh-due", &[]));
    }
    report.set("unfinished", tasks.iter().map(task).collect::<Vec<_>>());
    report.set("refresh_due", wallet.refresh_due());
}

/// A task for programs.
pub(super) fn task(task: &Task) -> Value {
    match task {
        Task::Credential => json!({ "task": "credential" }),
        Task::Swap => json!({ "task": "swap" }),
        Task::Visit(site, round) => json!({ "task": "visit", "site": site.0, "round": round.0 }),
        Task::Collect(_) => json!({ "task": "collect" }),
    }
}

/// Vouchers that are held: by site and round, what they are worth and how many they are.
fn vouchers(desk: &Desk, programme: &Programme, wallet: &Wallet, report: &mut Report) {
    let mut places = BTreeMap::<Place, Vec<(LineId, u32)>>::new();
    for voucher in wallet.vouchers() {
        let sound = !wallet.faults().contains_key(&voucher.shown().mark());
        let Some(held) = holder::held(programme, voucher).filter(|_| sound) else { continue };
        places.entry((held.round, held.site)).or_default().push((held.line, held.value));
    }
    let header = programme.latest();
    report.line(desk.say(if places.is_empty() { "show-no-vouchers" } else { "show-vouchers" }, &[]));
    let mut list = Vec::new();
    for ((round, site), held) in &places {
        let mut units: BTreeMap<LineId, Units> = BTreeMap::new();
        for (line, value) in held {
            units.entry(*line).or_default().0 += u64::from(*value);
        }
        let units: Vec<(LineId, Units)> = units.into_iter().collect();
        let name = site.map_or_else(|| desk.say("any-site", &[]), |site| desk.site_name(header, site));
        report.line(desk.say(
            "show-at",
            &[
                ("site", name.into()),
                ("amounts", desk.amounts(header, &units).into()),
                ("round", round.0.into()),
                ("count", held.len().into()),
            ],
        ));
        let mut values: Vec<Value> =
            held.iter().map(|(line, value)| json!({ "line": line.0, "value": value })).collect();
        values.sort_by_key(|value| (value["line"].as_u64(), value["value"].as_u64()));
        list.push(json!({
            "site": site.map(|site| site.0),
            "round": round.0,
            "units": names::amounts(header, &units),
            "vouchers": values,
        }));
    }
    report.set("collect", list);
}

/// What can be drawn in the round.
fn drawable(desk: &Desk, view: &InForce<'_>, wallet: &Wallet, report: &mut Report) {
    let units = expected(view, wallet);
    let id = if units.is_empty() { "show-nothing-to-draw" } else { "show-to-draw" };
    report.line(desk.say(id, &[("amounts", desk.amounts(view.header, &units).into())]));
    report.set("draw", names::amounts(view.header, &units));
}

/// What can be drawn now or, if the credential has yet to come into the round, what can be drawn then.
fn expected(view: &InForce<'_>, wallet: &Wallet) -> Vec<(LineId, Units)> {
    let Some(credential) = wallet.credential().filter(|_| wallet.may_roll_over(view.round)) else {
        return wallet.available(view).into_iter().collect();
    };
    let schema = &view.header.schema;
    let attribute = |at: usize| {
        let value = credential.value(schema.attribute(u8::try_from(at).ok()?))?;
        u64::try_from(value).ok()
    };
    let attributes: Option<Vec<u64>> = (0..schema.attributes.len()).map(attribute).collect();
    let Some(attributes) = attributes else { return Vec::new() };
    let passes = |form: &Form| form.evaluate(&attributes).is_some_and(|value| value >= 0);
    let units = |line: &annona_protocol::programme::Line| {
        let through = match line.carry {
            Carry::Lapse => line.accrual_at(view.round).evaluate(&attributes)?,
            Carry::Carry => {
                let debit = i128::from(credential.value(schema.state(line.state))?);
                line.cumulative(view.header.policy.first_round, view.round).evaluate(&attributes)? - debit
            }
        };
        let open = line.predicates_at(view.round).iter().all(passes);
        u64::try_from(through).ok().filter(|units| open && *units > 0).map(Units)
    };
    view.header.lines.iter().filter_map(|line| Some((line.id, units(line)?))).collect()
}

/// Until when the credential draws.
fn expiry(desk: &Desk, wallet: &Wallet, report: &mut Report) {
    let value = |at| wallet.credential().and_then(|credential| credential.value(at));
    if let Some(expires) = value(EXPIRES) {
        report.line(desk.say("show-expires", &[("round", expires.into())]));
    }
    report.set("expires", value(EXPIRES));
    report.set("drawn", value(DRAWN));
}

fn owed(desk: &Desk, programme: &Programme, wallet: &Wallet, report: &mut Report) {
    let header = programme.latest();
    let mut list = Vec::new();
    for slip in wallet.owed() {
        let terms = &slip.content;
        let site = desk.site_name(header, terms.place.site);
        let places = [("site", site.into()), ("amounts", desk.amounts(header, &terms.lines).into())];
        report.line(desk.say("show-owed", &places));
        let units = names::amounts(header, &terms.lines);
        list.push(json!({ "site": terms.place.site.0, "round": terms.place.round.0, "units": units }));
    }
    report.set("owed", list);
}

/// Vouchers that sites refused, with what they said.
fn refused(desk: &Desk, programme: &Programme, wallet: &Wallet, report: &mut Report) {
    if !wallet.faults().is_empty() {
        report.line(desk.say("show-refused", &[("count", wallet.faults().len().into())]));
    }
    let fault = |(mark, code): (&annona_protocol::voucher::Mark, &annona_protocol::slip::RefusalCode)| {
        let id = programme.key(mark.key).map(|entry| entry.id);
        json!({ "code": code.code(), "line": id.map(|id| id.line.0), "value": id.map(|id| id.value) })
    };
    report.set("refused", wallet.faults().iter().map(fault).collect::<Vec<_>>());
}
