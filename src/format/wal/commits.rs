//! When the transactions in a stretch of WAL ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Times of the earliest and the latest COMMIT or ABORT record, by the server's clock as the records have it. The clock
/// may step back: neither need be that of the first or last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commits {
    /// The earliest.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
}

impl Commits {
    /// Those of one record.
    pub fn at(time: Timestamp) -> Self {
        Self { first: time, last: time }
    }

    /// Those of two stretches together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// The same of stretches that may have none.
    pub fn join(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        }
    }
}
