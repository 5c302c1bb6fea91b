//! `annona-wallet give`, `take` and `unpack`: vouchers from wallet to wallet, or from paper.

use annona_bearer::{Backdrop, Code, HalfCode, KeySlip, Symbol, VoucherCode};
use annona_protocol::voucher::{Mark, Voucher};
use annona_wallet::Medium;
use clap::Args;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::{
    Desk, Done, Problem, Report,
    holder::announced,
    print::{Which, find},
    ticket,
};

#[derive(Args)]
pub(super) struct Give {
    #[command(flatten)]
    which: Which,
    /// Square codes for the other telephone, in place of texts.
    #[arg(long)]
    qr: bool,
    /// The other wallet has the vouchers of this gift: they are erased here.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["site", "parts", "round", "qr"])]
    done: Option<u32>,
    /// Shows a gift again.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["site", "parts", "round", "done"])]
    again: Option<u32>,
}

impl Give {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let mut report = Report::default();
        if let Some(number) = self.done {
            let gift = find(&wallet, number)?;
            if gift.medium() != Medium::Gift {
                return Err(Problem::NoParcel(number));
            }
            let marks: Vec<Mark> = gift.vouchers().iter().map(|voucher| voucher.shown().mark()).collect();
            for mark in &marks {
                wallet.read_back(number, *mark)?;
            }
            stored.keep(&wallet)?;
            report.line(desk.say("given", &[("count", marks.len().into())]));
            report.set("erased", marks.len());
            return Ok(report);
        }
        let number = match self.again {
            Some(number) => number,
            None => {
                let marks = self.which.marks(&programme, &wallet, stored.membership()?.site)?;
                let number = wallet.pack(Medium::Gift, &marks, &mut UnwrapErr(SysRng))?.number();
                stored.keep(&wallet)?;
                number
            }
        };
        let gift = find(&wallet, number)?;
        let mut codes = Vec::new();
        for voucher in gift.vouchers() {
            let code = VoucherCode::of(&programme.id(), voucher).to_qr();
            if self.qr {
                let symbol = Symbol::alphanumeric(&code).expect("a voucher's code fits a square");
                report.line(symbol.terminal(Backdrop::Dark).to_string());
            } else {
                report.line(code.to_string());
            }
            codes.push(code.to_string());
        }
        report.line(desk.say("give-next", &[("number", number.into())]));
        report.set("number", number);
        report.set("codes", codes);
        Ok(report)
    }
}

#[derive(Args)]
pub(super) struct Unpack {
    /// The number of the gift, sheet or card.
    #[arg(value_name = "NUMBER")]
    number: u32,
}

impl Unpack {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let mut wallet = stored.wallet()?;
        find(&wallet, self.number)?;
        let count = wallet.unpack(self.number)?;
        stored.keep(&wallet)?;
        let mut report = Report::default();
        report.line(desk.say("unpacked", &[("count", count.into())]));
        report.set("vouchers", count);
        Ok(report)
    }
}

#[derive(Args)]
pub(super) struct Take {}

impl Take {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let (mut vouchers, mut halves, mut slips): (Vec<Voucher>, Vec<HalfCode>, Vec<KeySlip>) = Default::default();
        for code in ticket::secret_lines().map_err(Problem::CodesUnread)? {
            match Code::parse(&code)? {
                Code::Voucher(code) => vouchers.push(code.voucher(&programme)?),
                Code::Half(half) => halves.push(half),
                Code::KeySlip(slip) => slips.push(slip),
                _ => return Err(annona_bearer::CodeError::OtherKind.into()),
            }
        }
        match (&slips[..], halves.is_empty()) {
            (_, true) => {}
            ([slip], false) => {
                for half in halves {
                    vouchers.push(slip.join(half, &programme)?);
                }
            }
            _ => return Err(Problem::KeySlips),
        }
        let (mut taken, mut held) = (0usize, 0usize);
        for voucher in vouchers {
            let round = programme.key(voucher.key()).map(|entry| entry.id.round).ok_or(Problem::NoRound)?;
            if wallet.take(&programme.in_force(round)?, voucher)? { taken += 1 } else { held += 1 }
        }
        stored.keep(&wallet)?;
        let mut report = Report::default();
        report.line(desk.say("taken", &[("count", taken.into())]));
        report.line(desk.say("taken-first", &[]));
        report.set("taken", taken);
        report.set("held_before", held);
        Ok(report)
    }
}
