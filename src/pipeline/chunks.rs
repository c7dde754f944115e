//! Sending chunks: several at a time, each one PUT from memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::stream_place::StreamPlace;
use super::upload::Target;
use super::{Error, Result};
use crate::format::{ChunkRecord, Digest};
use crate::keys;
use crate::store::{ObjectKey, Put};

/// Chunks of one stream on their way. Upload happens out of order; the records come out in order.
#[derive(Debug)]
pub(super) struct ChunkSender {
    target: Arc<Target>,
    stream: Arc<StreamPlace>,
    sending: JoinSet<Result<(u32, ChunkRecord)>>,
    stored: BTreeMap<u32, ChunkRecord>,
    failed: CancellationToken,
}

impl ChunkSender {
    pub(super) fn new(target: Arc<Target>, stream: Arc<StreamPlace>) -> Self {
        let failed = CancellationToken::new();
        Self { target, stream, sending: JoinSet::new(), stored: BTreeMap::new(), failed }
    }

    /// Cancelled as soon as one chunk could not be stored.
    pub(super) fn failed(&self) -> &CancellationToken {
        &self.failed
    }

    /// Begins to send chunk `number`; waits while as many as allowed are under way.
    pub(super) async fn send(&mut self, number: u32, body: Bytes, frames: u64) -> Result<()> {
        while self.sending.len() >= self.target.uploads {
            self.reap().await?;
        }
        let job = put_chunk(self.target.clone(), self.stream.clone(), number, body, frames);
        let failed = self.failed.clone();
        self.sending.spawn(async move { job.await.inspect_err(|_| failed.cancel()) });
        Ok(())
    }

    /// Takes in one acknowledgement. On failure the others are stopped and waited for.
    async fn reap(&mut self) -> Result<()> {
        let Some(done) = self.sending.join_next().await else { return Ok(()) };
        match done.map_err(Error::Worker).and_then(|stored| stored) {
            Ok((number, record)) => {
                self.stored.insert(number, record);
                Ok(())
            }
            Err(error) => {
                self.sending.shutdown().await;
                Err(error)
            }
        }
    }

    /// Waits for everything under way; the first failure if there was one.
    pub(super) async fn settle(&mut self) -> Result<()> {
        while !self.sending.is_empty() {
            self.reap().await?;
        }
        Ok(())
    }

    /// The records of all chunks, in order.
    pub(super) async fn finish(mut self) -> Result<Vec<ChunkRecord>> {
        self.settle().await?;
        Ok(self.stored.into_values().collect())
    }
}

async fn put_chunk(
    target: Arc<Target>,
    stream: Arc<StreamPlace>,
    number: u32,
    body: Bytes,
    frames: u64,
) -> Result<(u32, ChunkRecord)> {
    let hashed = body.clone();
    let sha256 = spawn_blocking(move || Digest::of(&hashed)).await.map_err(Error::Worker)?;
    let (tag, bytes) = (keys::tag()?, body.len() as u64);
    let key = ObjectKey::new(stream.place.chunk(&stream.name, number, tag));
    let stored = target.store.put_hashed(Put { key, body, lock: target.lock }, sha256.into()).await?;
    target.progress.add_chunk(bytes);
    Ok((number, ChunkRecord { tag, version: stored.version.as_str().to_owned(), bytes, sha256, frames }))
}
