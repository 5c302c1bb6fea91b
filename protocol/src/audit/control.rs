//! The issuer's control leaves: manifest chain, lots, rounds, freezes (spec 9.2).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Check, Findings, Note, Party,
    log::{LogView, Witnesses},
};
use crate::{
    ids::{LotId, ManifestHash, ProgrammeId, Round, SiteId},
    log::{
        leaf::{FreezeLeaf, IssuerLeaf, LotLeaf},
        merkle::TreeHash,
    },
    programme::{Header, KeyEntry, KeyId, ManifestError, Programme, SignedHeader, manifest::LotTerms},
    slip::{OpeningPack, Place},
    voucher::Mark,
};

/// Where a round's control leaves stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) open: u64,
    pub(super) freeze: Option<u64>,
    pub(super) closing_freeze: Option<u64>,
    pub(super) close: Option<u64>,
}

/// A lot as it was approved.
#[derive(Clone, Debug)]
pub(super) struct Approved {
    pub(super) at: u64,
    pub(super) count: u64,
    pub(super) root: TreeHash,
    pub(super) terms: LotTerms,
}

/// A freeze, and the newest version when it stood.
#[derive(Clone, Debug)]
pub(super) struct Freeze {
    pub(super) at: u64,
    pub(super) newest: ManifestHash,
    pub(super) leaf: FreezeLeaf,
}

/// What the control leaves say.
pub(super) struct Control {
    pub(super) programme: Programme,
    /// The witnesses of all versions, the newest first, repeats left out.
    pub(super) witnesses: Vec<Witnesses>,
    pub(super) rounds: BTreeMap<Round, Span>,
    pub(super) lots: BTreeMap<LotId, Approved>,
    pub(super) freezes: Vec<Freeze>,
    /// Rounds and sites of which the issuer signed an opening pack.
    packed: BTreeSet<(Round, SiteId)>,
    /// Whether a version or the key list has a finding: keys may be unknown that officers meant to list.
    pub(super) keys_in_doubt: bool,
}

/// The genesis, if a log's first entry is that of the programme.
pub(super) fn genesis(first: Option<&Vec<u8>>, programme: ProgrammeId) -> Option<Programme> {
    use crate::wire::Message;
    let signed = match IssuerLeaf::decode(first?) {
        Ok(IssuerLeaf::Manifest(signed)) if signed.header.version == 0 => signed,
        _ => return None,
    };
    Programme::new(&[signed], Vec::new()).ok().filter(|found| found.id() == programme)
}

impl Control {
    /// What the genesis says alone.
    pub(super) fn new(genesis: Programme) -> Self {
        Self {
            witnesses: vec![Witnesses::of(genesis.latest())],
            programme: genesis,
            rounds: BTreeMap::new(),
            lots: BTreeMap::new(),
            freezes: Vec::new(),
            packed: BTreeSet::new(),
            keys_in_doubt: false,
        }
    }

    /// Takes note of which packs the issuer signed.
    pub(super) fn note_packs(&mut self, packs: &[OpeningPack]) {
        let key = self.programme.latest().issuer_log.key;
        let signed = packs.iter().filter(|pack| pack.verify(&key).is_ok()).map(|pack| &pack.content.place);
        self.packed = signed.map(|place| (place.round, place.site)).collect();
    }

    /// Who answers for what a site logs of a round that the issuer's log does not open; nobody if it does. The issuer that
    /// signed the site's opening pack has opened the round.
    pub(super) fn unopened(&self, site: SiteId, round: Round) -> Option<Party> {
        let packed = self.packed.contains(&(round, site));
        (!self.is_open(round)).then_some(if packed { Party::Issuer } else { Party::Site(site) })
    }

    /// Whether the issuer's log opens a round.
    pub(super) fn is_open(&self, round: Round) -> bool {
        self.rounds.contains_key(&round)
    }

    /// Whether a variant of an issuer's leaf is a control leaf.
    pub(super) fn is_control(variant: u8) -> bool {
        variant < 6
    }

    /// Follows a control leaf.
    pub(super) fn follow(&mut self, at: u64, leaf: IssuerLeaf, keys: &[KeyEntry], found: &mut impl FnMut(Check)) {
        match leaf {
            // The genesis has been read.
            IssuerLeaf::Manifest(_) if at == 0 => {}
            IssuerLeaf::Manifest(signed) => self.manifest(&signed, keys, found),
            IssuerLeaf::Lot(lot) => self.lot(at, &lot, found),
            IssuerLeaf::Open(open) => match self.programme.open_round(open.round, open.manifest) {
                Ok(()) if !self.rounds.contains_key(&open.round) => {
                    let span = Span { open: at, freeze: None, closing_freeze: None, close: None };
                    self.rounds.insert(open.round, span);
                }
                _ => found(Check::OpenInvalid),
            },
            IssuerLeaf::Freeze(leaf) => self.freeze(at, leaf, found),
            IssuerLeaf::Close(leaf) => match self.rounds.get_mut(&leaf.round) {
                Some(span) if span.freeze.is_some() && span.close.is_none() => span.close = Some(at),
                span => {
                    found(Check::CloseInvalid);
                    // The close counts all the same: the round's master is said to be gone.
                    span.into_iter().for_each(|span| span.close = span.close.or(Some(at)));
                }
            },
            _ => {}
        }
    }

    fn manifest(&mut self, signed: &SignedHeader, keys: &[KeyEntry], found: &mut impl FnMut(Check)) {
        let known = self.programme.keys().len();
        let until = signed.header.key_count as usize;
        let result = match keys.get(known..until.max(known)) {
            Some(new) => self.programme.append(signed, new),
            None => Err(ManifestError::KeyList),
        };
        match result {
            Ok(()) => {
                let witnesses = Witnesses::of(&signed.header);
                if self.witnesses.first() != Some(&witnesses) {
                    self.witnesses.insert(0, witnesses);
                }
            }
            Err(ManifestError::Signatures) => found(Check::ManifestSignatures),
            Err(ManifestError::KeyList | ManifestError::Key(_)) => found(Check::KeyList),
            Err(_) => found(Check::ManifestInvalid),
        }
    }

    fn lot(&mut self, at: u64, leaf: &LotLeaf, found: &mut impl FnMut(Check)) {
        let newest = self.programme.latest();
        let Some(terms) = newest.lot(leaf.lot).filter(|_| !self.lots.contains_key(&leaf.lot)) else {
            return found(Check::LotInvalid);
        };
        if leaf.verify(self.programme.id(), newest).is_err() {
            // Nobody approved it: its tickets stay outside any lot.
            return found(Check::LotSignatures);
        }
        let approved = Approved { at, count: leaf.count, root: leaf.root, terms: terms.clone() };
        self.lots.insert(leaf.lot, approved);
    }

    fn freeze(&mut self, at: u64, leaf: FreezeLeaf, found: &mut impl FnMut(Check)) {
        let in_force = self.programme.in_force(leaf.round).ok().map(|view| view.hash);
        let Some(span) = self.rounds.get_mut(&leaf.round) else { return found(Check::FreezeInvalid) };
        // A freeze without packs of a round that is frozen is a closing freeze: it opens the cohorts that are left.
        let closing = leaf.packs.is_empty() && span.freeze.is_some();
        let place = if closing { &mut span.closing_freeze } else { &mut span.freeze };
        let ordered = leaf.packs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let late = !closing && span.close.is_some();
        if place.is_some() || late || !ordered || in_force != Some(leaf.manifest) {
            found(Check::FreezeInvalid);
        }
        // One that is repeated has no effect: so freezes are as many as rounds, not as leaves.
        if place.is_none() {
            *place = Some(at);
            let newest = self.programme.latest().hash();
            self.freezes.push(Freeze { at, newest, leaf });
        }
    }

    /// Whether a leaf of `round` may stand at `at`.
    pub(super) fn round_fault(&self, round: Round, at: u64) -> Option<Check> {
        match self.rounds.get(&round) {
            None => Some(Check::RoundNotOpen),
            Some(span) if at < span.open => Some(Check::RoundNotOpen),
            Some(span) if span.close.is_some_and(|close| close < at) => Some(Check::RoundClosed),
            Some(_) => None,
        }
    }

    /// The version with this hash, which a freeze recorded from the chain itself.
    pub(super) fn version(&self, hash: &ManifestHash) -> &Header {
        self.programme.version(hash).expect("the hash was taken from the chain")
    }

    /// Sites that have keys of their own in a round, or share keys for any site.
    fn sites_with_keys(&self, round: Round) -> BTreeSet<SiteId> {
        let Ok(view) = self.programme.in_force(round) else { return BTreeSet::new() };
        let listed = self.programme.keys().iter().take(view.header.key_count as usize);
        let ids = listed.map(|entry| entry.id).filter(|id| id.round == round);
        let (mut sites, mut any) = (BTreeSet::new(), false);
        for id in ids {
            any |= id.site.is_none();
            sites.extend(id.site);
        }
        if any {
            sites.extend(view.header.sites.iter().map(|site| site.id));
        }
        sites
    }

    /// Whether a site has keys in a round that was opened: then it owes a log.
    pub(super) fn owes_a_log(&self, site: SiteId) -> bool {
        self.rounds.keys().any(|round| self.sites_with_keys(*round).contains(&site))
    }

    /// Where a round is over, whether it was closed or not: at its close, or where a round opens that may not open beside it
    /// ([6.4-M5]). Otherwise who never closes a round would never answer for it.
    pub(super) fn over(&self, round: Round) -> Option<u64> {
        let span = self.rounds.get(&round)?;
        let beside = round.0.saturating_add(self.programme.latest().policy.advance);
        let opens = self.rounds.iter().filter(|(other, _)| other.0 > beside).map(|(_, span)| span.open);
        span.close.or_else(|| opens.min())
    }

    /// Where all rounds that are open until a round are over.
    pub(super) fn all_over(&self, until: Round) -> Option<u64> {
        let over: Option<Vec<u64>> = self.rounds.range(..=until).map(|(round, _)| self.over(*round)).collect();
        over?.into_iter().max()
    }

    /// Whether a round that is not open here may be one that a newer copy of the issuer's log opens.
    pub(super) fn may_open(&self, site: SiteId, round: Round) -> bool {
        self.programme.latest().plans(round) || self.packed.contains(&(round, site))
    }

    /// The packs' part in what roots of the issuer's log are needed.
    pub(super) fn pack_sizes(packs: &[OpeningPack]) -> BTreeSet<u64> {
        packs.iter().map(|pack| pack.content.size).collect()
    }

    /// Checks packs against the freezes; gives what their lists of swapped vouchers are to be held against.
    pub(super) fn check_packs(
        &self,
        log: &LogView<'_>,
        packs: &[OpeningPack],
        findings: &mut Findings,
        notes: &mut Vec<Note>,
    ) -> Vec<SwappedList> {
        let digests: Vec<_> = packs.iter().map(OpeningPack::digest).collect();
        let (mut fixed, mut lists) = (BTreeSet::new(), Vec::new());
        for (round, span) in &self.rounds {
            let Some(freeze) = self.freezes.iter().find(|freeze| Some(freeze.at) == span.freeze) else { continue };
            let found = |check| log.finding(check).at(freeze.at).round(*round);
            let listed: BTreeSet<SiteId> = freeze.leaf.packs.iter().map(|(site, _)| *site).collect();
            findings.extend(self.sites_with_keys(*round).difference(&listed).map(|_| found(Check::PackMissing)));
            for (site, digest) in &freeze.leaf.packs {
                let Some(index) = digests.iter().position(|known| known == digest) else {
                    findings.push(found(Check::PackMissing));
                    continue;
                };
                fixed.insert(index);
                let pack = &packs[index];
                let place = self.programme.in_force(*round).map(|view| Place::new(&view, *site)).ok();
                let content = &pack.content;
                if pack.verify(&self.programme.latest().issuer_log.key).is_err()
                    || Some(content.place) != place
                    || content.size > freeze.at
                    || log.roots.get(&content.size) != Some(&content.root)
                {
                    findings.push(found(Check::PackInvalid));
                }
                let list =
                    SwappedList { round: *round, site: *site, freeze: freeze.at, pack: index, next: 0, differs: false };
                lists.push(list);
            }
        }
        for (index, pack) in packs.iter().enumerate().filter(|(index, _)| !fixed.contains(index)) {
            let Place { programme, round, .. } = pack.content.place;
            let ours = programme == self.programme.id();
            if !ours || pack.verify(&self.programme.latest().issuer_log.key).is_err() {
                notes.push(Note::PackIgnored { index });
            } else if self.rounds.get(&round).is_some_and(|span| span.freeze.is_some()) {
                findings.push(log.finding(Check::PackDiffers).round(round));
            } else {
                // A site has its pack before an auditor has the freeze.
                notes.push(Note::PackEarly { index, round });
            }
        }
        lists
    }
}

/// The swapped vouchers that an opening pack lists, while they are held against the swaps. The marks that a site must refuse in
/// a round are those swapped before the freeze, of the site or of any.
pub(super) struct SwappedList {
    pub(super) round: Round,
    pub(super) site: SiteId,
    pub(super) freeze: u64,
    /// The pack.
    pack: usize,
    /// How many of its marks were met.
    next: usize,
    differs: bool,
}

impl SwappedList {
    /// The next swapped voucher, ascending: first swapped at `at`, of a key for this site or for any.
    pub(super) fn swapped(&mut self, packs: &[OpeningPack], id: &KeyId, mark: &Mark, at: u64) {
        if id.round == self.round && id.site.is_none_or(|bound| bound == self.site) && at < self.freeze {
            let met = packs[self.pack].content.swapped.get(self.next) == Some(mark);
            self.differs |= !met;
            self.next += 1;
        }
    }

    /// Whether the pack tells its site to refuse a voucher.
    pub(super) fn names(&self, packs: &[OpeningPack], mark: &Mark) -> bool {
        // Of a list that is out of order this may miss some: that list has its finding, and a site is not accused.
        packs[self.pack].content.swapped.binary_search(mark).is_ok()
    }

    /// Whether the pack lists other vouchers than were swapped.
    pub(super) fn differs(&self, packs: &[OpeningPack]) -> bool {
        self.differs || self.next != packs[self.pack].content.swapped.len()
    }
}
