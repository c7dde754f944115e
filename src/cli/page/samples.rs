//! Facts as they might be, with a gap, a failover and locks of every kind; for the tests of this folder.

use jiff::{SignedDuration, Timestamp};

use crate::commands::parts::{Finding, FindingKind, Findings, Kind, LockMode, Lsn, Timeline, Verified};
use crate::commands::report::{BackupRow, ClusterReport, Line, LockState, Missing, Outcome, Period, Run};
use crate::commands::status::{Branch, Health, Reason, Window};

pub(super) fn now() -> Timestamp {
    "2026-11-24T06:30:00Z".parse().unwrap()
}

/// So many hours before the sample's present.
fn ago(hours: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_hours(hours)).unwrap()
}

fn period(from: i64, to: i64) -> Period {
    Period { from: ago(from), to: ago(to) }
}

fn lsn(segments: u64) -> Lsn {
    format!("{:X}/{:08X}", segments >> 8, (segments & 0xff) << 24).parse().unwrap()
}

fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn backup(kind: Kind, hours: i64, lock_days: i64, lock: LockState) -> BackupRow {
    let id = format!("{}-{:08x}", ago(hours).strftime("%Y%m%dT%H%M%SZ"), 0x5b0c_6f2e + hours);
    let needed = matches!(lock, LockState::NotNeeded).then_some(()).is_none();
    BackupRow {
        backup: id.parse().unwrap(),
        kind,
        arrived_at: ago(hours),
        took_seconds: if kind == Kind::Base { 1871 } else { 214 },
        server_version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        plain_bytes: 61_203_283_968,
        stored_bytes: 12_884_901_888,
        writer: "b3c1f0aa".into(),
        whole: Verified::Yes,
        held: false,
        plan: Some(if needed { "keep" } else { "expire" }),
        needed_until: needed.then(|| ago(-24 * 35 + hours)),
        why: vec!["its moment lies in the recovery window of 35 days".into()],
        locked_until: Some(ago(-24 * lock_days)),
        lock_mode: Some(LockMode::Compliance),
        lock,
    }
}

/// A cluster that failed over eight days ago and lost some WAL eighteen days ago.
pub(super) fn cluster(name: &str, health: Health) -> ClusterReport {
    let mut backups = Vec::new();
    for day in (0..40).rev() {
        let lock = match day {
            36.. => LockState::NotNeeded,
            31 => LockState::EndsSoon,
            12..=29 => LockState::ToExtend,
            _ => LockState::Enough,
        };
        let left = 37 - day - if matches!(lock, LockState::ToExtend | LockState::EndsSoon) { 4 } else { 0 };
        backups.push(backup(Kind::Dump, day * 24 + 4, left, lock));
        if day % 7 == 2 {
            backups.push(backup(Kind::Base, day * 24 + 3, left, lock));
        }
    }
    backups[30].whole = Verified::No("missing: prod/main/backups/x".into());
    backups[3].held = true;
    let run = |start, end, period| Run { start: lsn(start), end: lsn(end), arrived: Some(period) };
    let missing = Missing {
        start: lsn(900),
        end: lsn(912),
        around: Some(period(18 * 24, 17 * 24)),
        recorded: true,
        matters: false,
    };
    let first = Line {
        timeline: timeline(1),
        parent: None,
        runs: vec![run(2, 900, period(38 * 24, 18 * 24)), run(912, 1400, period(17 * 24, 8 * 24))],
        missing: vec![missing],
    };
    let second = Line {
        timeline: timeline(2),
        parent: Some(Branch { timeline: timeline(1), at: lsn(1398) }),
        runs: vec![run(1398, 2050, period(8 * 24, 0))],
        missing: Vec::new(),
    };
    let reason = |health, name, text: &str, hint: &str| Reason { name, health, text: text.into(), hint: hint.into() };
    let reasons = match health {
        Health::Green => Vec::new(),
        _ => vec![reason(
            health,
            "old-gap",
            "WAL of timeline 1 from 3/84000000 to 3/90000000 (192.0 MiB) is missing (recorded)",
            "moments inside and between the gap and the next base backup cannot be restored; it goes when its neighbours' locks have ended",
        )],
    };
    let base = backups.iter().rev().find(|row| row.kind == Kind::Base).unwrap().backup.clone();
    ClusterReport {
        cluster: name.parse().unwrap(),
        system_identifier: Some(7_300_000_000_000_000_001),
        health,
        reasons,
        window: Some(Window { base, earliest_at: ago(16 * 24 + 3), latest_commit_at: Some(ago(0)), end: lsn(2050) }),
        restorable: vec![period(37 * 24 + 3, 18 * 24), period(16 * 24 + 3, 0)],
        wal: vec![first, second],
        backups,
        unfinished: 1,
        policy_window_seconds: 35 * 86_400,
        min_lock_seconds: 7 * 86_400,
        no_plan: None,
    }
}

pub(super) fn outcome(clusters: Vec<ClusterReport>) -> Outcome {
    let mut findings = Findings::default();
    let key = "prod/main/backups/20261101T021500Z-0c1d2e3f/manifest-77aa";
    findings.push(Finding::new(
        FindingKind::LaterVersion,
        key,
        Some("v2"),
        "1 other version lies over it; it is ignored",
    ));
    Outcome { location: "s3://my-backups/prod/".into(), at: now(), stonewal: "0.1.0".into(), clusters, findings }
}

/// What somebody might write wherever text is free.
pub(super) const HOSTILE: &str = "</title></style><script>alert(1)</script><img src=x onerror=\"alert('x')\"> | **`[x](javascript:1)` &amp; \u{202E}\u{0}\n# y";
