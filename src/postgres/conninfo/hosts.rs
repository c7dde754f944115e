//! Lists of hosts, addresses and ports (PostgreSQL docs 34.1.1.3).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::super::{Error, Result};

const PORT_DEFAULT: u16 = 5432;

/// One place where the server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name, address, or directory of the Unix socket (begins with `/` or `@`).
    pub host: String,
    /// Address to connect to instead of looking up `host`.
    pub hostaddr: Option<IpAddr>,
    /// TCP port, or number in the name of the socket.
    pub port: u16,
}

impl Endpoint {
    /// Whether this is a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.hostaddr.is_none() && (self.host.starts_with('/') || self.host.starts_with('@'))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') && !self.is_socket() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Pairs up the three comma lists. `socket_dirs` are the places of the default socket.
pub(super) fn endpoints(host: &str, hostaddr: &str, port: &str, socket_dirs: &[&Path]) -> Result<Vec<Endpoint>> {
    let split = |list: &str| list.split(',').map(|s| s.trim().to_owned()).collect::<Vec<_>>();
    let wrong = |name: &str, what: String| Error::Setting { name: name.into(), what };
    let addresses = if hostaddr.is_empty() { None } else { Some(split(hostaddr)) };
    let hosts = match &addresses {
        Some(list) if host.is_empty() => vec![String::new(); list.len()],
        _ => split(host),
    };
    if let Some(list) = addresses.as_ref().filter(|list| list.len() != hosts.len()) {
        return Err(wrong("hostaddr", format!("{} addresses for {} hosts", list.len(), hosts.len())));
    }
    let ports = ports(port)?;
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(wrong("port", format!("{} ports for {} hosts", ports.len(), hosts.len())));
    }
    let mut endpoints = Vec::with_capacity(hosts.len());
    for (at, host) in hosts.into_iter().enumerate() {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT_DEFAULT);
        let address = addresses.as_ref().map_or("", |list| list[at].as_str());
        let hostaddr = match address {
            "" => None,
            text => {
                Some(text.parse().map_err(|_| wrong("hostaddr", format!("entry {} is not an IP address", at + 1)))?)
            }
        };
        let host = match (host.is_empty(), hostaddr) {
            (false, _) => host,
            (true, Some(_)) => address.to_owned(),
            (true, None) => default_host(port, socket_dirs),
        };
        endpoints.push(Endpoint { host, hostaddr, port });
    }
    Ok(endpoints)
}

fn ports(list: &str) -> Result<Vec<u16>> {
    let port = |(at, text): (usize, &str)| match text.trim() {
        "" => Ok(PORT_DEFAULT),
        text => text.parse().ok().filter(|p| *p > 0).ok_or_else(|| Error::Setting {
            name: "port".into(),
            what: format!("entry {} is not a number from 1 to 65535", at + 1),
        }),
    };
    list.split(',').enumerate().map(port).collect()
}

/// libpq has its socket directory compiled in (upstream `/tmp`, Debian and Red Hat `/var/run/postgresql`). We look.
fn default_host(port: u16, socket_dirs: &[&Path]) -> String {
    let socket = |dir: &&&Path| dir.join(format!(".s.PGSQL.{port}")).exists();
    let found: Option<PathBuf> = socket_dirs.iter().find(socket).map(|d| d.to_path_buf());
    found.map_or_else(|| "localhost".to_owned(), |dir| dir.to_string_lossy().into_owned())
}
