//! Is the WAL of a cluster there without a hole, genuine and readable?

mod deep;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use super::{Error, Findings};
use crate::catalog::{Finding, FindingKind, Repository, TimelineCoverage, WalCatalog};
use crate::format::wal::{HistoryEntry, WalRange, piece_bytes};
use crate::format::{ClusterName, Lsn, SegmentName, SegmentSize, Timeline};
use crate::limits::WAL_MISSING_NAMED_MAX;
use crate::observe::Progress;

/// How deep to look. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WalLevel {
    /// By the names in a listing; only what is at the edges is authenticated.
    List,
    /// Every header is authenticated and every lock looked at.
    Headers,
    /// Everything is read, opened and compared with its position; needs keys that read.
    Full,
}

impl WalLevel {
    const ALL: [(Self, &str); 3] = [(Self::List, "list"), (Self::Headers, "headers"), (Self::Full, "full")];
}

impl fmt::Display for WalLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(level, _)| level == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for WalLevel {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let level = Self::ALL.iter().find(|(_, name)| *name == text).map(|(level, _)| *level);
        level.ok_or_else(|| format!("{text:?} is none of list, headers, full"))
    }
}

/// What was found of one cluster.
#[derive(Debug, Serialize)]
pub struct WalReport {
    /// The cluster.
    pub cluster: ClusterName,
    /// PostgreSQL's system identifier, as text; `None` where nothing physical was stored.
    pub system_identifier: Option<String>,
    /// By number.
    pub timelines: Vec<TimelineReport>,
    /// What does not belong there, or is damaged.
    pub findings: Findings,
}

/// One timeline.
#[derive(Debug, Serialize)]
pub struct TimelineReport {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it branched off; `None` for a first timeline or an unknown one.
    pub parent: Option<HistoryEntry>,
    /// WAL without a hole, in order.
    pub windows: Vec<Window>,
    /// WAL at the end that is not yet a whole piece.
    pub tail: Option<Window>,
    /// What is missing: between the windows, and where the timeline begins or is left.
    pub holes: Vec<Window>,
    /// Names of the segments that are missing, wholly or in part.
    pub missing: Vec<String>,
    /// How many they are, beyond those named.
    pub missing_count: u64,
    /// Gaps recorded when they were noticed.
    pub gaps: Vec<Gap>,
    /// When its newest WAL was sealed.
    pub newest_at: Option<Timestamp>,
}

/// WAL from here to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// First byte.
    pub start: Lsn,
    /// First byte no longer in it.
    pub end: Lsn,
}

/// A recorded gap.
#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    /// First missing byte.
    pub start: Lsn,
    /// First byte no longer missing.
    pub end: Lsn,
    /// When it was noticed.
    pub recorded_at: Timestamp,
    /// In words.
    pub reason: String,
    /// Whether the WAL came after all.
    pub filled: bool,
}

impl From<WalRange> for Window {
    fn from(range: WalRange) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl TimelineReport {
    /// Whether every hole was recorded when it came about: then somebody was told.
    pub fn is_acknowledged(&self) -> bool {
        let recorded = |hole: &Window| self.gaps.iter().any(|gap| gap.start <= hole.start && hole.end <= gap.end);
        self.holes.iter().all(recorded)
    }
}

impl WalReport {
    /// Whether WAL is missing that nobody recorded as missing, or is damaged.
    pub fn has_damage(&self) -> bool {
        let lost = |timeline: &TimelineReport| timeline.missing_count > 0 && !timeline.is_acknowledged();
        self.findings.has_damage() || self.timelines.iter().any(lost)
    }

    /// Whether anything at all was found.
    pub fn has_findings(&self) -> bool {
        self.findings.total() > 0 || self.timelines.iter().any(|t| t.missing_count > 0 || !t.gaps.is_empty())
    }
}

/// Verifies the WAL of one cluster. What is wrong with it is in the result; an error means that we could not look.
pub async fn verify_wal(
    repository: &Repository,
    cluster: &ClusterName,
    level: WalLevel,
    progress: &Progress,
) -> Result<WalReport, Error> {
    let mut catalog = repository.wal(cluster).await?;
    let mut findings = Findings::default();
    findings.extend(std::mem::take(&mut catalog.findings));
    if level > WalLevel::List {
        let timelines: Vec<Timeline> = catalog.timelines.keys().copied().collect();
        for timeline in timelines {
            let windows = deep::windows(repository, cluster, timeline, level, progress, &mut findings).await?;
            if let Some(coverage) = catalog.timelines.get_mut(&timeline) {
                coverage.windows = windows;
            }
        }
    }
    for coverage in catalog.timelines.values().filter(|c| c.timeline.get() > 1 && c.history.is_none()) {
        // The first timeline of a restored cluster may be any; its ancestors then lie elsewhere or nowhere.
        let name = repository.names().wal_timeline(cluster, coverage.timeline);
        let what = format!("{}.history is missing", coverage.timeline.name());
        findings.push(Finding::new(FindingKind::Missing, name, None, what));
    }
    let segment = catalog.segment();
    let timelines = catalog.timelines.values().map(|coverage| report(&catalog, coverage, segment)).collect();
    let system_identifier = catalog.record.as_ref().map(|record| record.system_identifier.to_string());
    Ok(WalReport { cluster: cluster.clone(), system_identifier, timelines, findings })
}

fn report(catalog: &WalCatalog, coverage: &TimelineCoverage, segment: Option<SegmentSize>) -> TimelineReport {
    let (mut missing, mut missing_count) = (Vec::new(), 0);
    let holes = segment.map(|size| holes(catalog, coverage, size)).unwrap_or_default();
    if let Some(size) = segment {
        for hole in &holes {
            let bytes = size.bytes();
            let (first, last) = (hole.start.get() / bytes, hole.end.get().div_ceil(bytes));
            missing_count += last - first;
            let room = WAL_MISSING_NAMED_MAX - missing.len();
            let name = |number| SegmentName::holding(coverage.timeline, Lsn::new(number * bytes), size).to_string();
            missing.extend((first..last).take(room).map(name));
        }
    }
    let gap = |gap: &crate::format::wal::GapRecord| Gap {
        start: gap.start,
        end: gap.end,
        recorded_at: gap.recorded_at,
        reason: gap.reason.clone(),
        filled: coverage.holds(gap.range()),
    };
    TimelineReport {
        timeline: coverage.timeline,
        parent: coverage.history.as_ref().and_then(crate::format::wal::History::parent),
        windows: coverage.windows.iter().copied().map(Window::from).collect(),
        tail: coverage.tail().map(Window::from),
        holes: holes.into_iter().map(Window::from).collect(),
        missing,
        missing_count,
        gaps: coverage.gaps.iter().map(gap).collect(),
        newest_at: coverage.newest_at,
    }
}

/// What is missing of a timeline: between its windows, and at its beginning and end where it branched off and was left.
fn holes(catalog: &WalCatalog, coverage: &TimelineCoverage, size: SegmentSize) -> Vec<WalRange> {
    let mut holes = coverage.holes();
    let parent = coverage.history.as_ref().and_then(crate::format::wal::History::parent);
    let begins = parent.map(|parent| parent.switch.floor(piece_bytes(size)));
    if let (Some(begins), Some(first)) = (begins, coverage.windows.first())
        && first.start > begins
    {
        holes.insert(0, WalRange { start: begins, end: first.start });
    }
    // The child begins with a copy of the piece in which this timeline was left: it must reach that piece.
    let left = catalog.timelines.values().filter_map(|child| child.history.as_ref()?.parent());
    let left = left.filter(|parent| parent.timeline == coverage.timeline).map(|parent| parent.switch).max();
    let needed = left.map(|switch| switch.floor(piece_bytes(size)));
    if let (Some(needed), Some(end)) = (needed, coverage.end())
        && end < needed
    {
        holes.push(WalRange { start: end, end: needed });
    }
    holes
}
