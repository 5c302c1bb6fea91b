//! Every message kind with its type: decoding by name, limits, and a sample of each.

use annona_protocol::{
    audit::receipt::{Inclusion, Omission},
    bucket::{SlotBucket, SlotDirectory, SlotRound, StoredSlot},
    credential::Credential,
    draw::{
        AmendContext, AmendRequest, AmendResponse, DrawContext, DrawRequest, DrawResponse, RollOverContext,
        RollOverRequest, RollOverResponse, SessionGone, SessionRequest,
    },
    enrol::{EnrolContext, EnrolRequest, EnrolResponse},
    ids::Round,
    log::leaf::{IssuerLeaf, OwedVoidedLeaf, SiteLeaf},
    programme::{Header, KeyEntry, SignedHeader, announcement::Announcement},
    redeem::{BearerVoucher, CollectRequest, RedeemRequest, RedeemResponse, Surrender, VoidRequest},
    slip::{OpeningPack, OwedSlip, Quote, Receipt, RefusalSlip, SiteStatement, VoidSlip},
    slots::SealedSlot,
    swap::{SwapContext, SwapRequest, SwapResponse},
    voucher::{SessionOffer, Voucher},
    wire::{DecodeError, Message},
};

use crate::{
    fields::{Node, tree},
    life::{Exchange, World},
};

macro_rules! kinds {
    ($($name:ident => $type:ty,)*) => {
        /// Name, code, type and longest encoding of every kind.
        pub const KINDS: &[(&str, u8, &str, usize)] = &[
            $((stringify!($name), <$type as Message>::KIND, stringify!($type), <$type as Message>::MAX_BYTES)),*
        ];

        /// Decodes a message of a named kind into its fields; `None` for an unknown name.
        ///
        /// # Panics
        /// If what decodes does not encode to the same bytes, by the library or by the second encoder.
        pub fn decode(name: &str, bytes: &[u8]) -> Option<Result<Node, DecodeError>> {
            match name {
                $(stringify!($name) => Some(<$type>::decode(bytes).map(|message| {
                    assert_eq!(*message.encode_secret(), bytes, "{name}");
                    let node = tree(&message);
                    assert_eq!(node.bytes(), &bytes[2..], "{name}");
                    node
                })),)*
                _ => None,
            }
        }
    };
}

kinds! {
    HEADER => Header,
    SIGNED_HEADER => SignedHeader,
    KEY_ENTRY => KeyEntry,
    PACK => OpeningPack,
    ANNOUNCEMENT => Announcement,
    ENROL_REQUEST => EnrolRequest,
    ENROL_RESPONSE => EnrolResponse,
    SESSION_REQUEST => SessionRequest,
    SESSION_OFFER => SessionOffer,
    ROLL_OVER_REQUEST => RollOverRequest,
    ROLL_OVER_RESPONSE => RollOverResponse,
    DRAW_REQUEST => DrawRequest,
    DRAW_RESPONSE => DrawResponse,
    AMEND_REQUEST => AmendRequest,
    AMEND_RESPONSE => AmendResponse,
    SWAP_REQUEST => SwapRequest,
    SWAP_RESPONSE => SwapResponse,
    SESSION_GONE => SessionGone,
    SLOT_DIRECTORY => SlotDirectory,
    SLOT_BUCKET => SlotBucket,
    QUOTE => Quote,
    REDEEM_REQUEST => RedeemRequest,
    VOID_REQUEST => VoidRequest,
    COLLECT_REQUEST => CollectRequest,
    RECEIPT => Receipt,
    REFUSAL => RefusalSlip,
    OWED_SLIP => OwedSlip,
    VOID_SLIP => VoidSlip,
    BEARER => BearerVoucher,
    SURRENDER => Surrender,
    STATEMENT => SiteStatement,
    REDEEM_RESPONSE => RedeemResponse,
    ISSUER_LEAF => IssuerLeaf,
    SITE_LEAF => SiteLeaf,
    INCLUSION => Inclusion,
    OMISSION => Omission,
    STORED_CREDENTIAL => Credential,
    STORED_VOUCHER => Voucher,
    PENDING_ENROL => EnrolContext,
    PENDING_ROLL_OVER => RollOverContext,
    PENDING_DRAW => DrawContext,
    PENDING_AMEND => AmendContext,
    PENDING_SWAP => SwapContext,
}

/// A message of every kind and every variant of leaf: kind, case, bytes.
pub fn samples(world: &World) -> Vec<(&'static str, String, Vec<u8>)> {
    let (visit, chain) = (&world.visit, &world.fixture.chain);
    let mut samples: Vec<(&'static str, &str, Vec<u8>)> = vec![
        ("HEADER", "genesis", chain[0].header.encode()),
        ("SIGNED_HEADER", "second version with labels and worth", world.full_header().encode()),
        ("KEY_ENTRY", "key bound to a site", world.fixture.programme.keys()[0].encode()),
        ("KEY_ENTRY", "key bound to a slot", world.fixture.programme.keys()[14].encode()),
        ("PACK", "opening pack", world.packs[0].encode()),
        ("ANNOUNCEMENT", "announcement", world.fixture.announcement().encode()),
        ("ENROL_REQUEST", "enrolment request", world.enrol[0].request.clone()),
        ("ENROL_RESPONSE", "enrolment response", world.enrol[0].response.clone()),
        ("SESSION_REQUEST", "session request", world.session[0].clone()),
        ("SESSION_OFFER", "session offer", world.session[1].clone()),
        ("ROLL_OVER_REQUEST", "roll-over request", world.roll_over.request.clone()),
        ("ROLL_OVER_RESPONSE", "roll-over response", world.roll_over.response.clone()),
        ("DRAW_REQUEST", "draw request", world.draw.request.clone()),
        ("DRAW_REQUEST", "refresh request", world.refresh.request.clone()),
        ("DRAW_RESPONSE", "draw response", world.draw.response.clone()),
        ("AMEND_REQUEST", "amend request", world.amend.request.clone()),
        ("AMEND_RESPONSE", "amend response", world.amend.response.clone()),
        ("SWAP_REQUEST", "swap request", world.swap.request.clone()),
        ("SWAP_RESPONSE", "swap response", world.swap.response.clone()),
        ("SESSION_GONE", "session gone", visit.gone.encode()),
        ("SLOT_DIRECTORY", "directory of slots", directory().encode()),
        ("SLOT_BUCKET", "bucket with the slot of an enrolment", bucket(world).encode()),
        ("QUOTE", "quote", visit.quote.encode()),
        ("REDEEM_REQUEST", "redemption request", visit.request.encode()),
        ("VOID_REQUEST", "void request", visit.void.encode()),
        ("COLLECT_REQUEST", "collect request", visit.collect.encode()),
        ("RECEIPT", "receipt", visit.receipt.encode()),
        ("REFUSAL", "refusal slip", visit.refusal.encode()),
        ("OWED_SLIP", "owed slip", visit.owed.encode()),
        ("VOID_SLIP", "void slip", visit.void_slip.encode()),
        ("BEARER", "printed voucher", visit.bearer.encode()),
        ("SURRENDER", "surrendered voucher", visit.surrender.encode()),
        ("STATEMENT", "round statement", world.statement().encode()),
        ("REDEEM_RESPONSE", "redemption response", visit.response.encode()),
        ("INCLUSION", "proof of inclusion", world.inclusion().encode()),
        ("OMISSION", "proof of omission", world.omission().encode()),
        ("OMISSION", "proof of omission from an empty round", world.omission_from_empty().encode()),
        ("STORED_CREDENTIAL", "stored credential", world.credential.encode()),
        ("STORED_VOUCHER", "stored voucher", world.vouchers[0].encode()),
        ("PENDING_ENROL", "pending enrolment", world.enrol[0].context.clone()),
        ("PENDING_ROLL_OVER", "pending roll-over", world.roll_over.context.clone()),
        ("PENDING_DRAW", "pending draw", world.draw.context.clone()),
        ("PENDING_AMEND", "pending amend", world.amend.context.clone()),
        ("PENDING_SWAP", "pending swap", world.swap.context.clone()),
    ];
    let log = world.site_log();
    samples.push(("SITE_LEAF", "site's leaf Batch", log[log.len() - 1].clone()));
    samples.push(("SITE_LEAF", "site's leaf Statement", SiteLeaf::Statement(world.statement()).encode()));
    let mut samples: Vec<_> = samples.into_iter().map(|(kind, case, bytes)| (kind, case.to_owned(), bytes)).collect();
    let leaves = world.issuer_log().into_iter().map(|entry| IssuerLeaf::decode(&entry).expect("a leaf"));
    samples
        .extend(leaves.map(|leaf| ("ISSUER_LEAF", format!("issuer's leaf {}", variant(&tree(&leaf))), leaf.encode())));
    let voided = SiteLeaf::OwedVoided(OwedVoidedLeaf { holder: visit.owed.content.holder });
    let leaves = world.site_events().into_iter().chain([voided]);
    samples.extend(leaves.map(|leaf| ("SITE_LEAF", format!("site's leaf {}", variant(&tree(&leaf))), leaf.encode())));
    // One of each name is enough.
    let mut seen = std::collections::HashSet::new();
    samples.retain(|(kind, case, _)| seen.insert((*kind, case.clone())));
    let place = |kind: &str| KINDS.iter().position(|known| known.0 == kind);
    samples.sort_by_key(|(kind, ..)| place(kind));
    samples
}

/// A programme in its second round, the first of which is closed.
fn directory() -> SlotDirectory {
    let round = |round, vouchers, credential| SlotRound { round: Round(round), vouchers, credential };
    SlotDirectory { minimum: 32, rounds: vec![round(0, None, 2), round(1, None, 3), round(2, Some(1), 1)] }
}

fn bucket(world: &World) -> SlotBucket {
    let Exchange { request, response, leaf, .. } = &world.enrol[0];
    let SealedSlot { id, ciphertext } = EnrolRequest::decode(request).expect("a sample").slots.credential;
    let leaf = IssuerLeaf::Enrol(leaf.clone()).encode();
    SlotBucket { slots: vec![StoredSlot { id, ciphertext, leaf, answer: response.clone() }], more: false }
}

/// The name of a leaf's variant.
fn variant(node: &Node) -> &'static str {
    if let Node::Variant(_, _, name, _) = node { name } else { "" }
}
