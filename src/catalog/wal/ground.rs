//! What WAL needs besides the keys stays locked for as long as the WAL (invariant I11): the cluster record and histories.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::footing::Foundation;
use crate::catalog::renew::renew;
use crate::catalog::{Finding, FindingKind, Repository, Result};
use crate::format::{ClusterName, Timeline};
use crate::store::{Append, Lock, Read};

/// Sees to it that the cluster record and the histories of `timelines` stay locked at least until `lock` ends, as the ground of
/// backups does ([`outlive`](super::super::outlive)). A record that is gone altogether is returned; a timeline may have no history.
pub async fn outlive_wal<S: Read + Append>(
    store: &S,
    repository: &Repository,
    cluster: &ClusterName,
    timelines: &BTreeSet<Timeline>,
    (lock, most): (Lock, Duration),
) -> Result<Vec<Finding>> {
    let mut gone = Vec::new();
    let record = Foundation::Record(cluster);
    if !renew(store, repository, record, (lock, most)).await? {
        let key = repository.copies(record);
        gone.push(Finding::new(FindingKind::Missing, key, None, "the cluster record is gone"));
    }
    for timeline in timelines {
        renew(store, repository, Foundation::History(cluster, *timeline), (lock, most)).await?;
    }
    Ok(gone)
}
