//! A counter that is seen and not reached: messages go as squares from screen to camera (spec bearer.md, 3).
//!
//! The same bytes as over HTTP, by a link of its own. What is shown was saved before; what is scanned is checked and saved by the
//! wallet as any answer is.

use std::{
    cell::{Cell, RefCell},
    fs,
    io::{self, BufReader, Stdin, Write as _},
    path::PathBuf,
    rc::Rc,
};

use annona_bearer::{
    Backdrop,
    frames::FrameError,
    screen::{Heard, Scanner, Squares},
};
use annona_protocol::{
    ids::{Round, SiteId},
    programme::{Header, Programme},
    redeem::RedeemResponse,
    slip::{Quote, RefusalSlip},
    wire::Message as _,
};
use annona_wallet::{AgentError, Endpoint, Link, LinkError, Refusal};
use clap::Args;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Desk, Problem, Report,
    problem::{LATER, of_wallet},
};
use crate::words::Words;

#[derive(Args)]
pub(super) struct ByQr {
    /// Without a network: reads the texts of the counter's squares from standard input, one a line, and shows squares for the
    /// counter to scan.
    #[arg(long, conflicts_with = "site_url")]
    qr: bool,
    /// Yours were shown before: what comes from standard input is the counter's answer.
    #[arg(long, requires = "qr")]
    answer: bool,
    /// Writes the squares as PNG files into this folder, in place of the terminal.
    #[arg(long, value_name = "FOLDER", requires = "qr")]
    png: Option<PathBuf>,
    /// The terminal has dark text on a light ground.
    #[arg(long, requires = "qr")]
    light: bool,
}

impl ByQr {
    pub(super) fn is_wanted(&self) -> bool {
        self.qr
    }

    /// Whether the counter has seen the request.
    pub(super) fn is_answered(&self) -> bool {
        self.answer
    }

    pub(super) fn screen(&self, desk: &Desk) -> Screen {
        Screen(Rc::new(Inner {
            scanner: RefCell::new(Scanner::new(BufReader::new(io::stdin()))),
            // A program takes the squares from the report, and comes again with the answer.
            is_program: desk.global.json,
            is_shown: self.answer,
            png: self.png.clone(),
            backdrop: if self.light { Backdrop::Light } else { Backdrop::Dark },
            words: Words::new(desk.words.language()),
            quote: RefCell::default(),
            squares: RefCell::default(),
            files: RefCell::default(),
            ended: RefCell::default(),
            refused: RefCell::default(),
            awaits: Cell::new(false),
        }))
    }
}

/// The link to a counter by squares.
#[derive(Clone)]
pub(super) struct Screen(Rc<Inner>);

struct Inner {
    scanner: RefCell<Scanner<BufReader<Stdin>>>,
    is_program: bool,
    is_shown: bool,
    png: Option<PathBuf>,
    backdrop: Backdrop,
    words: Words,
    /// What the counter showed first.
    quote: RefCell<Option<Vec<u8>>>,
    squares: RefCell<Vec<String>>,
    files: RefCell<Vec<String>>,
    /// Why there is no answer, if it was not the counter that refused.
    ended: RefCell<Option<Problem>>,
    refused: RefCell<Option<Refusal>>,
    /// Whether a request was shown and no answer scanned.
    awaits: Cell<bool>,
}

/// What a scanned message is.
enum Scan {
    Wanted,
    /// Was scanned before, and is shown still.
    Known,
    Wrong(Problem),
}

/// Why a link of squares has no answer: the screen keeps more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no answer was scanned")]
struct NoAnswer;

impl Screen {
    /// Scans the counter's quote, and checks that it is of a place that the programme knows.
    pub(super) fn quote(&self, programme: &Programme, site: SiteId) -> Result<Quote, Problem> {
        self.remark("qr-scan-quote");
        let message = self.message(|message| match Quote::decode(message) {
            Ok(_) => Scan::Wanted,
            Err(_) => Scan::Wrong(Problem::QuoteForeign),
        })?;
        let quote = Quote::decode(&message).map_err(|_| Problem::QuoteForeign)?;
        let place = quote.content.place;
        if place.programme != programme.id() {
            return Err(Problem::QuoteProgramme);
        }
        let view = programme.in_force(place.round)?;
        if place.manifest != view.hash {
            return Err(Problem::QuoteManifest);
        }
        // A site that the manifest does not have, or somebody else's key.
        let key = place.site_key(&view).map_err(|_| Problem::QuoteFalse)?;
        quote.verify(&key).map_err(|_| Problem::QuoteFalse)?;
        // Another site is named before anything is shown to it.
        if site != place.site {
            return Err(Problem::QuoteSite(place.site));
        }
        self.0.quote.replace(Some(message.to_vec()));
        Ok(quote)
    }

    /// After a visit came to no end: tells that it is to be answered if it was shown, or else why.
    pub(super) fn unanswered(
        &self,
        desk: &Desk,
        header: &Header,
        site: SiteId,
        problem: Problem,
        report: &mut Report,
    ) -> Result<(), Problem> {
        if let Some(ended) = self.0.ended.take() {
            return Err(ended);
        }
        if !self.0.awaits.get() {
            return Err(match (problem, self.0.refused.take()) {
                // What the counter did not refuse goes under a new quote.
                (Problem::Agent(AgentError::Tries(_)), Some(refusal)) => AgentError::Refused(refusal).into(),
                (Problem::Agent(AgentError::Wallet(error)), _) if of_wallet(&error) == "answer-false" => {
                    Problem::QrAnswer(error)
                }
                (problem, _) => problem,
            });
        }
        report.line(desk.say("qr-unanswered", &[("site", desk.site_name(header, site).into())]));
        report.set("visit", Value::Null);
        report.end_with(LATER);
        Ok(())
    }

    /// What was shown, for programs.
    pub(super) fn tell(&self, report: &mut Report) {
        report.set("squares", &*self.0.squares.borrow());
        report.set("files", &*self.0.files.borrow());
    }

    /// The next message that is wanted. What else is scanned is named, and the next square may do.
    fn message(&self, scan: impl Fn(&[u8]) -> Scan) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let mut scanner = self.0.scanner.borrow_mut();
        let mut last = None;
        loop {
            match scanner.hear().map_err(Problem::CodesUnread)? {
                Heard::Part { have, of } => self.write(&format!("{have} / {of}")),
                Heard::Message(message) => match scan(&message) {
                    Scan::Wanted => return Ok(message),
                    Scan::Known => {}
                    Scan::Wrong(problem) => last = Some(self.wrong(problem)),
                },
                Heard::Unusable(error) => last = Some(self.wrong(Problem::Frames(error))),
                Heard::End => break,
            }
        }
        let missing = scanner.missing();
        Err(match last {
            // The last thing that was wrong says more than that parts are missing.
            Some(problem) => problem,
            None if missing.is_empty() => Problem::QrNothing,
            None => Problem::QrMissing(missing),
        })
    }

    fn show(&self, message: &[u8]) -> Result<(), Problem> {
        let own = &self.0;
        let squares = Squares::of(message).map_err(Problem::Frames)?;
        own.squares.borrow_mut().extend(squares.texts().map(str::to_owned));
        if let Some(folder) = &own.png {
            fs::create_dir_all(folder).map_err(Problem::Folder)?;
            for (name, image) in squares.images() {
                let file = folder.join(name);
                annona_vault::write_same(&file, &image)?;
                own.files.borrow_mut().push(file.display().to_string());
            }
        }
        if own.is_program {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let written = if own.png.is_some() {
            own.files.borrow().iter().try_for_each(|file| writeln!(out, "{file}"))
        } else {
            let symbols = squares.terminal(own.backdrop);
            let of = symbols.len();
            symbols.enumerate().try_for_each(|(at, symbol)| writeln!(out, "{}{} / {of}", *symbol, at + 1))
        };
        written.and_then(|()| out.flush()).map_err(Problem::Output)
    }

    fn answer(&self) -> Result<Result<Vec<u8>, Refusal>, Problem> {
        let message = self.message(|message| {
            let is_answer = RedeemResponse::decode(message).is_ok() || RefusalSlip::decode(message).is_ok();
            match is_answer {
                true => Scan::Wanted,
                false if Quote::decode(message).is_ok() => Scan::Known,
                false => Scan::Wrong(Problem::QrForeign),
            }
        })?;
        let Ok(slip) = RefusalSlip::decode(&message) else { return Ok(Ok(message.to_vec())) };
        let code = slip.content.code.code().to_owned();
        Ok(Err(Refusal { status: 0, text: code.clone(), code, signed: Some(message.to_vec()) }))
    }

    /// Says what is wrong with a square: the next one may do.
    fn wrong(&self, problem: Problem) -> Problem {
        self.remark(&format!("error-{}", problem.code()));
        problem
    }

    /// For whom the squares are that follow.
    pub(super) fn name_site(&self, site: String, round: Round, is_again: bool) {
        let id = if is_again { "qr-again" } else { "qr-visit" };
        self.write(&self.0.words.say(id, &[("site", site.into()), ("round", round.0.into())]));
    }

    /// For whoever holds the telephone.
    fn remark(&self, id: &str) {
        self.write(&self.0.words.say(id, &[]));
    }

    fn write(&self, line: &str) {
        if !self.0.is_program {
            // Nothing is lost with a remark.
            drop(writeln!(io::stderr(), "{line}"));
        }
    }
}

impl Link for Screen {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        let own = &self.0;
        let no_answer = || LinkError::Unusable { source: NoAnswer.into() };
        match endpoint {
            Endpoint::Quote(_) => own.quote.borrow().clone().ok_or_else(no_answer),
            Endpoint::Redeem(_) | Endpoint::Collect(_) => {
                if !own.is_shown {
                    self.remark("qr-shown");
                    if let Err(problem) = self.show(body) {
                        own.ended.replace(Some(problem));
                        return Err(no_answer());
                    }
                    own.awaits.set(true);
                    if own.is_program {
                        return Err(no_answer());
                    }
                }
                self.remark("qr-scan-answer");
                match self.answer() {
                    Ok(Ok(answer)) => {
                        own.awaits.set(false);
                        Ok(answer)
                    }
                    Ok(Err(refusal)) => {
                        own.awaits.set(false);
                        own.refused.replace(Some(refusal.clone()));
                        Err(LinkError::Refused(refusal))
                    }
                    // It can be scanned later: the request was shown.
                    Err(Problem::QrNothing) if own.awaits.get() => Err(no_answer()),
                    Err(problem) => {
                        own.ended.replace(Some(problem));
                        Err(no_answer())
                    }
                }
            }
            _ => Err(no_answer()),
        }
    }
}

/// The stable code of a square that is not taken.
pub(super) fn of_frame(error: FrameError) -> String {
    error.code().replace('_', "-")
}
