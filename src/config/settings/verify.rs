//! What a restored database must have, and whether a backup is read back: the section `verify`.

/// What a restored database must have, and whether a backup is read back.
#[derive(Clone, Debug, Default)]
pub struct VerifySettings {
    /// Whether everything that a backup stored is read back at its end.
    pub after_upload: bool,
    /// Tables that must exist.
    pub tables: Vec<RequiredTable>,
    /// Rows that each of them must have at least, unless it says so itself; `None` = none is asked for
    /// (`VERIFY_MIN_DATA=false`).
    pub min_rows: Option<u64>,
    /// `HOST/DATABASE` patterns of what is production.
    pub production: Vec<String>,
    /// `ALLOW_VERIFY_PROD=true`.
    pub allow_production: bool,
    /// Whether indexes and tables are examined with amcheck, where it is installed.
    pub amcheck: bool,
    /// Names of what may be other than it should be, since it is so in the source.
    pub accept: Vec<String>,
    /// Answers which release the database belongs to.
    pub release_query: Option<String>,
    /// Where the backend that is attached to it tells its release.
    pub release_url: Option<String>,
    /// Where in that document, in the names on the way.
    pub release_field: Vec<String>,
    /// The release that it must belong to.
    pub release: Option<String>,
    /// Hash chains, by name.
    pub chains: Vec<ChainSettings>,
}

/// A table by schema and name, as PostgreSQL stores them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRef {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
}

/// A table that must exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredTable {
    /// The table.
    pub table: TableRef,
    /// Rows that it must have at least.
    pub min_rows: Option<u64>,
}

/// How the rows of a table are chained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSettings {
    /// The operator's name for it.
    pub name: String,
    /// The table.
    pub table: TableRef,
    /// What is hashed.
    pub fields: Vec<ChainField>,
    /// Columns that say which row comes first.
    pub order: Vec<String>,
    /// Column with the hash of the row before.
    pub previous: String,
    /// Column with the row's own hash.
    pub hash: String,
    /// What the first row has for the hash of the row before; `None` = null.
    pub genesis: Option<String>,
    /// The digest.
    pub algorithm: ChainAlgorithm,
    /// How the digest is written.
    pub encoding: ChainEncoding,
    /// How fields become one text.
    pub text: ChainText,
    /// What becomes of nulls.
    pub null_rule: ChainNulls,
    /// The hash of a row that must be in it.
    pub head: Option<String>,
}

/// A hashed column under its name in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainField {
    /// Name in the text.
    pub name: String,
    /// Column.
    pub column: String,
    /// How its value is written; `None` = by the column's type.
    pub form: Option<ChainForm>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainForm {
    /// As text.
    Text,
    /// As a number of JavaScript.
    Number,
    /// As `true` or `false`.
    Boolean,
    /// As the JSON it holds, sorted and compact.
    Json,
    /// As ISO 8601 in UTC with milliseconds.
    Time,
}

/// Digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEncoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// How fields become one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainText {
    /// A JSON object with sorted keys and no white space.
    Json,
    /// Values in the order of the fields.
    Joined {
        /// Between them.
        separator: String,
        /// Stands for null.
        null: String,
    },
}

/// What becomes of nulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainNulls {
    /// They are written.
    Keep,
    /// They are left out, names and all.
    Omit,
    /// Whatever fits the row.
    Auto,
}
