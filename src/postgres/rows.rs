//! The rows of a table, one after the other and never all at once.

use std::fmt;
use std::pin::Pin;

use futures::TryStreamExt as _;
use tokio_postgres::RowStream;
use tokio_postgres::types::{FromSql, Type};

use super::sql::quote_identifier;
use super::{Error, Result, Session};

/// A table by schema and name, as PostgreSQL stores them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
}

impl TableName {
    /// As it stands in a statement.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `typname` of its type, or of the type that its domain is based on.
    pub type_name: String,
}

impl Column {
    /// Whether it holds moments.
    pub fn is_time(&self) -> bool {
        matches!(self.type_name.as_str(), "timestamp" | "timestamptz")
    }

    /// Whether it holds bytes.
    pub fn is_bytes(&self) -> bool {
        self.type_name == "bytea"
    }
}

/// A column to read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Its name.
    pub column: String,
    /// How its values come out.
    pub reading: Reading,
}

/// How values come out of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As PostgreSQL prints them.
    Text,
    /// As [`Cell::Time`], of a timestamp.
    Time,
    /// The bytes of a `bytea` in lower-case hexadecimal.
    Hex,
    /// The bytes of a `bytea` in Base64 with padding.
    Base64,
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cell {
    /// Null.
    #[default]
    Null,
    /// As PostgreSQL prints it.
    Text(String),
    /// Microseconds since 1970, UTC; the extremes are PostgreSQL's infinities. A timestamp without time zone counts as UTC.
    Time(i64),
}

/// Rows on their way.
pub struct Rows {
    stream: Pin<Box<RowStream>>,
    times: Vec<bool>,
    action: String,
}

impl Rows {
    /// The next one; `None` after the server said that it was the last. Safe to drop at any point.
    pub async fn next(&mut self) -> Result<Option<Vec<Cell>>> {
        let row = self.stream.try_next().await.map_err(|e| Error::sql(&self.action, e))?;
        let Some(row) = row else { return Ok(None) };
        let cells = self.times.iter().enumerate().map(|(at, time)| {
            Ok(if *time {
                row.try_get::<_, Option<Micros>>(at)?.map_or(Cell::Null, |micros| Cell::Time(micros.0))
            } else {
                row.try_get::<_, Option<String>>(at)?.map_or(Cell::Null, Cell::Text)
            })
        });
        cells.collect::<Result<Vec<_>, tokio_postgres::Error>>().map(Some).map_err(|e| Error::sql(&self.action, e))
    }
}

/// The binary form of a timestamp.
struct Micros(i64);

/// From 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let micros = postgres_protocol::types::timestamp_from_sql(raw)?;
        let infinite = micros == i64::MAX || micros == i64::MIN;
        Ok(Self(if infinite { micros } else { micros.saturating_add(EPOCH_MICROS) }))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TIMESTAMP | Type::TIMESTAMPTZ)
    }
}

impl Session {
    /// The columns of a table, view or the like; `None` if there is none of that name.
    pub async fn columns(&self, table: &TableName) -> Result<Option<Vec<Column>>> {
        let sql = "SELECT a.attname::pg_catalog.text, coalesce(b.typname, t.typname)::pg_catalog.text \
                   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                   JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                   LEFT JOIN pg_catalog.pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype \
                   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY a.attnum";
        let rows = self.client().query(sql, &[&table.schema, &table.table]).await;
        let rows = rows.map_err(|e| Error::sql(&format!("look at {table}"), e))?;
        let columns = rows.iter().map(|row| Column { name: row.get(0), type_name: row.get(1) });
        Ok((!rows.is_empty()).then(|| columns.collect()))
    }

    /// The columns of a table's primary key, in its order; empty if it has none.
    pub async fn primary_key(&self, table: &TableName) -> Result<Vec<String>> {
        let sql = "SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' \
                   CROSS JOIN LATERAL pg_catalog.unnest(k.conkey) WITH ORDINALITY u(number, at) \
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number \
                   WHERE n.nspname = $1 AND c.relname = $2 ORDER BY u.at";
        let rows = self.client().query(sql, &[&table.schema, &table.table]).await;
        let rows = rows.map_err(|e| Error::sql(&format!("look at {table}"), e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Reads a table in the order of some of the columns that are read, by their numbers. Rows come as fast as they are
    /// taken: what nobody has asked for yet stays with the server.
    pub async fn rows(&self, table: &TableName, select: &[Select], order: &[usize]) -> Result<Rows> {
        let columns: Vec<String> = select.iter().map(Select::sql).collect();
        let order = order.iter().filter_map(|at| select.get(*at)).map(|select| quote_identifier(&select.column));
        let order: Vec<String> = order.map(|column| format!("t.{column}")).collect();
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
        let sql = format!("SELECT {} FROM {} t{order}", columns.join(", "), table.quoted());
        let action = format!("read {table}");
        let nothing: [&str; 0] = [];
        let stream = self.client().query_raw(&sql, nothing).await.map_err(|e| Error::sql(&action, e))?;
        let times = select.iter().map(|select| select.reading == Reading::Time).collect();
        Ok(Rows { stream: Box::pin(stream), times, action })
    }

    /// Rows that have one of these values in a column, as it is read: the value, and what they have in other columns.
    pub async fn rows_with(
        &self,
        table: &TableName,
        column: &Select,
        values: &[String],
        others: &[String],
    ) -> Result<Vec<(String, Vec<String>)>> {
        let text = |name: &str| format!("coalesce(t.{}::pg_catalog.text, '')", quote_identifier(name));
        let searched = column.sql();
        let columns: Vec<String> =
            std::iter::once(searched.clone()).chain(others.iter().map(|name| text(name))).collect();
        let sql = format!(
            "SELECT {} FROM {} t WHERE {searched} = ANY ($1::pg_catalog.text[])",
            columns.join(", "),
            table.quoted(),
        );
        let rows = self.client().query(&sql, &[&values]).await;
        let rows = rows.map_err(|e| Error::sql(&format!("search {table}"), e))?;
        Ok(rows.iter().map(|row| (row.get(0), (1..row.len()).map(|at| row.get(at)).collect())).collect())
    }
}

impl Select {
    fn sql(&self) -> String {
        let column = format!("t.{}", quote_identifier(&self.column));
        match self.reading {
            Reading::Text => format!("{column}::pg_catalog.text"),
            Reading::Time => column,
            Reading::Hex => format!("pg_catalog.encode({column}, 'hex')"),
            // PostgreSQL breaks its lines.
            Reading::Base64 => format!("pg_catalog.translate(pg_catalog.encode({column}, 'base64'), E'\\n', '')"),
        }
    }
}
