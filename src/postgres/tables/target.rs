//! What a target has of what a picked table needs.

use super::super::rows::TableName;
use super::super::sql::quote_literal;
use super::super::{Error, Result, Session};
use super::Need;

impl TableName {
    /// A statement that fails unless the table has no rows, and that keeps others from adding some.
    pub(super) fn empty_guard(&self) -> String {
        let name = self.quoted();
        let complaint = quote_literal(&format!("table {self} is not empty").replace('%', "%%"));
        let body = format!(
            "BEGIN LOCK TABLE ONLY {name} IN SHARE ROW EXCLUSIVE MODE; IF EXISTS (SELECT FROM ONLY {name}) THEN RAISE EXCEPTION {complaint}; END IF; END"
        );
        format!("DO {}", quote_literal(&body))
    }

    /// A statement that sets the sequence of a column.
    pub(super) fn set_value(&self, column: &str, value: i64, called: bool) -> String {
        let (table, column) = (quote_literal(&self.quoted()), quote_literal(column));
        format!("SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence({table}, {column}), {value}, {called})")
    }

    /// The same, unless the sequence is there or further: upwards or, if it descends, downwards.
    pub(super) fn advance(&self, column: &str, value: i64, called: bool) -> String {
        let (table, column) = (quote_literal(&self.quoted()), quote_literal(column));
        let body = format!(
            "DECLARE s regclass := pg_catalog.pg_get_serial_sequence({table}, {column}); v bigint := '{value}'; \
             live bigint; used boolean; step bigint; \
             BEGIN IF s IS NULL THEN RETURN; END IF; \
             EXECUTE pg_catalog.format('SELECT last_value, is_called FROM %s', s) INTO live, used; \
             SELECT seqincrement INTO step FROM pg_catalog.pg_sequence WHERE seqrelid = s; \
             IF (step > 0 AND v > live) OR (step < 0 AND v < live) OR (v = live AND {called} AND NOT used) THEN \
             PERFORM pg_catalog.setval(s, v, {called}); END IF; END"
        );
        format!("DO {}", quote_literal(&body))
    }
}

impl Session {
    /// What is missing of a need; `None` if nothing is.
    pub async fn lacks(&self, need: &Need) -> Result<Option<String>> {
        let (there, lack) = match need {
            Need::Relation(name) => (self.has_table(name).await?, format!("the target has no {name}")),
            Need::Function(name) => (self.has_function(name).await?, format!("the target has no function {name}()")),
            Need::Role(role) => (self.has_role(role).await?, format!("the target has no role {role}")),
            Need::Kept(_) => (true, String::new()),
            Need::Never(why) | Need::Elsewhere(why) => (false, why.clone()),
        };
        Ok((!there).then_some(lack))
    }

    /// Whether there is a relation of this name.
    pub async fn has_table(&self, name: &TableName) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = $2)";
        let row = self.client().query_one(sql, &[&name.schema, &name.table]).await;
        Ok(row.map_err(|e| Error::sql(&format!("look for {name}"), e))?.get(0))
    }

    /// Whether a table has rows of its own.
    pub async fn has_rows(&self, name: &TableName) -> Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT FROM ONLY {})", name.quoted());
        let row = self.client().query_one(&sql, &[]).await;
        Ok(row.map_err(|e| Error::sql(&format!("look into {name}"), e))?.get(0))
    }

    /// Whether there is a schema of this name.
    pub async fn has_schema(&self, name: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
        Ok(self
            .client()
            .query_one(sql, &[&name])
            .await
            .map_err(|e| Error::sql(&format!("look for schema {name}"), e))?
            .get(0))
    }

    async fn has_function(&self, name: &TableName) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
                   WHERE n.nspname = $1 AND p.proname = $2)";
        let row = self.client().query_one(sql, &[&name.schema, &name.table]).await;
        Ok(row.map_err(|e| Error::sql(&format!("look for function {name}"), e))?.get(0))
    }

    async fn has_role(&self, name: &str) -> Result<bool> {
        let sql =
            "SELECT $1 IN ('public', 'CURRENT_USER') OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)";
        let row = self.client().query_one(sql, &[&name]).await;
        Ok(row.map_err(|e| Error::sql(&format!("look for role {name}"), e))?.get(0))
    }
}
