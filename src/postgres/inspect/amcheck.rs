//! Are indexes and tables sound inside (PostgreSQL docs, "amcheck")?

use super::super::sql::quote_identifier;
use super::super::sql::quote_literal;
use super::super::{Error, Result, Session};

/// Damages told in full.
const DAMAGES_MAX: usize = 100;

/// What an examination found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amcheck {
    /// The extension is not in the database; whether the server could install it.
    Absent {
        /// Whether `CREATE EXTENSION` would do.
        available: bool,
    },
    /// This role may not run it.
    Denied,
    /// It ran.
    Ran {
        /// B-tree indexes examined, each against its table.
        indexes: u64,
        /// Tables examined (PostgreSQL 14 and newer).
        tables: u64,
        /// What is broken.
        damage: Vec<Damage>,
    },
}

/// A broken relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// `schema.relation`.
    pub relation: String,
    /// PostgreSQL's words.
    pub what: String,
}

impl Session {
    /// Adds the extension in a schema of this name, if the database lacks it and the server has it: to a copy of a database
    /// that is ours. True if it was added. What the database does when somebody changes it (event triggers) does not run.
    pub async fn add_amcheck(&self, schema: &str) -> Result<bool> {
        let failed = |e| Error::sql("add amcheck", e);
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions \
                   WHERE name = 'amcheck' AND installed_version IS NULL)";
        if !self.client().query_one(sql, &[]).await.map_err(failed)?.get::<_, bool>(0) {
            return Ok(false);
        }
        // A transaction keeps what it began with, so these are one of their own.
        let settings = "SET session_replication_role = replica; SET default_transaction_read_only = off";
        self.client().batch_execute(settings).await.map_err(failed)?;
        let schema = quote_identifier(schema);
        let sql = format!("CREATE SCHEMA {schema}; CREATE EXTENSION amcheck SCHEMA {schema}");
        self.client().batch_execute(&sql).await.map_err(failed)?;
        Ok(true)
    }

    /// Takes it away again; for the session that added it.
    pub async fn remove_amcheck(&self, schema: &str) -> Result<()> {
        let sql = format!("DROP EXTENSION amcheck; DROP SCHEMA {}", quote_identifier(schema));
        self.client().batch_execute(&sql).await.map_err(|e| Error::sql("remove amcheck", e))
    }

    /// Examines every B-tree index and, where the server can, every table; outside of a transaction, since an index made
    /// during an older snapshot cannot be examined under it.
    pub async fn amcheck(&self) -> Result<Amcheck> {
        let failed = |e| Error::sql("look for amcheck", e);
        let sql = "SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_extension e \
                   JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
        let Some(row) = self.client().query_opt(sql, &[]).await.map_err(failed)? else {
            let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck')";
            let available = self.client().query_one(sql, &[]).await.map_err(failed)?.get(0);
            return Ok(Amcheck::Absent { available });
        };
        let schema: String = row.get(0);
        let mut damage = Vec::new();
        let function = format!("{}.bt_index_check", quote_identifier(&schema));
        let allowed = "SELECT pg_catalog.has_function_privilege(p.oid, 'EXECUTE') FROM pg_catalog.pg_proc p \
                       JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = $2 AND p.pronargs >= 2";
        let may = async |function: &str| {
            let rows = self.client().query(allowed, &[&schema, &function]).await.map_err(failed)?;
            Ok::<_, Error>(rows.first().map(|row| row.get::<_, bool>(0)))
        };
        if may("bt_index_check").await? != Some(true) {
            return Ok(Amcheck::Denied);
        }
        let indexes = self.relations("i.indisvalid AND i.indisready AND c.relkind = 'i' AND c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree')").await?;
        for (oid, name) in &indexes {
            let sql = format!("SELECT {function}({oid}::pg_catalog.regclass, true)");
            if let Err(error) = self.client().batch_execute(&sql).await {
                note(&mut damage, name, self.damage_of(error)?);
            }
        }
        let mut tables = Vec::new();
        if may("verify_heapam").await? == Some(true) {
            tables = self.relations("c.relkind IN ('r', 'm', 't')").await?;
        }
        for (oid, name) in &tables {
            let sql = format!(
                "SELECT 'block ' || blkno || coalesce(', item ' || offnum, '') || ': ' || msg FROM {}.verify_heapam(relation => {oid}::pg_catalog.regclass, on_error_stop => true)",
                quote_identifier(&schema)
            );
            match self.client().query(&sql, &[]).await {
                Ok(rows) => rows.iter().for_each(|row| note(&mut damage, name, Some(row.get(0)))),
                Err(error) => note(&mut damage, name, self.damage_of(error)?),
            }
        }
        Ok(Amcheck::Ran { indexes: indexes.len() as u64, tables: tables.len() as u64, damage })
    }

    /// The server's words about a relation; nothing if it was dropped meanwhile. A lost connection is no damage.
    fn damage_of(&self, error: tokio_postgres::Error) -> Result<Option<String>> {
        match error.as_db_error() {
            Some(db) if matches!(db.code().code(), "42P01" | "42704") => Ok(None),
            Some(db) if !self.client().is_closed() => Ok(Some(db.message().to_owned())),
            _ => Err(Error::sql("run amcheck", error)),
        }
    }

    /// Permanent relations of all schemas, those of the system too, by a condition on `pg_class c` and `pg_index i`.
    async fn relations(&self, condition: &str) -> Result<Vec<(u32, String)>> {
        let sql = format!(
            "SELECT c.oid, n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE c.relpersistence = {} AND {condition} ORDER BY 2",
            quote_literal("p")
        );
        let rows = self.client().query(&sql, &[]).await.map_err(|e| Error::sql("list what amcheck examines", e))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}

fn note(damage: &mut Vec<Damage>, relation: &str, what: Option<String>) {
    if let Some(what) = what.filter(|_| damage.len() < DAMAGES_MAX) {
        damage.push(Damage { relation: relation.to_owned(), what });
    }
}
