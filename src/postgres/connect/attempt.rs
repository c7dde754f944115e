//! Connection attempts of every kind of session: which server, which address, which of the ways `sslmode` allows, how long.

use std::time::Duration;

use super::super::conninfo::{ConnInfo, Endpoint};
use super::super::replication::Fault;
use super::super::tls::{Check, NOT_OFFERED};
use super::super::{Error, Result};
use crate::limits::CONNECT_SECONDS_DEFAULT;

/// The endpoint once per address of its name.
async fn places(info: &ConnInfo, endpoint: &Endpoint) -> Result<Vec<Endpoint>> {
    if endpoint.is_socket() || endpoint.hostaddr.is_some() {
        return Ok(vec![endpoint.clone()]);
    }
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let found = found.map_err(|e| unreachable(info, &format!("look up {}: {e}", endpoint.host)))?;
    Ok(found.map(|address| Endpoint { hostaddr: Some(address.ip()), ..endpoint.clone() }).collect())
}

impl ConnInfo {
    /// Every server that the settings name, by one address each and whatever `target_session_attrs` asks for. A name that cannot
    /// be looked up now stands for itself.
    pub async fn each_server(&self) -> Vec<Self> {
        let mut servers: Vec<Self> = Vec::new();
        for endpoint in self.endpoints() {
            let found = places(self, endpoint).await.unwrap_or_else(|_| vec![endpoint.clone()]);
            for place in found {
                if servers.iter().all(|known| known.endpoints() != [place.clone()]) {
                    servers.push(self.pinned(place));
                }
            }
        }
        servers
    }
}

/// A kind of session that can be opened. What all kinds share is below: which server, which way, how long.
pub(in crate::postgres) trait Opening: Sized + Send {
    /// Opens one to the single endpoint of `info`, encrypted with this check or not at all.
    fn open(info: &ConnInfo, application_name: &str, check: Option<Check>)
    -> impl Future<Output = Result<Self>> + Send;

    /// Whether the server is what `target_session_attrs` asks for.
    fn fits(&mut self, attrs: &str) -> impl Future<Output = Result<bool>> + Send;
}

/// The first endpoint that answers and fits.
pub(in crate::postgres) async fn connect<T: Opening>(info: &ConnInfo, application_name: &str) -> Result<T> {
    let wanted = info.param("target_session_attrs").unwrap_or("any");
    let passes: &[&str] = if wanted == "prefer-standby" { &["standby", "any"] } else { &[wanted] };
    let mut last = None;
    for attrs in passes {
        for endpoint in info.endpoints() {
            match at_endpoint(info, endpoint, application_name, attrs).await {
                Ok(session) => return Ok(session),
                // Docs 34.1.1.3: when a server refuses the login, the remaining hosts are not tried.
                Err(e) if is_refusal(&e) => return Err(e),
                Err(e) => last = Some(e),
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::Setting { name: "host".into(), what: "is empty".into() }))
}

fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Authentication { .. } | Error::NoDatabase { .. } | Error::Setting { .. } | Error::File { .. } => true,
        Error::Replication { failure, .. } => failure.fault != Fault::NoWalSender,
        _ => false,
    }
}

async fn at_endpoint<T: Opening>(
    info: &ConnInfo,
    endpoint: &Endpoint,
    application_name: &str,
    attrs: &str,
) -> Result<T> {
    let mut last = None;
    for place in places(info, endpoint).await? {
        let pinned = info.pinned(place);
        match attempt::<T>(&pinned, application_name).await {
            Ok(mut session) => {
                if session.fits(attrs).await? {
                    return Ok(session);
                }
                last = Some(unreachable(&pinned, &format!("the server is not {attrs}")));
            }
            Err(e @ (Error::Unreachable { .. } | Error::Busy { .. })) => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(last.unwrap_or_else(|| unreachable(info, "the host name has no address")))
}

/// One address, the ways `sslmode` allows in their order (docs 34.19.3, table 34.1).
async fn attempt<T: Opening>(info: &ConnInfo, application_name: &str) -> Result<T> {
    let is_socket = info.endpoints().iter().all(Endpoint::is_socket);
    let default = if info.param("sslrootcert") == Some("system") { "verify-full" } else { "prefer" };
    let timed = |check| timed::<T>(info, application_name, check);
    match info.param("sslmode").unwrap_or(default) {
        _ if is_socket => timed(None).await,
        "disable" => timed(None).await,
        "allow" => match timed(None).await {
            Err(error) if is_turned_away(&error) => timed(Some(Check::ChainIfRoots)).await,
            other => other,
        },
        "require" => timed(Some(Check::ChainIfRoots)).await,
        "verify-ca" => timed(Some(Check::Chain)).await,
        "verify-full" => timed(Some(Check::ChainAndName)).await,
        _ => match timed(Some(Check::ChainIfRoots)).await {
            // Without TLS there is one way only, and its refusal is the one that counts.
            Err(Error::Tls { what, .. }) if what.ends_with(NOT_OFFERED) => timed(None).await,
            Err(first) if matches!(first, Error::Tls { .. }) || is_turned_away(&first) => {
                // The refusal of the better way is the one to tell when both fail.
                timed(None).await.map_err(|_| first)
            }
            other => other,
        },
    }
}

/// Whether pg_hba.conf turned us away, which another way in may change; a wrong password it does not.
fn is_turned_away(error: &Error) -> bool {
    match error {
        Error::Authentication { what, .. } => what.ends_with("[28000]"),
        Error::Replication { failure, .. } => failure.error.code == "28000",
        _ => false,
    }
}

async fn timed<T: Opening>(info: &ConnInfo, application_name: &str, check: Option<Check>) -> Result<T> {
    let limit = match info.number("connect_timeout")? {
        // libpq: below 2 is 2, zero and less is for ever; for ever is not for unattended jobs.
        Some(seconds) if seconds > 0 => u64::try_from(seconds).unwrap_or(2).max(2),
        _ => CONNECT_SECONDS_DEFAULT,
    };
    match tokio::time::timeout(Duration::from_secs(limit), T::open(info, application_name, check)).await {
        Ok(done) => done,
        Err(_) => Err(unreachable(info, &format!("no answer within {limit} s"))),
    }
}

/// When a dead peer is noticed: within half a minute (PAINS C6), unless the settings say otherwise.
#[derive(Debug, Clone, Copy)]
pub(in crate::postgres) struct Keepalives {
    pub(in crate::postgres) enabled: bool,
    pub(in crate::postgres) idle: Duration,
    pub(in crate::postgres) interval: Duration,
    pub(in crate::postgres) count: u32,
    /// How long data may stay unacknowledged; `None` for what the system has.
    pub(in crate::postgres) user_timeout: Option<Duration>,
}

impl Keepalives {
    /// As the settings say.
    pub(in crate::postgres) fn of(info: &ConnInfo) -> Result<Self> {
        let positive = |name: &str| -> Result<Option<u64>> {
            Ok(info.number(name)?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0))
        };
        let count = positive("keepalives_count")?.and_then(|n| u32::try_from(n).ok());
        Ok(Self {
            enabled: info.number("keepalives")? != Some(0),
            idle: Duration::from_secs(positive("keepalives_idle")?.unwrap_or(10)),
            interval: Duration::from_secs(positive("keepalives_interval")?.unwrap_or(5)),
            count: count.unwrap_or(3),
            user_timeout: positive("tcp_user_timeout")?.map(Duration::from_millis),
        })
    }
}

pub(in crate::postgres) fn unreachable(info: &ConnInfo, what: &str) -> Error {
    Error::Unreachable { target: info.redacted(), what: what.into() }
}
