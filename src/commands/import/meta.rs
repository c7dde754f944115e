//! What the old scripts wrote down beside a file.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use crate::commands::{Error, Result};

/// Parts of names under which secrets stand.
const TELLING: [&str; 5] = ["pass", "pwd", "secret", "token", "credential"];

/// A meta file is a few lines.
const META_BYTES_MAX: u64 = 64 << 10;

/// The part of a `.meta.json` that says something about the file. Every key may be missing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Meta {
    created_at_utc: Option<String>,
    /// Name of the host.
    pub(super) host: Option<String>,
    /// SHA-256 of the file.
    pub(super) checksum_sha256: Option<String>,
    /// Its length.
    pub(super) file_size_bytes: Option<u64>,
    database_url_redacted: Option<String>,
    /// All of it, known keys or not, without passwords.
    #[serde(skip)]
    all: Option<Value>,
}

impl Meta {
    /// Reads a meta file; empty if there is none.
    pub(super) fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let unfit = |why: String| Error::File { path: path.to_owned(), why };
        let length = std::fs::metadata(path).map_err(|e| unfit(e.to_string()))?.len();
        if length > META_BYTES_MAX {
            return Err(unfit(format!("it has {length} bytes: no meta file is so long")));
        }
        let text = std::fs::read(path).map_err(|e| unfit(e.to_string()))?;
        let no_meta = |error: serde_json::Error| unfit(format!("it is no meta file: {error}"));
        let mut all: Value = serde_json::from_slice(&text).map_err(no_meta)?;
        let meta = Self::deserialize(&all).map_err(no_meta)?;
        without_passwords(&mut all);
        let meta = Self { all: Some(all), ..meta };
        if meta.created_at_utc.is_some() && meta.taken_at().is_none() {
            return Err(unfit("created_at_utc is not a moment".into()));
        }
        Ok(meta)
    }

    pub(super) fn taken_at(&self) -> Option<Timestamp> {
        let text = self.created_at_utc.as_ref()?;
        text.parse().ok().or_else(|| stamp(text))
    }

    /// The whole of it as one line of JSON, for the manifest.
    pub(super) fn kept(&self) -> Option<String> {
        self.all.as_ref().map(Value::to_string)
    }

    /// Name of the database, from what was left of its URL.
    pub(super) fn database(&self) -> Option<String> {
        let (_, rest) = self.database_url_redacted.as_ref()?.split_once("://")?;
        let name = rest.split_once('/')?.1.split('?').next()?;
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// The old script redacts the URL; whoever wrote the file another way may not have (invariant I13).
fn without_passwords(value: &mut Value) {
    match value {
        Value::String(text) => *text = redacted(text),
        Value::Array(values) => values.iter_mut().for_each(without_passwords),
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::Null | Value::Bool(_) => {}
                    value if is_telling(name) => *value = "***".into(),
                    value => without_passwords(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_telling(name: &str) -> bool {
    let name = name.to_lowercase();
    TELLING.iter().any(|part| name.contains(part))
}

/// `postgres://user:***@host`, and `password=***` wherever it stands.
fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some((scheme, rest)) = text.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((name, _)) = user.split_once(':')
    {
        text = format!("{scheme}://{name}:***@{host}");
    }
    let (mut clean, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once('=') {
        let is_of_no_name = |c: char| !c.is_alphanumeric() && c != '_' && c != '-';
        let name = before.trim_end().rsplit(is_of_no_name).next().unwrap_or_default();
        clean.push_str(before);
        clean.push('=');
        rest = after;
        if is_telling(name) {
            let value = after.trim_start();
            clean.push_str(&after[..after.len() - value.len()]);
            clean.push_str("***");
            rest = &value[end_of(value)..];
        }
    }
    clean.push_str(rest);
    clean
}

/// Where a value ends: behind its closing quote, or before a space or `&`. What is escaped or doubled ends nothing.
fn end_of(value: &str) -> usize {
    let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let mut is_escaped = false;
    for (at, c) in value.char_indices().skip(usize::from(quote.is_some())) {
        match quote {
            _ if std::mem::take(&mut is_escaped) => {}
            _ if c == '\\' => is_escaped = true,
            Some(quote) if c == quote && value[at + 1..].starts_with(quote) => is_escaped = true,
            Some(quote) if c == quote => return at + 1,
            None if c == '&' || c.is_whitespace() => return at,
            _ => {}
        }
    }
    value.len()
}

/// The moment in a file's name: `smartaccounting-full-20251103T031500Z.sql.gz.enc`.
pub(super) fn stamp_in(path: &Path) -> Option<Timestamp> {
    let name = path.file_name()?.to_str()?;
    let is_part = |c: char| c.is_ascii_alphanumeric();
    name.split(|c| !is_part(c)).find_map(stamp)
}

/// `20251103T031500Z`.
fn stamp(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_from_names_and_meta_files() {
        let at: Timestamp = "2025-11-03T03:15:00Z".parse().unwrap();
        let name = |text: &str| stamp_in(Path::new(text));
        assert_eq!(name("/b/smartaccounting-full-20251103T031500Z.sql.gz.enc"), Some(at));
        assert_eq!(name("/20251103T031500Z/dump.sql.gz.enc"), None);
        for text in ["2025-11-03T03:15:00Z", "2025-11-03T04:15:00+01:00", "20251103T031500Z"] {
            let meta = Meta { created_at_utc: Some(text.into()), ..Meta::default() };
            assert_eq!(meta.taken_at(), Some(at), "{text}");
        }
    }

    #[test]
    fn i13_what_is_kept_holds_no_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = r#"{"type": "full", "url": "postgres://app:s3cr:t/@p@db:5432/app?password=s3cret&x=1",
            "more": ["host=db password=s3cret user=app", "postgres://app@db/app", 7], "checksum_sha256": null}"#;
        std::fs::write(file.path(), text).unwrap();
        let kept = Meta::read(Some(file.path())).unwrap().kept().unwrap();
        let want = r#"{"checksum_sha256":null,"more":["host=db password=*** user=app","postgres://app@db/app",7],"type":"full","url":"postgres://app:***@db:5432/app?password=***&x=1"}"#;
        assert_eq!(kept, want);
        for (text, want) in [
            (
                r#"{"DB_Password": "s3cret", "n": {"apiToken": 7, "pwd": ["s3cret"], "host": "h"}, "passed": true}"#,
                r#"{"DB_Password":"***","n":{"apiToken":"***","host":"h","pwd":"***"},"passed":true}"#,
            ),
            (
                r#"{"dsn": "PASSWORD = 's3 \\' cr''et' host=h PGPASSWORD=\"s3 cret\" x=1"}"#,
                r#"{"dsn":"PASSWORD = *** host=h PGPASSWORD=*** x=1"}"#,
            ),
            (r#"{"dsn": "x=1 password=s3\\ cret"}"#, r#"{"dsn":"x=1 password=***"}"#),
            (r#"{"dsn": "password='s3 cret"}"#, r#"{"dsn":"password=***"}"#),
        ] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(Meta::read(Some(file.path())).unwrap().kept().unwrap(), want);
        }
        assert_eq!(Meta::read(None).unwrap().kept(), None);
    }

    #[test]
    fn the_database_is_named_by_its_url() {
        let of = |url: &str| Meta { database_url_redacted: Some(url.into()), ..Meta::default() }.database();
        assert_eq!(
            of("postgresql://app:***@db.example:5432/accounting?sslmode=require").as_deref(),
            Some("accounting")
        );
        assert_eq!((of("***"), of("postgres://db.example/")), (None, None));
    }
}
