//! A session with the server: every endpoint in order, TLS as `sslmode` says, timeouts that would kill a long job
//! switched off, and pinned to the server that answered.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::conninfo::ConnInfo;
use super::error::words;
use super::tls::Check;
use super::{Error, Result};
use crate::observe::chain;

mod attempt;
mod session;

pub(super) use attempt::{Keepalives, Opening, connect, unreachable};

/// An open session. Dropping it closes the connection; a backend in the middle of a statement notices only later, see
/// [`terminate_backends`].
#[derive(Debug)]
pub struct Session {
    client: std::sync::Arc<Client>,
    driver: JoinSet<Result<(), tokio_postgres::Error>>,
    info: ConnInfo,
    encrypted: bool,
    version: u32,
    standby: bool,
}

impl Session {
    /// Connects to the first endpoint that fits. Safe to drop at any point.
    pub async fn connect(info: &ConnInfo, application_name: &str) -> Result<Self> {
        attempt::connect(info, application_name).await
    }

    /// The same for what concerns the whole cluster: any database does, `postgres` if the one named does not exist.
    pub async fn to_server(info: &ConnInfo, application_name: &str) -> Result<Self> {
        match Self::connect(info, application_name).await {
            Err(Error::NoDatabase { .. }) => Self::connect(&info.with_dbname("postgres"), application_name).await,
            other => other,
        }
    }

    /// Takes over a fresh connection and prepares it for a long job.
    async fn prepare(
        client: Client,
        driver: JoinSet<Result<(), tokio_postgres::Error>>,
        info: &ConnInfo,
        encrypted: bool,
    ) -> Result<Self> {
        let mut session =
            Self { client: client.into(), driver, info: info.clone(), encrypted, version: 0, standby: false };
        let sql = "SELECT pg_catalog.current_setting('server_version_num')::int4, pg_catalog.pg_is_in_recovery()";
        let row =
            session.client.query_one(sql, &[]).await.map_err(|e| Error::sql("ask for the server's version", e))?;
        session.version = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
        session.standby = row.get(1);
        let mut timeouts = String::from(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET search_path = ''",
        );
        if session.version >= 140_000 {
            timeouts.push_str("; SET idle_session_timeout = 0");
        }
        if session.version >= 170_000 {
            timeouts.push_str("; SET transaction_timeout = 0");
        }
        session.client.batch_execute(&timeouts).await.map_err(|e| Error::sql("prepare the session", e))?;
        Ok(session)
    }

    /// The driver's handle, for statements. Its `search_path` is empty: name every schema.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn client_shared(&self) -> std::sync::Arc<Client> {
        std::sync::Arc::clone(&self.client)
    }

    /// The settings narrowed down to the server, address included, that this session talks to. Children that must see
    /// the same data are started with these.
    pub fn info(&self) -> &ConnInfo {
        &self.info
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// `server_version_num`, such as 150018.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Major version, such as 15.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// Whether the server is a standby.
    pub fn is_standby(&self) -> bool {
        self.standby
    }

    /// Waits until the connection ends and says why. Safe to drop at any point; made for `select!`.
    pub async fn closed(&mut self) -> Error {
        let what = match self.driver.join_next().await {
            Some(Ok(Err(e))) => words(&e),
            Some(Ok(Ok(()))) | None => "the server closed it".to_owned(),
            Some(Err(e)) => chain(&e),
        };
        Error::Lost { target: self.info.redacted(), what }
    }
}

impl Opening for Session {
    async fn open(info: &ConnInfo, application_name: &str, check: Option<Check>) -> Result<Self> {
        session::open(info, application_name, check).await
    }

    async fn fits(&mut self, attrs: &str) -> Result<bool> {
        let writable = || async {
            let row = self.client.query_one("SHOW transaction_read_only", &[]).await;
            row.map(|row| row.get::<_, String>(0) == "off")
                .map_err(|e| Error::sql("ask whether the server is writable", e))
        };
        Ok(match attrs {
            "primary" => !self.standby,
            "standby" => self.standby,
            "read-write" => writable().await?,
            "read-only" => !writable().await?,
            _ => true,
        })
    }
}

/// Terminates every other session of ours that bears this name and waits until all are gone. True if they are.
///
/// A backend that waits for a lock or is sorting does not look at its socket; killing the client leaves it, its
/// snapshot and its locks behind (PAINS C5). The role may always terminate its own sessions.
pub async fn terminate_backends(info: &ConnInfo, application_name: &str) -> Result<bool> {
    // The database may have been dropped under us; sessions are listed for the whole cluster.
    let session = Session::to_server(info, "stonewal cleanup").await?;
    let sql = "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
               WHERE application_name = $1 AND pid <> pg_catalog.pg_backend_pid() AND usename = current_user";
    for _ in 0..crate::limits::BACKEND_GONE_SECONDS_MAX * 10 {
        let row = session.client.query_one(sql, &[&application_name]).await;
        if row.map_err(|e| Error::sql("terminate the abandoned session", e))?.get::<_, i64>(0) == 0 {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(false)
}
