//! The sealed part: names, row counts and settings, which tell what a company does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BaseFacts, ClearPart, Kind};
use crate::format::{DigestKey, Error, Result, RowSum};

/// Sealed part of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedPart {
    /// Facts of a dump.
    pub dump: Option<DumpFacts>,
    /// Facts of a base backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseFacts>,
}

impl SealedPart {
    /// Whether it says of the streams what the clear part says; after it, no path leads out and no range past an end.
    pub(super) fn check(&self, clear: &ClearPart) -> Result<()> {
        match (clear.kind, &self.base) {
            (Kind::Base, Some(facts)) => {
                facts.check(clear.streams.iter().map(|stream| (&stream.name, stream.plain_bytes)))
            }
            (Kind::Dump, None) => Ok(()),
            (kind, _) => {
                let why = format!("its sealed part is not that of a {kind}");
                Err(Error::Malformed { what: "manifest", why })
            }
        }
    }
}

/// What was true of a database in the snapshot that was dumped, and how it was dumped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpFacts {
    /// The database.
    pub database: DatabaseFact,
    /// `server_version_num`, such as 150018.
    pub server_version_num: u32,
    /// Whether the source was a standby.
    pub standby: bool,
    /// Installed extensions.
    pub extensions: Vec<ExtensionFact>,
    /// Number of large objects.
    pub large_objects: u64,
    /// Version of pg_dump.
    pub pg_dump_version: String,
    /// Whether the dump uses `\restrict`, which a psql older than August 2025 does not know.
    pub restrict: bool,
    /// Whether role passwords are in the globals; `None` when there is no globals stream.
    pub role_passwords: Option<bool>,
    /// Options given to pg_dump that change what is in the dump.
    pub options: Vec<String>,
    /// Rows per table in the same snapshot; `None` when counting was off.
    pub counts: Option<Vec<TableCount>>,
    /// What the rows of chosen tables come to in the same snapshot; absent where none was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digests: Option<DigestFacts>,
    /// Which tables of `counts` and `digests` are materialised views; absent where that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub materialised: Option<Vec<ViewFact>>,
    /// Where the dump comes from, if it was not taken but imported; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportFact>,
}

/// What the rows of chosen tables come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestFacts {
    /// The key of all of them.
    pub key: DigestKey,
    /// One for each table.
    pub tables: Vec<TableDigest>,
}

/// What the rows of one table come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableDigest {
    /// Schema, unquoted.
    pub schema: String,
    /// Table, unquoted.
    pub table: String,
    /// Exact number of rows.
    pub rows: u64,
    /// The digest.
    pub digest: RowSum,
}

/// A materialised view: its rows are computed anew by a restore, and need not be those of the dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewFact {
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub view: String,
}

/// The file that a dump was imported from. What the facts beside it do not know is empty, `unknown` or 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportFact {
    /// Its name, without the directory.
    pub file: String,
    /// When it was taken, as it was told; the times of the backup are those of the import.
    pub taken_at: Timestamp,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The host that took it.
    pub host: Option<String>,
    /// What was written down beside it: a JSON object on one line, without passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<String>,
}

/// Properties of the database itself, which a dump of its contents does not carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseFact {
    /// Name.
    pub name: String,
    /// Role that owns it.
    pub owner: String,
    /// Server encoding (`UTF8`).
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// ICU locale, where the provider is ICU.
    pub icu_locale: Option<String>,
    /// Version of the collation data at dump time.
    pub collation_version: Option<String>,
    /// `pg_database_size` in bytes.
    pub size_bytes: Option<u64>,
    /// Comment.
    pub comment: Option<String>,
    /// Access rights as PostgreSQL prints an ACL.
    pub acl: Option<String>,
    /// Connection limit, -1 for none.
    pub connection_limit: i32,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
    pub settings: Vec<SettingFact>,
}

/// One configuration parameter tied to the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingFact {
    /// Only for this role.
    pub role: Option<String>,
    /// Parameter.
    pub name: String,
    /// Value as stored.
    pub value: String,
}

/// An installed extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtensionFact {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableCount {
    /// Schema, unquoted.
    pub schema: String,
    /// Table, unquoted.
    pub table: String,
    /// Exact number of rows.
    pub rows: u64,
}
