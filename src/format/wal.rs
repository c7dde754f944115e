//! Stored WAL: ranges of the log and the small files that go with it, each one object that needs no other to be read.
//!
//! A *piece* is the unit in which finished WAL is stored: as long as a segment, but never longer than
//! [`WAL_PIECE_BYTES_MAX`], and aligned to its own length. What is stored before a piece is complete is a *partial*.

mod commits;
mod encoded;
mod extent;
mod header;
mod history;
mod page;
mod record;
mod scan;

use serde::{Deserialize, Serialize};

pub use commits::Commits;
pub use encoded::Base64;
pub use extent::{Extent, ExtentScanner, Rest};
pub use header::{BodyRecord, PlainRecord, WalCopy, WalHead, WalHeader};
pub use history::{History, HistoryEntry};
pub use page::{SegmentHeader, begins_with_page_at, finished_bytes};
pub use record::{ClusterRecord, GapRecord};
pub use scan::CommitScanner;

use super::{Error, Lsn, Result, SegmentSize, Timeline, WalFileName};
use crate::limits::{WAL_ANCESTORS_MAX, WAL_PIECE_BYTES_MAX};

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

    /// Whether it lies in one piece, as every partial does.
    pub fn is_within_piece(self, segment: SegmentSize) -> bool {
        self.end <= Self::piece(self.start, segment).end
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
    /// Of a history: the youngest [`WAL_ANCESTORS_MAX`] ancestors, oldest first, so that whoever cannot decrypt knows how
    /// timelines follow each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ancestors: Option<Vec<HistoryEntry>>,
}

impl FileContent {
    /// The history that it tells of, as far as the clear header has it.
    pub fn history(&self) -> Option<History> {
        let ancestors = self.ancestors.clone()?;
        Some(History { timeline: self.timeline, ancestors })
    }
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

    /// The history or backup history file `name`, which holds `plain`; `None` for the name of a segment.
    pub fn file(name: WalFileName, plain: &[u8]) -> Result<Option<Self>> {
        let Some(timeline) = timeline_of(name) else { return Ok(None) };
        let ancestors = match name {
            WalFileName::History(timeline) => {
                let mut ancestors = History::parse(timeline, plain)?.ancestors;
                ancestors.drain(..ancestors.len().saturating_sub(WAL_ANCESTORS_MAX));
                Some(ancestors)
            }
            _ => None,
        };
        Ok(Some(Self::File(FileContent { name, timeline, ancestors })))
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
            Self::File(file) => {
                let is_history = matches!(file.name, WalFileName::History(_));
                if timeline_of(file.name) != Some(file.timeline) || is_history != file.ancestors.is_some() {
                    return malformed(format!("{} is not a file of timeline {}", file.name, file.timeline));
                }
                file.history().map_or(Ok(()), |history| history.check())
            }
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

/// Timeline under which a file is stored; `None` for segments, which are ranges.
pub(super) fn timeline_of(name: WalFileName) -> Option<Timeline> {
    match name {
        WalFileName::History(timeline) => Some(timeline),
        WalFileName::BackupHistory(segment, _) => Some(segment.timeline),
        WalFileName::Segment(_) | WalFileName::Partial(_) => None,
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
