//! How a session for SQL is opened: the driver's settings, and what its failures mean.

use std::net::IpAddr;

use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::conninfo::ConnInfo;
use super::super::error::words;
use super::super::tls::{self, Check};
use super::super::{Error, Result};
use super::{Keepalives, Session};

pub(super) async fn open(info: &ConnInfo, application_name: &str, check: Option<Check>) -> Result<Session> {
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
    let keepalives = Keepalives::of(info)?;
    config.keepalives(keepalives.enabled);
    config.keepalives_idle(keepalives.idle);
    config.keepalives_interval(keepalives.interval);
    config.keepalives_retries(keepalives.count);
    keepalives.user_timeout.map(|limit| config.tcp_user_timeout(limit));
    Ok(config)
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
