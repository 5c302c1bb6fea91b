//! `annona-wallet card`: vouchers on a storage card. The card is a file of 8 KiB here, as a reader gives it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use annona_bearer::Card;
use annona_protocol::{
    programme::Programme,
    voucher::{Mark, Voucher},
};
use annona_vault::{PassphraseSource, Questions, passphrase_by};
use annona_wallet::Medium;
use clap::{Args, Subcommand};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::{Desk, Done, Problem, Report, holder::announced, print::Which};

/// The variable that holds the card's PIN, where nobody is asked.
const PIN_VARIABLE: &str = "ANNONA_CARD_PIN";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Moves vouchers from the wallet to a card.
    Write(Write),
    /// Moves a card's vouchers into this wallet: at a counter or kiosk.
    Read(Read),
    /// How many vouchers a card holds, and how many it gave out.
    Show(Read),
}

#[derive(Args)]
pub(super) struct Write {
    #[command(flatten)]
    card: At,
    #[command(flatten)]
    which: Which,
    /// scrypt's cost of a new card, as a power of two.
    #[arg(long, value_name = "LOG2", default_value_t = Card::WORK_FACTOR)]
    work_factor: u8,
}

#[derive(Args)]
pub(super) struct Read {
    #[command(flatten)]
    card: At,
}

#[derive(Args)]
struct At {
    /// The card's image.
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// Reads the card's PIN from this open file descriptor; without it from ANNONA_CARD_PIN, or from the terminal.
    #[arg(long, value_name = "N")]
    card_pin_fd: Option<u32>,
}

impl At {
    fn pin(&self, desk: &Desk) -> Result<Zeroizing<String>, Problem> {
        let first = desk.say("ask-card-pin", &[]) + " ";
        let source = PassphraseSource::choose_from(self.card_pin_fd, PIN_VARIABLE);
        let pin = passphrase_by(source, Questions { first: &first, again: "" })?;
        Ok(Zeroizing::new(pin.expose().to_owned()))
    }

    fn image(&self) -> Result<Zeroizing<Vec<u8>>, Problem> {
        Ok(Zeroizing::new(fs::read(&self.card).map_err(Problem::Card)?))
    }

    /// One bank in place, as a card is written: the other one is not touched.
    fn write(&self, image: &[u8], bank: Range<usize>) -> Result<(), Problem> {
        write_in_place(&self.card, image, bank).map_err(Problem::Card)
    }
}

fn write_in_place(path: &Path, image: &[u8], bank: Range<usize>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    if file.metadata()?.len() != image.len() as u64 {
        file.set_len(image.len() as u64)?;
    }
    file.seek(SeekFrom::Start(bank.start as u64))?;
    file.write_all(&image[bank])?;
    file.sync_all()
}

impl Command {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        match self {
            Self::Write(command) => command.run(desk),
            Self::Read(command) => command.take(desk),
            Self::Show(command) => command.show(desk),
        }
    }
}

impl Write {
    fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let marks = self.which.marks(&programme, &wallet, stored.membership()?.site)?;
        let mut rng = UnwrapErr(SysRng);
        let fresh = match self.card.card.symlink_metadata() {
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(Problem::Card(error)),
        };
        let pin = self.card.pin(desk)?;
        let (mut image, mut card) = if fresh {
            (Zeroizing::new(vec![0; Card::BYTES]), Card::new(&programme.id(), self.work_factor, &mut rng)?)
        } else {
            let image = self.card.image()?;
            let card = Card::open(&image, &pin)?;
            // Of another programme, or not whole: nothing is written over it.
            card.vouchers(&programme)?;
            (image, card)
        };
        card.forget();
        let parcel = wallet.pack(Medium::Card, &marks, &mut rng)?;
        let (number, vouchers) =
            (parcel.number(), parcel.vouchers().iter().map(Voucher::duplicate).collect::<Vec<_>>());
        card.load(&vouchers)?;
        let bank = card.write(&mut image, &pin, &mut rng)?;
        // Kept here until the card was read back: pulled out too early, it is written again.
        stored.keep(&wallet)?;
        self.card.write(&image, bank)?;
        let written = on_card(&Card::open(&self.card.image()?, &pin)?, &programme)?;
        for mark in marks.iter().filter(|mark| written.contains(mark)) {
            wallet.read_back(number, *mark)?;
        }
        stored.keep(&wallet)?;
        let mut report = Report::default();
        report.line(desk.say("card-written", &[("count", marks.len().into())]));
        report.set("vouchers", marks.len());
        Ok(report)
    }
}

fn on_card(card: &Card, programme: &Programme) -> Result<Vec<Mark>, Problem> {
    Ok(card.vouchers(programme)?.iter().map(|voucher| voucher.shown().mark()).collect())
}

impl Read {
    fn take(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        let programme = announced(stored.membership()?)?;
        let mut wallet = stored.wallet()?;
        let pin = self.card.pin(desk)?;
        let mut image = self.card.image()?;
        let mut card = Card::open(&image, &pin)?;
        let vouchers = card.vouchers(&programme)?;
        for voucher in &vouchers {
            let round = programme.key(voucher.key()).map(|entry| entry.id.round).ok_or(Problem::NoRound)?;
            wallet.take(&programme.in_force(round)?, voucher.duplicate())?;
        }
        // Here first: pulled out now, the card still has what the wallet has, and whoever redeems first has the goods.
        stored.keep(&wallet)?;
        for voucher in &vouchers {
            card.hand_out(voucher);
        }
        // Twice: what was handed out is wiped from both banks.
        for _ in 0..2 {
            let bank = card.write(&mut image, &pin, &mut UnwrapErr(SysRng))?;
            self.card.write(&image, bank)?;
        }
        let mut report = Report::default();
        report.line(desk.say("card-read", &[("count", vouchers.len().into())]));
        report.set("vouchers", vouchers.len());
        Ok(report)
    }

    fn show(self, desk: &mut Desk) -> Done {
        let pin = self.card.pin(desk)?;
        let card = Card::open(&self.card.image()?, &pin)?;
        let (held, gone) = card.keys();
        let mut report = Report::default();
        report.line(desk.say("card-show", &[("count", held.len().into()), ("number", gone.len().into())]));
        report.set("held", held.len());
        report.set("handed_out", gone.len());
        Ok(report)
    }
}
