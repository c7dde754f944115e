//! How a server is to be made, or an existing data directory opened.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::postgres::{Error, Result};

/// How the server is to be.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Directory to build it in; must not exist or be empty. The cluster is in `data` below it.
    pub dir: PathBuf,
    /// Directory of `initdb` and `postgres`; searched for if not given.
    pub bin_dir: Option<PathBuf>,
    /// Password of the superuser `postgres`, asked for by SCRAM on TCP; trusted if not given.
    pub password: Option<SecretString>,
    /// Further settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// Lines put before the default ones in `pg_hba.conf`.
    pub hba: Vec<String>,
    /// Certificate and key (PEM) for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether to survive a power cut; off is faster. [`kill`](super::Server::kill) is survived either way.
    pub fsync: bool,
    /// Size of a WAL segment in MiB, a power of two from 1 to 1024; 16 if not given (`initdb --wal-segsize`).
    pub wal_segment_mib: Option<u32>,
    /// Whether pages bear checksums; the version's default if not given, which is on from PostgreSQL 18.
    pub data_checksums: Option<bool>,
    /// Further variables of the server's environment, which is empty otherwise: for `archive_command` and its like.
    pub env: Vec<(String, SecretString)>,
    /// Whether it listens on loopback besides its Unix socket.
    pub tcp: bool,
}

impl ServerOptions {
    /// A fast server without password in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            bin_dir: None,
            password: None,
            settings: Vec::new(),
            hba: Vec::new(),
            tls: None,
            fsync: false,
            wal_segment_mib: None,
            data_checksums: None,
            env: Vec::new(),
            tcp: true,
        }
    }
}

/// How to run a cluster that exists: a restored or copied data directory.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The data directory. As root the server runs as its owner, see [`hand_over`](super::hand_over).
    pub data_dir: PathBuf,
    /// Directory for the log and the Unix socket; made if missing. Its path must be short: sockets allow 107 bytes.
    pub dir: PathBuf,
    /// Directory of `postgres`; that of the cluster's major version if not given.
    pub bin_dir: Option<PathBuf>,
    /// Name of the superuser.
    pub user: String,
    /// Their password, where the cluster's `pg_hba.conf` asks for one.
    pub password: Option<SecretString>,
    /// Settings that override those in the cluster's files (`postgres -c name=value`).
    pub settings: Vec<(String, String)>,
    /// TCP port on 127.0.0.1; a free one if not given.
    pub port: Option<u16>,
    /// Whether it listens on loopback besides its Unix socket.
    pub tcp: bool,
    /// `options` of every session of ours over the Unix socket, such as `-c NAME=VALUE`: they win over what the cluster sets
    /// for its databases and roles.
    pub session_options: Option<String>,
    /// Further variables of the server's environment, which is empty otherwise: for `restore_command` and its like.
    pub env: Vec<(String, SecretString)>,
}

impl OpenOptions {
    /// Runs this data directory; log and socket go to `dir`.
    pub fn new(data_dir: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            dir: dir.into(),
            bin_dir: None,
            user: "postgres".into(),
            password: None,
            settings: Vec::new(),
            port: None,
            tcp: true,
            session_options: None,
            env: Vec::new(),
        }
    }

    /// The major version in the cluster's `PG_VERSION`.
    pub(super) fn major(&self) -> Result<u32> {
        let path = self.data_dir.join("PG_VERSION");
        let text =
            std::fs::read_to_string(&path).map_err(|e| Error::File { path: path.clone(), what: e.to_string() })?;
        let what = || format!("{:?} is not a major version", text.trim());
        text.trim().parse().map_err(|_| Error::File { path, what: what() })
    }
}
