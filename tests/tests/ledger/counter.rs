//! What households do at a site: redeem, void, collect; once each, whoever asks again.

use annona_protocol::{
    ids::{LineId, QuoteId, Round, Units},
    log::leaf::{OwedLeaf, OwedVoidedLeaf, SiteLeaf, VoucherLeaf},
    redeem::{CollectRequest, Counter, QuoteError, RedeemRequest, VoidRequest, holder_key},
    secret::SecretScalar,
    signature::PublicKey,
    slip::{OwedTerms, PackTerms, Place, Quote, QuoteTerms, RefusalCode, Signed},
    voucher::{Mark, Voucher},
    wire::Message,
};
use rand_chacha::rand_core::Rng;

use crate::{
    model::Kind,
    world::{Held, LINES, OwedUnits, PLACES, SiteStore, Visit, Wallet, World},
};

/// The store of a place: slots of a site have spent sets of their own, and a voucher knows its slot.
fn site_of(place: usize) -> usize {
    place.min(1)
}

impl SiteStore {
    /// Accepts a visit, all or nothing; gives each voucher's acceptance number.
    fn accept(&mut self, marks: &[Mark]) -> Result<Vec<u32>, RefusalCode> {
        if marks.iter().any(|mark| self.swapped.contains(mark)) {
            return Err(RefusalCode::Swapped);
        }
        if marks.iter().any(|mark| self.accepted.get(mark).is_some_and(|(_, live)| *live)) {
            return Err(RefusalCode::AlreadyRedeemed);
        }
        let number = |mark: &Mark| {
            let entry = self.accepted.entry(*mark).or_default();
            *entry = (entry.0 + 1, true);
            entry.0
        };
        Ok(marks.iter().map(number).collect())
    }

    /// Voids acceptances, all or nothing.
    fn void(&mut self, voids: &[(Mark, u32)]) -> bool {
        let live = voids.iter().all(|(mark, number)| self.accepted.get(mark) == Some(&(*number, true)));
        if live {
            voids.iter().for_each(|(mark, _)| self.accepted.get_mut(mark).expect("live").1 = false);
        }
        live
    }
}

impl World {
    /// Ends swaps, and opens both sites with their packs.
    fn freeze(&mut self) {
        if std::mem::replace(&mut self.frozen, true) {
            return;
        }
        let view = self.fixture.view(self.model.now);
        let key = PublicKey::of(&self.fixture.issuer_log);
        for (site, store) in self.sites.iter_mut().enumerate() {
            let place = Place::new(&view, PLACES[site].0);
            let of_site = |mark: &&Mark| {
                view.key(mark.key)
                    .is_some_and(|entry| entry.id.site == Some(place.site) && entry.id.round == view.round)
            };
            let swapped = self.issuer.swapped.iter().filter(of_site).copied().collect();
            let size = self.leaves.len() as u64;
            let pack = PackTerms { place, swapped, size, root: annona_protocol::log::merkle::empty_root() };
            let pack = Signed::sign(pack, &self.fixture.issuer_log).encode();
            let pack = Signed::<PackTerms>::decode(&pack).unwrap();
            store.swapped.extend(pack.verify(&key).expect("the issuer's").swapped.iter().copied());
        }
    }

    fn quote(&mut self, place: usize) -> Quote {
        let mut id = QuoteId::default();
        self.rng.fill_bytes(&mut id.0);
        let site = PLACES[place].0;
        let place_now = Place::new(&self.fixture.view(self.model.now), site);
        let terms = QuoteTerms { place: place_now, id, lines: LINES.to_vec() };
        Signed::sign(terms, &self.fixture.site_logs[site_of(place)])
    }

    fn counter(&self, place: usize) -> Counter<'_> {
        let view = self.fixture.view(self.model.now);
        let (site, slot) = PLACES[place];
        Counter::new(view, Place::new(&view, site), slot.into_iter().collect())
    }

    /// Shows up to `count` vouchers of a place, of another than asked for if there are none. With `short` the site owes half
    /// of the last line.
    pub(crate) fn redeem(&mut self, who: usize, place: usize, count: usize, short: bool) -> &'static str {
        let Wallet { hand, swapped, .. } = &self.wallets[who];
        let places: Vec<usize> = hand.iter().chain(swapped).map(|held| held.kind.place).collect();
        let place = if places.contains(&place) { place } else { places.first().copied().unwrap_or(place) };
        self.freeze();
        let quote = self.quote(place);
        let spare = SecretScalar::random(&mut self.rng);
        let wallet = &self.wallets[who];
        let mut chosen: Vec<usize> = (0..wallet.hand.len()).filter(|at| wallet.hand[*at].kind.place == place).collect();
        chosen.truncate(count);
        let marks_of = |request: &RedeemRequest| request.vouchers.iter().map(|shown| shown.mark()).collect::<Vec<_>>();
        let view = self.fixture.view(self.model.now);

        // Vouchers that were swapped for others are good signatures still; the pack names them.
        let swapped: Vec<&Voucher> =
            wallet.swapped.iter().filter(|held| held.kind.place == place).map(|held| &held.voucher).collect();
        if !swapped.is_empty() {
            let request = RedeemRequest::new(&view, &quote, &swapped, &spare, &mut self.rng).expect("quoted");
            let visit = self.counter(place).verify(&quote, &request).expect("genuine");
            let marks: Vec<Mark> = visit.marks().collect();
            assert_eq!(self.sites[site_of(place)].accept(&marks), Err(RefusalCode::Swapped));
            if chosen.is_empty() {
                return "swapped";
            }
        }
        // Vouchers of another site are not shown; those of another slot are refused.
        if let Some(elsewhere) = self.wallets[who].hand.iter().find(|held| held.kind.place != place) {
            let request = RedeemRequest::new(&view, &quote, &[&elsewhere.voucher], &spare, &mut self.rng);
            if site_of(elsewhere.kind.place) == site_of(place) {
                let refused = self.counter(place).verify(&quote, &request.expect("quoted")).unwrap_err();
                assert_eq!(refused.code, RefusalCode::OtherSlot);
            } else {
                assert_eq!(request.err(), Some(QuoteError::Voucher));
            }
        }
        if chosen.is_empty() {
            return "nothing to redeem";
        }

        let shown: Vec<&Voucher> = chosen.iter().map(|at| &self.wallets[who].hand[*at].voucher).collect();
        let request = RedeemRequest::new(&view, &quote, &shown, &spare, &mut self.rng).expect("quoted").encode();
        let request = RedeemRequest::decode(&request).unwrap();
        let visit = self.counter(place).verify(&quote, &request).expect("genuine");
        let kinds: Vec<Kind> = chosen.iter().map(|at| self.wallets[who].hand[*at].kind).collect();
        let units = |line: usize| -> i64 {
            kinds.iter().filter(|kind| kind.line == line).map(|kind| i64::from(kind.value)).sum()
        };
        for (line, id) in LINES.iter().enumerate() {
            assert_eq!(visit.units().get(id).map_or(0, |units| units.0 as i64), units(line), "what is handed over");
        }
        assert_eq!(visit.spare(), holder_key(&spare));
        let marks: Vec<Mark> = visit.marks().collect();
        assert_eq!(marks, marks_of(&request));
        let numbers = self.sites[site_of(place)].accept(&marks).expect("not redeemed yet");
        assert_eq!(self.sites[site_of(place)].accept(&marks), Err(RefusalCode::AlreadyRedeemed));
        self.replay_elsewhere(place, &quote, &request);
        let leaves: Vec<VoucherLeaf> = visit.leaves(|mark| numbers[marks.iter().position(|m| m == mark).expect("one")]);
        leaves.into_iter().for_each(|leaf| self.log_site(&SiteLeaf::Voucher(leaf)));

        let mut vouchers = Vec::new();
        for (at, number) in chosen.into_iter().zip(numbers).rev() {
            vouchers.push((self.wallets[who].hand.remove(at), number));
        }
        self.model.redeem(who, &kinds);
        let line = kinds.last().expect("not empty").line;
        let missing: i64 = (units(line) + 1) / 2;
        let slip = short.then(|| self.owe(place, line, missing, spare));
        let again = vouchers.iter().any(|(_, number)| *number > 1);
        self.visits.push(Visit { who, place, round: self.model.now, vouchers, slip, voided: false });
        match (again, short) {
            (true, _) => "again after a void",
            (_, true) => "partly owed",
            _ => "done",
        }
    }

    /// The same request at a counter of the other site, and under another quote of the same one.
    fn replay_elsewhere(&mut self, place: usize, quote: &Quote, request: &RedeemRequest) {
        let other = if site_of(place) == 0 { 1 } else { 0 };
        let foreign = self.quote(other);
        let refused = self.counter(other).verify(quote, request).unwrap_err();
        assert_eq!(refused.code, RefusalCode::QuoteUnknown);
        let mut moved = request.clone();
        moved.quote = foreign.content.id;
        assert_eq!(self.counter(other).verify(&foreign, &moved).unwrap_err().code, RefusalCode::OtherSite);
        let fresh = self.quote(place);
        moved.quote = fresh.content.id;
        assert_eq!(self.counter(place).verify(&fresh, &moved).unwrap_err().code, RefusalCode::HolderInvalid);
    }

    fn owe(&mut self, place: usize, line: usize, units: i64, secret: SecretScalar) -> usize {
        let (now, site) = (self.model.now, site_of(place));
        let lines: Vec<(LineId, Units)> = vec![(LINES[line], Units(units as u64))];
        let view = self.fixture.view(now);
        let terms = OwedTerms { place: Place::new(&view, PLACES[place].0), lines, holder: holder_key(&secret) };
        let leaf = OwedLeaf { round: Round(now), lines: terms.lines.clone(), holder: terms.holder };
        let slip = Signed::sign(terms, &self.fixture.site_logs[site]);
        self.log_site(&SiteLeaf::Owed(leaf.clone()));
        self.model.owed[line] += units;
        self.slips.push(OwedUnits { site, round: now, line, units, slip, leaf, secret, open: true });
        self.slips.len() - 1
    }

    /// Gives a whole visit back.
    pub(crate) fn void(&mut self, at: usize) -> &'static str {
        let now = self.model.now;
        let open: Vec<usize> = (0..self.visits.len()).filter(|at| self.visits[*at].round == now).collect();
        let Some(at) = open.get(at % open.len().max(1)).copied() else { return "nothing to void" };
        let Visit { who, place, slip, voided, .. } = self.visits[at];
        let counter = self.counter(place);
        let view = self.fixture.view(now);
        let accepted: Vec<(&Voucher, u32)> =
            self.visits[at].vouchers.iter().map(|(held, number)| (&held.voucher, *number)).collect();
        let mut rng = self.rng.clone();
        let request = VoidRequest::new(&view, counter.place(), &accepted, &mut rng).expect("of this view").encode();
        let request = VoidRequest::decode(&request).unwrap();
        let leaves = counter.verify_void(&request).expect("the holder's");
        // A proof for one acceptance voids no other.
        let mut other = request.clone();
        other.voids[0].number += 1;
        assert_eq!(counter.verify_void(&other).unwrap_err().code, RefusalCode::HolderInvalid);
        self.rng = rng;

        let collected = slip.is_some_and(|slip| !self.slips[slip].open) && !voided;
        let voids: Vec<(Mark, u32)> = leaves.iter().map(|leaf| (leaf.mark, leaf.number)).collect();
        if collected {
            return "refused: its slip was collected";
        }
        if !self.sites[site_of(place)].void(&voids) {
            assert!(voided, "a live visit can be voided");
            return "refused: voided already";
        }
        assert!(!voided, "a visit is voided once");
        leaves.into_iter().for_each(|leaf| self.log_site(&SiteLeaf::Void(leaf)));
        if let Some(slip) = slip {
            let holder = self.slips[slip].leaf.holder;
            self.log_site(&SiteLeaf::OwedVoided(OwedVoidedLeaf { holder }));
            self.slips[slip].open = false;
            self.model.owed[self.slips[slip].line] -= self.slips[slip].units;
        }
        self.visits[at].voided = true;
        let back: Vec<Held> = self.visits[at]
            .vouchers
            .iter()
            .map(|(held, _)| Held { kind: held.kind, voucher: held.voucher.duplicate() })
            .collect();
        let kinds: Vec<Kind> = back.iter().map(|held| held.kind).collect();
        self.wallets[who].hand.extend(back);
        self.model.void(who, &kinds);
        "done"
    }

    /// Collects on a slip, in whatever round it is.
    pub(crate) fn collect(&mut self, at: usize) -> &'static str {
        if self.slips.is_empty() {
            return "nothing to collect";
        }
        let at = at % self.slips.len();
        let now = self.model.now;
        let Self { fixture, rng, slips, .. } = self;
        let OwedUnits { site, round, line, units, slip, leaf, secret, open } = &slips[at];
        let (slip_view, view) = (fixture.view(*round), fixture.view(now));
        let place = Place::new(&view, PLACES[*site].0);
        let request = CollectRequest::new(&slip_view, slip, &place, secret, rng).expect("the holder's");
        let stranger = SecretScalar::random(rng);
        assert!(CollectRequest::new(&slip_view, slip, &place, &stranger, rng).is_err());
        let collected = request.verify(&place, leaf).expect("the holder's");
        // Not for more than the slip says, nor at another site.
        let mut more = leaf.clone();
        more.lines[0].1.0 += 1;
        assert!(request.verify(&place, &more).is_err());
        let elsewhere = Place::new(&view, PLACES[1 - site].0);
        assert!(request.verify(&elsewhere, leaf).is_err());
        if !open {
            return "refused: collected or voided";
        }
        let (line, units, late) = (*line, *units, *round < now);
        self.slips[at].open = false;
        self.model.collected[line] += units;
        self.log_site(&SiteLeaf::Collected(collected));
        if late { "in a later round" } else { "done" }
    }

    /// Vouchers of the round before are worth nothing in this one.
    pub(crate) fn lapse(&mut self) {
        let quote = self.quote(0);
        let spare = SecretScalar::random(&mut self.rng);
        let view = self.fixture.view(self.model.now);
        for wallet in &mut self.wallets {
            let hand = std::mem::take(&mut wallet.hand);
            if let Some(held) = hand.first() {
                let request = RedeemRequest::new(&view, &quote, &[&held.voucher], &spare, &mut self.rng);
                assert_eq!(request.err(), Some(QuoteError::Voucher));
            }
        }
    }
}
