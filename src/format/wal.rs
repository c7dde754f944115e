//! Stored WAL: ranges of the log and the small files that go with it, each one object that needs no other to be read.
//!
//! A *piece* is the unit in which finished WAL is stored: as long as a segment, but never longer than
//! [`WAL_PIECE_BYTES_MAX`], and aligned to its own length. What is stored before a piece is complete is a *partial*.

mod commits;
mod encoded;
mod header;
mod history;
mod page;
mod record;
mod scan;

use serde::{Deserialize, Serialize};

pub use commits::Commits;
pub use encoded::Base64;
pub use header::{BodyRecord, PlainRecord, WalHead, WalHeader};
pub use history::{History, HistoryEntry};
pub use page::SegmentHeader;
pub use record::{ClusterRecord, GapRecord};
pub use scan::CommitScanner;

use super::{Error, Lsn, Result, SegmentSize, Timeline, WalFileName};
use crate::limits::WAL_PIECE_BYTES_MAX;

/// Length of a piece of a cluster with segments of this size.
pub fn piece_bytes(segment: SegmentSize) -> u64 {
    segment.bytes().min(WAL_PIECE_BYTES_MAX as u64)
}

/// WAL of one timeline from `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalRange {
    /// First byte.
    pub start: Lsn,
    /// First byte no longer in it.
    pub end: Lsn,
}

impl WalRange {
    /// The piece that holds `at`.
    pub fn piece(at: Lsn, segment: SegmentSize) -> Self {
        let bytes = piece_bytes(segment);
        let start = at.floor(bytes);
        Self { start, end: start.plus(bytes) }
    }

    /// Its length.
    pub fn bytes(self) -> u64 {
        self.end.since(self.start)
    }

    /// Whether it is exactly one piece.
    pub fn is_piece(self, segment: SegmentSize) -> bool {
        self == Self::piece(self.start, segment)
    }
}

impl std::fmt::Display for WalRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

/// What a WAL object holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum WalContent {
    /// Part of the log: a piece, or a partial inside of one.
    Range(RangeContent),
    /// A timeline history or backup history file.
    File(FileContent),
}

/// See [`WalContent::Range`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeContent {
    /// Timeline.
    pub timeline: Timeline,
    /// First byte.
    pub start: Lsn,
    /// First byte no longer in it.
    pub end: Lsn,
    /// Size of the cluster's segments.
    pub segment_bytes: SegmentSize,
}

/// See [`WalContent::File`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileContent {
    /// Its name in `pg_wal`.
    #[serde(with = "file_name")]
    pub name: WalFileName,
    /// Timeline under which it is stored.
    pub timeline: Timeline,
}

impl RangeContent {
    /// The positions.
    pub fn range(&self) -> WalRange {
        WalRange { start: self.start, end: self.end }
    }

    /// Whether it is exactly one piece.
    pub fn is_piece(&self) -> bool {
        self.range().is_piece(self.segment_bytes)
    }
}

impl WalContent {
    /// A range of a timeline.
    pub fn range(timeline: Timeline, range: WalRange, segment_bytes: SegmentSize) -> Self {
        Self::Range(RangeContent { timeline, start: range.start, end: range.end, segment_bytes })
    }

    /// A history or backup history file; `None` for the name of a segment.
    pub fn file(name: WalFileName) -> Option<Self> {
        let timeline = match name {
            WalFileName::History(timeline) => timeline,
            WalFileName::BackupHistory(segment, _) => segment.timeline,
            WalFileName::Segment(_) | WalFileName::Partial(_) => return None,
        };
        Some(Self::File(FileContent { name, timeline }))
    }

    /// Its timeline.
    pub fn timeline(&self) -> Timeline {
        match self {
            Self::Range(range) => range.timeline,
            Self::File(file) => file.timeline,
        }
    }

    /// Whether two objects of this content can only be equal: pieces and files are, two partials of one range as well,
    /// but they have no name of their own to meet under.
    pub fn is_canonical(&self) -> bool {
        match self {
            Self::Range(range) => range.is_piece(),
            Self::File(_) => true,
        }
    }

    /// Refuses what no writer makes.
    fn check(&self) -> Result<()> {
        let malformed = |why: String| Err(Error::Malformed { what: "WAL object", why });
        match self {
            Self::Range(content) => {
                let (range, piece) = (content.range(), WalRange::piece(content.start, content.segment_bytes));
                if range.start >= range.end || range.end > piece.end {
                    return malformed(format!("{range} is not inside of one piece"));
                }
                Ok(())
            }
            Self::File(file) if Self::file(file.name).as_ref() == Some(self) => Ok(()),
            Self::File(file) => malformed(format!("{} is not a file of timeline {}", file.name, file.timeline)),
        }
    }
}

impl std::fmt::Display for WalContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Range(range) => write!(f, "WAL {} of timeline {}", range.range(), range.timeline),
            Self::File(file) => file.name.fmt(f),
        }
    }
}

mod file_name {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use super::WalFileName;

    pub(super) fn serialize<S: Serializer>(name: &WalFileName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WalFileName, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
