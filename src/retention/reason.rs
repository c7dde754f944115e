//! Why something stays or goes, in words that an auditor can check.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::Period;
use crate::format::BackupId;
use crate::format::manifest::Kind;

/// One reason. As JSON: `rule`, a name that stays the same, and `text`, a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Keep: its moment lies in the recovery window.
    Window(SignedDuration),
    /// Keep: a base from which moments in the recovery window are reached.
    WindowBase {
        /// Length of the window.
        window: SignedDuration,
        /// The first of those moments.
        from: Timestamp,
        /// The base that takes over, and makes this one superfluous once the window begins behind its end.
        next: Option<BackupId>,
    },
    /// Keep, WAL: moments in the recovery window are reached through it.
    WindowWal {
        /// Length of the window.
        window: SignedDuration,
        /// The base that it follows.
        base: BackupId,
    },
    /// Keep, WAL: it follows the newest base.
    NewestWal(BackupId),
    /// Keep, WAL: it follows a base under legal hold, up to the next base.
    HeldWal(BackupId),
    /// Keep, WAL: it follows a base that arrived later than now.
    FutureWal(BackupId),
    /// Keep, WAL: no whole base leads to it, and nobody else may have it.
    WalWithoutBase,
    /// Keep: one of the newest.
    NewestOf {
        /// How many are kept.
        count: u32,
        /// Of this kind.
        kind: Kind,
    },
    /// Keep: fewer than that must never be left.
    Redundancy {
        /// How many.
        count: u32,
        /// Of this kind.
        kind: Kind,
    },
    /// Keep: the first of its calendar period.
    First {
        /// Kind of the period.
        period: Period,
        /// The period.
        name: String,
    },
    /// Keep: named in `retention.keep`.
    Marked,
    /// Keep: a copy of what is named in `retention.keep`.
    MarkedOriginal(BackupId),
    /// Keep: a legal hold lies on it.
    Hold,
    /// Keep: it arrived later than now.
    Future(Timestamp),
    /// Keep: a backup may still be under way.
    Unfinished(SignedDuration),
    /// Keep: what is kept cannot be read without it.
    Needed,
    /// Keep: a data key of a backup that is kept.
    KeyOf(BackupId),
    /// Expire: a copy under other data keys took its place.
    Replaced(BackupId),
    /// Expire: no rule keeps it.
    NoRule,
    /// Expire: it is not whole, and its time is over.
    NotWhole(String),
    /// Expire: a backup that never finished.
    Abandoned(Timestamp),
    /// Expire, WAL: no base that is kept and no moment of the window needs it.
    UnneededWal,
    /// Expire: a whole piece holds the same.
    Superseded,
    /// Expire: a data key of a backup that expires.
    KeyOfExpired(BackupId),
    /// Expire: left by a check.
    Canary,
    /// Leave: there is no whole backup of its kind that could stand in.
    NothingBetter {
        /// What is wrong with it.
        why: String,
        /// Its kind.
        kind: Kind,
    },
    /// Leave: what bears the name of its manifest could not be read or believed.
    Unread(String),
    /// Leave, WAL: a backup of that time cannot be read now, and may need it.
    UnreadBackup(BackupId),
    /// Leave: nothing tells how long it is needed.
    NoneKept,
    /// Leave: no backup known here uses this key.
    UnknownKey,
    /// Leave: it came after the plan was made, or nothing genuine was found under its timeline.
    Unplanned,
    /// Leave: locked once when it was written, and never changed.
    OwnLock,
    /// Leave: another cluster's plan tells.
    OtherCluster,
    /// Leave: stonewal names nothing so.
    Unknown,
}

impl Reason {
    /// Its name, which stays the same.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Window(_) | Self::WindowBase { .. } | Self::WindowWal { .. } => "window",
            Self::NewestWal(_) => "newest-base",
            Self::HeldWal(_) | Self::Hold => "hold",
            Self::WalWithoutBase => "no-base",
            Self::NewestOf { .. } => "keep-last",
            Self::Redundancy { .. } => "min-redundancy",
            Self::First { period: Period::Day, .. } => "daily",
            Self::First { period: Period::Week, .. } => "weekly",
            Self::First { period: Period::Month, .. } => "monthly",
            Self::First { period: Period::Year, .. } => "yearly",
            Self::Marked | Self::MarkedOriginal(_) => "keep",
            Self::Future(_) | Self::FutureWal(_) => "future",
            Self::Unfinished(_) => "unfinished",
            Self::Needed => "needed",
            Self::KeyOf(_) | Self::KeyOfExpired(_) => "key",
            Self::Replaced(_) => "replaced",
            Self::NoRule => "no-rule",
            Self::NotWhole(_) | Self::NothingBetter { .. } => "not-whole",
            Self::Abandoned(_) => "abandoned",
            Self::UnneededWal => "unneeded",
            Self::Superseded => "superseded",
            Self::Canary => "canary",
            Self::Unread(_) | Self::UnreadBackup(_) => "unread",
            Self::NoneKept => "none-kept",
            Self::UnknownKey => "unknown-key",
            Self::Unplanned => "unplanned",
            Self::OwnLock => "own-lock",
            Self::OtherCluster => "other-cluster",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => write!(f, "recovery window of {}", span(*window)),
            Self::WindowBase { window, from, next } => {
                write!(f, "recovery window of {}: base for moments from {} on", span(*window), second(*from))?;
                next.as_ref().map_or(Ok(()), |next| write!(f, ", until base {next} takes over"))
            }
            Self::WindowWal { window, base } => write!(f, "recovery window of {}: follows base {base}", span(*window)),
            Self::NewestWal(base) => write!(f, "follows the newest base, {base}"),
            Self::HeldWal(base) => write!(f, "legal hold of base {base}, up to the next base"),
            Self::FutureWal(base) => write!(f, "follows base {base}, which arrived in the future"),
            Self::WalWithoutBase => f.write_str("no whole base leads to it: kept until one does"),
            Self::NewestOf { count, kind } => write!(f, "one of the newest {count} {kind}s"),
            Self::Redundancy { count, kind } => write!(f, "minimum redundancy of {count} {kind}s"),
            Self::First { period, name } => write!(f, "{period}, first of {name}"),
            Self::Marked => f.write_str("marked keep"),
            Self::MarkedOriginal(original) => write!(f, "copy of {original}, which is marked keep"),
            Self::Hold => f.write_str("legal hold"),
            Self::Future(at) => write!(f, "arrived at {}, which is in the future: it counts for nothing", second(*at)),
            Self::Unfinished(age) => write!(f, "may be under way: something arrived within {}", span(*age)),
            Self::Needed => f.write_str("what is kept needs it"),
            Self::KeyOf(backup) => write!(f, "key of backup {backup}"),
            Self::Replaced(copy) => write!(f, "its copy {copy}, under other data keys, took its place"),
            Self::NoRule => f.write_str("no rule keeps it"),
            Self::NotWhole(why) => write!(f, "not whole ({why}), and no longer in the window"),
            Self::Abandoned(at) => write!(f, "never finished; nothing arrived since {}", second(*at)),
            Self::UnneededWal => f.write_str("no base that is kept and no moment of the window needs it"),
            Self::Superseded => f.write_str("superseded by a whole piece"),
            Self::KeyOfExpired(backup) => write!(f, "key of backup {backup}, which expires"),
            Self::Canary => f.write_str("left by a check of the store"),
            Self::NothingBetter { why, kind } => {
                write!(f, "not whole ({why}), and there is no whole {kind} to stand in for it")
            }
            Self::Unread(why) => write!(f, "its manifest cannot be read or believed: {why}"),
            Self::UnreadBackup(backup) => write!(f, "backup {backup} cannot be read or believed, and may need it"),
            Self::NoneKept => f.write_str("nothing that is kept tells how long it is needed"),
            Self::UnknownKey => f.write_str("no backup known here uses this key"),
            Self::Unplanned => {
                f.write_str("not in the plan: it arrived later, or nothing genuine lies on its timeline")
            }
            Self::OwnLock => f.write_str("has a lock of its own"),
            Self::OtherCluster => f.write_str("belongs to another cluster"),
            Self::Unknown => f.write_str("not named like anything of ours"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Reason", 2)?;
        fields.serialize_field("rule", self.rule())?;
        fields.serialize_field("text", &self.to_string())?;
        fields.end()
    }
}

/// `35 d`, or hours, minutes or seconds where it is no whole number of more.
pub(super) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    let units = [(24 * 3600, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds % unit == 0).unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

/// `2026-11-24T03:15:00Z`.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
