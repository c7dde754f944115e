//! `stonewal import`: an encrypted dump of the scripts that stonewal replaces, into a database or into the repository.
//!
//! Nothing authenticates such a file. What can be checked is: the padding, gzip's CRC and length, pg_dump's closing line, and the
//! checksum that was written down beside it. All of it comes at the end, and before it nothing is committed or stored: into the
//! repository a file is read twice.

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::restore_dump::DatabaseTarget;
use super::{RepositoryOptions, Result};
use crate::catalog::Access;
use crate::format::{BackupId, ClusterName, LockRecord};
use crate::observe::{Phase, Progress};
use crate::pipeline::Encoding;

mod artifact;
mod load;
mod meta;
mod openssl;
mod seal;

use artifact::Artifact;
pub use artifact::ArtifactOptions;

/// What to import, and where to.
pub struct Options {
    /// The file.
    pub artifact: ArtifactOptions,
    /// Where to.
    pub into: Into,
}

/// Where a file goes.
pub enum Into {
    /// Into an empty database, in one transaction.
    Database(Box<DatabaseTarget>),
    /// Into the repository, as a backup like any other.
    Repository(Box<RepositoryTarget>),
}

/// The repository that a file goes into.
#[derive(Debug)]
pub struct RepositoryTarget {
    /// Where to.
    pub repository: RepositoryOptions,
    /// Keys: the passphrase or a writer file.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// Compression.
    pub encoding: Encoding,
    /// Bytes of one chunk.
    pub chunk_bytes: usize,
    /// Chunks sent at once.
    pub uploads: usize,
}

/// What was imported.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The file.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// When it was taken, as far as that is known.
    pub taken_at: Option<Timestamp>,
    /// How its key was made: options of openssl.
    pub derivation: String,
    /// Bytes of SQL.
    pub plain_bytes: u64,
    /// The database, without password, if it went into one.
    pub target: Option<String>,
    /// The backup, if it went into the repository.
    pub backup: Option<Sealed>,
    /// What is worth knowing although all is well.
    pub warnings: Vec<String>,
}

/// The backup that a file became.
#[derive(Debug, Serialize)]
pub struct Sealed {
    /// Its id.
    pub backup: BackupId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Retention of all its objects.
    pub lock: Option<LockRecord>,
}

/// Imports. On any failure the target is as it was, and no backup exists; of a file that is damaged nothing was stored.
pub async fn run(options: Options, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome> {
    let Options { artifact, into } = options;
    let outcome = match into {
        Into::Database(target) => Box::pin(load::run(&artifact, *target, progress, cancel)).await?,
        Into::Repository(target) => Box::pin(seal::run(&artifact, *target, progress, cancel)).await?,
    };
    progress.set_phase(Phase::Done);
    Ok(outcome)
}

/// What is the same wherever it goes.
fn outcome(facts: Facts, sha256: String, plain_bytes: u64) -> Outcome {
    let Facts { file, taken_at, derivation, .. } = facts;
    Outcome { file, sha256, taken_at, derivation, plain_bytes, target: None, backup: None, warnings: Vec::new() }
}

/// What a file says of itself.
struct Facts {
    file: String,
    taken_at: Option<Timestamp>,
    derivation: String,
    /// Version of the server, such as `15.3`.
    server_version: Option<String>,
    pg_dump_version: Option<String>,
    encoding: Option<String>,
    restrict: bool,
}

impl Facts {
    fn of(artifact: &Artifact) -> Self {
        let head = artifact.trailer();
        let version = |prefix| head.line_after(prefix).and_then(|rest| rest.split(' ').next().map(str::to_owned));
        let name = artifact.path().file_name().unwrap_or_default();
        Self {
            file: name.to_string_lossy().into_owned(),
            taken_at: artifact.taken_at,
            derivation: artifact.derivation.to_string(),
            server_version: version("-- Dumped from database version "),
            pg_dump_version: version("-- Dumped by pg_dump version "),
            encoding: head.line_after("SET client_encoding = '").map(|rest| rest.trim_end_matches("';").to_owned()),
            restrict: head.has_restrict(),
        }
    }

    /// Such as 150003 for 15.3; 0 if it is not told.
    fn server_version_num(&self) -> u32 {
        let text = self.server_version.as_deref().unwrap_or_default();
        let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
        let mut next = || parts.next().unwrap_or_default();
        match next() {
            0 => 0,
            // Before 10 the major version had two numbers.
            major @ 1..10 => major * 10_000 + next() * 100 + next(),
            major => major * 10_000 + next(),
        }
    }
}
