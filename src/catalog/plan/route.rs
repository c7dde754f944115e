//! Timelines: how they branch, and how far their stored WAL goes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::PlanBase;
use crate::format::{Lsn, SegmentSize, Timeline};

/// The stored WAL of a cluster, as far as a plan needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalState {
    /// Size of a segment.
    pub segment: SegmentSize,
    /// By timeline.
    pub timelines: BTreeMap<Timeline, TimelineWal>,
}

/// The stored WAL of one timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineWal {
    /// What is stored without a hole: from, to; in order, apart from each other.
    pub windows: Vec<(Lsn, Lsn)>,
    /// The timelines that it came from, oldest first, each with where it was left. `None` if that is not known.
    pub ancestors: Option<Vec<(Timeline, Lsn)>>,
}

/// A stretch of one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// Timeline.
    pub timeline: Timeline,
    /// From.
    pub start: Lsn,
    /// To.
    pub end: Lsn,
}

const END: Lsn = Lsn::new(u64::MAX);

impl WalState {
    /// The stretches that lead to the end of `timeline`, oldest first; only the last one if its history is not known.
    pub fn path(&self, timeline: Timeline) -> Vec<Leg> {
        let (mut legs, mut start) = (Vec::new(), Lsn::default());
        for (ancestor, left_at) in self.ancestors(timeline).unwrap_or_default() {
            legs.push(Leg { timeline: *ancestor, start, end: *left_at });
            start = *left_at;
        }
        legs.push(Leg { timeline, start, end: END });
        legs
    }

    /// The bases that a recovery along `path` can start from, by where they end.
    pub fn bases_on<'b>(&self, bases: &'b [PlanBase], path: &[Leg]) -> Vec<&'b PlanBase> {
        super::on_path(bases, path)
    }

    /// Where `timeline` came from, if that is known. The first timeline has no history file.
    pub(super) fn ancestors(&self, timeline: Timeline) -> Option<&[(Timeline, Lsn)]> {
        let told = self.timelines.get(&timeline).and_then(|wal| wal.ancestors.as_deref());
        told.or((timeline.get() == 1).then_some(&[]))
    }

    fn windows(&self, timeline: Timeline) -> &[(Lsn, Lsn)] {
        self.timelines.get(&timeline).map_or(&[], |wal| &wal.windows)
    }

    /// How far the WAL of `timeline` goes on from `at` without a hole.
    fn reach(&self, timeline: Timeline, at: Lsn) -> Option<Lsn> {
        let holding = self.windows(timeline).iter().find(|(from, to)| *from <= at && at <= *to);
        holding.map(|(_, to)| *to)
    }

    /// Where WAL of `timeline` goes on behind `at`.
    fn next(&self, timeline: Timeline, at: Lsn) -> Option<Lsn> {
        self.windows(timeline).iter().map(|(from, _)| *from).find(|from| *from > at)
    }
}

/// The WAL that follows the base along the path, as far as it is stored without a hole, and where it goes on behind the hole.
pub(super) fn follow(base: &PlanBase, path: &[Leg], wal: &WalState) -> (Vec<Leg>, Option<Lsn>) {
    let range = &base.range;
    let bytes = wal.segment.bytes();
    let mut at = range.stop;
    // A base brings along the segment in which it ends; on a primary PostgreSQL leaves the rest of that segment empty.
    let next_segment = range.stop.plus(bytes - 1).floor(bytes);
    let mut legs = vec![Leg { timeline: range.timeline, start: range.start, end: at }];
    let first = path.iter().position(|leg| leg.timeline == range.timeline).unwrap_or_default();
    for (number, leg) in path.iter().enumerate().skip(first) {
        let reach = |from: Lsn| wal.reach(leg.timeline, from);
        let reached = match reach(at) {
            None if number == first && range.stop != next_segment => reach(next_segment),
            reached => reached,
        };
        let reached = reached.unwrap_or(at).max(at).min(leg.end);
        if let Some(last) = legs.last_mut().filter(|last| last.timeline == leg.timeline) {
            last.end = reached;
        }
        at = reached;
        let Some(following) = path.get(number + 1) else {
            return (legs, wal.next(leg.timeline, at));
        };
        // The first segment of the next timeline begins with a copy of what the old one held up to the branch.
        let copied_from = leg.end.floor(bytes);
        let taken_over =
            at >= copied_from && wal.reach(following.timeline, copied_from).is_some_and(|to| to >= leg.end);
        if at < leg.end && !taken_over {
            let beyond = wal.next(leg.timeline, at).filter(|next| *next < leg.end);
            return (legs, beyond.or_else(|| wal.next(following.timeline, Lsn::default())));
        }
        at = leg.end;
        if let Some(last) = legs.last_mut() {
            last.end = leg.end;
        }
        legs.push(Leg { timeline: following.timeline, start: leg.end, end: leg.end });
    }
    (legs, None)
}
