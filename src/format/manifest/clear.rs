//! The clear part: what a person without keys may know of a backup.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BACKUP_MANIFEST_STREAM, BASE_STREAM, BaseRange};
use crate::format::{
    BackupId, ClusterName, Error, KeyId, LockRecord, ObjectRecord, RepositoryId, Result, StreamName, StreamRecord, Tag,
};
use crate::limits::{CHUNK_BYTES_MAX, CHUNK_FRAMES_MAX, FRAME_BYTES_MAX};

/// What a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Logical: pg_dump of one database, with the cluster's globals.
    Dump,
    /// Physical: the files of the whole cluster, with the WAL that makes them consistent.
    Base,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dump => "dump",
            Self::Base => "base",
        })
    }
}

/// A data key of the backup and the wraps written with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Id of the key.
    pub id: KeyId,
    /// The wrap written by the backup itself; later ones are found by listing.
    pub wrap: ObjectRecord,
}

/// What a backup is a copy of, under other data keys. It counts only where the root writer signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyOf {
    /// The backup that was copied.
    pub backup: BackupId,
    /// When the manifest of the first original arrived (store time): the copy counts as old as that.
    pub arrived_at: Timestamp,
}

/// Clear part of a manifest. JSON; times are store time, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearPart {
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Name of the cluster.
    pub cluster: ClusterName,
    /// PostgreSQL's system identifier of the cluster; `None` if the role that backed up may not read it.
    #[serde(with = "as_text")]
    pub system_identifier: Option<u64>,
    /// Id of the backup.
    pub backup: BackupId,
    /// Random part of the name of the manifest's own object: a copy under another name is not the manifest.
    pub manifest: Tag,
    /// What it is.
    pub kind: Kind,
    /// When it began.
    pub started_at: Timestamp,
    /// When its last chunk had been acknowledged.
    pub finished_at: Timestamp,
    /// Version of stonewal that made it.
    pub stonewal: String,
    /// Version of the PostgreSQL server, as it reports it.
    pub server_version: String,
    /// Timeline of the cluster, if it may be read.
    pub timeline: Option<u32>,
    /// Position in the WAL that the backup shows, as PostgreSQL writes it: `0/16B3748`; if it may be read.
    pub lsn: Option<String>,
    /// Where a base backup stands in the WAL; absent in a dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseRange>,
    /// What it is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<CopyOf>,
    /// Retention set on every object of the backup; `None` where the repository declares no immutability.
    pub lock: Option<LockRecord>,
    /// Key of the streams.
    pub payload_key: KeyRecord,
    /// Key of the sealed part.
    pub metadata_key: KeyRecord,
    /// The streams.
    pub streams: Vec<StreamRecord>,
}

impl ClearPart {
    /// Length of all streams in bytes.
    pub fn plain_bytes(&self) -> u64 {
        self.streams.iter().map(|stream| stream.plain_bytes).sum()
    }

    /// Bytes of all chunks.
    pub fn stored_bytes(&self) -> u64 {
        self.streams.iter().map(StreamRecord::stored_bytes).sum()
    }

    /// The stream called `name`.
    pub fn stream(&self, name: &StreamName) -> Option<&StreamRecord> {
        self.streams.iter().find(|stream| stream.name == *name)
    }

    /// The key that a stream is sealed under.
    pub fn key_of(&self, stream: &StreamName) -> &KeyRecord {
        let is_metadata = self.kind == Kind::Base && stream.as_str() == BACKUP_MANIFEST_STREAM;
        if is_metadata { &self.metadata_key } else { &self.payload_key }
    }

    /// Refuses a manifest that contradicts itself or claims what no stream can have; after it, no sum overflows.
    pub(super) fn check(&self) -> Result<()> {
        let malformed = |why: String| Err(Error::Malformed { what: "manifest", why });
        if !self.backup.began_at(self.started_at) {
            return malformed(format!("backup {} did not begin at {}", self.backup, self.started_at));
        }
        if let Some(CopyOf { backup, .. }) = &self.copy_of
            && (*backup == self.backup || !backup.began_at(self.started_at))
        {
            return malformed(format!("it cannot be a copy of backup {backup}"));
        }
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        for stream in &self.streams {
            for chunk in &stream.chunks {
                within("chunk", chunk.bytes, CHUNK_BYTES_MAX)?;
                within("number of frames", chunk.frames, CHUNK_FRAMES_MAX)?;
            }
            let frames: u64 = stream.chunks.iter().map(|chunk| chunk.frames).sum();
            if frames != stream.frames || stream.chunks.iter().any(|chunk| chunk.frames == 0) || frames == 0 {
                return malformed(format!("the frames of stream {} do not add up", stream.name));
            }
            if stream.plain_bytes > frames.saturating_mul(FRAME_BYTES_MAX as u64) {
                return malformed(format!("stream {} is longer than its frames can be", stream.name));
            }
            if !names.insert(&stream.name) || !ids.insert(stream.id) {
                return malformed(format!("stream {} appears twice", stream.name));
            }
        }
        self.check_kind()
    }

    /// A base backup has its streams and its range, a dump has no range.
    fn check_kind(&self) -> Result<()> {
        let malformed = |why: String| Err(Error::Malformed { what: "manifest", why });
        match (self.kind, &self.base) {
            (Kind::Dump, None) => return Ok(()),
            (Kind::Base, Some(range)) => range.check()?,
            (kind, _) => return malformed(format!("its place in the WAL is not that of a {kind}")),
        }
        for name in [BASE_STREAM, BACKUP_MANIFEST_STREAM] {
            if !self.streams.iter().any(|stream| stream.name.as_str() == name) {
                return malformed(format!("a base backup has no stream {name}"));
            }
        }
        for stream in &self.streams {
            // Full frames but the last: an offset then tells frame and chunk, and single files can be read.
            if stream.plain_bytes < (stream.frames - 1).saturating_mul(FRAME_BYTES_MAX as u64) {
                return malformed(format!("a frame of stream {} is not full", stream.name));
            }
        }
        Ok(())
    }
}

fn within(what: &'static str, claimed: u64, max: usize) -> Result<()> {
    let max = max as u64;
    if claimed > max { Err(Error::Absurd { what, claimed, max }) } else { Ok(()) }
}

/// 64-bit numbers as JSON text: many JSON readers keep 53 bits.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde's `with` passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        number.map(|number| number.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}
