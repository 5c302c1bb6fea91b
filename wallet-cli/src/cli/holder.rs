//! The library behind the commands: the wallet with its file, its link and the programme. Commands call it through here alone.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    rc::Rc,
    thread,
};

use annona_protocol::{
    group::EncodedPoint,
    ids::{KeyIndex, LineId, ProgrammeId, Round, SiteId, Units},
    programme::{Announcement, InForce, KeyCounts, KeyId, Programme, SignedHeader, TicketKind, statement::make_change},
    slip::Quote,
    ticket::TicketCode,
    voucher::{Mark, Voucher},
    wire::Message as _,
};
use annona_transport::{Client, Options, Server};
use annona_vault::Resting;
use annona_wallet::{
    Agent, AgentError, Backoff, Choice, Endpoint, Handover, HttpLink, Link, LinkError, Manner, Persist, Restored,
    Resumed, Task, Wallet, WalletError,
};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::{
    Desk, Problem,
    check::{Promise, promise},
    desk::Stored,
    names::{Amount, find_line, find_site},
    screen::Screen,
};
use crate::state::{Crowd, Membership, State};

/// A wallet that can ask servers.
pub(super) struct Holder {
    agent: Agent<Saving, Box<dyn Link>>,
    link: HttpLink,
    stored: Rc<RefCell<Stored>>,
    programme: Programme,
    rng: UnwrapErr<SysRng>,
}

/// Saves the file with the wallet's new state.
struct Saving(Rc<RefCell<Stored>>);

impl Persist for Saving {
    fn persist(&mut self, wallet: &[u8]) -> io::Result<()> {
        let mut stored = self.0.borrow_mut();
        let membership = stored.state.membership.as_mut().expect("a holder has joined");
        membership.wallet = Zeroizing::new(wallet.to_vec());
        stored.save().map_err(io::Error::other)
    }
}

/// A site that a command asks for, with its address if it is new.
#[derive(Clone, Copy, Default)]
pub(super) struct At<'a> {
    pub(super) site: Option<&'a str>,
    pub(super) url: Option<&'a str>,
}

impl Holder {
    /// Takes part in a programme whose issuer is at an origin: the first step of enrolment.
    pub(super) fn join(desk: &Desk, mut stored: Stored, id: ProgrammeId, origin: &str) -> Result<Self, Problem> {
        if stored.state.membership.as_ref().is_some_and(|membership| membership.programme != id) {
            return Err(Problem::OtherProgramme);
        }
        if stored.state.membership.is_none() {
            let options = desk.options(&stored.state);
            let issuer = patiently(desk, || HttpLink::pin(id, origin, &options))?;
            let link = HttpLink::new(Client::new(issuer.clone(), &options)?);
            let (announcement, _) = patiently(desk, || link.announcement(id))?;
            let mut wallet = Wallet::new(id);
            if let Some(seed) = &stored.state.words {
                wallet.set_words(seed.expose())?;
            }
            let membership = Membership {
                programme: id,
                issuer: issuer.url,
                issuer_key: issuer.key.expect("a pinned server has a key"),
                announcement,
                sites: BTreeMap::new(),
                site: None,
                wallet: wallet.encode(),
            };
            stored.state.membership = Some(membership);
            stored.save()?;
        }
        Self::known(desk, stored, At::default())
    }

    /// The same for a wallet that was lost: it does nothing before it has been restored.
    pub(super) fn rejoin(desk: &Desk, stored: Stored, id: ProgrammeId, origin: &str) -> Result<Self, Problem> {
        let mut holder = Self::join(desk, stored, id, origin)?;
        holder.agent.wallet_mut().set_copied();
        holder.agent.save()?;
        Ok(holder)
    }

    /// Asks the issuer for its newest announcement first.
    pub(super) fn with_news(desk: &Desk, mut stored: Stored, at: At<'_>) -> Result<Self, Problem> {
        let membership = stored.membership()?;
        let known = announced(membership)?;
        let link = HttpLink::new(issuer(membership, &desk.options(&stored.state))?);
        let (bytes, fresh) = patiently(desk, || link.announcement(membership.programme))?;
        if extends(&fresh, &known) {
            let key = fresh.latest().issuer_log.key;
            let membership = stored.state.membership.as_mut().expect("checked above");
            if membership.announcement != bytes {
                (membership.announcement, membership.issuer_key) = (bytes, key);
                stored.save()?;
            }
        } else if !extends(&known, &fresh) {
            return Err(Problem::Contradiction);
        }
        Self::known(desk, stored, at)
    }

    /// Goes by the announcement that is known: a visit tells the issuer nothing.
    pub(super) fn known(desk: &Desk, mut stored: Stored, at: At<'_>) -> Result<Self, Problem> {
        let options = desk.options(&stored.state);
        let programme = announced(stored.membership()?)?;
        if let (Some(site), Some(url)) = (at.site, at.url) {
            let id = find_site(programme.latest(), site)?;
            // Kept with the request, which goes there again; whoever else is there does not hold the site's key.
            let membership = stored.state.membership.as_mut().expect("checked above");
            membership.sites.insert(id, url.to_owned());
        }
        let membership = stored.membership()?;
        let mut link = HttpLink::new(issuer(membership, &options)?);
        for (id, url) in &membership.sites {
            let Some(log) = programme.latest().site(*id).and_then(|site| site.logs.last()) else { continue };
            let server = Server { url: url.clone(), key: Some(log.key) };
            link = link.with_site(*id, Client::new(server, &options)?);
        }
        let wallet = stored.wallet()?;
        let stored = Rc::new(RefCell::new(stored));
        let agent = {
            let link: Box<dyn Link> = Box::new(link.clone());
            Agent::new(wallet, Saving(Rc::clone(&stored)), link, desk.backoff())
        };
        Ok(Self { agent, link, stored, programme, rng: UnwrapErr(SysRng) })
    }

    /// From here on messages go from screen to camera: each once, as people try again themselves.
    pub(super) fn by(&mut self, screen: &Screen) {
        self.agent.set_link(Box::new(screen.clone()), Backoff::instant(1));
    }

    pub(super) fn wallet(&self) -> &Wallet {
        self.agent.wallet()
    }

    pub(super) fn programme(&self) -> &Programme {
        &self.programme
    }

    /// All signed versions of the manifest that the announcement has.
    pub(super) fn versions(&self) -> Result<Vec<SignedHeader>, Problem> {
        let stored = self.stored.borrow();
        let announcement = Announcement::decode(&stored.membership()?.announcement);
        let announcement = announcement.map_err(|_| Problem::State(crate::state::StateError::Malformed))?;
        Ok(announcement.versions.into_iter().map(|version| version.leaf).collect())
    }

    pub(super) fn view(&self, round: Round) -> Result<InForce<'_>, Problem> {
        Ok(self.programme.in_force(round)?)
    }

    /// The round that is asked for, or else the newest that is open.
    pub(super) fn round(&self, asked: Option<Round>) -> Result<Round, Problem> {
        round(&self.programme, asked)
    }

    /// The site that is asked for, or else where the holder drew last, or else the only one.
    pub(super) fn site(&self, asked: Option<&str>) -> Result<SiteId, Problem> {
        let header = self.programme.latest();
        if let Some(asked) = asked {
            return find_site(header, asked);
        }
        let last = self.stored.borrow().state.membership.as_ref().and_then(|membership| membership.site);
        match (&header.sites[..], last) {
            (_, Some(last)) => Ok(last),
            ([only], None) => Ok(only.id),
            (sites, None) => Err(Problem::WhichSite(sites.iter().map(|site| site.name.clone()).collect())),
        }
    }

    /// Keeps where the holder drew.
    pub(super) fn remember(&mut self, site: SiteId) -> Result<(), Problem> {
        let mut stored = self.stored.borrow_mut();
        stored.state.membership.as_mut().expect("a holder has joined").site = Some(site);
        Ok(stored.save()?)
    }

    /// Keeps what a check found, for `show` and for visits.
    pub(super) fn keep_crowds(&mut self, crowds: Vec<Crowd>) -> Result<(), Problem> {
        let mut stored = self.stored.borrow_mut();
        stored.state.crowds = crowds;
        Ok(stored.save()?)
    }

    /// What the last check found.
    pub(super) fn crowds(&self) -> Vec<Crowd> {
        self.stored.borrow().state.crowds.clone()
    }

    /// Whether a visit was begun and is not answered.
    pub(super) fn is_visiting(&self, site: SiteId, round: Round) -> bool {
        self.wallet().tasks().iter().any(|task| matches!(task, Task::Visit(at, of) if (*at, *of) == (site, round)))
    }

    /// Makes what was changed in the file so far durable.
    pub(super) fn save(&mut self) -> Result<(), Problem> {
        Ok(self.stored.borrow_mut().save()?)
    }

    pub(super) fn has_address(&self, site: SiteId) -> bool {
        self.stored.borrow().state.membership.as_ref().is_some_and(|membership| membership.sites.contains_key(&site))
    }

    pub(super) fn enrol(&mut self, kind: TicketKind, ticket: TicketCode) -> Result<(), Problem> {
        Ok(self.agent.enrol(&self.programme, kind, ticket, &mut self.rng)?)
    }

    pub(super) fn amend(&mut self, round: Round, ticket: TicketCode) -> Result<(), Problem> {
        let view = self.programme.in_force(round)?;
        Ok(self.agent.amend(&view, ticket, &mut self.rng)?)
    }

    /// Goes on with a show that is pending, and rolls over if that is due.
    pub(super) fn roll_over(&mut self, round: Round) -> Result<bool, Problem> {
        let view = self.programme.in_force(round)?;
        let due = self.agent.wallet().may_roll_over(round);
        self.agent.roll_over(&view, &mut self.rng)?;
        Ok(due)
    }

    /// What to draw at a site: everything, or some units of lines.
    pub(super) fn plan(&self, round: Round, site: SiteId, asked: &[Amount]) -> Result<KeyCounts, Problem> {
        let view = self.programme.in_force(round)?;
        if asked.is_empty() {
            return Ok(self.wallet().plan(&view, site)?);
        }
        keys_of(&view, site, asked)
    }

    /// The keys of so many vouchers of each line and value at a site.
    pub(super) fn keys_at(
        &self,
        round: Round,
        site: SiteId,
        kinds: &BTreeMap<(LineId, u32), u32>,
    ) -> Result<KeyCounts, Problem> {
        let key = |(&(line, value), &count): (&(LineId, u32), &u32)| {
            let id = KeyId { line, value, round, site: Some(site), slot: None };
            let missing = WalletError::Change { line, units: Units(value.into()) };
            Ok((self.programme.key_index(&id).ok_or(missing)?, count))
        };
        let mut list = kinds.iter().map(key).collect::<Result<KeyCounts, WalletError>>()?;
        list.sort_unstable();
        Ok(list)
    }

    /// Whether a draw of this list is not answered yet.
    pub(super) fn is_drawing(&self, round: Round, keys: &KeyCounts) -> bool {
        !keys.is_empty() && self.wallet().is_drawing(round, keys)
    }

    pub(super) fn draw(&mut self, round: Round, keys: KeyCounts) -> Result<usize, Problem> {
        let view = self.programme.in_force(round)?;
        Ok(self.agent.draw(&view, keys, &mut self.rng)?)
    }

    /// Plans draws of one voucher each, of everything or of some units of lines, and makes the plan durable.
    pub(super) fn start_singles(
        &mut self,
        round: Round,
        site: SiteId,
        asked: &[Amount],
        manner: Manner,
    ) -> Result<(), Problem> {
        let view = self.programme.in_force(round)?;
        let asked = units_of(&view, asked)?;
        Ok(self.agent.start_singles(&view, site, &asked, manner, &mut self.rng)?)
    }

    /// Makes the next of them; gives how many are left.
    pub(super) fn draw_single(&mut self, round: Round) -> Result<usize, AgentError> {
        let view = self.programme.in_force(round).map_err(WalletError::from)?;
        self.agent.draw_single(&view, &mut self.rng)
    }

    /// Forgets them: they are all made, or no more wanted.
    pub(super) fn drop_singles(&mut self) -> Result<(), Problem> {
        self.agent.wallet_mut().drop_singles();
        Ok(self.agent.save()?)
    }

    /// Closes the file until [`Holder::wake`]; the PIN is not kept.
    pub(super) fn rest(self) -> Resting {
        let Self { agent, stored, .. } = self;
        drop(agent);
        Rc::into_inner(stored).expect("only the agent had it besides").into_inner().vault.rest()
    }

    /// Opens the file again, with whatever was done to it meanwhile. It asks nobody for news.
    pub(super) fn wake(desk: &Desk, resting: &Resting) -> Result<Self, Problem> {
        let (vault, state) = resting.wake()?;
        Self::known(desk, Stored { vault, state: State::decode(&state)? }, At::default())
    }

    pub(super) fn swap(&mut self, round: Round, old: &[Mark], new: KeyCounts) -> Result<usize, Problem> {
        let view = self.programme.in_force(round)?;
        Ok(self.agent.swap(&view, old, new, &mut self.rng)?)
    }

    pub(super) fn redeem(&mut self, round: Round, site: SiteId, marks: Option<&[Mark]>) -> Result<Handover, Problem> {
        let view = self.programme.in_force(round)?;
        let choice = marks.map_or(Choice::All, Choice::These);
        Ok(self.agent.redeem(&view, site, choice, &mut self.rng)?)
    }

    pub(super) fn collect(&mut self, round: Round, holder: EncodedPoint) -> Result<Handover, Problem> {
        let view = self.programme.in_force(round)?;
        Ok(self.agent.collect(&view, holder, &mut self.rng)?)
    }

    /// A file of a public log.
    pub(super) fn log_file(&self, site: Option<SiteId>, path: &str) -> Option<Vec<u8>> {
        self.link.log_file(site, path)
    }

    /// Erases the receipts with these promises: once their inclusion is proven, they say no more than where their holder was.
    pub(super) fn erase_receipts(&mut self, proven: &BTreeSet<Promise>) -> Result<usize, Problem> {
        let erased = self.agent.wallet_mut().retain_receipts(|receipt| !proven.contains(&promise(receipt)));
        self.agent.save()?;
        Ok(erased)
    }

    /// Erases vouchers that a site's log shows as redeemed.
    pub(super) fn drop_redeemed(&mut self, redeemed: &BTreeSet<Mark>) -> Result<usize, Problem> {
        let dropped = self.agent.wallet_mut().drop_redeemed(redeemed);
        self.agent.save()?;
        Ok(dropped)
    }

    /// Takes back what the issuer's slots bring.
    pub(super) fn restore(&mut self) -> Result<Restored, Problem> {
        let log_size = {
            let stored = self.stored.borrow();
            announced_sized(stored.membership()?)?.1
        };
        Ok(self.agent.restore(&self.programme, log_size, &mut self.rng)?)
    }

    pub(super) fn resume(&mut self) -> Result<Vec<Resumed>, AgentError> {
        self.agent.resume(&self.programme, &mut self.rng)
    }

    /// The round of a visit: that of a visit that was not answered, of the vouchers that are held, or, if they are of several, the one
    /// that the site says is open. What the site says is checked when it is visited.
    pub(super) fn round_of_visit(&self, site: SiteId, asked: Option<Round>) -> Result<Round, Problem> {
        if let Some(round) = asked {
            return self.round(Some(round));
        }
        let waiting = self.wallet().tasks().into_iter().find_map(|task| match task {
            Task::Visit(at, round) if at == site => Some(round),
            _ => None,
        });
        if let Some(round) = waiting {
            return Ok(round);
        }
        let mut rounds: Vec<Round> = free(&self.programme, self.wallet(), site).map(|held| held.round).collect();
        rounds.sort_unstable();
        rounds.dedup();
        match rounds[..] {
            [] => Err(WalletError::NothingToRedeem.into()),
            [only] => Ok(only),
            _ => self.open_round(site),
        }
    }

    /// The round of the visit to a site that was not answered. Unless that site was asked for, none may wait at another one.
    ///
    /// # Errors
    /// [`Problem::WhichSite`].
    pub(super) fn waiting_visit(&self, desk: &Desk, site: SiteId, is_asked: bool) -> Result<Option<Round>, Problem> {
        let visit = |task: Task| match task {
            Task::Visit(site, round) => Some((site, round)),
            _ => None,
        };
        let waiting: Vec<(SiteId, Round)> = self.wallet().tasks().into_iter().filter_map(visit).collect();
        self.are_here(desk, site, is_asked, waiting.iter().map(|(at, _)| *at))?;
        Ok(waiting.into_iter().find(|(at, _)| *at == site).map(|(_, round)| round))
    }

    /// Refuses to guess a site: what was begun at another one is not shown without its being named.
    pub(super) fn are_here(
        &self,
        desk: &Desk,
        site: SiteId,
        is_asked: bool,
        begun: impl Iterator<Item = SiteId> + Clone,
    ) -> Result<(), Problem> {
        if is_asked || begun.clone().all(|at| at == site) {
            return Ok(());
        }
        let sites: BTreeSet<SiteId> = begun.collect();
        let name = |site| desk.site_name(self.programme.latest(), site);
        Err(Problem::WhichSite(sites.into_iter().map(name).collect()))
    }

    /// The round that a site says is open.
    pub(super) fn open_round(&self, site: SiteId) -> Result<Round, Problem> {
        let answer = self.link.send(Endpoint::Quote(site), &[])?;
        let quote = Quote::decode(&answer).map_err(WalletError::from)?;
        self.round(Some(quote.content.place.round))
    }
}

/// A voucher that is held and free, with what it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) mark: Mark,
    pub(super) line: LineId,
    pub(super) value: u32,
    pub(super) round: Round,
    pub(super) site: Option<SiteId>,
}

/// What a voucher stands for.
pub(super) fn held(programme: &Programme, voucher: &Voucher) -> Option<Held> {
    let id = programme.key(voucher.key())?.id;
    Some(Held { mark: voucher.shown().mark(), line: id.line, value: id.value, round: id.round, site: id.site })
}

/// The vouchers that a site takes and that it, or another, did not refuse.
pub(super) fn free<'a>(
    programme: &'a Programme,
    wallet: &'a Wallet,
    site: SiteId,
) -> impl Iterator<Item = Held> + use<'a> {
    let sound = move |voucher: &&Voucher| !wallet.faults().contains_key(&voucher.shown().mark());
    let all = wallet.vouchers().iter().filter(sound).filter_map(move |voucher| held(programme, voucher));
    all.filter(move |held| held.site.is_none_or(|at| at == site))
}

/// The round that is asked for if it is open, or else the newest that is open.
pub(super) fn round(programme: &Programme, asked: Option<Round>) -> Result<Round, Problem> {
    if let Some(round) = asked {
        return Ok(programme.in_force(round)?.round);
    }
    let header = programme.latest();
    let mut rounds = (header.policy.first_round.0..=header.last_round.0).rev().map(Round);
    rounds.find(|round| programme.in_force(*round).is_ok()).ok_or(Problem::NoRound)
}

/// The keys of some units of lines at a site.
pub(super) fn keys_of(view: &InForce<'_>, site: SiteId, asked: &[Amount]) -> Result<KeyCounts, Problem> {
    let mut list = KeyCounts::new();
    for (line, units) in units_of(view, asked)? {
        let fits = |entry: &annona_protocol::programme::KeyEntry| {
            (entry.id.line, entry.id.round, entry.id.site, entry.id.slot) == (line, view.round, Some(site), None)
        };
        let all = (0u32..).zip(view.programme.keys()).filter(|(_, entry)| fits(entry));
        let keys: Vec<KeyIndex> = all.map(|(at, _)| KeyIndex(at)).collect();
        let change = make_change(view, &keys, units);
        list.extend(change.ok_or(WalletError::Change { line, units })?);
    }
    list.sort_unstable();
    Ok(list)
}

/// Units by line.
fn units_of(view: &InForce<'_>, asked: &[Amount]) -> Result<BTreeMap<LineId, Units>, Problem> {
    let mut units: BTreeMap<LineId, Units> = BTreeMap::new();
    for amount in asked {
        let sum = units.entry(find_line(view.header, &amount.line)?).or_insert(Units(0));
        sum.0 = sum.0.saturating_add(amount.units);
    }
    Ok(units)
}

/// The programme of the announcement in the file.
pub(super) fn announced(membership: &Membership) -> Result<Programme, Problem> {
    announced_sized(membership).map(|(programme, _)| programme)
}

/// The same with the size of the log that proves it.
fn announced_sized(membership: &Membership) -> Result<(Programme, u64), Problem> {
    // It was verified before it was kept; what does not verify now was damaged.
    let damaged = Problem::State(crate::state::StateError::Malformed);
    let announcement = Announcement::decode(&membership.announcement).ok();
    announcement.and_then(|announcement| announcement.verify_sized(membership.programme).ok()).ok_or(damaged)
}

fn issuer(membership: &Membership, options: &Options) -> Result<Client, Problem> {
    let server = Server { url: membership.issuer.clone(), key: Some(membership.issuer_key) };
    Ok(Client::new(server, options)?)
}

/// Asks until there is an answer, as often as a message is sent.
fn patiently<T>(desk: &Desk, ask: impl Fn() -> Result<T, LinkError>) -> Result<T, LinkError> {
    let backoff = desk.backoff();
    let mut repeat = 1;
    loop {
        match ask() {
            Err(LinkError::Lost { retry_after, .. }) if repeat < backoff.tries => {
                thread::sleep(backoff.wait(repeat, retry_after, &mut UnwrapErr(SysRng)));
                repeat += 1;
            }
            done => return done,
        }
    }
}

/// Whether one programme goes on from the other: it has all its versions, and its rounds under the same ones.
fn extends(newer: &Programme, older: &Programme) -> bool {
    let header = older.latest();
    let mut rounds = (header.policy.first_round.0..=header.last_round.0).map(Round);
    let same = |round: Round| match (older.in_force(round), newer.in_force(round)) {
        (Ok(before), Ok(now)) => before.hash == now.hash,
        (Ok(_), Err(_)) => false,
        (Err(_), _) => true,
    };
    newer.version(&header.hash()).is_some() && rounds.all(same)
}
