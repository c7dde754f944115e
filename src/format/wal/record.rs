//! Small signed records: what a cluster is, and where WAL is known to be missing.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Base64, WalRange};
use crate::format::signed::{self, Purpose};
use crate::format::{ClusterName, Error, Lsn, RepositoryId, Result, SegmentSize, Timeline, WriterPublic};

/// The cluster record: which PostgreSQL cluster a cluster of the repository is. Written once; everything physical is
/// compared with it, so that two clusters cannot be mixed under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterRecord {
    /// Repository.
    pub repository: RepositoryId,
    /// Name of the cluster.
    pub cluster: ClusterName,
    /// PostgreSQL's system identifier.
    #[serde(with = "as_text")]
    pub system_identifier: u64,
    /// Size of its WAL segments.
    pub segment_bytes: SegmentSize,
    /// When it was first seen (store time).
    pub created_at: Timestamp,
    /// The root writer's certificate for the writer that signed; absent where the root signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Base64>,
}

impl ClusterRecord {
    /// The stored bytes, signed by `writer`.
    pub fn encode(&self, writer: &WriterPublic, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>> {
        seal(Purpose::Cluster, self, writer, sign)
    }

    /// Reads a record signed by one of `trusted`.
    pub fn decode(bytes: &[u8], trusted: &[WriterPublic]) -> Result<Self> {
        open(Purpose::Cluster, bytes, trusted)
    }

    /// The certificate that a record carries, before anything is known of its writer: worth no more than what it proves.
    pub fn certificate(bytes: &[u8]) -> Option<Vec<u8>> {
        let json = bytes.get(..bytes.len().checked_sub(signed::ENVELOPE_BYTES)?)?;
        let record: Self = serde_json::from_slice(json).ok()?;
        record.certificate.map(|Base64(bytes)| bytes)
    }
}

/// A gap: WAL that the server no longer had when it was wanted. Whoever restores must not be led across it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapRecord {
    /// Repository.
    pub repository: RepositoryId,
    /// Name of the cluster.
    pub cluster: ClusterName,
    /// PostgreSQL's system identifier.
    #[serde(with = "as_text")]
    pub system_identifier: u64,
    /// Timeline.
    pub timeline: Timeline,
    /// First missing byte.
    pub start: Lsn,
    /// First byte no longer missing.
    pub end: Lsn,
    /// When it was noticed (store time).
    pub recorded_at: Timestamp,
    /// In words.
    pub reason: String,
}

impl GapRecord {
    /// The positions.
    pub fn range(&self) -> WalRange {
        WalRange { start: self.start, end: self.end }
    }

    /// The stored bytes, signed by `writer`.
    pub fn encode(&self, writer: &WriterPublic, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>> {
        seal(Purpose::Gap, self, writer, sign)
    }

    /// Reads a record signed by one of `trusted`.
    pub fn decode(bytes: &[u8], trusted: &[WriterPublic]) -> Result<Self> {
        let record: Self = open(Purpose::Gap, bytes, trusted)?;
        if record.start >= record.end {
            return Err(Error::Malformed { what: "gap record", why: "it is empty".into() });
        }
        Ok(record)
    }
}

fn seal(
    purpose: Purpose,
    record: &impl Serialize,
    writer: &WriterPublic,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(record)
        .map_err(|error| Error::Malformed { what: purpose.name(), why: error.to_string() })?;
    Ok(signed::seal(purpose, json, writer, sign))
}

fn open<T: DeserializeOwned>(purpose: Purpose, bytes: &[u8], trusted: &[WriterPublic]) -> Result<T> {
    let (json, _) = signed::open(purpose, bytes, trusted)?;
    serde_json::from_slice(json).map_err(|error| Error::Malformed { what: purpose.name(), why: error.to_string() })
}

/// 64-bit numbers as JSON text: many JSON readers keep 53 bits.
pub(super) mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` passes a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
