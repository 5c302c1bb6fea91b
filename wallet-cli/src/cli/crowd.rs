//! Of how many draws a visit may be: what `check` found in the issuer's log, and `show` and `redeem` tell (spec wallet.md, 10).

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io::{self, Write as _},
};

use annona_protocol::{
    ids::{KeyIndex, Round, SiteId},
    programme::Programme,
};
use annona_wallet::{LogError, Wallet, WholeLog, most_drawn};
use fluent_bundle::FluentValue;
use serde_json::{Value, json};

use super::{
    Desk, Problem, Report,
    holder::{self, Held, Holder},
};
use crate::state::Crowd;

/// Fewer draws than these are few.
pub(super) const FEW: u64 = 20;
/// The most kinds of draws that are kept of a place: without the rarest, a number can only be too low.
const MAX_KINDS: usize = 512;

/// Where and when vouchers are redeemed.
pub(super) type Place = (Round, Option<SiteId>);

/// Vouchers by key.
pub(super) type Keys = BTreeMap<KeyIndex, u32>;

/// What is held and can be shown, by round and site. What every site takes is shown along with a site's own.
pub(super) fn places(programme: &Programme, wallet: &Wallet) -> BTreeMap<Place, Keys> {
    let mut places = BTreeMap::<Place, Keys>::new();
    for voucher in wallet.vouchers() {
        let sound = !wallet.faults().contains_key(&voucher.shown().mark());
        let Some(held) = holder::held(programme, voucher).filter(|_| sound) else { continue };
        *places.entry((held.round, held.site)).or_default().entry(voucher.key()).or_default() += 1;
    }
    let anywhere: BTreeMap<Round, Keys> = places
        .iter()
        .filter(|((_, site), _)| site.is_none())
        .map(|((round, _), keys)| (*round, keys.clone()))
        .collect();
    for ((round, site), keys) in &mut places {
        if let (Some(_), Some(more)) = (site, anywhere.get(round)) {
            keys.extend(more);
        }
    }
    places
}

/// What a log says of the vouchers that are held for a place.
pub(super) fn find(issuer: &WholeLog, (round, site): Place, held: Keys) -> Result<Crowd, LogError> {
    let drawn = issuer.drawn(round)?;
    let same = Some(drawn.same(&held.iter().map(|(key, count)| (*key, *count)).collect::<Vec<_>>()) as u64);
    let kinds = drawn.within(&held).into_iter().map(|(brought, draws)| (brought, draws as u64));
    let mut draws: Vec<(Keys, u64)> = kinds.collect();
    draws.sort_by_key(|(brought, draws)| Reverse((*brought == held, *draws)));
    draws.truncate(MAX_KINDS);
    let singly = drawn.singly(&held).into_iter().map(|(key, draws)| (key, draws as u64)).collect();
    Ok(Crowd { round, site, log: issuer.checkpoint().size(), held, same, draws, singly })
}

/// Of how many draws these vouchers may be, never too many, and how often single draws make them up at most; nothing if the check
/// did not look at all of them.
pub(super) fn covering(programme: &Programme, crowd: &Crowd, keys: &Keys) -> Option<(u64, u64)> {
    let is_known = keys.iter().all(|(key, count)| crowd.held.get(key) >= Some(count));
    let draws = crowd.draws.iter().map(|(brought, draws)| (brought, *draws));
    let most = |key| most_drawn(&programme.in_force(crowd.round).ok()?, key);
    is_known.then(|| {
        let sure = annona_wallet::covering(keys, draws, &crowd.singly, most);
        (sure, annona_wallet::made_up(keys, &crowd.singly))
    })
}

/// What single draws say besides.
pub(super) fn at_most(desk: &Desk, count: u64) -> Option<String> {
    (count > 0).then(|| desk.say("crowd-at-most", &[("count", count.into())]))
}

/// The places of a message about a crowd.
pub(super) fn about(
    desk: &Desk,
    programme: &Programme,
    (round, site): Place,
    draws: u64,
) -> [(&'static str, FluentValue<'static>); 3] {
    let name = site.map_or_else(|| desk.say("any-site", &[]), |site| desk.site_name(programme.latest(), site));
    [("site", name.into()), ("round", round.0.into()), ("count", draws.into())]
}

/// Of how many draws all that is held may be, place by place. Of vouchers that came since the check it says that it does not know.
pub(super) fn alike(desk: &Desk, programme: &Programme, wallet: &Wallet, crowds: &[Crowd], report: &mut Report) {
    let (mut list, mut is_known, mut is_unknown) = (Vec::new(), false, false);
    for (place, keys) in places(programme, wallet) {
        let (round, site) = place;
        let crowd = crowds.iter().find(|crowd| (crowd.round, crowd.site) == place);
        let found = crowd.and_then(|crowd| Some((crowd, covering(programme, crowd, &keys)?)));
        let same = found.filter(|(crowd, _)| crowd.held == keys).and_then(|(crowd, _)| crowd.same);
        if let Some((crowd, (draws, single))) = found {
            let [site, round, count] = about(desk, programme, place, draws);
            report.line(desk.say("show-alike", &[site, round, count, ("number", crowd.log.into())]));
            if let Some(same) = same {
                report.line(desk.say("show-same", &[("number", same.into())]));
            }
            if let Some(line) = at_most(desk, single) {
                report.line(line);
            }
            if draws < FEW {
                report.line(desk.say("crowd-few", &[]));
            }
        }
        (is_known, is_unknown) = (is_known || found.is_some(), is_unknown || found.is_none());
        list.push(json!({
            "site": site.map(|site| site.0),
            "round": round.0,
            "crowd": found.map(|(_, (draws, _))| draws),
            "at_most": found.map(|(_, (_, single))| single),
            "same": same,
            "log": found.map(|(crowd, _)| crowd.log),
        }));
    }
    if is_unknown {
        report.line(desk.say("show-alike-unknown", &[]));
    }
    report.set("alike", if is_known { Value::Array(list) } else { Value::Null });
}

/// Tells whoever holds the wallet of how many draws a visit with these vouchers may be, before it shows any.
///
/// # Errors
/// [`Problem::SmallCrowd`], [`Problem::CrowdUnknown`] if it has to be of at least so many.
pub(super) fn before_visit(
    desk: &Desk,
    holder: &Holder,
    site: SiteId,
    shown: &[Held],
    least: Option<u64>,
) -> Result<Option<u64>, Problem> {
    let crowds = holder.crowds();
    let of = |shown: &[Held]| {
        let mut keys = Keys::new();
        shown.iter().for_each(|held| *keys.entry(held.mark.key).or_default() += 1);
        let here = crowds.iter().filter(|crowd| crowd.site.is_none_or(|at| at == site));
        here.filter(|crowd| shown.iter().all(|held| held.round == crowd.round))
            .find_map(|crowd| covering(holder.programme(), crowd, &keys))
    };
    let crowd = of(shown);
    match (crowd, least) {
        (Some((draws, _)), Some(least)) if draws < least => return Err(Problem::SmallCrowd(draws)),
        (None, Some(_)) => return Err(Problem::CrowdUnknown),
        _ => {}
    }
    let Some((draws, single)) = crowd else {
        remark(desk, &desk.say("visit-alike-unknown", &[]));
        return Ok(None);
    };
    let round = shown.first().map_or(Round(0), |held| held.round);
    remark(desk, &desk.say("visit-alike", &about(desk, holder.programme(), (round, Some(site)), draws)));
    if let Some(line) = at_most(desk, single) {
        remark(desk, &line);
    }
    if draws < FEW {
        // Of the single vouchers the one that most households could show.
        let single = shown.iter().filter_map(|held| Some((of(&[*held])?.0, held))).max_by_key(|(draws, _)| *draws);
        let better = single.filter(|(most, _)| *most > draws);
        remark(desk, &better.map_or_else(|| desk.say("crowd-few", &[]), |(most, held)| part(desk, holder, most, held)));
    }
    Ok(Some(draws))
}

/// How to show less at once.
fn part(desk: &Desk, holder: &Holder, draws: u64, held: &Held) -> String {
    let line = holder.programme().latest().line(held.line);
    let line = line.map_or_else(|| held.line.to_string(), |line| line.name.clone());
    let about = format!("--part {line}={}", held.value);
    desk.say("crowd-few-part", &[("about", about.into()), ("count", draws.into())])
}

/// Nothing is lost with a remark; programs read the report.
fn remark(desk: &Desk, line: &str) {
    if !desk.global.json {
        drop(writeln!(io::stderr(), "{line}"));
    }
}
