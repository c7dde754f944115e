//! Which version of a name that everybody can guess is ours. Someone who may write can lie in wait there, and a delete marker over
//! what they planted lets ours become a later version of it.

use crate::catalog::error::believed;
use crate::catalog::listing::read_small;
use crate::catalog::versions::Versions;
use crate::catalog::{Repository, Result};
use crate::format::ClusterName;
use crate::format::names::WalName;
use crate::store::Entry;

impl Repository {
    /// Whether a listed version is what its name says: WAL of `cluster`, or its record, signed by a trusted writer.
    pub async fn authenticates(&self, cluster: &ClusterName, entry: &Entry) -> Result<bool> {
        let read = if self.names.is_cluster_record(cluster, entry.key.as_str()) {
            let Some(bytes) = read_small(&*self.store, entry).await? else { return Ok(false) };
            self.decode_record(cluster, &bytes).await.map(drop)
        } else {
            self.wal_version_head(cluster, entry).await.map(drop)
        };
        Ok(believed(read)?.is_some())
    }

    /// The first of `entries` that is genuine.
    pub async fn genuine_of(
        &self,
        cluster: &ClusterName,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Result<Option<Entry>> {
        for entry in entries {
            if self.authenticates(cluster, &entry).await? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The same of one object of WAL, under its name or an alternate.
    pub async fn first_genuine_wal(&self, cluster: &ClusterName, name: WalName) -> Result<Option<Entry>> {
        let same = |key: &str| self.names.wal_of(cluster, key).is_some_and(|found| found.without_tag() == name);
        self.first_genuine(cluster, self.names.wal(cluster, &name), same).await
    }

    /// Of all versions of the `wanted` names below `prefix` the oldest genuine one, whatever was planted before it; a bounded
    /// number is held at a time.
    pub async fn first_genuine(
        &self,
        cluster: &ClusterName,
        prefix: String,
        wanted: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<Option<Entry>> {
        let mut versions = Versions::new(&*self.store, prefix, wanted);
        while let Some(entries) = versions.next().await? {
            if let Some(found) = self.genuine_of(cluster, entries).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
