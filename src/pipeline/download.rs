//! One stream on its way out of the bucket: fetched, verified, opened, released, in this order.

use std::fmt;
use std::sync::Arc;

use super::fetch::{Fetcher, chunks_ahead};
use super::frames::Ordered;
use super::stage::OpenReceipt;
use super::stream_place::StreamPlace;
use super::{Error, Result};
use crate::format::chunk::{Chunk, SealedFrame};
use crate::format::seal::StreamKey;
use crate::format::{self, DataKey, Place, StreamRecord};
use crate::observe::Progress;
use crate::store::Read;

/// Gives the plain frames of a stream in order. What it gives has been authenticated; that there is no more, only
/// [`StreamReader::finish`] says.
pub struct StreamReader {
    stream: StreamPlace,
    record: StreamRecord,
    key: Arc<StreamKey>,
    fetcher: Fetcher,
    frames: Option<Box<dyn Iterator<Item = SealedFrame> + Send>>,
    opening: Ordered<format::Result<Vec<u8>>>,
    chunks: u32,
    sealed_frames: u64,
    opened_frames: u64,
    plain_bytes: u64,
    failed: bool,
    progress: Progress,
}

impl StreamReader {
    /// A reader of the stream that a manifest records, fetching at most `ahead` chunks in advance.
    pub fn new(
        store: Arc<dyn Read>,
        place: Place,
        record: StreamRecord,
        key: &DataKey,
        ahead: usize,
        progress: Progress,
    ) -> Result<Self> {
        let name = record.name.clone();
        let stream_key =
            StreamKey::new(key, &record.id).map_err(|source| Error::Format { stream: name.clone(), source })?;
        let ahead = chunks_ahead(ahead, &record.chunks);
        let fetcher = Fetcher::new(store, Arc::new(place.clone()), name.clone(), record.chunks.clone(), ahead);
        let stream = StreamPlace { place, name, id: record.id, key: key.id(), codec: record.codec };
        Ok(Self {
            stream,
            record,
            key: Arc::new(stream_key),
            fetcher,
            frames: None,
            opening: Ordered::new(),
            chunks: 0,
            sealed_frames: 0,
            opened_frames: 0,
            plain_bytes: 0,
            failed: false,
            progress,
        })
    }

    /// The next plain bytes; `None` once the final frame has been given. After an error there are no more: what lies
    /// past a fault is never released, even to a caller who asks again (invariant I5).
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.failed {
            return Err(self.incomplete());
        }
        let next = self.advance().await;
        self.failed = next.is_err();
        next
    }

    async fn advance(&mut self) -> Result<Option<Vec<u8>>> {
        while !self.opening.is_full() {
            let Some(frame) = self.next_sealed().await? else { break };
            let (key, last) = (self.key.clone(), frame.number() + 1 == self.record.frames);
            self.opening.push(move || frame.open(&key, last));
        }
        match self.opening.next().await? {
            None => Ok(None),
            Some(opened) => {
                let plain = opened.map_err(|source| self.fault(source))?;
                self.opened_frames += 1;
                self.plain_bytes += plain.len() as u64;
                self.progress.add_plain_bytes(plain.len() as u64);
                Ok(Some(plain))
            }
        }
    }

    /// Proof that everything recorded was given.
    pub fn finish(self) -> Result<OpenReceipt> {
        let (frames, bytes) = (self.opened_frames == self.record.frames, self.plain_bytes == self.record.plain_bytes);
        let whole = frames && bytes && !self.failed;
        if whole { Ok(OpenReceipt { plain_bytes: self.plain_bytes }) } else { Err(self.incomplete()) }
    }

    async fn next_sealed(&mut self) -> Result<Option<SealedFrame>> {
        loop {
            if let Some(frame) = self.frames.as_mut().and_then(Iterator::next) {
                self.sealed_frames += 1;
                return Ok(Some(frame));
            }
            let Some(body) = self.fetcher.next().await? else { return Ok(None) };
            self.progress.add_chunk(body.len() as u64);
            let expected = self.stream.header(self.chunks, self.sealed_frames);
            let chunk = Chunk::read(&body, &expected, &self.key).map_err(|source| self.fault(source))?;
            self.chunks += 1;
            self.frames = Some(Box::new(chunk.into_frames()));
        }
    }

    fn incomplete(&self) -> Error {
        let (stream, got, want) = (self.stream.name.clone(), self.plain_bytes, self.record.plain_bytes);
        Error::Incomplete { stream, got, want }
    }

    fn fault(&self, source: format::Error) -> Error {
        Error::Format { stream: self.stream.name.clone(), source }
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader").field("stream", &self.stream.name).finish_non_exhaustive()
    }
}
