//! What is stored, as far as a plan needs to know it.

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::plan::{TimelineWal, WalState};
use crate::format::manifest::{BaseRange, Kind};
use crate::format::wal::{History, WalRange};
use crate::format::{BackupId, ClusterName, KeyId, SegmentSize, Timeline};

/// Everything about one cluster.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The cluster.
    pub cluster: ClusterName,
    /// Size of its segments; `None` where nothing physical was ever stored.
    pub segment: Option<SegmentSize>,
    /// Backups whose manifest was found and is authentic.
    pub backups: Vec<BackupFact>,
    /// Folders of backups without anything named like a manifest.
    pub unfinished: Vec<UnfinishedFact>,
    /// Folders with something named like a manifest that could not be read or believed.
    pub unread: Vec<UnreadFact>,
    /// Stored WAL.
    pub wal: Vec<TimelineFact>,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFact {
    /// Its id.
    pub id: BackupId,
    /// What it is.
    pub kind: Kind,
    /// When its manifest arrived: store time, which nobody can choose. Of a copy, when that of the original did.
    pub arrived_at: Timestamp,
    /// When it began (store time, signed).
    pub started_at: Timestamp,
    /// Whether it is whole.
    pub verified: Verified,
    /// Where a base backup stands in the WAL.
    pub base: Option<BaseRange>,
    /// Its data keys.
    pub keys: Vec<KeyId>,
    /// Of a copy under other data keys: the first original.
    pub copy_of: Option<BackupId>,
    /// The whole copy under other data keys that took its place.
    pub replaced_by: Option<BackupId>,
    /// Whether a legal hold lies on its manifest.
    pub held: bool,
    /// Bytes stored.
    pub bytes: u64,
}

/// Whether a backup can be restored as far as a listing can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// Its manifest is authentic, every chunk is listed in its pinned version and length, and its wraps are there.
    Yes,
    /// What is wrong.
    No(String),
}

/// A folder that may be a backup under way, or what an interrupted one left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedFact {
    /// The id that the folder is named after.
    pub id: BackupId,
    /// When the newest of its objects arrived (store time).
    pub newest_at: Timestamp,
    /// Bytes stored.
    pub bytes: u64,
}

/// A folder of which nobody can say what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadFact {
    /// The id that the folder is named after.
    pub id: BackupId,
    /// What could not be read, or why it was not believed.
    pub why: String,
}

/// The WAL of one timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineFact {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it came from; `None` for a first timeline, or where that is not known.
    pub history: Option<History>,
    /// What is stored: disjoint, in order.
    pub windows: Vec<WalRange>,
    /// What is stored in whole pieces whose headers were authenticated. Partials below them are superseded; that of names
    /// alone nobody knows: whoever may write can plant a name.
    pub proven: Vec<WalRange>,
    /// When its newest WAL was sealed (store time).
    pub newest_at: Option<Timestamp>,
    /// When the last transaction in it ended, by the server's clock; `None` if none did, or it was not asked.
    pub last_commit: Option<Timestamp>,
}

impl BackupFact {
    /// Whether it may stand for its moment: it is whole, and no copy took its place.
    pub(super) fn is_current(&self) -> bool {
        self.verified == Verified::Yes && self.replaced_by.is_none()
    }

    /// When it was taken: when it arrived, or before that, if it is an imported base.
    pub(super) fn taken_at(&self) -> Timestamp {
        self.base.as_ref().map_or(self.arrived_at, |base| base.taken_at(self.started_at, self.arrived_at))
    }

    /// Where it stands among all: by age, of which stores tell whole seconds, and within one by its beginning.
    pub(super) fn rank(&self) -> (Timestamp, Timestamp, &BackupId) {
        (self.taken_at(), self.started_at, &self.id)
    }

    /// When it came, against others.
    pub(super) fn arrival(&self) -> (Timestamp, Timestamp, &BackupId) {
        (self.arrived_at, self.started_at, &self.id)
    }
}

impl Facts {
    /// The stored WAL as recovery plans see it.
    pub fn wal_state(&self) -> WalState {
        let wal = |fact: &TimelineFact| TimelineWal {
            windows: fact.windows.iter().map(|window| (window.start, window.end)).collect(),
            ancestors: fact
                .history
                .as_ref()
                .map(|history| history.ancestors.iter().map(|entry| (entry.timeline, entry.switch)).collect()),
        };
        let stored = self.wal.iter().filter(|fact| !fact.windows.is_empty() || fact.history.is_some());
        let timelines = stored.map(|fact| (fact.timeline, wal(fact))).collect();
        WalState { segment: self.segment.unwrap_or(SegmentSize::DEFAULT), timelines }
    }
}
