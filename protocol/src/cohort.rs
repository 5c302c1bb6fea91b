//! Cohort openings: the public, provable sum of what is granted, and nothing about any one household (spec 4.5).
//!
//! `M = B - G - C` is a perfectly hiding commitment to what a ticket grants. The issuer opens sums of `M` over whole classes:
//! all enrolments, or all amends, of one expiry and one starting round in a range of the log that continues where the class's
//! last opening ended. The issuer cannot choose members, and each `M` enters exactly one opening.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    credential::{Parameters, secret_scalar_of},
    group::{self, Accumulator, Element, GroupError, Point, Scalar},
    ids::Round,
    log::leaf::CohortOpening,
    programme::{
        Form, Header, LotTerms, Programme, Schema,
        form::scalar_of,
        schema::{DRAWN, EXPIRES},
    },
    registry,
    secret::{SecretScalar, Weights, hedged},
    sigma::{ProofError, Relation},
    transcript::Transcript,
};

/// What the members of a cohort share, in the open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CohortClass {
    /// Whether the members are amends.
    pub amend: bool,
    /// The expiry of all members.
    pub expires: Round,
    /// The starting `drawn` of all members; for amends the round of the amend.
    pub drawn: Round,
}

impl CohortClass {
    /// The class of an enrolment from a lot.
    pub fn of_lot(lot: &LotTerms, expires: Round) -> Self {
        Self { amend: false, expires, drawn: lot.start.drawn }
    }
}

/// The opening of one `M`: secret until it is lost in a sum.
pub struct CohortMember {
    class: CohortClass,
    rho: Scalar,
    /// What `M` adds to `m_2 .. m_n`.
    values: Vec<i64>,
}

impl CohortMember {
    pub(crate) fn new(class: CohortClass, rho: Scalar, values: Vec<i64>) -> Self {
        Self { class, rho, values }
    }

    /// The member's class.
    pub fn class(&self) -> CohortClass {
        self.class
    }

    /// `M`.
    pub(crate) fn commitment(&self, parameters: &Parameters) -> Element {
        group::multiply(parameters.h(0).element(), &self.rho) + parameters.commit_values(&self.values)
    }
}

impl Drop for CohortMember {
    fn drop(&mut self) {
        self.rho.zeroize();
        self.values.zeroize();
    }
}

impl std::fmt::Debug for CohortMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CohortMember({:?}, redacted)", self.class)
    }
}

/// The running sum of a class since its last opening.
///
/// While it has few members it says much about them: it is kept encrypted and never backed up (threats, seized issuer).
pub struct CohortSum {
    class: CohortClass,
    count: u64,
    rho: Scalar,
    values: Vec<i64>,
}

impl Drop for CohortSum {
    fn drop(&mut self) {
        self.rho.zeroize();
        self.values.zeroize();
    }
}

impl std::fmt::Debug for CohortSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CohortSum({:?}, {} members, redacted)", self.class, self.count)
    }
}

/// Why a cohort cannot be opened, or an opening is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CohortError {
    /// A stored sum of another schema.
    #[error("the stored cohort sum is not of this programme's schema: restore the store that belongs to it")]
    Stored,
    /// Fewer members than `cohort_min`.
    #[error("the cohort is too small to be opened")]
    TooSmall,
    /// The opening's shape is not what the manifest's forms and lines ask for.
    #[error("the opening does not have the manifest's forms and balances")]
    Shape,
    /// The sum of commitments is degenerate.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The proof has another shape.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

/// A form's linear part divided by the greatest common divisor of its coefficients, with that divisor.
pub(crate) fn primitive(form: &Form) -> Option<(Vec<(u8, i64)>, i64)> {
    let divisor = form.terms.iter().fold(0, |divisor, (_, coefficient)| gcd(divisor, *coefficient));
    (divisor != 0).then(|| (form.terms.iter().map(|(at, coefficient)| (*at, coefficient / divisor)).collect(), divisor))
}

/// The forms whose sums an opening discloses: the distinct primitive linear parts of all accruals, ascending.
pub fn disclosed_forms(header: &Header) -> Vec<Form> {
    let mut forms: Vec<Vec<(u8, i64)>> = header
        .lines
        .iter()
        .flat_map(|line| &line.accrual)
        .filter_map(|entry| primitive(&entry.value).map(|(terms, _)| terms))
        .collect();
    forms.sort();
    forms.dedup();
    forms.into_iter().map(|terms| Form { constant: 0, terms }).collect()
}

fn attribute_range(schema: &Schema) -> std::ops::Range<usize> {
    let from = usize::from(schema.attribute(0)) - 2;
    from..from + schema.attributes.len()
}

fn state_range(schema: &Schema) -> std::ops::Range<usize> {
    let from = usize::from(schema.state(0)) - 2;
    from..from + usize::from(schema.states())
}

impl CohortSum {
    /// An empty sum.
    pub fn new(class: CohortClass, schema: &Schema) -> Self {
        Self { class, count: 0, rho: Scalar::ZERO, values: vec![0; usize::from(schema.arity()) - 1] }
    }

    /// The class.
    pub fn class(&self) -> CohortClass {
        self.class
    }

    /// How many members the sum has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds a member of the class.
    pub fn add(&mut self, member: &CohortMember) {
        debug_assert_eq!(self.class, member.class);
        self.count += 1;
        self.rho += member.rho;
        self.values.iter_mut().zip(&member.values).for_each(|(sum, value)| *sum += value);
    }

    /// Opens the sum over `from..to` of the issuer's log, under the newest manifest version.
    ///
    /// # Errors
    /// [`CohortError::TooSmall`] below `cohort_min`.
    pub fn open<R: CryptoRng + ?Sized>(
        &self,
        programme: &Programme,
        from: u64,
        to: u64,
        rng: &mut R,
    ) -> Result<CohortOpening, CohortError> {
        let header = programme.latest();
        if self.count < u64::from(header.policy.cohort_min) {
            return Err(CohortError::TooSmall);
        }
        let schema = &header.schema;
        let attributes = &self.values[attribute_range(schema)];
        let sums: Vec<u64> = attributes
            .iter()
            .map(|value| u64::try_from(*value))
            .collect::<Result<_, _>>()
            .map_err(|_| CohortError::Shape)?;
        let forms = disclosed_forms(header)
            .into_iter()
            .map(|form| {
                let sum = form.evaluate(&sums).ok_or(CohortError::Shape)?;
                Ok((form, i64::try_from(sum).map_err(|_| CohortError::Shape)?))
            })
            .collect::<Result<Vec<_>, CohortError>>()?;
        let mut opening = CohortOpening {
            class: self.class,
            from,
            to,
            count: self.count,
            forms,
            states: self.values[state_range(schema)].to_vec(),
            proof: crate::sigma::LinearProof { commitments: Vec::new(), responses: Vec::new() },
        };
        let total = group::multiply(programme.parameters().h(0).element(), &self.rho)
            + programme.parameters().commit_values(&self.values);
        let total = Point::encode(total)?;
        let mut transcript = opening.transcript(programme, header, &total);
        let relation = opening.relation(programme, header, total)?;
        let mut witness = Zeroizing::new(vec![self.rho]);
        witness.extend(attributes.iter().map(|value| secret_scalar_of(*value)));
        let mut nonces = hedged(&witness, &transcript.clone().challenge_bytes("nonce"), rng);
        opening.proof = relation.prove(&witness, &mut transcript, &mut nonces);
        Ok(opening)
    }

    /// Takes up a sum again from what [`CohortSum::expose`] gave.
    ///
    /// # Errors
    /// [`CohortError::Stored`] unless there is one value for each coordinate from the second on.
    pub fn restore(
        class: CohortClass,
        count: u64,
        rho: &SecretScalar,
        values: &[i64],
        schema: &Schema,
    ) -> Result<Self, CohortError> {
        if values.len() != usize::from(schema.arity()) - 1 {
            return Err(CohortError::Stored);
        }
        Ok(Self { class, count, rho: *rho.expose(), values: values.to_vec() })
    }

    /// The sum's secret state, for the issuer's encrypted store: count, `rho`, values.
    pub fn expose(&self) -> (u64, SecretScalar, &[i64]) {
        (self.count, SecretScalar::new(self.rho), &self.values)
    }
}

impl CohortOpening {
    pub(crate) fn transcript(&self, programme: &Programme, header: &Header, total: &Point) -> Transcript {
        let mut transcript = Transcript::new(registry::TRANSCRIPT_COHORT);
        transcript.append("programme", &programme.id().0);
        transcript.append("manifest", &header.hash().0);
        transcript.append_point("W", &header.issuer_key);
        transcript.append("schema", programme.parameters().schema_digest());
        let class = postcard::to_stdvec(&self.class).expect("writing to memory cannot fail");
        transcript.append("class", &class);
        transcript.append_u64("from", self.from);
        transcript.append_u64("to", self.to);
        transcript.append_u64("count", self.count);
        let disclosed = postcard::to_stdvec(&(&self.forms, &self.states)).expect("writing to memory cannot fail");
        transcript.append("disclosed", &disclosed);
        transcript.append_point("sum of M", total);
        transcript
    }

    /// `sum M - public part = rho*H_0 + sum S_i*H_i` over the attributes, and `value*G = form(S)*G` for each form.
    pub(crate) fn relation(
        &self,
        programme: &Programme,
        header: &Header,
        total: Point,
    ) -> Result<Relation, CohortError> {
        let (schema, parameters) = (&header.schema, programme.parameters());
        let expected = disclosed_forms(header);
        if self.states.len() != usize::from(schema.states())
            || !self.forms.iter().map(|(form, _)| form).eq(expected.iter())
        {
            return Err(CohortError::Shape);
        }
        let mut relation = Relation::default();
        let rho = relation.scalar();
        let sums = relation.scalars(schema.attributes.len());
        let h: Vec<_> = (0..=parameters.arity()).map(|at| relation.shared(*parameters.h(at))).collect();
        let g = relation.shared(Point::generator());
        let total = relation.element(total);
        let mut terms = vec![(Scalar::ONE, rho, h[0])];
        terms.extend((0u8..).zip(&sums).map(|(at, sum)| (Scalar::ONE, *sum, h[usize::from(schema.attribute(at))])));
        let count = i128::from(self.count);
        let mut image = vec![(Scalar::ONE, total)];
        image.push((-scalar_of(count * i128::from(self.class.expires.0)), h[usize::from(EXPIRES)]));
        if !self.class.amend {
            image.push((-scalar_of(count * i128::from(self.class.drawn.0)), h[usize::from(DRAWN)]));
        }
        for (at, state) in (0u8..).zip(&self.states) {
            image.push((-scalar_of((*state).into()), h[usize::from(schema.state(at))]));
        }
        relation.equation(terms, image);
        for (form, value) in &self.forms {
            let terms: Vec<_> = form
                .terms
                .iter()
                .map(|(at, coefficient)| (scalar_of((*coefficient).into()), sums[usize::from(*at)], g))
                .collect();
            relation.equation(terms, [(scalar_of((*value).into()), g)]);
        }
        Ok(relation)
    }

    /// Adds the opening's proof for the sum `total` of its members' `M`, under the version `header`, to `accumulator`.
    ///
    /// # Errors
    /// [`CohortError`].
    pub(crate) fn accumulate(
        &self,
        programme: &Programme,
        header: &Header,
        total: Point,
        weights: &mut Weights,
        accumulator: &mut Accumulator,
    ) -> Result<(), CohortError> {
        if self.count < u64::from(header.policy.cohort_min) {
            return Err(CohortError::TooSmall);
        }
        let mut transcript = self.transcript(programme, header, &total);
        self.relation(programme, header, total)?.accumulate(&self.proof, &mut transcript, weights, accumulator)?;
        Ok(())
    }

    /// An upper bound for what a form grants to the cohort: exact where the form is in the span that was disclosed, the count
    /// times the form's maximum otherwise.
    pub fn evaluate(&self, form: &Form, schema: &Schema) -> i128 {
        let count = i128::from(self.count);
        let constant = i128::from(form.constant) * count;
        let Some((terms, factor)) = primitive(form) else { return constant };
        let disclosed = |terms: &[(u8, i64)]| {
            self.forms.iter().find(|(known, _)| known.terms == terms).map(|(_, sum)| i128::from(*sum))
        };
        let exact = disclosed(&terms).map(|sum| sum * i128::from(factor)).or_else(|| {
            form.terms.iter().map(|(at, by)| disclosed(&[(*at, 1)]).map(|sum| sum * i128::from(*by))).sum()
        });
        exact.map_or_else(|| form.maximum(schema) * count, |sum| constant + sum)
    }
}
