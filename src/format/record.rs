//! Parts of a manifest that describe stored objects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Codec, StreamId, StreamName, Tag};

/// Object Lock mode as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockModeRecord {
    /// Holds against everyone without the bypass permission.
    Governance,
    /// Holds against everyone.
    Compliance,
}

/// Object Lock retention that every object of a backup was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockRecord {
    /// Mode.
    pub mode: LockModeRecord,
    /// Store time.
    pub retain_until: Timestamp,
}

/// One object pinned by name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRecord {
    /// Random part of its name.
    pub tag: Tag,
    /// Version id as the store gave it; opaque.
    pub version: String,
}

/// One stream of a backup as the manifest records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRecord {
    /// Its name in the backup.
    pub name: StreamName,
    /// Its unique id, the salt of its key.
    pub id: StreamId,
    /// How its frames are compressed.
    pub codec: Codec,
    /// Length of the stream in bytes.
    pub plain_bytes: u64,
    /// Number of frames, the final one included.
    pub frames: u64,
    /// Its chunks in order.
    pub chunks: Vec<ChunkRecord>,
}

impl StreamRecord {
    /// Bytes of all its objects.
    pub fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

/// One chunk as the manifest records it. Its place in the list is its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkRecord {
    /// Random part of its name.
    pub tag: Tag,
    /// Version id as the store gave it; opaque.
    pub version: String,
    /// Length of the object in bytes.
    pub bytes: u64,
    /// SHA-256 of the object, hexadecimal.
    pub sha256: Digest,
    /// Frames in it.
    pub frames: u64,
}

/// SHA-256 of stored bytes, hexadecimal in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes `parts` one after the other.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in parts {
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::ids::hex(&self.0))
    }
}

impl From<Digest> for [u8; 32] {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = super::Error;
    fn try_from(text: String) -> Result<Self, super::Error> {
        super::ids::unhex(&text).map(Self).ok_or(super::Error::Malformed {
            what: "SHA-256",
            why: "it is not 64 lower-case hexadecimal digits".into(),
        })
    }
}
