//! The manifest: the first versions, and one more before each round, with new rates for rounds that nobody planned yet.

use annona_protocol::{
    fixture::{CASH as CASH_LINE, FOOD as FOOD_LINE, Fixture, LATE_LOT, LOT, next_version, round_keys, sign_header},
    ids::{LotId, Round},
    programme::{Constant, Form, Header, KeyEntry, LotTerms, ManifestError, Programme, Since, Start, TicketKind},
    voucher::RoundMaster,
};
use rand_chacha::ChaCha20Rng;

use crate::{
    model::{CASH, FOOD, INFANT, Lot, Model, Rate, VALUES},
    world::{LINES, World},
};

fn form(Rate(constant, members, infants): Rate) -> Form {
    let terms = [(0, members), (1, infants)].into_iter().filter(|(_, coefficient)| *coefficient != 0);
    Form { constant, terms: terms.collect() }
}

/// The programme of the fixture with other rates and values, three rounds planned, the first open.
pub(crate) fn programme(rng: &mut ChaCha20Rng) -> (Fixture, Model) {
    let base = Fixture::new(rng);
    let mut genesis = base.chain[0].header.clone();
    genesis.last_round = Round(3);
    let rates = [Rate(0, 1, 0), Rate(1, 0, 1), Rate(10, 6, 0)];
    for (at, line) in genesis.lines.iter_mut().enumerate() {
        line.accrual = vec![Since { round: Round(1), value: form(rates[at]) }];
        line.values = VALUES[at].to_vec();
    }
    let masters = vec![RoundMaster::generate(rng)];
    let keys = round_keys(&genesis, &masters[0], Round(1));
    let first = next_version(&genesis, &keys);
    let chain = [genesis, first].map(|header| sign_header(header, &base.officers)).to_vec();
    let mut programme = Programme::new(&chain, keys).expect("valid");
    programme.open_round(Round(1), chain[1].header.hash()).expect("planned");
    let late = Lot { drawn: 2, left: [Rate(0, 1, 0), Rate::default(), Rate(5, 3, 0)] };
    let model = Model {
        now: 1,
        rates: rates.map(|rate| vec![rate; 3]),
        lots: [(LOT.0, Lot::default()), (LATE_LOT.0, late)].into(),
        ..Model::default()
    };
    (Fixture { programme, chain, masters, ..base }, model)
}

impl World {
    /// Opens the next round: perhaps plans more of them first, always adds the new round's keys. Returns what was refused.
    pub(crate) fn advance(&mut self, rates: [Rate; 3], more: u32) -> &'static str {
        let round = self.model.now + 1;
        let planned = self.model.planned();
        let add = (round.saturating_sub(planned)).max(more);
        let latest = self.fixture.programme.latest().clone();
        self.rewrite_history(&latest);

        self.fixture.masters.push(RoundMaster::generate(&mut self.rng));
        let new_keys = round_keys(&latest, &self.fixture.masters[round as usize - 1], Round(round));
        let keys: Vec<KeyEntry> = self.fixture.programme.keys().iter().chain(&new_keys).copied().collect();
        let mut outcome = "opened";
        let planned_now = match self.model.may_plan(&vec![rates[CASH]; add as usize]) {
            Ok(()) => rates,
            Err(broken) => {
                // The version that plans too much is refused; one that plans no more cash is not.
                let error = broken.map_or(ManifestError::Form(CASH_LINE), |lot| ManifestError::Lot(LotId(lot)));
                assert_eq!(self.append(&latest, &keys, rates, add, None), Err(error), "amounts could leave the width");
                outcome = "opened after a refused plan";
                [rates[FOOD], rates[INFANT], Rate::default()]
            }
        };
        let lot = Lot { drawn: round, left: [Rate(2, 0, 0), Rate::default(), Rate(0, 1, 0)] };
        self.append(&latest, &keys, planned_now, add, Some((LotId(10 + round), lot))).expect("within the width");
        (0..3).for_each(|line| self.model.rates[line].extend(vec![planned_now[line]; add as usize]));
        self.model.lots.insert(10 + round, lot);
        let hash = self.fixture.chain.last().expect("appended").header.hash();
        self.fixture.programme.open_round(Round(round), hash).expect("planned");
        // Exactly one version is in force for a round.
        let other = self.fixture.chain[self.fixture.chain.len() - 2].header.hash();
        let reopened = self.fixture.programme.open_round(Round(round - 1), hash);
        assert_eq!(reopened, Err(ManifestError::InForce(Round(round - 1))));
        assert!(self.fixture.programme.open_round(Round(round), other).is_err());
        assert_eq!(self.fixture.view(round).hash, hash);

        self.model.advance();
        self.frozen = false;
        self.wallets.iter_mut().for_each(|wallet| wallet.swapped.clear());
        self.open_keys();
        outcome
    }

    /// Appends a version that plans `add` rounds more, with a new lot.
    fn append(
        &mut self,
        latest: &Header,
        keys: &[KeyEntry],
        rates: [Rate; 3],
        add: u32,
        lot: Option<(LotId, Lot)>,
    ) -> Result<(), ManifestError> {
        let mut header = next_version(latest, keys);
        header.last_round = Round(latest.last_round.0 + add);
        if add > 0 {
            for (line, rate) in header.lines.iter_mut().zip(rates) {
                line.accrual.push(Since { round: Round(latest.last_round.0 + 1), value: form(rate) });
            }
        }
        header.lots.extend(lot.map(|(id, Lot { drawn, left })| {
            let balances = vec![(FOOD_LINE, form(left[FOOD])), (CASH_LINE, form(left[CASH]))];
            LotTerms { id, kind: TicketKind::Enrol, start: Start { drawn: Round(drawn), balances } }
        }));
        let signed = sign_header(header, &self.fixture.officers);
        self.fixture.programme.append(&signed, &keys[latest.key_count as usize..])?;
        self.fixture.chain.push(signed);
        Ok(())
    }

    /// What accrues in a planned round cannot be changed any more.
    fn rewrite_history(&mut self, latest: &Header) {
        for (at, id) in LINES.iter().enumerate() {
            let mut header = next_version(latest, self.fixture.programme.keys());
            let last = header.lines[at].accrual.last_mut().expect("accrues");
            last.value.constant += 1;
            let signed = sign_header(header, &self.fixture.officers);
            let result = self.fixture.programme.append(&signed, &[]);
            let changed = ManifestError::Changed(Constant::Line(*id));
            // At the limit of the width the form is refused for its size before.
            let too_much = matches!(result, Err(ManifestError::Form(_) | ManifestError::Lot(_)));
            assert!(result == Err(changed) || too_much, "{result:?}");
        }
    }
}
