//! One sealed stream as a set of chunks that a test can bend.

use std::sync::Arc;

use bytes::Bytes;
use stonewal::format::Place;
use stonewal::format::chunk::ChunkBuilder;
use stonewal::format::seal::StreamKey;
use stonewal::format::{
    ChunkHeader, ChunkRecord, Codec, DataKey, Digest, KeyId, StreamId, StreamName, StreamRecord, Tag,
};
use stonewal::observe::Progress;
use stonewal::pipeline::{self, StreamReader};
use stonewal::store::memory::Memory;
use stonewal::store::{Append as _, ObjectKey, Put};
use zeroize::Zeroizing;

/// The chunks of one stream, what the manifest would say of them, and the key.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) place: Place,
    pub(crate) record: StreamRecord,
    pub(crate) key: DataKey,
    pub(crate) bodies: Vec<Vec<u8>>,
}

pub(crate) fn copy_key(key: &DataKey) -> DataKey {
    DataKey::new(Zeroizing::new(*key.expose()))
}

impl Clone for Set {
    fn clone(&self) -> Self {
        Self {
            place: self.place.clone(),
            record: self.record.clone(),
            key: copy_key(&self.key),
            bodies: self.bodies.clone(),
        }
    }
}

/// The header of chunk `number` of a stream.
pub(crate) fn header(place: &Place, record: &StreamRecord, key: KeyId, number: u32, first_frame: u64) -> ChunkHeader {
    ChunkHeader {
        codec: record.codec,
        number,
        first_frame,
        repository: place.repository,
        key,
        stream: record.id,
        cluster: place.cluster.clone(),
        backup: place.backup.clone(),
        name: record.name.clone(),
    }
}

impl Set {
    /// Seals `frames`, the last one final, into chunks of `per_chunk` frames each (its last entry repeats).
    pub(crate) fn seal(
        place: &Place,
        name: &StreamName,
        codec: Codec,
        key: &DataKey,
        id: StreamId,
        frames: &[&[u8]],
        per_chunk: &[usize],
    ) -> Self {
        let plain_bytes = frames.iter().map(|frame| frame.len() as u64).sum();
        let count = frames.len() as u64;
        let record = StreamRecord { name: name.clone(), id, codec, plain_bytes, frames: count, chunks: Vec::new() };
        let mut set = Self { place: place.clone(), record, key: copy_key(key), bodies: Vec::new() };
        let stream_key = StreamKey::new(key, &id).unwrap();
        let (mut rest, mut first, mut sizes) = (frames, 0u64, per_chunk.iter().copied());
        let mut size = 1;
        while !rest.is_empty() {
            size = sizes.next().unwrap_or(size).clamp(1, rest.len());
            let (now, later) = rest.split_at(size);
            let number = u32::try_from(set.bodies.len()).unwrap();
            let mut chunk = ChunkBuilder::new(header(place, &set.record, key.id(), number, first), 0);
            for (i, plain) in now.iter().enumerate() {
                let packed = codec.compress(plain, codec.default_level()).unwrap();
                let last = later.is_empty() && i + 1 == now.len();
                chunk.push(&stream_key, &packed, plain.len(), last).unwrap();
            }
            set.push(chunk.finish(&stream_key).unwrap().to_vec(), size as u64);
            first += size as u64;
            rest = later;
        }
        set
    }

    /// Adds a chunk to the set and its record; the record is otherwise left as it is.
    pub(crate) fn push(&mut self, body: Vec<u8>, frames: u64) {
        let number = self.bodies.len() as u64;
        let sha256 = Digest::of(&body);
        let tag = Tag::new(number.to_be_bytes());
        self.record.chunks.push(ChunkRecord { tag, version: String::new(), bytes: body.len() as u64, sha256, frames });
        self.bodies.push(body);
    }

    /// Takes a chunk out of set and record.
    pub(crate) fn remove(&mut self, number: usize) -> Vec<u8> {
        self.record.chunks.remove(number);
        self.bodies.remove(number)
    }

    /// Reads the stream through the real reader from a bucket that holds the chunks, and gives what was released with
    /// how it ended. The digests are those of the chunks as they are now, so that what lies beneath them is tested.
    pub(crate) async fn read(&self) -> (Vec<u8>, pipeline::Result<()>) {
        let store = Arc::new(Memory::default());
        let mut record = self.record.clone();
        for (number, (chunk, body)) in (0..).zip(record.chunks.iter_mut().zip(&self.bodies)) {
            let Place { names, cluster, backup, .. } = &self.place;
            let key = ObjectKey::new(names.chunk(cluster, backup, &record.name, number, chunk.tag));
            let stored = store.put(Put { key, body: Bytes::copy_from_slice(body), lock: None }).await.unwrap();
            stored.version.as_str().clone_into(&mut chunk.version);
            (chunk.bytes, chunk.sha256) = (body.len() as u64, Digest::of(body));
        }
        drain(StreamReader::new(store, self.place.clone(), record, &self.key, 2, Progress::new()).unwrap()).await
    }
}

/// All that a reader releases, and its receipt or why there is none. Asks once more after an error: a reader that has
/// failed must stay failed.
pub(crate) async fn drain(mut reader: StreamReader) -> (Vec<u8>, pipeline::Result<()>) {
    let mut released = Vec::new();
    loop {
        match reader.next().await {
            Ok(Some(plain)) => released.extend_from_slice(&plain),
            Ok(None) => return (released, reader.finish().map(drop)),
            Err(error) => {
                assert!(reader.next().await.is_err(), "a failed reader went on");
                assert!(reader.finish().is_err(), "a failed reader gave a receipt");
                return (released, Err(error));
            }
        }
    }
}
