//! `stonewal drill list` and `drill show`: the evidence that is stored.

use serde::Serialize;

use super::{Connected, Error, RepositoryOptions, Result};
use crate::catalog::{Access, Finding};
use crate::format::evidence::Evidence;
use crate::format::{ClusterName, EvidenceId};

/// Whose evidence.
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys: any kind.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
}

/// Every drill of a cluster, as far as it is told.
#[derive(Debug, Serialize)]
pub struct History {
    /// The cluster.
    pub cluster: ClusterName,
    /// Newest first.
    pub drills: Vec<Evidence>,
    /// What is not genuine evidence and was ignored.
    pub findings: Vec<Finding>,
}

/// One drill.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// What was recorded.
    pub evidence: Evidence,
    /// Its object.
    pub object: String,
    /// What was laid over it and was ignored.
    pub findings: Vec<Finding>,
}

/// All of it. May be dropped at any point.
pub async fn list(options: Options) -> Result<History> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let (kept, mut findings) = repository.evidence(&options.cluster).await?;
    findings.extend(repository.findings().iter().cloned());
    Ok(History { cluster: options.cluster, drills: kept.into_iter().map(|kept| kept.evidence).collect(), findings })
}

/// One piece of it, or the newest.
pub async fn show(options: Options, id: Option<EvidenceId>) -> Result<Shown> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let (found, findings) = if let Some(id) = &id {
        repository.evidence_of(&options.cluster, id).await?
    } else {
        let (kept, findings) = repository.evidence(&options.cluster).await?;
        (kept.into_iter().next(), findings)
    };
    let missing = || Error::NoEvidence { cluster: options.cluster.to_string(), id: id.map(|id| id.to_string()) };
    let kept = found.ok_or_else(missing)?;
    Ok(Shown { object: kept.entry.key.to_string(), evidence: kept.evidence, findings })
}
