//! Segments fetched ahead, in a directory beside the file asked for: the next calls find them there without a request.
//!
//! The directory belongs to one restore. A stamp says whose WAL is in it; with another stamp it is emptied. Only whole
//! segments lie there, each written under a temporary name, made durable, renamed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::output::{fault, sync_directory};
use super::{RepositoryOptions, Result, directory};
use crate::commands::wal_push::header_of;
use crate::format::wal::ClusterRecord;
use crate::format::{ClusterName, Lsn, SegmentName, SegmentSize, WalFileName};

const NAME: &str = "stonewal.ahead";
const STAMP: &str = "stamp";

/// Whose WAL lies in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stamp {
    location: String,
    cluster: String,
    /// PostgreSQL's system identifier.
    pub(super) system_identifier: u64,
    /// Size of segments.
    pub(super) segment_bytes: SegmentSize,
    /// The last call met the end of WAL: it is not worth looking beyond it again at once.
    pub(super) alone: bool,
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    location: String,
    cluster: String,
}

impl Spool {
    pub(super) fn beside(to: &Path, repository: &RepositoryOptions, cluster: &ClusterName) -> Self {
        let endpoint = repository.s3.endpoint.as_deref().unwrap_or_default();
        let location = format!("{endpoint} s3://{}/{}", repository.s3.bucket, repository.prefix);
        Self { folder: directory(to).join(NAME), location, cluster: cluster.to_string() }
    }

    /// The directory itself.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What an earlier call of the same restore knew.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let text = std::fs::read(self.folder.join(STAMP)).ok()?;
        let stamp: Stamp = serde_json::from_slice(&text).ok()?;
        (stamp.location == self.location && stamp.cluster == self.cluster).then_some(stamp)
    }

    pub(super) fn stamp_of(&self, record: &ClusterRecord) -> Stamp {
        Stamp {
            location: self.location.clone(),
            cluster: self.cluster.clone(),
            system_identifier: record.system_identifier,
            segment_bytes: record.segment_bytes,
            alone: false,
        }
    }

    /// Moves a segment to where it is wanted, if it lies here and is what it should be.
    pub(super) fn take(&self, segment: SegmentName, to: &Path) -> Result<bool> {
        let Some(stamp) = self.stamp() else { return Ok(false) };
        let spooled = self.path(segment);
        if !is_whole(&spooled, segment, &stamp) {
            let _ = std::fs::remove_file(&spooled);
            return Ok(false);
        }
        let moved = std::fs::rename(&spooled, to).and_then(|()| sync_directory(directory(to)));
        moved.map(|()| true).map_err(|error| fault(to, &error))
    }

    /// The path of a segment.
    pub(super) fn path(&self, segment: SegmentName) -> PathBuf {
        self.folder.join(segment.to_string())
    }

    /// The next `most` segments that are not here yet, after the directory was made ready for them: what else lies in it is
    /// removed. `None` if it cannot be made: looking ahead is a convenience.
    pub(super) fn missing(&self, segment: SegmentName, most: usize, stamp: &Stamp) -> Option<Vec<SegmentName>> {
        let start = segment.start(stamp.segment_bytes)?;
        let bytes = stamp.segment_bytes.bytes();
        let next =
            |n: u64| SegmentName::holding(segment.timeline, Lsn::new(start.get() + n * bytes), stamp.segment_bytes);
        let wanted: Vec<SegmentName> = (1..=most as u64).map(next).collect();
        let is_ours = self.stamp().is_some();
        std::fs::create_dir_all(&self.folder).ok()?;
        for entry in std::fs::read_dir(&self.folder).ok()?.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let kept = is_ours && matches!(name.parse(), Ok(WalFileName::Segment(name)) if wanted.contains(&name));
            if !kept && name != STAMP {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        self.write(stamp)?;
        Some(wanted.into_iter().filter(|name| !self.path(*name).exists()).collect())
    }

    /// Notes whether the end of WAL was met.
    pub(super) fn alone(&self, stamp: &Stamp, alone: bool) {
        if stamp.alone != alone && self.folder.is_dir() {
            self.write(&Stamp { alone, ..stamp.clone() });
        }
    }

    fn write(&self, stamp: &Stamp) -> Option<()> {
        let file = tempfile::NamedTempFile::new_in(&self.folder).ok()?;
        std::fs::write(file.path(), serde_json::to_vec(stamp).ok()?).ok()?;
        file.persist(self.folder.join(STAMP)).ok()?;
        Some(())
    }

    /// Removes the directory with all that is in it.
    pub(super) fn clear(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether a file is the whole segment `name` of the cluster that `stamp` tells of.
pub(super) fn is_whole(path: &Path, name: SegmentName, stamp: &Stamp) -> bool {
    let Ok((Ok(header), bytes)) = header_of(path) else { return false };
    header.expect(name, bytes).is_ok()
        && header.system_identifier == stamp.system_identifier
        && header.segment_bytes == stamp.segment_bytes
}
