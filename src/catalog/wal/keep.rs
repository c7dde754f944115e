//! Storing WAL so that nothing is written twice and nothing is written over.

use bytes::Bytes;

use crate::catalog::{Error, Repository, Result};
use crate::format::ClusterName;
use crate::format::names::WalName;
use crate::format::wal::{WalHead, WalHeader};
use crate::keys::tag;
use crate::store::{Append, Creation, Lock, ObjectKey, Put, Read, VersionId};

/// What became of an object that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was stored.
    Stored {
        /// Its key.
        key: ObjectKey,
        /// Its version.
        version: VersionId,
    },
    /// The same content was there already.
    Already,
}

/// Stores the sealed `object` that `header` describes and that holds `plain`. Pieces and files go to their one name, or, where
/// that is taken: the same content is success, other content is [`Error::WalDiffers`] with the stored object untouched, and
/// what is not ours is left lying beside ours. One request where the name is free. Partials always get a name of their own.
pub async fn keep_wal<S: Read + Append>(
    store: &S,
    repository: &Repository,
    header: &WalHeader,
    object: Bytes,
    plain: &[u8],
    lock: Option<Lock>,
) -> Result<Kept> {
    let name = |tag| ObjectKey::new(header.object_name(repository.names(), tag));
    if !header.content.is_canonical() {
        let key = name(Some(tag()?));
        let stored = store.put(Put { key: key.clone(), body: object, lock }).await?;
        return Ok(Kept::Stored { key, version: stored.version });
    }
    let key = name(None);
    let put = Put { key: key.clone(), body: object, lock };
    if let Creation::Stored(stored) = store.put_new(put.clone()).await? {
        return Ok(Kept::Stored { key, version: stored.version });
    }
    if repository.compare_wal(header, plain).await? {
        return Ok(Kept::Already);
    }
    let key = name(Some(tag()?));
    let stored = store.put(Put { key: key.clone(), ..put }).await?;
    Ok(Kept::Stored { key, version: stored.version })
}

impl Repository {
    /// Whether what `header` describes is stored with the content `plain`; [`Error::WalDiffers`] if it is stored with other
    /// content. One request of a few kilobytes where nobody interfered.
    pub async fn compare_wal(&self, header: &WalHeader, plain: &[u8]) -> Result<bool> {
        let name = WalName::of(&header.content, None);
        let cluster = &header.cluster;
        match self.wal_head_of(cluster, &name).await {
            Ok(Some(found)) => self.same_wal(cluster, &name, &found, Some(header.system_identifier), plain),
            // What cannot be believed is no reason not to store the genuine one beside it.
            Ok(None) | Err(Error::Format(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The same of the object called `name`, before anything is sealed, as far as one request tells; `system_identifier` as
    /// far as it is known.
    pub async fn compare_at_once(
        &self,
        cluster: &ClusterName,
        name: &WalName,
        system_identifier: Option<u64>,
        plain: &[u8],
    ) -> Result<bool> {
        match self.wal_head_at_once(cluster, name).await {
            Some(found) => self.same_wal(cluster, name, &found, system_identifier, plain),
            None => Ok(false),
        }
    }

    fn same_wal(
        &self,
        cluster: &ClusterName,
        name: &WalName,
        found: &WalHead,
        system_identifier: Option<u64>,
        plain: &[u8],
    ) -> Result<bool> {
        let differs = |why: String| Err(Error::WalDiffers { name: self.names().wal(cluster, name), why });
        let stored = found.header();
        if let Some(here) = system_identifier.filter(|here| *here != stored.system_identifier) {
            let there = stored.system_identifier;
            return differs(format!("it is of the cluster with system identifier {there}, this one has {here}"));
        }
        match &stored.plain {
            Some(digest) if digest.is_of(plain) => Ok(true),
            _ => differs(format!("it was written by run {} on {}", stored.run, stored.written_at)),
        }
    }
}
