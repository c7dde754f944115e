//! One stream on its way into the bucket.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::chunks::ChunkSender;
use super::frames::Ordered;
use super::stage::{SealReceipt, StoreReceipt};
use super::stream_place::StreamPlace;
use super::{Error, Result};
use crate::format::chunk::ChunkBuilder;
use crate::format::seal::StreamKey;
use crate::format::{self, Codec, DataKey, Place, StreamName, StreamRecord};
use crate::keys;
use crate::limits::FRAME_BYTES_MAX;
use crate::observe::Progress;
use crate::store::{Append, Lock};

/// Where a backup's streams go and how.
pub struct Target {
    /// The bucket.
    pub store: Arc<dyn Append>,
    /// The backup's place in it.
    pub place: Place,
    /// Retention of every object.
    pub lock: Option<Lock>,
    /// Objects grow to at most this many bytes.
    pub chunk_bytes: usize,
    /// Chunks sent at once.
    pub uploads: usize,
    /// Where acknowledgements are counted.
    pub progress: Progress,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("place", &self.place).field("lock", &self.lock).finish_non_exhaustive()
    }
}

/// How the frames of a stream are compressed.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Codec.
    pub codec: Codec,
    /// One of [`Codec::levels`].
    pub level: i32,
}

/// A frame after compression.
struct Packed {
    bytes: Vec<u8>,
    plain_bytes: usize,
    last: bool,
}

/// Takes a stream in frame by frame: fill [`StreamWriter::space`], say how much by [`StreamWriter::advance`], and
/// [`StreamWriter::finish`]. A writer that is dropped has stored nothing that can be published.
pub struct StreamWriter {
    target: Arc<Target>,
    stream: Arc<StreamPlace>,
    encoding: Encoding,
    key: StreamKey,
    frame: Vec<u8>,
    filled: usize,
    packing: Ordered<format::Result<Packed>>,
    chunk: Option<ChunkBuilder>,
    chunks: u32,
    frames: u64,
    plain_bytes: u64,
    sender: ChunkSender,
}

impl StreamWriter {
    /// A stream called `name` under `key`.
    pub fn new(target: Arc<Target>, name: StreamName, encoding: Encoding, key: &DataKey) -> Result<Self> {
        let id = keys::stream_id()?;
        let stream_key = StreamKey::new(key, &id).map_err(|source| Error::Format { stream: name.clone(), source })?;
        let place = target.place.clone();
        let stream = Arc::new(StreamPlace { place, name, id, key: key.id(), codec: encoding.codec });
        Ok(Self {
            sender: ChunkSender::new(target.clone(), stream.clone()),
            target,
            stream,
            encoding,
            key: stream_key,
            frame: vec![0; FRAME_BYTES_MAX],
            filled: 0,
            packing: Ordered::new(),
            chunk: None,
            chunks: 0,
            frames: 0,
            plain_bytes: 0,
        })
    }

    /// Room for more of the stream, never empty. A full frame moves on first, which waits while the store is slower
    /// than the source: that is the back-pressure.
    pub async fn space(&mut self) -> Result<&mut [u8]> {
        if self.filled == self.frame.len() {
            self.cut(false).await?;
        }
        Ok(&mut self.frame[self.filled..])
    }

    /// `bytes` of the last [`StreamWriter::space`] now hold stream.
    pub fn advance(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.frame.len());
    }

    /// Appends `bytes`.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.space().await?;
            let taken = space.len().min(bytes.len());
            space[..taken].copy_from_slice(&bytes[..taken]);
            self.advance(taken);
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Cancelled as soon as the store refuses a chunk, so that a source that has gone quiet need not be waited for;
    /// [`StreamWriter::failure`] then says why.
    pub fn failed(&self) -> CancellationToken {
        self.sender.failed().clone()
    }

    /// Why the store refused.
    pub async fn failure(mut self) -> Error {
        match self.sender.settle().await {
            Err(error) => error,
            Ok(()) => self.fault(format::Error::TooLong),
        }
    }

    /// Seals the final frame and waits for every acknowledgement.
    pub async fn finish(mut self) -> Result<(SealReceipt, StoreReceipt)> {
        self.cut(true).await?;
        while let Some(packed) = self.packing.next().await? {
            self.place(packed).await?;
        }
        self.close_chunk().await?;
        let chunks = self.sender.finish().await?;
        let record = StreamRecord {
            name: self.stream.name.clone(),
            id: self.stream.id,
            codec: self.stream.codec,
            plain_bytes: self.plain_bytes,
            frames: self.frames,
            chunks,
        };
        let sealed = SealReceipt { plain_bytes: self.plain_bytes, frames: self.frames };
        Ok((sealed, StoreReceipt { record }))
    }

    /// Hands the frame collected so far to a worker.
    async fn cut(&mut self, last: bool) -> Result<()> {
        while self.packing.is_full() {
            if let Some(packed) = self.packing.next().await? {
                self.place(packed).await?;
            }
        }
        let next = if last { Vec::new() } else { vec![0; FRAME_BYTES_MAX] };
        let mut frame = std::mem::replace(&mut self.frame, next);
        frame.truncate(self.filled);
        self.filled = 0;
        let Encoding { codec, level } = self.encoding;
        self.target.progress.add_plain_bytes(frame.len() as u64);
        self.packing.push(move || Ok(Packed { bytes: codec.compress(&frame, level)?, plain_bytes: frame.len(), last }));
        Ok(())
    }

    /// Seals a compressed frame into the current chunk, or into the next one if it does not fit.
    async fn place(&mut self, packed: format::Result<Packed>) -> Result<()> {
        let packed = packed.map_err(|source| self.fault(source))?;
        let (packed_bytes, chunk_bytes) = (packed.bytes.len(), self.target.chunk_bytes);
        if self.chunk.as_ref().is_some_and(|chunk| !chunk.fits(packed_bytes, chunk_bytes)) {
            self.close_chunk().await?;
        }
        let (stream, number, first) = (&self.stream, self.chunks, self.frames);
        let chunk = self.chunk.get_or_insert_with(|| ChunkBuilder::new(stream.header(number, first), chunk_bytes));
        let sealed = chunk.push(&self.key, &packed.bytes, packed.plain_bytes, packed.last);
        sealed.map_err(|source| self.fault(source))?;
        self.frames += 1;
        self.plain_bytes += packed.plain_bytes as u64;
        Ok(())
    }

    async fn close_chunk(&mut self) -> Result<()> {
        let Some(chunk) = self.chunk.take() else { return Ok(()) };
        let frames = chunk.frames();
        let body = chunk.finish(&self.key).map_err(|source| self.fault(source))?;
        let number = self.chunks;
        self.chunks = number.checked_add(1).ok_or_else(|| self.fault(format::Error::TooLong))?;
        self.sender.send(number, body, frames).await
    }

    fn fault(&self, source: format::Error) -> Error {
        Error::Format { stream: self.stream.name.clone(), source }
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter").field("stream", &self.stream.name).finish_non_exhaustive()
    }
}
