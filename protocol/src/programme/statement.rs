//! Policy to statement: what a show must disclose, how it updates the credential, and what must not be negative (spec 6.4).
//!
//! Wallet and issuer both compute the statement from the manifest in force and the request; neither takes it from the other.

use std::collections::BTreeMap;

use super::{
    InForce, KeyListError,
    form::Affine,
    manifest::{Carry, Line, Start, TicketKind},
    schema::{DRAWN, EXPIRES},
};
use crate::ids::{KeyIndex, LineId, Round, Units};

/// What a show proves about a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Coordinates disclosed beside the serial, with their required values, ascending.
    pub disclosed: Vec<(u8, i64)>,
    /// The new coordinates `m*_2..m*_n` as forms of the old.
    pub update: Vec<Affine>,
    /// Forms proven to be in `[0, 2^w)`.
    pub nonnegative: Vec<Affine>,
}

impl Statement {
    fn unchanged(view: &InForce<'_>) -> Self {
        let update = (2..=view.header.schema.arity()).map(Affine::coordinate).collect();
        Self { disclosed: Vec::new(), update, nonnegative: Vec::new() }
    }

    fn set(&mut self, coordinate: u8, form: Affine) {
        self.update[usize::from(coordinate) - 2] = form;
    }

    /// Roll-over into the round: `drawn < now <= expires`; lapse balances start anew.
    pub fn roll_over(view: &InForce<'_>) -> Self {
        let (schema, now) = (&view.header.schema, i128::from(view.round.0));
        let mut statement = Self::unchanged(view);
        statement.set(DRAWN, Affine::constant(now));
        for line in view.header.lines.iter().filter(|line| line.carry == Carry::Lapse) {
            statement.set(schema.state(line.state), Affine::from_form(&line.accrual_at(view.round), schema));
        }
        statement.nonnegative = vec![
            Affine::constant(now - 1).minus(&Affine::coordinate(DRAWN)),
            Affine::coordinate(EXPIRES).plus_constant(-now),
        ];
        statement
    }

    /// A draw of `units` by line; none makes it a refresh.
    pub fn draw(view: &InForce<'_>, units: &BTreeMap<LineId, Units>) -> Result<Self, KeyListError> {
        let schema = &view.header.schema;
        let mut statement = Self::unchanged(view);
        statement.disclosed = vec![(DRAWN, i64::from(view.round.0))];
        for (id, units) in units {
            let line = view.header.line(*id).ok_or(KeyListError::Unknown)?;
            let (state, units) = (schema.state(line.state), i128::from(units.0));
            let held = Affine::coordinate(state);
            match line.carry {
                Carry::Lapse => {
                    let left = held.plus_constant(-units);
                    statement.set(state, left.clone());
                    statement.nonnegative.push(left);
                }
                Carry::Carry => {
                    let debit = held.plus_constant(units);
                    statement.nonnegative.push(accrued(view, line).minus(&debit));
                    statement.set(state, debit);
                }
            }
            let predicates = line.predicates_at(view.round);
            statement.nonnegative.extend(predicates.iter().map(|form| Affine::from_form(form, schema)));
        }
        Ok(statement)
    }

    /// The wallet's part of an amend: balances and debits less what accrued stay, ticket coordinates become zero.
    pub fn amend(view: &InForce<'_>) -> Self {
        let schema = &view.header.schema;
        let mut statement = Self::unchanged(view);
        statement.disclosed = vec![(DRAWN, i64::from(view.round.0))];
        statement.set(EXPIRES, Affine::default());
        for line in view.header.lines.iter().filter(|line| line.carry == Carry::Carry) {
            let state = schema.state(line.state);
            statement.set(state, Affine::coordinate(state).minus(&accrued(view, line)));
        }
        for at in 0..schema.attributes.len() {
            statement.set(schema.attribute(u8::try_from(at).expect("arity is bounded")), Affine::default());
        }
        statement
    }

    /// The canonical description that transcripts bind.
    pub(crate) fn describe(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024);
        for forms in [&self.update, &self.nonnegative] {
            bytes.extend_from_slice(&u32::try_from(forms.len()).expect("bounded by the arity").to_le_bytes());
            forms.iter().for_each(|form| form.describe(&mut bytes));
        }
        bytes
    }
}

/// `E_j(m, now)` over the credential's coordinates.
fn accrued(view: &InForce<'_>, line: &Line) -> Affine {
    Affine::from_form(&line.cumulative(view.header.policy.first_round, view.round), &view.header.schema)
}

/// The values `m_2..m_n` of a new credential: what a ticket with these attributes starts with (spec 4.1).
///
/// Returns `None` if the attributes are outside the schema, or the ticket expires beyond the width.
pub fn starting_values(header: &super::Header, start: &Start, expires: Round, attributes: &[u64]) -> Option<Vec<i64>> {
    let schema = &header.schema;
    if !schema.admits(attributes) || i128::from(expires.0) >= schema.limit() {
        return None;
    }
    // A start may be rolled over already only if it has not expired.
    if start.drawn >= header.policy.first_round && expires < start.drawn {
        return None;
    }
    let mut values = vec![0i64; usize::from(schema.arity()) - 1];
    values[usize::from(EXPIRES) - 2] = expires.0.into();
    values[usize::from(DRAWN) - 2] = start.drawn.0.into();
    for line in &header.lines {
        let given = start.balances.iter().find(|(id, _)| *id == line.id);
        let given = given.map_or(Some(0), |(_, form)| form.evaluate(attributes))?;
        let value = match line.carry {
            Carry::Lapse => given,
            Carry::Carry => line.cumulative(header.policy.first_round, start.drawn).evaluate(attributes)? - given,
        };
        values[usize::from(schema.state(line.state)) - 2] = i64::try_from(value).ok()?;
    }
    for (at, value) in attributes.iter().enumerate() {
        values[usize::from(schema.attribute(at as u8)) - 2] = i64::try_from(*value).ok()?;
    }
    Some(values)
}

/// The values that the issuer adds in an amend: ticket attributes, expiry, and `E_j(m_new, now)` in each debit coordinate.
pub fn amended_values(view: &InForce<'_>, expires: Round, attributes: &[u64]) -> Option<Vec<i64>> {
    let nothing = Start { drawn: view.round, balances: Vec::new() };
    let mut values = starting_values(view.header, &nothing, expires, attributes)?;
    // `drawn` is carried by the wallet's commitment.
    values[usize::from(DRAWN) - 2] = 0;
    Some(values)
}

/// What a ticket grants, as its lot and the caseworker fixed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketTerms {
    /// The ticket's kind.
    pub kind: TicketKind,
    /// The credential's expiry.
    pub expires: Round,
    /// The programme attributes, in schema order.
    pub attributes: Vec<u64>,
}

/// The smallest list of vouchers of one line worth `units`: greedy, largest value first.
///
/// `keys` are the line's keys for one round, site and slot. Returns `None` if the values cannot make up the units.
pub fn make_change(view: &InForce<'_>, keys: &[KeyIndex], units: Units) -> Option<Vec<(KeyIndex, u32)>> {
    let mut keys: Vec<_> = keys.iter().filter_map(|at| view.key(*at).map(|entry| (entry.id.value, *at))).collect();
    keys.sort_unstable_by(|left, right| right.cmp(left));
    let (mut left, mut change) = (units.0, Vec::new());
    for (value, at) in keys {
        let count = left / u64::from(value);
        left %= u64::from(value);
        if count > 0 {
            change.push((at, u32::try_from(count).ok()?));
        }
    }
    change.sort_unstable();
    (left == 0).then_some(change)
}
