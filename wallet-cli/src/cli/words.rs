//! `annona-wallet words`: recovery words, shown to whoever knows the PIN.

use annona_protocol::{
    recovery::{Envelope, EnvelopeError},
    secret::SecretBytes,
};
use annona_wallet::{Phrase, PhraseError, Wallet};
use clap::Args;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::{Desk, Done, Problem, Report, desk::Stored, ticket};

#[derive(Args)]
pub(super) struct Words {
    /// Gives words to a wallet that has none: they bring back what is done from now on.
    #[arg(long)]
    new: bool,
    /// The text of an envelope's square code, in place of the words: programme and issuer stand in it.
    #[arg(long, conflicts_with = "new")]
    envelope: bool,
}

impl Words {
    pub(super) fn run(self, desk: &mut Desk) -> Done {
        let mut stored = desk.open()?;
        if self.new {
            give(&mut stored)?;
        }
        let seed = stored.state.words.as_ref().ok_or(Problem::NoWords)?;
        let mut report = Report::default();
        if self.envelope {
            let membership = stored.membership()?;
            let (programme, server) = (membership.programme, Some(membership.issuer.clone()));
            let envelope = Envelope { seed: SecretBytes::new(*seed.expose()), programme, server };
            let text = envelope.to_qr()?;
            report.line(text.to_string());
            report.set("envelope", text.as_str());
        } else {
            tell(desk, seed, &mut report);
        }
        Ok(report)
    }
}

fn give(stored: &mut Stored) -> Result<(), Problem> {
    if stored.state.words.is_some() {
        return Err(Problem::HasWords);
    }
    let seed = SecretBytes::random(&mut UnwrapErr(SysRng));
    if let Some(membership) = &mut stored.state.membership {
        let mut wallet = Wallet::decode(&membership.wallet)?;
        wallet.set_words(seed.expose())?;
        membership.wallet = wallet.encode();
    }
    stored.state.words = Some(seed);
    Ok(stored.save()?)
}

/// The words in rows of four, and what to do with them.
pub(super) fn tell(desk: &Desk, seed: &SecretBytes, report: &mut Report) {
    let words = Phrase::from_seed(seed.expose()).words();
    report.line(desk.say("words-title", &[]));
    for (row, four) in words.chunks(4).enumerate() {
        let numbered = four.iter().enumerate().map(|(at, word)| format!("{:>2} {word:<9}", 4 * row + at + 1));
        report.line(numbered.collect::<Vec<_>>().join(" ").trim_end().to_owned());
    }
    report.line(desk.say("words-keep", &[]));
    report.set("words", words);
}

/// What brings a wallet back, as it was typed or scanned.
pub(super) enum Paper {
    Words(Phrase),
    Envelope(Envelope),
}

impl Paper {
    /// Words, or the text of an envelope's square code.
    pub(super) fn read(desk: &Desk, descriptor: Option<u32>) -> Result<Self, Problem> {
        let text = ticket::secret_text(desk, descriptor, "ask-words").map_err(Problem::WordsUnread)?;
        let text = text.trim();
        Ok(match Envelope::parse(text) {
            Ok(envelope) => Self::Envelope(envelope),
            Err(EnvelopeError::NotAnEnvelope) => Self::Words(Phrase::parse(text)?),
            Err(error) => return Err(error.into()),
        })
    }

    pub(super) fn seed(&self) -> SecretBytes {
        match self {
            Self::Words(phrase) => SecretBytes::new(*phrase.seed()),
            Self::Envelope(envelope) => SecretBytes::new(*envelope.seed.expose()),
        }
    }
}

/// The stable names of what can be wrong with words.
pub(super) fn code(error: PhraseError) -> &'static str {
    match error {
        PhraseError::Count(_) => "words-count",
        PhraseError::Word(_) => "words-unknown",
        _ => "words-together",
    }
}
