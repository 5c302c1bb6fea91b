//! JSON with its members in the order of writing, printed one way: what the vectors are written in.

use std::fmt::{self, Write as _};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Number(i128),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// A string.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().to_owned())
    }

    /// Bytes in lower-case hexadecimal.
    pub fn hex(bytes: impl AsRef<[u8]>) -> Self {
        Self::Text(hex::encode(bytes))
    }

    /// An integer.
    pub fn number(value: impl Into<i128>) -> Self {
        Self::Number(value.into())
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Json>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// An object.
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// A member of an object, if it is there.
    pub fn find(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A member of an object.
    ///
    /// # Panics
    /// If there is none: vectors are read by those who know their shape. So with the other readers.
    pub fn get(&self, name: &str) -> &Json {
        self.find(name).unwrap_or_else(|| panic!("no member {name} in {self}"))
    }

    /// A string.
    pub fn str(&self) -> &str {
        if let Self::Text(text) = self { text } else { panic!("not a string: {self}") }
    }

    /// Bytes given in hexadecimal.
    pub fn bytes(&self) -> Vec<u8> {
        hex::decode(self.str()).unwrap_or_else(|_| panic!("not hexadecimal: {self}"))
    }

    /// Bytes of a fixed length.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        self.bytes().try_into().unwrap_or_else(|_| panic!("not {N} bytes: {self}"))
    }

    /// An integer.
    pub fn integer<T: TryFrom<i128>>(&self) -> T {
        let Self::Number(number) = self else { panic!("not a number: {self}") };
        T::try_from(*number).unwrap_or_else(|_| panic!("out of range: {self}"))
    }

    /// The items of a list.
    pub fn items(&self) -> &[Json] {
        if let Self::List(items) = self { items } else { panic!("not a list: {self}") }
    }

    /// An object with one more member.
    #[must_use]
    pub fn with(self, name: &str, value: Json) -> Self {
        let Self::Object(mut members) = self else { panic!("not an object: {self}") };
        members.retain(|(known, _)| known != name);
        members.push((name.to_owned(), value));
        Self::Object(members)
    }

    fn pretty(&self, out: &mut String, indent: usize) {
        let line = self.to_string();
        let (open, close, items): (_, _, Vec<(Option<&str>, &Json)>) = match self {
            Self::List(items) if line.len() + indent > 120 => {
                ('[', ']', items.iter().map(|item| (None, item)).collect())
            }
            Self::Object(members) if line.len() + indent > 120 => {
                ('{', '}', members.iter().map(|(name, value)| (Some(name.as_str()), value)).collect())
            }
            _ => return out.push_str(&line),
        };
        out.push(open);
        for (at, (name, item)) in items.iter().enumerate() {
            out.push_str(if at == 0 { "\n" } else { ",\n" });
            out.push_str(&" ".repeat(indent + 1));
            if let Some(name) = name {
                let _infallible = write!(out, "\"{name}\": ");
            }
            item.pretty(out, indent + 1);
        }
        out.push('\n');
        out.push_str(&" ".repeat(indent));
        out.push(close);
    }

    /// The value over several lines, ended by a newline: what fits a line stays on one.
    pub fn to_pretty(&self) -> String {
        let mut out = String::new();
        self.pretty(&mut out, 0);
        out.push('\n');
        out
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) => {
                f.write_char('"')?;
                for character in text.chars() {
                    match character {
                        '"' => f.write_str("\\\"")?,
                        '\\' => f.write_str("\\\\")?,
                        '\n' => f.write_str("\\n")?,
                        character if character < ' ' => write!(f, "\\u{:04x}", u32::from(character))?,
                        character => f.write_char(character)?,
                    }
                }
                f.write_char('"')
            }
            Self::List(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    item.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (at, (name, value)) in members.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    write!(f, "\"{name}\": {value}")?;
                }
                f.write_char('}')
            }
        }
    }
}
