//! An S3 server with Object Lock inside this process: **for development, demonstrations and tests**.
//!
//! It speaks the S3 HTTP API to any client, keeps objects durably in a folder, checks SigV4 signatures, and refuses what
//! Object Lock refuses. It has no TLS, no replication and one disk: whoever can write its folder can remove every lock.
//! Never keep the only copy of a backup in it.
//!
//! # Where it is stricter than AWS
//!
//! - Every PUT and part into a bucket with Object Lock needs `Content-MD5` or an `x-amz-checksum-*` *header* and a plain
//!   body: `aws-chunked` and trailers are refused there. AWS asks for it only with a retention period, clones never.
//! - All `x-amz-*` headers must be signed; SigV2, presigned URLs, browser forms and anonymous requests are refused.
//! - Checksum values are verified (CRC32, CRC32C, CRC64NVME, SHA-1, SHA-256, MD5); other algorithms are refused.
//! - The bypass header without `s3:BypassGovernanceRetention` is refused even where nothing is locked.
//! - Governance becomes compliance only with the bypass.
//! - Version ids are random and listing markers opaque, so that no client can come to depend on an order.
//!
//! # Where it is less than AWS
//!
//! No ACLs, tags, encryption headers, `CopyObject`, `GetObjectAttributes` or `ListObjects` (version 1): they answer
//! `NotImplemented`. Lifecycle rules and bucket policies are kept and never acted on. Permissions are the fixed table of
//! [`roles`](crate::store::roles), which also says why the writer holds `s3:PutObjectRetention`. The checksum header of
//! XML requests (`DeleteObjects`, `PutObjectRetention`, …) must be there but only the signature covers their body.
//!
//! # Durability
//!
//! An answer means that body, metadata and directory entries are flushed. A process killed at any moment loses
//! requests that were not answered and nothing else; half-written bodies vanish at the next start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::limits::{EMBEDDED_BACKLOG, LIST_PAGE_MAX};
use crate::store::roles::Role;

mod access;
mod api;
mod backend;
mod clock;
mod digest;
mod disk;
mod error;
mod frost;
mod http;
mod index;
mod integrity;
mod load;
mod locks;
mod lookup;
mod model;
mod receive;
mod request_log;
mod uploads;
mod users;

pub use error::{Error, Result};
pub use users::{Credentials, Session, User};

/// How to run a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept; created if absent. One server per root.
    pub root: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The region that requests must be signed for.
    pub region: String,
    /// Users beside the one of each role that is made at the first start.
    pub users: Vec<User>,
    /// How far the store's clock is ahead of the host's.
    pub clock_offset: SignedDuration,
    /// Where to append one JSON line per request.
    pub request_log: Option<PathBuf>,
    /// Most entries in a listing page, 1 to 1000; tests lower it.
    pub page_size: usize,
    /// How it treats locks: tests ask for stores that promise more than they keep.
    pub conduct: Conduct,
}

/// How a store treats locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    /// As S3 does.
    #[default]
    Sound,
    /// It acknowledges a PUT with a lock and forgets the lock.
    Forgets,
    /// It keeps locks and lets everybody do what they forbid.
    Ignores,
    /// It acknowledges bodies of a MiB and more and keeps a byte of them wrong.
    Rots,
    /// What is written over an object takes the place of its first version.
    Replaces,
}

impl Options {
    /// A sound server in `root` on a free loopback port, in `us-east-1`, with an exact clock and no log.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            region: "us-east-1".into(),
            users: Vec::new(),
            clock_offset: SignedDuration::ZERO,
            request_log: None,
            page_size: usize::try_from(LIST_PAGE_MAX).unwrap_or(1000),
            conduct: Conduct::Sound,
        }
    }
}

/// A running server. Dropping it ends it at once, as a crash would; [`Server::stop`] lets open requests finish.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    region: String,
    users: Arc<users::Users>,
    clock: Arc<clock::Clock>,
    frost: Arc<frost::Frost>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

/// A server that has its root and its address and refuses connections until [`Bound::listen`]: the time to write down who
/// its users are.
pub struct Bound {
    server: Server,
    socket: TcpSocket,
    front: http::Front,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Bound {
    /// What will serve: address and users are fixed.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Takes connections from now on.
    ///
    /// # Errors
    /// Another server began to listen there in between.
    pub fn listen(self) -> Result<Server> {
        let Self { mut server, socket, front } = self;
        let refuse = |source| Error::Listen { address: server.address, source };
        let listener = socket.listen(EMBEDDED_BACKLOG).map_err(refuse)?;
        server.tasks.spawn(http::accept(listener, Arc::new(front), server.cancel.clone()));
        Ok(server)
    }
}

impl Server {
    /// [`Server::bind`], and listens at once.
    ///
    /// # Errors
    /// Those of both.
    pub async fn start(options: Options) -> Result<Self> {
        Self::bind(options).await?.listen()
    }

    /// Takes hold of the root, rebuilds the index from it and reserves the address.
    ///
    /// # Errors
    /// The root is in use by another server, unreadable or damaged, or the address cannot be had.
    pub async fn bind(options: Options) -> Result<Bound> {
        let clock = Arc::new(clock::Clock::new(options.clock_offset));
        let opened = {
            let (options, clock) = (options.clone(), clock.clone());
            tokio::task::spawn_blocking(move || open(&options, clock))
        };
        let (backend, users, log) = opened.await.map_err(|_| Error::Interrupted)??;
        let (socket, address) =
            reserve(options.listen).map_err(|source| Error::Listen { address: options.listen, source })?;
        let (users, frozen) = (Arc::new(users), backend.frost.clone());
        let front =
            http::Front { service: service(backend, &users, &clock, &options.region), clock: clock.clone(), log };
        let (cancel, tasks) = (CancellationToken::new(), JoinSet::new());
        let server = Self { address, region: options.region, users, clock, frost: frozen, cancel, tasks };
        Ok(Bound { server, socket, front })
    }

    /// The URL for clients; use path style.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The region that requests must be signed for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The user that this root has for `role`. They stay the same over restarts.
    pub fn credentials(&self, role: Role) -> Result<Credentials> {
        self.users.of_role(role).cloned().ok_or(Error::NoUser { role })
    }

    /// Lets the store's time pass.
    pub fn advance_clock(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves objects whose keys contain `part`, those to come too, into an archive tier, from which they are listed and not read;
    /// `None` thaws all of them.
    pub fn freeze(&self, part: Option<&str>) {
        self.frost.set(part);
    }

    /// Takes no more connections, waits for open requests (10 seconds at most) and ends.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Nobody else can have the address now, and nobody can connect to it yet.
fn reserve(address: SocketAddr) -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As every server does: connections of the one before may still linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

type Opened = (backend::Backend, users::Users, Option<request_log::RequestLog>);

fn open(options: &Options, clock: Arc<clock::Clock>) -> Result<Opened> {
    let damaged = |source| Error::Root { root: options.root.clone(), source };
    let disk = disk::Disk::open(&options.root).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => Error::InUse { root: options.root.clone() },
        _ => damaged(source),
    })?;
    let users = users::Users::load(&disk.users(), options.users.clone()).map_err(damaged)?;
    let log = match &options.request_log {
        Some(path) => {
            let unwritable = |source| Error::RequestLog { path: path.clone(), source };
            Some(request_log::RequestLog::open(path).map_err(unwritable)?)
        }
        None => None,
    };
    let index = load::index(&disk).map_err(damaged)?;
    let page_size = options.page_size.clamp(1, usize::try_from(LIST_PAGE_MAX).unwrap_or(1000));
    let mut backend = backend::Backend::new(disk, clock, options.region.clone(), page_size, index);
    backend.conduct = options.conduct;
    backend.uploads.load(&backend.disk).map_err(damaged)?;
    Ok((backend, users, log))
}

fn service(
    backend: backend::Backend,
    users: &Arc<users::Users>,
    clock: &Arc<clock::Clock>,
    region: &str,
) -> s3s::service::S3Service {
    let mut config = S3Config::default();
    // s3s compares request times with the host's clock; the front compares them with the store's.
    config.presigned_url_max_skew_time_secs = u32::MAX;
    config.xml_max_body_size = 4 << 20;
    let mut builder = S3ServiceBuilder::new(api::Api::new(backend));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.set_auth(users::Auth(users.clone()));
    builder.set_access(access::Access { users: users.clone(), clock: clock.clone(), region: region.to_owned() });
    builder.build()
}
