//! What is known of a cluster's recoverability, before anyone judges it.

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Diverging;
use crate::format::manifest::Kind;
use crate::format::{BackupId, Lsn, SegmentSize, Timeline};

/// What the bucket holds of one cluster.
#[derive(Clone, Debug, Serialize)]
pub struct BucketFacts {
    /// The store's clock. All ages are measured by it.
    pub now: Timestamp,
    /// The cluster that the bucket holds, from its cluster record or its newest base backup. As text in JSON.
    #[serde(serialize_with = "super::as_text")]
    pub system_identifier: Option<u64>,
    /// Size of its WAL segments.
    pub segment_bytes: Option<SegmentSize>,
    /// Timelines with WAL, the oldest first.
    pub timelines: Vec<TimelineFacts>,
    /// Base backups, by the time of their arrival.
    pub bases: Vec<BaseBackup>,
    /// The newest dump, if there are dumps.
    pub newest_dump: Option<BackupFacts>,
    /// How far WAL of the server's timeline (without a server: of the newest one) is durable.
    pub durable: Option<Durable>,
    /// What the newest base backup and the WAL after it can restore.
    pub window: Option<Window>,
    /// Why no base backup leads to the present, where there are base backups.
    pub blocked: Option<Blocked>,
    /// WAL near the end that counts as stored, and whose store does not hand it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<UnreadWal>,
    /// Whether the latest timeline is not the one that lives.
    pub diverging: Option<Diverging>,
    /// Locks of what that window needs, or else the newest dump.
    pub locks: Locks,
}

impl BucketFacts {
    /// The newest base backup.
    pub fn newest_base(&self) -> Option<&BaseBackup> {
        self.bases.last()
    }

    /// Every gap, with its timeline.
    pub fn gaps(&self) -> impl Iterator<Item = (Timeline, &Gap)> {
        self.timelines.iter().flat_map(|line| line.gaps.iter().map(|gap| (line.timeline, gap)))
    }
}

/// WAL of one timeline.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineFacts {
    /// Which one.
    pub timeline: Timeline,
    /// Where it left its parent; `None` for the first one, or when its history is not stored.
    pub parent: Option<Branch>,
    /// WAL without a hole, in order.
    pub windows: Vec<Span>,
    /// What lies between the windows, and what was recorded as lost.
    pub gaps: Vec<Gap>,
    /// When its newest WAL arrived.
    pub arrived_at: Option<Timestamp>,
    /// Base backups that started on it.
    pub bases: u64,
}

/// Where a timeline left another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Branch {
    /// The older timeline.
    pub timeline: Timeline,
    /// The position.
    pub at: Lsn,
}

/// WAL from one position up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First byte.
    pub start: Lsn,
    /// First byte no longer in it.
    pub end: Lsn,
}

/// WAL that is not in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Where it lies.
    #[serde(flatten)]
    pub span: Span,
    /// Whether the streamer recorded it; else it was found by looking.
    pub recorded: bool,
    /// Whether the newest base backup would have to be rolled forward through it.
    pub matters: bool,
}

/// WAL that cannot be read now, so that nobody knows whether it is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadWal {
    /// Its timeline.
    pub timeline: Timeline,
    /// Where it lies.
    #[serde(flatten)]
    pub span: Span,
    /// What the store said.
    pub why: String,
    /// What to do about that.
    pub hint: Option<String>,
}

/// Any backup.
#[derive(Clone, Debug, Serialize)]
pub struct BackupFacts {
    /// Its id.
    pub backup: BackupId,
    /// What it is.
    pub kind: Kind,
    /// When its manifest arrived; of an imported base, when that was taken.
    pub arrived_at: Timestamp,
    /// Until when it is locked, as its manifest says.
    pub locked_until: Option<Timestamp>,
}

/// A base backup.
#[derive(Clone, Debug, Serialize)]
pub struct BaseBackup {
    /// As any backup.
    #[serde(flatten)]
    pub backup: BackupFacts,
    /// Its timeline.
    pub timeline: Timeline,
    /// Where replay begins.
    pub start: Lsn,
    /// Where it is consistent.
    pub stop: Lsn,
    /// When it had ended, by the server's clock: the earliest moment that it restores.
    pub ended_at: Timestamp,
}

/// How far WAL is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Durable {
    /// On this timeline.
    pub timeline: Timeline,
    /// Up to here, without a hole.
    pub lsn: Lsn,
    /// When the object that reaches there arrived (store time): nobody can choose it.
    pub arrived_at: Timestamp,
}

/// Why the way to the present cannot even begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
}

/// Moments that can be restored, by the server's clock.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// The base backup nearest to its end.
    pub base: BackupId,
    /// The earliest moment from which on there is no gap.
    pub earliest_at: Timestamp,
    /// The newest commit in durable WAL; `None` if no commit came after the base backup.
    pub latest_commit_at: Option<Timestamp>,
    /// Where durable WAL without a hole ends.
    pub end: Lsn,
}

/// Locks of what the newest base backup and the WAL after it consist of. Not every object is asked: the manifest, the first
/// and the last chunk, the keys, the identity bundle, the certificate, the oldest WAL that is needed, and the newest. Where there
/// is no base backup: of the newest dump.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Locks {
    /// What the newest backup is; `None` if there is none.
    pub kind: Option<Kind>,
    /// The first one to end.
    pub soonest: Option<LockEnd>,
    /// Objects asked for their lock.
    pub asked: u64,
    /// An object among them without any lock, where everything should be locked.
    pub unlocked: Option<String>,
    /// An object whose lock ends before that of the manifest that needs it.
    pub short: Option<ShortLock>,
}

/// A lock that ends too early.
#[derive(Clone, Debug, Serialize)]
pub struct ShortLock {
    /// The object.
    pub key: String,
    /// Until when it is locked.
    pub until: Timestamp,
    /// Until when the manifest is that needs it.
    pub needed_until: Timestamp,
}

/// The end of a lock.
#[derive(Clone, Debug, Serialize)]
pub struct LockEnd {
    /// The object.
    pub key: String,
    /// Until when it is locked.
    pub until: Timestamp,
}
