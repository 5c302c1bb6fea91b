//! `annona-wallet print` and `annona-wallet read-back`: vouchers on paper, kept here until the paper was read.

use std::path::PathBuf;

use annona_bearer::{Piece, Printed, Scanned, Sheet, SheetText};
use annona_protocol::{
    ids::{Round, SiteId},
    programme::Programme,
    secret::SecretBytes,
    voucher::{Mark, Voucher},
};
use annona_wallet::{Medium, Parcel, Wallet};
use clap::Args;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::{
    Desk, Done, Problem, Report,
    holder::{announced, free, round as open_round},
    names::{Amount, amount, find_site, round},
    redeem::chosen,
    ticket,
};

/// Which vouchers go.
#[derive(Args)]
pub(super) struct Which {
    /// Those for this site: its number or name. Without it those for where you drew last.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// So many units of a line; again for more lines. Without it everything.
    #[arg(long = "part", value_name = "LINE=UNITS", value_parser = amount)]
    parts: Vec<Amount>,
    /// Another round than the newest.
    #[arg(long, value_name = "ROUND", value_parser = round)]
    round: Option<Round>,
}

impl Which {
    pub(super) fn marks(
        &self,
        programme: &Programme,
        wallet: &Wallet,
        last: Option<SiteId>,
    ) -> Result<Vec<Mark>, Problem> {
        let header = programme.latest();
        let site = match (&self.site, last) {
            (Some(site), _) => find_site(header, site)?,
            (None, Some(last)) => last,
            (None, None) => {
                return Err(Problem::WhichSite(header.sites.iter().map(|site| site.name.clone()).collect()));
            }
        };
        let round = open_round(programme, self.round)?;
        let held: Vec<_> = free(programme, wallet, site).filter(|held| held.round == round).collect();
        let given = if self.parts.is_empty() { held } else { chosen(header, &held, &self.parts)? };
        Ok(given.iter().map(|held| held.mark).collect())
    }
}

#[derive(Args)]
pub(super) struct Print {
    /// The PDF to make.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Splits the sheet: this second PDF is its key slip, and neither is of use alone.
    #[arg(long, value_name = "FILE")]
    split: Option<PathBuf>,
    /// Prints this sheet again, the same to the byte.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["site", "parts", "round"])]
    again: Option<u32>,
    #[command(flatten)]
    which: Which,
}

impl Print {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let number = match self.again {
            Some(number) => number,
            None => {
                let marks = self.which.marks(&programme, &wallet, stored.membership()?.site)?;
                let medium = if self.split.is_some() { Medium::SplitSheet } else { Medium::Sheet };
                let number = wallet.pack(medium, &marks, &mut UnwrapErr(SysRng))?.number();
                // Before the printer: what is on paper then is never also in the wallet to be redeemed.
                stored.keep(&wallet)?;
                number
            }
        };
        let parcel = find(&wallet, number)?;
        let sheet = sheet(desk, &programme, parcel)?;
        match (sheet.key_slip_pdf(), &self.split) {
            (Some(slip), Some(file)) => annona_vault::write_new(file, &slip?)?,
            (None, None) => {}
            _ => return Err(Problem::SplitDiffers),
        }
        annona_vault::write_new(&self.file, &sheet.pdf()?)?;
        let mut report = Report::default();
        let file = self.file.display().to_string();
        let count = parcel.vouchers().len();
        report.line(desk.say("printed", &[("count", count.into()), ("file", file.as_str().into())]));
        report.line(desk.say("printed-next", &[("number", number.into())]));
        report.set("file", &file);
        report.set("number", number);
        report.set("vouchers", count);
        Ok(report)
    }
}

#[derive(Args)]
pub(super) struct ReadBack {
    /// The sheet's number, as `print` said it.
    #[arg(value_name = "NUMBER")]
    number: u32,
}

impl ReadBack {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let parcel = find(&wallet, self.number)?;
        if !matches!(parcel.medium(), Medium::Sheet | Medium::SplitSheet) {
            return Err(Problem::NoParcel(self.number));
        }
        let mut scanned = sheet(desk, &programme, parcel)?.to_scan();
        let foreign = scan(&mut scanned)?;
        let mut report = Report::default();
        let missing = scanned.missing();
        if missing.is_empty() {
            let marks: Vec<Mark> = parcel.vouchers().iter().map(|voucher| voucher.shown().mark()).collect();
            for mark in &marks {
                wallet.read_back(self.number, *mark)?;
            }
            stored.keep(&wallet)?;
            report.line(desk.say("read-back", &[("count", marks.len().into())]));
        } else {
            let names: Vec<String> = missing.iter().map(|piece| named(desk, *piece)).collect();
            report.line(desk.say("read-back-missing", &[("list", desk.words.list(&names).into())]));
            report.end_with(1);
        }
        if foreign > 0 {
            report.line(desk.say("read-back-foreign", &[("count", foreign.into())]));
        }
        report.set("missing", missing.len());
        report.set("foreign", foreign);
        Ok(report)
    }
}

fn named(desk: &Desk, piece: Piece) -> String {
    match piece {
        Piece::Voucher(number) => number.to_string(),
        Piece::KeySlip => desk.say("key-slip", &[]),
    }
}

/// Takes codes from standard input, a line each; gives how many were none of the sheet's.
fn scan(scanned: &mut Scanned) -> Result<usize, Problem> {
    let mut foreign = 0;
    for code in ticket::secret_lines().map_err(Problem::CodesUnread)? {
        foreign += usize::from(scanned.add(&code).is_err());
    }
    Ok(foreign)
}

pub(super) fn find(wallet: &Wallet, number: u32) -> Result<&Parcel, Problem> {
    wallet.parcels().iter().find(|parcel| parcel.number() == number).ok_or(Problem::NoParcel(number))
}

fn sheet(desk: &Desk, programme: &Programme, parcel: &Parcel) -> Result<Sheet, Problem> {
    let header = programme.latest();
    let text = SheetText {
        language: desk.words.language().tag().to_owned(),
        agency: header.agency.clone(),
        programme: header.name.clone(),
    };
    let vouchers: Vec<(&Voucher, Printed)> =
        parcel.vouchers().iter().filter_map(|voucher| Some((voucher, printed(desk, programme, voucher)?))).collect();
    let id = programme.id();
    Ok(match parcel.medium() {
        Medium::SplitSheet => Sheet::split(text, &id, SecretBytes::new(*parcel.seed().expose()), &vouchers)?,
        _ => Sheet::whole(text, &id, &vouchers)?,
    })
}

fn printed(desk: &Desk, programme: &Programme, voucher: &Voucher) -> Option<Printed> {
    let id = programme.key(voucher.key())?.id;
    let header = programme.latest();
    let line = header.line(id.line)?;
    Some(Printed {
        line: desk.line_name(header, id.line),
        pictogram: line.pictogram.clone(),
        value: id.value,
        unit: line.unit.clone(),
        site: id.site.map(|site| desk.site_name(header, site)),
        round: id.round,
    })
}
