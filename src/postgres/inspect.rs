//! What a restored database is like: sequences, constraints, indexes, collations. Everything here only reads, but for adding amcheck to a copy
//! and removing it.

use super::sql::quote_identifier;
use super::{Error, Result, Session};

mod amcheck;
mod asked;

pub use amcheck::{Amcheck, Damage};
pub use asked::Answers;

/// Schemas of users.
const MINE: &str =
    "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(temp|toast_temp)_'";

/// Statements before and after what must see one state of the database and may change nothing. The server stops what
/// nobody waits for (PostgreSQL 14 and newer), rows are never filtered in silence, and values come out in one way.
const BEGIN: &str = "SET default_transaction_read_only = on; SET row_security = off; SET \"TimeZone\" = 'UTC'; SET \"DateStyle\" = 'ISO, YMD'; \
    SET \"IntervalStyle\" = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; \
    BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// How far a sequence is, against the column that takes numbers from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceState {
    /// `schema.sequence`.
    pub sequence: String,
    /// `schema.table.column`.
    pub column: String,
    /// The number that it gives next.
    pub next: i128,
    /// The farthest one in the column; `None` if it is empty.
    pub farthest: Option<i64>,
    /// Whether a number that is there already would be refused.
    pub unique: bool,
    /// Whether it counts down.
    pub descends: bool,
}

impl SequenceState {
    /// Whether it would give numbers that are there already.
    pub fn is_behind(&self) -> bool {
        let far = |farthest| {
            if self.descends { self.next >= i128::from(farthest) } else { self.next <= i128::from(farthest) }
        };
        self.farthest.is_some_and(far)
    }
}

/// Constraints or indexes: how many, and the names of those that do not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// How many there are.
    pub count: u64,
    /// Names of the bad ones, with what is wrong.
    pub bad: Vec<(String, &'static str)>,
}

/// A collation whose library sorts otherwise than when indexes were built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollationDrift {
    /// Its name, or that of the database.
    pub name: String,
    /// Whether it is the database's default.
    pub of_database: bool,
    /// The version recorded.
    pub recorded: String,
    /// The library's.
    pub actual: String,
}

impl Session {
    /// Begins a transaction that sees one state of the database and can change nothing.
    pub async fn begin_inspection(&self) -> Result<()> {
        let watched = if self.major() >= 14 { "SET client_connection_check_interval = '5s'; " } else { "" };
        let sql = format!("{watched}{BEGIN}");
        self.client().batch_execute(&sql).await.map_err(|e| Error::sql("begin a read-only transaction", e))
    }

    /// Ends it.
    pub async fn end_inspection(&self) -> Result<()> {
        self.client().batch_execute("ROLLBACK").await.map_err(|e| Error::sql("end the transaction", e))
    }

    /// Runs one question so that its failure does not end the transaction.
    pub async fn question<T, E: From<Error>>(&self, ask: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let run = |sql: &'static str| async move {
            self.client().batch_execute(sql).await.map_err(|e| Error::sql("go on in the transaction", e))
        };
        run("SAVEPOINT stonewal_question").await?;
        let answer = ask.await;
        run("ROLLBACK TO SAVEPOINT stonewal_question; RELEASE SAVEPOINT stonewal_question").await?;
        answer
    }

    /// Exact number of rows; of a partitioned table, in all its partitions, unless `only` itself is meant.
    pub async fn count_rows(&self, table: &super::rows::TableName, only: bool) -> Result<u64> {
        let only = if only { "ONLY " } else { "" };
        let sql = format!("SELECT pg_catalog.count(*) FROM {only}{}", table.quoted());
        let row = self.client().query_one(&sql, &[]).await;
        let row = row.map_err(|e| Error::sql(&format!("count the rows of {table}"), e))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
    }

    /// Names of the databases of the server that can be connected to and are no templates.
    pub async fn databases(&self) -> Result<Vec<String>> {
        let sql = "SELECT datname::pg_catalog.text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1";
        let rows = self.client().query(sql, &[]).await.map_err(|e| Error::sql("list the databases", e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// How many tables there are, of whatever kind, without those that came with an extension.
    pub async fn count_tables(&self) -> Result<u64> {
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'm', 'f') AND {MINE} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
               WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')"
        );
        let row = self.client().query_one(&sql, &[]).await.map_err(|e| Error::sql("count the tables", e))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
    }

    /// The kind of a relation (`pg_class.relkind`); `None` if there is none of that name.
    pub async fn relation_kind(&self, table: &super::rows::TableName) -> Result<Option<char>> {
        let sql = "SELECT c.relkind::pg_catalog.text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
        let row = self.client().query_opt(sql, &[&table.schema, &table.table]).await;
        let row = row.map_err(|e| Error::sql(&format!("look for {table}"), e))?;
        Ok(row.and_then(|row| row.get::<_, String>(0).chars().next()))
    }

    /// One value by a statement of the operator's, which sees the role's own `search_path`; `None` without a row.
    pub async fn ask_value(&self, sql: &str) -> Result<Option<String>> {
        let failed = |e| Error::sql("ask for the release", e);
        let sql = sql.trim().trim_end_matches(';');
        let wrapped = format!("SELECT q.answer::pg_catalog.text FROM ({sql}\n) AS q(answer) LIMIT 1");
        self.client().batch_execute("RESET search_path").await.map_err(failed)?;
        let row = self.client().query_opt(&wrapped, &[]).await.map_err(failed)?;
        self.client().batch_execute("SET search_path = ''").await.map_err(failed)?;
        Ok(row.and_then(|row| row.get(0)))
    }

    /// Whether the database says of itself that it is production: the setting `stonewal.production`.
    pub async fn says_production(&self) -> Result<bool> {
        let sql = "SELECT coalesce(pg_catalog.lower(pg_catalog.current_setting('stonewal.production', true)), '') IN ('on', 'true', 'yes', '1')";
        let row = self.client().query_one(sql, &[]).await;
        Ok(row.map_err(|e| Error::sql("ask whether it is production", e))?.get(0))
    }

    /// Every sequence that feeds an integer column: as its identity, by ownership, or through its default.
    pub async fn sequences(&self) -> Result<Vec<SequenceState>> {
        let failed = |e| Error::sql("look at the sequences", e);
        let sql = format!(
            "SELECT DISTINCT sn.nspname::pg_catalog.text, s.relname::pg_catalog.text, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, \
               a.attname::pg_catalog.text, q.seqincrement, \
               EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indnkeyatts = 1 \
                       AND i.indkey[0] = a.attnum AND i.indpred IS NULL) \
             FROM (SELECT d.objid AS seq, d.refobjid AS rel, d.refobjsubid AS att FROM pg_catalog.pg_depend d \
                   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                     AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 \
                   UNION SELECT d.refobjid, f.adrelid, f.adnum FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid \
                   WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) l \
             JOIN pg_catalog.pg_class s ON s.oid = l.seq AND s.relkind = 'S' JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace \
             JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid AND NOT q.seqcycle \
             JOIN pg_catalog.pg_class c ON c.oid = l.rel AND c.relkind IN ('r', 'p') JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = l.att \
               AND a.atttypid IN ('int2'::pg_catalog.regtype, 'int4'::pg_catalog.regtype, 'int8'::pg_catalog.regtype) \
             WHERE {MINE} ORDER BY 1, 2, 3, 4, 5"
        );
        let mut states = Vec::new();
        for row in self.client().query(&sql, &[]).await.map_err(failed)? {
            let part = |at: usize| row.get::<_, String>(at);
            let (sequence, table) = ((part(0), part(1)), (part(2), part(3)));
            let step: i64 = row.get(5);
            let farthest = if step < 0 { "min" } else { "max" };
            let quoted =
                |(schema, name): &(String, String)| format!("{}.{}", quote_identifier(schema), quote_identifier(name));
            let sql = format!(
                "SELECT last_value, is_called, (SELECT pg_catalog.{farthest}({})::pg_catalog.int8 FROM {}) FROM {}",
                quote_identifier(&part(4)),
                quoted(&table),
                quoted(&sequence)
            );
            let state = self.client().query_one(&sql, &[]).await.map_err(failed)?;
            let (last, called): (i64, bool) = (state.get(0), state.get(1));
            states.push(SequenceState {
                sequence: format!("{}.{}", sequence.0, sequence.1),
                column: format!("{}.{}.{}", table.0, table.1, part(4)),
                next: i128::from(last) + if called { i128::from(step) } else { 0 },
                farthest: state.get(2),
                unique: row.get(6),
                descends: step < 0,
            });
        }
        Ok(states)
    }

    /// Constraints that are not validated, and foreign keys whose triggers are switched off.
    pub async fn constraints(&self) -> Result<Validity> {
        let enforced = if self.major() >= 18 { "k.conenforced" } else { "true" };
        let sql = format!(
            "SELECT n.nspname || '.' || c.relname || '.' || k.conname, NOT k.convalidated AND {enforced}, \
               EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgisinternal AND g.tgenabled = 'D') \
             FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {MINE} ORDER BY 1"
        );
        self.validity(
            &sql,
            ["not validated: rows may break it", "one whose triggers are switched off: nothing enforces it"],
        )
        .await
    }

    /// Indexes that no query uses, or that were never finished.
    pub async fn indexes(&self) -> Result<Validity> {
        let sql = format!(
            "SELECT n.nspname || '.' || c.relname, NOT (i.indisvalid AND i.indislive), NOT i.indisready \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {MINE} ORDER BY 1"
        );
        self.validity(
            &sql,
            ["not valid: no query uses it, and what it should enforce is not enforced", "not ready: writes pass it by"],
        )
        .await
    }

    async fn validity(&self, sql: &str, words: [&'static str; 2]) -> Result<Validity> {
        let rows = self.client().query(sql, &[]).await.map_err(|e| Error::sql("look at constraints and indexes", e))?;
        let mut validity = Validity { count: rows.len() as u64, bad: Vec::new() };
        for row in &rows {
            let (first, second): (bool, bool) = (row.get(1), row.get(2));
            if first || second {
                validity.bad.push((row.get(0), words[usize::from(!first)]));
            }
        }
        Ok(validity)
    }

    /// Collations in use whose version is not the one that indexes were built with (PostgreSQL docs, ALTER COLLATION).
    pub async fn collation_drift(&self) -> Result<Vec<CollationDrift>> {
        let failed = |e| Error::sql("compare the versions of collations", e);
        let sql = "SELECT n.nspname || '.' || c.collname, c.collversion, pg_catalog.pg_collation_actual_version(c.oid) \
                   FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
                   WHERE c.collversion IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attcollation = c.oid) ORDER BY 1";
        let mut rows = self.client().query(sql, &[]).await.map_err(failed)?;
        let of_database = rows.len();
        if self.major() >= 15 {
            let sql = "SELECT datname::pg_catalog.text, datcollversion, pg_catalog.pg_database_collation_actual_version(oid) \
                       FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
            rows.extend(self.client().query(sql, &[]).await.map_err(failed)?);
        }
        let drift = rows.iter().enumerate().filter_map(|(at, row)| {
            let (recorded, actual): (Option<String>, Option<String>) = (row.get(1), row.get(2));
            let (recorded, actual) = (recorded?, actual.unwrap_or_else(|| "none".into()));
            let name = row.get(0);
            (recorded != actual).then_some(CollationDrift { name, of_database: at >= of_database, recorded, actual })
        });
        Ok(drift.collect())
    }
}
