//! Parts of a stream: only the chunks that hold them are fetched, whole, and only their frames are opened.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::fetch::fetch_chunk;
use super::stream_place::StreamPlace;
use super::{Error, Result};
use crate::format::chunk::Chunk;
use crate::format::seal::StreamKey;
use crate::format::{self, DataKey, Place, StreamRecord};
use crate::limits::FRAME_BYTES_MAX;
use crate::observe::Progress;
use crate::store::Read;

const FRAME_BYTES: u64 = FRAME_BYTES_MAX as u64;

/// Reads ranges of a stream whose frames are all full but the last, so that a plain offset tells its frame. What it gives has
/// been authenticated in its place; that a whole stream was read, it cannot say: whoever reads all ranges knows.
pub struct RangedReader {
    store: Arc<dyn Read>,
    stream: StreamPlace,
    record: StreamRecord,
    key: StreamKey,
    /// Number of the first frame of each chunk.
    first_frames: Vec<u64>,
    progress: Progress,
}

/// A chunk and the bytes of the stream that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Number of the chunk.
    pub chunk: u32,
    /// Plain bytes of the stream.
    pub bytes: Range<u64>,
}

impl RangedReader {
    /// A reader of the stream that a manifest records.
    pub fn new(
        store: Arc<dyn Read>,
        place: Place,
        record: StreamRecord,
        key: &DataKey,
        progress: Progress,
    ) -> Result<Self> {
        let name = record.name.clone();
        let stream_key =
            StreamKey::new(key, &record.id).map_err(|source| Error::Format { stream: name.clone(), source })?;
        let mut first_frames = Vec::with_capacity(record.chunks.len());
        let mut frames = 0;
        for chunk in &record.chunks {
            first_frames.push(frames);
            frames += chunk.frames;
        }
        let stream = StreamPlace { place, name, id: record.id, key: key.id(), codec: record.codec };
        Ok(Self { store, stream, record, key: stream_key, first_frames, progress })
    }

    /// The stream.
    pub fn record(&self) -> &StreamRecord {
        &self.record
    }

    /// All chunks with what they hold, in order.
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        (0..).zip(&self.first_frames).zip(&self.record.chunks).map(|((chunk, first), record)| {
            let at = |frame: u64| (frame * FRAME_BYTES).min(self.record.plain_bytes);
            Span { chunk, bytes: at(*first)..at(first + record.frames) }
        })
    }

    /// Fetches one chunk, compares its digest, opens the frames that hold any of `wanted` (sorted, apart from each other, within
    /// the chunk's span) and gives their bytes to `take`: which of the wanted ranges, where in the stream, what. `take` runs on a
    /// thread that may block. The outer error is the stream's, the inner one `take`'s.
    pub async fn read<E: Send + 'static>(
        self: &Arc<Self>,
        chunk: u32,
        wanted: Vec<Range<u64>>,
        take: impl FnMut(usize, u64, &[u8]) -> std::result::Result<(), E> + Send + 'static,
    ) -> Result<std::result::Result<(), E>> {
        let (body, reader) = (self.fetch(chunk).await?, self.clone());
        spawn_blocking(move || reader.open(chunk, &body, &wanted, take)).await.map_err(Error::Worker)?
    }

    /// Fetches one chunk of any stream, compares its digest, and opens each of its frames in its place.
    pub async fn prove(self: &Arc<Self>, chunk: u32) -> Result<()> {
        let (body, reader) = (self.fetch(chunk).await?, self.clone());
        let prove = move || {
            for frame in reader.chunk(chunk, &body)?.into_frames() {
                let last = frame.number() + 1 == reader.record.frames;
                let plain = frame.open(&reader.key, last).map_err(|error| reader.fault(error))?;
                reader.progress.add_plain_bytes(plain.len() as u64);
            }
            Ok(())
        };
        spawn_blocking(prove).await.map_err(Error::Worker)?
    }

    async fn fetch(&self, chunk: u32) -> Result<Bytes> {
        let record = self.record.chunks.get(chunk as usize).ok_or_else(|| self.incomplete())?;
        let (place, name) = (&self.stream.place, &self.stream.name);
        let body = fetch_chunk(&*self.store, place, name, chunk, record).await?;
        self.progress.add_chunk(body.len() as u64);
        Ok(body)
    }

    /// The chunk with its frames, still sealed.
    fn chunk(&self, number: u32, body: &Bytes) -> Result<Chunk> {
        let first = self.first_frames[number as usize];
        let chunk = Chunk::read(body, &self.stream.header(number, first), &self.key).map_err(|e| self.fault(e))?;
        if chunk.frames() != self.record.chunks[number as usize].frames {
            return Err(self.incomplete());
        }
        Ok(chunk)
    }

    fn open<E>(
        &self,
        number: u32,
        body: &Bytes,
        wanted: &[Range<u64>],
        mut take: impl FnMut(usize, u64, &[u8]) -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<(), E>> {
        let mut next = 0;
        for frame in self.chunk(number, body)?.into_frames() {
            let start = frame.number() * FRAME_BYTES;
            let end = (start + FRAME_BYTES).min(self.record.plain_bytes);
            while wanted.get(next).is_some_and(|range| range.end <= start) {
                next += 1;
            }
            let touched = wanted[next..].iter().take_while(|range| range.start < end).count();
            if touched == 0 {
                continue;
            }
            let last = frame.number() + 1 == self.record.frames;
            let plain = frame.open(&self.key, last).map_err(|e| self.fault(e))?;
            if plain.len() as u64 != end.saturating_sub(start) {
                return Err(self.incomplete());
            }
            for (which, range) in (next..).zip(&wanted[next..next + touched]) {
                let (from, to) = (range.start.max(start), range.end.min(end));
                let part = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
                if from < to {
                    self.progress.add_plain_bytes(to - from);
                    if let Err(error) = take(which, from, &plain[part(from)..part(to)]) {
                        return Ok(Err(error));
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    fn incomplete(&self) -> Error {
        let (stream, want) = (self.stream.name.clone(), self.record.plain_bytes);
        Error::Incomplete { stream, got: 0, want }
    }

    fn fault(&self, source: format::Error) -> Error {
        Error::Format { stream: self.stream.name.clone(), source }
    }
}

impl fmt::Debug for RangedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangedReader").field("stream", &self.stream.name).finish_non_exhaustive()
    }
}
