//! The control session of a base backup: checks that the server is ready, holds the WAL by a temporary slot, and is watched:
//! when it is lost the slot is gone too, so the backup must not go on (PAINS C6).

use std::time::Duration;

use jiff::Timestamp;

use super::error::Problem;
use super::{ConnInfo, Error, Result, Session};
use crate::limits::{HEARTBEAT_ANSWER_SECONDS_MAX, HEARTBEAT_SECONDS};

/// An open control session. Dropping it ends the session, and PostgreSQL drops the slot with it.
#[derive(Debug)]
pub struct Control {
    session: Session,
}

/// What a base backup records about its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version`, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    /// `server_version_num`.
    pub server_version_num: u32,
    /// Whether it is a standby.
    pub standby: bool,
    /// Parameters that a restore should know, by name.
    pub settings: Vec<(String, String)>,
    /// Databases with their collations.
    pub databases: Vec<DatabaseCollation>,
}

/// How a database sorts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseCollation {
    /// Its name.
    pub name: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `c` libc, `i` ICU, `b` PostgreSQL itself.
    pub provider: String,
    /// Version of the collation data, where PostgreSQL keeps one (15 and newer).
    pub version: Option<String>,
}

/// Parameters recorded with a base backup. None can hold a secret.
const SETTINGS: [&str; 23] = [
    "archive_mode",
    "block_size",
    "config_file",
    "data_checksums",
    "data_directory",
    "full_page_writes",
    "hba_file",
    "hot_standby",
    "ident_file",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
    "segment_size",
    "server_encoding",
    "shared_preload_libraries",
    "ssl",
    "synchronous_standby_names",
    "track_commit_timestamp",
    "wal_block_size",
    "wal_level",
    "wal_segment_size",
];

impl Control {
    /// Connects to any database of the server: the one that the settings name, else `postgres`.
    pub async fn connect(info: &ConnInfo, application_name: &str) -> Result<Self> {
        Ok(Self { session: Session::to_server(info, application_name).await? })
    }

    /// Settings narrowed down to this very server, for the replication connection.
    pub fn info(&self) -> &ConnInfo {
        self.session.info()
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Refuses a server that could not deliver a base backup, naming everything that is missing with its remedy.
    pub async fn check_ready(&self) -> Result<()> {
        let sql = "SELECT r.rolreplication OR r.rolsuper, current_user::pg_catalog.text,
                 pg_catalog.current_setting('wal_level'),
                 pg_catalog.current_setting('max_wal_senders')::pg_catalog.int4,
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_get_wal_senders())::pg_catalog.int4,
                 pg_catalog.current_setting('max_replication_slots')::pg_catalog.int4,
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots)::pg_catalog.int4
             FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
        let failed = |e| Error::sql("ask whether the server is ready for a base backup", e);
        let row = self.session.client().query_one(sql, &[]).await.map_err(failed)?;
        let (may, role): (bool, String) = (row.get(0), row.get(1));
        let level: String = row.get(2);
        let (senders, sending): (i32, i32) = (row.get(3), row.get(4));
        let (slots, used): (i32, i32) = (row.get(5), row.get(6));
        let mut problems = Vec::new();
        let mut say = |what: String, remedy: String| problems.push(Problem { what, remedy });
        if !may {
            let quoted = super::sql::quote_identifier(&role);
            say(format!("role {role} may not replicate"), format!("ALTER ROLE {quoted} REPLICATION"));
        }
        if level == "minimal" {
            say("wal_level is minimal".into(), "set wal_level = replica and restart the server".into());
        }
        if senders <= sending {
            let what = format!("all {senders} WAL senders are in use (max_wal_senders)");
            say(what, format!("set max_wal_senders = {} and restart the server", senders + 2));
        }
        if slots <= used {
            let what = format!("all {slots} replication slots are in use (max_replication_slots)");
            say(what, format!("drop one that is not needed, or set max_replication_slots = {}", slots + 2));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::NotReady { target: self.session.info().redacted(), problems })
    }

    /// Makes a temporary physical slot that keeps the WAL from now on. It lives as long as this session.
    pub async fn hold_wal(&self) -> Result<()> {
        let slot = format!("stonewal_base_{}", super::token::random()?);
        let sql = "SELECT slot_name FROM pg_catalog.pg_create_physical_replication_slot($1::pg_catalog.text::pg_catalog.name, true, true)";
        let made = self.session.client().query_one(sql, &[&slot]).await;
        made.map(drop).map_err(|e| Error::sql("make a temporary replication slot", e))
    }

    /// The server's clock.
    pub async fn now(&self) -> Result<Timestamp> {
        let sql = "SELECT (EXTRACT(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8";
        let row = self.session.client().query_one(sql, &[]).await;
        let micros = row.map_err(|e| Error::sql("ask for the server's time", e))?.get(0);
        Timestamp::from_microsecond(micros)
            .map_err(|error| Error::Unsupported { what: format!("the server's clock: {error}") })
    }

    /// What is recorded about the server.
    pub async fn facts(&self) -> Result<ServerFacts> {
        let failed = |e| Error::sql("read the facts about the server", e);
        let client = self.session.client();
        let version = client.query_one("SELECT pg_catalog.current_setting('server_version')", &[]).await;
        let sql = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY($1) ORDER BY name";
        let names: Vec<&str> = SETTINGS.to_vec();
        let settings = client.query(sql, &[&names]).await.map_err(failed)?;
        let (provider, collation) = match self.session.major() {
            15.. => (
                "d.datlocprovider::pg_catalog.text",
                "coalesce(d.datcollversion, pg_catalog.pg_database_collation_actual_version(d.oid))",
            ),
            _ => ("'c'", "NULL::pg_catalog.text"),
        };
        let sql = format!(
            "SELECT d.datname::pg_catalog.text, d.datcollate::pg_catalog.text, {provider}, {collation}
             FROM pg_catalog.pg_database d ORDER BY 1"
        );
        let databases = client.query(&sql, &[]).await.map_err(failed)?;
        let collation = |row: &tokio_postgres::Row| DatabaseCollation {
            name: row.get(0),
            collate: row.get::<_, Option<String>>(1).unwrap_or_default(),
            provider: row.get(2),
            version: row.get(3),
        };
        Ok(ServerFacts {
            server_version: version.map_err(failed)?.get(0),
            server_version_num: self.session.version(),
            standby: self.session.is_standby(),
            settings: settings
                .iter()
                .map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default()))
                .collect(),
            databases: databases.iter().map(collation).collect(),
        })
    }

    /// Asks every few seconds whether the session still answers; returns when it does not, with the reason. Made for
    /// `select!` beside the copy.
    pub async fn lost(&mut self) -> Error {
        let client = self.session.client_shared();
        let beats = async {
            loop {
                tokio::time::sleep(Duration::from_secs(HEARTBEAT_SECONDS)).await;
                let answer = client.simple_query("SELECT 1");
                match tokio::time::timeout(Duration::from_secs(HEARTBEAT_ANSWER_SECONDS_MAX), answer).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return super::error::words(&error),
                    Err(_) => return format!("no answer within {HEARTBEAT_ANSWER_SECONDS_MAX} s"),
                }
            }
        };
        let target = self.session.info().redacted();
        tokio::select! {
            biased;
            closed = self.session.closed() => closed,
            what = beats => Error::Lost { target, what },
        }
    }
}
