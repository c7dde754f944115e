//! Where the streams of one backup lie.

use crate::format::names::Names;
use crate::format::{BackupId, ChunkHeader, ClusterName, Codec, KeyId, RepositoryId, StreamId, StreamName, Tag};
use crate::store::ObjectKey;

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
    pub(super) fn chunk(&self, stream: &StreamName, number: u32, tag: Tag) -> ObjectKey {
        ObjectKey::new(self.names.chunk(&self.cluster, &self.backup, stream, number, tag))
    }
}

/// One stream's place and key: what all its chunk headers have in common.
#[derive(Clone, Debug)]
pub(super) struct StreamPlace {
    pub(super) place: Place,
    pub(super) name: StreamName,
    pub(super) id: StreamId,
    pub(super) key: KeyId,
    pub(super) codec: Codec,
}

impl StreamPlace {
    pub(super) fn header(&self, number: u32, first_frame: u64) -> ChunkHeader {
        ChunkHeader {
            codec: self.codec,
            number,
            first_frame,
            repository: self.place.repository,
            key: self.key,
            stream: self.id,
            cluster: self.place.cluster.clone(),
            backup: self.place.backup.clone(),
            name: self.name.clone(),
        }
    }
}
