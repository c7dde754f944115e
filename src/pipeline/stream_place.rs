//! One stream's place and key: what all its chunk headers have in common.

use crate::format::{ChunkHeader, Codec, KeyId, Place, StreamId, StreamName};

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
