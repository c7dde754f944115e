//! Facts as they might be, with a gap, a failover and locks of every kind; for the tests of this folder.

use jiff::{SignedDuration, Timestamp};

use crate::commands::parts::evidence::{
    CheckRecord, CheckResult, Choice, DrilledBackup, Evidence, EvidenceKind, EvidenceResult, ObjectivesRecord,
    PhaseRecord, RequestRecord,
};
use crate::commands::parts::{Finding, FindingKind, Findings, Kind, LockMode, Lsn, Timeline, Verified};
use crate::commands::report::{BackupRow, ClusterReport, Line, LockState, Missing, Outcome, Period, Point, Run};
use crate::commands::status::{Branch, Health, LockEnd, Locks, Reason, ShortLock, Window};

/// An object behind the newest base backup.
pub(super) const WAL: &str = "prod/main/wal/00000002/000000020000000000000C5F-11c2";

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

/// A drill so many days ago; of a base, or of a dump.
fn drill(days: i64, backup: &BackupRow) -> Evidence {
    let started_at = ago(days * 24 + 2);
    let slow = u64::from(days % 13 == 5);
    let phases = [
        ("plan", 1_400),
        ("fetch", 412_000),
        ("replay", 171_000 + slow * 1_500_000),
        ("ready", 2_300),
        ("checks", 96_000),
    ];
    let phase = |(name, milliseconds): (&str, u64)| PhaseRecord {
        name: name.into(),
        milliseconds: milliseconds + days.unsigned_abs() * 997,
    };
    let phases: Vec<PhaseRecord> = phases.into_iter().map(phase).collect();
    let rto = phases.iter().map(|phase| phase.milliseconds).sum::<u64>();
    let check = |name: &str, status, detail: &str| CheckRecord { name: name.into(), status, detail: detail.into() };
    let objectives = ObjectivesRecord { rto_milliseconds: Some(1_800_000), rpo_milliseconds: Some(900_000) };
    let mut checks = vec![
        check("tables", CheckResult::Ok, "3 tables are there"),
        check("chain audit", CheckResult::Ok, "48211 rows in one chain"),
    ];
    if slow == 1 {
        checks.push(check("rto", CheckResult::Fail, "36 min 22 s, the objective is 30 min"));
    }
    Evidence {
        format: Evidence::FORMAT,
        repository: "00000000000000000000000000000001".parse().unwrap(),
        cluster: "main".parse().unwrap(),
        evidence: format!("{}-{:08x}", started_at.strftime("%Y%m%dT%H%M%SZ"), 0xd000 + days).parse().unwrap(),
        kind: EvidenceKind::Drill,
        stonewal: "0.1.0".into(),
        host: "drill1".into(),
        started_at,
        finished_at: started_at.checked_add(SignedDuration::from_millis(rto.try_into().unwrap())).unwrap(),
        request: RequestRecord { choice: Choice::Latest, time: None, lsn: None },
        backup: Some(DrilledBackup {
            id: backup.backup.clone(),
            kind: backup.kind,
            manifest_sha256: serde_json::from_str(&format!("\"{}\"", "ab".repeat(32))).unwrap(),
        }),
        server_version: Some("15.18 (Debian 15.18-0+deb12u1)".into()),
        reached: None,
        recovery_signal: (backup.kind == Kind::Base).then_some(true),
        phases,
        rto_milliseconds: Some(rto),
        newest_committed_at: Some(started_at),
        requested_at: Some(started_at),
        rpo_milliseconds: Some(if backup.kind == Kind::Base { 2_140 + days.unsigned_abs() * 731 } else { 612_000 }),
        objectives,
        bytes: 61_203_283_968,
        wal_bytes: 1 << 30,
        checks,
        chains: Vec::new(),
        release: Some("4f2a91c".into()),
        result: if slow == 1 { EvidenceResult::Failed } else { EvidenceResult::Passed },
        error: None,
    }
}

fn points() -> Vec<Point> {
    let point = |name, title, evidence: &str, hint: Option<&'static str>| Point {
        name,
        title,
        ticked: hint.is_none(),
        evidence: evidence.into(),
        hint,
    };
    vec![
        point(
            "encrypted",
            "Stored backups are encrypted and whole",
            "base 20261122T033000Z-5b0c6f61: 412 objects there and locked as promised, 3 streams sealed by AES-256-GCM under key 6f1c",
            None,
        ),
        point(
            "wal-window",
            "WAL covers the recovery window",
            "recovery is not possible between 2026-11-06 06:30 UTC and 2026-11-08 03:30 UTC",
            Some(
                "see `stonewal status`; a gap is closed by `stonewal wal push --from`, else only by a new base backup and time",
            ),
        ),
        point(
            "restored",
            "A restore was rehearsed without errors",
            "drill 20261124T043000Z-0000d000 of dump 20261124T023000Z-5b0c6f32 passed at 2026-11-24 04:41 UTC",
            None,
        ),
        point(
            "point-in-time",
            "A recovery to a moment was rehearsed, with recovery.signal before the start",
            "drill 20261123T043000Z-0000d001 of base 20261122T033000Z-5b0c6f61 passed, with recovery.signal before the start",
            None,
        ),
        point(
            "verified",
            "The restored database passed its checks",
            "2 checks, 1 of them hash chains, none failed",
            None,
        ),
        point("audited", "The use of backups is recorded", "audit records tell of the newest drill", None),
        point(
            "release",
            "The restored database belongs to the approved release",
            "found 4f2a91c, the approved one",
            None,
        ),
    ]
}

fn locks() -> Locks {
    Locks {
        kind: Some(Kind::Base),
        soonest: Some(LockEnd { key: WAL.into(), until: ago(-20 * 24) }),
        asked: 9,
        unlocked: None,
        short: Some(ShortLock { key: WAL.into(), until: ago(-20 * 24), needed_until: ago(-30 * 24) }),
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
    let of = |days: i64| backups.iter().rev().find(|row| (row.kind == Kind::Base) == (days % 2 == 1)).unwrap();
    let drills = (0..40).map(|days| drill(days, of(days))).collect();
    let base = backups.iter().rev().find(|row| row.kind == Kind::Base).unwrap().backup.clone();
    ClusterReport {
        archive: false,
        cluster: name.parse().unwrap(),
        system_identifier: Some(7_300_000_000_000_000_001),
        health,
        reasons,
        window: Some(Window { base, earliest_at: ago(16 * 24 + 3), latest_commit_at: Some(ago(0)), end: lsn(2050) }),
        restorable: vec![period(37 * 24 + 3, 18 * 24), period(16 * 24 + 3, 0)],
        wal: vec![first, second],
        backups,
        drills,
        checklist: points(),
        physical_since: Some(ago(38 * 24)),
        unfinished: 1,
        policy_window_seconds: 35 * 86_400,
        min_lock_seconds: 7 * 86_400,
        locks: locks(),
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
