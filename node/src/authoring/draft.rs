//! A programme's file as a manifest header: read, checked, and made the genesis or the next version.

use annona_protocol::{
    group::Point,
    ids::{ManifestHash, ProgrammeId, Round},
    log::merkle,
    programme::{Header, Line, LogKey, LotTerms, Policy, Schema, Site, validate::MAX_ARITY},
    signature::PublicKey,
};

use super::{
    file::File,
    problem::{DraftError, DraftProblem},
    reader::Reader,
    source::Source,
};

/// A programme as its file says it: checked by itself, without keys of the issuer and without a version before.
#[derive(Debug)]
pub struct Draft {
    pub(super) source: Source,
    pub(super) file: File,
    languages: Vec<String>,
    pub(super) schema: Schema,
    pub(super) lines: Vec<Line>,
    sites: Vec<Site>,
    lots: Vec<LotTerms>,
    witnesses: Vec<LogKey>,
    officers: Vec<PublicKey>,
}

/// The most bytes of a file.
pub const MAX_FILE_BYTES: usize = 1 << 20;

impl Draft {
    /// Reads a programme's file; `name` is what errors call it.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what to do.
    pub fn parse(text: &str, name: &str) -> Result<Self, DraftError> {
        let source = Source::new(name, text);
        if text.len() > MAX_FILE_BYTES {
            return Err(source.error(0, DraftProblem::TooLong));
        }
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.error(at, DraftProblem::Toml(error.message().to_owned()))
        })?;
        let reader = Reader { source: &source, file: &file };
        reader.check_head()?;
        let languages = reader.languages()?;
        let schema = reader.schema()?;
        let lines = reader.lines(&schema, &languages)?;
        let lots = reader.lots(&schema, &lines)?;
        let sites = reader.sites(&languages)?;
        let witnesses = reader.witnesses()?;
        let officers = reader.officers()?;
        Ok(Self { languages, schema, lines, sites, lots, witnesses, officers, source, file })
    }

    /// The programme's languages, in order.
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// The first version: it lists no keys, and its hash is the programme's id.
    ///
    /// # Errors
    /// [`DraftError`], if the rules of manifests are broken in a way that the file by itself did not show.
    pub fn genesis(&self, issuer_key: Point, issuer_log: PublicKey) -> Result<Header, DraftError> {
        let spares = &self.file.schema.get_ref().spares;
        let states = usize::from(self.schema.lapse) + usize::from(self.schema.carry) + usize::from(*spares.get_ref());
        let fits = 3 + states + self.schema.attributes.len() <= MAX_ARITY;
        self.source.ensure(fits, spares, DraftProblem::Arity(MAX_ARITY - 3))?;
        let header = Header {
            version: 0,
            previous: ManifestHash::default(),
            programme: ProgrammeId::default(),
            issuer_key,
            issuer_log: LogKey { name: self.file.log.get_ref().clone(), key: issuer_log },
            schema: self.schema.clone(),
            lines: self.lines.clone(),
            key_count: 0,
            key_root: merkle::empty_root(),
            ..self.common(issuer_key, issuer_log)
        };
        self.validated(header)
    }

    /// What every version takes from the file as it stands.
    pub(super) fn common(&self, issuer_key: Point, issuer_log: PublicKey) -> Header {
        let file = &self.file;
        let (rounds, policy) = (file.rounds.get_ref(), file.policy.get_ref());
        Header {
            version: 0,
            previous: ManifestHash::default(),
            programme: ProgrammeId::default(),
            agency: file.agency.get_ref().clone(),
            name: file.name.get_ref().clone(),
            schema: self.schema.clone(),
            issuer_key,
            issuer_log: LogKey { name: file.log.get_ref().clone(), key: issuer_log },
            officers: self.officers.clone(),
            threshold: *file.officers.get_ref().threshold.get_ref(),
            witnesses: self.witnesses.clone(),
            witness_threshold: *file.witnesses.get_ref().threshold.get_ref(),
            policy: Policy {
                first_round: Round(*rounds.first.get_ref()),
                advance: *policy.advance.get_ref(),
                cohort_min: *policy.cohort_min.get_ref(),
            },
            last_round: Round(*rounds.last.get_ref()),
            lines: Vec::new(),
            sites: self.sites.clone(),
            lots: self.lots.clone(),
            key_count: 0,
            key_root: merkle::empty_root(),
        }
    }
}
