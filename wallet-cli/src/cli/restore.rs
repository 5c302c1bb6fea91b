//! `annona-wallet restore`.

use std::path::PathBuf;

use annona_protocol::ids::ProgrammeId;
use annona_vault::Vault;
use clap::Args;

use super::{
    Desk, Done, Problem, Report,
    desk::Stored,
    enrol::programme,
    holder::{At, Holder},
    new::Cost,
    show,
    words::Paper,
};
use crate::state::State;

#[derive(Args)]
pub(super) struct Restore {
    /// The file to make; without it the wallet's own file takes back what a copy of it did.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Reads the words, or the text of the envelope's square code, from this open file descriptor; without it from standard input,
    /// or from the terminal.
    #[arg(long, value_name = "N")]
    words_fd: Option<u32>,
    /// For words: the programme, 64 hexadecimal digits.
    #[arg(long, value_name = "ID", value_parser = programme)]
    programme: Option<ProgrammeId>,
    /// For words: the issuer's address, such as https://aid.example.org.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    cost: Cost,
}

impl Restore {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut holder = if self.file.is_some() {
            self.lost(desk)?
        } else {
            let stored = desk.open()?;
            Holder::with_news(desk, stored, At::default())?
        };
        let restored = holder.restore()?;
        let mut report = Report::default();
        let id = if restored.messages == 0 { "restored-nothing" } else { "restored" };
        report.line(desk.say(id, &[("count", restored.vouchers.into())]));
        if !restored.unusable.is_empty() {
            report.line(desk.say("restored-unusable", &[("count", restored.unusable.len().into())]));
        }
        if restored.vouchers > 0 {
            report.line(desk.say("restored-old", &[]));
        }
        report.set("messages", restored.messages);
        report.set("credential", restored.credential);
        report.set("vouchers", restored.vouchers);
        report.set("unusable", restored.unusable.len());
        show::unfinished(desk, holder.wallet(), &mut report);
        Ok(report)
    }

    /// A new file for a wallet of which there is nothing but paper.
    fn lost(self, desk: &mut Desk) -> Result<Holder, Problem> {
        let file = self.file.expect("asked for");
        if file.symlink_metadata().is_ok() {
            return Err(annona_vault::VaultError::Exists(file).into());
        }
        let paper = Paper::read(desk, self.words_fd)?;
        let (programme, server) = match &paper {
            Paper::Envelope(envelope) => (Some(envelope.programme), envelope.server.clone()),
            Paper::Words(_) => (None, None),
        };
        let programme = programme.or(self.programme).ok_or(Problem::WordsAlone)?;
        let server = self.issuer.or(server).ok_or(Problem::WordsAlone)?;
        let state = State {
            language: desk.global.language.map(|language| language.tag().to_owned()),
            proxy: desk.global.proxy.clone().filter(|proxy| proxy != "none"),
            words: Some(paper.seed()),
            membership: None,
            crowds: Vec::new(),
        };
        let pin = desk.ask_new()?;
        let vault = Vault::create(&file, &pin, self.cost.work_factor, &state.encode())?;
        Holder::rejoin(desk, Stored { vault, state }, programme, &server)
    }
}
