//! The bugs of others, each by name: found in running systems of this kind, and tried against ours.
//!
//! Two of the eight are not this library's to make: `bug_of_others_5_omissions_pass` belongs to the audit of whole logs, and
//! `bug_of_others_7_check_then_insert` to the node's store.

use std::{fs, path::Path};

use super::{
    Mutation, balances, draw_request, each_fails, fresh_seed, holder_secret, mint, mutations, open, other_encoded,
    other_point, quote, rng, shifted, world,
};
use crate::{
    credential::{Credential, Parameters},
    draw::{AmendContext, DrawError, DrawRequest, RollOverContext},
    fixture::{CASH, FOOD, Fixture, SITE, next_version, sign_header},
    group::{EncodedPoint, Point, PublicScalar, Scalar},
    ids::{KeyIndex, Round, Slot},
    log::leaf::{DrawLeaf, EnrolLeaf, SwapLeaf},
    programme::{Attribute, Constant, Header, InForce, KeyId, ManifestError, Programme},
    redeem::{Counter, QuoteError, RedeemRequest},
    sigma::{LinearProof, Relation},
    slip::{RefusalCode, Signed},
    slots::Slots,
    swap::SwapContext,
    ticket::TicketCode,
    transcript::Transcript,
    voucher::{
        Answer, Commitment, HolderProof, LoggedVoucher, Mark, SessionOffer, ShownVoucher, Voucher, accumulate, blind,
        unblind, verify,
    },
};

/// Bug 1: A tag and a commitment were missing from the challenge: one credential collected five times in one epoch. Here one proof
/// is sent with five other serials, five other new commitments, and five other blindings of its points.
#[test]
fn bug_of_others_1_weak_fiat_shamir() {
    let (world, view) = (world(), world().view());
    let keys = world.fixture.keys(1, &[(FOOD, 1)]);
    let (_, honest, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
    let collects = |request: &DrawRequest| {
        request.clone().verify(&view, &world.fixture.issuer, Some(&session), &mut rng(1)).is_ok()
    };
    for times in (1..=5u64).map(Scalar::from) {
        let more = |point: &Point| Point::encode(point.element() + other_point().element() * times).unwrap();
        let scaled = |point: &Point| Point::encode(point.element() * (times + Scalar::ONE)).unwrap();
        each_fails(
            &honest,
            collects,
            mutations![DrawRequest;
                "serial" => |request| request.show.serial.0 += times,
                "C*" => |request| request.show.commitment = more(&request.show.commitment),
                "V" => |request| request.show.values[0] = more(&request.show.values[0]),
                "A' and Abar" => |request| {
                    let show = &mut request.show;
                    (show.a_prime, show.a_bar) = (scaled(&show.a_prime), scaled(&show.a_bar))
                },
                "all points" => |request| {
                    let show = &mut request.show;
                    (show.a_prime, show.d, show.a_bar) = (scaled(&show.a_prime), scaled(&show.d), scaled(&show.a_bar))
                },
                "challenge" => |request| request.challenges[0].0 += times,
                "slots" => |request| request.slots = Slots::random(64, &mut rng(7)),
            ],
        );
    }
}

/// Bug 1 in the proof engine: what could be chosen after the challenge, if it were not part of it. A commitment
/// `T = z*G - c*I` for an image `I` of unknown logarithm, and an image `I = (z*G - T)/c` for a commitment of choice.
#[test]
fn bug_of_others_1_weak_fiat_shamir_in_the_engine() {
    let relation_of = |image: Point| {
        let mut relation = Relation::default();
        let (x, g) = (relation.scalar(), relation.shared(Point::generator()));
        let image = relation.element(image);
        relation.equation([(Scalar::ONE, x, g)], [(Scalar::ONE, image)]);
        relation
    };
    let transcript = || Transcript::new(crate::registry::TRANSCRIPT_ENROL);
    let accepted = |image: Point, proof: &LinearProof| {
        let relation = relation_of(image);
        let whole = balances(|w, a| relation.accumulate(proof, &mut transcript(), w, a));
        assert_eq!(relation.equations_hold(proof, &mut transcript()), [whole]);
        whole
    };
    let (x, z, base) = (Scalar::from(3u64), Scalar::from(5u64), *Point::generator().element());
    let image = Point::encode(base * x).unwrap();
    let (honest, _) = super::forge(&relation_of(image), &[x], &transcript());
    assert!(accepted(image, &honest));

    let proof =
        |commitment: Point| LinearProof { commitments: vec![commitment.into()], responses: vec![PublicScalar(z)] };
    let unknown = *world().programme().parameters().h(0);
    let c = relation_of(unknown).challenge(&[], &mut transcript());
    let solved = Point::encode(base * z - unknown.element() * c).unwrap();
    assert!(!accepted(unknown, &proof(solved)), "the commitment is part of the challenge");

    let commitment = unknown;
    let mut without = transcript();
    without.append("commitment", commitment.as_bytes());
    let c = without.challenge_scalar("challenge");
    let solved = Point::encode((base * z - commitment.element()) * c.invert()).unwrap();
    assert!(!accepted(solved, &proof(commitment)), "the image is part of the challenge");
}

/// The source of this crate without its tests and the hooks of the test vectors, file by file.
fn source() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "attacks" && name != "hazmat" {
                walk(&path, files);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                files.push((path.display().to_string(), text));
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files
}

/// Bug 2: An auditor called a verifier that returned a bool, and dropped it. Nothing here that judges returns a bool, every verifier
/// returns a `Result`, which does not compile unused (`tests/ui`), and every type that stands for a verdict must be used.
#[test]
fn bug_of_others_2_verdict_ignored() {
    let judges = ["verify", "accumulate", "check", "accept", "authenticate", "validate"];
    let (mut judging, mut verdicts) = (0, Vec::new());
    for (path, text) in source() {
        for (at, visible) in text.match_indices("pub fn ").chain(text.match_indices("pub(crate) fn ")) {
            let signature = text[at + visible.len()..].split('{').next().unwrap().split(";\n").next().unwrap();
            let name = signature.split(['(', '<']).next().unwrap();
            let verb = name.split('_').next().unwrap();
            let Some(judge) = judges.iter().position(|judge| *judge == verb) else { continue };
            let returned = signature.rsplit_once("->").map_or("", |(_, returned)| returned.trim());
            assert!(!returned.contains("bool"), "{path}: {name}");
            assert!(judge > 1 || returned.starts_with("Result<"), "{path}: {name}");
            judging += 1;
        }
        for (at, _) in text.match_indices("pub struct Verified") {
            let name = text[at + 11..].split([' ', '<', '(', '{']).next().unwrap();
            let attributes = text[..at].rsplit("\n\n").next().unwrap();
            assert!(attributes.contains("#[must_use"), "{path}: {name}");
            verdicts.push(name.to_owned());
        }
    }
    assert!(judging > 25, "{judging}");
    for name in ["Enrol", "RollOver", "Draw", "Amend", "Swap", "Visit"] {
        assert!(verdicts.contains(&format!("Verified{name}")), "{name}");
    }
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")).unwrap();
    assert!(manifest.contains("unused_must_use = \"deny\""));
}

/// 0, 1, 2, `2^k - 1`, `2^k`, `2^k + 1`.
const SIZES: [usize; 11] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17];

/// Bug 3: The last entry of a list was not checked. Lists of vouchers, keys, challenges, answers and range-proven values of every
/// critical size, with the fault in every position.
#[test]
fn bug_of_others_3_off_by_one_last_entry() {
    let (world, view) = (world(), world().view());
    let (at, entry) = (KeyIndex(0), *view.key(KeyIndex(0)).unwrap());
    let (quote, counter) = (world.quote(), Counter::new(view, world.place(), Vec::new()));
    for size in SIZES {
        let vouchers = mint(&world.fixture, at, size, size as u64);
        // A batch of logged vouchers.
        let logged: Vec<_> = vouchers.iter().map(|voucher| verify(&entry, &voucher.shown).unwrap()).collect();
        let batch = |logged: &[LoggedVoucher]| balances(|w, a| accumulate(logged, |at| view.key(at), w, a));
        assert!(batch(&logged));
        // A visit.
        let shown: Vec<&Voucher> = vouchers.iter().collect();
        let request = RedeemRequest::new(&view, &quote, &shown, &holder_secret(1), &mut rng(1));
        assert_eq!(request.is_ok(), size > 0);
        if let Ok(request) = &request {
            assert!(counter.verify(&quote, request).is_ok());
        }
        // A session's answers.
        let keys = vec![(at, entry); size];
        let secret = std::sync::Arc::new(world.fixture.masters[0].derive(entry.id).unwrap());
        let session = crate::voucher::SigningSession::open(vec![(at, size as u32)], &vec![secret; size], &mut rng(2));
        let (states, challenges) = blind(&keys, session.offer(), &fresh_seed(3)).unwrap();
        let answers = session.answer(&challenges).unwrap();
        let entries = vec![entry; size];
        assert_eq!(unblind(&states, &entries, &answers).unwrap().len(), size);
        for position in 0..size {
            let mut bad = logged.clone();
            bad[position].shown.s.0 += Scalar::ONE;
            assert!(!batch(&bad), "{position} of {size}");
            let mut bad = request.clone().unwrap();
            bad.vouchers[position].s.0 += Scalar::ONE;
            let refusal = counter.verify(&quote, &bad).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.marks),
                (RefusalCode::VoucherInvalid, vec![bad.vouchers[position].mark()])
            );
            // Somebody else's voucher among one's own.
            let mut bad = request.clone().unwrap();
            bad.vouchers[position] = *world.vouchers[0].shown();
            assert_eq!(counter.verify(&quote, &bad).unwrap_err().code, RefusalCode::HolderInvalid);
            let mut bad = answers.clone();
            bad[position].s.0 += Scalar::ONE;
            assert!(unblind(&states, &entries, &bad).is_err());
        }
        assert!(size == 0 || unblind(&states, &entries, &answers[1..]).is_err());
        assert!(size == 0 || unblind(&states[1..], &entries[1..], &answers).is_err());
    }
}

/// Bug 3, for what a show carries: keys, challenges and range-proven values.
#[test]
fn bug_of_others_3_off_by_one_last_entry_of_a_show() {
    let (world, view) = (world(), world().view());
    let (issuer, mut rng) = (&world.fixture.issuer, rng(4));
    // One to four range-proven values, up to seven keys, up to nine vouchers.
    let lists = [
        vec![(FOOD, 1)],
        vec![(FOOD, 3)],
        vec![(FOOD, 3), (CASH, 2)],
        vec![(FOOD, 4), (crate::fixture::INFANT, 1)],
        vec![(FOOD, 3), (crate::fixture::INFANT, 1), (CASH, 34)],
    ];
    for units in lists {
        let keys = world.fixture.keys(1, &units);
        let (_, request, session) = draw_request(&world.fixture, 1, &world.rolled, &keys);
        let accepted =
            |request: &DrawRequest| request.clone().verify(&view, issuer, Some(&session), &mut super::rng(1)).map(drop);
        assert_eq!(accepted(&request), Ok(()));
        for at in 0..request.challenges.len() {
            let mut bad = request.clone();
            bad.challenges[at].0 += Scalar::ONE;
            assert!(matches!(accepted(&bad), Err(DrawError::Show(_))), "challenge {at}");
        }
        for at in 0..request.show.values.len() {
            let mut bad = request.clone();
            bad.show.values[at] = shifted(bad.show.values[at]);
            assert!(matches!(accepted(&bad), Err(DrawError::Show(_))), "value {at}");
        }
        for at in 0..request.keys.len() {
            let mut bad = request.clone();
            bad.keys[at].1 += 1;
            assert_eq!(accepted(&bad), Err(DrawError::Session), "key {at}");
        }
        let mut bad = request.clone();
        bad.challenges.pop();
        assert!(matches!(accepted(&bad), Err(DrawError::Vouchers(_))));
        // And the leaf, for the auditor: one answer less or more, or another one, in every place.
        let verified = request.verify(&view, issuer, Some(&session), &mut rng).unwrap();
        let (_, leaf) = verified.answer(issuer, Some(session), &mut rng).unwrap();
        let audited = |leaf: &DrawLeaf| balances(|w, a| crate::draw::accumulate_draw(&view, leaf, w, a));
        assert!(audited(&leaf));
        for at in 0..leaf.answers.len() {
            let mut bad = leaf.clone();
            bad.answers[at].y.0 += Scalar::ONE;
            assert!(!audited(&bad), "answer {at}");
        }
    }
    // A refresh: none of anything.
    let (_, request) =
        crate::draw::DrawContext::refresh(&view, &world.rolled, Slots::random(8, &mut rng), &mut rng).unwrap();
    assert!(request.show.range.is_none() && request.show.values.is_empty());
    assert!(request.verify(&view, issuer, None, &mut rng).is_ok());
}

/// Bug 4: The key under which a credential verified named the household. Here every wallet holds the issuer to one manifest a round
/// and one `W` a programme; a wallet that is offered anything else says nothing.
#[test]
fn bug_of_others_4_key_per_household() {
    let (world, view, mut rng) = (world(), world().view(), rng(5));
    let fixture = &world.fixture;
    let vouchers: Vec<_> = world.vouchers.iter().collect();
    let spare = holder_secret(1);
    let answer = |quote: &_| RedeemRequest::new(&view, quote, &vouchers, &spare, &mut super::rng(1)).map(drop);
    assert_eq!(answer(&world.quote()), Ok(()));
    // A quote for another version, properly signed by the site: the genesis, an invented one, another round's.
    for manifest in [fixture.chain[0].header.hash(), crate::ids::ManifestHash([7; 32])] {
        let mut terms = world.quote().content;
        terms.place.manifest = manifest;
        assert!(matches!(answer(&Signed::sign(terms, &fixture.site_logs[0])), Err(QuoteError::Quote(_))));
    }
    assert!(matches!(answer(&quote(fixture, 2, SITE)), Err(QuoteError::Quote(_))));

    // A version for one household: the round has one already.
    let mut programme = world.programme().clone();
    let own = Header { agency: "For you alone".into(), ..next_version(programme.latest(), programme.keys()) };
    programme.append(&sign_header(own.clone(), &fixture.officers), &[]).unwrap();
    assert_eq!(programme.open_round(Round(1), own.hash()), Err(ManifestError::InForce(Round(1))));
    assert_eq!(programme.open_round(Round(1), view.hash), Ok(()), "the same once more");
    assert_eq!(programme.in_force(Round(1)).unwrap().hash, view.hash);
    // A version with another W, or a second key for one k, or one key for two.
    let mut other_w = next_version(world.programme().latest(), world.programme().keys());
    other_w.issuer_key = other_point();
    let refused = world.programme().clone().append(&sign_header(other_w, &fixture.officers), &[]);
    assert_eq!(refused, Err(ManifestError::Changed(Constant::IssuerKey)));
    let keys = world.programme().keys();
    let later = KeyId { round: Round(4), ..keys[0].id };
    for (id, key, expected) in
        [(later, other_point(), true), (keys[0].id, other_point(), false), (later, keys[0].key, false)]
    {
        let list = [keys, &[crate::programme::KeyEntry { id, key }]].concat();
        let next = sign_header(next_version(world.programme().latest(), &list), &fixture.officers);
        assert_eq!(world.programme().clone().append(&next, &list[keys.len()..]).is_ok(), expected);
    }

    // The issuer's answer under an issuer key of its own for this household.
    let (context, request) = RollOverContext::new(&view, &world.fresh, Slots::random(8, &mut rng), &mut rng).unwrap();
    let (response, _) =
        request.verify(&view, &fixture.issuer, &mut rng).unwrap().answer(&fixture.issuer, &mut rng).unwrap();
    let header = Header { issuer_key: other_point(), ..view.header.clone() };
    let rejected = context.finish(&InForce { header: &header, ..view }, &response, &mut rng).unwrap_err();
    assert_eq!(rejected.error, DrawError::Answer);
    let stranger = Fixture::new(&mut rng);
    let rejected = rejected.context.finish(&stranger.view(1), &response, &mut rng).unwrap_err();
    assert_eq!(rejected.error, DrawError::Malformed);
    assert!(rejected.context.finish(&view, &response, &mut rng).is_ok());
}

/// Bug 6: Equality that compared the wrong field, and scalars that were reduced silently (more of those in `encoding`).
#[test]
fn bug_of_others_6_equality_and_scalars() {
    /// Every mutation makes the value differ from the honest one, and the other way round in [`each_fails`].
    fn differs<'a, T: Clone + PartialEq + std::fmt::Debug>(honest: &'a T, mutations: Vec<Mutation<'a, T>>) {
        each_fails(honest, |value| honest == value, mutations);
    }
    let world = world();
    let (shown, mark) = (*world.vouchers[0].shown(), world.vouchers[0].shown().mark());
    let logged = world.swap.old[0];
    differs(&other_point(), mutations![Point; "point" => |point| *point = shifted(*point)]);
    differs(
        &other_encoded(),
        mutations![EncodedPoint; "first" => |point| point.0[0] ^= 1, "last" => |point| point.0[31] ^= 0x80],
    );
    differs(&shown.s, mutations![PublicScalar; "scalar" => |s| s.0 += Scalar::ONE, "negated" => |s| s.0 = -s.0]);
    differs(
        &shown,
        mutations![ShownVoucher;
            "key" => |shown| shown.key.0 += 1,
            "holder" => |shown| shown.holder = other_encoded(),
            "r" => |shown| shown.r = other_encoded(),
            "s" => |shown| shown.s.0 += Scalar::ONE,
            "y" => |shown| shown.y.0 += Scalar::ONE,
        ],
    );
    differs(
        &logged,
        mutations![LoggedVoucher;
            "shown" => |logged| logged.shown.s.0 += Scalar::ONE,
            "Y'" => |logged| logged.y_point = other_encoded(),
        ],
    );
    differs(&mark, mutations![Mark; "key" => |mark| mark.key.0 += 1, "holder" => |mark| mark.holder = other_encoded()]);
    differs(
        &world.swap.answers[0],
        mutations![Answer; "s" => |answer| answer.s.0 += Scalar::ONE, "y" => |answer| answer.y.0 += Scalar::ONE],
    );
    let offer = open(&world.fixture, 1, &world.fixture.keys(1, &[(FOOD, 3)])).offer().clone();
    differs(
        &offer.commitments[0],
        mutations![Commitment; "R" => |pair| pair.r = other_point(), "Y" => |pair| pair.y = other_point()],
    );
    differs(
        &offer,
        mutations![SessionOffer;
            "session" => |offer| offer.session.0[15] ^= 1,
            "order" => |offer| offer.commitments.swap(0, 1),
            "length" => |offer| offer.commitments.pop(),
        ],
    );
    differs(
        &world.swap.holder,
        mutations![HolderProof;
            "commitment" => |proof| proof.commitment = other_encoded(),
            "response" => |proof| proof.response.0 += Scalar::ONE,
        ],
    );
    differs(&world.enrol.proof, super::proof_mutations(&world.enrol.proof, |proof: &mut LinearProof| proof));
    differs(
        &world.programme().keys()[0].id,
        mutations![KeyId;
            "line" => |id| id.line.0 += 1,
            "value" => |id| id.value += 1,
            "round" => |id| id.round.0 += 1,
            "site" => |id| id.site = None,
            "slot" => |id| id.slot = Some(Slot(0)),
        ],
    );
    differs(
        &world.enrol,
        mutations![EnrolLeaf;
            "ticket" => |leaf| leaf.ticket.index += 1,
            "B" => |leaf| leaf.b = other_point(),
            "A" => |leaf| leaf.a = other_point(),
            "e" => |leaf| leaf.e.0 += Scalar::ONE,
        ],
    );
    differs(
        &world.swap,
        mutations![SwapLeaf; "last answer" => |leaf| leaf.answers.last_mut().unwrap().y.0 += Scalar::ONE],
    );
    differs(
        world.programme().latest(),
        mutations![Header;
            "version" => |header| header.version += 1,
            "programme" => |header| header.programme.0[0] ^= 1,
            "schema" => |header| header.schema.spares += 1,
            "W" => |header| header.issuer_key = other_point(),
            "threshold" => |header| header.threshold += 1,
            "last line" => |header| header.lines.last_mut().unwrap().values.pop(),
            "last lot" => |header| header.lots.last_mut().unwrap().start.drawn.0 += 1,
            "keys" => |header| header.key_root = crate::log::merkle::empty_root(),
        ],
    );
    // And through the hash that chains and signs: the order of the residue classes is not reduced away.
    assert!(PublicScalar::decode([0xff; 32]).is_err());
    let (l_minus_1, zero) = ((-Scalar::ONE).to_bytes(), Scalar::ZERO.to_bytes());
    assert!(PublicScalar::decode(l_minus_1).is_ok() && PublicScalar::decode(zero).is_ok());
    let mut l = l_minus_1;
    l[0] += 1;
    assert!(PublicScalar::decode(l).is_err());
}

/// Bug 8: The number of attributes was not part of a key: a credential of one shape was one of a longer shape, with zeros at the
/// end. Tried on generators whose labels lack the arity, where it works, and on ours.
#[test]
fn bug_of_others_8_arity_unbound() {
    let (world, view, mut rng) = (world(), world().view(), rng(6));
    let mut header = view.header.clone();
    header.schema.attributes.push(Attribute { name: "exempt".into(), min: 0, max: 1 });
    let parameters = view.programme.parameters();
    let prefix: Vec<Point> = (0..=parameters.arity()).map(|at| *parameters.h(at)).chain([other_point()]).collect();
    let unbound = Parameters::from_raw(header.schema.digest(), prefix);
    let ours = Parameters::new(view.programme.id(), &header.schema);
    assert_eq!(unbound.arity(), ours.arity());
    for at in 0..=parameters.arity() {
        assert_eq!(unbound.h(at), parameters.h(at));
        assert_ne!(ours.h(at), parameters.h(at));
    }
    let mut longer: Credential = world.fresh.duplicate();
    longer.values.push(0);
    for (parameters, works) in [(unbound, true), (ours, false)] {
        let programme: Programme = view.programme.tampered(view.programme.id(), header.issuer_key, parameters);
        let view = InForce { programme: &programme, header: &header, ..view };
        let (_, request) = RollOverContext::new(&view, &longer, Slots::random(8, &mut rng), &mut rng).unwrap();
        assert_eq!(request.verify(&view, &world.fixture.issuer, &mut rng).is_ok(), works);
        // As it is, it does not even fit.
        assert!(RollOverContext::new(&view, &world.fresh, Slots::random(8, &mut rng), &mut rng).is_err());
        assert!(
            AmendContext::new(
                &view,
                &world.rolled,
                TicketCode::from_bytes([1; 10]),
                Slots::random(8, &mut rng),
                &mut rng
            )
            .is_err()
        );
    }
    // A list of one is not a list of two either: a swap's session binds its length.
    let keys = world.fixture.keys(1, &[(FOOD, 4)]);
    let session = open(&world.fixture, 1, &keys);
    let longer = vec![&world.vouchers[0], &world.vouchers[1]];
    assert!(SwapContext::new(&view, longer, keys, session.offer(), Slots::random(8, &mut rng), &mut rng).is_err());
}
