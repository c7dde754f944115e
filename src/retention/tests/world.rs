//! Facts put together by hand: days counted from one moment, segments of 16 MiB.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::format::manifest::{BaseRange, Kind};
use crate::format::wal::{History, HistoryEntry, WalRange};
use crate::format::{BackupId, KeyId, Lsn, SegmentSize, Timeline};
use crate::retention::{BackupFact, Facts, Own, Plan, Policy, Reason, Result, TimelineFact, Verdict, Verified, plan};

pub(super) const SEGMENT: u64 = 16 << 20;

/// Noon of day `day`; day 0 is 1 January 2026.
pub(super) fn day(day: i64) -> Timestamp {
    let first: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    first + SignedDuration::from_hours(24 * day)
}

pub(super) fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

pub(super) fn tl(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

pub(super) fn segment(number: u64) -> Lsn {
    Lsn::new(number * SEGMENT)
}

pub(super) fn range(start: u64, end: u64) -> WalRange {
    WalRange { start: segment(start), end: segment(end) }
}

pub(super) fn id(arrived_at: Timestamp, number: u32) -> BackupId {
    BackupId::new(arrived_at, number.to_be_bytes())
}

/// Keeps nothing but a window of ten days and one of each kind.
pub(super) fn policy() -> Policy {
    Policy {
        window: days(10),
        keep_last_dumps: 0,
        keep_last_bases: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        min_redundancy: 1,
        dumps: Own::default(),
        bases: Own::default(),
        keep: BTreeSet::new(),
        unfinished: days(7),
        max: days(400),
        margin: days(7),
    }
}

pub(super) fn dump_at(arrived_at: Timestamp, number: u32) -> BackupFact {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&number.to_be_bytes());
    BackupFact {
        id: id(arrived_at, number),
        kind: Kind::Dump,
        arrived_at,
        started_at: arrived_at - SignedDuration::from_mins(5),
        verified: Verified::Yes,
        base: None,
        keys: vec![KeyId::new(key)],
        copy_of: None,
        replaced_by: None,
        held: false,
        bytes: 1000,
    }
}

/// A dump that arrived on a day; its number is the day.
pub(super) fn dump(on: i64) -> BackupFact {
    dump_at(day(on), u32::try_from(on).unwrap())
}

/// A base that arrived on a day, and lies in one segment of a timeline.
pub(super) fn base(on: i64, timeline: u32, at: u64) -> BackupFact {
    let range = BaseRange {
        start: Lsn::new(at * SEGMENT + 0x28),
        stop: Lsn::new(at * SEGMENT + 0x100),
        timeline: tl(timeline),
        segment_bytes: SegmentSize::DEFAULT,
        begun_at: day(on) - SignedDuration::from_mins(3),
        ended_at: day(on) - SignedDuration::from_mins(1),
    };
    BackupFact { kind: Kind::Base, base: Some(range), ..dump_at(day(on), 1000 + u32::try_from(on).unwrap()) }
}

/// WAL of one timeline, last written on a day, come from others which were left at the start of a segment.
pub(super) fn wal(timeline: u32, windows: &[(u64, u64)], newest: i64, ancestors: &[(u32, u64)]) -> TimelineFact {
    let entry = |(number, at): &(u32, u64)| HistoryEntry { timeline: tl(*number), switch: segment(*at) };
    let ancestors: Vec<_> = ancestors.iter().map(entry).collect();
    TimelineFact {
        timeline: tl(timeline),
        history: (!ancestors.is_empty()).then_some(History { timeline: tl(timeline), ancestors }),
        windows: windows.iter().map(|(start, end)| range(*start, *end)).collect(),
        proven: Vec::new(),
        newest_at: Some(day(newest)),
        last_commit: Some(day(newest)),
    }
}

pub(super) fn facts(backups: Vec<BackupFact>, wal: Vec<TimelineFact>) -> Facts {
    Facts {
        cluster: "main".parse().unwrap(),
        segment: Some(SegmentSize::DEFAULT),
        backups,
        unfinished: Vec::new(),
        unread: Vec::new(),
        wal,
    }
}

/// The plan of some backups without WAL.
pub(super) fn planned(backups: &[BackupFact], policy: &Policy, now: Timestamp) -> Result<Plan> {
    plan(&facts(backups.to_vec(), Vec::new()), policy, now)
}

/// Rule and end of what is kept, by the order in which backups arrived; "-" where one expires, "?" where it is left.
pub(super) fn verdicts(plan: &Plan) -> Vec<(&'static str, Option<Timestamp>)> {
    plan.backups.iter().map(|decision| short(&decision.verdict)).collect()
}

pub(super) fn short(verdict: &Verdict) -> (&'static str, Option<Timestamp>) {
    match verdict {
        Verdict::Keep { until, why } => (why.rule(), Some(*until)),
        Verdict::Expire { .. } => ("-", None),
        Verdict::Leave { .. } => ("?", None),
    }
}

/// WAL of a plan: timeline, first and last segment, rule and end.
pub(super) fn wal_verdicts(plan: &Plan) -> Vec<(u32, u64, u64, &'static str, Option<Timestamp>)> {
    let tell = |decision: &crate::retention::WalDecision| {
        let (rule, until) = short(&decision.verdict);
        let segment = |lsn: Lsn| lsn.get() / SEGMENT;
        (decision.timeline.get(), segment(decision.start), segment(decision.end), rule, until)
    };
    plan.wal.iter().map(tell).collect()
}

pub(super) fn why(plan: &Plan, number: usize) -> &Reason {
    plan.backups[number].verdict.why()
}
