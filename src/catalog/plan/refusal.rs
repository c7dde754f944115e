//! Why a target cannot be reached.

use jiff::Timestamp;

use super::Goal;
use crate::format::{BackupId, Lsn, Timeline};

/// A recovery that would fail, or end somewhere else than asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The cluster has no base backup.
    #[error("the cluster has no base backup")]
    NoBase,
    /// No base backup lies on the way to a timeline.
    #[error("no base backup leads to timeline {timeline}: all were made on other branches")]
    NoBaseOn {
        /// The timeline.
        timeline: Timeline,
    },
    /// No base has this id.
    #[error("{base} is no base backup of the cluster")]
    UnknownBase {
        /// The id.
        base: BackupId,
    },
    /// Nothing of this timeline is stored.
    #[error("nothing of timeline {timeline} is stored")]
    UnknownTimeline {
        /// The timeline.
        timeline: Timeline,
    },
    /// Without its history nobody knows where the timeline branched off.
    #[error("the history of timeline {timeline} is not stored, so where it branched off is not known")]
    NoHistory {
        /// The timeline.
        timeline: Timeline,
    },
    /// The timeline branched off before the base was made.
    #[error("timeline {timeline} branched off before base {base} was made, or never came by it")]
    NotOnPath {
        /// The base.
        base: BackupId,
        /// The timeline.
        timeline: Timeline,
    },
    /// Before the first base is consistent.
    #[error("the target lies before the end of base {base}: recovery is possible from {time} ({lsn}) on")]
    TooEarly {
        /// What was asked for.
        goal: Goal,
        /// The earliest base.
        base: BackupId,
        /// The earliest moment.
        time: Timestamp,
        /// The earliest position.
        lsn: Lsn,
    },
    /// After the last stored WAL.
    #[error("the target {lsn} lies behind the stored WAL: recovery is possible from {from} to {end}")]
    LsnTooLate {
        /// The position.
        lsn: Lsn,
        /// From where on recovery is possible.
        from: Lsn,
        /// Where it ends.
        end: Lsn,
    },
    /// No commit behind the moment is stored.
    #[error("no transaction after {time} is stored: recovery is possible from {earliest} to {}", last_word(.last.as_ref()))]
    TimeTooLate {
        /// The moment.
        time: Timestamp,
        /// The earliest moment.
        earliest: Timestamp,
        /// The last commit.
        last: Option<Timestamp>,
    },
    /// The moment lies in WAL that is missing.
    #[error(
        "{time} lies in or behind a gap: WAL of timeline {timeline} is missing from {from} to {to}, and the last commit before it is of {last}"
    )]
    TimeInGap {
        /// The moment.
        time: Timestamp,
        /// The last commit before the gap.
        last: Timestamp,
        /// Where the gap begins.
        from: Lsn,
        /// Where it ends.
        to: Lsn,
        /// On which timeline.
        timeline: Timeline,
    },
    /// WAL is missing on the way.
    #[error("WAL of timeline {timeline} is missing from {from} to {to}: recovery is possible up to {from} only")]
    Gap {
        /// Where the gap begins.
        from: Lsn,
        /// Where it ends.
        to: Lsn,
        /// On which timeline.
        timeline: Timeline,
    },
    /// The WAL ends before the branch to the next timeline.
    #[error("WAL of timeline {timeline} ends at {from}, before timeline {target} branched off")]
    Unconnected {
        /// Where it ends.
        from: Lsn,
        /// On which timeline.
        timeline: Timeline,
        /// The timeline asked for.
        target: Timeline,
    },
}

impl Refusal {
    /// Whether it is for WAL that is missing, as far as that can be read.
    pub fn is_for_wal(&self) -> bool {
        matches!(
            self,
            Self::LsnTooLate { .. }
                | Self::TimeTooLate { .. }
                | Self::TimeInGap { .. }
                | Self::Gap { .. }
                | Self::Unconnected { .. }
        )
    }

    /// What the operator should do.
    pub fn hint(&self) -> String {
        match self {
            Self::NoBase => "run `stonewal backup base`; a dump cannot be rolled forward".into(),
            Self::UnknownBase { .. } => "`stonewal list` shows the ids; a base has kind base".into(),
            Self::NoBaseOn { .. } | Self::NotOnPath { .. } => "name another timeline with --target-timeline; `stonewal restore base --plan` shows the way that each takes".into(),
            Self::UnknownTimeline { .. } => "`stonewal wal verify` lists the timelines".into(),
            Self::NoHistory { .. } => "push the file NNNNNNNN.history of that timeline from a server's pg_wal: `stonewal wal push --from pg_wal`".into(),
            Self::TooEarly { .. } => "name a later target, or an older base if `stonewal list` shows one".into(),
            Self::LsnTooLate { .. } => "leave the target out to recover to the end of the stored WAL: PostgreSQL stops at a record that begins at the target or behind it, and none is stored".into(),
            Self::TimeTooLate { .. } => "leave the target out to recover to the end of the stored WAL; times are the server's".into(),
            Self::TimeInGap { .. } | Self::Gap { .. } | Self::Unconnected { .. } => "name a target before the gap, or a base after it; `stonewal wal push --from pg_wal` repairs it if a server still has the WAL".into(),
        }
    }
}

fn last_word(last: Option<&Timestamp>) -> String {
    last.map_or_else(|| "the end of the base only".into(), Timestamp::to_string)
}
