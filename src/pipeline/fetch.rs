//! Fetching chunks: ahead of the reader, pinned to their contents.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Error, Result};
use crate::format::{ChunkRecord, Place, StreamName};
use crate::limits::{CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX};
use crate::store::{self, ObjectKey, Pin, Read, VersionId};

/// Fetches one chunk: the version that the manifest pins, or in a replica the one that holds the same.
pub async fn fetch_chunk(
    store: &dyn Read,
    place: &Place,
    stream: &StreamName,
    number: u32,
    record: &ChunkRecord,
) -> Result<Bytes> {
    let key = ObjectKey::new(place.chunk(stream, number, record.tag));
    let altered = |why: String| Error::AlteredChunk { key: key.to_string(), why };
    if record.bytes > CHUNK_BYTES_MAX as u64 {
        return Err(altered(format!("its manifest claims {} bytes", record.bytes)));
    }
    let version = VersionId::new(record.version.clone());
    let pin = Pin { version, bytes: record.bytes, sha256: record.sha256.into() };
    store.pinned(&key, &pin).await.map_err(|error| match error {
        store::Error::NotFound { .. } => Error::MissingChunk { key: key.to_string(), version: record.version.clone() },
        // The store answers, with another length or content than the manifest's.
        store::Error::Corrupt { what, .. } => altered(what),
        error => Error::Store(error),
    })
}

/// How many chunks of this stream may be fetched at once, when `asked` of the usual size were asked for: a backup made with
/// larger chunks must not cost more memory to read.
pub fn chunks_ahead(asked: usize, chunks: &[ChunkRecord]) -> usize {
    let largest = chunks.iter().map(|chunk| chunk.bytes).max().unwrap_or(0).max(1);
    let room = asked as u64 * CHUNK_BYTES_DEFAULT as u64;
    usize::try_from(room / largest).unwrap_or(asked).clamp(1, asked.max(1))
}

/// The chunks of a stream in order, a bounded number of them fetched ahead.
pub(super) struct Fetcher {
    store: Arc<dyn Read>,
    place: Arc<Place>,
    stream: StreamName,
    chunks: std::vec::IntoIter<ChunkRecord>,
    asked: u32,
    given: u32,
    ahead: usize,
    fetching: JoinSet<(u32, Result<Bytes>)>,
    ready: BTreeMap<u32, Bytes>,
}

impl Fetcher {
    pub(super) fn new(
        store: Arc<dyn Read>,
        place: Arc<Place>,
        stream: StreamName,
        chunks: Vec<ChunkRecord>,
        ahead: usize,
    ) -> Self {
        let (fetching, ready) = (JoinSet::new(), BTreeMap::new());
        Self { store, place, stream, chunks: chunks.into_iter(), asked: 0, given: 0, ahead, fetching, ready }
    }

    /// The next chunk; `None` after the last. On failure the others are stopped and waited for.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            self.ask();
            if let Some(body) = self.ready.remove(&self.given) {
                self.given += 1;
                self.ask();
                return Ok(Some(body));
            }
            let Some(done) = self.fetching.join_next().await else { return Ok(None) };
            let fetched = done.map_err(Error::Worker).and_then(|(number, body)| Ok((number, body?)));
            match fetched {
                Ok((number, body)) => self.ready.insert(number, body),
                Err(error) => {
                    self.fetching.shutdown().await;
                    return Err(error);
                }
            };
        }
    }

    fn ask(&mut self) {
        while self.fetching.len() + self.ready.len() < self.ahead {
            let Some(record) = self.chunks.next() else { return };
            let (store, place, stream) = (self.store.clone(), self.place.clone(), self.stream.clone());
            let number = self.asked;
            self.asked += 1;
            self.fetching.spawn(async move { (number, fetch_chunk(&*store, &place, &stream, number, &record).await) });
        }
    }
}
