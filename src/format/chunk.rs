//! A chunk: header, sealed frames, sealed frame index, trailer. One immutable object.

use std::sync::Arc;

use bytes::Bytes;

use super::header::MAGIC;
use super::seal::{Place, StreamKey};
use super::{ChunkHeader, Error, Result};
use crate::limits::{CHUNK_BYTES_MAX, CHUNK_FRAMES_MAX, FRAME_BYTES_MAX, SEALED_FRAME_BYTES_MAX, TAG_BYTES};

const TRAILER_BYTES: usize = 12;
const INDEX_ENTRY_BYTES: usize = 8;

/// One frame's entry in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// Length as stored, tag included.
    pub sealed_bytes: u32,
    /// Length once opened and decompressed.
    pub plain_bytes: u32,
}

/// A chunk being filled, in the buffer that will be sent.
#[derive(Debug)]
pub struct ChunkBuilder {
    header: ChunkHeader,
    header_encoded: Vec<u8>,
    buffer: Vec<u8>,
    index: Vec<FrameEntry>,
    plain_bytes: u64,
}

impl ChunkBuilder {
    /// An empty chunk; `capacity` is how many bytes the finished object will have at most.
    pub fn new(header: ChunkHeader, capacity: usize) -> Self {
        let header_encoded = header.encode();
        let mut buffer = Vec::with_capacity(capacity.max(header_encoded.len()));
        buffer.extend_from_slice(&header_encoded);
        Self { header, header_encoded, buffer, index: Vec::new(), plain_bytes: 0 }
    }

    /// Frames in it so far.
    pub fn frames(&self) -> u64 {
        self.index.len() as u64
    }

    /// Plain bytes in it so far.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Whether one more frame of `packed_bytes` compressed bytes leaves the object within `chunk_bytes`, and the frames
    /// within what a reader accepts: frames of zeros are so small that their number is reached first.
    pub fn fits(&self, packed_bytes: usize, chunk_bytes: usize) -> bool {
        let index = (self.index.len() + 1) * INDEX_ENTRY_BYTES + TAG_BYTES + TRAILER_BYTES;
        self.index.len() < CHUNK_FRAMES_MAX && self.buffer.len() + packed_bytes + TAG_BYTES + index <= chunk_bytes
    }

    /// Seals one compressed frame and appends it.
    pub fn push(&mut self, key: &StreamKey, packed: &[u8], plain_bytes: usize, last: bool) -> Result<()> {
        let oversized = |_| Error::TooLong;
        let number = self.header.first_frame.checked_add(self.frames()).ok_or(Error::TooLong)?;
        let start = self.buffer.len();
        self.buffer.extend_from_slice(packed);
        key.seal(Place::Frame { number, last }, &self.header_encoded, &mut self.buffer, start)?;
        self.index.push(FrameEntry {
            sealed_bytes: u32::try_from(self.buffer.len() - start).map_err(oversized)?,
            plain_bytes: u32::try_from(plain_bytes).map_err(oversized)?,
        });
        self.plain_bytes += plain_bytes as u64;
        Ok(())
    }

    /// Appends the sealed index and the trailer.
    pub fn finish(mut self, key: &StreamKey) -> Result<Bytes> {
        let start = self.buffer.len();
        for entry in &self.index {
            self.buffer.extend_from_slice(&entry.sealed_bytes.to_be_bytes());
            self.buffer.extend_from_slice(&entry.plain_bytes.to_be_bytes());
        }
        key.seal(Place::Index { chunk: self.header.number }, &self.header_encoded, &mut self.buffer, start)?;
        let sealed = u32::try_from(self.buffer.len() - start).map_err(|_| Error::TooLong)?;
        self.buffer.extend_from_slice(&sealed.to_be_bytes());
        self.buffer.extend_from_slice(MAGIC);
        Ok(Bytes::from(self.buffer))
    }
}

/// A whole chunk that was read: its index authenticated, its frames not yet.
#[derive(Debug)]
pub struct Chunk {
    header: ChunkHeader,
    header_encoded: Vec<u8>,
    body: Bytes,
    index: Vec<FrameEntry>,
}

impl Chunk {
    /// Reads a chunk that must stand exactly at `expected`.
    pub fn read(bytes: &Bytes, expected: &ChunkHeader, key: &StreamKey) -> Result<Self> {
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(Error::Absurd { what: "chunk", claimed: bytes.len() as u64, max: CHUNK_BYTES_MAX as u64 });
        }
        let (header, header_bytes) = ChunkHeader::decode(bytes)?;
        expected.expect(&header)?;
        let encoded = bytes[..header_bytes].to_vec();
        let index_at = index_start(bytes, header_bytes)?;
        let mut sealed = bytes[index_at..bytes.len() - TRAILER_BYTES].to_vec();
        let place = Place::Index { chunk: header.number };
        let opened = key.open(place, &encoded, &mut sealed).ok_or(Error::IndexForged { chunk: header.number })?;
        let index = read_index(opened)?;
        header.first_frame.checked_add(index.len() as u64).ok_or(Error::TooLong)?;
        let frames: u64 = index.iter().map(|entry| u64::from(entry.sealed_bytes)).sum();
        if frames != (index_at - header_bytes) as u64 {
            return Err(Error::Malformed { what: "frame index", why: "its lengths do not add up to the chunk".into() });
        }
        Ok(Self { header, header_encoded: encoded, body: bytes.slice(header_bytes..index_at), index })
    }

    /// Number of frames.
    pub fn frames(&self) -> u64 {
        self.index.len() as u64
    }

    /// Plain bytes in all its frames, as the authenticated index has them.
    pub fn plain_bytes(&self) -> u64 {
        self.index.iter().map(|entry| u64::from(entry.plain_bytes)).sum()
    }

    /// The sealed frames in order, each able to open itself; slices of the chunk, not copies.
    pub fn into_frames(self) -> impl Iterator<Item = SealedFrame> + Send {
        let Self { header, header_encoded, body, index } = self;
        let header_encoded: Arc<[u8]> = header_encoded.into();
        let mut offset = 0;
        index.into_iter().zip(header.first_frame..).map(move |(entry, number)| {
            let end = offset + entry.sealed_bytes as usize;
            let sealed = body.slice(offset..end);
            offset = end;
            SealedFrame { number, entry, sealed, header: header_encoded.clone(), codec: header.codec }
        })
    }
}

/// One frame still sealed.
#[derive(Debug)]
pub struct SealedFrame {
    number: u64,
    entry: FrameEntry,
    sealed: Bytes,
    header: Arc<[u8]>,
    codec: super::Codec,
}

impl SealedFrame {
    /// Number of the frame in its stream.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Verifies, decrypts and decompresses the frame; `last` is whether it must be the final one of the stream.
    /// Nothing is returned of a frame that does not authenticate (invariant I5).
    pub fn open(&self, key: &StreamKey, last: bool) -> Result<Vec<u8>> {
        let mut buffer = self.sealed.to_vec();
        let place = Place::Frame { number: self.number, last };
        let Some(packed) = key.open(place, &self.header, &mut buffer) else {
            return Err(self.why_not(key, last));
        };
        self.codec.decompress(packed, self.entry.plain_bytes as usize, self.number)
    }

    /// A frame that opens with the opposite final flag is genuine, but the stream around it was cut or extended.
    fn why_not(&self, key: &StreamKey, last: bool) -> Error {
        let place = Place::Frame { number: self.number, last: !last };
        match (key.open(place, &self.header, &mut self.sealed.to_vec()).is_some(), last) {
            (true, true) => Error::Truncated { frames: self.number + 1 },
            (true, false) => Error::Trailing { frame: self.number },
            (false, _) => Error::FrameForged { frame: self.number },
        }
    }
}

fn index_start(bytes: &[u8], header_bytes: usize) -> Result<usize> {
    let trailer_at = bytes.len().checked_sub(TRAILER_BYTES).ok_or(Error::Short("chunk"))?;
    let (length, magic) = bytes[trailer_at..].split_at(4);
    if magic != MAGIC {
        return Err(Error::Short("chunk"));
    }
    let length = length.iter().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    let max = (CHUNK_FRAMES_MAX * INDEX_ENTRY_BYTES + TAG_BYTES) as u64;
    if length > max {
        return Err(Error::Absurd { what: "frame index", claimed: length, max });
    }
    let length = usize::try_from(length).map_err(|_| Error::Short("chunk"))?;
    trailer_at.checked_sub(length).filter(|&at| at >= header_bytes).ok_or(Error::Short("chunk"))
}

fn read_index(bytes: &[u8]) -> Result<Vec<FrameEntry>> {
    if !bytes.len().is_multiple_of(INDEX_ENTRY_BYTES) {
        return Err(Error::Malformed { what: "frame index", why: "its length is not a multiple of 8".into() });
    }
    let entries = bytes.chunks_exact(INDEX_ENTRY_BYTES).map(|entry| {
        let number = |part: &[u8]| part.iter().fold(0u32, |n, &byte| n << 8 | u32::from(byte));
        FrameEntry { sealed_bytes: number(&entry[..4]), plain_bytes: number(&entry[4..]) }
    });
    let index: Vec<_> = entries.collect();
    for entry in &index {
        check("sealed frame", entry.sealed_bytes, SEALED_FRAME_BYTES_MAX)?;
        check("frame", entry.plain_bytes, FRAME_BYTES_MAX)?;
    }
    Ok(index)
}

fn check(what: &'static str, claimed: u32, max: usize) -> Result<()> {
    if claimed as usize > max {
        return Err(Error::Absurd { what, claimed: u64::from(claimed), max: max as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::format::{Codec, DataKey, KeyId, RepositoryId, StreamId};

    /// A terabyte of zeros in the largest chunks: frames of a few bytes each. What the writer makes, the reader takes.
    #[test]
    fn a_chunk_is_full_before_its_frames_are_too_many() {
        let header = ChunkHeader {
            codec: Codec::None,
            number: 0,
            first_frame: 0,
            repository: RepositoryId::new([1; 16]),
            key: KeyId::new([2; 16]),
            stream: StreamId::new([3; 16]),
            cluster: "main".parse().unwrap(),
            backup: "20261124T031500Z-5b0c6f2e".parse().unwrap(),
            name: "dump".parse().unwrap(),
        };
        let key = StreamKey::new(&DataKey::new(Zeroizing::new([4; 32])), &header.stream).unwrap();
        let mut builder = ChunkBuilder::new(header.clone(), 0);
        while builder.fits(1, CHUNK_BYTES_MAX) {
            builder.push(&key, &[0], 1, false).unwrap();
        }
        assert_eq!(builder.frames(), CHUNK_FRAMES_MAX as u64);
        let chunk = Chunk::read(&builder.finish(&key).unwrap(), &header, &key).unwrap();
        assert_eq!(chunk.frames(), CHUNK_FRAMES_MAX as u64);
    }
}
