//! Which WAL is there: per timeline, from listings of names, with what is at the edges authenticated.
//!
//! Names of pieces are taken at their word in the middle of a window (`wal verify --level headers` reads every header), never at
//! its ends: what an attacker plants before, behind or beyond our WAL moves no edge. Of partials the fewest that hold
//! everything are authenticated, all of them: that is a number that grows with the logarithm of how many there are. Whatever
//! was planted costs one small request each, many at a time, and neither hides what is genuine nor counts for it.

mod gaps;
mod list;
mod partials;
mod path;
mod pieces;
mod times;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use list::Partial;
pub use partials::Link;
pub use path::{Leg, Stretch};

use super::Finding;
use crate::format::wal::{ClusterRecord, GapRecord, History, WalRange};
use crate::format::{Lsn, SegmentSize, Timeline};

/// The WAL of one cluster.
#[derive(Clone, Debug, Default)]
pub struct WalCatalog {
    /// Which cluster it is; `None` where nothing physical was ever stored.
    pub record: Option<ClusterRecord>,
    /// By number.
    pub timelines: BTreeMap<Timeline, TimelineCoverage>,
    /// What does not belong there.
    pub findings: Vec<Finding>,
}

/// The WAL of one timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineCoverage {
    /// The timeline.
    pub timeline: Timeline,
    /// What is stored, in whole pieces or partials: disjoint, in order, apart from each other by missing WAL.
    pub windows: Vec<WalRange>,
    /// The same of whole pieces alone.
    pub pieces: Vec<WalRange>,
    /// Gaps that were recorded when they were noticed; a window may have filled one since.
    pub gaps: Vec<GapRecord>,
    /// How it came to be; `None` for a first timeline, or where its history file is missing.
    pub history: Option<History>,
    /// When its newest WAL was sealed (store time).
    pub newest_at: Option<Timestamp>,
}

impl TimelineCoverage {
    fn new(timeline: Timeline) -> Self {
        let (windows, pieces, gaps) = (Vec::new(), Vec::new(), Vec::new());
        Self { timeline, windows, pieces, gaps, history: None, newest_at: None }
    }

    /// Where its WAL ends.
    pub fn end(&self) -> Option<Lsn> {
        self.windows.last().map(|window| window.end)
    }

    /// What is missing between its windows.
    pub fn holes(&self) -> Vec<WalRange> {
        self.windows.windows(2).map(|pair| WalRange { start: pair[0].end, end: pair[1].start }).collect()
    }

    /// The window that holds `at`, or ends there.
    pub fn window(&self, at: Lsn) -> Option<WalRange> {
        let holding = self.windows.iter().rev().find(|window| window.start <= at)?;
        (at <= holding.end).then_some(*holding)
    }

    /// Whether all of `range` is there.
    pub fn holds(&self, range: WalRange) -> bool {
        self.windows.iter().any(|window| window.start <= range.start && range.end <= window.end)
    }

    /// WAL at the end that is not yet a whole piece.
    pub fn tail(&self) -> Option<WalRange> {
        let end = self.end()?;
        let start = self.pieces.last().map(|pieces| pieces.end).filter(|whole| self.window(*whole) == self.window(end));
        let start = start.or_else(|| self.windows.last().map(|window| window.start))?;
        (start < end).then_some(WalRange { start, end })
    }
}

impl WalCatalog {
    /// Size of the cluster's segments.
    pub fn segment(&self) -> Option<SegmentSize> {
        self.record.as_ref().map(|record| record.segment_bytes)
    }

    /// The timeline that branched off last: what PostgreSQL calls the latest.
    pub fn latest_timeline(&self) -> Option<Timeline> {
        self.timelines.values().rev().find(|coverage| coverage.end().is_some()).map(|coverage| coverage.timeline)
    }

    /// When the newest WAL of any timeline was sealed (store time).
    pub fn newest_at(&self) -> Option<Timestamp> {
        self.timelines.values().filter_map(|coverage| coverage.newest_at).max()
    }
}

/// Adds a range to ranges that are disjoint and in order.
pub fn merge_ranges(ranges: &mut Vec<WalRange>, new: WalRange) {
    // Listings come in order, so it is nearly always the last one that grows.
    let mut at = ranges.len();
    while at > 0 && ranges[at - 1].start > new.start {
        at -= 1;
    }
    ranges.insert(at, new);
    let mut from = at.saturating_sub(1);
    while from + 1 < ranges.len() {
        if ranges[from].end >= ranges[from + 1].start {
            let next = ranges.remove(from + 1);
            ranges[from].end = ranges[from].end.max(next.end);
        } else if from >= at {
            break;
        } else {
            from += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn merged_ranges_are_the_union(spans in prop::collection::vec((0..60_u64, 1..9_u64), 0..25)) {
            let (mut merged, mut bytes) = (Vec::new(), [false; 80]);
            for (start, length) in spans {
                let range = WalRange { start: Lsn::new(start), end: Lsn::new(start + length) };
                merge_ranges(&mut merged, range);
                (start..start + length).for_each(|at| bytes[usize::try_from(at).unwrap()] = true);
            }
            prop_assert!(merged.windows(2).all(|pair| pair[0].end < pair[1].start));
            for (at, there) in (0..).zip(bytes) {
                let held = merged.iter().any(|range| range.start <= Lsn::new(at) && Lsn::new(at) < range.end);
                prop_assert_eq!(held, there, "{}", at);
            }
        }
    }
}
