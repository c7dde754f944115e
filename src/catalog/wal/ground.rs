//! What WAL needs besides the keys stays locked for as long as the WAL (invariant I11): the cluster record and histories.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::catalog::foundation::longer;
use crate::catalog::listing::{Oldest, read_small};
use crate::catalog::{Error, Finding, FindingKind, Repository, Result};
use crate::format::names::{Names, WalName};
use crate::format::{ClusterName, Tag, Timeline, WalFileName};
use crate::keys::tag;
use crate::store::{Append, Entry, Lock, ObjectKey, Put, Read};

/// One object that WAL needs.
#[derive(Clone, Copy)]
pub(in crate::catalog) enum Stone {
    Record,
    History(Timeline),
}

impl Stone {
    /// What the names of its copies begin with.
    pub(in crate::catalog) fn prefix(self, names: &Names, cluster: &ClusterName) -> String {
        match self {
            Self::Record => names.cluster_record(cluster),
            Self::History(timeline) => names.wal(cluster, &history(timeline, None)),
        }
    }
}

fn history(timeline: Timeline, tag: Option<Tag>) -> WalName {
    WalName::File { timeline, name: WalFileName::History(timeline), tag }
}

/// Sees to it that the cluster record and the histories of `timelines` stay locked at least until `lock` ends. One whose locks are
/// all shorter is copied under a fresh name with a longer lock, as the ground of backups is ([`outlive`](super::super::outlive)). A record that is gone
/// altogether is returned; a timeline may have no history.
pub async fn outlive_wal<S: Read + Append>(
    store: &S,
    repository: &Repository,
    cluster: &ClusterName,
    timelines: &BTreeSet<Timeline>,
    (lock, most): (Lock, Duration),
) -> Result<Vec<Finding>> {
    let mut gone = Vec::new();
    if !renew(store, repository, cluster, Stone::Record, (lock, most)).await? {
        let key = repository.names().cluster_record(cluster);
        gone.push(Finding::new(FindingKind::Missing, key, None, "the cluster record is gone"));
    }
    for timeline in timelines {
        renew(store, repository, cluster, Stone::History(*timeline), (lock, most)).await?;
    }
    Ok(gone)
}

/// Copies the oldest genuine one, unless one is locked until `lock` ends. False if there is none.
async fn renew<S: Read + Append>(
    store: &S,
    repository: &Repository,
    cluster: &ClusterName,
    needed: Stone,
    (lock, most): (Lock, Duration),
) -> Result<bool> {
    let names = repository.names();
    let (mut found, mut oldest) = (None, Oldest::new(store, needed.prefix(names, cluster)));
    while let Some((entries, _)) = oldest.next().await? {
        // The newest copy is the one that is locked longest, and spares us the others.
        for entry in entries.iter().rev() {
            let Some(body) = repository.stone(cluster, needed, entry).await? else { continue };
            let held = store.head(&entry.key, &entry.version).await?.lock;
            if held.is_some_and(|held| held.outlasts(lock)) {
                return Ok(true);
            }
            found = Some(body);
        }
    }
    let Some(body) = found else { return Ok(false) };
    let key = match needed {
        Stone::Record => names.cluster_record_alternate(cluster, tag()?),
        Stone::History(timeline) => names.wal(cluster, &history(timeline, Some(tag()?))),
    };
    let longer = longer(lock, store.clock().now(), most);
    store.put(Put { key: ObjectKey::new(key), body, lock: Some(longer) }).await?;
    Ok(true)
}

impl Repository {
    /// The bytes of a listed version, if it is genuine.
    pub(in crate::catalog) async fn stone(
        &self,
        cluster: &ClusterName,
        needed: Stone,
        entry: &Entry,
    ) -> Result<Option<Bytes>> {
        let genuine = match needed {
            Stone::Record => {
                let name = self.names().cluster_record(cluster);
                let key = entry.key.as_str();
                if key != name && !key.starts_with(&format!("{name}-")) {
                    return Ok(None);
                }
                let Some(bytes) = read_small(&*self.store, entry).await? else { return Ok(None) };
                self.decode_record(cluster, &bytes).await.map(|_| bytes)
            }
            Stone::History(_) => self.wal_version(cluster, entry).await.map(|found| found.object),
        };
        match genuine {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Store(error)) if !error.is_about_the_object() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}
