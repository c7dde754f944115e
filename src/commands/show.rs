//! `stonewal show`: everything that is known of one backup.

use serde::Serialize;

use super::{Connected, RepositoryOptions, Result, Which, repository};
use crate::catalog::{self, Access, Finding};
use crate::format::ClusterName;
use crate::format::manifest::{ClearPart, SealedPart};
use crate::keys;

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
    Ok(Outcome {
        manifest: backup.entry.key.to_string(),
        version: backup.entry.version.to_string(),
        arrived_at: backup.entry.last_modified,
        writer: backup.manifest.writer().id(),
        clear: backup.clear().clone(),
        sealed,
        findings,
    })
}
