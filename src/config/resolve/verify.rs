//! The section `verify`, and the hash chains below it.

use super::section::{Preset, Section};
use super::{Reader, any, boolean_variable};
use crate::config::environment::Environment;
use crate::config::error::{Error, Result};
use crate::config::key;
use crate::config::named::VERIFY_CHAIN;
use crate::config::settings::{ChainAlgorithm, ChainEncoding, ChainNulls, ChainSettings, ChainText, VerifySettings};
use crate::config::values;

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
        after_upload: read.required(&key::VERIFY_AFTER_UPLOAD, values::boolean)?,
        tables: read.parsed_list(&key::VERIFY_TABLES, values::required_table)?,
        min_rows: boolean_variable(environment, "VERIFY_MIN_DATA", true)?.then_some(min_rows),
        production: read.list(&key::VERIFY_PRODUCTION, values::host_pattern)?,
        allow_production: boolean_variable(environment, "ALLOW_VERIFY_PROD", false)?,
        amcheck: read.choice(&key::VERIFY_AMCHECK, &[("auto", true), ("off", false)])?,
        accept: read.list(&key::VERIFY_ACCEPT, any)?,
        release_query: read.optional(&key::VERIFY_RELEASE_QUERY, any)?,
        release_url: read.optional(&key::VERIFY_RELEASE_URL, values::web_address)?,
        release_field: read.required(&key::VERIFY_RELEASE_FIELD, values::json_field)?,
        release: read.optional(&key::VERIFY_RELEASE, any)?,
        chains: chains.iter().map(|name| chain(read, name)).collect::<Result<_>>()?,
    })
}

fn chain(read: &Reader<'_>, name: &str) -> Result<ChainSettings> {
    let mut section = Section::new(read, &VERIFY_CHAIN, name);
    let known = |text: &str| {
        let preset = PRESETS.iter().find(|(known, _)| *known == text).map(|(_, preset)| *preset);
        preset.ok_or_else(|| format!("{text:?} is not allowed"))
    };
    section.preset = section.optional("preset", known)?.unwrap_or_default();
    let shape = section.or("text", "json", |text| values::choice(text, &[("json", true), ("joined", false)]))?;
    let joined = |word: &str| -> Result<String> {
        match section.given(word) {
            Some((key, given)) if shape => Err(Error::Value {
                key: section.path(word).into(),
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
        head: section.optional("head", values::chain_head)?,
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
