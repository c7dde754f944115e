//! `stonewal list`: the backups that exist.

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::{Connected, RepositoryOptions, Result};
use crate::catalog::{Access, Backup, Finding, Repository, lock_record};
use crate::format::manifest::{Kind, Manifest};
use crate::format::{BackupId, ClusterName, LockRecord, WriterPublic};
use crate::limits::DISCOVERIES;
use crate::store::{Entry, Retain as _};

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
    /// When its manifest arrived (store time): nobody can choose it. Of a copy, when that of its original did, as in the
    /// retention plan.
    pub arrived_at: Timestamp,
    /// What it is a re-encrypted copy of; its other times are those of that.
    pub copy_of: Option<BackupId>,
    /// When what was imported had been taken. Of a base, only where that was long before; of a dump, only for who may open
    /// its manifest.
    pub imported_from: Option<Timestamp>,
    /// Version of the server.
    pub server_version: String,
    /// Plain bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Retention of its manifest now, which that of its other objects follows; what it was stored with, where these
    /// credentials may not ask.
    pub lock: Option<LockRecord>,
}

/// A row, and what is asked for beside it.
struct Draft {
    row: Row,
    entry: Entry,
    /// Of a dump that tells as little of its server as an imported one.
    sealed: Option<Manifest>,
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
        let (mut drafts, root) = (Vec::new(), repository.trusted_root());
        findings.extend(repository.each_backup(&cluster, |backup| drafts.push(draft(backup, &root))).await?);
        let rows = stream::iter(drafts).map(|draft| complete(&connected, &repository, draft)).buffered(DISCOVERIES);
        let mut rows: Vec<Row> = rows.collect().await;
        // Ids tell whole seconds only.
        rows.sort_by_key(|row| row.started_at);
        backups.append(&mut rows);
    }
    let others = if backups.is_empty() { repository.clusters().await? } else { Vec::new() };
    Ok(Outcome { location: connected.location, cluster: options.cluster, others, backups, findings })
}

fn draft(backup: Backup, root: &WriterPublic) -> Draft {
    let clear = backup.clear();
    let (arrived_at, taken_at) = (backup.arrived_at(root), backup.taken_at(root));
    let row = Row {
        cluster: clear.cluster.clone(),
        backup: clear.backup.clone(),
        kind: clear.kind,
        started_at: clear.started_at,
        finished_at: clear.finished_at,
        arrived_at,
        copy_of: backup.copy_of(root).map(|of| of.backup.clone()),
        imported_from: (taken_at < arrived_at).then_some(taken_at),
        server_version: clear.server_version.clone(),
        plain_bytes: clear.plain_bytes(),
        stored_bytes: clear.stored_bytes(),
        lock: clear.lock,
    };
    let says_nothing = clear.kind == Kind::Dump && clear.lsn.is_none() && clear.system_identifier.is_none();
    Draft { row, entry: backup.entry, sealed: says_nothing.then_some(backup.manifest) }
}

/// A list is no worse for what it may not ask.
async fn complete(connected: &Connected, repository: &Repository, draft: Draft) -> Row {
    let Draft { mut row, entry, sealed } = draft;
    if row.lock.is_some()
        && let Ok(now) = connected.store.lock_of(&entry.key, &entry.version).await
    {
        row.lock = now.map(lock_record);
    }
    if let Some(manifest) = sealed
        && let Ok(sealed) = repository.sealed_part(&manifest).await
    {
        row.imported_from = sealed.dump.and_then(|dump| dump.imported).map(|import| import.taken_at);
    }
    row
}
