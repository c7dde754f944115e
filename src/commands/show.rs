//! `stonewal show`: everything that is known of one backup.

use serde::Serialize;

use super::{Connected, RepositoryOptions, Result, Which, repository};
use crate::catalog::{self, Access, Finding};
use crate::format::manifest::{ClearPart, SealedPart};
use crate::format::{BackupId, ClusterName, LockRecord};
use crate::keys;
use crate::store::Retain as _;

/// What to show.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind.
    pub access: Access,
    /// The cluster.
    pub cluster: ClusterName,
    /// Which backup.
    pub which: Which,
}

/// One backup.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Key of its manifest.
    pub manifest: String,
    /// Version of its manifest.
    pub version: String,
    /// When its manifest arrived (store time): nobody can choose it.
    pub arrived_at: jiff::Timestamp,
    /// Retention of its manifest now; what it was stored with, where these credentials may not ask.
    pub lock: Option<LockRecord>,
    /// What it is a re-encrypted copy of, if the root writer says so.
    pub copy_of: Option<BackupId>,
    /// Short id of the writer that signed it.
    pub writer: String,
    /// What anyone may read.
    pub clear: ClearPart,
    /// What key holders may read; `None` where the keys at hand do not open it or its key is lost.
    pub sealed: Option<SealedPart>,
    /// What did not belong beside it.
    pub findings: Vec<Finding>,
}

/// Shows.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let (backup, mut findings) = repository::find(&repository, &options.cluster, &options.which, None).await?;
    findings.extend(repository.findings().iter().cloned());
    let sealed = match repository.sealed_part(&backup.manifest).await {
        Ok(sealed) => Some(sealed),
        Err(catalog::Error::Keys(keys::Error::NotARecipient { .. }) | catalog::Error::LostKey { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let mut lock = backup.clear().lock;
    if lock.is_some()
        && let Ok(now) = connected.store.lock_of(&backup.entry.key, &backup.entry.version).await
    {
        lock = now.map(catalog::lock_record);
    }
    Ok(Outcome {
        lock,
        copy_of: backup.copy_of(&repository.trusted_root()).map(|of| of.backup.clone()),
        manifest: backup.entry.key.to_string(),
        version: backup.entry.version.to_string(),
        arrived_at: backup.entry.last_modified,
        writer: backup.manifest.writer().id(),
        clear: backup.clear().clone(),
        sealed,
        findings,
    })
}
