//! `annona-wallet draw`.

use std::time::Duration;

use annona_protocol::ids::{Round, SiteId};
use annona_wallet::{AgentError, Manner, Singles, Wallet};
use clap::Args;

use super::{
    Desk, Done, Problem, Report,
    holder::{At, Holder},
    names::{Amount, amount, round},
    pace::{Moments, time},
    show,
};

/// How many spread draws in a row may fail before the program ends.
const MOST_FAILED: u32 = 3;

#[derive(Args)]
pub(super) struct Draw {
    /// The site to collect at: its number or name. Without it the last one.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Draws so many units of a line, and leaves the rest; again for more lines. Without it everything.
    #[arg(long = "line", value_name = "LINE=UNITS", value_parser = amount)]
    lines: Vec<Amount>,
    /// Makes many draws of one voucher each in random order, which say nothing of the household. What is left when the program ends too
    /// early is drawn by the same command.
    #[arg(long)]
    uniform: bool,
    /// Sends at random moments within a time, such as 30min, 2h or 3d; the wallet can be used meanwhile. Without it at once.
    #[arg(long, value_name = "TIME", value_parser = time)]
    within: Option<Duration>,
    /// Makes uniform draws that the recovery words would not bring back too: with the telephone they are lost, and so is what could
    /// be drawn later.
    #[arg(long, requires = "uniform")]
    beyond_words: bool,
    /// Gives up uniform draws that are left, and draws what is not drawn yet as this command says.
    #[arg(long)]
    instead: bool,
    /// Another open round than the newest.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
}

/// What one command did.
struct Drawn {
    holder: Holder,
    rolled_over: bool,
    /// Vouchers.
    drawn: usize,
}

impl Drawn {
    /// Does something, and counts the vouchers that it brought.
    fn count<T, E>(&mut self, act: impl FnOnce(&mut Holder) -> Result<T, E>) -> Result<T, E> {
        let before = self.holder.wallet().vouchers().len();
        let done = act(&mut self.holder)?;
        self.drawn += self.holder.wallet().vouchers().len() - before;
        Ok(done)
    }

    fn wait(self, desk: &Desk, moments: &mut Moments, count: usize) -> Result<Self, Problem> {
        Ok(Self { holder: moments.wait(desk, self.holder, count)?, ..self })
    }

    /// Rolls over, if that is due.
    fn roll_over(mut self, desk: &Desk, moments: &mut Moments, round: Round) -> Result<Self, Problem> {
        if self.holder.wallet().may_roll_over(round) {
            // One of two moments, so that time is left for what follows, whatever that is.
            self = self.wait(desk, moments, 2)?;
        }
        // What was not answered goes on here too.
        self.rolled_over |= self.count(|holder| holder.roll_over(round))?;
        Ok(self)
    }
}

impl Draw {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let stored = desk.open()?;
        // Once, however many draws follow.
        let mut holder = Holder::with_news(desk, stored, At::default())?;
        let over = |singles: &Singles| {
            // All made, and the program ended before it forgot them; or the person asks for a newer round.
            singles.left() == 0 || self.round.is_some_and(|asked| asked > singles.round())
        };
        if let Some(asked) = self.round {
            holder.round(Some(asked))?;
        }
        if self.instead || holder.wallet().singles().is_some_and(over) {
            holder.drop_singles()?;
        }
        let planned = holder.wallet().singles().map(Singles::round);
        if planned.is_some() && !self.uniform {
            return Err(annona_wallet::WalletError::DrawsLeft.into());
        }
        // A newer round does not end what was begun.
        let round = holder.round(self.round.or(planned))?;
        let site = holder.site(self.site.as_deref())?;
        holder.remember(site)?;
        let mut moments = Moments::new(self.within);
        let done = Drawn { holder, rolled_over: false, drawn: 0 };
        let mut report = Report::default();
        let done = if self.uniform {
            self.uniform(desk, done, &mut moments, (round, site), &mut report)?
        } else {
            self.at_once(desk, done, &mut moments, (round, site), &mut report)?
        };
        let wallet = done.holder.wallet();
        let uncovered = wallet.has_words() && !wallet.is_covered(round);
        let beyond = wallet.is_beyond_words(round);
        if beyond {
            report.line(desk.say("words-beyond", &[("round", round.0.into())]));
        } else if uncovered {
            report.line(desk.say("words-uncovered", &[("round", round.0.into())]));
        }
        report.set("round", round.0);
        report.set("site", site.0);
        report.set("words_cover_the_next", !uncovered);
        report.set("words_cover_the_last", !beyond);
        report.set("rolled_over", done.rolled_over);
        report.set("drawn", done.drawn);
        show::unfinished(desk, wallet, &mut report);
        Ok(report)
    }

    /// Everything, or the lines that were asked for, in one draw.
    fn at_once(
        &self,
        desk: &Desk,
        mut done: Drawn,
        moments: &mut Moments,
        (round, site): (Round, SiteId),
        report: &mut Report,
    ) -> Result<Drawn, Problem> {
        // This draw, if it was asked for before and not answered; else whatever was not answered comes first.
        let same = done.holder.plan(round, site, &self.lines).ok();
        let keys = match same.filter(|keys| done.holder.is_drawing(round, keys)) {
            Some(keys) => keys,
            None => {
                done = done.roll_over(desk, moments, round)?;
                done.holder.plan(round, site, &self.lines)?
            }
        };
        if !keys.is_empty() {
            done = done.wait(desk, moments, 1)?;
            if done.holder.wallet().singles().is_some_and(|singles| singles.left() > 0) {
                // Planned by another command in between: this draw would show the rest in one.
                return Err(annona_wallet::WalletError::DrawsLeft.into());
            }
            // Another command may have drawn in between.
            let again = !done.holder.is_drawing(round, &keys);
            let keys = if again { done.holder.plan(round, site, &self.lines)? } else { keys };
            if !keys.is_empty() {
                done.count(|holder| holder.draw(round, keys))?;
            }
        }
        say(desk, &done.holder, "drawn", done.drawn, (round, site), report)?;
        Ok(done)
    }

    /// The same in draws of one voucher each.
    fn uniform(
        &self,
        desk: &Desk,
        mut done: Drawn,
        moments: &mut Moments,
        (round, site): (Round, SiteId),
        report: &mut Report,
    ) -> Result<Drawn, Problem> {
        let left = |wallet: &Wallet| wallet.singles().map_or(0, Singles::left);
        if done.holder.wallet().singles().is_none() {
            done = done.roll_over(desk, moments, round)?;
        }
        let manner = Manner { spread: self.within.is_some(), beyond_words: self.beyond_words };
        done.count(|holder| holder.start_singles(round, site, &self.lines, manner))?;
        let first = left(done.holder.wallet());
        let mut failed = 0;
        while left(done.holder.wallet()) > 0 {
            let count = left(done.holder.wallet());
            done = done.wait(desk, moments, count)?;
            match done.count(|holder| holder.draw_single(round)) {
                Ok(_) => failed = 0,
                // One failure does not end what goes on for days: what follows it waits for a moment too.
                Err(error) if self.within.is_some() && failed < MOST_FAILED && may_pass(&error) => failed += 1,
                Err(error) => return Err(error.into()),
            }
        }
        let made = done.holder.wallet().singles().map_or(0, Singles::made);
        done.holder.drop_singles()?;
        say(desk, &done.holder, "drawn-singles", made, (round, site), report)?;
        if self.within.is_none() && first > 1 {
            report.line(desk.say("singles-at-once", &[("count", first.into())]));
        }
        report.set("draws", made);
        Ok(done)
    }
}

/// Whether the next moment may bring what failed at this one. A round that is closed stays closed.
fn may_pass(error: &AgentError) -> bool {
    match error {
        AgentError::Refused(refusal) => refusal.code != "round-not-open",
        AgentError::Unreached { .. } => true,
        _ => false,
    }
}

fn say(
    desk: &Desk,
    holder: &Holder,
    message: &str,
    count: usize,
    (round, site): (Round, SiteId),
    report: &mut Report,
) -> Result<(), Problem> {
    if count == 0 {
        report.line(desk.say("draw-nothing", &[("round", round.0.into())]));
        return Ok(());
    }
    let name = desk.site_name(holder.view(round)?.header, site);
    report.line(desk.say(message, &[("count", count.into()), ("round", round.0.into()), ("site", name.into())]));
    Ok(())
}
