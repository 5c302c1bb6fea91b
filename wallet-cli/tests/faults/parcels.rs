//! Vouchers that leave a wallet: for paper, a card, another wallet.

use annona_protocol::voucher::Voucher;
use annona_wallet::Medium;

use super::{visits::Drawn, *};

fn marks(wallet: &Wallet) -> Vec<Mark> {
    wallet.vouchers().iter().map(|voucher| voucher.shown().mark()).collect()
}

/// What is packed is redeemed and swapped nowhere, survives a restart in its order, and is erased with the last voucher that was
/// read back.
#[test]
fn a_parcel_is_kept_until_it_was_read_back() {
    let all = Drawn::new();
    let mut wallet = Wallet::decode(&all.wallet).unwrap();
    let (view, held) = (all.world.view(), marks(&wallet));
    let packed = wallet.pack(Medium::SplitSheet, &held, &mut rng(1)).unwrap();
    let (number, seed) = (packed.number(), *packed.seed().expose());
    let listed: Vec<Mark> = packed.vouchers().iter().map(|voucher| voucher.shown().mark()).collect();
    assert!(listed.is_sorted() && listed.len() == held.len());
    assert!(wallet.vouchers().is_empty());
    assert!(matches!(wallet.pack(Medium::Sheet, &held[..1], &mut rng(1)), Err(WalletError::VoucherNotFree)));
    assert!(wallet.swap(&view, &held[..1], KeyCounts::new()).is_err());

    let mut wallet = Wallet::decode(&wallet.encode()).unwrap();
    let again = &wallet.parcels()[0];
    let order: Vec<Mark> = again.vouchers().iter().map(|voucher| voucher.shown().mark()).collect();
    assert_eq!((again.number(), *again.seed().expose(), order), (number, seed, listed.clone()));
    for (at, mark) in listed.iter().enumerate() {
        assert_eq!(wallet.parcels()[0].missing(), listed.len() - at);
        assert_eq!(wallet.read_back(number, *mark).unwrap(), listed.len() - at - 1);
        if at == 0 {
            assert_eq!(wallet.read_back(number, *mark).unwrap(), listed.len() - 1, "the same code scanned twice");
        }
    }
    assert!(wallet.parcels().is_empty() && wallet.vouchers().is_empty());
    assert!(matches!(wallet.read_back(number, listed[0]), Err(WalletError::NoParcel)));
    let bytes = wallet.encode();
    for voucher in Wallet::decode(&all.wallet).unwrap().vouchers() {
        let secret = &voucher.encode_secret()[2..34];
        assert!(!bytes.windows(32).any(|window| window == secret), "erased");
    }
}

/// A parcel that is taken back is redeemed here; one that went to another wallet is redeemed there, once.
#[test]
fn a_parcel_is_redeemed_where_it_went() {
    let all = Drawn::new();
    let mut giver = Wallet::decode(&all.wallet).unwrap();
    let view = all.world.view();
    let at_north = |voucher: &&Voucher| view.key(voucher.key()).unwrap().id.site == Some(NORTH);
    let held: Vec<Mark> = giver.vouchers().iter().filter(at_north).map(|voucher| voucher.shown().mark()).collect();
    let number = giver.pack(Medium::Sheet, &held, &mut rng(1)).unwrap().number();
    assert_eq!(giver.unpack(number).unwrap(), held.len());
    assert!(matches!(giver.unpack(number), Err(WalletError::NoParcel)));

    let gift = giver.pack(Medium::Gift, &held, &mut rng(1)).unwrap();
    let number = gift.number();
    let carried: Vec<Voucher> = gift.vouchers().iter().map(Voucher::duplicate).collect();
    let mut taker = Wallet::new(all.world.programme().id());
    for voucher in &carried {
        assert!(taker.take(&view, voucher.duplicate()).unwrap());
        assert!(!taker.take(&view, voucher.duplicate()).unwrap(), "held already");
        assert!(!giver.take(&view, voucher.duplicate()).unwrap(), "still in the parcel");
    }
    let site = all.world.site_with(&all.pack, 1000, 1000);
    let wire = Wire::new(&all.world.issuer, Some(&site), 6);
    let taken = Disk::new(taker.encode().to_vec().into());
    let handover = agent(&taken, &wire).redeem(&view, NORTH, Choice::All, &mut rng(40)).unwrap();
    assert_eq!(handover.outcome, Outcome::Accepted);
    assert_eq!(state(&taken).receipts().len(), held.len());

    // A giver that keeps a copy comes second.
    assert_eq!(giver.unpack(number).unwrap(), held.len());
    let kept = Disk::new(giver.encode().to_vec().into());
    let late = agent(&kept, &wire).redeem(&view, NORTH, Choice::All, &mut rng(41)).unwrap();
    assert_eq!(late.outcome, Outcome::AlreadyAccepted, "the same set of vouchers is the same visit");
    site.handed_over(handover.visit, world::COUNTER).unwrap();
    assert!(site.handed_over(late.visit, world::COUNTER).is_err(), "its goods went");
}
