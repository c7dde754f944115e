//! Gaps: what lies between windows of WAL, what was recorded as lost, and which of it stands in the way of recovery.

use super::facts::{Gap, Span};
use crate::catalog::plan::{Refusal, Route, WalState};
use crate::format::{Lsn, Timeline};

/// Where the way from the newest base backup ends before its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) timeline: Timeline,
    /// The last WAL before it ends here.
    pub(super) from: Lsn,
    /// Where WAL goes on, if on the same timeline.
    pub(super) to: Option<Lsn>,
}

/// How far recovery gets from the newest base backup on the way to the newest timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As far as there is WAL.
    Open { timeline: Timeline, end: Lsn },
    /// Only up to a gap.
    Broken(Breach),
    /// It cannot even begin.
    None(Refusal),
}

impl Way {
    pub(super) fn of(planned: Result<Route, Refusal>) -> Self {
        match planned {
            Ok(route) => Self::Open { timeline: route.timeline(), end: route.end() },
            Err(Refusal::Gap { from, to, timeline }) => Self::Broken(Breach { timeline, from, to: Some(to) }),
            Err(Refusal::Unconnected { from, timeline, .. }) => Self::Broken(Breach { timeline, from, to: None }),
            Err(refusal) => Self::None(refusal),
        }
    }

    /// From here on a gap matters.
    fn end(&self) -> Option<(Timeline, Lsn)> {
        match self {
            Self::Open { timeline, end } => Some((*timeline, *end)),
            Self::Broken(breach) => Some((breach.timeline, breach.from)),
            Self::None(_) => None,
        }
    }
}

/// The gaps of one timeline, in order. `goal` is the timeline that the way leads to.
pub(super) fn of_timeline(
    timeline: Timeline,
    recorded: &[Span],
    wal: &WalState,
    way: &Way,
    goal: Timeline,
) -> Vec<Gap> {
    let windows: Vec<Span> = spans(wal, timeline);
    let mut missing: Vec<Span> =
        windows.windows(2).map(|pair| Span { start: pair[0].end, end: pair[1].start }).collect();
    if let Way::Broken(Breach { timeline: at, from, to: Some(to) }) = way
        && *at == timeline
    {
        add(&mut missing, Span { start: *from, end: *to });
    }
    for record in recorded {
        for span in without(*record, &windows) {
            add(&mut missing, span);
        }
    }
    if let Way::Broken(Breach { timeline: at, from, to: None }) = way
        && *at == timeline
        && let Some(left_at) = left_at(wal, timeline, goal).filter(|left_at| left_at > from)
    {
        add(&mut missing, Span { start: *from, end: left_at });
    }
    missing.sort_by_key(|span| span.start);
    let is_recorded = |span: &Span| recorded.iter().any(|record| record.start < span.end && span.start < record.end);
    let matters = |span: &Span| {
        let beyond = way.end().is_some_and(|end| (timeline, span.start) >= end);
        let on_way = timeline == goal || left_at(wal, timeline, goal).is_some_and(|left_at| span.start < left_at);
        beyond && on_way
    };
    missing.into_iter().map(|span| Gap { span, recorded: is_recorded(&span), matters: matters(&span) }).collect()
}

fn spans(wal: &WalState, timeline: Timeline) -> Vec<Span> {
    let windows = wal.timelines.get(&timeline).map(|wal| wal.windows.as_slice()).unwrap_or_default();
    windows.iter().map(|(start, end)| Span { start: *start, end: *end }).collect()
}

/// Where the way to `goal` leaves `timeline`.
fn left_at(wal: &WalState, timeline: Timeline, goal: Timeline) -> Option<Lsn> {
    let ancestors = wal.timelines.get(&goal)?.ancestors.as_ref()?;
    ancestors.iter().find(|(ancestor, _)| *ancestor == timeline).map(|(_, left_at)| *left_at)
}

/// Adds a span unless it is there already, whole or as part of another.
fn add(missing: &mut Vec<Span>, span: Span) {
    if !missing.iter().any(|known| known.start <= span.start && span.end <= known.end) {
        missing.retain(|known| !(span.start <= known.start && known.end <= span.end));
        missing.push(span);
    }
}

/// What of `span` no window holds. Windows are in order.
fn without(span: Span, windows: &[Span]) -> Vec<Span> {
    let (mut rest, mut at) = (Vec::new(), span.start);
    for window in windows.iter().filter(|window| window.end > span.start && window.start < span.end) {
        if at < window.start {
            rest.push(Span { start: at, end: window.start });
        }
        at = at.max(window.end);
    }
    if at < span.end {
        rest.push(Span { start: at, end: span.end });
    }
    rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::plan::TimelineWal;
    use crate::format::SegmentSize;

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn span((start, end): (u64, u64)) -> Span {
        Span { start: Lsn::new(start), end: Lsn::new(end) }
    }

    /// Number, windows, ancestors with where they were left.
    type Line<'a> = (u32, &'a [(u64, u64)], &'a [(u32, u64)]);

    fn state(timelines: &[Line<'_>]) -> WalState {
        let wal = |(number, windows, ancestors): &Line<'_>| {
            let windows = windows.iter().map(|(from, to)| (Lsn::new(*from), Lsn::new(*to))).collect();
            let ancestors = ancestors.iter().map(|(number, left)| (timeline(*number), Lsn::new(*left))).collect();
            (timeline(*number), TimelineWal { windows, ancestors: Some(ancestors) })
        };
        WalState { segment: SegmentSize::DEFAULT, timelines: timelines.iter().map(wal).collect::<BTreeMap<_, _>>() }
    }

    fn open(number: u32, end: u64) -> Way {
        Way::Open { timeline: timeline(number), end: Lsn::new(end) }
    }

    fn broken(number: u32, from: u64, to: Option<u64>) -> Way {
        Way::Broken(Breach { timeline: timeline(number), from: Lsn::new(from), to: to.map(Lsn::new) })
    }

    /// Start, end, recorded, matters.
    type Told = (u64, u64, bool, bool);

    #[track_caller]
    fn check(wal: &WalState, number: u32, goal: u32, recorded: &[(u64, u64)], way: &Way, want: &[Told]) {
        let recorded: Vec<_> = recorded.iter().copied().map(span).collect();
        let gaps = of_timeline(timeline(number), &recorded, wal, way, timeline(goal));
        let told: Vec<Told> =
            gaps.iter().map(|g| (g.span.start.get(), g.span.end.get(), g.recorded, g.matters)).collect();
        assert_eq!(told, want);
    }

    #[test]
    fn holes_before_the_base_are_history() {
        let wal = state(&[(1, &[(0, 10), (20, 30), (40, 50)], &[])]);
        check(&wal, 1, 1, &[], &open(1, 50), &[(10, 20, false, false), (30, 40, false, false)]);
        check(&wal, 1, 1, &[], &broken(1, 30, Some(40)), &[(10, 20, false, false), (30, 40, false, true)]);
        check(&wal, 1, 1, &[], &broken(1, 10, Some(20)), &[(10, 20, false, true), (30, 40, false, true)]);
        check(&wal, 1, 1, &[], &Way::None(Refusal::NoBase), &[(10, 20, false, false), (30, 40, false, false)]);
    }

    #[test]
    fn a_base_before_all_wal_has_a_gap_behind_it() {
        let wal = state(&[(1, &[(20, 30)], &[])]);
        check(&wal, 1, 1, &[], &broken(1, 5, Some(20)), &[(5, 20, false, true)]);
    }

    #[test]
    fn recorded_gaps_count_unless_filled() {
        let wal = state(&[(1, &[(0, 10), (20, 30)], &[])]);
        check(&wal, 1, 1, &[(10, 20)], &broken(1, 10, Some(20)), &[(10, 20, true, true)]);
        // Nothing has arrived behind it yet.
        let nothing_yet = [(10, 20, false, false), (30, 40, true, true)];
        check(&wal, 1, 1, &[(30, 40)], &open(1, 30), &nothing_yet);
        let filled = state(&[(1, &[(0, 30)], &[])]);
        check(&filled, 1, 1, &[(10, 20)], &open(1, 30), &[]);
        let half = state(&[(1, &[(0, 15), (18, 30)], &[])]);
        check(&half, 1, 1, &[(10, 20)], &broken(1, 15, Some(18)), &[(15, 18, true, true)]);
    }

    #[test]
    fn only_the_way_to_the_goal_matters() {
        let wal = state(&[(1, &[(0, 10), (20, 30), (40, 50)], &[]), (2, &[(25, 60)], &[(1, 27)])]);
        // The hole at 30 lies on the lost branch.
        let lost = [(10, 20, false, true), (30, 40, false, false)];
        check(&wal, 1, 2, &[], &broken(1, 10, Some(20)), &lost);
        check(&wal, 2, 2, &[], &broken(1, 10, Some(20)), &[]);
        let unconnected = state(&[(1, &[(0, 10)], &[]), (2, &[(25, 60)], &[(1, 27)])]);
        check(&unconnected, 1, 2, &[], &broken(1, 10, None), &[(10, 27, false, true)]);
    }

    #[test]
    fn ways_are_what_plans_say() {
        let gap = Refusal::Gap { from: Lsn::new(1), to: Lsn::new(2), timeline: timeline(1) };
        assert_eq!(Way::of(Err(gap)), broken(1, 1, Some(2)));
        let unconnected = Refusal::Unconnected { from: Lsn::new(1), timeline: timeline(1), target: timeline(2) };
        assert_eq!(Way::of(Err(unconnected)), broken(1, 1, None));
        assert_eq!(Way::of(Err(Refusal::NoBase)), Way::None(Refusal::NoBase));
    }
}
