//! What the old scripts wrote down beside a file.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

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
        let meta: Self = serde_json::from_slice(&text).map_err(|e| unfit(format!("it is no meta file: {e}")))?;
        if meta.created_at_utc.is_some() && meta.taken_at().is_none() {
            return Err(unfit("created_at_utc is not a moment".into()));
        }
        Ok(meta)
    }

    pub(super) fn taken_at(&self) -> Option<Timestamp> {
        let text = self.created_at_utc.as_ref()?;
        text.parse().ok().or_else(|| stamp(text))
    }

    /// Name of the database, from what was left of its URL.
    pub(super) fn database(&self) -> Option<String> {
        let (_, rest) = self.database_url_redacted.as_ref()?.split_once("://")?;
        let name = rest.split_once('/')?.1.split('?').next()?;
        (!name.is_empty()).then(|| name.to_owned())
    }
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
    fn the_database_is_named_by_its_url() {
        let of = |url: &str| Meta { database_url_redacted: Some(url.into()), ..Meta::default() }.database();
        assert_eq!(
            of("postgresql://app:***@db.example:5432/accounting?sslmode=require").as_deref(),
            Some("accounting")
        );
        assert_eq!((of("***"), of("postgres://db.example/")), (None, None));
    }
}
