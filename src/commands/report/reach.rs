//! When recovery is possible: every base backup opens a period, which lasts as long as WAL follows it without a hole, over
//! timelines if need be.

use std::collections::BTreeMap;

use super::facts::{Line, Period, Run};
use crate::format::manifest::BaseRange;
use crate::format::wal::History;
use crate::format::{Lsn, Timeline};

/// The periods, in order and apart from each other.
pub(super) fn periods(
    bases: &[&BaseRange],
    lines: &[Line],
    histories: &BTreeMap<Timeline, Option<History>>,
) -> Vec<Period> {
    let runs: BTreeMap<Timeline, &[Run]> = lines.iter().map(|line| (line.timeline, &*line.runs)).collect();
    let mut periods = Vec::new();
    for base in bases {
        let own = Period { from: base.ended_at, to: base.ended_at };
        let ways = histories.iter().filter_map(|(timeline, history)| way(base, *timeline, history.as_ref()));
        let reached = ways.filter_map(|way| follow(base.stop, &way, &runs)).map(|period| period.to).max();
        periods.push(Period { to: reached.unwrap_or(own.to).max(own.to), ..own });
    }
    periods.sort_by_key(|period| period.from);
    merge(periods)
}

/// A timeline on the way, and where the way leaves it.
type Leg = (Timeline, Option<Lsn>);

/// The way from a base to a timeline; `None` if there is none.
fn way(base: &BaseRange, to: Timeline, history: Option<&History>) -> Option<Vec<Leg>> {
    let ancestors = history.map(|history| history.ancestors.as_slice()).unwrap_or_default();
    let legs = ancestors.iter().map(|entry| (entry.timeline, Some(entry.switch))).chain([(to, None)]);
    let legs: Vec<Leg> = legs.skip_while(|(timeline, _)| *timeline != base.timeline).collect();
    let (_, left_at) = legs.first()?;
    left_at.is_none_or(|left_at| base.stop <= left_at).then_some(legs)
}

/// When the last WAL without a hole from `at` on arrived.
fn follow(mut at: Lsn, way: &[Leg], runs: &BTreeMap<Timeline, &[Run]>) -> Option<Period> {
    let mut reached = None;
    for (timeline, left_at) in way {
        let Some(run) = runs.get(timeline).and_then(|runs| runs.iter().find(|run| run.start <= at && at <= run.end))
        else {
            break;
        };
        reached = run.arrived.or(reached);
        match left_at {
            Some(left_at) if *left_at <= run.end => at = *left_at,
            _ => break,
        }
    }
    reached
}

fn merge(periods: Vec<Period>) -> Vec<Period> {
    let mut merged: Vec<Period> = Vec::new();
    for period in periods {
        match merged.last_mut() {
            Some(last) if period.from <= last.to => last.to = last.to.max(period.to),
            _ => merged.push(period),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::format::SegmentSize;
    use crate::format::wal::HistoryEntry;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn base(number: u32, stop: u64, second: i64) -> BaseRange {
        BaseRange {
            start: Lsn::new(stop - 1),
            stop: Lsn::new(stop),
            timeline: timeline(number),
            segment_bytes: SegmentSize::DEFAULT,
            begun_at: at(second - 1),
            ended_at: at(second),
        }
    }

    /// Start and end, and the seconds at which they arrived.
    type Stored = (u64, u64, i64, i64);

    fn line(number: u32, runs: &[Stored]) -> Line {
        let run = |(start, end, from, to): &Stored| Run {
            start: Lsn::new(*start),
            end: Lsn::new(*end),
            arrived: Some(Period { from: at(*from), to: at(*to) }),
        };
        Line { timeline: timeline(number), parent: None, runs: runs.iter().map(run).collect(), missing: Vec::new() }
    }

    #[track_caller]
    fn check(bases: &[BaseRange], lines: &[Line], switches: &[(u32, &[(u32, u64)])], want: &[(i64, i64)]) {
        let history = |(number, ancestors): &(u32, &[(u32, u64)])| {
            let entry =
                |(number, switch): &(u32, u64)| HistoryEntry { timeline: timeline(*number), switch: Lsn::new(*switch) };
            let history = History { timeline: timeline(*number), ancestors: ancestors.iter().map(entry).collect() };
            (timeline(*number), Some(history))
        };
        let mut histories: BTreeMap<_, _> = lines.iter().map(|line| (line.timeline, None)).collect();
        histories.extend(switches.iter().map(history));
        let periods = periods(&bases.iter().collect::<Vec<_>>(), lines, &histories);
        let want: Vec<_> = want.iter().map(|(from, to)| Period { from: at(*from), to: at(*to) }).collect();
        assert_eq!(periods, want);
    }

    #[test]
    fn i09_a_hole_ends_a_period_and_only_a_base_begins_one() {
        let lines = [line(1, &[(10, 100, 1, 50), (120, 200, 60, 90)])];
        check(&[base(1, 20, 5)], &lines, &[], &[(5, 50)]);
        check(&[base(1, 20, 5), base(1, 150, 70)], &lines, &[], &[(5, 50), (70, 90)]);
        check(&[base(1, 20, 5), base(1, 30, 7)], &lines, &[], &[(5, 50)]);
        check(&[], &lines, &[], &[]);
        // Into the hole, and behind everything: their own end only.
        check(&[base(1, 110, 55), base(1, 300, 95)], &lines, &[], &[(55, 55), (95, 95)]);
    }

    #[test]
    fn periods_follow_timelines() {
        let lines = [line(1, &[(10, 100, 1, 50)]), line(2, &[(90, 200, 52, 80)])];
        check(&[base(1, 20, 5)], &lines, &[(2, &[(1, 95)])], &[(5, 80)]);
        // The child's WAL does not begin where it left, or the parent's does not reach there.
        check(&[base(1, 20, 5)], &lines, &[(2, &[(1, 80)])], &[(5, 50)]);
        check(&[base(1, 20, 5)], &lines, &[(2, &[(1, 150)])], &[(5, 50)]);
        // A base behind the branch belongs to the old line alone.
        check(&[base(1, 98, 45)], &lines, &[(2, &[(1, 95)])], &[(45, 50)]);
        check(&[base(2, 120, 60)], &lines, &[(2, &[(1, 95)])], &[(60, 80)]);
    }
}
