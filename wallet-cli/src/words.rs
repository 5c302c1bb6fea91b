//! What the program says, in the languages that it knows.
//!
//! One file of messages a language, the same messages in each. Numbers, names and commands inside Arabic text stand between
//! isolation marks, so that they keep their own direction.

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    French,
    Arabic,
    Ukrainian,
}

impl Language {
    pub(crate) const ALL: [Self; 4] = [Self::English, Self::French, Self::Arabic, Self::Ukrainian];

    /// Its tag.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
            Self::Arabic => "ar",
            Self::Ukrainian => "uk",
        }
    }

    /// The language of a tag such as `fr` or `fr-CM`, or of a locale such as `fr_CM.UTF-8`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let primary = text.split(['-', '_', '.', '@']).next()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|language| language.tag() == primary)
    }

    /// What the environment asks for: the first of its three variables that is set decides.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(set);
        locale.as_deref().and_then(Self::parse).unwrap_or(Self::English)
    }

    fn source(self) -> &'static str {
        match self {
            Self::English => include_str!("words/en.ftl"),
            Self::French => include_str!("words/fr.ftl"),
            Self::Arabic => include_str!("words/ar.ftl"),
            Self::Ukrainian => include_str!("words/uk.ftl"),
        }
    }
}

/// A language's messages.
pub(crate) struct Words {
    language: Language,
    bundle: FluentBundle<FluentResource>,
}

/// What stands in a message's places.
pub(crate) type Places<'a> = &'a [(&'a str, FluentValue<'a>)];

impl Words {
    pub(crate) fn new(language: Language) -> Self {
        let id: LanguageIdentifier = language.tag().parse().expect("the tag is a language's");
        let mut bundle = FluentBundle::new(vec![id]);
        // Left-to-right text with labels of the same direction needs no marks, and scripts would stumble over them.
        bundle.set_use_isolating(language == Language::Arabic);
        let messages = FluentResource::try_new(language.source().to_owned()).expect("a test reads every file");
        bundle.add_resource(messages).expect("a test reads every file");
        Self { language, bundle }
    }

    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// Whether there is such a message.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.bundle.has_message(id)
    }

    /// A message.
    pub(crate) fn say(&self, id: &str, places: Places<'_>) -> String {
        let pattern = self.bundle.get_message(id).and_then(|message| message.value());
        // A test finds every id that the program uses in every language.
        let Some(pattern) = pattern else { return id.to_owned() };
        let arguments: FluentArgs<'_> = places.iter().map(|(name, value)| (*name, value.clone())).collect();
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(&arguments), &mut errors);
        debug_assert!(errors.is_empty(), "{id}: {errors:?}");
        text.into_owned()
    }

    /// A list in one line.
    pub(crate) fn list(&self, items: &[String]) -> String {
        items.join(if self.language == Language::Arabic { "، " } else { ", " })
    }
}

#[cfg(test)]
mod tests;
