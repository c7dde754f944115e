//! What the old scripts wrote down beside a file.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use crate::commands::{Error, Result};

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
        Value::Object(map) => map.values_mut().for_each(without_passwords),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
    let mut parts = text.split("password=");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['&', ' ']).unwrap_or(part.len());
        clean.push_str("password=***");
        clean.push_str(&part[end..]);
    }
    clean
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
