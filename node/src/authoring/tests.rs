//! The sample, and files as people get them wrong.

use annona_protocol::{
    ids::ProgrammeId,
    programme::{
        Attribute, Carry, Form, Line, LotTerms, ManifestError, Policy, Schema, Since, Start, TicketKind, Worth,
    },
};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;

fn issuer_log() -> PublicKey {
    PublicKey::of(&SigningKey::from_bytes(&[1; 32]))
}

fn draft(text: &str) -> Result<Draft, DraftError> {
    Draft::parse(text, "programme.toml")
}

fn genesis_of(text: &str) -> Result<Header, DraftError> {
    draft(text)?.genesis(Point::generator(), issuer_log())
}

/// The sample with one piece of text replaced.
fn edited(from: &str, to: &str) -> String {
    assert!(SAMPLE.contains(from), "{from}");
    SAMPLE.replacen(from, to, 1)
}

/// Line, column and problem of an edited sample; the place is where `near` begins in the edited text.
fn refused(from: &str, to: &str, near: &str) -> DraftProblem {
    let text = edited(from, to);
    let error = genesis_of(&text).expect_err(to);
    assert_place(&error, &text, near);
    error.problem
}

fn assert_place(error: &DraftError, text: &str, near: &str) {
    let at = text.find(near).unwrap_or_else(|| panic!("{near}"));
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    assert_eq!((error.line, error.column), (line, column), "{error}");
    assert!(error.to_string().starts_with(&format!("programme.toml, line {line}, column {column}: ")));
}

const CASH_VALUES: [u32; 6] = [1, 2, 5, 10, 20, 50];
const ITEM_VALUES: [u32; 4] = [1, 2, 4, 8];

fn label(language: &str, text: &str) -> Label {
    Label { language: language.into(), text: text.into() }
}

fn since_start<T>(value: T) -> Vec<Since<T>> {
    vec![Since { round: Round(1), value }]
}

fn worth(items: &[(&str, u64, &str)]) -> Vec<Since<Vec<Worth>>> {
    let worth = |(item, amount, measure): &(&str, u64, &str)| Worth {
        item: (*item).into(),
        amount: *amount,
        measure: (*measure).into(),
    };
    since_start(items.iter().map(worth).collect())
}

const MEMBERS: u8 = 0;
const UNDER_TWO: u8 = 1;

fn lines() -> Vec<Line> {
    let members = |by| Form { constant: 0, terms: vec![(MEMBERS, by)] };
    let under_two = Form { constant: 0, terms: vec![(UNDER_TWO, 1)] };
    let at_least_one = Form { constant: -1, terms: vec![(UNDER_TWO, 1)] };
    vec![
        Line {
            id: LineId(1),
            name: "food".into(),
            carry: Carry::Lapse,
            state: 0,
            accrual: since_start(members(1)),
            predicates: Vec::new(),
            values: ITEM_VALUES.to_vec(),
            unit: "person-ration".into(),
            worth: worth(&[("cereals", 12_000, "g"), ("pulses", 1_800, "g"), ("oil", 900, "g"), ("salt", 150, "g")]),
            labels: vec![
                label("en", "food ration"),
                label("fr", "ration alimentaire"),
                label("ar", "حصة غذائية"),
                label("uk", "продуктовий набір"),
            ],
            pictogram: "food".into(),
        },
        Line {
            id: LineId(2),
            name: "soap".into(),
            carry: Carry::Lapse,
            state: 1,
            accrual: since_start(members(1)),
            predicates: Vec::new(),
            values: ITEM_VALUES.to_vec(),
            unit: "person-share".into(),
            worth: worth(&[("soap", 450, "g")]),
            labels: vec![label("en", "soap"), label("fr", "savon"), label("ar", "صابون"), label("uk", "мило")],
            pictogram: "soap".into(),
        },
        Line {
            id: LineId(3),
            name: "infant".into(),
            carry: Carry::Lapse,
            state: 2,
            accrual: since_start(under_two),
            predicates: since_start(vec![at_least_one]),
            values: ITEM_VALUES.to_vec(),
            unit: "child-ration".into(),
            worth: worth(&[("fortified blend", 3_000, "g")]),
            labels: vec![
                label("en", "infant food"),
                label("fr", "aliment pour nourrissons"),
                label("ar", "غذاء الرضع"),
                label("uk", "дитяче харчування"),
            ],
            pictogram: "infant".into(),
        },
        Line {
            id: LineId(4),
            name: "cash".into(),
            carry: Carry::Carry,
            state: 3,
            accrual: since_start(Form { constant: 10, terms: vec![(MEMBERS, 6)] }),
            predicates: Vec::new(),
            values: CASH_VALUES.to_vec(),
            unit: "unit of currency".into(),
            worth: worth(&[("currency", 100, "hundredths")]),
            labels: vec![label("en", "cash"), label("fr", "argent"), label("ar", "نقد"), label("uk", "готівка")],
            pictogram: "cash".into(),
        },
    ]
}

/// The programme that was written in code before it was a file.
#[test]
fn the_sample_is_the_food_and_cash_programme() {
    let header = genesis_of(SAMPLE).unwrap();
    let schema = Schema {
        width: 16,
        lapse: 3,
        carry: 1,
        spares: 2,
        attributes: vec![
            Attribute { name: "members".into(), min: 1, max: 15 },
            Attribute { name: "under-two".into(), min: 0, max: 15 },
        ],
    };
    let lots =
        vec![LotTerms { id: LOT, kind: TicketKind::Enrol, start: Start { drawn: Round(0), balances: Vec::new() } }];
    assert_eq!(header.lines, lines());
    assert_eq!((header.schema.clone(), header.lots.clone()), (schema, lots));
    assert_eq!(header.policy, Policy { first_round: Round(1), advance: 0, cohort_min: 50 });
    assert_eq!((header.version, header.last_round), (0, Round(ROUNDS)));
    assert_eq!((header.agency.as_str(), header.name.as_str()), ("Example Relief", "Food and cash"));
    assert_eq!(header.issuer_log, LogKey { name: ISSUER_LOG.into(), key: issuer_log() });
    assert_eq!((header.officers.len(), header.threshold), (3, 2));
    assert_eq!((header.witnesses[0].name.as_str(), header.witness_threshold), ("witness.example", 1));
    let sites: Vec<_> = header.sites.iter().map(|site| (site.id.0, site.name.as_str(), site.slots)).collect();
    assert_eq!(sites, [(1, "north-gate", 0), (2, "old-school", 0), (3, "river-camp", 0)]);
    for site in &header.sites {
        assert_eq!(site.logs[0].name, site_log(site.id));
        assert_eq!(site.labels, vec![label("und", &site.name)]);
    }
    assert_eq!(draft(SAMPLE).unwrap().languages(), ["en", "fr", "ar", "uk"]);
    header.validate().unwrap();
}

/// The demo's programme is the sample with the parties' own keys.
#[test]
fn the_demos_genesis_is_the_sample_with_other_keys() {
    let rng = &mut rand_core::UnwrapErr(rand::rngs::SysRng);
    let officers = Officers::generate(3, rng);
    let key = PublicKey::of(&signing_key(rng));
    let parties = Parties {
        issuer_key: Point::generator(),
        issuer_log: issuer_log(),
        officers: &officers,
        witness: LogKey { name: "witness.example".into(), key: PublicKey::of(&signing_key(rng)) },
        sites: &[(SiteName::parse("Gate, \"2\"").unwrap(), key)],
    };
    let limits = Limits { members_max: 9, under_two_max: 4, months_max: 12 };
    let header = genesis(&parties, &limits);
    header.validate().unwrap();
    let maxima: Vec<u64> = header.schema.attributes.iter().map(|attribute| attribute.max).collect();
    assert_eq!((maxima, header.lines), (vec![9, 4], lines()));
    assert_eq!(header.officers, officers.public());
    assert_eq!((header.sites[0].name.as_str(), header.sites[0].logs[0].key), ("Gate, \"2\"", key));
}

#[test]
fn keys_are_every_line_value_site_and_slot() {
    let mut header = genesis_of(SAMPLE).unwrap();
    assert_eq!(key_ids(&header, Round(3)).len(), 3 * (4 + 4 + 4 + 6));
    header.sites[1].slots = 3;
    let ids = key_ids(&header, Round(3));
    assert_eq!(ids.len(), 5 * 18);
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert!(ids.iter().all(|id| id.round == Round(3) && id.slot.is_some() == (id.site == Some(SiteId(2)))));
    let master = RoundMaster::from_bytes(&[5; 64]);
    let keys = round_keys(&header, &master, Round(3)).unwrap();
    assert_eq!(keys.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
    let next = with_keys(&header, &[], &keys);
    assert_eq!((next.version, next.key_count as usize), (1, keys.len()));
    next.validate().unwrap();
    next.follows(&header).unwrap();
    assert_eq!(merkle::root(&keys.iter().map(KeyEntry::leaf).collect::<Vec<_>>()), next.key_root);
}

#[test]
fn broken_toml_names_its_place() {
    for (from, to, near) in [
        ("agency = ", "agency ", "\"Example Relief\""),
        ("width = 16", "width = sixteen", "sixteen"),
        ("width = 16", "width = 70000", "70000"),
        ("id = 1\nname = \"food\"", "id = 99999999999999999999\nname = \"food\"", "99999999999999999999"),
        ("id = 1\nname = \"food\"", "id = -1\nname = \"food\"", "-1\nname = \"food\""),
        ("kind = \"carry\"\naccrual", "kind = \"cary\"\naccrual", "\"cary\""),
        ("cohort_min = 50", "cohort_min = 50\ncohort_max = 90", "cohort_max"),
        ("from = 1, is = \"members\"", "from = 1, are = \"members\"", "are = "),
        (
            "pictogram = \"soap\"",
            "pictogram = \"soap\"\npictogram = \"food\"",
            "pictogram = \"food\"\n\n[[lines]]\nid = 3",
        ),
        ("labels = { en = \"soap\"", "labels = { en = 7", "7, fr"),
    ] {
        assert!(matches!(refused(from, to, near), DraftProblem::Toml(_)), "{to}");
    }
    let missing = genesis_of(&edited("pictogram = \"soap\"\n", "")).unwrap_err();
    assert!(missing.to_string().ends_with("missing field `pictogram`: add it"), "{missing}");
    assert_eq!(missing.line, SAMPLE[..SAMPLE.find("[[lines]]\nid = 2").unwrap()].matches('\n').count() + 1);
    assert!(matches!(draft("").unwrap_err().problem, DraftProblem::Toml(_)));
    assert_eq!(draft(&" ".repeat(MAX_FILE_BYTES + 1)).unwrap_err().problem, DraftProblem::TooLong);
    // What a parser says of a control character does not reach a terminal.
    let error = draft("agency = \"\u{1b}[2J\"").unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn every_problem_names_its_place_and_what_to_do() {
    use DraftProblem as P;
    let no_attribute = |name: &str| {
        P::Form(FormProblem::UnknownAttribute { name: name.into(), known: vec!["members".into(), "under-two".into()] })
    };
    let range = |what, min, max| P::Range { what, min, max };
    let cases: Vec<(&str, &str, &str, P)> = vec![
        ("10 + 6 * members", "10 + 6 * member", "member\" }", no_attribute("member")),
        ("under-two >= 1", "children >= 1", "children", no_attribute("children")),
        ("10 + 6 * members", "10 - 6 * members", "\"10 - 6", P::Negative),
        ("10 + 6 * members", "99999999999999999999999", "99999999999999999999999", P::Form(FormProblem::Number)),
        ("10 + 6 * members", "10 + 5000 * members", "\"10 + 5000", P::TooLarge { maximum: 75_010, limit: 65_536 }),
        ("10 + 6 * members", "70000", "\"70000", P::TooLarge { maximum: 70_000, limit: 65_536 }),
        (
            "accrual = [{ from = 1, is = \"10 + 6 * members\" }]",
            "accrual = [{ from = 1, is = \"10 + 600 * members\" }]",
            "[{ from = 1, is = \"10 + 600",
            P::AccruesTooMuch { maximum: 12 * 9010, limit: 65_536 },
        ),
        ("[\"under-two >= 1\"]", "[\"under-two > 0\"]", "> 0", P::Form(FormProblem::Comparison)),
        (
            "is = \"under-two\" }",
            "is = \"under-two\" }, { from = 1, is = \"members\" }",
            "1, is = \"members\" }]\npred",
            P::Order,
        ),
        (
            "kind = \"carry\"\n",
            "kind = \"carry\"\npredicates = [{ from = 1, is = [\"members >= 1\"] }]\n",
            "[{ from = 1, is = [\"members >= 1",
            P::PredicateOnCarry,
        ),
        ("id = 2\nname = \"soap\"", "id = 1\nname = \"soap\"", "1\nname = \"soap\"", P::Duplicate("the line's id")),
        (
            "name = \"soap\"",
            "name = \"food\"",
            "\"food\"\nkind = \"lapse\"\naccrual = [{ from = 1, is = \"members\" }]\nvalues = [1, 2, 4, 8]\nunit = \"person-share",
            P::Duplicate("the line's name"),
        ),
        ("name = \"soap\"", "name = \"so ap\"", "\"so ap\"", P::Name),
        ("name = \"under-two\"", "name = \"members\"", "\"members\"\nmin = 0", P::Duplicate("the attribute")),
        ("name = \"under-two\"", "name = \"2nd\"", "\"2nd\"", P::Name),
        ("min = 1\n", "min = 16\n", "16\nmax = 15", range("the attribute's `min`", 0, 15)),
        ("max = 15\n", "max = 65536\n", "65536", range("the attribute's `max`", 0, 65_535)),
        ("width = 16", "width = 24", "24", P::Width),
        ("spares = 2", "spares = 56", "56", P::Arity(61)),
        ("spares = 2", "spares = 255", "255", P::Arity(61)),
        ("first = 1", "first = 0", "0\nlast", range("the first round", 1, 64_335)),
        ("last = 12", "last = 4294967295", "4294967295", range("the last round", 1, 1200)),
        ("cohort_min = 50", "cohort_min = 1", "1\n\n# `width`", range("`cohort_min`", 2, u32::MAX.into())),
        ("[1, 2, 5, 10, 20, 50]", "[]", "[]", P::NoValues),
        ("[1, 2, 5, 10, 20, 50]", "[1, 0]", "0]", range("a voucher value", 1, 65_535)),
        ("[1, 2, 5, 10, 20, 50]", "[1, 65536]", "65536", range("a voucher value", 1, 65_535)),
        ("[1, 2, 5, 10, 20, 50]", "[1, 2, 1]", "1]\nunit = \"unit", P::Duplicate("the voucher value")),
        ("\"450 g soap\"", "\"450g soap\"", "\"450g soap\"", P::Worth),
        ("\"450 g soap\"", "\"-450 g soap\"", "\"-450 g soap\"", P::Worth),
        (", uk = \"мило\" }", " }", "{ en = \"soap\"", P::LabelMissing("uk".into())),
        ("uk = \"мило\"", "uk = \"мило\", de = \"Seife\"", "de = ", P::LanguageUnlisted),
        ("\"uk\"]", "\"UK\"]", "\"UK\"]", P::Language),
        ("\"uk\"]", "\"fr\"]", "\"fr\"]", P::Duplicate("the language")),
        ("slots = 0", "slots = 1", "1\nlogs", P::Slots),
        ("site-1+406952ad", "site-1+406952ae", "\"annona.example/food-and-cash/site-1+406952ae", P::VerifierKey("log")),
        ("name = \"old-school\"", "name = \"old\\u202eschool\"", "\"old\\u202eschool\"", P::Text { max: 200 }),
        ("name = \"Food and cash\"", "name = \" \"", "\" \"", P::Text { max: 200 }),
        ("log = \"annona.example/food-and-cash/issuer\"", "log = \"a b\"", "\"a b\"", P::LogName),
        ("drawn = 0", "drawn = 13", "13 }", range("`drawn`", 0, 12)),
        ("drawn = 0", "drawn = 0, balances = { food = \"members\" }", "food = \"members\" } }\n", P::EarlyBalances),
        ("drawn = 0", "drawn = 1, balances = { foot = \"members\" }", "foot = \"members", P::UnknownLine),
        ("threshold = 1\n", "threshold = 2\n", "2\nkeys = [\"witness", range("the witnesses' threshold", 0, 1)),
        ("threshold = 2\n", "threshold = 4\n", "4\nkeys = [\n", range("the officers' threshold", 1, 3)),
        ("f5206fda", "f5206fd", "\"f5206fdf52", P::OfficerKey),
        (
            "f5206fdaf52b88152740b5327d8b745ebeb24c0347692aa7faaa549b0559b627",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "\"0100000",
            P::OfficerKey,
        ),
    ];
    for (from, to, near, problem) in cases {
        let found = refused(from, to, near);
        assert_eq!(found, problem, "{to}");
        assert!(found.to_string().contains(':'), "{found} says what to do");
    }
}

#[test]
fn more_forms_than_a_draw_proves_are_refused() {
    let conditions = vec!["\"under-two >= 1\""; 13].join(", ");
    let text = edited("[\"under-two >= 1\"]", &format!("[{conditions}]"));
    let error = genesis_of(&text).unwrap_err();
    assert_eq!(error.problem, DraftProblem::TooManyForms(16));
    assert!(genesis_of(&text.replacen("\"under-two >= 1\", ", "", 1)).is_ok());
}

/// A rule that only the whole header can break still has a place.
#[test]
fn what_the_protocol_refuses_has_a_place() {
    let key = |text: &str| PublicKey(hex::decode(text).unwrap().try_into().unwrap());
    let site_key = genesis_of(SAMPLE).unwrap().sites[1].logs[0].key;
    let error = draft(SAMPLE).unwrap().genesis(Point::generator(), site_key).unwrap_err();
    assert_eq!(error.problem, DraftProblem::Manifest(ManifestError::Site(SiteId(2))));
    assert_place(&error, SAMPLE, "2\nname = \"old-school");
    let weak = key("0100000000000000000000000000000000000000000000000000000000000000");
    let error = draft(SAMPLE).unwrap().genesis(Point::generator(), weak).unwrap_err();
    assert_eq!(error.problem, DraftProblem::Manifest(ManifestError::Keys));
}

#[test]
fn an_edited_file_is_the_next_version() {
    let genesis = genesis_of(SAMPLE).unwrap();
    let text = SAMPLE
        .replace("last = 12", "last = 18")
        .replace("is = \"10 + 6 * members\" }", "is = \"10 + 6 * members\" }, { from = 13, is = \"8 * members\" }")
        .replace("cohort_min = 50", "cohort_min = 80")
        .replace("agency = \"Example Relief\"", "agency = \"Example Relief and Development\"")
        .replace(
            "# Distribution sites.",
            "[[lines]]\nid = 9\nname = \"fuel\"\nkind = \"carry\"\naccrual = [{ from = 13, is = \"2\" }]\nvalues = [1]\n\
             unit = \"can\"\nlabels = { en = \"fuel\", fr = \"combustible\", ar = \"وقود\", uk = \"паливо\" }\n\
             pictogram = \"fuel\"\n\n[[lots]]\nid = 2\nkind = \"amend\"\nstart = { drawn = 0 }\n\n# Distribution sites.",
        );
    let next = draft(&text).unwrap().next(&genesis).unwrap();
    next.follows(&genesis).unwrap();
    assert_eq!((next.version, next.previous, next.programme), (1, genesis.hash(), genesis.programme_id()));
    assert_ne!(next.programme, ProgrammeId::default());
    assert_eq!(next.schema, genesis.schema, "a new line takes a spare");
    assert_eq!((next.lines[4].name.as_str(), next.lines[4].state), ("fuel", 4));
    // The same file again, a version later: nothing moves.
    let after = draft(&text).unwrap().next(&next).unwrap();
    assert_eq!((after.version, &after.lines, &after.lots), (2, &next.lines, &next.lots));
    // Keys come on top of an edit, in one version.
    let keys = round_keys(&next, &RoundMaster::from_bytes(&[5; 64]), Round(1)).unwrap();
    let with_keys = add_keys(next.clone(), &[], &keys);
    with_keys.follows(&genesis).unwrap();
    assert_eq!(with_keys.key_count as usize, keys.len());
}

#[test]
fn what_is_fixed_stays() {
    use DraftProblem as P;
    let genesis = genesis_of(SAMPLE).unwrap();
    let refused = |from: &str, to: &str, near: &str| {
        let text = edited(from, to);
        let error = draft(&text).unwrap_or_else(|error| panic!("{error}")).next(&genesis).expect_err(to);
        assert_place(&error, &text, near);
        error.problem
    };
    for (from, to, near) in [
        ("log = \"annona", "log = \"b", "\"b.example"),
        ("width = 16", "width = 32", "32\nspares"),
        ("spares = 2", "spares = 3", "3\n"),
        ("last = 12", "last = 11", "11\n"),
        ("advance = 0", "advance = 1", "1\ncohort"),
        ("cohort_min = 50", "cohort_min = 49", "49\n"),
        ("max = 15\n", "max = 16\n", "[[attributes]]\nname = \"members"),
        ("name = \"soap\"", "name = \"hygiene\"", "\"hygiene\""),
        ("name = \"north-gate\"", "name = \"south-gate\"", "\"south-gate"),
        ("slots = 0", "slots = 2", "2\nlogs"),
        ("kind = \"enrol\"", "kind = \"split\"", "[[lots]]"),
    ] {
        assert!(matches!(refused(from, to, near), P::Fixed { .. }), "{to}");
    }
    let later = edited("first = 1", "first = 2").replace("drawn = 0", "drawn = 1");
    let error = draft(&later).unwrap().next(&genesis).unwrap_err();
    assert_place(&error, &later, "2\nlast");
    let planned = |round| P::PlannedRound { round, next: 13 };
    let cases = [
        ("is = \"10 + 6 * members\"", "is = \"10 + 7 * members\"", "1, is = \"10 + 7", planned(1)),
        (
            "is = \"10 + 6 * members\" }",
            "is = \"10 + 6 * members\" }, { from = 5, is = \"members\" }",
            "5, is",
            planned(5),
        ),
        ("under-two >= 1", "under-two >= 2", "1, is = [\"under-two >= 2", planned(1)),
    ];
    for (from, to, near, problem) in cases {
        assert_eq!(refused(from, to, near), problem);
    }
    let line = |first: &str, from: u32| {
        format!(
            "[[lines]]\nid = {first}\nname = \"fuel-{first}\"\nkind = \"lapse\"\n\
             accrual = [{{ from = {from}, is = \"2\" }}]\nvalues = [1]\nunit = \"can\"\n\
             labels = {{ en = \"a\", fr = \"b\", ar = \"c\", uk = \"d\" }}\npictogram = \"fuel\"\n\n"
        )
    };
    let mark = "# Distribution sites.";
    let early = format!("{}{mark}", line("9", 12));
    assert_eq!(refused(mark, &early, "12, is"), planned(12));
    let many = format!("{}{}{}{mark}", line("9", 13), line("10", 13), line("11", 13));
    assert_eq!(refused(mark, &many, "11\nname"), P::NoSpare);
    let soap = SAMPLE.find("[[lines]]\nid = 2").unwrap()..SAMPLE.find("[[lines]]\nid = 3").unwrap();
    assert!(matches!(refused(&SAMPLE[soap], "", "\"Food and cash\""), P::Removed { what: "line", id: 2, .. }));
    let site = SAMPLE.find("[[sites]]\nid = 2").unwrap()..SAMPLE.find("[[sites]]\nid = 3").unwrap();
    assert!(matches!(refused(&SAMPLE[site], "", "\"Food and cash\""), P::Removed { what: "site", id: 2, .. }));
    let attribute = "[[attributes]]\nname = \"urban\"\nmin = 0\nmax = 1\n\n# Lines:";
    assert!(matches!(refused("# Lines:", attribute, "[[attributes]]\nname = \"urban"), P::Fixed { .. }));
}

proptest! {
    /// Whatever is done to the sample's text, it reads or is refused, and what reads is a valid manifest.
    #[test]
    fn any_edit_is_read_or_refused(at in 0usize..6000, length in 0usize..40, text in "[ -~\n]{0,12}|.{0,8}") {
        let boundary = |at: usize| (0..=at.min(SAMPLE.len())).rev().find(|at| SAMPLE.is_char_boundary(*at)).unwrap();
        let (start, end) = (boundary(at), boundary(at + length));
        let edited = [&SAMPLE[..start], &text, &SAMPLE[end..]].concat();
        match genesis_of(&edited) {
            Ok(header) => prop_assert_eq!(header.validate(), Ok(())),
            Err(error) => prop_assert!(error.line >= 1 && error.line <= edited.matches('\n').count() + 1),
        }
    }

    #[test]
    fn any_text_is_refused(text in ".{0,200}") {
        prop_assert!(draft(&text).is_err());
    }
}
