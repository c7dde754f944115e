//! Where the streams of one backup lie.

use super::names::Names;
use super::{BackupId, ClusterName, RepositoryId, StreamName, Tag};

/// One backup's place in the bucket.
#[derive(Clone, Debug)]
pub struct Place {
    /// Names below the prefix.
    pub names: Names,
    /// Repository.
    pub repository: RepositoryId,
    /// Cluster.
    pub cluster: ClusterName,
    /// Backup.
    pub backup: BackupId,
}

impl Place {
    /// Folder of the backup.
    pub fn folder(&self) -> String {
        self.names.backup(&self.cluster, &self.backup)
    }

    /// Object of its manifest.
    pub fn manifest(&self, tag: Tag) -> String {
        self.names.manifest(&self.cluster, &self.backup, tag)
    }

    /// Object of one chunk.
    pub fn chunk(&self, stream: &StreamName, number: u32, tag: Tag) -> String {
        self.names.chunk(&self.cluster, &self.backup, stream, number, tag)
    }
}
