//! From the file as it is written to the parts of a manifest.

use std::collections::{HashMap, HashSet};

use annona_protocol::{
    ids::{LineId, LotId, Round, SiteId},
    log::{VerifierKey, note::KeyType},
    programme::{
        Attribute, Carry, Form, Label, Line, LogKey, LotTerms, Schema, Since, Site, Start, TicketKind, Worth,
        validate::MAX_ARITY,
    },
    range::MAX_VALUES,
    signature::PublicKey,
};

use super::{
    file::{self, At, Entries, File, From, LineKind, LotKind},
    forms,
    problem::{DraftError, DraftProblem},
    source::Source,
};

/// No programme plans more rounds.
const MAX_ROUNDS: u32 = 1200;

/// Reads a file's parts; checks each, and what they say of each other.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) file: &'a File,
}

impl Reader<'_> {
    pub(super) fn check_head(&self) -> Result<(), DraftError> {
        let (source, file) = (self.source, self.file);
        source.text(&file.agency)?;
        source.text(&file.name)?;
        self.log_name(&file.log)?;
        let width = &file.schema.get_ref().width;
        source.ensure(matches!(width.get_ref(), 16 | 32), width, DraftProblem::Width)?;
        let limit = 1u64 << width.get_ref();
        let (rounds, policy) = (file.rounds.get_ref(), file.policy.get_ref());
        source.range(&rounds.first, "the first round", 1, limit - u64::from(MAX_ROUNDS) - 1)?;
        let first = u64::from(*rounds.first.get_ref());
        source.range(&rounds.last, "the last round", first, first + u64::from(MAX_ROUNDS) - 1)?;
        source.range(&policy.advance, "`advance`", 0, MAX_ROUNDS.into())?;
        source.range(&policy.cohort_min, "`cohort_min`", 2, u32::MAX.into())
    }

    fn log_name(&self, name: &At<String>) -> Result<(), DraftError> {
        self.source.text(name)?;
        let fits = !name.get_ref().contains(|c: char| c.is_whitespace() || c == '+');
        self.source.ensure(fits, name, DraftProblem::LogName)
    }

    pub(super) fn languages(&self) -> Result<Vec<String>, DraftError> {
        let mut seen = HashSet::new();
        for language in self.file.languages.get_ref() {
            let tag = language.get_ref();
            let mut parts = tag.split('-');
            let primary = parts.next().is_some_and(|part| {
                (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase())
            });
            let is_tag = primary
                && tag.len() <= 35
                && parts
                    .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            self.source.ensure(is_tag, language, DraftProblem::Language)?;
            self.source.ensure(seen.insert(tag), language, DraftProblem::Duplicate("the language"))?;
        }
        Ok(self.file.languages.get_ref().iter().map(|language| language.get_ref().clone()).collect())
    }

    /// Labels in the order of the programme's languages.
    fn labels(&self, labels: &At<Entries>, languages: &[String]) -> Result<Vec<Label>, DraftError> {
        for (language, text) in &labels.get_ref().0 {
            self.source.ensure(languages.contains(language.get_ref()), language, DraftProblem::LanguageUnlisted)?;
            self.source.text(text)?;
        }
        let of = |language: &String| {
            let found = labels.get_ref().0.iter().find(|(tag, _)| tag.get_ref() == language);
            let (_, text) =
                found.ok_or_else(|| self.source.at(labels, DraftProblem::LabelMissing(language.clone())))?;
            Ok(Label { language: language.clone(), text: text.get_ref().clone() })
        };
        languages.iter().map(of).collect()
    }

    pub(super) fn schema(&self) -> Result<Schema, DraftError> {
        let (source, file) = (self.source, self.file);
        let raw = file.schema.get_ref();
        let kinds = |kind| file.lines.iter().filter(|line| *line.get_ref().kind.get_ref() == kind).count();
        let (lapse, carry) = (kinds(LineKind::Lapse), kinds(LineKind::Carry));
        // Without spares: in a later version, lines stand on them. The genesis counts them.
        let coordinates = 3 + lapse + carry + file.attributes.len();
        source.ensure(coordinates <= MAX_ARITY, &file.schema, DraftProblem::Arity(MAX_ARITY - 3))?;
        let narrow = |count: usize| u8::try_from(count).expect("at most MAX_ARITY");
        let limit = 1u64 << raw.width.get_ref();
        let mut names = HashSet::new();
        let mut attributes = Vec::new();
        for attribute in &file.attributes {
            let attribute = attribute.get_ref();
            let name = source.name(&attribute.name)?;
            source.ensure(names.insert(name.clone()), &attribute.name, DraftProblem::Duplicate("the attribute"))?;
            source.range(&attribute.max, "the attribute's `max`", 0, limit - 1)?;
            let max = *attribute.max.get_ref();
            source.range(&attribute.min, "the attribute's `min`", 0, max)?;
            attributes.push(Attribute { name, min: *attribute.min.get_ref(), max });
        }
        Ok(Schema {
            width: *raw.width.get_ref(),
            lapse: narrow(lapse),
            carry: narrow(carry),
            spares: *raw.spares.get_ref(),
            attributes,
        })
    }

    pub(super) fn lines(&self, schema: &Schema, languages: &[String]) -> Result<Vec<Line>, DraftError> {
        let source = self.source;
        let (mut ids, mut names, mut forms) = (HashSet::new(), HashSet::new(), 0);
        let mut lines = Vec::new();
        for line in &self.file.lines {
            let at = line;
            let line = line.get_ref();
            source.ensure(ids.insert(*line.id.get_ref()), &line.id, DraftProblem::Duplicate("the line's id"))?;
            let name = source.name(&line.name)?;
            source.ensure(names.insert(name.clone()), &line.name, DraftProblem::Duplicate("the line's name"))?;
            let line = self.line(line, name, schema, languages)?;
            forms += 1 + line.predicates.iter().map(|entry| entry.value.len()).max().unwrap_or(0);
            source.ensure(forms <= MAX_VALUES, at, DraftProblem::TooManyForms(MAX_VALUES))?;
            lines.push(line);
        }
        lines.sort_unstable_by_key(|line| line.id);
        // Lapse lines have the first coordinates, carry lines the next, both in the order of their ids.
        let (mut lapse, mut carry) = (0, schema.lapse);
        for line in &mut lines {
            let next = if line.carry == Carry::Lapse { &mut lapse } else { &mut carry };
            line.state = *next;
            *next += 1;
        }
        Ok(lines)
    }

    fn line(&self, line: &file::Line, name: String, schema: &Schema, languages: &[String]) -> Result<Line, DraftError> {
        let source = self.source;
        let carry = match line.kind.get_ref() {
            LineKind::Lapse => Carry::Lapse,
            LineKind::Carry => Carry::Carry,
        };
        let accrual = self.since(line.accrual.get_ref(), |text| self.grant(text, schema))?;
        let predicates = match &line.predicates {
            Some(predicates) if carry == Carry::Carry => {
                return Err(source.at(predicates, DraftProblem::PredicateOnCarry));
            }
            Some(predicates) => self
                .since(predicates.get_ref(), |texts| texts.iter().map(|text| self.predicate(text, schema)).collect())?,
            None => Vec::new(),
        };
        let worth = self.since(&line.worth, |texts| texts.iter().map(|text| self.worth(text)).collect())?;
        let read = Line {
            id: LineId(*line.id.get_ref()),
            name,
            carry,
            state: 0,
            accrual,
            predicates,
            values: self.values(&line.values, schema)?,
            unit: source.text(&line.unit)?,
            worth,
            labels: self.labels(&line.labels, languages)?,
            pictogram: source.name(&line.pictogram)?,
        };
        if carry == Carry::Carry {
            let rounds = self.file.rounds.get_ref();
            let all = read.cumulative(Round(*rounds.first.get_ref()), Round(*rounds.last.get_ref()));
            let (maximum, limit) = (maximum(&all, schema), schema.limit());
            source.ensure(maximum < limit, &line.accrual, DraftProblem::AccruesTooMuch { maximum, limit })?;
        }
        Ok(read)
    }

    fn since<T, U>(
        &self,
        entries: &[From<T>],
        read: impl Fn(&T) -> Result<U, DraftError>,
    ) -> Result<Vec<Since<U>>, DraftError> {
        let mut last = None;
        let mut since = Vec::new();
        for entry in entries {
            let round = *entry.from.get_ref();
            self.source.ensure(last.is_none_or(|last| last < round), &entry.from, DraftProblem::Order)?;
            last = Some(round);
            since.push(Since { round: Round(round), value: read(&entry.is)? });
        }
        Ok(since)
    }

    /// A form of what a household gets: never negative, below the width.
    fn grant(&self, text: &At<String>, schema: &Schema) -> Result<Form, DraftError> {
        let form = self.form(text, schema, forms::sum)?;
        let is_monotone = form.constant >= 0 && form.terms.iter().all(|(_, by)| *by > 0);
        self.source.ensure(is_monotone, text, DraftProblem::Negative)?;
        Ok(form)
    }

    fn predicate(&self, text: &At<String>, schema: &Schema) -> Result<Form, DraftError> {
        self.form(text, schema, forms::condition)
    }

    fn form(
        &self,
        text: &At<String>,
        schema: &Schema,
        read: impl Fn(&str, &[Attribute]) -> Result<Form, forms::FormError>,
    ) -> Result<Form, DraftError> {
        let form = read(text.get_ref(), &schema.attributes)
            .map_err(|error| self.source.inside(text, error.at, error.problem.into()))?;
        let largest =
            form.terms.iter().map(|(_, by)| *by).chain([form.constant]).map(|number| i128::from(number).abs());
        let maximum = largest.chain([maximum(&form, schema)]).max().unwrap_or(0);
        let limit = schema.limit();
        self.source.ensure(maximum < limit, text, DraftProblem::TooLarge { maximum, limit })?;
        Ok(form)
    }

    fn values(&self, values: &At<Vec<At<u32>>>, schema: &Schema) -> Result<Vec<u32>, DraftError> {
        self.source.ensure(!values.get_ref().is_empty(), values, DraftProblem::NoValues)?;
        let most = u64::try_from(schema.limit() - 1).expect("2^32 at most").min(u32::MAX.into());
        let mut read = Vec::new();
        for value in values.get_ref() {
            self.source.range(value, "a voucher value", 1, most)?;
            self.source.ensure(!read.contains(value.get_ref()), value, DraftProblem::Duplicate("the voucher value"))?;
            read.push(*value.get_ref());
        }
        read.sort_unstable();
        Ok(read)
    }

    fn worth(&self, text: &At<String>) -> Result<Worth, DraftError> {
        self.source.text(text)?;
        let mut words = text.get_ref().split_whitespace();
        let amount = words.next().and_then(|amount| amount.parse().ok());
        let measure = words.next().map(str::to_owned);
        let item = words.collect::<Vec<_>>().join(" ");
        match (amount, measure) {
            (Some(amount), Some(measure)) if !item.is_empty() => Ok(Worth { item, amount, measure }),
            _ => Err(self.source.at(text, DraftProblem::Worth)),
        }
    }

    pub(super) fn sites(&self, languages: &[String]) -> Result<Vec<Site>, DraftError> {
        let source = self.source;
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        let mut log_names = HashSet::from([self.file.log.get_ref().clone()]);
        let mut log_keys = HashSet::new();
        let mut sites = Vec::new();
        for site in &self.file.sites {
            let site = site.get_ref();
            source.ensure(ids.insert(*site.id.get_ref()), &site.id, DraftProblem::Duplicate("the site's id"))?;
            let name = source.text(&site.name)?;
            source.ensure(names.insert(name.clone()), &site.name, DraftProblem::Duplicate("the site's name"))?;
            source.ensure(matches!(site.slots.get_ref(), 0 | 2..=4), &site.slots, DraftProblem::Slots)?;
            source.ensure(!site.logs.get_ref().is_empty(), &site.logs, DraftProblem::NoLog)?;
            let mut logs = Vec::new();
            for key in site.logs.get_ref() {
                let log = self.verifier(key, KeyType::Log, "log")?;
                let is_new = log_names.insert(log.name.clone()) && log_keys.insert(log.key);
                source.ensure(is_new, key, DraftProblem::Duplicate("the log's name or key"))?;
                logs.push(log);
            }
            let labels = match &site.labels {
                Some(labels) => self.labels(labels, languages)?,
                // `und`: the language is not determined.
                None => vec![Label { language: "und".into(), text: name.clone() }],
            };
            sites.push(Site { id: SiteId(*site.id.get_ref()), name, slots: *site.slots.get_ref(), logs, labels });
        }
        sites.sort_unstable_by_key(|site| site.id);
        Ok(sites)
    }

    fn verifier(&self, text: &At<String>, kind: KeyType, what: &'static str) -> Result<LogKey, DraftError> {
        let key: Option<VerifierKey> = text.get_ref().parse().ok();
        match key.filter(|key| key.key_type() == kind) {
            Some(key) => Ok(LogKey { name: key.name().to_owned(), key: PublicKey(key.key().to_bytes()) }),
            None => Err(self.source.at(text, DraftProblem::VerifierKey(what))),
        }
    }

    pub(super) fn witnesses(&self) -> Result<Vec<LogKey>, DraftError> {
        let raw = self.file.witnesses.get_ref();
        let mut seen = HashSet::new();
        let mut keys = Vec::new();
        for text in raw.keys.get_ref() {
            let key = self.verifier(text, KeyType::Witness, "witness")?;
            self.source.ensure(seen.insert(key.key), text, DraftProblem::Duplicate("the witness"))?;
            keys.push(key);
        }
        self.source.range(&raw.threshold, "the witnesses' threshold", 0, keys.len() as u64)?;
        Ok(keys)
    }

    pub(super) fn officers(&self) -> Result<Vec<PublicKey>, DraftError> {
        let raw = self.file.officers.get_ref();
        let mut seen = HashSet::new();
        let mut keys = Vec::new();
        for text in raw.keys.get_ref() {
            let mut bytes = [0; 32];
            let key = hex::decode_to_slice(text.get_ref(), &mut bytes).ok().map(|()| PublicKey(bytes));
            let key = key.filter(PublicKey::is_valid).ok_or_else(|| self.source.at(text, DraftProblem::OfficerKey))?;
            self.source.ensure(seen.insert(key), text, DraftProblem::Duplicate("the officer's key"))?;
            keys.push(key);
        }
        self.source.range(&raw.threshold, "the officers' threshold", 1, (keys.len() as u64).clamp(1, 255))?;
        let enough = usize::from(*raw.threshold.get_ref()) <= keys.len() && keys.len() <= 255;
        let max = keys.len() as u64;
        self.source.ensure(enough, &raw.keys, DraftProblem::Range { what: "the officers' number", min: 1, max })?;
        Ok(keys)
    }

    pub(super) fn lots(&self, schema: &Schema, lines: &[Line]) -> Result<Vec<LotTerms>, DraftError> {
        let source = self.source;
        let rounds = self.file.rounds.get_ref();
        let (first, last) = (*rounds.first.get_ref(), *rounds.last.get_ref());
        let by_name: HashMap<&str, &Line> = lines.iter().map(|line| (line.name.as_str(), line)).collect();
        let mut ids = HashSet::new();
        let mut lots = Vec::new();
        for lot in &self.file.lots {
            let lot = lot.get_ref();
            source.ensure(ids.insert(*lot.id.get_ref()), &lot.id, DraftProblem::Duplicate("the lot's id"))?;
            let kind = match lot.kind.get_ref() {
                LotKind::Enrol => TicketKind::Enrol,
                LotKind::Amend => TicketKind::Amend,
                LotKind::Split => TicketKind::Split,
            };
            let start = lot.start.get_ref();
            source.range(&start.drawn, "`drawn`", u64::from(first) - 1, last.into())?;
            let drawn = Round(*start.drawn.get_ref());
            let mut balances = Vec::new();
            for (name, text) in &start.balances.0 {
                source.ensure(drawn.0 >= first, name, DraftProblem::EarlyBalances)?;
                let line = by_name.get(name.get_ref().as_str());
                let line = line.ok_or_else(|| source.at(name, DraftProblem::UnknownLine))?;
                let form = self.grant(text, schema)?;
                if line.carry == Carry::Carry {
                    let later = line.cumulative(Round(first), Round(last));
                    let (maximum, limit) = (maximum(&form, schema) + maximum(&later, schema), schema.limit());
                    source.ensure(maximum < limit, text, DraftProblem::AccruesTooMuch { maximum, limit })?;
                }
                balances.push((line.id, form));
            }
            balances.sort_unstable_by_key(|(line, _)| *line);
            lots.push(LotTerms { id: LotId(*lot.id.get_ref()), kind, start: Start { drawn, balances } });
        }
        lots.sort_unstable_by_key(|lot| lot.id);
        Ok(lots)
    }
}

/// The largest value of a form over the schema's ranges.
fn maximum(form: &Form, schema: &Schema) -> i128 {
    form.terms.iter().fold(i128::from(form.constant), |sum, (at, by)| {
        let attribute = &schema.attributes[usize::from(*at)];
        sum + i128::from(*by) * i128::from(if *by > 0 { attribute.max } else { attribute.min })
    })
}
