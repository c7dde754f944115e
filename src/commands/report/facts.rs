//! What a report says of one cluster.

use jiff::Timestamp;
use serde::Serialize;

use super::checklist::Point;
use crate::commands::status::{Branch, Health, Locks, Reason, Window, as_text};
use crate::format::evidence::Evidence;
use crate::format::manifest::Kind;
use crate::format::{BackupId, ClusterName, Lsn, Timeline};
use crate::retention::Verified;
use crate::store::LockMode;

/// One cluster.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterReport {
    /// Its name.
    pub cluster: ClusterName,
    /// Whether every backup was imported and nothing is streamed: nothing is written to it any more, so that neither new
    /// backups nor WAL up to now nor drills are asked for.
    pub archive: bool,
    /// Its system identifier, where something physical is stored. As text in JSON.
    #[serde(serialize_with = "as_text")]
    pub system_identifier: Option<u64>,
    /// The verdict, as `status --offline` gives it.
    pub health: Health,
    /// Every reason not to be green, the worst first.
    pub reasons: Vec<Reason>,
    /// What the newest base backup and the WAL after it restore.
    pub window: Option<Window>,
    /// When recovery is possible, as far as stored WAL tells: from the end of a base backup on until WAL behind it stops.
    pub restorable: Vec<Period>,
    /// Stored WAL and what is missing of it, by timeline.
    pub wal: Vec<Line>,
    /// Backups, by arrival.
    pub backups: Vec<BackupRow>,
    /// What drills left in evidence, the newest first.
    pub drills: Vec<Evidence>,
    /// The checklist.
    pub checklist: Vec<Point>,
    /// When something physical was first stored of it.
    pub physical_since: Option<Timestamp>,
    /// Folders of backups that never finished, or whose manifest is not believed.
    pub unfinished: u64,
    /// So far back recovery must be possible (retention.window), in seconds.
    pub policy_window_seconds: u64,
    /// For so long locks of what is needed must last (status.min_lock), in seconds.
    pub min_lock_seconds: u64,
    /// Which lock ends first of what the newest base backup needs to be recovered to the end of the stored WAL.
    pub locks: Locks,
    /// Why there is no retention plan; backups then have no end.
    pub no_plan: Option<String>,
}

impl ClusterReport {
    /// Drills that read the repository, the newest first: one of a replica alone proves nothing about it.
    pub fn own_drills(&self) -> impl Iterator<Item = &Evidence> {
        self.drills.iter().filter(|drill| drill.replica().is_none())
    }

    /// Whether no base backup leads beyond its own end, although there are some.
    pub fn is_stranded(&self) -> bool {
        self.window.is_none() && self.backups.iter().any(|row| row.kind == Kind::Base)
    }
}

/// From one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// The first.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
}

/// WAL of one timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which one.
    pub timeline: Timeline,
    /// Where it left its parent.
    pub parent: Option<Branch>,
    /// WAL without a hole, in order.
    pub runs: Vec<Run>,
    /// What is missing.
    pub missing: Vec<Missing>,
}

/// WAL without a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// First byte.
    pub start: Lsn,
    /// First byte no longer in it.
    pub end: Lsn,
    /// When its first and its last byte arrived (store time); `None` if the listing did not tell.
    pub arrived: Option<Period>,
}

/// WAL that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// First byte.
    pub start: Lsn,
    /// First byte that is there again.
    pub end: Lsn,
    /// Between the arrivals of what lies around it.
    pub around: Option<Period>,
    /// Whether the streamer recorded it; else it was found by looking.
    pub recorded: bool,
    /// Whether the newest base backup would have to be rolled forward through it.
    pub matters: bool,
}

/// One backup.
#[derive(Clone, Debug, Serialize)]
pub struct BackupRow {
    /// Its id.
    pub backup: BackupId,
    /// What it is.
    pub kind: Kind,
    /// When its manifest arrived (store time).
    pub arrived_at: Timestamp,
    /// How long it took, in seconds.
    pub took_seconds: u64,
    /// Version of the server.
    pub server_version: String,
    /// Plain bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Short id of the writer that signed it.
    pub writer: String,
    /// Whether a listing shows every object that it pins.
    pub whole: Verified,
    /// Whether a legal hold lies on it.
    pub held: bool,
    /// `keep`, `expire` or `leave`; `None` without a plan.
    pub plan: Option<&'static str>,
    /// Until when the plan needs it.
    pub needed_until: Option<Timestamp>,
    /// The plan's reasons, the longest first.
    pub why: Vec<String>,
    /// Until when its manifest is locked now.
    pub locked_until: Option<Timestamp>,
    /// In which mode.
    #[serde(serialize_with = "mode")]
    pub lock_mode: Option<LockMode>,
    /// What that comes to.
    pub lock: LockState,
}

/// How a lock stands to what needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockState {
    /// The backup is needed and nothing locks it, where everything should be locked.
    Unlocked,
    /// The backup is needed, and its lock ends before `status.min_lock` is over, or has ended.
    EndsSoon,
    /// It ends before the need does: `retention extend` will lengthen it.
    ToExtend,
    /// It lasts as long as the backup is needed.
    Enough,
    /// Nothing needs the backup any more.
    NotNeeded,
    /// This repository locks nothing.
    NoLocks,
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference to the field")]
fn mode<S: serde::Serializer>(mode: &Option<LockMode>, serializer: S) -> Result<S::Ok, S::Error> {
    mode.map(|mode| mode.to_string()).serialize(serializer)
}
