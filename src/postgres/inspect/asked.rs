//! Questions of the operator's, answered by true or false.

use std::time::Duration;

use futures::TryStreamExt as _;
use tokio_postgres::types::{ToSql, Type};

use super::super::{Error, Result, Session};

/// What a question was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Rows.
    pub rows: u64,
    /// Those that are true.
    pub true_rows: u64,
}

impl Session {
    /// Prepares an open inspection for statements of the operator's: the role's own `search_path`, and a limit to each.
    pub async fn begin_questions(&self, patience: Duration) -> Result<()> {
        let sql = format!("RESET search_path; SET LOCAL statement_timeout = {}", patience.as_millis());
        self.client().batch_execute(&sql).await.map_err(|e| Error::sql("prepare the session", e))
    }

    /// Runs one query that gives one boolean column, and counts.
    pub async fn ask_truth(&self, sql: &str) -> Result<Answers> {
        let failed = |e| Error::sql("run the query", e);
        // Prepared, it can be no more than one statement.
        let statement = self.client().prepare(sql).await.map_err(failed)?;
        if !matches!(statement.columns(), [column] if *column.type_() == Type::BOOL) {
            return Err(Error::Unsupported { what: "it does not give exactly one boolean column".into() });
        }
        let none: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = Box::pin(self.client().query_raw(&statement, none).await.map_err(failed)?);
        let mut answers = Answers::default();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            answers.rows += 1;
            answers.true_rows += u64::from(row.try_get::<_, Option<bool>>(0).map_err(failed)? == Some(true));
        }
        Ok(answers)
    }

    /// Where the recovery of this server ended, and the latest commit that it replayed, by the clock of the cluster. Both stay
    /// as they were when recovery ended (docs 9.28.4, "Recovery Control Functions").
    pub async fn recovered_to(&self) -> Result<(Option<String>, Option<i64>)> {
        let sql = "SELECT pg_catalog.pg_last_wal_replay_lsn()::pg_catalog.text, \
                   (EXTRACT(epoch FROM pg_catalog.pg_last_xact_replay_timestamp()) * 1000000)::pg_catalog.int8";
        let row = self.client().query_one(sql, &[]).await.map_err(|e| Error::sql("ask where recovery ended", e))?;
        Ok((row.get(0), row.get(1)))
    }

    /// `server_version`.
    pub async fn server_version(&self) -> Result<String> {
        let row = self.client().query_one("SELECT pg_catalog.current_setting('server_version')", &[]).await;
        Ok(row.map_err(|e| Error::sql("ask for the version", e))?.get(0))
    }
}
