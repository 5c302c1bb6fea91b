//! What can be drawn, and with which keys.

use std::collections::BTreeMap;

use annona_protocol::{
    credential::Credential,
    ids::{KeyIndex, LineId, Round, SiteId, Units},
    programme::{
        Carry, Form, InForce, KeyCounts, KeyEntry, Line,
        schema::{DRAWN, EXPIRES},
        statement::make_change,
    },
};

use crate::{Wallet, WalletError};

impl Wallet {
    /// Whether the credential has a roll-over to make in the round: it has not rolled over, and has not expired.
    pub fn may_roll_over(&self, round: Round) -> bool {
        let value = |at| self.credential.as_ref().and_then(|credential| credential.value(at));
        value(DRAWN).is_some_and(|drawn| drawn < round.0.into())
            && value(EXPIRES).is_some_and(|expires| expires >= round.0.into())
    }

    /// What can be drawn now, by line: lines of which nothing can be drawn are left out.
    pub fn available(&self, view: &InForce<'_>) -> BTreeMap<LineId, Units> {
        let Some(credential) = &self.credential else { return BTreeMap::new() };
        view.header
            .lines
            .iter()
            .filter_map(|line| available(view, credential, line).map(|units| (line.id, units)))
            .collect()
    }

    /// The list of keys that draws everything available at a site.
    ///
    /// # Errors
    /// [`WalletError::Change`] if the voucher values do not make up the units.
    pub fn plan(&self, view: &InForce<'_>, site: SiteId) -> Result<KeyCounts, WalletError> {
        let mut list = KeyCounts::new();
        for (line, units) in self.available(view) {
            let keys = keys_at(view, line, site);
            list.extend(make_change(view, &keys, units).ok_or(WalletError::Change { line, units })?);
        }
        list.sort_unstable();
        Ok(list)
    }

    /// Checked before a session is asked for: one without a draw would tell ([5.3-M6]).
    pub(crate) fn covers(&self, view: &InForce<'_>, keys: &[(KeyIndex, u32)]) -> Result<(), WalletError> {
        self.covers_units(view, &view.units(keys)?)
    }

    /// The same for units.
    pub(crate) fn covers_units(&self, view: &InForce<'_>, asked: &BTreeMap<LineId, Units>) -> Result<(), WalletError> {
        let credential = self.credential.as_ref().ok_or(WalletError::NotEnrolled)?;
        let available = self.available(view);
        let rolled_over = credential.value(DRAWN) == Some(view.round.0.into());
        let covered = asked.iter().all(|(line, units)| available.get(line).is_some_and(|most| units <= most));
        if rolled_over && covered { Ok(()) } else { Err(WalletError::Uncovered) }
    }
}

/// The most vouchers of a key that one household can draw in the view's round, by the schema's upper bounds.
pub fn most_drawn(view: &InForce<'_>, key: KeyIndex) -> Option<u64> {
    let id = view.key(key)?.id;
    let line = view.header.lines.iter().find(|line| line.id == id.line)?;
    let form = match line.carry {
        Carry::Lapse => line.accrual_at(view.round),
        Carry::Carry => line.cumulative(view.header.policy.first_round, view.round),
    };
    let greatest = form.terms.iter().try_fold(i128::from(form.constant), |sum, (at, coefficient)| {
        let attribute = view.header.schema.attributes.get(usize::from(*at))?;
        let bound = if *coefficient < 0 { attribute.min } else { attribute.max };
        sum.checked_add(i128::from(*coefficient) * i128::from(bound))
    })?;
    u64::try_from(greatest.checked_div(id.value.into())?).ok()
}

/// The keys of a line in the view's round that every counter of a site takes.
pub(crate) fn keys_at(view: &InForce<'_>, line: LineId, site: SiteId) -> Vec<KeyIndex> {
    let fits = |entry: &KeyEntry| {
        (entry.id.line, entry.id.round, entry.id.site, entry.id.slot) == (line, view.round, Some(site), None)
    };
    let all = (0u32..).zip(view.programme.keys()).filter(|(_, entry)| fits(entry));
    all.map(|(at, _)| KeyIndex(at)).collect()
}

/// What of a line can be drawn: the balance, or what accrued less the debit; nothing if a predicate fails.
fn available(view: &InForce<'_>, credential: &Credential, line: &Line) -> Option<Units> {
    let schema = &view.header.schema;
    let attributes: Vec<u64> = (0..schema.attributes.len())
        .map(|at| {
            credential.value(schema.attribute(u8::try_from(at).ok()?)).and_then(|value| u64::try_from(value).ok())
        })
        .collect::<Option<_>>()?;
    let state = i128::from(credential.value(schema.state(line.state))?);
    let passes = |form: &Form| form.evaluate(&attributes).is_some_and(|value| value >= 0);
    if !line.predicates_at(view.round).iter().all(passes) {
        return None;
    }
    let units = match line.carry {
        Carry::Lapse => state,
        Carry::Carry => line.cumulative(view.header.policy.first_round, view.round).evaluate(&attributes)? - state,
    };
    u64::try_from(units).ok().filter(|units| *units > 0).map(Units)
}
