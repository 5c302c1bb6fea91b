//! Bytes of every message, as encoded, envelope included.

use annona_protocol::{
    cohort::{CohortClass, CohortSum},
    draw::{AmendContext, DrawContext, DrawRequest, RollOverContext, SessionGone, SessionRequest},
    enrol::EnrolContext,
    fixture::{AMEND_LOT, LOT, SITE, SLOTTED},
    ids::{LineId, Round, Slot},
    log::leaf::{FreezeLeaf, IssuerLeaf, SiteLeaf},
    programme::TicketKind,
    redeem::{BearerVoucher, RedeemRequest, Surrender, VoidRequest},
    secret::SecretScalar,
    slots::{SealedSlot, Slots},
    swap::SwapContext,
    ticket::TicketCode,
    voucher::Voucher,
    wire::Message,
};

use crate::world::{self, ATTRIBUTES, EXPIRES, SLOT_BYTES, World, slots};

/// A message's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Which message.
    pub message: String,
    /// Its bytes.
    pub bytes: usize,
}

fn size(message: impl Into<String>, of: &impl Message) -> Size {
    Size { message: message.into(), bytes: of.encode().len() }
}

/// The three sizes that are promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promised {
    /// A voucher as it is shown, without the position of its key.
    pub voucher: usize,
    /// A redemption of four vouchers.
    pub redemption: usize,
    /// A draw request of four values, without its challenges and slots.
    pub draw: usize,
}

/// What the slots of a request take.
fn slots_bytes(slots: &Slots) -> usize {
    let slot = |slot: &SealedSlot| slot.id.len() + slot.ciphertext.len() + 1;
    slot(&slots.vouchers) + slot(&slots.credential)
}

/// The draw request's size without challenges and slots: of the same request with both emptied.
fn bare_draw(request: &DrawRequest) -> usize {
    let empty = |id: [u8; 32]| SealedSlot { id, ciphertext: Vec::new() };
    let slots = Slots { vouchers: empty([0; 32]), credential: empty([1; 32]) };
    let bare = DrawRequest { challenges: Vec::new(), slots, ..request.clone() };
    bare.encode().len() - slots_bytes(&bare.slots)
}

/// A draw request of `values` values, one voucher each.
fn draw_request(world: &World, values: u16, seed: u64) -> (DrawContext, DrawRequest) {
    let mut rng = world::rng(seed);
    let keys = world.keys(values);
    let session = world.open(&keys, &mut rng);
    let slots = slots(&mut rng);
    DrawContext::new(&world.view(), &world.credential, keys, session.offer(), slots, &mut rng).expect("covered")
}

fn redemption(world: &World, count: usize) -> RedeemRequest {
    let mut rng = world::rng(110);
    let vouchers: Vec<&Voucher> = world.vouchers.iter().take(count).collect();
    let spare = SecretScalar::random(&mut rng);
    RedeemRequest::new(&world.view(), &world.quote(), &vouchers, &spare, &mut rng).expect("quoted")
}

/// The promised sizes, measured.
pub fn promised(world: &World) -> Promised {
    let shown = world.vouchers[0].shown();
    let voucher = shown.holder.0.len() + shown.r.0.len() + shown.s.0.as_bytes().len() + shown.y.0.as_bytes().len();
    let (_, request) = draw_request(world, 4, 111);
    Promised { voucher, redemption: redemption(world, 4).encode().len(), draw: bare_draw(&request) }
}

/// Every message of a household's life, in order.
pub fn messages(world: &'static World) -> Vec<Size> {
    let mut sizes = enrol(world);
    sizes.extend(shows(world));
    sizes.extend(at_a_site(world));
    sizes.extend(logs(world));
    sizes
}

fn enrol(world: &World) -> Vec<Size> {
    let (fixture, mut rng) = (&world.fixture, world::rng(112));
    let code = TicketCode::random(&mut rng);
    let grant = fixture.grant(LOT, TicketKind::Enrol, &code, EXPIRES, &ATTRIBUTES);
    let slots = slots(&mut rng);
    let (context, request) =
        EnrolContext::new(&fixture.programme, TicketKind::Enrol, code, slots, &mut rng).expect("well formed");
    let mut sizes = vec![size("enrol request", &request)];
    let verified = request.verify(&fixture.programme, &mut rng).expect("honest");
    let issued = verified.issue(&fixture.programme, &fixture.issuer, &grant, &mut rng).expect("fits");
    sizes.extend([
        size("enrol response", &issued.response),
        size("enrol leaf", &IssuerLeaf::Enrol(issued.leaf.clone())),
        size("pending enrolment, stored", &context),
        size("credential, stored", &world.credential),
    ]);
    sizes
}

fn shows(world: &'static World) -> Vec<Size> {
    let (view, issuer, mut rng) = (world.view(), &world.fixture.issuer, world::rng(113));
    let slots_of = slots;
    let slots = slots_of(&mut rng);
    let (context, request) = RollOverContext::new(&view, &world.enrolled, slots, &mut rng).expect("may roll over");
    let mut sizes = vec![size("roll-over request", &request)];
    let verified = request.verify(&view, issuer, &mut rng).expect("honest");
    let (response, record) = verified.answer(issuer, &mut rng).expect("not degenerate");
    sizes.extend([
        size("roll-over response", &response),
        size("roll-over leaf", &IssuerLeaf::RollOver(record)),
        size("pending roll-over, stored", &context),
    ]);
    for values in [1, 4, 8] {
        let keys = world.keys(values);
        let session = world.open(&keys, &mut rng);
        let asked = SessionRequest { round: Round(1), keys: keys.clone() };
        let slots = slots_of(&mut rng);
        let (context, request) =
            DrawContext::new(&view, &world.credential, keys, session.offer(), slots, &mut rng).expect("covered");
        let what = |message: &str| format!("{message}, {values} values of {} bits, {values} vouchers", world.width);
        sizes.extend([
            size(what("session request"), &asked),
            size(what("session offer"), session.offer()),
            size(what("draw request"), &request),
        ]);
        sizes.push(Size { message: what("draw request less challenges and slots"), bytes: bare_draw(&request) });
        let verified = request.verify(&view, issuer, Some(&session), &mut rng).expect("honest");
        let (response, leaf) = verified.answer(issuer, Some(session), &mut rng).expect("not degenerate");
        sizes.extend([
            size(what("draw response"), &response),
            size(what("draw leaf"), &IssuerLeaf::Draw(leaf)),
            size(what("pending draw, stored"), &context),
        ]);
    }
    let code = TicketCode::random(&mut rng);
    let grant = world.fixture.grant(AMEND_LOT, TicketKind::Amend, &code, EXPIRES, &ATTRIBUTES);
    let slots = slots_of(&mut rng);
    let (context, request) = AmendContext::new(&view, &world.credential, code, slots, &mut rng).expect("rolled over");
    sizes.push(size("amend request", &request));
    let verified = request.verify(&view, issuer, &mut rng).expect("honest");
    let serial = verified.serial();
    let issued = verified.answer(&view, issuer, &grant, &mut rng).expect("fits");
    let gone = SessionGone::sign(world.fixture.programme.id(), Default::default(), serial, &world.fixture.issuer_log);
    sizes.extend([
        size("amend response", &issued.response),
        size("amend leaf", &IssuerLeaf::Amend(issued.leaf)),
        size("pending amend, stored", &context),
        size("session gone", &gone),
    ]);
    sizes
}

fn at_a_site(world: &World) -> Vec<Size> {
    let (view, mut rng) = (world.view(), world::rng(114));
    let voucher = &world.vouchers[0];
    let mut sizes = vec![size("quote of 8 lines", &world.quote()), size("voucher, stored", voucher)];
    sizes.extend([1, 4, 6, 12].map(|count| size(format!("redemption of {count}"), &redemption(world, count))));
    let place = annona_protocol::slip::Place::new(&view, SITE);
    sizes.push(size("sheet, bearer voucher", &BearerVoucher::new(voucher)));
    sizes.push(size("void of 1", &VoidRequest::new(&view, &place, &[(voucher, 1)], &mut rng).expect("listed")));
    sizes.push(size("surrender", &Surrender::new(&view, voucher, &mut rng).expect("listed")));
    let keys = world.fixture.keys_at(1, SLOTTED, Some(Slot(0)), &[(LineId(1), 1)]);
    let session = world.open(&keys, &mut rng);
    let slots = slots(&mut rng);
    let (context, request) =
        SwapContext::new(&view, vec![voucher], keys, session.offer(), slots, &mut rng).expect("conserved");
    sizes.push(size("swap request of 1", &request));
    let verified = request.verify(&view, &session).expect("honest");
    let (response, leaf) = verified.answer(session).expect("the same session");
    sizes.extend([
        size("swap response of 1", &response),
        size("swap leaf of 1", &IssuerLeaf::Swap(leaf)),
        size("pending swap of 1, stored", &context),
    ]);
    sizes
}

fn logs(world: &World) -> Vec<Size> {
    let mut rng = world::rng(115);
    let visit = world.counter().verify(&world.quote(), &redemption(world, 1)).expect("honest");
    let programme = &world.fixture.programme;
    let class = CohortClass { amend: false, expires: Round(EXPIRES), drawn: Round(0) };
    let mut sum = CohortSum::new(class, programme.schema());
    for _ in 0..2 {
        sum.add(&world.fixture.enrol(LOT, EXPIRES, &ATTRIBUTES, &mut rng).1.member);
    }
    let opening = sum.open(programme, 0, 2, &mut rng).expect("large enough");
    let freeze =
        FreezeLeaf { round: Round(1), manifest: world.view().hash, packs: Vec::new(), openings: vec![opening] };
    let mut sizes: Vec<Size> =
        visit.leaves(|_| 1).into_iter().map(|leaf| size("voucher leaf", &SiteLeaf::Voucher(leaf))).collect();
    sizes.extend([
        size("freeze leaf with one opened cohort", &IssuerLeaf::Freeze(freeze)),
        size("manifest header, 8 lines", &world.fixture.chain[1].header),
        size("key list entry", world.entry()),
    ]);
    sizes
}

/// A note under the table.
pub fn note() -> String {
    format!("Requests carry two sealed slots of {SLOT_BYTES} bytes of ciphertext each.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promises_are_kept() {
        let world = World::leak(16);
        world.check(&mut world::rng(117));
        let promised = promised(world);
        assert_eq!(promised.voucher, 128);
        assert!(promised.redemption <= 640, "{promised:?}");
        assert!(promised.draw <= 1945, "{promised:?}");
        assert!(messages(world).len() > 40);
    }
}
