//! The sealed part: names, row counts and settings, which tell what a company does.

use serde::{Deserialize, Serialize};

/// Sealed part of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedPart {
    /// Facts of a dump.
    pub dump: Option<DumpFacts>,
}

/// What was true of a database in the snapshot that was dumped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpFacts {
    /// Name of the database.
    pub database: String,
    /// Role that owns it.
    pub owner: String,
    /// Server encoding (`UTF8`).
    pub encoding: String,
    /// `LC_COLLATE` and `LC_CTYPE`, or the ICU locale, and the provider's version at dump time.
    pub collation: CollationFact,
    /// Its comment, if any.
    pub comment: Option<String>,
    /// `ALTER DATABASE … SET` settings as `name=value`, for all roles (`role:` prefix when for one).
    pub settings: Vec<String>,
    /// Installed extensions.
    pub extensions: Vec<ExtensionFact>,
    /// `pg_database_size` in bytes.
    pub database_bytes: u64,
    /// Version of pg_dump.
    pub pg_dump_version: String,
    /// Whether the dump uses `\restrict`, which a psql older than August 2025 does not know.
    pub restrict: bool,
    /// Options given to pg_dump that change what is in the dump.
    pub options: Vec<String>,
    /// Rows per table in the same snapshot; `None` when counting was off.
    pub counts: Option<Vec<TableCount>>,
}

/// Collation of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollationFact {
    /// `libc`, `icu` or `builtin`.
    pub provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// ICU or builtin locale.
    pub locale: Option<String>,
    /// Version of the provider's collation data.
    pub version: Option<String>,
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
