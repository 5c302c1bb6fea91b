use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;
use crate::{
    draw::{AmendContext, DrawContext, RollOverContext, SessionRequest},
    fixture::{AMEND_LOT, CASH, FOOD, Fixture, INFANT, LOT, SLOTTED},
    ids::Slot,
    programme::TicketKind,
    slots::Sealing,
    swap::SwapContext,
    ticket::TicketCode,
    wire::Message,
};

/// A message as the issuer keeps it, and what it brought its wallet.
struct Sent {
    round: Round,
    index: u32,
    slots: Slots,
    leaf: IssuerLeaf,
    answer: Vec<u8>,
    credential: Option<Credential>,
    vouchers: Vec<Voucher>,
}

struct Life {
    fixture: Fixture,
    keys: RecoveryKeys,
    rng: ChaCha20Rng,
    sent: Vec<Sent>,
}

fn keys(seed: u8, programme: ProgrammeId) -> RecoveryKeys {
    RecoveryKeys::new(SecretBytes::new([seed; 32]), programme)
}

impl Life {
    /// Enrols, rolls over, draws, swaps one voucher, and amends.
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let fixture = Fixture::new(&mut rng);
        let keys = keys(1, fixture.programme.id());
        let mut life = Self { fixture, keys, rng, sent: Vec::new() };
        life.enrol();
        life.roll_over();
        life.draw();
        life.swap();
        life.amend();
        life
    }

    fn last(&self) -> &Credential {
        self.sent.iter().rev().find_map(|sent| sent.credential.as_ref()).unwrap()
    }

    fn push(
        &mut self,
        round: u32,
        slots: Slots,
        leaf: IssuerLeaf,
        answer: Vec<u8>,
        credential: Option<Credential>,
        vouchers: Vec<Voucher>,
    ) {
        let index = self.sent.iter().filter(|sent| sent.round.0 == round).count() as u32;
        self.sent.push(Sent { round: Round(round), index, slots, leaf, answer, credential, vouchers });
    }

    fn enrol(&mut self) {
        let Self { fixture, keys, rng, .. } = self;
        let code = TicketCode::random(rng);
        let grant = fixture.grant(LOT, TicketKind::Enrol, &code, 12, &[4, 1]);
        let sealing = Sealing::Sealed { keys, index: 0 };
        let (context, request) = EnrolContext::new(&fixture.programme, TicketKind::Enrol, code, sealing, rng).unwrap();
        let slots = request.slots.clone();
        let verified = request.verify(&fixture.programme, rng).unwrap();
        let issued = verified.issue(&fixture.programme, &fixture.issuer, &grant, rng).unwrap();
        let credential = context.finish(&fixture.programme, &issued.response, rng).unwrap();
        self.push(0, slots, IssuerLeaf::Enrol(issued.leaf), issued.response.encode(), Some(credential), Vec::new());
    }

    fn roll_over(&mut self) {
        let old = self.last().duplicate();
        let Self { fixture, keys, rng, .. } = self;
        let view = fixture.view(1);
        let (context, request) = RollOverContext::new(&view, &old, Sealing::Sealed { keys, index: 0 }, rng).unwrap();
        let slots = request.slots.clone();
        let (response, record) =
            request.verify(&view, &fixture.issuer, rng).unwrap().answer(&fixture.issuer, rng).unwrap();
        let credential = context.finish(&view, &response, rng).unwrap();
        self.push(1, slots, IssuerLeaf::RollOver(record), Vec::new(), Some(credential), Vec::new());
    }

    fn draw(&mut self) {
        let old = self.last().duplicate();
        let Self { fixture, keys, rng, .. } = self;
        let view = fixture.view(1);
        let list = fixture.keys(1, &[(FOOD, 4), (INFANT, 1), (CASH, 30)]);
        let request = SessionRequest { round: Round(1), keys: list.clone() };
        let session = fixture.secrets(1).open(&view, &request, rng).unwrap();
        let sealing = Sealing::Sealed { keys, index: 1 };
        let (context, request) = DrawContext::new(&view, &old, list, session.offer(), sealing, rng).unwrap();
        let slots = request.slots.clone();
        let verified = request.verify(&view, &fixture.issuer, Some(&session), rng).unwrap();
        let (response, leaf) = verified.answer(&fixture.issuer, Some(session), rng).unwrap();
        let (credential, vouchers) = context.finish(&view, &response, rng).unwrap();
        self.push(1, slots, IssuerLeaf::Draw(leaf), Vec::new(), Some(credential), vouchers);
    }

    fn swap(&mut self) {
        let Self { fixture, keys, rng, sent } = self;
        let view = fixture.view(1);
        let old = &sent.last().unwrap().vouchers[0];
        let list = fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(FOOD, 4)]);
        let request = SessionRequest { round: Round(1), keys: list.clone() };
        let session = fixture.secrets(1).open(&view, &request, rng).unwrap();
        let sealing = Sealing::Sealed { keys, index: 2 };
        let (context, request) = SwapContext::new(&view, vec![old], list, session.offer(), sealing, rng).unwrap();
        let slots = request.slots.clone();
        let (response, leaf) = request.verify(&view, &session).unwrap().answer(session).unwrap();
        let vouchers = context.finish(&view, &response).unwrap();
        self.push(1, slots, IssuerLeaf::Swap(leaf), Vec::new(), None, vouchers);
    }

    fn amend(&mut self) {
        let old = self.last().duplicate();
        let Self { fixture, keys, rng, .. } = self;
        let view = fixture.view(1);
        let code = TicketCode::random(rng);
        let grant = fixture.grant(AMEND_LOT, TicketKind::Amend, &code, 12, &[6, 2]);
        let (context, request) = AmendContext::new(&view, &old, code, Sealing::Sealed { keys, index: 3 }, rng).unwrap();
        let slots = request.slots.clone();
        let verified = request.verify(&view, &fixture.issuer, rng).unwrap();
        let issued = verified.answer(&view, &fixture.issuer, &grant, rng).unwrap();
        let credential = context.finish(&view, &issued.response, rng).unwrap();
        self.push(1, slots, IssuerLeaf::Amend(issued.leaf), issued.response.encode(), Some(credential), Vec::new());
    }

    fn credential(&self, keys: &RecoveryKeys, sent: &Sent) -> Option<Result<Credential, RecoveryError>> {
        let sealed = keys.open_credential(sent.round, sent.index, &sent.slots.credential.ciphertext)?;
        Some(sealed.complete(&self.fixture.programme, &sent.leaf, &sent.answer, &mut self.rng.clone()))
    }

    fn vouchers(&self, keys: &RecoveryKeys, sent: &Sent) -> Option<Result<Vec<Voucher>, RecoveryError>> {
        let sealed = keys.open_vouchers(sent.round, sent.index, &sent.slots.vouchers.ciphertext)?;
        Some(sealed.complete(&self.fixture.programme, &sent.leaf, &mut self.rng.clone()))
    }
}

fn encoded<M: Message>(messages: &[M]) -> Vec<Zeroizing<Vec<u8>>> {
    messages.iter().map(Message::encode_secret).collect()
}

/// From words, slots and log alone: the very credentials and vouchers that each message brought.
#[test]
fn a_restore_brings_back_what_each_message_brought() {
    let life = Life::new();
    for sent in &life.sent {
        let kept = life.credential(&life.keys, sent).map(|credential| credential.unwrap().encode_secret());
        assert_eq!(kept, sent.credential.as_ref().map(Message::encode_secret), "{:?}", sent.leaf);
        let vouchers = life.vouchers(&life.keys, sent).unwrap().unwrap();
        assert_eq!(encoded(&vouchers), encoded(&sent.vouchers));
    }
    let [_, _, draw, swap, amend] = &life.sent[..] else { panic!() };
    assert!(swapped(&swap.leaf).eq([draw.vouchers[0].shown().mark()]));
    assert!(draw.credential.as_ref().unwrap().has_serial(&serial_spent(&amend.leaf).unwrap()));
    assert!(!amend.credential.as_ref().unwrap().has_serial(&serial_spent(&amend.leaf).unwrap()));
}

/// Ids and keys differ by seed, programme, kind, round and index; nothing opens with another's.
#[test]
fn a_slot_opens_with_its_own_key_only() {
    let life = Life::new();
    let programme = life.fixture.programme.id();
    let (other_seed, other_programme) = (keys(2, programme), keys(1, ProgrammeId([7; 32])));
    let mut ids = std::collections::BTreeSet::new();
    for keys in [&life.keys, &other_seed, &other_programme] {
        for kind in [SlotKind::Vouchers, SlotKind::Credential] {
            for (round, index) in [(0, 0), (0, 1), (1, 0), (256, 0), (1, 256)] {
                assert!(ids.insert(keys.id(kind, Round(round), index)));
            }
        }
    }
    for sent in &life.sent {
        let Sent { round, index, slots, .. } = sent;
        let (credential, vouchers) = (&slots.credential.ciphertext, &slots.vouchers.ciphertext);
        assert_eq!(slots.credential.id, life.keys.id(SlotKind::Credential, *round, *index));
        for keys in [&other_seed, &other_programme] {
            assert!(keys.open_credential(*round, *index, credential).is_none());
            assert!(keys.open_vouchers(*round, *index, vouchers).is_none());
        }
        assert!(life.keys.open_credential(*round, *index, vouchers).is_none(), "the other kind");
        assert!(life.keys.open_vouchers(*round, *index, credential).is_none(), "the other kind");
        assert!(life.keys.open_vouchers(*round, index + 1, vouchers).is_none());
        for at in [0, 23, 24, vouchers.len() / 2, vouchers.len() - 1] {
            let mut flipped = vouchers.clone();
            flipped[at] ^= 1;
            assert!(life.keys.open_vouchers(*round, *index, &flipped).is_none(), "byte {at}");
        }
        for length in [0, 23, 24, 39, 40, vouchers.len() - 1] {
            assert!(life.keys.open_vouchers(*round, *index, &vouchers[..length]).is_none(), "{length} bytes");
        }
    }
}

/// P6: another message's leaf, another's answer, or a leaf whose proof does not hold bring nothing.
#[test]
fn a_leaf_that_is_not_the_message_s_own_brings_nothing() {
    let life = Life::new();
    for at in 0..life.sent.len() {
        for other in 0..life.sent.len() {
            if at == other {
                continue;
            }
            let (own, other) = (&life.sent[at], &life.sent[other]);
            let mixed = |own: &Sent| Sent {
                round: own.round,
                index: own.index,
                slots: own.slots.clone(),
                leaf: other.leaf.clone(),
                answer: other.answer.clone(),
                credential: None,
                vouchers: Vec::new(),
            };
            assert!(life.credential(&life.keys, &mixed(own)).is_none_or(|got| got.is_err()), "{:?}", other.leaf);
            let vouchers = life.vouchers(&life.keys, &mixed(own)).unwrap();
            assert!(vouchers.is_err() || vouchers.unwrap().is_empty());
        }
    }
    let [enrol, roll_over, draw, _, amend] = &life.sent[..] else { panic!() };
    // An enrolment's and an amend's answer are checked against what the log commits to.
    for sent in [enrol, amend] {
        for at in 0..sent.answer.len() {
            let mut answer = sent.answer.clone();
            answer[at] ^= 4;
            let leaf = sent.leaf.clone();
            let slots = sent.slots.clone();
            let forged = Sent { answer, leaf, slots, credential: None, vouchers: Vec::new(), ..*sent };
            let got = life.credential(&life.keys, &forged).unwrap();
            // What the answer repeats of the leaf is not used in an amend.
            assert!(got.is_err() || got.unwrap().encode_secret() == sent.credential.as_ref().unwrap().encode_secret());
        }
    }
    // A tag: the issuer's key for one household.
    for sent in [roll_over, draw] {
        let mut leaf = sent.leaf.clone();
        let record = match &mut leaf {
            IssuerLeaf::RollOver(record) => record,
            IssuerLeaf::Draw(leaf) => &mut leaf.record,
            _ => panic!(),
        };
        record.e.0 += Scalar::ONE;
        let forged = Sent {
            leaf,
            slots: sent.slots.clone(),
            answer: Vec::new(),
            credential: None,
            vouchers: Vec::new(),
            ..*sent
        };
        assert_eq!(life.credential(&life.keys, &forged).unwrap().unwrap_err(), RecoveryError::Invalid);
    }
    let mut leaf = draw.leaf.clone();
    if let IssuerLeaf::Draw(leaf) = &mut leaf {
        leaf.answers.swap(0, 1);
    }
    let forged =
        Sent { leaf, slots: draw.slots.clone(), answer: Vec::new(), credential: None, vouchers: Vec::new(), ..*draw };
    assert_eq!(life.vouchers(&life.keys, &forged).unwrap().unwrap_err(), RecoveryError::Invalid);
    assert_eq!(life.credential(&life.keys, &forged).unwrap().unwrap_err(), RecoveryError::Invalid);
}

/// [10.1-M2]: with and without words the two slots have the same lengths, which the number of vouchers decides.
#[test]
fn having_words_does_not_show() {
    let life = Life::new();
    let arity = life.fixture.programme.parameters().arity();
    for sent in &life.sent {
        let length = ciphertext_bytes(arity, sent.vouchers.len());
        assert_eq!(sent.slots.credential.ciphertext.len(), length);
        assert_eq!(sent.slots.vouchers.ciphertext.len(), length);
        assert!(sent.slots.is_well_formed());
    }
    let (view, mut rng) = (life.fixture.view(1), life.rng.clone());
    let fresh = life.sent[0].credential.as_ref().unwrap();
    let (_, request) = RollOverContext::new(&view, fresh, Sealing::Random, &mut rng).unwrap();
    assert_eq!(request.slots.vouchers.ciphertext.len(), life.sent[1].slots.vouchers.ciphertext.len());
    assert_eq!(request.slots.credential.ciphertext.len(), life.sent[1].slots.credential.ciphertext.len());
}

/// The largest contents that there can be have room.
#[test]
fn the_largest_contents_fit() {
    let (mask, arity) = (SecretBytes::new([255; 32]), u8::MAX);
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let random = |rng: &mut ChaCha20Rng| SecretScalar::random(rng);
    let unsigned = Unsigned { r: random(&mut rng), serial: random(&mut rng), values: vec![i64::MIN; 254] };
    let r_primes = vec![EncodedPoint([255; 32]); crate::programme::MAX_VOUCHERS];
    let vouchers = Some((&mask, r_primes.clone()));
    let contents = Contents { arity, mask: Some(&mask), unsigned: Some(&unsigned), vouchers };
    let keys = keys(1, ProgrammeId::default());
    let slots = keys.seal(Round(u32::MAX), 0, &contents, &mut rng);
    assert!(slots.is_well_formed());
    let opened = keys.open_credential(Round(u32::MAX), 0, &slots.credential.ciphertext).unwrap();
    assert_eq!(opened.unsigned.values, unsigned.values);
    assert_eq!(keys.open_vouchers(Round(u32::MAX), 0, &slots.vouchers.ciphertext).unwrap().r_primes, r_primes);
    let smallest = Contents { arity: 5, mask: Some(&mask), unsigned: None, vouchers: None };
    assert!(keys.seal(Round(1), 0, &smallest, &mut rng).is_well_formed());
}
