use super::*;
use crate::format::SegmentSize;

const SEGMENT: u64 = 16 << 20;

fn at(segments: u64, offset: u64) -> Lsn {
    Lsn::new(segments * SEGMENT + offset)
}

fn tl(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn minute(minute: i8) -> Timestamp {
    format!("2026-11-24T03:{minute:02}:00Z").parse().unwrap()
}

/// A base on a timeline in one segment, ended in a minute of the hour.
fn base(number: u8, timeline: u32, segment: u64, ended: i8) -> PlanBase {
    let id = format!("20261124T0300{number:02}Z-0000000{number}").parse().unwrap();
    let range = BaseRange {
        start: at(segment, 0x28),
        stop: at(segment, 0x100),
        timeline: tl(timeline),
        segment_bytes: SegmentSize::DEFAULT,
        begun_at: minute(ended - 1),
        ended_at: minute(ended),
    };
    PlanBase { id, range }
}

type One<'a> = (u32, &'a [(Lsn, Lsn)], Option<&'a [(u32, Lsn)]>);

fn state(timelines: &[One<'_>]) -> WalState {
    let one = |(number, windows, ancestors): &One<'_>| {
        let ancestors = ancestors.map(|all| all.iter().map(|(number, lsn)| (tl(*number), *lsn)).collect());
        (tl(*number), TimelineWal { windows: windows.to_vec(), ancestors })
    };
    WalState { segment: SegmentSize::DEFAULT, timelines: timelines.iter().map(one).collect() }
}

fn ask(goal: Goal) -> Request {
    Request { goal, inclusive: true, timeline: TimelineChoice::Latest, base: None }
}

fn found(bases: &[PlanBase], wal: &WalState, request: &Request) -> (u8, Lsn, u32) {
    let route = route(bases, wal, request).unwrap();
    let number = bases.iter().position(|base| *base == route.base).unwrap();
    (u8::try_from(number).unwrap(), route.end(), route.timeline().get())
}

#[test]
fn the_newest_base_before_the_target_is_taken() {
    let bases = [base(1, 1, 2, 10), base(2, 1, 5, 20), base(3, 1, 8, 30)];
    let wal = state(&[(1, &[(at(2, 0), at(10, 0))], None)]);
    for (goal, number, end) in [
        (Goal::Latest, 2, at(10, 0)),
        (Goal::Immediate, 2, at(8, 0x100)),
        (Goal::Time(minute(29)), 1, at(10, 0)),
        (Goal::Time(minute(30)), 2, at(10, 0)),
        (Goal::Time(minute(10)), 0, at(10, 0)),
        (Goal::Lsn(at(5, 0xFF)), 0, at(10, 0)),
        (Goal::Lsn(at(5, 0x100)), 1, at(10, 0)),
        (Goal::Lsn(at(9, 0)), 2, at(10, 0)),
        (Goal::Xid(7), 0, at(10, 0)),
        (Goal::Name("x".into()), 0, at(10, 0)),
    ] {
        assert_eq!(found(&bases, &wal, &ask(goal.clone())), (number, end, 1), "{goal:?}");
    }
    let named = Request { base: Some(bases[0].id.clone()), ..ask(Goal::Latest) };
    assert_eq!(found(&bases, &wal, &named), (0, at(10, 0), 1));
}

#[test]
fn an_idle_cluster_restores_from_the_base_alone() {
    let bases = [base(1, 1, 2, 10)];
    let nothing = state(&[]);
    assert_eq!(found(&bases, &nothing, &ask(Goal::Latest)), (0, at(2, 0x100), 1));
    assert_eq!(found(&bases, &nothing, &ask(Goal::Immediate)), (0, at(2, 0x100), 1));
    let next = state(&[(1, &[(at(3, 0), at(4, 0x20))], None)]);
    assert_eq!(found(&bases, &next, &ask(Goal::Latest)), (0, at(4, 0x20), 1), "the base holds the rest of its segment");
}

#[test]
fn targets_out_of_reach_are_refused_with_the_reason() {
    let bases = [base(1, 1, 2, 10), base(2, 1, 8, 30)];
    let holed = state(&[(1, &[(at(2, 0), at(5, 0)), (at(6, 0), at(10, 0))], None)]);
    let refuse = |request: &Request| route(&bases, &holed, request).unwrap_err();
    let early = |goal: Goal| matches!(refuse(&ask(goal)), Refusal::TooEarly { lsn, .. } if lsn == at(2, 0x100));
    assert!(early(Goal::Time(minute(9))) && early(Goal::Lsn(at(2, 0xFF))));
    assert_eq!(
        refuse(&ask(Goal::Lsn(at(10, 0)))),
        Refusal::LsnTooLate { lsn: at(10, 0), from: at(2, 0x100), end: at(10, 0) }
    );
    let gap = Refusal::Gap { from: at(5, 0), to: at(6, 0), timeline: tl(1) };
    assert_eq!(refuse(&ask(Goal::Lsn(at(7, 0)))), gap);
    assert_eq!(
        refuse(&ask(Goal::Lsn(at(5, 0)))),
        Refusal::LsnTooLate { lsn: at(5, 0), from: at(2, 0x100), end: at(5, 0) }
    );
    let first = Request { base: Some(bases[0].id.clone()), ..ask(Goal::Latest) };
    assert_eq!(refuse(&first), gap);
    assert_eq!(found(&bases, &holed, &ask(Goal::Latest)).0, 1, "a base behind the gap does not need it");
    assert_eq!(found(&bases, &holed, &ask(Goal::Lsn(at(4, 0)))).0, 0);
    assert_eq!(found(&bases, &holed, &ask(Goal::Name("x".into()))).0, 1, "the oldest base without a gap behind it");
    for goal in [Goal::Xid(7), Goal::Name("x".into())] {
        let only = route(&bases[..1], &holed, &ask(goal.clone())).unwrap_err();
        assert_eq!(only, gap, "{goal:?}: the gap is the reason, not that it lies too early");
    }
    let unknown = Request { timeline: TimelineChoice::Number(tl(3)), ..ask(Goal::Latest) };
    assert_eq!(refuse(&unknown), Refusal::UnknownTimeline { timeline: tl(3) });
    let nobody = Request { base: Some("20261124T030000Z-00000000".parse().unwrap()), ..ask(Goal::Latest) };
    assert!(matches!(refuse(&nobody), Refusal::UnknownBase { .. }));
    assert_eq!(route(&[], &holed, &ask(Goal::Latest)).unwrap_err(), Refusal::NoBase);
}

#[test]
fn moments_need_a_commit_behind_them() {
    let bases = [base(1, 1, 2, 10)];
    let whole = state(&[(1, &[(at(2, 0), at(5, 0))], None)]);
    let holed = state(&[(1, &[(at(2, 0), at(5, 0)), (at(6, 0), at(7, 0))], None)]);
    let settle = |wal: &WalState, time: i8, inclusive: bool, last: Option<i8>| {
        let request = Request { inclusive, ..ask(Goal::Time(minute(time))) };
        route(&bases, wal, &request).unwrap().settle(&request, last.map(minute))
    };
    assert!(settle(&whole, 20, true, Some(21)).is_ok());
    assert!(settle(&whole, 20, false, Some(20)).is_ok(), "exclusive: the commit at the target stops it");
    assert!(matches!(settle(&whole, 20, true, Some(20)), Err(Refusal::TimeTooLate { .. })));
    assert!(matches!(settle(&whole, 20, true, None), Err(Refusal::TimeTooLate { last: None, .. })));
    assert!(matches!(settle(&holed, 20, true, Some(15)), Err(Refusal::TimeInGap { from, .. }) if from == at(5, 0)));
    assert!(settle(&holed, 14, true, Some(15)).is_ok(), "before the gap");
}

/// Two failovers inside one segment: 1 was left in the middle of segment 5, 2 a little later in the same segment.
#[test]
fn every_branch_is_reached_along_its_own_path() {
    let (first, second) = (at(5, 0x1000), at(5, 0x2000));
    let wal = state(&[
        (1, &[(at(2, 0), at(5, 0x1800))], None),
        (2, &[(at(5, 0), at(5, 0x2800))], Some(&[(1, first)])),
        (3, &[(at(5, 0), at(9, 0))], Some(&[(1, first), (2, second)])),
    ]);
    let bases = [base(1, 1, 2, 10), base(2, 3, 7, 30)];
    assert_eq!(found(&bases, &wal, &ask(Goal::Latest)), (1, at(9, 0), 3));
    let on = |number: u32, goal: Goal| Request { timeline: TimelineChoice::Number(tl(number)), ..ask(goal) };
    assert_eq!(found(&bases, &wal, &on(1, Goal::Latest)), (0, at(5, 0x1800), 1));
    assert_eq!(found(&bases, &wal, &on(2, Goal::Latest)), (0, at(5, 0x2800), 2));
    assert_eq!(found(&bases, &wal, &on(3, Goal::Lsn(at(6, 0)))), (0, at(9, 0), 3));
    let legs = route(&bases, &wal, &on(3, Goal::Lsn(at(6, 0)))).unwrap().legs;
    let leg = |number, start, end| Leg { timeline: tl(number), start, end };
    assert_eq!(legs, [leg(1, at(2, 0x28), first), leg(2, first, second), leg(3, second, at(9, 0))]);
    let on_the_wrong_branch = Request { base: Some(bases[1].id.clone()), ..on(2, Goal::Latest) };
    assert!(matches!(route(&bases, &wal, &on_the_wrong_branch), Err(Refusal::NotOnPath { .. })));
    let current = Request { timeline: TimelineChoice::Current, ..ask(Goal::Time(minute(15))) };
    assert_eq!(found(&bases, &wal, &current), (0, at(5, 0x1800), 1));
}

#[test]
fn an_old_timeline_that_ends_before_the_branch_connects_only_through_a_copy() {
    let branch = at(5, 0x1000);
    let with = |old_end: Lsn, new_start: Lsn| {
        state(&[(1, &[(at(2, 0), old_end)], None), (2, &[(new_start, at(6, 0))], Some(&[(1, branch)]))])
    };
    let bases = [base(1, 1, 2, 10)];
    assert_eq!(found(&bases, &with(at(5, 0), at(5, 0)), &ask(Goal::Latest)), (0, at(6, 0), 2));
    assert_eq!(found(&bases, &with(branch, at(5, 0)), &ask(Goal::Latest)), (0, at(6, 0), 2));
    let broken = route(&bases, &with(at(4, 0), at(5, 0)), &ask(Goal::Latest)).unwrap_err();
    assert_eq!(broken, Refusal::Unconnected { from: at(4, 0), timeline: tl(1), target: tl(2) });
    let mut unknown = with(branch, at(5, 0));
    unknown.timelines.get_mut(&tl(2)).unwrap().ancestors = None;
    assert_eq!(route(&bases, &unknown, &ask(Goal::Latest)).unwrap_err(), Refusal::NoHistory { timeline: tl(2) });
}
