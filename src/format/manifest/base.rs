//! Base backups in the manifest: where they stand in the WAL, and where each file lies in the streams.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::ImportFact;
use crate::format::{Error, Lsn, Result, SegmentSize, StreamName, Timeline};

/// Name of the stream with the data directory.
pub const BASE_STREAM: &str = "base";
/// Name of the stream with PostgreSQL's own manifest of the backup. It is sealed under the metadata key: names and checksums
/// of files are metadata, and a host that cannot read data needs them for the next incremental backup.
pub const BACKUP_MANIFEST_STREAM: &str = "backup_manifest";
/// What the names of the streams with tablespaces begin with; the OID follows.
const TABLESPACE_STREAM: &str = "tablespace-";

/// Where a base backup stands in the WAL. In the clear, so that a host without keys can plan a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseRange {
    /// Where replay begins.
    pub start: Lsn,
    /// Where the files are consistent.
    pub stop: Lsn,
    /// Timeline of both.
    pub timeline: Timeline,
    /// Size of a WAL segment.
    pub segment_bytes: SegmentSize,
    /// When the copy began, by the server's clock.
    pub begun_at: Timestamp,
    /// When the copy had ended, by the server's clock: a recovery target no earlier than this can be reached.
    pub ended_at: Timestamp,
}

/// How long a base must have been over before it began to be stored, so that no wrong clock of a server makes it an old one.
const LONG_BEFORE: SignedDuration = SignedDuration::from_hours(24);

impl BaseRange {
    /// When it was taken, for its place among other backups; storing it began at `started_at`, and it came at `arrived_at`, by the
    /// store's clock. That is its arrival, which nobody can choose. Only what was over long before it began to be stored,
    /// an import, is as old as it says itself; nothing is younger than its arrival.
    pub fn taken_at(&self, started_at: Timestamp, arrived_at: Timestamp) -> Timestamp {
        let is_old = started_at.duration_since(self.ended_at) > LONG_BEFORE;
        if is_old { self.ended_at.min(arrived_at) } else { arrived_at }
    }

    pub(super) fn check(&self) -> Result<()> {
        let malformed = |why: &str| Err(Error::Malformed { what: "manifest", why: why.into() });
        if self.start.is_invalid() || self.stop < self.start {
            return malformed("the base backup ends before it starts");
        }
        if self.ended_at < self.begun_at {
            return malformed("the base backup ended before it began");
        }
        Ok(())
    }
}

/// What is sealed of a base backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseFacts {
    /// Label given to PostgreSQL.
    pub label: String,
    /// `server_version_num`, such as 150018.
    pub server_version_num: u32,
    /// Whether the source was a standby.
    pub standby: bool,
    /// Parameters of the server that a restore should know.
    pub settings: Vec<ParameterFact>,
    /// Databases with their collations.
    pub databases: Vec<CollationFact>,
    /// Tablespaces that lie outside the data directory.
    pub tablespaces: Vec<TablespaceFact>,
    /// Where each file lies, for the stream `base` and every tablespace.
    pub index: Vec<IndexedStream>,
    /// Where the base comes from, if it was not taken but imported; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportFact>,
}

/// One parameter of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterFact {
    /// Parameter.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// How one database sorts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollationFact {
    /// The database.
    pub database: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// Who provides the collation: `c` libc, `i` ICU, `b` PostgreSQL itself.
    pub provider: String,
    /// Version of the collation data on the source.
    pub version: Option<String>,
}

/// One tablespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablespaceFact {
    /// Its OID.
    pub oid: u32,
    /// Directory on the source.
    pub location: String,
    /// The stream that holds it.
    pub stream: StreamName,
}

/// The files of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexedStream {
    /// The stream.
    pub stream: StreamName,
    /// What is in it.
    pub index: StreamIndex,
}

/// What a tar holds, in the order in which it holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamIndex {
    /// Files.
    pub files: Vec<FileEntry>,
    /// Directories.
    pub directories: Vec<DirectoryEntry>,
    /// Symbolic links: tablespaces.
    pub links: Vec<LinkEntry>,
}

/// A file: path, offset of its first byte in the stream, length, mode. An array in JSON: there are up to millions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry(pub String, pub u64, pub u64, pub u32);

/// A directory: path, mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry(pub String, pub u32);

/// A symbolic link: path, target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEntry(pub String, pub String);

impl FileEntry {
    /// Path below the root of the stream.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// Where it lies in the stream.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.1..self.1 + self.2
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.2
    }

    /// Permission bits.
    pub fn mode(&self) -> u32 {
        self.3
    }
}

/// The stream of a tablespace.
pub fn tablespace_stream(oid: u32) -> Result<StreamName> {
    format!("{TABLESPACE_STREAM}{oid}").parse()
}

impl StreamIndex {
    /// Where a name appears twice, as a directory that changes while it is read can make it, the last one counts.
    pub(in crate::format) fn keep_last_of_each(&mut self) {
        fn keep<T>(entries: &mut Vec<T>, path: impl Fn(&T) -> &str) {
            let mut seen = HashSet::new();
            let last: Vec<bool> = entries.iter().rev().map(|entry| seen.insert(path(entry).to_owned())).collect();
            let mut last = last.into_iter().rev();
            entries.retain(|_| last.next().unwrap_or(true));
        }
        keep(&mut self.files, |entry| &entry.0);
        keep(&mut self.directories, |entry| &entry.0);
        keep(&mut self.links, |entry| &entry.0);
    }

    /// Whatever a restore would do with it stays below its root and inside the stream.
    fn check(&self, stream: &str, stream_bytes: u64) -> Result<()> {
        let malformed = |why: String| Err(Error::Malformed { what: "file index", why });
        let mut names = HashSet::new();
        let leaves = self.files.iter().map(|file| &file.0).chain(self.links.iter().map(|link| &link.0));
        for path in leaves {
            check_path(path)?;
            if !names.insert(path.as_str()) {
                return malformed(format!("{path} appears twice in stream {stream}"));
            }
        }
        let directories = self.directories.iter().map(|directory| directory.0.as_str());
        let mut seen = HashSet::new();
        for path in directories {
            check_path(path)?;
            if names.contains(path) || !seen.insert(path) {
                return malformed(format!("{path} appears twice in stream {stream}"));
            }
        }
        // Nothing may lie below a file or a link: a restore would write through it.
        for path in names.iter().chain(&seen) {
            let mut above = *path;
            while let Some((parent, _)) = above.rsplit_once('/') {
                if names.contains(parent) {
                    return malformed(format!("{path} lies below {parent}, which is no directory"));
                }
                above = parent;
            }
        }
        for FileEntry(path, offset, bytes, _) in &self.files {
            if offset.checked_add(*bytes).is_none_or(|end| end > stream_bytes) {
                return malformed(format!("{path} lies beyond the end of stream {stream}"));
            }
        }
        let mut ranges: Vec<_> = self.files.iter().map(|file| (file.1, file.1 + file.2)).collect();
        ranges.sort_unstable();
        if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return malformed(format!("files of stream {stream} overlap"));
        }
        for LinkEntry(path, _) in &self.links {
            let oid = path.strip_prefix("pg_tblspc/").and_then(|oid| oid.parse::<u32>().ok());
            if stream != BASE_STREAM || oid.is_none() {
                return malformed(format!("{path} is a link, and not that of a tablespace"));
            }
        }
        Ok(())
    }
}

impl BaseFacts {
    /// Must fit the streams that the clear part has, given as names with their lengths.
    pub(super) fn check<'a>(&self, streams: impl Iterator<Item = (&'a StreamName, u64)>) -> Result<()> {
        let malformed = |why: String| Err(Error::Malformed { what: "file index", why });
        let mut streams: Vec<_> = streams.filter(|(name, _)| name.as_str() != BACKUP_MANIFEST_STREAM).collect();
        for IndexedStream { stream, index } in &self.index {
            let Some(at) = streams.iter().position(|(name, _)| *name == stream) else {
                return malformed(format!("stream {stream} is indexed and not there"));
            };
            index.check(stream.as_str(), streams.swap_remove(at).1)?;
        }
        if let Some((stream, _)) = streams.first() {
            return malformed(format!("stream {stream} is there and not indexed"));
        }
        let mut links: HashSet<String> = HashSet::new();
        for stream in self.index.iter().filter(|stream| stream.stream.as_str() == BASE_STREAM) {
            links.extend(stream.index.links.iter().map(|link| link.0.clone()));
        }
        for TablespaceFact { oid, location, stream } in &self.tablespaces {
            if tablespace_stream(*oid)? != *stream || !self.index.iter().any(|indexed| indexed.stream == *stream) {
                return malformed(format!("tablespace {oid} has no stream of its own"));
            }
            if !location.starts_with('/') || !links.remove(&format!("pg_tblspc/{oid}")) {
                return malformed(format!("tablespace {oid} at {location:?} has no link of its own"));
            }
        }
        match links.into_iter().next() {
            Some(link) => malformed(format!("{link} belongs to no tablespace")),
            None => Ok(()),
        }
    }
}

/// A path below a root: relative, in one spelling, without a way out.
pub fn check_path(path: &str) -> Result<()> {
    const PATH_BYTES_MAX: usize = 1024;
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.len() > PATH_BYTES_MAX || path.split('/').any(bad) || path.chars().any(char::is_control) {
        let why = format!("{path:?} is not a relative path in its plain spelling");
        return Err(Error::Malformed { what: "file index", why });
    }
    Ok(())
}
