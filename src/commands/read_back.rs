//! Reading back what a backup stored, before anybody relies on it: stores have acknowledged what they then lost (PAINS A14).

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::repository::interruptible;
use super::{Error, Result};
use crate::catalog::Repository;
use crate::format::{BackupId, ClusterName};
use crate::observe::{Progress, chain};
use crate::verify::{self, Findings, Level};

/// What was found.
#[derive(Debug, Serialize)]
pub struct ReadBack {
    /// Whether every object is there, locked, and holds the bytes that were sent.
    pub whole: bool,
    /// What is not as it was stored, and what lies beside it.
    pub findings: Findings,
}

/// Verifies a backup that has just been published, by its checksums. It exists whatever happens here: that it could not be read is a
/// warning.
pub(super) async fn read_back(
    repository: &Repository,
    (cluster, backup): (&ClusterName, &BackupId),
    downloads: usize,
    cancel: &CancellationToken,
    warnings: &mut Vec<String>,
) -> Option<ReadBack> {
    let reading = Box::pin(verified(repository, cluster, backup, downloads));
    let why = match interruptible(cancel, reading).await {
        Ok(read) => return Some(read),
        Err(Error::Interrupted) => "interrupted".to_owned(),
        Err(error) => chain(&error),
    };
    let again = format!("`stonewal verify {backup} --level checksum` does it");
    warnings.push(format!("backup {backup} is complete, and was not read back to its end ({why}): {again}"));
    None
}

async fn verified(
    repository: &Repository,
    cluster: &ClusterName,
    backup: &BackupId,
    downloads: usize,
) -> Result<ReadBack> {
    let (backup, beside) = repository.backup(cluster, backup).await?;
    // Its chunks have been counted when they were stored.
    let how = verify::Options { level: Level::Checksum, sample: None, downloads, progress: Progress::new() };
    let mut findings = verify::verify(repository, &backup, &how).await?;
    findings.extend(beside);
    Ok(ReadBack { whole: !findings.has_damage(), findings })
}
