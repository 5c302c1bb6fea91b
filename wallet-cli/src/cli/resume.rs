//! `annona-wallet resume`.

use annona_wallet::{AgentError, Event, Singles};
use serde_json::Value;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Holder},
    redeem::tell,
    show::{self, task},
};

pub(super) fn run(desk: &mut Desk) -> Done {
    let stored = desk.open()?;
    let mut holder = Holder::known(desk, stored, At::default())?;
    let done = holder.resume().map_err(Problem::Agent)?;
    let mut report = Report::default();
    if done.is_empty() && holder.wallet().singles().is_none() {
        report.line(desk.say("resume-nothing", &[]));
    }
    let mut list: Vec<Value> = Vec::new();
    let mut worst = 0;
    for (of, result) in done {
        let (outcome, error) = match result {
            Ok(event) => (outcome(desk, &holder, &event, &mut report), Value::Null),
            Err(error) => {
                let exit = failed(desk, error, &mut report);
                worst = worst.max(exit.0);
                ("failed", exit.1)
            }
        };
        let visit = report.take("visit");
        let mut entry = task(&of);
        (entry["outcome"], entry["visit"], entry["error"]) = (outcome.into(), visit.into(), error);
        list.push(entry);
    }
    report.set("resumed", list);
    let rest = singles(desk, &mut holder, worst == 0, &mut report);
    if let Err(problem) = rest {
        report.line(problem.told(desk));
        report.set("draws_error", problem.value());
        worst = worst.max(problem.exit());
    }
    report.set("draws_left", holder.wallet().singles().map_or(0, Singles::left));
    show::unfinished(desk, holder.wallet(), &mut report);
    report.end_with(worst);
    Ok(report)
}

/// Goes on with uniform draws, unless they were to be spread over a time: that is asked for anew, with `draw`.
fn singles(desk: &Desk, holder: &mut Holder, go_on: bool, report: &mut Report) -> Result<(), Problem> {
    let Some((round, spread)) = holder.wallet().singles().map(|it| (it.round(), it.manner().spread)) else {
        return Ok(());
    };
    let left = |holder: &Holder| holder.wallet().singles().map_or(0, Singles::left);
    while go_on && !spread && left(holder) > 0 {
        holder.draw_single(round)?;
    }
    if left(holder) > 0 {
        report.line(desk.say("resume-singles-left", &[("count", left(holder).into())]));
        return Ok(());
    }
    let made = holder.wallet().singles().map_or(0, Singles::made);
    holder.drop_singles()?;
    report.line(desk.say("resume-singles", &[("count", made.into())]));
    Ok(())
}

fn outcome(desk: &Desk, holder: &Holder, event: &Event, report: &mut Report) -> &'static str {
    match event {
        Event::Drawn(count) => {
            report.line(desk.say("resume-drawn", &[("count", (*count).into())]));
            "drawn"
        }
        Event::Swapped(count) => {
            report.line(desk.say("swapped", &[("count", (*count).into())]));
            "swapped"
        }
        Event::Redeemed(handover) | Event::Collected(handover) | Event::AtAnotherCounter(handover) => {
            tell(desk, holder.programme().latest(), handover, report);
            "visited"
        }
        _ => {
            report.line(desk.say("resume-credential", &[]));
            "credential"
        }
    }
}

/// What failed is told beside the rest; the worst of all ends the program.
fn failed(desk: &Desk, error: AgentError, report: &mut Report) -> (u8, Value) {
    let problem = Problem::Agent(error);
    report.line(problem.told(desk));
    (problem.exit(), problem.value())
}
