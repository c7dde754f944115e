//! One section that has a name of the operator's: its keys by their words.

use std::path::PathBuf;

use super::{Reader, any};
use crate::config::error::{Error, Origin, Result};
use crate::config::key::Key;
use crate::config::layers::{Given, Raw};
use crate::config::named::NamedSection;
use crate::config::values::Parsed;

/// What `preset = "…"` stands for.
pub(super) type Preset = &'static [(&'static str, &'static [&'static str])];

/// `[KIND.NAME]`.
pub(super) struct Section<'a> {
    pub(super) read: &'a Reader<'a>,
    pub(super) kind: &'static NamedSection,
    pub(super) name: &'a str,
    pub(super) preset: Preset,
}

impl<'a> Section<'a> {
    pub(super) fn new(read: &'a Reader<'a>, kind: &'static NamedSection, name: &'a str) -> Self {
        Self { read, kind, name, preset: &[] }
    }

    pub(super) fn path(&self, word: &str) -> String {
        self.kind.path_of(self.name, word)
    }

    /// What the file says, else the preset.
    pub(super) fn given(&self, word: &str) -> Option<(&'static Key, Given)> {
        let key = self.kind.key(word)?;
        let preset = || {
            let (_, texts) = self.preset.iter().find(|(known, _)| *known == word)?;
            let raw = Raw::List(texts.iter().map(|text| (*text).to_owned()).collect());
            Some(Given { raw, origin: Origin::Default })
        };
        Some((key, self.read.layers.get_path(&self.path(word)).or_else(preset)?))
    }

    fn error(&self, word: &str, key: &'static Key, at: Origin, problem: String) -> Error {
        Error::Value { key: self.path(word).into(), at, problem, allowed: key.allowed }
    }

    /// What is wrong with a key's value in the light of others.
    pub(super) fn wrong(&self, word: &str, problem: String) -> Error {
        match self.given(word) {
            Some((key, given)) => self.error(word, key, given.origin, problem),
            None => Error::Missing { what: self.kind.path, ways: "README.md explains every key" },
        }
    }

    pub(super) fn optional<T>(&self, word: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<Option<T>> {
        let Some((key, given)) = self.given(word) else { return Ok(None) };
        let parsed = match &given.raw {
            Raw::One(text) => parse(text),
            Raw::List(texts) => match texts.as_slice() {
                [text] if given.origin == Origin::Default => parse(text),
                _ => Err("a list is not allowed here".into()),
            },
        };
        parsed.map(Some).map_err(|problem| self.error(word, key, given.origin, problem))
    }

    pub(super) fn or<T>(&self, word: &str, default: &str, parse: impl Fn(&str) -> Parsed<T>) -> Result<T> {
        let given = self.optional(word, &parse)?;
        let by_default = || parse(default).map_err(|problem| self.wrong(word, problem));
        given.map_or_else(by_default, Ok)
    }

    pub(super) fn required<T>(&self, word: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<T> {
        let not_empty = |text: &str| if text.is_empty() { Err("is empty".into()) } else { parse(text) };
        self.optional(word, not_empty)?.ok_or_else(|| self.missing(word))
    }

    pub(super) fn list<T>(&self, word: &str, parse: impl Fn(&str) -> Parsed<T>) -> Result<Vec<T>> {
        let Some((key, given)) = self.given(word) else { return Err(self.missing(word)) };
        let texts = match &given.raw {
            Raw::One(text) => std::slice::from_ref(text),
            Raw::List(texts) => texts.as_slice(),
        };
        let parsed =
            texts.iter().map(|text| if text.is_empty() { Err("holds an empty entry".into()) } else { parse(text) });
        let parsed = parsed.collect::<Parsed<Vec<T>>>();
        let parsed = parsed.and_then(|list| if list.is_empty() { Err("is empty".into()) } else { Ok(list) });
        parsed.map_err(|problem| self.error(word, key, given.origin, problem))
    }

    /// A path, as [`Reader::path`] reads them.
    pub(super) fn path_value(&self, word: &str) -> Result<Option<PathBuf>> {
        let Some(text) = self.optional(word, any)? else { return Ok(None) };
        Ok(Some(self.read.placed(&text, self.given(word).map(|(_, given)| given.origin))))
    }

    fn missing(&self, word: &str) -> Error {
        let at = self.read.layers.origin_in(&self.path(""));
        let allowed = self.kind.key(word).map_or("", |key| key.allowed);
        let has_presets = self.kind.key("preset").is_some();
        let problem = if has_presets { "is missing, and there is no preset that says it" } else { "is missing" };
        Error::Value { key: self.path(word).into(), at, problem: problem.into(), allowed }
    }
}
