//! Sockets and TLS of a replication session, as `sslmode` and its relatives ask (PostgreSQL docs 34.19 and 55.2.11).

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::connect::{Keepalives, unreachable};
use super::super::conninfo::{ConnInfo, Endpoint};
use super::super::tls::{self, Check};
use super::super::{Error, Result};
use super::link::Stream;
use crate::limits::REPLICATION_SILENCE_SECONDS;

/// An open stream, and its `tls-server-end-point` if it is encrypted and has one.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) encrypted: bool,
    pub(super) end_point: Option<Vec<u8>>,
}

/// Connects to the one endpoint of `info`.
pub(super) async fn open(info: &ConnInfo, endpoint: &Endpoint, check: Option<Check>) -> Result<Opened> {
    if endpoint.is_socket() {
        return unix(info, endpoint).await;
    }
    let refused = |e: std::io::Error| unreachable(info, &format!("connect: {e}"));
    let tcp = match endpoint.hostaddr {
        Some(address) => TcpStream::connect((address, endpoint.port)).await,
        None => TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await,
    };
    let mut tcp = tcp.map_err(refused)?;
    tcp.set_nodelay(true).map_err(refused)?;
    Keepalives::of(info)?.apply(&tcp).map_err(|e| unreachable(info, &format!("set keepalives: {e}")))?;
    let Some(check) = check else { return Ok(Opened { stream: Box::new(tcp), encrypted: false, end_point: None }) };
    let direct = info.param("sslnegotiation") == Some("direct");
    if !direct {
        ask_for_tls(info, &mut tcp).await?;
    }
    let config = Arc::new(tls::client_config(info, check)?);
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|e| no_tls(info, &e.to_string()))?;
    let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|e| no_tls(info, &e.to_string()))?;
    if direct && stream.get_ref().1.alpn_protocol() != Some(b"postgresql") {
        return Err(no_tls(info, "the server did not agree on the protocol postgresql"));
    }
    let binding = server_end_point(&stream);
    Ok(Opened { stream: Box::new(stream), encrypted: true, end_point: binding })
}

async fn unix(info: &ConnInfo, endpoint: &Endpoint) -> Result<Opened> {
    let refused = |e: std::io::Error| unreachable(info, &format!("connect: {e}"));
    let name = format!("{}/.s.PGSQL.{}", endpoint.host, endpoint.port);
    let stream = match name.strip_prefix('@') {
        None => UnixStream::connect(&name).await.map_err(refused)?,
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name).map_err(refused)?;
            let stream = std::os::unix::net::UnixStream::connect_addr(&address).map_err(refused)?;
            stream.set_nonblocking(true).map_err(refused)?;
            UnixStream::from_std(stream).map_err(refused)?
        }
    };
    Ok(Opened { stream: Box::new(stream), encrypted: false, end_point: None })
}

/// SSLRequest. Exactly one byte is read before the handshake: what an attacker adds to it in the clear is not heard.
async fn ask_for_tls(info: &ConnInfo, tcp: &mut TcpStream) -> Result<()> {
    let refused = |e: std::io::Error| unreachable(info, &format!("ask for TLS: {e}"));
    let mut request = bytes::BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(refused)?;
    match tcp.read_u8().await.map_err(refused)? {
        b'S' => Ok(()),
        b'N' => Err(no_tls(info, tls::NOT_OFFERED)),
        b'E' => Err(unreachable(info, "the server answers the request for TLS with an error")),
        _ => Err(no_tls(info, "the answer to the request for TLS is not one")),
    }
}

fn no_tls(info: &ConnInfo, what: &str) -> Error {
    Error::Tls { target: info.redacted(), what: what.to_owned() }
}

/// Hash of the server's certificate by the hash function of its signature, SHA-256 where that is weaker (RFC 5929, 4.1).
/// `None` for signatures without a hash function of their own, such as Ed25519.
fn server_end_point(stream: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    use ring::digest::{SHA256, SHA384, SHA512, digest};
    use x509_cert::der::Decode as _;
    use x509_cert::der::oid::db::rfc5912 as oid;
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    let algorithm = match parsed.signature_algorithm.oid {
        oid::SHA_1_WITH_RSA_ENCRYPTION | oid::SHA_256_WITH_RSA_ENCRYPTION | oid::ECDSA_WITH_SHA_256 => &SHA256,
        oid::SHA_384_WITH_RSA_ENCRYPTION | oid::ECDSA_WITH_SHA_384 => &SHA384,
        oid::SHA_512_WITH_RSA_ENCRYPTION | oid::ECDSA_WITH_SHA_512 => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

impl Keepalives {
    fn apply(&self, tcp: &TcpStream) -> rustix::io::Result<()> {
        use rustix::net::sockopt;
        let fd = tcp.as_fd();
        sockopt::set_socket_keepalive(fd, self.enabled)?;
        sockopt::set_tcp_keepidle(fd, self.idle)?;
        sockopt::set_tcp_keepintvl(fd, self.interval)?;
        sockopt::set_tcp_keepcnt(fd, self.count)?;
        // Keepalives do not run while data is unacknowledged: without this a dead peer would be retried for a quarter of
        // an hour.
        let limit = self.user_timeout.unwrap_or(Duration::from_secs(REPLICATION_SILENCE_SECONDS));
        sockopt::set_tcp_user_timeout(fd, u32::try_from(limit.as_millis()).unwrap_or(u32::MAX))
    }
}
