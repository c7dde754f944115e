//! One connection attempt: which address, which of the ways `sslmode` allows, how long, and what a failure means.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::conninfo::{ConnInfo, Endpoint};
use super::super::error::words;
use super::super::tls::{self, Check};
use super::super::{Error, Result};
use super::Session;
use crate::limits::CONNECT_SECONDS_DEFAULT;

/// The endpoint once per address of its name.
pub(super) async fn places(info: &ConnInfo, endpoint: &Endpoint) -> Result<Vec<Endpoint>> {
    if endpoint.is_socket() || endpoint.hostaddr.is_some() {
        return Ok(vec![endpoint.clone()]);
    }
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let found = found.map_err(|e| unreachable(info, &format!("look up {}: {e}", endpoint.host)))?;
    Ok(found.map(|address| Endpoint { hostaddr: Some(address.ip()), ..endpoint.clone() }).collect())
}

/// One address, the ways `sslmode` allows in their order (docs 34.19.3, table 34.1).
pub(super) async fn attempt(info: &ConnInfo, application_name: &str) -> Result<Session> {
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
            // Without TLS there is one way only, and its refusal is the one that counts.
            Err(Error::Tls { what, .. }) if what.ends_with("server does not support TLS") => {
                timed(info, application_name, None).await
            }
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

pub(super) fn unreachable(info: &ConnInfo, what: &str) -> Error {
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
