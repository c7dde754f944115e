//! The section `verify`, and the hash chains below it.

use super::{Reader, any, boolean_variable};
use crate::config::environment::Environment;
use crate::config::error::{Error, Origin, Result};
use crate::config::key::{self, Key};
use crate::config::layers::{Given, Raw};
use crate::config::named::VERIFY_CHAIN;
use crate::config::settings::{ChainAlgorithm, ChainEncoding, ChainNulls, ChainSettings, ChainText, VerifySettings};
use crate::config::values::{self, Parsed};

/// What `preset = "…"` stands for.
type Preset = &'static [(&'static str, &'static [&'static str])];

/// An audit log as Node services with Sequelize keep it: SHA-256 over what `json-stable-stringify` makes of these fields.
/// When a row is written, absent values are left out of the text; when it is read back, they are null.
const SEQUELIZE_AUDIT_LOG: Preset = &[
    ("table", &["audit_logs"]),
    (
        "fields",
        &[
            "action",
            "resourceType",
            "resourceId",
            "userId",
            "oldValues",
            "newValues",
            "ipAddress",
            "userAgent",
            "timestamp",
            "previousHash",
            "reason",
            "companyId",
            "metadata",
        ],
    ),
    ("order", &["timestamp"]),
    ("previous", &["previousHash"]),
    ("hash", &["hash"]),
    ("null_rule", &["auto"]),
];

const PRESETS: &[(&str, Preset)] = &[("sequelize-audit-log", SEQUELIZE_AUDIT_LOG)];

pub(super) fn verify(read: &Reader<'_>, environment: &Environment) -> Result<VerifySettings> {
    let min_rows = read.required(&key::VERIFY_MIN_ROWS, |text| values::number(text, 0, u64::MAX >> 1))?;
    let chains = read.layers.names(&VERIFY_CHAIN);
    Ok(VerifySettings {
        tables: read.parsed_list(&key::VERIFY_TABLES, values::required_table)?,
        min_rows: boolean_variable(environment, "VERIFY_MIN_DATA", true)?.then_some(min_rows),
        production: read.list(&key::VERIFY_PRODUCTION, values::host_pattern)?,
        allow_production: boolean_variable(environment, "ALLOW_VERIFY_PROD", false)?,
        amcheck: read.choice(&key::VERIFY_AMCHECK, &[("auto", true), ("off", false)])?,
        accept: read.list(&key::VERIFY_ACCEPT, any)?,
        release_query: read.optional(&key::VERIFY_RELEASE_QUERY, any)?,
        release: read.optional(&key::VERIFY_RELEASE, any)?,
        chains: chains.iter().map(|name| chain(read, name)).collect::<Result<_>>()?,
    })
}

fn chain(read: &Reader<'_>, name: &str) -> Result<ChainSettings> {
    let mut section = Section { read, name, preset: &[] };
    let known = |text: &str| {
        let preset = PRESETS.iter().find(|(known, _)| *known == text).map(|(_, preset)| *preset);
        preset.ok_or_else(|| format!("{text:?} is not allowed"))
    };
    section.preset = section.optional("preset", known)?.unwrap_or_default();
    let shape = section.or("text", "json", |text| values::choice(text, &[("json", true), ("joined", false)]))?;
    let joined = |word: &str| -> Result<String> {
        match section.given(word) {
            Some((key, given)) if shape => Err(Error::Value {
                key: VERIFY_CHAIN.path_of(name, word).into(),
                at: given.origin,
                problem: "text is \"json\", which has none".into(),
                allowed: key.allowed,
            }),
            _ => section.or(word, "", any),
        }
    };
    let (separator, null) = (joined("separator")?, joined("null_text")?);
    let algorithms = [("sha256", ChainAlgorithm::Sha256), ("sha512", ChainAlgorithm::Sha512)];
    let encodings = [("hex", ChainEncoding::Hex), ("base64", ChainEncoding::Base64)];
    let nulls = [("keep", ChainNulls::Keep), ("omit", ChainNulls::Omit), ("auto", ChainNulls::Auto)];
    let settings = ChainSettings {
        name: name.to_owned(),
        table: section.required("table", values::table)?,
        fields: section.list("fields", values::chain_field)?,
        order: section.list("order", any)?,
        previous: section.required("previous", any)?,
        hash: section.required("hash", any)?,
        genesis: section.optional("genesis", any)?,
        algorithm: section.or("algorithm", "sha256", |text| values::choice(text, &algorithms))?,
        encoding: section.or("encoding", "hex", |text| values::choice(text, &encodings))?,
        text: if shape { ChainText::Json } else { ChainText::Joined { separator, null } },
        null_rule: section.or("null_rule", "keep", |text| values::choice(text, &nulls))?,
    };
    let twice = settings.fields.iter().enumerate();
    let twice = twice
        .map(|(at, field)| (&settings.fields[..at], field))
        .find(|(others, field)| others.iter().any(|other| other.name == field.name));
    if let Some((_, field)) = twice {
        return Err(section.wrong("fields", format!("{:?} is there twice", field.name)));
    }
    if settings.fields.iter().any(|field| field.column == settings.hash) {
        return Err(section.wrong("fields", format!("a row's hash cannot cover its own column {:?}", settings.hash)));
    }
    Ok(settings)
}

/// One `[verify.chain.NAME]`.
struct Section<'a> {
    read: &'a Reader<'a>,
    name: &'a str,
    preset: Preset,
}

impl Section<'_> {
    fn key(word: &str) -> Option<&'static Key> {
        VERIFY_CHAIN.key(word)
    }

    /// What the file says, else the preset.
    fn given(&self, word: &str) -> Option<(&'static Key, Given)> {
        let key = Self::key(word)?;
        let preset = || {
            let (_, texts) = self.preset.iter().find(|(known, _)| *known == word)?;
            let raw = Raw::List(texts.iter().map(|text| (*text).to_owned()).collect());
            Some(Given { raw, origin: Origin::Default })
        };
        Some((key, self.read.layers.get_path(&VERIFY_CHAIN.path_of(self.name, word)).or_else(preset)?))
    }

    fn error(&self, word: &str, key: &'static Key, at: Origin, problem: String) -> Error {
        Error::Value { key: VERIFY_CHAIN.path_of(self.name, word).into(), at, problem, allowed: key.allowed }
    }

    /// What is wrong with a key's value in the light of others.
    fn wrong(&self, word: &str, problem: String) -> Error {
        match self.given(word) {
            Some((key, given)) => self.error(word, key, given.origin, problem),
            None => Error::Missing { what: VERIFY_CHAIN.path, ways: "README.md explains hash chains" },
        }
    }

    fn optional<T>(&self, word: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<Option<T>> {
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

    fn or<T>(&self, word: &str, default: &str, parse: impl Fn(&str) -> Parsed<T>) -> Result<T> {
        let given = self.optional(word, &parse)?;
        let by_default = || parse(default).map_err(|problem| self.wrong(word, problem));
        given.map_or_else(by_default, Ok)
    }

    fn required<T>(&self, word: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<T> {
        let not_empty = |text: &str| if text.is_empty() { Err("is empty".into()) } else { parse(text) };
        self.optional(word, not_empty)?.ok_or_else(|| self.missing(word))
    }

    fn list<T>(&self, word: &str, parse: impl Fn(&str) -> Parsed<T>) -> Result<Vec<T>> {
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

    fn missing(&self, word: &str) -> Error {
        let at = self.read.layers.origin_in(&VERIFY_CHAIN.path_of(self.name, ""));
        let allowed = Self::key(word).map_or("", |key| key.allowed);
        let problem = "is missing, and there is no preset that says it".into();
        Error::Value { key: VERIFY_CHAIN.path_of(self.name, word).into(), at, problem, allowed }
    }
}
