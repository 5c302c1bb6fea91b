//! Show with update: every bound item and every equation (spec 4.3), by mutation and by forgery.

use super::{
    balances, draw_request, each_fails,
    forger::{Forger, Verdict},
    mutations, other_point, proof_mutations, shifted, world,
};
use crate::{
    credential::{Binding, Parameters, Show, bind_points, fold},
    draw::DrawRequest,
    fixture::{CASH, FOOD, INFANT, SITE, SLOTTED},
    group::{Accumulator, Point, PublicScalar, Scalar},
    ids::{Digest, ManifestHash, ProgrammeId, Round, SessionId, Slot, TicketHash},
    programme::{Header, InForce, KeyCounts, KeyEntry, Programme, form::Affine, statement::Statement},
    registry::operation,
    secret::Weights,
    voucher::{Commitment, challenges_digest},
};

/// A show with everything that its verifier takes, all of it open to mutation.
#[derive(Clone, Debug, PartialEq)]
struct Case {
    show: Show,
    statement: Statement,
    operation: u8,
    session: SessionId,
    keys: KeyCounts,
    entries: Vec<KeyEntry>,
    commitments: Vec<Commitment>,
    challenges: Vec<PublicScalar>,
    ticket: TicketHash,
    slots: Digest,
    manifest: ManifestHash,
    round: Round,
    header: Header,
    programme: ProgrammeId,
    schema_digest: [u8; 32],
    generators: Vec<Point>,
}

impl Case {
    /// The draw of food, infant and cash: four range-proven values.
    fn draw() -> Self {
        let world = world();
        let (view, keys) = (world.view(), world.fixture.keys(1, &[(FOOD, 3), (INFANT, 1), (CASH, 30)]));
        let (_, request, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
        let DrawRequest { session: id, keys, challenges, show, slots, .. } = request;
        let parameters = view.programme.parameters();
        Self {
            statement: Statement::draw(&view, &view.units(&keys).unwrap()).unwrap(),
            operation: operation::DRAW,
            session: id,
            entries: view.expand(&keys).unwrap(),
            keys,
            commitments: session.offer().commitments.clone(),
            challenges,
            ticket: TicketHash([0; 32]),
            slots: slots.digest(),
            manifest: view.hash,
            round: view.round,
            header: view.header.clone(),
            programme: view.programme.id(),
            schema_digest: *parameters.schema_digest(),
            generators: (0..=parameters.arity()).map(|at| *parameters.h(at)).collect(),
            show,
        }
    }

    fn binding(&self) -> Binding<'_> {
        Binding {
            operation: self.operation,
            session: self.session,
            keys: &self.keys,
            challenges: challenges_digest(&self.entries, &self.commitments, &self.challenges),
            ticket: self.ticket,
            slots: self.slots,
        }
    }

    fn programme(&self) -> Programme {
        let parameters = Parameters::from_raw(self.schema_digest, self.generators.clone());
        world().programme().tampered(self.programme, self.header.issuer_key, parameters)
    }

    fn view<'a>(&'a self, programme: &'a Programme) -> InForce<'a> {
        InForce { programme, header: &self.header, hash: self.manifest, round: self.round }
    }

    fn passes(&self) -> bool {
        let programme = self.programme();
        balances(|weights, accumulator| {
            let view = self.view(&programme);
            self.show.accumulate(&view, &self.statement, &self.binding(), weights, accumulator).map(drop)
        })
    }
}

/// Every item of the statement that a show binds, one by one (spec 4.3): other than shown, it fails.
#[test]
fn every_item_of_the_statement_is_bound() {
    let case = Case::draw();
    let last = case.challenges.len() - 1;
    let more = |form: &Affine| form.clone().plus_constant(1);
    each_fails(
        &case,
        Case::passes,
        mutations![Case;
            "operation" => |case| case.operation = operation::AMEND,
            "programme" => |case| case.programme.0[0] ^= 1,
            "manifest" => |case| case.manifest.0[31] ^= 1,
            "now" => |case| case.round.0 += 1,
            "W" => |case| case.header.issuer_key = other_point(),
            "schema" => |case| case.schema_digest[0] ^= 1,
            "arity" => |case| { case.generators.push(other_point()); case.statement.update.push(Affine::coordinate(11)) },
            "generator of the blinding" => |case| case.generators[0] = other_point(),
            "generator of the serial" => |case| case.generators[1] = other_point(),
            "generator of an attribute" => |case| case.generators[9] = other_point(),
            "width" => |case| case.header.schema.width = 32,
            "update, constant" => |case| case.statement.update[2] = more(&case.statement.update[2]),
            "update, coefficient" => |case| {
                case.statement.update[4] = case.statement.update[4].clone().plus(&Affine::coordinate(9))
            },
            "update of a spare" => |case| case.statement.update[5] = Affine::default(),
            "update of an attribute" => |case| case.statement.update[7] = more(&case.statement.update[7]),
            "range-proven form, first" => |case| case.statement.nonnegative[0] = more(&case.statement.nonnegative[0]),
            "range-proven form, last" => |case| case.statement.nonnegative[3] = more(&case.statement.nonnegative[3]),
            "range-proven forms swapped" => |case| case.statement.nonnegative.swap(0, 1),
            "range-proven form missing" => |case| case.statement.nonnegative.pop(),
            "range-proven form more" => |case| case.statement.nonnegative.push(Affine::default()),
            "disclosed value" => |case| case.statement.disclosed[0].1 += 1,
            "disclosed index" => |case| case.statement.disclosed[0].0 += 1,
            "disclosed more" => |case| case.statement.disclosed.push((9, 4)),
            "disclosed less" => |case| case.statement.disclosed.clear(),
            "session" => |case| case.session.0[15] ^= 1,
            "key, first" => |case| case.keys[0].0 = super::key_at(&world().fixture, FOOD, 1, 1, SLOTTED, Some(Slot(0))),
            "key, last" => |case| case.keys.last_mut().unwrap().0 = super::key_at(&world().fixture, CASH, 1, 2, SITE, None),
            "count, first" => |case| case.keys[0].1 += 1,
            "count, last" => |case| case.keys.last_mut().unwrap().1 += 1,
            "keys swapped" => |case| case.keys.swap(0, 1),
            "key missing" => |case| case.keys.pop(),
            "ticket" => |case| case.ticket.0[0] ^= 1,
            "slots" => |case| case.slots.0[0] ^= 1,
        ],
    );
    // Each of X, R, Y, c of the first and the last voucher.
    for at in [0, last] {
        each_fails(
            &case,
            Case::passes,
            mutations![Case;
                "X" => |case| case.entries[at].key = other_point(),
                "R" => |case| case.commitments[at].r = other_point(),
                "Y" => |case| case.commitments[at].y = other_point(),
                "c" => |case| case.challenges[at].0 += Scalar::ONE,
            ],
        );
    }
    each_fails(&case, Case::passes, mutations![Case; "challenges swapped" => |case| case.challenges.swap(0, last)]);
}

/// Everything is absorbed before the first challenge that depends on it: the seed of the range proof, or the folding
/// challenge. A `D` or a `V` that could still be chosen after the folding challenge would make equation (4) worthless.
#[test]
fn every_item_precedes_the_challenges() {
    let case = Case::draw();
    let challenges = |case: &Case| {
        let programme = case.programme();
        let view = case.view(&programme);
        let mut transcript = case.binding().transcript(&view, &case.statement).unwrap();
        bind_points(&mut transcript, &case.statement, &case.show.points(), case.header.schema.width);
        let seed = transcript.clone().challenge_bytes("range proof seed");
        (seed, fold(&mut transcript, &case.show.values, case.show.range.as_ref().unwrap())[1])
    };
    let (seed, power) = challenges(&case);
    each_fails(
        &case,
        |case| challenges(case).0 == seed,
        mutations![Case;
            "operation" => |case| case.operation = operation::AMEND,
            "programme" => |case| case.programme.0[0] ^= 1,
            "manifest" => |case| case.manifest.0[31] ^= 1,
            "now" => |case| case.round.0 += 1,
            "W" => |case| case.header.issuer_key = other_point(),
            "schema" => |case| case.schema_digest[0] ^= 1,
            "arity" => |case| case.generators.push(other_point()),
            "update" => |case| case.statement.update[7] = Affine::default(),
            "range-proven form" => |case| case.statement.nonnegative[3] = Affine::default(),
            "session" => |case| case.session.0[15] ^= 1,
            "key" => |case| case.keys[0].0.0 += 1,
            "count" => |case| case.keys[0].1 += 1,
            "challenge" => |case| case.challenges[0].0 += Scalar::ONE,
            "ticket" => |case| case.ticket.0[0] ^= 1,
            "slots" => |case| case.slots.0[0] ^= 1,
            "A'" => |case| case.show.a_prime = other_point(),
            "D" => |case| case.show.d = other_point(),
            "Abar" => |case| case.show.a_bar = other_point(),
            "serial" => |case| case.show.serial.0 += Scalar::ONE,
            "disclosed index" => |case| case.statement.disclosed[0].0 += 1,
            "disclosed value" => |case| case.statement.disclosed[0].1 += 1,
            "C*" => |case| case.show.commitment = other_point(),
            "width" => |case| case.header.schema.width = 32,
        ],
    );
    each_fails(
        &case,
        |case| challenges(case).1 == power,
        mutations![Case;
            "D" => |case| case.show.d = other_point(),
            "first V" => |case| case.show.values[0] = other_point(),
            "last V" => |case| case.show.values[3] = other_point(),
            "V missing" => |case| case.show.values.pop(),
            "range proof" => |case| case.show.range.as_mut().unwrap().0[0] ^= 1,
        ],
    );
}

/// The digest that the issuer's answer binds is that of the whole show, the proofs' own bytes included.
#[test]
fn the_digest_covers_the_whole_show() {
    let case = Case::draw();
    let digest = |case: &Case| {
        let programme = case.programme();
        let (mut weights, mut accumulator) = (Weights::new(&mut super::rng(1)), Accumulator::new());
        let view = case.view(&programme);
        let shown = case.show.accumulate(&view, &case.statement, &case.binding(), &mut weights, &mut accumulator);
        shown.unwrap().digest
    };
    let honest = digest(&case);
    let (commitments, responses) = (case.show.linear.commitments.len(), case.show.linear.responses.len());
    for at in 0..commitments {
        each_fails(
            &case,
            |case| digest(case) == honest,
            mutations![Case; "commitment" => |case| case.show.linear.commitments[at] = other_point().into()],
        );
    }
    for at in 0..responses {
        each_fails(
            &case,
            |case| digest(case) == honest,
            mutations![Case; "response" => |case| case.show.linear.responses[at].0 += Scalar::ONE],
        );
    }
    each_fails(
        &case,
        |case| digest(case) == honest,
        mutations![Case;
            "serial" => |case| case.show.serial.0 += Scalar::ONE,
            "A'" => |case| case.show.a_prime = other_point(),
            "D" => |case| case.show.d = other_point(),
            "Abar" => |case| case.show.a_bar = other_point(),
            "C*" => |case| case.show.commitment = other_point(),
            "V" => |case| case.show.values[3] = other_point(),
            // The word t_x: a scalar below the group order stays one.
            "range proof" => |case| case.show.range.as_mut().unwrap().0[4 * 32] ^= 1,
            "slots" => |case| case.slots.0[0] ^= 1,
        ],
    );
}

/// Every field of the show itself.
#[test]
fn every_field_of_a_show_counts() {
    let case = Case::draw();
    each_fails(
        &case,
        Case::passes,
        mutations![Case;
            "serial" => |case| case.show.serial.0 += Scalar::ONE,
            "A'" => |case| case.show.a_prime = shifted(case.show.a_prime),
            "D" => |case| case.show.d = shifted(case.show.d),
            "Abar" => |case| case.show.a_bar = shifted(case.show.a_bar),
            "C*" => |case| case.show.commitment = shifted(case.show.commitment),
            "A' and Abar scaled" => |case| {
                let double = |point: Point| Point::encode(point.element() + point.element()).unwrap();
                (case.show.a_prime, case.show.a_bar) = (double(case.show.a_prime), double(case.show.a_bar))
            },
            "V swapped" => |case| case.show.values.swap(0, 1),
            "V missing" => |case| case.show.values.pop(),
            "V more" => |case| case.show.values.push(other_point()),
            "range proof absent" => |case| case.show.range = None,
            "values and range proof absent" => |case| { case.show.range = None; case.show.values.clear() },
            "range proof cut" => |case| case.show.range.as_mut().unwrap().0.pop(),
            "range proof extended" => |case| case.show.range.as_mut().unwrap().0.extend([0; 32]),
        ],
    );
    for at in 0..case.show.values.len() {
        each_fails(
            &case,
            Case::passes,
            mutations![Case;
                "V" => |case| case.show.values[at] = shifted(case.show.values[at]),
                "V of another" => |case| case.show.values[at] = other_point(),
            ],
        );
    }
    // Every word of the range proof.
    for at in (0..case.show.range.as_ref().unwrap().0.len()).step_by(32) {
        let name = format!("range proof byte {at}");
        each_fails(
            &case,
            Case::passes,
            mutations![Case; &*name => |case| case.show.range.as_mut().unwrap().0[at] ^= 1],
        );
    }
    each_fails(&case, Case::passes, proof_mutations(&case.show.linear, |case: &mut Case| &mut case.show.linear));
}

/// A name, what the liar changes in the draft, what is added to `t`, and the one check of (1), (2), (3), (4), range that breaks.
type Forgery = (&'static str, fn(&mut Forger<'_>), Scalar, usize);

/// A liar who redoes Fiat-Shamir, with one equation false and all others true: each equation counts, and so does the range
/// proof. The first two are the ways to draw more than one has.
#[test]
fn every_equation_of_a_show_counts() {
    let case = Case::draw();
    let (programme, world) = (case.programme(), world());
    let draft = |seed| Forger::new(case.view(&programme), &world.rolled, &case.statement, case.binding(), seed);
    let honest = draft(1);
    let show = honest.show(Scalar::ZERO);
    assert_eq!(honest.verdict(&show), Verdict { equations: vec![true; 4], range: true });
    assert!(honest.proves(&show));
    let verify = |show: &Show| {
        let view = case.view(&programme);
        show.verify(&view, &case.statement, &case.binding(), &world.fixture.issuer, &mut super::rng(1)).is_ok()
    };
    assert!(verify(&show), "the forger's honest draft is a valid show");

    let forgeries: [Forgery; 9] = [
        ("a larger balance is range-proven", |draft| draft.claimed[0] += 5, Scalar::ZERO, 3),
        (
            "the true balance is committed, another range-proven",
            |draft| {
                let values = draft.values.clone();
                draft.claimed[0] = 7;
                draft.commitments =
                    Some(values.iter().enumerate().map(|(at, value)| draft.commit(at, *value)).collect());
            },
            Scalar::ZERO,
            4,
        ),
        ("Abar", |draft| draft.points.a_bar = shifted(draft.points.a_bar), Scalar::ZERO, 0),
        ("r1", |draft| draft.witness[0] += Scalar::ONE, Scalar::ZERO, 0),
        ("e", |draft| draft.witness[1] += Scalar::ONE, Scalar::ZERO, 0),
        (
            "r, and r* to match",
            |draft| {
                draft.witness[3] += Scalar::ONE;
                let r_new = draft.witness.len() - 2;
                draft.witness[r_new] += Scalar::ONE;
            },
            Scalar::ZERO,
            1,
        ),
        ("C*", |draft| draft.points.commitment = shifted(draft.points.commitment), Scalar::ZERO, 2),
        ("serial*", |draft| *draft.witness.last_mut().unwrap() += Scalar::ONE, Scalar::ZERO, 2),
        ("t", |_| {}, Scalar::ONE, 3),
    ];
    for (name, tamper, extra, broken) in forgeries {
        let mut draft = draft(2);
        tamper(&mut draft);
        let show = draft.show(extra);
        let Verdict { mut equations, range } = draft.verdict(&show);
        equations.push(range);
        assert_eq!(equations, (0..5).map(|at| at != broken).collect::<Vec<_>>(), "{name}");
        assert!(!draft.proves(&show) && !verify(&show), "{name}");
    }
}

/// What a liar with a true credential would want: more food than there is, another family, an own new balance.
#[test]
fn wishes_are_refused() {
    let world = world();
    let view = world.view();
    let keys = world.fixture.keys(1, &[(FOOD, 5)]);
    let statement = Statement::draw(&view, &view.units(&keys).unwrap()).unwrap();
    let binding = Binding { keys: &keys, ..bare_binding() };
    // Four members: five units leave -1. Range-proven as itself it has no proof; as anything else it is not itself.
    let mut draft = Forger::new(view, &world.rolled, &statement, binding, 3);
    assert_eq!(draft.values, [-1]);
    assert!(!draft.proves(&draft.show(Scalar::ZERO)), "zero instead of -1");
    draft.commitments = Some(vec![draft.commit(0, -1)]);
    let show = draft.show(Scalar::ZERO);
    assert_eq!(draft.verdict(&show), Verdict { equations: vec![true; 4], range: false });
    assert!(!draft.proves(&show), "-1 as it is");
    // The same value modulo the group order, as the scalar that it is.
    assert_eq!(crate::programme::form::scalar_of(-1), -Scalar::ONE);

    // A new credential that keeps the old balance, or has one more member.
    let keys = world.fixture.keys(1, &[(FOOD, 4)]);
    let statement = Statement::draw(&view, &view.units(&keys).unwrap()).unwrap();
    let binding = Binding { keys: &keys, ..bare_binding() };
    let honest = Forger::new(view, &world.rolled, &statement, binding, 4);
    assert!(honest.proves(&honest.show(Scalar::ZERO)));
    let schema = &view.header.schema;
    for (at, more) in
        [(schema.state(0), 4u64), (schema.state(2), 1), (schema.state(4), 1), (schema.attribute(0), 1), (2, 9)]
    {
        let mut draft = Forger::new(view, &world.rolled, &statement, binding, 4);
        let wished = draft.points.commitment.element() + programme_generator(at) * Scalar::from(more);
        draft.points.commitment = Point::encode(wished).unwrap();
        let show = draft.show(Scalar::ZERO);
        assert_eq!(draft.verdict(&show), Verdict { equations: vec![true, true, false, true], range: true });
        assert!(!draft.proves(&show), "coordinate {at}");
    }
}

fn programme_generator(at: u8) -> crate::group::Element {
    *world().programme().parameters().h(at).element()
}

fn bare_binding() -> Binding<'static> {
    Binding {
        operation: operation::DRAW,
        session: SessionId([7; 16]),
        keys: &[],
        challenges: Digest([0; 32]),
        ticket: TicketHash([0; 32]),
        slots: Digest([0; 32]),
    }
}

/// The version is the first item of every transcript.
#[test]
fn the_version_is_bound() {
    let digest = |version: u8| {
        let mut hasher = blake3::Hasher::new_derive_key(crate::registry::TRANSCRIPT_SHOW);
        hasher.update(b"\x07version\x01\0\0\0").update(&[version]).update(b"\x04show\0\0\0\0");
        *hasher.finalize().as_bytes()
    };
    let ours = crate::transcript::Transcript::new(crate::registry::TRANSCRIPT_SHOW).digest("show");
    assert_eq!(ours, digest(crate::registry::VERSION));
    assert_ne!(ours, digest(crate::registry::VERSION + 1));
}
