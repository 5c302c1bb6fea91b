//! The specification, written down a second time: transcripts and relations of 4.2 to 4.5, 5.5 and 7.2 built item by item from
//! the tables of `spec/protocol.md`, and held against what the library makes. Nothing of the library's transcript, relation or
//! statement code is used here; if the text and the code part, this fails.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha3::Digest as _;

use crate::{
    cohort::CohortSum,
    fixture::{CASH, FOOD, Fixture, INFANT, LOT, SITE},
    group::{Element, EncodedPoint, Point, Scalar},
    programme::{InForce, form::scalar_of},
    range,
    redeem::RedeemRequest,
    secret::SecretScalar,
    sigma::LinearProof,
    slip::{Place, QuoteTerms, Signed},
    wire::Message,
};

/// [3.2-M1] to [3.2-M3].
struct Transcript(blake3::Hasher);

impl Transcript {
    fn new(context: &str) -> Self {
        let mut transcript = Self(blake3::Hasher::new_derive_key(context));
        transcript.item("version", &[1]);
        transcript
    }

    fn item(&mut self, label: &str, bytes: &[u8]) {
        self.0.update(&[label.len() as u8]).update(label.as_bytes());
        self.0.update(&(bytes.len() as u32).to_le_bytes()).update(bytes);
    }

    fn items(&mut self, items: &[(&str, &[u8])]) {
        items.iter().for_each(|(label, bytes)| self.item(label, bytes));
    }

    fn number(&mut self, label: &str, value: u64) {
        self.item(label, &value.to_le_bytes());
    }

    fn challenge(&mut self, label: &str) -> [u8; 64] {
        self.item(label, &[]);
        let mut bytes = [0; 64];
        self.0.finalize_xof().fill(&mut bytes);
        bytes
    }

    fn scalar(&mut self, label: &str) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.challenge(label))
    }

    /// 3.5: terms are (coefficient, scalar, element), image terms (coefficient, element).
    fn linear(&mut self, elements: &[Element], equations: &[Equation], proof: &LinearProof) {
        let mut description = Vec::new();
        let count = |bytes: &mut Vec<u8>, value: usize| bytes.extend((value as u32).to_le_bytes());
        count(&mut description, proof.responses.len());
        count(&mut description, elements.len());
        elements.iter().for_each(|element| description.extend(element.compress().to_bytes()));
        count(&mut description, equations.len());
        for (terms, image) in equations {
            count(&mut description, terms.len());
            for (coefficient, scalar, element) in terms {
                count(&mut description, *scalar);
                count(&mut description, *element);
                description.extend(coefficient.to_bytes());
            }
            count(&mut description, image.len());
            for (coefficient, element) in image {
                count(&mut description, *element);
                description.extend(coefficient.to_bytes());
            }
        }
        self.item("relation", &description);
        proof.commitments.iter().for_each(|commitment| self.item("commitment", &commitment.0));
        let challenge = self.scalar("challenge");
        proof.responses.iter().for_each(|response| self.item("response", response.0.as_bytes()));
        assert_eq!(proof.commitments.len(), equations.len());
        for ((terms, image), commitment) in equations.iter().zip(&proof.commitments) {
            let left: Element = terms.iter().map(|(a, v, p)| elements[*p] * (a * proof.responses[*v].0)).sum();
            let right: Element = image.iter().map(|(b, p)| elements[*p] * b).sum();
            assert_eq!(EncodedPoint((left - right * challenge).compress().to_bytes()), *commitment);
        }
    }
}

type Equation = (Vec<(Scalar, usize, usize)>, Vec<(Scalar, usize)>);

const ONE: Scalar = Scalar::ONE;
/// The fixture's schema: two lapse lines, one carry line, two spares, two attributes.
const N: usize = 10;

fn integer(value: i128) -> Scalar {
    scalar_of(value)
}

fn wide(context: &str, parts: &[&[u8]]) -> [u8; 64] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut bytes = [0; 64];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn hash(context: &str, bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, bytes)
}

/// What everything below starts from.
struct Setting {
    fixture: Fixture,
    rng: ChaCha20Rng,
    programme: [u8; 32],
    schema: [u8; 32],
    g: Element,
    w: Point,
    h: Vec<Element>,
}

impl Setting {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let fixture = Fixture::new(&mut rng);
        let genesis = &fixture.chain[0].header;
        let programme = hash("annona v1 manifest", &genesis.encode());
        let schema = hash("annona v1 schema", &postcard::to_stdvec(&genesis.schema).unwrap());
        let h = (0..=N as u32)
            .map(|i| {
                let arity = (N as u32).to_le_bytes();
                let parts: [&[u8]; 4] = [&programme, &schema, &arity, &i.to_le_bytes()];
                Element::from_uniform_bytes(&wide("annona v1 generator", &parts))
            })
            .collect();
        let w = genesis.issuer_key;
        Self { fixture, rng, programme, schema, g: *Point::generator().element(), w, h }
    }

    fn bind_programme(&self, transcript: &mut Transcript) {
        transcript.items(&[("W", self.w.as_bytes()), ("schema", &self.schema)]);
        transcript.number("arity", N as u64);
    }

    fn enrol(&self, context: &str) -> Transcript {
        let mut transcript = Transcript::new(context);
        transcript.items(&[("operation", &[1]), ("programme", &self.programme)]);
        self.bind_programme(&mut transcript);
        transcript
    }

    fn manifest(&self, view: &InForce<'_>) -> [u8; 32] {
        hash("annona v1 manifest", &view.header.encode())
    }

    /// (1), (2) and, in a show, the equation between them.
    fn answer(
        &self,
        a: &Point,
        b: Element,
        e: &Scalar,
        shown: Option<(Element, Element)>,
    ) -> (Vec<Element>, Vec<Equation>) {
        let mut elements = vec![self.g, *self.w.element(), *a.element(), b];
        let mut equations: Vec<Equation> = vec![(vec![(ONE, 0, 0)], vec![(ONE, 1)])];
        if let Some((a_prime, a_bar)) = shown {
            elements.extend([a_prime, a_bar]);
            equations.push((vec![(ONE, 0, 4)], vec![(ONE, 5)]));
        }
        equations.push((vec![(ONE, 0, 2)], vec![(ONE, 3), (-e, 2)]));
        (elements, equations)
    }
}

/// 4.2.
#[test]
fn enrolment() {
    let mut setting = Setting::new();
    let (_, issued) = setting.fixture.enrol(LOT, 12, &[4, 1], &mut setting.rng);
    let leaf = &issued.leaf;
    let mut transcript = setting.enrol("annona v1 transcript enrol");
    let commitment = leaf.commitment.as_bytes();
    transcript.items(&[("ticket", &leaf.ticket.hash.0), ("slots", &leaf.slots.0), ("C", commitment)]);
    let elements = [setting.h[0], setting.h[1], *leaf.commitment.element()];
    transcript.linear(&elements, &[(vec![(ONE, 0, 0), (ONE, 1, 1)], vec![(ONE, 2)])], &leaf.opening);

    let mut transcript = setting.enrol("annona v1 transcript issue");
    transcript.item("ticket", &leaf.ticket.hash.0);
    transcript.number("lot", 1);
    transcript.number("expires", 12);
    transcript.items(&[
        ("C", commitment),
        ("B", leaf.b.as_bytes()),
        ("A", leaf.a.as_bytes()),
        ("e", leaf.e.0.as_bytes()),
    ]);
    let (elements, equations) = setting.answer(&leaf.a, *leaf.b.element(), &leaf.e.0, None);
    transcript.linear(&elements, &equations, &leaf.proof);
}

/// 4.3, 4.4, 6.4: two units of food (4 held), one of infant under its predicate, 11 of cash.
#[test]
fn draw() {
    let mut setting = Setting::new();
    let (credential, _) = setting.fixture.enrol(LOT, 12, &[4, 1], &mut setting.rng);
    let (credential, _) = setting.fixture.roll_over(1, &credential, &mut setting.rng);
    let keys = setting.fixture.keys(1, &[(FOOD, 2), (INFANT, 1), (CASH, 11)]);
    let (_, _, leaf) = setting.fixture.draw(1, &credential, keys.clone(), &mut setting.rng);
    let (record, show, view) = (&leaf.record, &leaf.record.show, setting.fixture.view(1));

    let mut statement = Vec::new();
    let form = |bytes: &mut Vec<u8>, constant: i128, terms: &[(u8, i128)]| {
        bytes.extend(constant.to_le_bytes());
        bytes.extend((terms.len() as u32).to_le_bytes());
        for (coordinate, coefficient) in terms {
            bytes.push(*coordinate);
            bytes.extend(coefficient.to_le_bytes());
        }
    };
    let change = |coordinate: usize| [0, 0, 0, 0, -2, -1, 11, 0, 0, 0, 0][coordinate];
    statement.extend((N as u32 - 1).to_le_bytes());
    (2..=N).for_each(|at| form(&mut statement, change(at), &[(at as u8, 1)]));
    statement.extend(4u32.to_le_bytes());
    form(&mut statement, -2, &[(4, 1)]);
    form(&mut statement, -1, &[(5, 1)]);
    form(&mut statement, -1, &[(10, 1)]);
    // E(m, 1) - debit - 11 with E = 10 + 6 * members.
    form(&mut statement, -1, &[(6, -1), (9, 6)]);

    let mut transcript = Transcript::new("annona v1 transcript show");
    transcript.items(&[("operation", &[3]), ("programme", &setting.programme), ("manifest", &setting.manifest(&view))]);
    transcript.number("now", 1);
    setting.bind_programme(&mut transcript);
    transcript.items(&[("statement", &statement), ("session", &leaf.session.0)]);
    transcript.number("key count", keys.len() as u64);
    for (at, count) in &keys {
        transcript.item("key", &postcard::to_stdvec(&view.key(*at).unwrap().id).unwrap());
        transcript.number("count", (*count).into());
    }
    transcript.items(&[("challenges", &leaf.challenges.0), ("ticket", &[0; 32]), ("slots", &record.slots.0)]);
    transcript.items(&[("A'", show.a_prime.as_bytes()), ("D", show.d.as_bytes()), ("Abar", show.a_bar.as_bytes())]);
    transcript.number("disclosed index", 1);
    transcript.item("disclosed value", show.serial.0.as_bytes());
    transcript.number("disclosed index", 3);
    transcript.item("disclosed value", integer(1).as_bytes());
    transcript.item("C*", show.commitment.as_bytes());
    transcript.number("width", 16);
    transcript.number("values", 4);
    transcript.number("padded", 4);
    let (range, seed) = (show.range.as_ref().unwrap(), transcript.challenge("range proof seed"));
    range::verify_by_crate(16, &show.values, range, &seed, &mut setting.rng).unwrap();
    show.values.iter().for_each(|value| transcript.item("V", value.as_bytes()));
    transcript.item("range proof", range.as_bytes());
    let f = transcript.scalar("fold");
    let f = [ONE, f, f * f, f * f * f];

    // Elements: G, H_0 .. H_n, A', D, Abar, C*, B_blind, V_1 .. V_4.
    let mut elements = vec![setting.g];
    elements.extend(&setting.h);
    elements.extend([show.a_prime, show.d, show.a_bar, show.commitment].map(|point| *point.element()));
    let blind: [u8; 64] = sha3::Sha3_512::digest(setting.g.compress().to_bytes()).into();
    elements.push(Element::from_uniform_bytes(&blind));
    elements.extend(show.values.iter().map(|value| *value.element()));
    let h = |i: usize| 1 + i;
    let [a_prime, d, a_bar, commitment, blind] = std::array::from_fn(|i| N + 2 + i);
    // Scalars: r1, e, r3, r, hidden m, r*, serial*, t.
    let hidden: Vec<usize> = (2..=N).filter(|coordinate| *coordinate != 3).collect();
    let m = |coordinate: usize| 4 + hidden.iter().position(|known| *known == coordinate).unwrap();
    let [r_new, serial_new, t] = std::array::from_fn(|i| 4 + hidden.len() + i);
    let first = (vec![(ONE, 0, d), (-ONE, 1, a_prime)], vec![(ONE, a_bar)]);
    let mut second = (vec![(ONE, 2, d), (-ONE, 3, h(0))], vec![(ONE, 0), (show.serial.0, h(1)), (integer(1), h(3))]);
    second.0.extend(hidden.iter().map(|coordinate| (-ONE, m(*coordinate), h(*coordinate))));
    let mut third = (
        vec![(ONE, 2, d), (ONE, r_new, h(0)), (-ONE, 3, h(0)), (ONE, serial_new, h(1))],
        vec![(ONE, commitment), (ONE, 0), (show.serial.0, h(1))],
    );
    third.1.extend([4, 5, 6].map(|coordinate| (-integer(change(coordinate)), h(coordinate))));
    let constant = f[0] * integer(-2) + f[1] * integer(-1) + f[2] * integer(-1) + f[3] * integer(-1);
    let mut fourth = (
        vec![(f[0], m(4), 0), (f[1], m(5), 0), (-f[3], m(6), 0), (f[3] * integer(6), m(9), 0), (f[2], m(10), 0)],
        vec![(-constant, 0)],
    );
    fourth.0.push((ONE, t, blind));
    fourth.1.extend((0..4).map(|j| (f[j], blind + 1 + j)));
    transcript.linear(&elements, &[first, second, third, fourth], &show.linear);
    let digest = transcript.challenge("show");

    let answers: Vec<u8> =
        leaf.answers.iter().flat_map(|answer| [answer.s.0, answer.y.0]).flat_map(|s| s.to_bytes()).collect();
    let b = setting.g + show.commitment.element();
    let mut transcript = Transcript::new("annona v1 transcript refresh");
    transcript.items(&[("show", &digest[..32]), ("M", &[]), ("C*", show.commitment.as_bytes())]);
    transcript.item("answers", &hash("annona v1 answers", &answers));
    transcript.items(&[("B", &b.compress().to_bytes()), ("A", record.a.as_bytes()), ("e", record.e.0.as_bytes())]);
    let shown = (*show.a_prime.element(), *show.a_bar.element());
    let (elements, equations) = setting.answer(&record.a, b, &record.e.0, Some(shown));
    transcript.linear(&elements, &equations, &record.proof);
}

/// 4.5: households of 4 and 6 members, with 1 and 0 children under two.
#[test]
fn cohort_opening() {
    let mut setting = Setting::new();
    let (_, one) = setting.fixture.enrol(LOT, 12, &[4, 1], &mut setting.rng);
    let (_, two) = setting.fixture.enrol(LOT, 12, &[6, 0], &mut setting.rng);
    let programme = &setting.fixture.programme;
    let mut sum = CohortSum::new(one.member.class(), programme.schema());
    sum.add(&one.member);
    sum.add(&two.member);
    let opening = sum.open(programme, 0, 9, &mut setting.rng).unwrap();
    assert_eq!(opening.forms.iter().map(|(_, sum)| *sum).collect::<Vec<_>>(), [10, 1]);
    let total: Element =
        [&one.leaf, &two.leaf].map(|leaf| leaf.b.element() - setting.g - leaf.commitment.element()).iter().sum();

    let mut transcript = Transcript::new("annona v1 transcript cohort");
    transcript.items(&[("programme", &setting.programme), ("manifest", &setting.manifest(&setting.fixture.view(1)))]);
    transcript.items(&[("W", setting.w.as_bytes()), ("schema", &setting.schema)]);
    transcript.item("class", &postcard::to_stdvec(&opening.class).unwrap());
    transcript.number("from", 0);
    transcript.number("to", 9);
    transcript.number("count", 2);
    transcript.item("disclosed", &postcard::to_stdvec(&(&opening.forms, &opening.states)).unwrap());
    transcript.item("sum of M", &total.compress().to_bytes());
    let mut elements = setting.h.clone();
    elements.extend([setting.g, total]);
    let (g, total) = (N + 1, N + 2);
    let mut first: Equation =
        (vec![(ONE, 0, 0), (ONE, 1, 9), (ONE, 2, 10)], vec![(ONE, total), (-integer(2 * 12), 2), (-integer(0), 3)]);
    first.1.extend((4..).zip(&opening.states).map(|(at, state)| (-integer((*state).into()), at)));
    let second = (vec![(ONE, 1, g)], vec![(integer(10), g)]);
    let third = (vec![(ONE, 2, g)], vec![(integer(1), g)]);
    transcript.linear(&elements, &[first, second, third], &opening.proof);
}

/// 5.5 and 7.2.
#[test]
fn redemption() {
    let mut setting = Setting::new();
    let (credential, _) = setting.fixture.enrol(LOT, 12, &[4, 1], &mut setting.rng);
    let (credential, _) = setting.fixture.roll_over(1, &credential, &mut setting.rng);
    let keys = setting.fixture.keys(1, &[(FOOD, 3), (CASH, 10)]);
    let (_, vouchers, _) = setting.fixture.draw(1, &credential, keys, &mut setting.rng);
    let view = setting.fixture.view(1);
    let terms = QuoteTerms { place: Place::new(&view, SITE), id: Default::default(), lines: vec![FOOD, CASH] };
    let quote = Signed::sign(terms, &setting.fixture.site_logs[0]);
    let spare = SecretScalar::random(&mut setting.rng);
    let shown: Vec<_> = vouchers.iter().collect();
    let request = RedeemRequest::new(&view, &quote, &shown, &spare, &mut setting.rng).unwrap();

    let mut transcript = Transcript::new("annona v1 transcript holder");
    transcript.items(&[("operation", &[0x11]), ("programme", &setting.programme)]);
    transcript.number("site", 1);
    transcript.number("round", 1);
    transcript.items(&[("manifest", &setting.manifest(&view)), ("quote", &[0; 16]), ("spare", &request.spare.0)]);
    for (line, units) in [(1, 3), (3, 10)] {
        transcript.number("line", line);
        transcript.number("units", units);
    }
    for voucher in &request.vouchers {
        let entry = view.key(voucher.key).unwrap();
        let x = entry.key.element();
        let y_point = x * voucher.y.0;
        let parts: [&[u8]; 4] = [entry.key.as_bytes(), &voucher.r.0, &y_point.compress().to_bytes(), &voucher.holder.0];
        let c = Scalar::from_bytes_mod_order_wide(&wide("annona v1 voucher challenge", &parts));
        assert_eq!((setting.g * voucher.s.0 - y_point * c).compress().to_bytes(), voucher.r.0);
        transcript.item("k", &postcard::to_stdvec(&entry.id).unwrap());
        transcript.items(&[("P", &voucher.holder.0), ("R'", &voucher.r.0)]);
        transcript.items(&[("s'", voucher.s.0.as_bytes()), ("y'", voucher.y.0.as_bytes())]);
    }
    let z = transcript.challenge("holders");
    transcript.item("T", &request.proof.commitment.0);
    let c = transcript.scalar("challenge");
    let holders: Element = (0u32..)
        .zip(&request.vouchers)
        .map(|(i, voucher)| {
            let weight = wide("annona v1 holder weight", &[&z, &i.to_le_bytes()]);
            voucher.holder.decode().unwrap().element() * Scalar::from_bytes_mod_order_wide(&weight)
        })
        .sum();
    let commitment = setting.g * request.proof.response.0 - holders * c;
    assert_eq!(commitment.compress().to_bytes(), request.proof.commitment.0);
}
