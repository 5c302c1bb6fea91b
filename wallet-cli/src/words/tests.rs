//! Every language says everything, with the same places.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use fluent_syntax::{
    ast::{Entry, Expression, InlineExpression, Pattern, PatternElement},
    parser,
};

use super::*;
use crate::cli::CODES;

/// Where isolated text begins and ends.
const MARKS: [char; 4] = ['\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'];

fn places(pattern: &Pattern<&str>, found: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        let PatternElement::Placeable { expression } = element else { continue };
        let mut variable = |inline: &InlineExpression<&str>| match inline {
            InlineExpression::VariableReference { id } => drop(found.insert(id.name.to_owned())),
            other => panic!("only places: {other:?}"),
        };
        match expression {
            Expression::Inline(inline) => variable(inline),
            Expression::Select { selector, variants } => {
                variable(selector);
                variants.iter().for_each(|variant| places(&variant.value, found));
            }
        }
    }
}

/// The messages of a language with their places.
fn messages(language: Language) -> BTreeMap<String, BTreeSet<String>> {
    let resource = parser::parse(language.source()).unwrap_or_else(|(_, errors)| panic!("{language:?}: {errors:?}"));
    let mut all = BTreeMap::new();
    for entry in &resource.body {
        let Entry::Message(message) = entry else { continue };
        let mut found = BTreeSet::new();
        places(message.value.as_ref().unwrap(), &mut found);
        let twice = all.insert(message.id.name.to_owned(), found);
        assert!(twice.is_none(), "{language:?}: {} stands twice", message.id.name);
    }
    all
}

#[test]
fn every_language_has_the_messages_of_english_with_their_places() {
    let english = messages(Language::English);
    assert!(english.len() > 100);
    for language in Language::ALL {
        let own = messages(language);
        let names = |all: &BTreeMap<String, BTreeSet<String>>| all.keys().cloned().collect::<BTreeSet<_>>();
        let missing: Vec<_> = names(&english).symmetric_difference(&names(&own)).cloned().collect();
        assert!(missing.is_empty(), "{language:?}: {missing:?}");
        for (id, places) in &english {
            assert_eq!(&own[id], places, "{language:?}: {id}");
        }
    }
}

/// All sources of the program.
fn sources() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    files.collect()
}

/// What the program says is there, and what is there is said.
#[test]
fn no_message_is_missing_or_idle() {
    let english = messages(Language::English);
    let sources = sources();
    let words: BTreeSet<&str> = sources.split('"').skip(1).collect();
    for id in english.keys() {
        let said = words.contains(id.as_str())
            || id.strip_prefix("error-").is_some_and(|code| CODES.contains(&code))
            || id.starts_with("refused-");
        assert!(said, "nobody says {id}");
    }
    for code in CODES {
        assert!(english.contains_key(&format!("error-{code}")), "{code} has no message");
    }
    // In one line or over several: `say("id"`.
    for call in sources.split("say(").skip(1) {
        let Some(id) = call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else { continue };
        assert!(english.contains_key(id), "{id} is said and is no message");
    }
}

/// The page names every code that a program may meet, and no other.
#[test]
fn the_page_lists_the_codes() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/wallet.md")).unwrap();
    let (_, table) = page.split_once("| exit | codes |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let listed: BTreeSet<&str> = table.split('`').skip(1).step_by(2).collect();
    let codes: BTreeSet<&str> = CODES.iter().copied().collect();
    assert_eq!(listed, codes);
}

#[test]
fn every_message_is_said_in_every_language_for_every_number() {
    for language in Language::ALL {
        let words = Words::new(language);
        for (id, places) in messages(language) {
            for number in [0u32, 1, 2, 3, 5, 11, 21, 100] {
                let place = |name: &String| match name.as_str() {
                    "count" | "number" | "round" | "units" | "batch" => (name.clone(), FluentValue::from(number)),
                    _ => (name.clone(), FluentValue::from("Name")),
                };
                let places: Vec<(String, FluentValue<'_>)> = places.iter().map(place).collect();
                let places: Vec<(&str, FluentValue<'_>)> =
                    places.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                let text = words.say(&id, &places);
                assert!(!text.is_empty() && text != id && !text.contains('{'), "{language:?}: {id}: {text}");
            }
        }
    }
}

#[test]
fn plurals_follow_the_language() {
    let drawn = |language, count: u32| Words::new(language).say("resume-drawn", &[("count", count.into())]);
    let kinds = |language| {
        let numberless = |count| drawn(language, count).replace(&count.to_string(), "");
        [0, 1, 2, 3, 5, 11, 21, 22, 100].map(numberless).into_iter().collect::<BTreeSet<_>>().len()
    };
    assert_eq!(Language::ALL.map(kinds), [2, 2, 6, 3]);
    assert_eq!(drawn(Language::English, 1), "The draw is done: one voucher.");
    assert_eq!(drawn(Language::English, 12), "The draw is done: 12 vouchers.");
}

/// A Latin word, a path or a number in Arabic text would otherwise take the punctuation beside it along.
#[test]
fn what_is_not_arabic_is_isolated_in_arabic_text() {
    let words = Words::new(Language::Arabic);
    for (id, places) in messages(Language::Arabic) {
        let places: Vec<(String, FluentValue<'_>)> =
            places.into_iter().map(|name| (name, FluentValue::from("Name 17"))).collect();
        let places: Vec<(&str, FluentValue<'_>)> =
            places.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let text = words.say(&id, &places);
        let mut depth = 0;
        for character in text.chars() {
            match character {
                '\u{2066}'..='\u{2068}' => depth += 1,
                '\u{2069}' => depth -= 1,
                character if character.is_ascii_alphanumeric() => {
                    let alone = text.chars().all(|c| c.is_ascii() || MARKS.contains(&c));
                    assert!(depth == 1 || alone, "{id}: {text}");
                }
                _ => {}
            }
        }
        assert_eq!(depth, 0, "{id}");
    }
}

#[test]
fn the_environment_chooses_the_language() {
    let of = |pairs: &[(&str, &str)]| {
        Language::of_environment(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(of(&[]), Language::English);
    assert_eq!(of(&[("LANG", "uk_UA.UTF-8")]), Language::Ukrainian);
    assert_eq!(of(&[("LANG", "uk_UA.UTF-8"), ("LC_MESSAGES", "ar")]), Language::Arabic);
    assert_eq!(of(&[("LC_ALL", "fr_CM"), ("LC_MESSAGES", "ar"), ("LANG", "uk")]), Language::French);
    assert_eq!(of(&[("LC_ALL", ""), ("LANG", "ar_SY@x")]), Language::Arabic);
    assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "fr")]), Language::English, "the first that is set decides");
    assert_eq!(of(&[("LANG", "sw_KE")]), Language::English);
}
