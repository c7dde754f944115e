//! The header of a chunk: where the chunk belongs. It is the associated data of every frame in it.

use super::{BackupId, ClusterName, Codec, Error, KeyId, RepositoryId, Result, StreamId, StreamName};
use crate::limits::CHUNK_HEADER_BYTES_MAX;

pub(super) const MAGIC: &[u8; 8] = b"stonewal";
const VERSION: u8 = 1;
const FIXED_BYTES: usize = 72;

/// Names the place of a chunk. Two headers are equal only for the same chunk of the same stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// How its frames are compressed.
    pub codec: Codec,
    /// Place of the chunk in its stream, from 0.
    pub number: u32,
    /// Number of its first frame in the stream, from 0.
    pub first_frame: u64,
    /// Repository.
    pub repository: RepositoryId,
    /// Data key that the stream key is derived from.
    pub key: KeyId,
    /// Stream.
    pub stream: StreamId,
    /// Cluster.
    pub cluster: ClusterName,
    /// Backup.
    pub backup: BackupId,
    /// Name of the stream in its backup.
    pub name: StreamName,
}

impl ChunkHeader {
    /// The stored bytes, big-endian: magic 8, version 1, codec 1, header length 2, chunk number 4, first frame 8,
    /// repository 16, key 16, stream 16, then cluster, backup and stream name, each with its length in one byte.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CHUNK_HEADER_BYTES_MAX);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, self.codec.byte(), 0, 0]);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.first_frame.to_be_bytes());
        out.extend_from_slice(self.repository.as_bytes());
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(self.stream.as_bytes());
        for text in [self.cluster.as_str(), self.backup.as_str(), self.name.as_str()] {
            // The grammars of these names stop at 63 bytes.
            out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(text.as_bytes());
        }
        let length = u16::try_from(out.len()).unwrap_or(u16::MAX);
        out[10..12].copy_from_slice(&length.to_be_bytes());
        out
    }

    /// Reads a header from the beginning of `bytes`; returns it with its length.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize)> {
        if !bytes.starts_with(MAGIC) {
            return Err(Error::NotOurs("chunk"));
        }
        let fixed = bytes.get(..FIXED_BYTES).ok_or(Error::Short("chunk header"))?;
        if fixed[8] != VERSION {
            return Err(Error::Version { what: "chunk", version: u32::from(fixed[8]) });
        }
        let length = usize::from(u16::from_be_bytes([fixed[10], fixed[11]]));
        if length > CHUNK_HEADER_BYTES_MAX {
            let max = CHUNK_HEADER_BYTES_MAX as u64;
            return Err(Error::Absurd { what: "chunk header length", claimed: length as u64, max });
        }
        let whole = bytes.get(..length).ok_or(Error::Short("chunk header"))?;
        let mut rest = whole.get(FIXED_BYTES..).ok_or(Error::Short("chunk header"))?;
        let header = Self {
            codec: Codec::from_byte(fixed[9])?,
            number: u32::from_be_bytes(array(&fixed[12..16])?),
            first_frame: u64::from_be_bytes(array(&fixed[16..24])?),
            repository: RepositoryId::new(array(&fixed[24..40])?),
            key: KeyId::new(array(&fixed[40..56])?),
            stream: StreamId::new(array(&fixed[56..72])?),
            cluster: text(&mut rest)?.parse()?,
            backup: text(&mut rest)?.parse()?,
            name: text(&mut rest)?.parse()?,
        };
        if !rest.is_empty() {
            return Err(Error::Malformed { what: "chunk header", why: "bytes follow its last field".into() });
        }
        Ok((header, length))
    }

    /// Refuses a chunk whose header is not `self`, naming the first difference.
    pub(super) fn expect(&self, found: &Self) -> Result<()> {
        let differences = [
            ("repository", self.repository != found.repository),
            ("cluster", self.cluster != found.cluster),
            ("backup", self.backup != found.backup),
            ("stream", self.name != found.name || self.stream != found.stream),
            ("data key", self.key != found.key),
            ("codec", self.codec != found.codec),
            ("chunk number", self.number != found.number),
            ("first frame", self.first_frame != found.first_frame),
        ];
        match differences.iter().find(|(_, differs)| *differs) {
            Some((field, _)) => Err(Error::Misplaced { number: self.number, field }),
            None => Ok(()),
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| Error::Short("chunk header"))
}

/// Takes one length-prefixed text from the front of `rest`.
fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str> {
    let (&length, tail) = rest.split_first().ok_or(Error::Short("chunk header"))?;
    if tail.len() < usize::from(length) {
        return Err(Error::Short("chunk header"));
    }
    let (text, tail) = tail.split_at(usize::from(length));
    *rest = tail;
    std::str::from_utf8(text).map_err(|_| Error::Malformed { what: "chunk header", why: "a name is not UTF-8".into() })
}
