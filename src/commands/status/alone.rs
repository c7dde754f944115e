//! The status of a repository that is open already, from the bucket alone.

use super::{BucketFacts, Health, Reason, ServerAnswer, Thresholds, bucket, health};
use crate::catalog::Repository;
use crate::commands::{Connected, Immutability, Result};
use crate::format::ClusterName;

/// What the bucket tells.
#[derive(Debug)]
pub(in crate::commands) struct Alone {
    pub(in crate::commands) health: Health,
    pub(in crate::commands) reasons: Vec<Reason>,
    pub(in crate::commands) bucket: BucketFacts,
}

/// Looks at the bucket and judges; the server is not asked.
pub(in crate::commands) async fn of_bucket(
    connected: &Connected,
    repository: &Repository,
    cluster: &ClusterName,
    thresholds: &Thresholds,
) -> Result<Alone> {
    let mut look = bucket::Look::at(connected, repository, cluster, thresholds);
    let bucket = look.everything(None).await?;
    let findings = look.findings();
    let evidence = health::Evidence {
        bucket: &bucket,
        // Those are asked by `status` itself.
        replicas: &[],
        server: &ServerAnswer::NotAsked,
        slot: "",
        lag: None,
        headroom: None,
        tampering: findings.counts.iter().filter(|(kind, _)| kind.is_tampering()).map(|(_, count)| count).sum(),
        tampering_is_cut: findings.is_cut(),
        locked: matches!(connected.immutability(), Immutability::ObjectLock { .. }),
    };
    let reasons = health::assess(&evidence, thresholds);
    Ok(Alone { health: health::overall(&reasons), reasons, bucket })
}
