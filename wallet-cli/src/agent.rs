//! The driver: makes the state durable, sends, and tries again until there is an answer or a refusal that stands.

use std::{error::Error as StdError, io, thread, time::Duration};

use annona_protocol::{
    group::EncodedPoint,
    ids::SiteId,
    programme::{InForce, KeyCounts, Programme, TicketKind},
    signature::BadSignature,
    slip::{Place, Quote},
    ticket::TicketCode,
    voucher::Mark,
    wire::Message,
};
use rand_core::CryptoRng;

use crate::{
    Backoff, Choice, Endpoint, Event, Handover, Next, Refusal, RestoreError, Restored, Task, Wallet, WalletError,
};

/// Where the state is made durable.
pub trait Persist {
    /// Returns once the state survives a loss of power. Called before each message and after each answer.
    ///
    /// # Errors
    /// The medium's: nothing is sent then.
    fn persist(&mut self, state: &[u8]) -> io::Result<()>;
}

impl<F: FnMut(&[u8]) -> io::Result<()>> Persist for F {
    fn persist(&mut self, state: &[u8]) -> io::Result<()> {
        self(state)
    }
}

/// How messages travel.
pub trait Link {
    /// Sends a message and gives the answer.
    ///
    /// # Errors
    /// [`LinkError`].
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError>;
}

impl<L: Link + ?Sized> Link for &L {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        (**self).send(endpoint, body)
    }
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn send(&self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, LinkError> {
        (**self).send(endpoint, body)
    }
}

/// Why a message has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The message or its answer was lost, or the server is busy: the same bytes go again.
    #[error("not reached, or the answer was lost: try again later")]
    Lost {
        /// After what time the server wants to be asked again.
        retry_after: Option<Duration>,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server refused.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// There is no way to send this.
    #[error("no way to send this: check the server's address and key")]
    Unusable {
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Why an operation did not come to its end. What is pending stays so: [`Agent::resume`] goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The wallet does not do this, or no answer verified.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The server refused, and the refusal stands.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// Not reached after all tries.
    #[error("not reached: try again later")]
    Unreached {
        /// The last failure.
        source: LinkError,
    },
    /// There is no way to send this.
    #[error(transparent)]
    Link(LinkError),
    /// The state could not be made durable: nothing was sent after it.
    #[error("the wallet could not be saved: free some space and try again")]
    Persist {
        /// Why.
        source: io::Error,
    },
    /// Sessions or quotes were gone again and again.
    #[error("no end after {0} messages: try again later")]
    Tries(u32),
}

/// A task that went on, and what came of it.
pub type Resumed = (Task, Result<Event, AgentError>);

/// A wallet with its medium and its link.
#[derive(Debug)]
pub struct Agent<P, L> {
    wallet: Wallet,
    persist: P,
    link: L,
    backoff: Backoff,
}

impl<P: Persist, L: Link> Agent<P, L> {
    /// Takes up a wallet.
    pub fn new(wallet: Wallet, persist: P, link: L, backoff: Backoff) -> Self {
        Self { wallet, persist, link, backoff }
    }

    /// The wallet.
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// The wallet, to take receipts out; [`Agent::save`] makes that durable.
    pub fn wallet_mut(&mut self) -> &mut Wallet {
        &mut self.wallet
    }

    /// Goes on by another link.
    pub fn set_link(&mut self, link: L, backoff: Backoff) {
        (self.link, self.backoff) = (link, backoff);
    }

    /// Gives the wallet back.
    pub fn into_wallet(self) -> Wallet {
        self.wallet
    }

    /// Makes the state durable.
    ///
    /// # Errors
    /// [`AgentError::Persist`].
    pub fn save(&mut self) -> Result<(), AgentError> {
        self.persist.persist(&self.wallet.encode()).map_err(|source| AgentError::Persist { source })
    }

    /// Turns a ticket into a credential.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn enrol<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        kind: TicketKind,
        ticket: TicketCode,
        rng: &mut R,
    ) -> Result<(), AgentError> {
        self.wallet.enrol(programme, kind, ticket, rng)?;
        self.drive(programme, Task::Credential, rng).map(drop)
    }

    /// Takes back from the issuer's slots what a lost wallet, or a copy of this one, did: see [`Wallet::restore`].
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        log_size: u64,
        rng: &mut R,
    ) -> Result<Restored, RestoreError> {
        let Self { wallet, link, backoff, .. } = self;
        let restored =
            wallet.restore(programme, log_size, |endpoint, rng: &mut R| ask(link, backoff, endpoint, rng), rng)?;
        self.save()?;
        Ok(restored)
    }

    /// Rolls over into the view's round, after what is pending.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn roll_over<R: CryptoRng + ?Sized>(&mut self, view: &InForce<'_>, rng: &mut R) -> Result<(), AgentError> {
        self.finish_show(view, rng)?;
        if self.wallet.may_roll_over(view.round) {
            self.wallet.roll_over(view, rng)?;
            self.drive(view.programme, Task::Credential, rng)?;
        }
        Ok(())
    }

    /// Draws a list of keys, after what is pending and the refresh that may be due; gives the number of new vouchers.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn draw<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        keys: KeyCounts,
        rng: &mut R,
    ) -> Result<usize, AgentError> {
        if !self.wallet.is_drawing(view.round, &keys) {
            self.ready_for_a_show(view, rng)?;
        }
        self.wallet.draw(view, keys, rng)?;
        match self.drive(view.programme, Task::Credential, rng)? {
            Event::Drawn(count) => Ok(count),
            _ => Ok(0),
        }
    }

    /// Refreshes the credential.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn refresh<R: CryptoRng + ?Sized>(&mut self, view: &InForce<'_>, rng: &mut R) -> Result<(), AgentError> {
        self.wallet.refresh(view, rng)?;
        self.drive(view.programme, Task::Credential, rng).map(drop)
    }

    /// Takes over the attributes of an amend ticket, after the refresh that may be due.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn amend<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        ticket: TicketCode,
        rng: &mut R,
    ) -> Result<(), AgentError> {
        if !self.wallet.is_amending(&ticket) {
            self.ready_for_a_show(view, rng)?;
        }
        self.wallet.amend(view, ticket, rng)?;
        self.drive(view.programme, Task::Credential, rng).map(drop)
    }

    /// Swaps vouchers; gives the number of new ones.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn swap<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        old: &[Mark],
        new: KeyCounts,
        rng: &mut R,
    ) -> Result<usize, AgentError> {
        self.wallet.swap(view, old, new)?;
        match self.drive(view.programme, Task::Swap, rng)? {
            Event::Swapped(count) => Ok(count),
            _ => Ok(0),
        }
    }

    /// Redeems vouchers at a site. A request that has not been answered goes again first; then, if the site asks for it, the
    /// vouchers that it did not refuse go under a new quote.
    ///
    /// # Errors
    /// [`AgentError`]; [`AgentError::Refused`] if the site refused in the end, with its signed slip.
    pub fn redeem<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        site: SiteId,
        choice: Choice<'_>,
        rng: &mut R,
    ) -> Result<Handover, AgentError> {
        let task = Task::Visit(site, view.round);
        let chosen = |wallet: &Wallet| match choice {
            Choice::All => None,
            Choice::These(marks) if wallet.is_disputed(site, view.round, marks) => Some(marks.to_vec()),
            // What a site named as at fault stays; the rest goes.
            Choice::These(marks) => {
                Some(marks.iter().filter(|mark| !wallet.faults().contains_key(mark)).copied().collect::<Vec<_>>())
            }
        };
        for _ in 0..self.backoff.tries.max(1) {
            if self.wallet.outgoing(task).is_none() {
                let quote = self.quote(site, rng)?;
                let rest = chosen(&self.wallet);
                let choice = rest.as_deref().map_or(Choice::All, Choice::These);
                self.wallet.redeem(view, &quote, choice, rng)?;
            }
            match self.run(view.programme, task, rng)? {
                Ran::Done(Event::Redeemed(handover) | Event::AtAnotherCounter(handover)) => return Ok(handover),
                Ran::Done(_) => return Err(WalletError::NotPending.into()),
                Ran::Quote => {}
            }
        }
        Err(AgentError::Tries(self.backoff.tries))
    }

    /// Collects what a slip promises, in the view's round.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn collect<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        holder: EncodedPoint,
        rng: &mut R,
    ) -> Result<Handover, AgentError> {
        let slip = self.wallet.owed().find(|slip| slip.content.holder == holder).ok_or(WalletError::NoSlip)?;
        let place = Place::new(view, slip.content.place.site);
        let task = self.wallet.collect(view.programme, holder, &place, rng)?;
        match self.drive(view.programme, task, rng)? {
            Event::Collected(handover) | Event::AtAnotherCounter(handover) => Ok(handover),
            _ => Err(WalletError::NotPending.into()),
        }
    }

    /// Goes on with everything that is pending: after a start, or when a link is back. What is refused or not reached does not
    /// keep the rest from going on.
    ///
    /// # Errors
    /// [`AgentError::Persist`]; other failures stand beside their tasks.
    pub fn resume<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        rng: &mut R,
    ) -> Result<Vec<Resumed>, AgentError> {
        let mut done = Vec::new();
        for task in self.wallet.tasks() {
            match self.drive(programme, task, rng) {
                Err(AgentError::Persist { source }) => return Err(AgentError::Persist { source }),
                result => done.push((task, result)),
            }
        }
        Ok(done)
    }

    /// What is pending goes on; a refused show is followed by a refresh.
    pub(crate) fn ready_for_a_show<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        rng: &mut R,
    ) -> Result<(), AgentError> {
        self.finish_show(view, rng)?;
        if self.wallet.refresh_due() { self.refresh(view, rng) } else { Ok(()) }
    }

    /// Goes on with a show that is pending. Its refusal is no failure of what comes next.
    pub(crate) fn finish_show<R: CryptoRng + ?Sized>(
        &mut self,
        view: &InForce<'_>,
        rng: &mut R,
    ) -> Result<(), AgentError> {
        if self.wallet.outgoing(Task::Credential).is_none() {
            return Ok(());
        }
        match self.drive(view.programme, Task::Credential, rng) {
            Ok(_) | Err(AgentError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn quote<R: CryptoRng + ?Sized>(&mut self, site: SiteId, rng: &mut R) -> Result<Quote, AgentError> {
        let answer = ask(&self.link, &self.backoff, Endpoint::Quote(site), rng)?;
        let quote = Quote::decode(&answer).map_err(WalletError::from)?;
        // Another site's quote holds by itself, and would be for vouchers of that site.
        if quote.content.place.site != site {
            return Err(WalletError::Signature(BadSignature).into());
        }
        Ok(quote)
    }

    fn drive<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        task: Task,
        rng: &mut R,
    ) -> Result<Event, AgentError> {
        match self.run(programme, task, rng)? {
            Ran::Done(event) => Ok(event),
            Ran::Quote => {
                let text = "the site wants a new quote: visit it again".to_owned();
                Err(AgentError::Refused(Refusal { status: 0, code: "quote-unknown".to_owned(), text, signed: None }))
            }
        }
    }

    /// Sends a task's messages until it is done, refused, or a visit needs a new quote.
    fn run<R: CryptoRng + ?Sized>(
        &mut self,
        programme: &Programme,
        task: Task,
        rng: &mut R,
    ) -> Result<Ran, AgentError> {
        let (mut repeat, mut sent) = (0, 0);
        loop {
            if task == Task::Credential {
                // Before a session is asked for: one without a draw would tell ([5.3-M6]).
                self.wallet.may_go_on()?;
            }
            let Some(outgoing) = self.wallet.outgoing(task) else { return Err(WalletError::NotPending.into()) };
            // Sessions that are gone cost messages too: a bound on all of them.
            sent += 1;
            if sent > 4 * self.backoff.tries.max(1) {
                return Err(AgentError::Tries(sent - 1));
            }
            self.save()?;
            match self.link.send(outgoing.endpoint, &outgoing.body) {
                Ok(answer) => match self.wallet.absorb(programme, task, &answer, rng) {
                    Ok(Event::Session) => repeat = 0,
                    Ok(event) => {
                        self.save()?;
                        return Ok(Ran::Done(event));
                    }
                    Err(error) => self.doubt(error, &mut repeat, rng)?,
                },
                Err(LinkError::Refused(refusal)) if !refusal.is_transient() => {
                    match self.wallet.refused(programme, task, &refusal) {
                        Ok(next) => {
                            self.save()?;
                            match next {
                                Next::Send => {}
                                Next::Quote => return Ok(Ran::Quote),
                                Next::Stop => return Err(AgentError::Refused(refusal)),
                            }
                        }
                        Err(error) => self.doubt(error, &mut repeat, rng)?,
                    }
                }
                Err(error) => {
                    repeat += 1;
                    pause(&self.backoff, error, repeat, rng)?;
                }
            }
        }
    }

    /// What does not verify may have been changed on the way: the same bytes go again.
    fn doubt<R: CryptoRng + ?Sized>(
        &self,
        error: WalletError,
        repeat: &mut u32,
        rng: &mut R,
    ) -> Result<(), AgentError> {
        *repeat += 1;
        if *repeat >= self.backoff.tries {
            return Err(error.into());
        }
        thread::sleep(self.backoff.wait(*repeat, None, rng));
        Ok(())
    }
}

/// Asks for something that changes nothing, until there is an answer or a refusal that stands.
fn ask<L: Link, R: CryptoRng + ?Sized>(
    link: &L,
    backoff: &Backoff,
    endpoint: Endpoint,
    rng: &mut R,
) -> Result<Vec<u8>, AgentError> {
    let mut repeat = 0;
    loop {
        match link.send(endpoint, &[]) {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                repeat += 1;
                pause(backoff, error, repeat, rng)?;
            }
        }
    }
}

/// Waits before the next try, or gives up.
fn pause<R: CryptoRng + ?Sized>(
    backoff: &Backoff,
    error: LinkError,
    repeat: u32,
    rng: &mut R,
) -> Result<(), AgentError> {
    let asked = match &error {
        LinkError::Lost { retry_after, .. } => *retry_after,
        LinkError::Refused(refusal) if refusal.is_transient() => None,
        LinkError::Refused(refusal) => return Err(AgentError::Refused(refusal.clone())),
        LinkError::Unusable { .. } => return Err(AgentError::Link(error)),
    };
    if repeat >= backoff.tries {
        return Err(AgentError::Unreached { source: error });
    }
    thread::sleep(backoff.wait(repeat, asked, rng));
    Ok(())
}

/// How far a task went.
enum Ran {
    Done(Event),
    Quote,
}
