//! Who may run a party: tokens and roles.
//!
//! A token is 256 random bits, shown once; the store has its hash only. Roles are separate sets of rights, none above another: who
//! hands goods out does not also void visits.

use std::{collections::HashSet, fmt, str::FromStr};

use axum::http::{HeaderMap, header};
use rand_core::CryptoRng;
use rusqlite::params;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::store::{Store, StoreError};

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks at an issuer's state: tickets, rounds.
    Caseworker,
    /// Hands goods out at a site.
    Distributor,
    /// Opens and closes rounds and batches, voids visits, approves.
    Supervisor,
}

impl Role {
    const ALL: [Self; 3] = [Self::Caseworker, Self::Distributor, Self::Supervisor];

    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caseworker => "caseworker",
            Self::Distributor => "distributor",
            Self::Supervisor => "supervisor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such role. Roles are caseworker, distributor and supervisor")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

/// A token as it is shown once and sent with every request.
pub struct Token(Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

impl Token {
    /// What is shown to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What a token begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "annona-token-";
/// The context of the stored hash. Not part of the protocol: no other program sees it.
const CONTEXT: &str = "annona node operator token v1";

/// An operator as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name that it was given.
    pub name: String,
    /// Its role.
    pub role: Role,
}

/// Why the list of operators stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name is taken.
    #[error("there is an operator of this name. Revoke that one first, or choose another name")]
    Taken,
    /// The name cannot be used.
    #[error("a name has 1 to 64 letters, digits, spaces, dots and hyphens. Choose another")]
    Name,
    /// There is no operator of this name.
    #[error("there is no operator of this name. List them to see who there is")]
    Unknown,
}

impl From<rusqlite::Error> for OperatorError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Makes a token for a new operator.
///
/// # Errors
/// [`OperatorError`].
pub fn add<R: CryptoRng + ?Sized>(store: &Store, name: &str, role: Role, rng: &mut R) -> Result<Token, OperatorError> {
    let allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, ' ' | '.' | '-');
    if !(1..=64).contains(&name.chars().count()) || !name.chars().all(allowed) {
        return Err(OperatorError::Name);
    }
    let mut secret = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *secret);
    let digits = Zeroizing::new(hex::encode(*secret));
    let (hash, name) = (hash(&secret), name.to_owned());
    store.write(move |connection| {
        let inserted =
            connection.execute("INSERT INTO operators VALUES (?1, ?2, ?3)", params![hash, name, role.name()]);
        match inserted {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(OperatorError::Taken)
            }
            Err(error) => Err(error.into()),
        }
    })??;
    Ok(Token(Zeroizing::new([PREFIX, digits.as_str()].concat())))
}

/// All operators by name.
///
/// # Errors
/// [`OperatorError::Store`].
pub fn list(store: &Store) -> Result<Vec<Operator>, OperatorError> {
    let rows = store.read(|connection| {
        connection
            .prepare("SELECT name, role FROM operators ORDER BY name")?
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()
    })?;
    rows.into_iter().map(|(name, role)| Ok(Operator { name, role: parse_role(&role)? })).collect()
}

/// Makes an operator's token worthless, at once.
///
/// # Errors
/// [`OperatorError::Unknown`].
pub fn revoke(store: &Store, name: &str) -> Result<(), OperatorError> {
    let name = name.to_owned();
    store.write(move |connection| {
        let gone = connection.execute("DELETE FROM operators WHERE name = ?1", [name])?;
        if gone == 1 { Ok(()) } else { Err(OperatorError::Unknown) }
    })?
}

/// The hash of the token that a request brings.
pub(super) fn presented(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    let missing = || Problem::new("token-missing");
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    let digits = token.trim().strip_prefix(PREFIX).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits.ok_or_else(missing)?, &mut *secret).map_err(|_| missing())?;
    Ok(hash(&secret))
}

/// The role of a token, or that it is nobody's. Compares with every stored hash, in a time that does not tell how far it agreed.
pub(super) fn role_of(store: &Store, presented: &[u8; 32]) -> Result<Option<Role>, StoreError> {
    let rows = store.read(|connection| {
        connection
            .prepare_cached("SELECT token, role FROM operators")?
            .query_map([], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, String>(1)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let mut found = 0u32;
    for (at, (hash, _)) in (1u32..).zip(&rows) {
        let same: Choice = hash.ct_eq(presented);
        found.conditional_assign(&at, same);
    }
    let row = found.checked_sub(1).and_then(|at| rows.get(at as usize));
    row.map(|(_, role)| parse_role(role)).transpose()
}

/// The stored hashes of all tokens.
pub(super) fn hashes(store: &Store) -> Result<HashSet<[u8; 32]>, StoreError> {
    store.read(|connection| {
        connection.prepare("SELECT token FROM operators")?.query_map([], |row| row.get(0))?.collect()
    })
}

fn hash(secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(CONTEXT, secret)
}

fn parse_role(name: &str) -> Result<Role, StoreError> {
    name.parse().map_err(|UnknownRole| StoreError::Damaged("an operator has an unknown role".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random, store};

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_token_has_its_role_until_it_is_revoked_and_is_stored_as_a_hash_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path(), store::Role::Site).unwrap();
        let token = add(&store, "Amina", Role::Distributor, &mut random::os()).unwrap();
        let other = add(&store, "Bo", Role::Supervisor, &mut random::os()).unwrap();
        assert!(matches!(add(&store, "Amina", Role::Supervisor, &mut random::os()), Err(OperatorError::Taken)));
        let role = |token: &Token| {
            let hash = presented(&headers(&format!("Bearer {}", token.expose()))).unwrap();
            role_of(&store, &hash).unwrap()
        };
        assert_eq!((role(&token), role(&other)), (Some(Role::Distributor), Some(Role::Supervisor)));
        assert_eq!(list(&store).unwrap()[0], Operator { name: "Amina".into(), role: Role::Distributor });
        store.truncate_wal().unwrap();
        let file = std::fs::read(store.path()).unwrap();
        let digits = token.expose().strip_prefix(PREFIX).unwrap();
        for secret in [digits.as_bytes(), &hex::decode(digits).unwrap()] {
            assert!(!file.windows(secret.len()).any(|window| window == secret));
        }
        revoke(&store, "Amina").unwrap();
        assert_eq!((role(&token), role(&other)), (None, Some(Role::Supervisor)));
        assert!(matches!(revoke(&store, "Amina"), Err(OperatorError::Unknown)));
    }

    #[test]
    fn what_is_no_token_is_refused_before_the_store_is_asked() {
        let token = format!("{PREFIX}{}", "0".repeat(64));
        assert!(presented(&headers(&format!("bearer {token}"))).is_ok());
        for value in
            ["", "Bearer", "Bearer ", "Bearer x", &token, &format!("Basic {token}"), &format!("Bearer {token}0")]
        {
            assert_eq!(presented(&headers(value)).unwrap_err().code(), "token-missing", "{value}");
        }
        assert!(presented(&HeaderMap::new()).is_err());
    }

    #[test]
    fn names_are_plain() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path(), store::Role::Site).unwrap();
        for name in ["", "a\nb", "a\u{7}", &"x".repeat(65)] {
            assert!(matches!(add(&store, name, Role::Supervisor, &mut random::os()), Err(OperatorError::Name)));
        }
    }
}
