//! Finding one object by what it holds.

use bytes::Bytes;

use crate::catalog::versions::Versions;
use crate::catalog::{Error, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::WalHead;
use crate::format::{self, ClusterName};
use crate::limits::{WAL_HEAD_BYTES_MAX, WAL_OBJECT_BYTES_MAX};
use crate::store::{Entry, ObjectKey, VersionId};

/// A genuine WAL object: signed by a trusted writer, for this place, with the body that was signed.
#[derive(Clone, Debug)]
pub struct WalObject {
    /// Its key.
    pub key: ObjectKey,
    /// Its version.
    pub version: VersionId,
    /// What it says.
    pub head: WalHead,
    /// All its bytes.
    pub object: Bytes,
}

/// How much of an object is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// Header and signature.
    Head,
    /// Everything.
    Whole,
}

impl Depth {
    fn bytes(self) -> u64 {
        match self {
            Self::Head => WAL_HEAD_BYTES_MAX as u64,
            Self::Whole => WAL_OBJECT_BYTES_MAX as u64,
        }
    }
}

impl Repository {
    /// The genuine object called `name` (without its random part): one request where nobody interfered. `None` is proof of
    /// absence: the store said so, every side of it, and a listing of the versions shows nothing that might be ours. What looks like
    /// ours and is not genuine is an error: it may be damaged rather than planted.
    pub async fn wal_object(&self, cluster: &ClusterName, name: &WalName) -> Result<Option<WalObject>> {
        self.find_wal(cluster, name, Depth::Whole).await
    }

    /// The same if one request finds it, and else nothing: for looking ahead.
    pub async fn wal_at_once(&self, cluster: &ClusterName, name: &WalName) -> Option<WalObject> {
        let key = ObjectKey::new(self.names.wal(cluster, name));
        let newest = self.store.newest(&key, Depth::Whole.bytes()).await.ok()??;
        self.genuine(cluster, &key, newest.version, newest.body, newest.bytes, Depth::Whole).await.ok()
    }

    /// The header if one small request finds it, and else nothing.
    pub async fn wal_head_at_once(&self, cluster: &ClusterName, name: &WalName) -> Option<WalHead> {
        let key = ObjectKey::new(self.names.wal(cluster, name));
        let newest = self.store.newest(&key, Depth::Head.bytes()).await.ok()??;
        let found = self.genuine(cluster, &key, newest.version, newest.body, newest.bytes, Depth::Head).await;
        found.ok().map(|found| found.head)
    }

    /// Its authenticated header alone.
    pub async fn wal_head_of(&self, cluster: &ClusterName, name: &WalName) -> Result<Option<WalHead>> {
        Ok(self.find_wal(cluster, name, Depth::Head).await?.map(|found| found.head))
    }

    /// One listed version, whole.
    pub async fn wal_version(&self, cluster: &ClusterName, entry: &Entry) -> Result<WalObject> {
        self.read_version(cluster, entry, Depth::Whole).await
    }

    /// The authenticated header of one listed version.
    pub async fn wal_version_head(&self, cluster: &ClusterName, entry: &Entry) -> Result<WalHead> {
        Ok(self.read_version(cluster, entry, Depth::Head).await?.head)
    }

    async fn find_wal(&self, cluster: &ClusterName, name: &WalName, depth: Depth) -> Result<Option<WalObject>> {
        let key = ObjectKey::new(self.names.wal(cluster, name));
        match self.store.newest(&key, depth.bytes()).await {
            Ok(Some(newest)) => {
                let (version, object) = (newest.version, newest.body);
                if let Ok(found) = self.genuine(cluster, &key, version, object, newest.bytes, depth).await {
                    return Ok(Some(found));
                }
            }
            Ok(None) => {}
            Err(error) if error.is_about_the_object() => {}
            Err(error) => return Err(error.into()),
        }
        self.oldest_genuine(cluster, name, depth).await
    }

    /// The slow path: all versions of the name and of its alternates.
    async fn oldest_genuine(&self, cluster: &ClusterName, name: &WalName, depth: Depth) -> Result<Option<WalObject>> {
        let prefix = self.names.wal(cluster, name);
        let wanted = |key: &str| self.names.wal_of(cluster, key).is_some_and(|found| found.without_tag() == *name);
        let mark = self.store.unheard();
        let mut versions = Versions::new(&*self.store, prefix, wanted);
        let mut doubt = None;
        while let Some(entries) = versions.next().await? {
            for entry in &entries {
                match self.read_version(cluster, entry, depth).await {
                    Ok(found) => return Ok(Some(found)),
                    Err(Error::Store(error)) if !error.is_about_the_object() => return Err(error.into()),
                    // Junk of any kind may lie here; what begins like ours may have been ours.
                    Err(error) if error.is_nothing_of_ours() => {}
                    Err(error) => doubt = doubt.or(Some(error)),
                }
            }
        }
        self.store.all_heard(mark)?;
        doubt.map_or(Ok(None), Err)
    }

    async fn read_version(&self, cluster: &ClusterName, entry: &Entry, depth: Depth) -> Result<WalObject> {
        let (key, version) = (&entry.key, &entry.version);
        let first = self.store.get(key, version, 0..entry.bytes.min(WAL_HEAD_BYTES_MAX as u64)).await?;
        let found = self.genuine(cluster, key, version.clone(), first, entry.bytes, Depth::Head).await?;
        if depth == Depth::Head {
            return Ok(found);
        }
        let object = self.store.get(key, version, 0..entry.bytes).await?;
        self.genuine(cluster, key, version.clone(), object, entry.bytes, Depth::Whole).await
    }

    /// Authenticates what was read: `object` is all of it or its beginning, `bytes` the length of all of it.
    async fn genuine(
        &self,
        cluster: &ClusterName,
        key: &ObjectKey,
        version: VersionId,
        object: Bytes,
        bytes: u64,
        depth: Depth,
    ) -> Result<WalObject> {
        let head = self.wal_head(&object).await?;
        let misplaced = |why: String| Err(format::Error::Malformed { what: "WAL object", why }.into());
        let header = head.header();
        if header.repository != self.id() || header.cluster != *cluster {
            return misplaced(format!("it is one of cluster {} of repository {}", header.cluster, header.repository));
        }
        if header.copy_of.is_some() && *head.writer() != self.trusted_root() {
            return misplaced("it says that it is a copy, which only the root writer may say".into());
        }
        if !self.names.wal_of(cluster, key.as_str()).is_some_and(|name| name.names(&header.content)) {
            return misplaced(format!("it holds {}, which does not belong at {key}", header.content));
        }
        if bytes != head.object_bytes() {
            return misplaced(format!("it has {bytes} bytes, {} were signed", head.object_bytes()));
        }
        if depth == Depth::Whole {
            let (checked, checking) = (object.clone(), head.clone());
            tokio::task::spawn_blocking(move || checking.body(&checked).map(drop)).await??;
        }
        Ok(WalObject { key: key.clone(), version, head, object })
    }

    /// Authenticates the beginning of a WAL object.
    async fn wal_head(&self, first: &[u8]) -> Result<WalHead> {
        self.decode_signed(|| WalHead::certificate(first), |trusted| WalHead::read(first, trusted)).await
    }
}
