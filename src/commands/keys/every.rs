//! Every data key of a repository: two of each backup, and one of each run that wrote WAL.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::catalog::{self, Backup, Finding, FindingKind, Repository, believed};
use crate::commands::Result;
use crate::commands::retention::firsts::Firsts;
use crate::format::manifest::KeyRecord;
use crate::format::names::WalName;
use crate::format::wal::WalHead;
use crate::format::{BackupId, ClusterName, DataKey, KeyId, Tag};
use crate::limits::{DISCOVERIES, FINDINGS_MAX, KEYS_IN_FLIGHT, KEYS_SEEN_MAX};
use crate::pipeline::wal_suffix;
use crate::store::{Entry, ObjectKey, VersionId};

/// A data key, and what it is a key of.
#[derive(Debug)]
pub(super) struct Use {
    cluster: ClusterName,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Payload(BackupId, KeyRecord),
    Metadata(BackupId, KeyRecord),
    Wal(Box<WalHead>, Entry),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.cluster;
        match &self.of {
            Of::Payload(backup, _) => write!(f, "data of backup {backup} of cluster {cluster}"),
            Of::Metadata(backup, _) => write!(f, "metadata of backup {backup} of cluster {cluster}"),
            Of::Wal(head, _) => {
                write!(
                    f,
                    "WAL of run {} of cluster {cluster}, first seen in {}",
                    head.header().run,
                    head.header().content
                )
            }
        }
    }
}

impl Use {
    /// Id of the key.
    pub(super) fn key(&self) -> KeyId {
        match &self.of {
            Of::Payload(_, record) | Of::Metadata(_, record) => record.id,
            Of::Wal(head, _) => head.header().key,
        }
    }

    /// Opens the key with the identities at hand.
    pub(super) async fn open(&self, repository: &Repository) -> catalog::Result<Arc<DataKey>> {
        match &self.of {
            Of::Payload(_, record) => repository.payload_key(record).await.map(Arc::new),
            Of::Metadata(_, record) => repository.metadata_key(record).await.map(Arc::new),
            Of::Wal(head, _) => repository.wal_key(head).await,
        }
    }

    /// Whether the wrap that was written with it is the one called `tag`.
    pub(super) fn was_wrapped_as(&self, tag: Tag) -> bool {
        match &self.of {
            Of::Payload(_, record) | Of::Metadata(_, record) => record.wrap.tag == tag,
            Of::Wal(head, _) => head.header().run.random() == Some(wal_suffix(tag)),
        }
    }

    /// What must not outlive a wrap of the key, as far as one object tells.
    pub(super) fn object(&self, repository: &Repository) -> (ObjectKey, VersionId) {
        match &self.of {
            Of::Payload(_, record) | Of::Metadata(_, record) => {
                let key = ObjectKey::new(repository.names().wrap(record.id, record.wrap.tag));
                (key, VersionId::new(record.wrap.version.clone()))
            }
            Of::Wal(_, entry) => (entry.key.clone(), entry.version.clone()),
        }
    }
}

/// Gives every data key to `take`, in batches of a bounded size. Returns what lies there and cannot be read.
pub(super) async fn each(
    repository: &Repository,
    mut take: impl AsyncFnMut(Vec<Use>) -> Result<()>,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for cluster in repository.clusters().await? {
        backups(repository, &cluster, &mut findings, &mut take).await?;
        wal(repository, &cluster, &mut findings, &mut take).await?;
    }
    let told = [FindingKind::Opaque, FindingKind::ForgedWal, FindingKind::Altered];
    findings.retain(|finding| told.contains(&finding.kind));
    Ok(findings)
}

async fn backups(
    repository: &Repository,
    cluster: &ClusterName,
    findings: &mut Vec<Finding>,
    take: &mut impl AsyncFnMut(Vec<Use>) -> Result<()>,
) -> Result<()> {
    let ids = repository.candidates(cluster).await?;
    let looks = stream::iter(ids).map(|id| async move { repository.look(cluster, &id).await });
    let mut looks = std::pin::pin!(looks.buffered(DISCOVERIES));
    let mut batch = Vec::new();
    while let Some((backup, beside)) = looks.try_next().await? {
        findings.extend(beside);
        batch.extend(backup.iter().flat_map(|backup| of_backup(cluster, backup)));
        if batch.len() >= KEYS_IN_FLIGHT {
            take(std::mem::take(&mut batch)).await?;
        }
    }
    take(batch).await
}

fn of_backup(cluster: &ClusterName, backup: &Backup) -> [Use; 2] {
    let clear = backup.clear();
    let id = || clear.backup.clone();
    [Of::Payload(id(), clear.payload_key.clone()), Of::Metadata(id(), clear.metadata_key.clone())]
        .map(|of| Use { cluster: cluster.clone(), of })
}

/// Every object of WAL says which key is its own; of each key the first object counts.
async fn wal(
    repository: &Repository,
    cluster: &ClusterName,
    findings: &mut Vec<Finding>,
    take: &mut impl AsyncFnMut(Vec<Use>) -> Result<()>,
) -> Result<()> {
    let (mut seen, mut told, mut hurt) = (HashSet::new(), 0, false);
    for timeline in repository.wal_timelines(cluster, findings).await? {
        let mut firsts = Firsts::genuine(repository, &repository.names().wal_timeline(cluster, timeline));
        while let Some(entries) = firsts.next().await? {
            let named = entries.into_iter().filter(|entry| {
                let name = repository.names().wal_of(cluster, entry.key.as_str());
                name.is_some_and(|name| !matches!(name, WalName::Gap { .. }))
            });
            let heads = stream::iter(named).map(|entry| async move {
                match repository.wal_version_head(cluster, &entry).await {
                    Ok(head) => Ok((entry, Ok(head))),
                    Err(catalog::Error::Store(error)) if !error.is_about_the_object() => Err(error),
                    Err(error) => Ok((entry, Err(error))),
                }
            });
            let mut heads = std::pin::pin!(heads.buffered(KEYS_IN_FLIGHT));
            let mut batch = Vec::new();
            while let Some(found) = heads.try_next().await? {
                let (entry, head) = found;
                let head = match head {
                    Ok(head) => head,
                    Err(error) => {
                        let finding = match withheld(&entry, &error) {
                            Some(finding) => Some(finding),
                            None if error.is_nothing_of_ours() => None,
                            None => Some(damaged(repository, cluster, &entry, &error).await?),
                        };
                        // However much noise there is, damage is told.
                        let new = |finding: &Finding| {
                            told < FINDINGS_MAX || (finding.kind.is_damage() && !std::mem::replace(&mut hurt, true))
                        };
                        if let Some(finding) = finding.filter(new) {
                            told += 1;
                            hurt |= finding.kind.is_damage();
                            findings.push(finding);
                        }
                        continue;
                    }
                };
                if seen.len() >= KEYS_SEEN_MAX {
                    seen.clear();
                }
                if seen.insert(head.header().key) {
                    batch.push(Use { cluster: cluster.clone(), of: Of::Wal(Box::new(head), entry) });
                }
            }
            take(batch).await?;
        }
    }
    Ok(())
}

/// What begins like WAL of ours and is not genuine: planted, if the genuine one lies beside it; else it may be all that is left
/// of WAL, whose key nobody can tell any more.
async fn damaged(
    repository: &Repository,
    cluster: &ClusterName,
    entry: &Entry,
    error: &catalog::Error,
) -> Result<Finding> {
    let why = crate::observe::chain(error);
    let name = repository.names().wal_of(cluster, entry.key.as_str()).map(WalName::without_tag);
    let beside = match &name {
        Some(name @ (WalName::Piece { .. } | WalName::File { .. })) => {
            believed(repository.wal_head_of(cluster, name).await)?.flatten().is_some()
        }
        _ => false,
    };
    let (kind, what) = if beside {
        (FindingKind::ForgedWal, "it is not genuine; the genuine one lies beside it")
    } else {
        (FindingKind::Altered, "it begins like WAL of ours and is not genuine, so the key of that WAL is not known")
    };
    Ok(Finding::new(kind, entry.key.as_str(), Some(entry.version.as_str()), format!("{what}: {why}")))
}

/// What cannot be read now may be ours, and then its key was not looked at. What is not genuine has no key of ours.
fn withheld(entry: &Entry, error: &catalog::Error) -> Option<Finding> {
    let catalog::Error::Store(_) = error else { return None };
    let why = crate::observe::chain(error);
    (!error.is_nothing_of_ours())
        .then(|| Finding::new(FindingKind::Opaque, entry.key.as_str(), Some(entry.version.as_str()), why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format;
    use crate::store::Error as Store;

    /// A key that was not looked at is not one that opens.
    #[test]
    fn what_is_withheld_is_told_and_what_is_not_ours_is_passed_over() {
        let entry = Entry {
            key: ObjectKey::new("p/main/wal/1"),
            version: VersionId::new("v1"),
            last_modified: jiff::Timestamp::UNIX_EPOCH,
            bytes: 1,
            etag: String::new(),
            delete_marker: false,
            is_latest: true,
            class: None,
        };
        let (key, target) = (entry.key.clone(), entry.key.to_string());
        let told = |error: catalog::Error| withheld(&entry, &error).map(|finding| finding.kind);
        let frozen = Store::Frozen { target: target.clone(), code: "InvalidObjectState".into() };
        let denied = Store::Denied { action: "s3:GetObjectVersion", target: target.clone(), code: "x".into() };
        let corrupt = Store::Corrupt { target, what: "short".into() };
        for error in [frozen, denied, corrupt] {
            assert_eq!(told(error.into()), Some(FindingKind::Opaque));
        }
        assert_eq!(told(Store::NotFound { key, version: None }.into()), None);
        assert_eq!(told(format::Error::NotOurs("WAL object").into()), None);
    }
}
