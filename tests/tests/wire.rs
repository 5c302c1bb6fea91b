//! Every message: its one encoding, and what happens to every other byte string near it.
//!
//! `ANNONA_SNAPSHOT=write cargo test -p annona-tests --test wire` writes the snapshot anew after a wanted change.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{collections::BTreeSet, fmt::Write as _, ops::Range, path::PathBuf, sync::LazyLock, time::Instant};

use annona_protocol::{
    audit::receipt::{Inclusion, Omission},
    credential::Credential,
    draw::{
        AmendContext, AmendRequest, AmendResponse, DrawContext, DrawRequest, DrawResponse, RollOverContext,
        RollOverRequest, RollOverResponse, SessionGone,
    },
    enrol::{EnrolContext, EnrolRequest, EnrolResponse},
    fixture::{Fixture, SITE},
    ids::Round,
    log::leaf::{IssuerLeaf, SiteLeaf},
    programme::{Header, KeyEntry, Programme, SignedHeader, announcement::Announcement},
    redeem::{BearerVoucher, CollectRequest, Counter, RedeemRequest, RedeemResponse, Surrender, VoidRequest},
    registry::{VERSION, kind},
    signature::PublicKey,
    slip::{
        OwedTerms, PackTerms, Place, QuoteTerms, ReceiptTerms, RefusalTerms, Signed, Slip, StatementTerms, VoidTerms,
    },
    slots::Slots,
    swap::{SwapContext, SwapRequest, SwapResponse},
    voucher::{SessionOffer, Voucher},
    wire::{DecodeError, Message},
};
use annona_tests::{
    fuzzing::{CODECS, Codec},
    samples::{Sample, Samples},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

static SAMPLES: LazyLock<Samples> = LazyLock::new(Samples::new);

/// Version and kind.
const ENVELOPE: usize = 2;

fn codec(sample: &Sample) -> &'static Codec {
    CODECS.iter().find(|codec| codec.kind == sample.kind).expect("every kind has a codec")
}

/// A message that decodes must encode to the bytes that it came from.
fn recoded(sample: &Sample, bytes: &[u8]) -> Option<Vec<u8>> {
    (codec(sample).recode)(bytes).ok()
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

#[test]
fn every_kind_has_a_codec_and_a_sample() {
    let kinds: BTreeSet<u8> = kind::ALL.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds.len(), kind::ALL.len(), "a kind is registered twice");
    assert_eq!(CODECS.iter().map(|codec| codec.kind).collect::<BTreeSet<_>>(), kinds, "CODECS lists every kind");
    assert_eq!(CODECS.len(), kinds.len(), "CODECS lists a kind twice");
    let sampled: BTreeSet<u8> = SAMPLES.all.iter().map(|sample| sample.kind).collect();
    assert_eq!(sampled, kinds, "every kind has a sample");
    let names: BTreeSet<&str> = SAMPLES.all.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(names.len(), SAMPLES.all.len(), "two samples have one name");
    for sample in &SAMPLES.all {
        let kind = sample.name.split(' ').next().unwrap();
        assert!(codec(sample).name().eq_ignore_ascii_case(kind), "{} is a sample of another kind", sample.name);
    }
}

/// A variant that the enums gain fails to compile here, and then wants a sample.
#[test]
fn every_leaf_has_a_sample() {
    let mut seen = BTreeSet::new();
    for sample in &SAMPLES.all {
        if let Ok(leaf) = IssuerLeaf::decode(&sample.bytes) {
            seen.insert(match leaf {
                IssuerLeaf::Manifest(_) => "issuer_leaf manifest",
                IssuerLeaf::Lot(_) => "issuer_leaf lot",
                IssuerLeaf::Open(_) => "issuer_leaf open",
                IssuerLeaf::Freeze(_) => "issuer_leaf freeze",
                IssuerLeaf::Close(_) => "issuer_leaf close",
                IssuerLeaf::Batch(_) => "issuer_leaf batch",
                IssuerLeaf::Enrol(_) => "issuer_leaf enrol",
                IssuerLeaf::RollOver(_) => "issuer_leaf roll-over",
                IssuerLeaf::Draw(_) => "issuer_leaf draw",
                IssuerLeaf::Amend(_) => "issuer_leaf amend",
                IssuerLeaf::Swap(_) => "issuer_leaf swap",
            });
        }
        if let Ok(leaf) = SiteLeaf::decode(&sample.bytes) {
            seen.insert(match leaf {
                SiteLeaf::Batch(_) => "site_leaf batch",
                SiteLeaf::Statement(_) => "site_leaf statement",
                SiteLeaf::Voucher(_) => "site_leaf voucher",
                SiteLeaf::Void(_) => "site_leaf void",
                SiteLeaf::Owed(_) => "site_leaf owed",
                SiteLeaf::Collected(_) => "site_leaf collected",
                SiteLeaf::OwedVoided(_) => "site_leaf owed-voided",
            });
        }
    }
    assert_eq!(seen.len(), 18);
    seen.iter().for_each(|name| assert_eq!(SAMPLES.get(name).name, **name));
}

#[test]
fn round_trip() {
    for sample in &SAMPLES.all {
        assert_eq!(recoded(sample, &sample.bytes).as_ref(), Some(&sample.bytes), "{}", sample.name);
        assert!(sample.bytes.len() <= codec(sample).max_bytes, "{}", sample.name);
    }
}

/// Every bit: refused, or another message with exactly these bytes.
#[test]
fn every_bit_flipped() {
    for sample in &SAMPLES.all {
        let mut bytes = sample.bytes.clone();
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let again = recoded(sample, &bytes);
            assert!(again.as_ref().is_none_or(|again| *again == bytes), "{}: bit {bit}", sample.name);
            assert!(bit >= 16 || again.is_none(), "{}: bit {bit} of the envelope", sample.name);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_cut_and_every_tail_is_refused() {
    for sample in &SAMPLES.all {
        for length in 0..sample.bytes.len() {
            assert_eq!(recoded(sample, &sample.bytes[..length]), None, "{} cut at {length}", sample.name);
        }
        for tail in 0..=u8::MAX {
            let longer = [&sample.bytes[..], &[tail]].concat();
            assert_eq!((codec(sample).recode)(&longer), Err(DecodeError::Trailing), "{} and {tail}", sample.name);
        }
    }
}

#[test]
fn other_versions_kinds_and_lengths_are_refused() {
    for sample in &SAMPLES.all {
        let Codec { kind: expected, max_bytes: limit, recode, .. } = *codec(sample);
        let mut bytes = sample.bytes.clone();
        for found in (0..=u8::MAX).filter(|version| *version != VERSION) {
            bytes[0] = found;
            assert_eq!(recode(&bytes), Err(DecodeError::Version { found }), "{}", sample.name);
        }
        bytes[0] = VERSION;
        for found in (0..=u8::MAX).filter(|kind| *kind != expected) {
            bytes[1] = found;
            assert_eq!(recode(&bytes), Err(DecodeError::Kind { found, expected }), "{}", sample.name);
        }
        bytes[1] = expected;
        bytes.resize(limit + 1, 0);
        assert_eq!(recode(&bytes), Err(DecodeError::TooLong { limit }), "{}", sample.name);
        bytes.truncate(limit);
        assert!(!matches!(recode(&bytes), Err(DecodeError::TooLong { .. })), "{}", sample.name);
    }
}

/// postcard reads `0x85 0x00` as 5. A message has one encoding: that with the shortest integers.
#[test]
fn over_long_integers_are_refused() {
    // Fixed-size fields only: there is no integer to write longer.
    let without = ["collect_request", "session_gone"];
    for sample in &SAMPLES.all {
        let mut not_canonical = 0;
        for at in 2..sample.bytes.len() {
            if sample.bytes[at] < 0x80 {
                let mut bytes = sample.bytes.clone();
                bytes[at] |= 0x80;
                bytes.insert(at + 1, 0);
                match (codec(sample).recode)(&bytes) {
                    Err(DecodeError::NotCanonical) => not_canonical += 1,
                    // Inside a field of fixed size the change only shifts what follows.
                    Err(_) => {}
                    Ok(again) => assert_eq!(again, bytes, "{} at {at}", sample.name),
                }
            }
        }
        let none = without.contains(&sample.name.as_str());
        assert_eq!(not_canonical == 0, none, "{}: {not_canonical} over-long integers", sample.name);
    }
}

/// Lengths and BLAKE3 hashes of all samples: a change of the wire does not go unnoticed.
#[test]
fn snapshot() {
    let mut now = String::from("# Samples of every message: kind, length, BLAKE3, name. See tests/tests/wire.rs.\n");
    let mut samples: Vec<&Sample> = SAMPLES.all.iter().collect();
    samples.sort_by_key(|sample| (sample.kind, &sample.name));
    for Sample { name, kind, bytes } in samples {
        writeln!(now, "{kind:#04x} {:>5} {} {name}", bytes.len(), blake3::hash(bytes)).unwrap();
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots/wire.txt");
    if std::env::var("ANNONA_SNAPSHOT").is_ok_and(|value| value == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    for (committed, now) in committed.lines().zip(now.lines()) {
        assert_eq!(committed, now, "the wire has changed");
    }
    assert_eq!(committed, now, "the wire has changed");
}

/// The sizes that the project promises.
#[test]
fn sizes() {
    let voucher = Voucher::decode(&SAMPLES.get("stored_voucher").bytes).unwrap();
    let shown = postcard::to_stdvec(voucher.shown()).unwrap().len();
    let index = postcard::to_stdvec(&voucher.key()).unwrap().len();
    println!("voucher: {} bytes and {index} of key index", shown - index);
    assert!(shown - index <= 128);

    let redeem = &SAMPLES.get("redeem_request").bytes;
    assert_eq!(RedeemRequest::decode(redeem).unwrap().vouchers.len(), 4);
    println!("redemption of 4 vouchers: {} bytes", redeem.len());
    // The widest key index of a programme with a million keys is two bytes longer than the sample's.
    assert!(redeem.len() + 4 * (3 - index) <= 640);

    let draw = DrawRequest::decode(&SAMPLES.draw.request).unwrap();
    let challenges = postcard::to_stdvec(&draw.challenges).unwrap().len();
    let slots = postcard::to_stdvec(&draw.slots).unwrap().len();
    let length = SAMPLES.draw.request.len() - challenges - slots;
    println!("draw request of 4 range-proven values: {length} bytes, {challenges} of challenges, {slots} of slots");
    assert_eq!(range_proven(&draw), 4);
    assert!(length <= 1945);

    for sample in &SAMPLES.all {
        println!("{:>5} bytes  {}", sample.bytes.len(), sample.name);
    }
}

/// How many values a draw proves, from the manifest: a balance a lapse line with its predicates, a carry line's remainder.
fn range_proven(draw: &DrawRequest) -> usize {
    let view = SAMPLES.fixture.view(1);
    let units = view.units(&draw.keys).unwrap();
    units.keys().map(|line| 1 + view.header.line(*line).unwrap().predicates_at(Round(1)).len()).sum()
}

// --- Semantic mutation: what still decodes must not verify -----------------------------------------------------------------

/// Changes a bit of every byte of a message. `accepts` says whether the bytes decode and verify.
fn mutate(name: &str, bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    mutate_but(name, bytes, 0..0, accepts);
}

/// Leaves out a range of bytes that no proof binds.
fn mutate_but(name: &str, bytes: &[u8], unbound: Range<usize>, accepts: impl Fn(&[u8]) -> bool) {
    assert!(accepts(bytes), "{name} itself is refused");
    let started = Instant::now();
    let (mut state, mut count) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    for at in (ENVELOPE..bytes.len()).filter(|at| !unbound.contains(at)) {
        // Some bit, the same in every run.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut mutant = bytes.to_vec();
        mutant[at] ^= 1 << ((state >> 33) % 8);
        assert!(!accepts(&mutant), "{name}: byte {at} changed from {:#04x} to {:#04x}", bytes[at], mutant[at]);
        count += 1;
    }
    assert!(count > 0);
    println!("{name}: {count} mutants refused in {} ms", started.elapsed().as_millis());
}

fn decoded<M: Message>(bytes: &[u8], verify: impl FnOnce(M) -> bool) -> bool {
    M::decode(bytes).is_ok_and(verify)
}

#[test]
fn mutated_manifests_and_keys_do_not_verify() {
    let fixture = &SAMPLES.fixture;
    let keys = fixture.programme.keys();
    let genesis = &fixture.chain[0];
    mutate("signed_header", &SAMPLES.get("signed_header").bytes, |bytes| {
        decoded(bytes, |signed: SignedHeader| Programme::new(&[genesis.clone(), signed], keys.to_vec()).is_ok())
    });
    mutate("header", &SAMPLES.get("header").bytes, |bytes| {
        decoded(bytes, |header: Header| {
            let signed = SignedHeader { header, signatures: fixture.chain[1].signatures.clone() };
            Programme::new(&[genesis.clone(), signed], keys.to_vec()).is_ok()
        })
    });
    mutate("key_entry", &SAMPLES.get("key_entry").bytes, |bytes| {
        decoded(bytes, |entry: KeyEntry| {
            let mut keys = keys.to_vec();
            keys[42] = entry;
            Programme::new(&fixture.chain, keys).is_ok()
        })
    });
}

/// [6.3-M6] to [6.3-M9]: no byte of an announcement can change.
#[test]
fn mutated_announcements_do_not_verify() {
    let id = SAMPLES.fixture.programme.id();
    mutate("announcement", &SAMPLES.get("announcement").bytes, |bytes| {
        decoded(bytes, |announcement: Announcement| announcement.verify(id).is_ok())
    });
}

/// [7.3-M10], [7.3-M11]: what a wallet cannot check is what the site calls the visit, and whether it was accepted before.
#[test]
fn mutated_answers_to_a_visit_do_not_verify() {
    let (fixture, bytes) = (&SAMPLES.fixture, &SAMPLES.get("redeem_response").bytes);
    let request = RedeemRequest::decode(&SAMPLES.get("redeem_request").bytes).unwrap();
    let (view, place) = (fixture.view(1), SAMPLES.quote.content.place);
    mutate_but("redeem_response", bytes, ENVELOPE..ENVELOPE + 1 + 32, |bytes| {
        decoded(bytes, |response: RedeemResponse| {
            response.check_visit(&view, &place, &request.vouchers, &[request.spare]).is_ok()
        })
    });
}

fn signed<T: Slip>(name: &str, key: PublicKey)
where
    Signed<T>: Message,
{
    mutate(name, &SAMPLES.get(name).bytes, |bytes| decoded(bytes, |slip: Signed<T>| slip.verify(&key).is_ok()));
}

#[test]
fn mutated_slips_do_not_verify() {
    let fixture = &SAMPLES.fixture;
    let (site, issuer) = (PublicKey::of(&fixture.site_logs[0]), PublicKey::of(&fixture.issuer_log));
    signed::<QuoteTerms>("quote", site);
    signed::<ReceiptTerms>("receipt", site);
    signed::<RefusalTerms>("refusal", site);
    signed::<OwedTerms>("owed_slip", site);
    signed::<VoidTerms>("void_slip", site);
    signed::<StatementTerms>("statement", site);
    signed::<PackTerms>("pack", issuer);
    mutate("session_gone", &SAMPLES.get("session_gone").bytes, |bytes| {
        decoded(bytes, |gone: SessionGone| gone.verify(&fixture.view(1)).is_ok())
    });
}

/// Runs an enrolment with a given request and, if the request passes, says whether the wallet takes the answer.
fn enrols(request: &[u8]) -> bool {
    let Samples { fixture, grant, enrol, .. } = &*SAMPLES;
    let Ok(request) = EnrolRequest::decode(request) else { return false };
    let Ok(verified) = request.verify(&fixture.programme, &mut rng(1)) else { return false };
    let Ok(issued) = verified.issue(&fixture.programme, &fixture.issuer, grant, &mut rng(2)) else { return false };
    EnrolContext::decode(&enrol.context).unwrap().finish(&fixture.programme, &issued.response, &mut rng(3)).is_ok()
}

#[test]
fn mutated_enrolments_do_not_verify() {
    let Samples { fixture, enrol, .. } = &*SAMPLES;
    // The mask is bound to nothing; with a wrong one the wallet cannot read the answer.
    mutate("enrol_request", &enrol.request, enrols);
    mutate("enrol_response", &enrol.response, |bytes| {
        decoded(bytes, |response: EnrolResponse| {
            let context = EnrolContext::decode(&enrol.context).unwrap();
            context.finish(&fixture.programme, &response, &mut rng(1)).is_ok()
        })
    });
}

#[test]
fn mutated_roll_overs_and_draws_do_not_verify() {
    let Samples { fixture, roll_over, draw, draw_session, .. } = &*SAMPLES;
    let view = fixture.view(1);
    mutate("roll_over_request", &roll_over.request, |bytes| {
        decoded(bytes, |request: RollOverRequest| request.verify(&view, &fixture.issuer, &mut rng(1)).is_ok())
    });
    mutate("roll_over_response", &roll_over.response, |bytes| {
        decoded(bytes, |response: RollOverResponse| {
            let context = RollOverContext::decode(&roll_over.context).unwrap();
            context.finish(&view, &response, &mut rng(1)).is_ok()
        })
    });
    mutate("draw_request", &draw.request, |bytes| {
        decoded(bytes, |request: DrawRequest| {
            request.verify(&view, &fixture.issuer, Some(draw_session), &mut rng(1)).is_ok()
        })
    });
    mutate("draw_response", &draw.response, |bytes| {
        decoded(bytes, |response: DrawResponse| {
            let context = DrawContext::decode(&draw.context).unwrap();
            context.finish(&view, &response, &mut rng(1)).is_ok()
        })
    });
    // An offer that was changed on its way: the wallet's challenges belong to commitments that the issuer never made.
    let keys = draw_session.keys().to_vec();
    mutate("session_offer", &draw_session.offer().encode(), |bytes| {
        decoded(bytes, |offer: SessionOffer| {
            let credential = Credential::decode(&SAMPLES.credential).unwrap();
            let slots = Slots::random(64, &mut rng(1));
            DrawContext::new(&view, &credential, keys.clone(), &offer, slots, &mut rng(2)).is_ok_and(|(_, request)| {
                request.verify(&view, &fixture.issuer, Some(draw_session), &mut rng(3)).is_ok()
            })
        })
    });
}

#[test]
fn mutated_amends_and_swaps_do_not_verify() {
    let Samples { fixture, amend, amend_grant, swap, swap_session, .. } = &*SAMPLES;
    let view = fixture.view(1);
    let takes = |response: &AmendResponse| {
        AmendContext::decode(&amend.context).unwrap().finish(&view, response, &mut rng(1)).is_ok()
    };
    mutate("amend_request", &amend.request, |bytes| {
        let Ok(request) = AmendRequest::decode(bytes) else { return false };
        let Ok(verified) = request.verify(&view, &fixture.issuer, &mut rng(1)) else { return false };
        verified.answer(&view, &fixture.issuer, amend_grant, &mut rng(2)).is_ok_and(|issued| takes(&issued.response))
    });
    // The lot is told for information only.
    mutate_but("amend_response", &amend.response, ENVELOPE..ENVELOPE + 1, |bytes| {
        decoded(bytes, |response: AmendResponse| takes(&response))
    });
    mutate("swap_request", &swap.request, |bytes| {
        decoded(bytes, |request: SwapRequest| request.verify(&view, swap_session).is_ok())
    });
    mutate("swap_response", &swap.response, |bytes| {
        decoded(bytes, |response: SwapResponse| {
            SwapContext::decode(&swap.context).unwrap().finish(&view, &response).is_ok()
        })
    });
}

#[test]
fn mutated_redemptions_do_not_verify() {
    let Samples { fixture, quote, owed, owed_leaf, .. } = &*SAMPLES;
    let view = fixture.view(1);
    let place = Place::new(&view, SITE);
    let counter = Counter::new(view, place, Vec::new());
    mutate("redeem_request", &SAMPLES.get("redeem_request").bytes, |bytes| {
        decoded(bytes, |request: RedeemRequest| counter.verify(quote, &request).is_ok())
    });
    mutate("bearer", &SAMPLES.get("bearer").bytes, |bytes| {
        decoded(bytes, |bearer: BearerVoucher| counter.verify_bearer(quote, &bearer).is_ok())
    });
    mutate("void_request", &SAMPLES.get("void_request").bytes, |bytes| {
        decoded(bytes, |request: VoidRequest| counter.verify_void(&request).is_ok())
    });
    mutate("collect_request", &SAMPLES.get("collect_request").bytes, |bytes| {
        decoded(bytes, |request: CollectRequest| request.verify(&place, owed_leaf).is_ok())
    });
    mutate("surrender", &SAMPLES.get("surrender").bytes, |bytes| {
        decoded(bytes, |surrender: Surrender| surrender.verify(&view).is_ok())
    });
    // The wallet collects on nothing but the slip that the site signed.
    assert_eq!(owed.content.holder, owed_leaf.holder);
}

#[test]
fn mutated_receipt_proofs_do_not_verify() {
    let Samples { fixture, kept, broken, .. } = &*SAMPLES;
    let newest = fixture.programme.latest();
    mutate("inclusion", &SAMPLES.get("inclusion").bytes, |bytes| {
        decoded(bytes, |proof: Inclusion| proof.verify(newest, kept).is_ok())
    });
    mutate("omission", &SAMPLES.get("omission").bytes, |bytes| {
        decoded(bytes, |proof: Omission| proof.verify(newest, broken).is_ok())
    });
}

#[test]
fn mutated_leaves_do_not_verify() {
    let Samples { fixture, lots, members, owed_leaf, .. } = &*SAMPLES;
    let view = fixture.view(1);
    let place = Place::new(&view, SITE);
    let issuer = |fixture: &Fixture, bytes: &[u8]| {
        decoded(bytes, |leaf: IssuerLeaf| fixture.issuer_leaves_hold(&[leaf], lots, members, &mut rng(1)))
    };
    for name in ["manifest", "lot", "enrol", "roll-over", "draw"] {
        let name = format!("issuer_leaf {name}");
        mutate(&name, &SAMPLES.get(&name).bytes, |bytes| issuer(fixture, bytes));
    }
    // Of a freeze the openings are proven; its round and packs stand in the log, and are compared with what is published.
    let freeze = &SAMPLES.get("issuer_leaf freeze").bytes;
    let Ok(IssuerLeaf::Freeze(mut empty)) = IssuerLeaf::decode(freeze) else { panic!("a freeze") };
    empty.openings.clear();
    let openings = IssuerLeaf::Freeze(empty).encode().len() - 1;
    let controls = ENVELOPE + 1..openings;
    mutate_but("issuer_leaf freeze", freeze, controls, |bytes| issuer(fixture, bytes));
    // The new expiry of an amend is in no proof of its own leaf: the opening of its cohort proves it (`freeze` above).
    let amend = &SAMPLES.get("issuer_leaf amend").bytes;
    let Ok(IssuerLeaf::Amend(mut other)) = IssuerLeaf::decode(amend) else { panic!("an amend") };
    other.expires.0 += 1;
    let other = IssuerLeaf::Amend(other).encode();
    let expires = amend.iter().zip(&other).position(|(left, right)| left != right).unwrap();
    mutate_but("issuer_leaf amend", amend, expires..expires + 1, |bytes| issuer(fixture, bytes));
    // The issuer proves nothing of its answers to a swap: only the wallet can tell.
    let swap = &SAMPLES.get("issuer_leaf swap").bytes;
    let answers = swap.len() - 64..swap.len();
    mutate_but("issuer_leaf swap", swap, answers, |bytes| issuer(fixture, bytes));
    // An amend that claims another expiry leaves its cohort, and the opening fails.
    let freeze = IssuerLeaf::decode(freeze).unwrap();
    assert!(fixture.issuer_leaves_hold(std::slice::from_ref(&freeze), lots, members, &mut rng(2)));
    let moved: Vec<IssuerLeaf> = members.iter().filter(|leaf| leaf.encode() != *amend).cloned().collect();
    let moved = [moved, vec![IssuerLeaf::decode(&other).unwrap()]].concat();
    assert!(!fixture.issuer_leaves_hold(&[freeze], lots, &moved, &mut rng(2)));
    for name in ["statement", "voucher", "void", "collected"] {
        let name = format!("site_leaf {name}");
        // The first byte after the variant of a voucher's leaf is the acceptance's number, which the site counts.
        let number = if name.ends_with("voucher") { ENVELOPE + 1..ENVELOPE + 2 } else { 0..0 };
        mutate_but(&name, &SAMPLES.get(&name).bytes, number, |bytes| {
            decoded(bytes, |leaf: SiteLeaf| fixture.site_leaf_holds(&view, &place, &leaf, owed_leaf, &mut rng(1)))
        });
    }
}
