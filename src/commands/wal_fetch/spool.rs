//! Segments fetched ahead, in a directory below `pg_wal`: the next calls find them there without a request.
//!
//! Only a recovery has one, which asks for `pg_wal/RECOVERYXLOG` (`src/backend/access/transam/xlogrecovery.c`): whoever else
//! runs a restore_command, such as pg_rewind, does not read on, and would leave it behind. The directory belongs to one
//! restore. A stamp says whose WAL is in it; with another stamp it is emptied. Only whole segments lie there, each written
//! under a temporary name, made durable, renamed.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::output::fault;
use super::{RepositoryOptions, Result, directory};
use crate::commands::wal_push::header_of;
use crate::format::wal::ClusterRecord;
use crate::format::{ClusterName, Lsn, SegmentName, SegmentSize, WalFileName};

const NAME: &str = "stonewal.ahead";
/// What PostgreSQL has a recovery's segments and histories written to.
const ASKED_FOR: [&str; 2] = ["pg_wal/RECOVERYXLOG", "pg_wal/RECOVERYHISTORY"];
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
    /// `None` if it is no recovery that asks.
    folder: Option<PathBuf>,
    location: String,
    cluster: String,
}

impl Spool {
    pub(super) fn beside(to: &Path, repository: &RepositoryOptions, cluster: &ClusterName) -> Self {
        let endpoint = repository.s3.endpoint.as_deref().unwrap_or_default();
        let location = format!("{endpoint} s3://{}/{}", repository.s3.bucket, repository.prefix);
        let recovers = ASKED_FOR.iter().any(|name| to.ends_with(name));
        Self { folder: recovers.then(|| directory(to).join(NAME)), location, cluster: cluster.to_string() }
    }

    /// The directory itself, if it is there: what is written in it under a temporary name goes with it.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|folder| folder.is_dir())
    }

    /// What an earlier call of the same restore knew.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let text = std::fs::read(self.folder.as_ref()?.join(STAMP)).ok()?;
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
        let Some((stamp, spooled)) = self.stamp().zip(self.path(segment)) else { return Ok(false) };
        if !is_whole(&spooled, segment, &stamp) {
            let _ = std::fs::remove_file(&spooled);
            return Ok(false);
        }
        // Its content is durable, and PostgreSQL makes the name so that it gives it.
        std::fs::rename(&spooled, to).map(|()| true).map_err(|error| fault(to, &error))
    }

    /// The path of a segment.
    pub(super) fn path(&self, segment: SegmentName) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(segment.to_string()))
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
        let folder = self.folder.as_ref()?;
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return None,
            _ => {}
        }
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let kept = is_ours && matches!(name.parse(), Ok(WalFileName::Segment(name)) if wanted.contains(&name));
            if !kept && name != STAMP {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        self.write(stamp)?;
        Some(wanted.into_iter().filter(|name| !folder.join(name.to_string()).exists()).collect())
    }

    /// Notes whether the end of WAL was met.
    pub(super) fn alone(&self, stamp: &Stamp, alone: bool) {
        if stamp.alone != alone && self.folder().is_some() {
            self.write(&Stamp { alone, ..stamp.clone() });
        }
    }

    fn write(&self, stamp: &Stamp) -> Option<()> {
        let folder = self.folder.as_ref()?;
        let file = tempfile::NamedTempFile::new_in(folder).ok()?;
        std::fs::write(file.path(), serde_json::to_vec(stamp).ok()?).ok()?;
        file.persist(folder.join(STAMP)).ok()?;
        Some(())
    }

    /// Removes the directory with all that is in it.
    pub(super) fn clear(&self) {
        let _ = self.folder.as_ref().map(std::fs::remove_dir_all);
    }
}

/// Whether a file is the whole segment `name` of the cluster that `stamp` tells of.
pub(super) fn is_whole(path: &Path, name: SegmentName, stamp: &Stamp) -> bool {
    let Ok((Ok(header), bytes)) = header_of(path) else { return false };
    header.expect(name, bytes).is_ok()
        && header.system_identifier == stamp.system_identifier
        && header.segment_bytes == stamp.segment_bytes
}
