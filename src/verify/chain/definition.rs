//! How the rows of a table are chained.

use serde::Serialize;

use crate::postgres::rows::TableName;

/// The description of a chain.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The operator's name for it.
    pub name: String,
    /// The table.
    pub table: TableName,
    /// What is hashed.
    pub fields: Vec<Field>,
    /// Columns that say which row comes first. Rows that are equal in all of them are put in the order of their links.
    pub order: Vec<String>,
    /// Column with the hash of the row before.
    pub previous: String,
    /// Column with the row's own hash.
    pub hash: String,
    /// What the first row has for the hash of the row before; `None` = null.
    pub genesis: Option<String>,
    /// The digest, of the text in UTF-8.
    pub algorithm: Algorithm,
    /// How the digest is written.
    pub encoding: Encoding,
    /// How fields become one text.
    pub shape: Shape,
    /// What becomes of nulls.
    pub nulls: Nulls,
    /// A row that must still be in it.
    pub head: Option<KnownHead>,
}

/// A row that a chain ended with when somebody looked: only deleting rows from its end takes it away unnoticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownHead {
    /// Its hash, as it is stored.
    pub hash: String,
    /// Who knows of it, to stand behind "the head".
    pub told: String,
}

/// A hashed column under its name in the text.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in the text.
    pub name: String,
    /// Column.
    pub column: String,
    /// How its value is written; `None` = as node-postgres hands out the column's type: `int2`, `int4`, `oid` and floats as
    /// numbers, `bool` as boolean, `json` and `jsonb` as JSON, timestamps as dates, everything else (`int8` and `numeric`
    /// too) as text.
    pub form: Option<Form>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As text.
    Text,
    /// As a number of JavaScript (ECMAScript, Number::toString); what is not finite is null.
    Number,
    /// As `true` or `false`.
    Boolean,
    /// As the JSON it holds, keys sorted by UTF-16 units, no white space, strings as `JSON.stringify` escapes them.
    Json,
    /// As `Date.toISOString`: `2026-11-24T03:15:00.123Z`, microseconds cut off.
    Time,
}

impl Form {
    /// By the name of a column's type.
    pub(super) fn of_type(name: &str) -> Self {
        match name {
            "int2" | "int4" | "oid" | "float4" | "float8" => Self::Number,
            "bool" => Self::Boolean,
            "json" | "jsonb" => Self::Json,
            "timestamp" | "timestamptz" => Self::Time,
            _ => Self::Text,
        }
    }
}

/// Digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// How fields become one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object with sorted keys and no white space.
    Json,
    /// Values in the order of the fields, strings as they are.
    Joined {
        /// Between them.
        separator: String,
        /// Stands for null.
        null: String,
    },
}

/// What becomes of nulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// They are written.
    Keep,
    /// They are left out, names and all.
    Omit,
    /// Whatever fits the row: all written, all left out, or some: a program leaves out what is absent and writes what is
    /// null, and the database tells no difference.
    Auto,
}
