//! Which WAL is needed until when: overlapping needs laid over each other, the longest on top.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use jiff::Timestamp;

use super::{Ground, Reason};
use crate::format::wal::WalRange;
use crate::format::{Lsn, Timeline};

/// Where WAL has no end yet.
pub(super) const END: Lsn = Lsn::new(u64::MAX);

/// WAL that something needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) range: WalRange,
    pub(super) ground: Ground,
}

/// All needs, by timeline.
#[derive(Debug, Default)]
pub(super) struct Needs(BTreeMap<Timeline, Vec<Need>>);

impl Needs {
    pub(super) fn add(&mut self, timeline: Timeline, range: WalRange, until: Timestamp, why: Reason) {
        if range.start < range.end {
            self.0.entry(timeline).or_default().push(Need { range, ground: Ground { until, why } });
        }
    }

    /// By timeline: disjoint, in order, each with the need that lasts longest.
    pub(super) fn settle(self) -> BTreeMap<Timeline, Vec<Need>> {
        self.0.into_iter().map(|(timeline, needs)| (timeline, overlay(needs))).collect()
    }
}

/// A need under way while positions pass by: the longest first, and of these the one that reaches furthest.
struct Open(Need);

impl Open {
    fn rank(&self) -> (Timestamp, Lsn) {
        (self.0.ground.until, self.0.range.end)
    }
}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Open {}

fn overlay(mut needs: Vec<Need>) -> Vec<Need> {
    needs.sort_by_key(|need| need.range);
    let mut edges: Vec<Lsn> = needs.iter().flat_map(|need| [need.range.start, need.range.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let (mut coming, mut open) = (needs.into_iter().peekable(), BinaryHeap::new());
    let mut settled: Vec<Need> = Vec::new();
    for pair in edges.windows(2) {
        let range = WalRange { start: pair[0], end: pair[1] };
        while let Some(need) = coming.next_if(|need| need.range.start <= range.start) {
            open.push(Open(need));
        }
        while open.peek().is_some_and(|top: &Open| top.0.range.end <= range.start) {
            open.pop();
        }
        let Some(Open(top)) = open.peek() else { continue };
        match settled.last_mut() {
            Some(last) if last.range.end == range.start && last.ground == top.ground => last.range.end = range.end,
            _ => settled.push(Need { range, ground: top.ground.clone() }),
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_longest_need_wins_everywhere(spans in prop::collection::vec((0..50_u64, 1..20_u64, 0..6_i64), 0..30)) {
            let mut needs = Needs::default();
            let mut longest = [None; 80];
            let timeline = Timeline::new(1).unwrap();
            for (start, length, until) in spans {
                let range = WalRange { start: Lsn::new(start), end: Lsn::new(start + length) };
                let at = Timestamp::from_second(until).unwrap();
                needs.add(timeline, range, at, Reason::Marked);
                (start..start + length).for_each(|i| {
                    let slot: &mut Option<Timestamp> = &mut longest[usize::try_from(i).unwrap()];
                    *slot = (*slot).max(Some(at));
                });
            }
            let settled = needs.settle().remove(&timeline).unwrap_or_default();
            for pair in settled.windows(2) {
                prop_assert!(pair[0].range.end <= pair[1].range.start);
                prop_assert!(pair[0].range.end < pair[1].range.start || pair[0].ground != pair[1].ground, "merged");
            }
            for (at, expected) in (0..).map(Lsn::new).zip(longest) {
                let holding = settled.iter().find(|need| need.range.start <= at && at < need.range.end);
                prop_assert_eq!(holding.map(|need| need.ground.until), expected);
            }
        }
    }
}
