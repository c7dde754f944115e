//! `stonewal list`: the backups that exist.

use jiff::Timestamp;
use serde::Serialize;

use super::{Connected, RepositoryOptions, Result};
use crate::catalog::{Access, Backup, Finding};
use crate::format::manifest::Kind;
use crate::format::{BackupId, ClusterName, LockRecord};

/// What to list.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind: they say whose manifests count.
    pub access: Access,
    /// One cluster; `None` = all.
    pub cluster: Option<ClusterName>,
}

/// One backup in a list.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Cluster.
    pub cluster: ClusterName,
    /// Id.
    pub backup: BackupId,
    /// What it is.
    pub kind: Kind,
    /// When it began (store time).
    pub started_at: Timestamp,
    /// When it was complete (store time).
    pub finished_at: Timestamp,
    /// When its manifest arrived (store time): nobody can choose it.
    pub arrived_at: Timestamp,
    /// Version of the server.
    pub server_version: String,
    /// Plain bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Retention of its objects.
    pub lock: Option<LockRecord>,
}

/// The list, oldest first within each cluster, and what was found beside it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// The cluster that was asked for; `None` = all.
    pub cluster: Option<ClusterName>,
    /// Where it has no backup: the clusters that are there.
    pub others: Vec<ClusterName>,
    /// The backups.
    pub backups: Vec<Row>,
    /// What did not belong there.
    pub findings: Vec<Finding>,
}

/// Lists.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let clusters = match &options.cluster {
        Some(cluster) => vec![cluster.clone()],
        None => repository.clusters().await?,
    };
    let (mut backups, mut findings) = (Vec::new(), repository.findings().to_vec());
    for cluster in clusters {
        let mut rows = Vec::new();
        findings.extend(repository.each_backup(&cluster, |backup| rows.push(row(&backup))).await?);
        // Ids tell whole seconds only.
        rows.sort_by_key(|row| row.started_at);
        backups.append(&mut rows);
    }
    let others = if backups.is_empty() { repository.clusters().await? } else { Vec::new() };
    Ok(Outcome { location: connected.location, cluster: options.cluster, others, backups, findings })
}

fn row(backup: &Backup) -> Row {
    let clear = backup.clear();
    Row {
        cluster: clear.cluster.clone(),
        backup: clear.backup.clone(),
        kind: clear.kind,
        started_at: clear.started_at,
        finished_at: clear.finished_at,
        arrived_at: backup.entry.last_modified,
        server_version: clear.server_version.clone(),
        plain_bytes: clear.plain_bytes(),
        stored_bytes: clear.stored_bytes(),
        lock: clear.lock,
    }
}
