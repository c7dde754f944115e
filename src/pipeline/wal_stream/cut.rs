//! What is to be stored.

use bytes::Bytes;

use crate::format::wal::Commits;
use crate::format::{Lsn, Timeline};

/// Why bytes were cut off, which decides name and lock of their object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// A whole piece: canonical name, full lock.
    Whole,
    /// The newest bytes of the current piece, so that they are durable soon: short lock, since the whole piece follows.
    Partial,
    /// The bytes of several partials in one, so that reading an unfinished piece takes few requests: short lock.
    Merged,
    /// The beginning of a piece whose rest will never come, because its timeline has ended: full lock.
    Tail,
}

/// A range of WAL inside one piece, with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its timeline.
    pub timeline: Timeline,
    /// First byte.
    pub start: Lsn,
    /// Behind the last byte.
    pub end: Lsn,
    /// What it is.
    pub kind: CutKind,
    /// The WAL.
    pub bytes: Bytes,
    /// When the first and the last transaction inside ended.
    pub commits: Option<Commits>,
}

impl std::fmt::Debug for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}@{}..{}", self.kind, self.timeline, self.start, self.end)
    }
}

/// Stands for a cut that is being stored; [`super::Flow::acknowledge`] takes it back.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) start: Lsn,
    pub(super) end: Lsn,
    pub(super) kind: CutKind,
}
