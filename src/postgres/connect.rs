//! A session with the server: every endpoint in order, TLS as `sslmode` says, timeouts that would kill a long job
//! switched off, and pinned to the server that answered.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::conninfo::{ConnInfo, Endpoint};
use super::error::{chain, words};
use super::tls::{self, Check};
use super::{Error, Result};
use crate::limits::CONNECT_SECONDS_DEFAULT;

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
        let wanted = info.param("target_session_attrs").unwrap_or("any");
        let passes: &[&str] = if wanted == "prefer-standby" { &["standby", "any"] } else { &[wanted] };
        let mut last = None;
        for attrs in passes {
            for endpoint in info.endpoints() {
                match Self::endpoint(info, endpoint, application_name, attrs).await {
                    Ok(session) => return Ok(session),
                    // Docs 34.1.1.3: when a server refuses the login, the remaining hosts are not tried.
                    Err(
                        e @ (Error::Authentication { .. }
                        | Error::NoDatabase { .. }
                        | Error::Setting { .. }
                        | Error::File { .. }),
                    ) => return Err(e),
                    Err(e) => last = Some(e),
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::Setting { name: "host".into(), what: "is empty".into() }))
    }

    async fn endpoint(info: &ConnInfo, endpoint: &Endpoint, application_name: &str, attrs: &str) -> Result<Self> {
        let mut last = None;
        for place in places(info, endpoint).await? {
            match attempt(&info.pinned(place), application_name).await {
                Ok(session) if session.fits(attrs).await? => return Ok(session),
                Ok(session) => last = Some(unreachable(&session.info, &format!("the server is not {attrs}"))),
                Err(e @ (Error::Unreachable { .. } | Error::Busy { .. })) => last = Some(e),
                Err(e) => return Err(e),
            }
        }
        Err(last.unwrap_or_else(|| unreachable(info, "the host name has no address")))
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

    async fn fits(&self, attrs: &str) -> Result<bool> {
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
    let session = match Session::connect(info, "stonewal cleanup").await {
        // The database was dropped under us; sessions are listed for the whole cluster.
        Err(Error::NoDatabase { .. }) => Session::connect(&info.with_dbname("postgres"), "stonewal cleanup").await?,
        other => other?,
    };
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

/// The endpoint once per address of its name.
async fn places(info: &ConnInfo, endpoint: &Endpoint) -> Result<Vec<Endpoint>> {
    if endpoint.is_socket() || endpoint.hostaddr.is_some() {
        return Ok(vec![endpoint.clone()]);
    }
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let found = found.map_err(|e| unreachable(info, &format!("look up {}: {e}", endpoint.host)))?;
    Ok(found.map(|address| Endpoint { hostaddr: Some(address.ip()), ..endpoint.clone() }).collect())
}

/// One address, the ways `sslmode` allows in their order (docs 34.19.3, table 34.1).
async fn attempt(info: &ConnInfo, application_name: &str) -> Result<Session> {
    let is_socket = info.endpoints().iter().all(Endpoint::is_socket);
    let default = if info.param("sslrootcert") == Some("system") { "verify-full" } else { "prefer" };
    match info.param("sslmode").unwrap_or(default) {
        _ if is_socket => timed(info, application_name, None).await,
        "disable" => timed(info, application_name, None).await,
        "allow" => match timed(info, application_name, None).await {
            Err(error) if is_turned_away(&error) => timed(info, application_name, Some(Check::ChainIfRoots)).await,
            other => other,
        },
        "require" => timed(info, application_name, Some(Check::ChainIfRoots)).await,
        "verify-ca" => timed(info, application_name, Some(Check::Chain)).await,
        "verify-full" => timed(info, application_name, Some(Check::ChainAndName)).await,
        _ => match timed(info, application_name, Some(Check::ChainIfRoots)).await {
            Err(first) if matches!(first, Error::Tls { .. }) || is_turned_away(&first) => {
                // The refusal of the better way is the one to tell when both fail.
                timed(info, application_name, None).await.map_err(|_| first)
            }
            other => other,
        },
    }
}

/// Whether pg_hba.conf turned us away, which another way in may change; a wrong password it does not.
fn is_turned_away(error: &Error) -> bool {
    matches!(error, Error::Authentication { what, .. } if what.ends_with("[28000]"))
}

async fn timed(info: &ConnInfo, application_name: &str, check: Option<Check>) -> Result<Session> {
    let limit = match info.number("connect_timeout")? {
        // libpq: below 2 is 2, zero and less is for ever; for ever is not for unattended jobs.
        Some(seconds) if seconds > 0 => u64::try_from(seconds).unwrap_or(2).max(2),
        _ => CONNECT_SECONDS_DEFAULT,
    };
    match tokio::time::timeout(Duration::from_secs(limit), open(info, application_name, check)).await {
        Ok(done) => done,
        Err(_) => Err(unreachable(info, &format!("no answer within {limit} s"))),
    }
}

async fn open(info: &ConnInfo, application_name: &str, check: Option<Check>) -> Result<Session> {
    let config = config(info, application_name, check.is_some())?;
    let mut driver = JoinSet::new();
    let client = match check {
        None => {
            let (client, connection) = config.connect(NoTls).await.map_err(|e| classify(info, &e))?;
            driver.spawn(connection);
            client
        }
        Some(check) => {
            let tls = MakeRustlsConnect::new(tls::client_config(info, check)?);
            let (client, connection) = config.connect(tls).await.map_err(|e| classify(info, &e))?;
            driver.spawn(connection);
            client
        }
    };
    Session::prepare(client, driver, info, check.is_some()).await
}

fn config(info: &ConnInfo, application_name: &str, encrypted: bool) -> Result<Config> {
    use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};
    let mut config = Config::new();
    for endpoint in info.endpoints() {
        config.host(&endpoint.host).port(endpoint.port);
        endpoint.hostaddr.map(|address: IpAddr| config.hostaddr(address));
        if let Some(password) = info.password_for(endpoint)? {
            config.password(password.expose_secret());
        }
    }
    config.user(info.user()).dbname(info.dbname()).application_name(application_name);
    config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
    if info.param("sslnegotiation") == Some("direct") {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    config.channel_binding(match info.param("channel_binding") {
        Some("disable") => ChannelBinding::Disable,
        Some("require") => ChannelBinding::Require,
        _ => ChannelBinding::Prefer,
    });
    if let Some(options) = info.param("options") {
        config.options(options);
    }
    keepalives(info, &mut config)?;
    Ok(config)
}

/// A dead peer is noticed within half a minute (PAINS C6), unless the settings say otherwise.
fn keepalives(info: &ConnInfo, config: &mut Config) -> Result<()> {
    let seconds = |name: &str, default: u64| -> Result<Duration> {
        let value = info.number(name)?.filter(|n| *n > 0).and_then(|n| u64::try_from(n).ok());
        Ok(Duration::from_secs(value.unwrap_or(default)))
    };
    config.keepalives(info.number("keepalives")? != Some(0));
    config.keepalives_idle(seconds("keepalives_idle", 10)?);
    config.keepalives_interval(seconds("keepalives_interval", 5)?);
    let count = info.number("keepalives_count")?.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    config.keepalives_retries(count.unwrap_or(3));
    if let Some(millis) = info.number("tcp_user_timeout")?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0) {
        config.tcp_user_timeout(Duration::from_millis(millis));
    }
    Ok(())
}

fn unreachable(info: &ConnInfo, what: &str) -> Error {
    Error::Unreachable { target: info.redacted(), what: what.into() }
}

/// What a failed connection means.
fn classify(info: &ConnInfo, error: &tokio_postgres::Error) -> Error {
    let (target, what) = (info.redacted(), words(error));
    if let Some(code) = error.code() {
        return match code.code() {
            "3D000" => Error::NoDatabase { target },
            // Class 53: no resources; 57P01 to 57P03: shutting down or starting.
            code if code.starts_with("53") || code.starts_with("57P") => Error::Busy { target, what },
            "42501" => Error::Denied { action: format!("connect to {target}"), what },
            _ => Error::Authentication { target, what },
        };
    }
    // The driver keeps its error kinds private; their texts are fixed.
    let kind = error.to_string();
    if kind.starts_with("error performing TLS handshake") {
        Error::Tls { target, what }
    } else if kind.starts_with("authentication error") || what.contains("password missing") {
        Error::Authentication { target, what }
    } else {
        Error::Unreachable { target, what }
    }
}
