//! The manifest: the stored record of one backup, written last. A backup without one does not exist.
//!
//! Three parts: a clear part that an auditor without keys can read, a part sealed under the metadata key, and one
//! signature over both.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

mod base;
mod clear;
mod sealed;

pub use base::{
    BACKUP_MANIFEST_STREAM, BASE_STREAM, BaseFacts, BaseRange, CollationFact, DirectoryEntry, FileEntry, IndexedStream,
    LinkEntry, ParameterFact, StreamIndex, TablespaceFact, check_path, tablespace_stream,
};
pub use clear::{ClearPart, CopyOf, KeyRecord, Kind};
pub use sealed::{
    DatabaseFact, DigestFacts, DumpFacts, ExtensionFact, ImportFact, SealedPart, SettingFact, TableCount, TableDigest,
    ViewFact,
};

use super::seal::{open_manifest, seal_manifest};
use super::signed::{self, Purpose};
use super::{Codec, DataKey, Error, Result, WriterPublic};
use crate::limits::{FRAME_BYTES_MAX, MANIFEST_PART_BYTES_MAX};

const MAGIC: &[u8; 8] = b"stwlmnft";
const VERSION: u32 = 1;

/// A manifest that was read and whose signature holds. Its sealed part is still sealed.
#[derive(Clone, Debug)]
pub struct Manifest {
    clear: ClearPart,
    clear_bytes: Vec<u8>,
    sealed: Vec<u8>,
    writer: WriterPublic,
}

impl Manifest {
    /// The stored bytes of a new manifest, signed by `writer`. Refuses whatever [`Manifest::decode`] would refuse: a
    /// backup that cannot be read back must not be published.
    pub fn encode(
        clear: &ClearPart,
        sealed: &SealedPart,
        metadata_key: &DataKey,
        writer: &WriterPublic,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Vec<u8>> {
        clear.check()?;
        sealed.check(clear)?;
        let clear = to_json(clear)?;
        let sealed = seal_manifest(metadata_key, &clear, pack(&to_json(sealed)?)?)?;
        let mut out = Vec::with_capacity(clear.len() + sealed.len() + 128);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        for part in [&clear, &sealed] {
            let length = u32::try_from(part.len()).ok().filter(|_| part.len() <= MANIFEST_PART_BYTES_MAX);
            out.extend_from_slice(&length.ok_or(Error::TooLong)?.to_be_bytes());
            out.extend_from_slice(part);
        }
        Ok(signed::seal(Purpose::Manifest, out, writer, sign))
    }

    /// Reads a manifest, accepting it only if one of `trusted` signed it.
    pub fn decode(bytes: &[u8], trusted: &[WriterPublic]) -> Result<Self> {
        if !bytes.starts_with(MAGIC) {
            return Err(Error::NotOurs("manifest"));
        }
        let (payload, writer) = signed::open(Purpose::Manifest, bytes, trusted)?;
        let mut rest = payload.get(MAGIC.len()..).ok_or(Error::Short("manifest"))?;
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            return Err(Error::Version { what: "manifest", version });
        }
        let clear_bytes = take_part(&mut rest)?.to_vec();
        let sealed = take_part(&mut rest)?.to_vec();
        if !rest.is_empty() {
            return Err(Error::Malformed { what: "manifest", why: "bytes follow its parts".into() });
        }
        let clear: ClearPart = from_json(&clear_bytes)?;
        clear.check()?;
        Ok(Self { clear, clear_bytes, sealed, writer })
    }

    /// What anyone may read.
    pub fn clear(&self) -> &ClearPart {
        &self.clear
    }

    /// Who signed it.
    pub fn writer(&self) -> &WriterPublic {
        &self.writer
    }

    /// Opens the sealed part.
    pub fn open(&self, metadata_key: &DataKey) -> Result<SealedPart> {
        let sealed: SealedPart = from_json(&unpack(&open_manifest(metadata_key, &self.clear_bytes, &self.sealed)?)?)?;
        sealed.check(&self.clear)?;
        Ok(sealed)
    }
}

fn to_json(part: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(part).map_err(|e| Error::Malformed { what: "manifest", why: e.to_string() })
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::Malformed { what: "manifest", why: e.to_string() })
}

/// gzip members of at most one frame each, as in a stream, so that one bounded codec serves both.
fn pack(json: &[u8]) -> Result<Vec<u8>> {
    if json.len() > MANIFEST_PART_BYTES_MAX {
        return Err(Error::TooLong);
    }
    let frames: Vec<Frame> = json
        .chunks(FRAME_BYTES_MAX)
        .map(|plain| Ok(Frame { bytes: plain.len(), packed: Codec::Gzip.compress(plain, 6)? }))
        .collect::<Result<_>>()?;
    let mut out = Vec::new();
    for frame in frames {
        for number in [frame.bytes, frame.packed.len()] {
            out.extend_from_slice(&u32::try_from(number).map_err(|_| Error::TooLong)?.to_be_bytes());
        }
        out.extend_from_slice(&frame.packed);
    }
    Ok(out)
}

struct Frame {
    bytes: usize,
    packed: Vec<u8>,
}

fn unpack(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut number = 0;
    while !rest.is_empty() {
        let bytes = take_u32(&mut rest)? as usize;
        let packed = take_part(&mut rest)?;
        json.extend_from_slice(&Codec::Gzip.decompress(packed, bytes, number)?);
        if json.len() > MANIFEST_PART_BYTES_MAX {
            let max = MANIFEST_PART_BYTES_MAX as u64;
            return Err(Error::Absurd { what: "sealed part of the manifest", claimed: json.len() as u64, max });
        }
        number += 1;
    }
    Ok(json)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32> {
    let (number, tail) = rest.split_first_chunk::<4>().ok_or(Error::Short("manifest"))?;
    *rest = tail;
    Ok(u32::from_be_bytes(*number))
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = take_u32(rest)? as usize;
    if length > MANIFEST_PART_BYTES_MAX {
        let max = MANIFEST_PART_BYTES_MAX as u64;
        return Err(Error::Absurd { what: "manifest part", claimed: length as u64, max });
    }
    let part = rest.get(..length).ok_or(Error::Short("manifest"))?;
    *rest = &rest[length..];
    Ok(part)
}

/// The repository record: written once by `init`, a courtesy to people and tools that look at the bucket. Restores take
/// the repository id from the identity bundle or the writer file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryRecord {
    /// Format version of everything below the prefix.
    pub format: u32,
    /// Id of the repository.
    pub repository: super::RepositoryId,
    /// When it was made (store time).
    pub created_at: jiff::Timestamp,
}

impl RepositoryRecord {
    /// Format version this code writes and reads.
    pub const FORMAT: u32 = VERSION;

    /// The stored bytes, signed by `writer`.
    pub fn encode(&self, writer: &WriterPublic, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>> {
        Ok(signed::seal(Purpose::Repository, to_json(self)?, writer, sign))
    }

    /// Reads a record signed by one of `trusted`.
    pub fn decode(bytes: &[u8], trusted: &[WriterPublic]) -> Result<Self> {
        let record: Self = from_json(signed::open(Purpose::Repository, bytes, trusted)?.0)?;
        if record.format != VERSION {
            return Err(Error::Version { what: "repository", version: record.format });
        }
        Ok(record)
    }
}
