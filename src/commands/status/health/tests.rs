use super::super::facts::{Blocked, BucketFacts, Durable, Gap, ShortLock, Span, UnreadWal};
use super::super::samples::{at, bucket, server, timeline};
use super::super::{ServerAnswer, lag};
use super::*;
use crate::catalog::Diverging;
use crate::format::Lsn;
use crate::postgres::slot::WalStatus;
use crate::postgres::wal_facts::{Backlog, WalFacts};

const LIMITS: Thresholds = Thresholds {
    max_lag: Duration::from_mins(1),
    max_base_age: Duration::from_hours(8 * 24),
    min_lock: Duration::from_hours(7 * 24),
};

/// A world that was made sick in one way, and the reasons that must be told, worst first: none more, none less.
struct Case {
    bucket: BucketFacts,
    server: WalFacts,
    asked: bool,
    tampering: u64,
    locked: bool,
    replicas: Vec<ReplicaFacts>,
}

impl Case {
    fn healthy() -> Self {
        Self { bucket: bucket(), server: server(), asked: true, tampering: 0, locked: true, replicas: Vec::new() }
    }

    fn reasons(&self) -> Vec<Reason> {
        let answer =
            if self.asked { ServerAnswer::Facts(Box::new(self.server.clone())) } else { ServerAnswer::NotAsked };
        let lag = answer.facts().and_then(|facts| lag::measure(facts, self.bucket.durable.as_ref(), self.bucket.now));
        let evidence = Evidence {
            bucket: &self.bucket,
            replicas: &self.replicas,
            server: &answer,
            slot: "stonewal",
            lag,
            headroom: lag::headroom(&self.server, "stonewal", None),
            tampering: self.tampering,
            tampering_is_cut: self.tampering > 1000,
            locked: self.locked,
        };
        assess(&evidence, &LIMITS)
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Case), want: &[(Health, &str)]) -> Vec<Reason> {
    let mut case = Case::healthy();
    change(&mut case);
    let reasons = case.reasons();
    let told: Vec<_> = reasons.iter().map(|reason| (reason.health, reason.name)).collect();
    assert_eq!(told, want, "{reasons:#?}");
    assert_eq!(overall(&reasons), want.first().map_or(Health::Green, |(health, _)| *health));
    assert!(reasons.iter().all(|reason| !reason.text.is_empty() && !reason.hint.is_empty()));
    reasons
}

use Health::{Red, Yellow};

/// Makes the server move on, so that so many bytes are on it only since the durable object of `second`.
fn behind(case: &mut Case, bytes: u64, second: i64) {
    let durable = case.bucket.durable.as_mut().unwrap();
    durable.arrived_at = at(second);
    case.server.position = Some(durable.lsn.plus(bytes));
}

fn gap(case: &mut Case, recorded: bool, matters: bool) {
    let span = Span { start: Lsn::new(0x300_0000), end: Lsn::new(0x400_0000) };
    case.bucket.timelines[0].gaps.push(Gap { span, recorded, matters });
}

#[test]
fn all_is_well() {
    check(|_| (), &[]);
    check(|case| case.asked = false, &[]);
    check(|case| behind(case, 5, -60), &[]);
    check(|case| behind(case, 0, -86_400), &[]);
    check(|case| case.server.system_identifier = None, &[]);
}

#[test]
fn wal_that_does_not_arrive() {
    let late = check(|case| behind(case, 5, -61), &[(Red, "lag")]);
    assert_eq!(
        late[0].text,
        "5 B of WAL are on the server only; nothing has arrived for 1 min 1 s (status.max_lag is 1 min)"
    );
    let other = |case: &mut Case| {
        behind(case, 5, -61);
        case.server.timeline = Some(timeline(2));
    };
    assert!(check(other, &[(Red, "lag")])[0].text.contains("no WAL of the server's timeline 2"));
    check(|case| case.bucket.durable = None, &[(Red, "lag")]);
    // Without a server nothing can be compared.
    check(
        |case| {
            behind(case, 5, -61);
            case.asked = false;
        },
        &[],
    );
    let archiving = |timeout: u64| {
        move |case: &mut Case| {
            behind(case, 5, -5000);
            case.server.settings.archiving = true;
            case.server.settings.archive_timeout_seconds = timeout;
            let segment = case.server.position.unwrap().floor(16 << 20);
            case.bucket.durable = Some(Durable { lsn: segment, ..case.bucket.durable.unwrap() });
        }
    };
    check(archiving(60), &[]);
    check(archiving(300), &[(Yellow, "archive-timeout")]);
    check(archiving(0), &[(Red, "lag")]);
}

#[test]
fn servers_that_are_wrong_or_silent() {
    check(|case| case.server.system_identifier = Some(4711), &[(Red, "other-cluster")]);
    let unseen = check(|case| case.server.position = None, &[(Yellow, "unseen")]);
    assert_eq!(unseen[0].text, "the server does not tell its position");
    check(|case| case.server.slots = None, &[(Yellow, "unseen")]);
    check(|case| case.server.archiver = None, &[]);
    let silent = ServerAnswer::Silent { error: "no connection".into(), hint: None };
    let bucket = bucket();
    let evidence = Evidence {
        bucket: &bucket,
        replicas: &[],
        server: &silent,
        slot: "stonewal",
        lag: None,
        headroom: None,
        tampering: 0,
        tampering_is_cut: false,
        locked: true,
    };
    let reasons = assess(&evidence, &LIMITS);
    assert_eq!((reasons.len(), reasons[0].name, reasons[0].health), (1, "server-silent", Red));
}

#[test]
fn archivers() {
    let fail = |case: &mut Case| {
        let archiver = case.server.archiver.as_mut().unwrap();
        archiver.last_failed_at = Some(at(-1));
        (archiver.failed, archiver.last_failed) = (2, Some("000000010000000000000005".into()));
    };
    check(fail, &[]);
    let failing = |case: &mut Case| {
        fail(case);
        case.server.settings.archiving = true;
        case.server.backlog = Some(Backlog { files: 1, bytes: Some(16 << 20), oldest_at: None });
    };
    let told = check(failing, &[(Red, "archiver-failing")]);
    assert_eq!(told[0].text, "archive_command fails: 000000010000000000000005, 2 failures so far; 1 file waiting");
    for (files, want) in [(16, &[][..]), (17, &[(Yellow, "archive-backlog")])] {
        let waiting = |case: &mut Case| {
            case.server.settings.archiving = true;
            case.server.backlog = Some(Backlog { files, bytes: Some(files << 24), oldest_at: None });
        };
        check(waiting, want);
    }
}

#[test]
fn slots() {
    fn slot(case: &mut Case) -> &mut crate::postgres::wal_facts::Slot {
        &mut case.server.slots.as_mut().unwrap()[0]
    }
    let gone = |case: &mut Case| {
        case.server.slots = Some(Vec::new());
        case.server.senders = Some(Vec::new());
    };
    check(gone, &[(Red, "no-slot")]);
    let archived = |case: &mut Case| {
        gone(case);
        case.server.settings.archiving = true;
    };
    check(archived, &[]);
    check(|case| case.server.slots = Some(Vec::new()), &[]);
    check(|case| slot(case).physical = false, &[(Red, "no-slot")]);
    check(|case| slot(case).wal_status = Some(WalStatus::Lost), &[(Red, "slot-lost")]);
    check(|case| slot(case).wal_status = Some(WalStatus::Unreserved), &[(Red, "slot-endangered")]);
    let idle = check(|case| slot(case).active = false, &[(Yellow, "slot-idle")]);
    assert!(idle[0].text.ends_with("without limit, until the disk is full"), "{}", idle[0].text);
    let headroom = |left: i64, late: bool| {
        move |case: &mut Case| {
            case.server.settings.slot_keep_bytes = Some(4000);
            case.server.written = Some(crate::postgres::wal_facts::Written { bytes: 100, since: at(-100) });
            slot(case).safe_bytes = Some(left);
            behind(case, u64::from(late), -61);
        }
    };
    check(headroom(1000, false), &[]);
    check(headroom(999, false), &[(Yellow, "slot-headroom")]);
    // A small limit is no reason to worry while nothing is kept.
    check(headroom(3599, false), &[]);
    let soon = check(headroom(3599, true), &[(Red, "lag"), (Yellow, "slot-headroom")]);
    assert_eq!(soon[1].text, "slot stonewal has 3.5 KiB left, about 59 min 59 s at the present rate");
    check(headroom(3600, true), &[(Red, "lag")]);
}

#[test]
fn gaps() {
    let told = check(|case| gap(case, false, true), &[(Red, "gap")]);
    assert_eq!(told[0].text, "WAL of timeline 1 from 0/3000000 to 0/4000000 (16.0 MiB) is missing (found)");
    let more = |case: &mut Case| {
        gap(case, true, true);
        gap(case, true, true);
    };
    assert!(check(more, &[(Red, "gap")])[0].text.ends_with("(recorded), and 1 more gap"));
    check(|case| gap(case, true, false), &[(Yellow, "old-gap")]);
    let both = |case: &mut Case| {
        gap(case, true, false);
        gap(case, false, true);
    };
    check(both, &[(Red, "gap"), (Yellow, "old-gap")]);
    let unread = |case: &mut Case| {
        let span = Span { start: Lsn::new(0x300_0000), end: Lsn::new(0x400_0000) };
        let (why, hint) = ("it is frozen".into(), Some("thaw it".into()));
        case.bucket.unread = Some(UnreadWal { timeline: timeline(1), span, why, hint });
    };
    assert!(check(unread, &[(Yellow, "unread-wal")])[0].text.contains("cannot be read"));
}

#[test]
fn base_backups() {
    check(|case| case.bucket.bases.clear(), &[(Red, "no-base")]);
    let nothing = |case: &mut Case| {
        case.bucket.bases.clear();
        case.bucket.timelines.clear();
    };
    assert_eq!(check(nothing, &[(Red, "no-base")])[0].text, "there is neither a base backup nor WAL");
    let dumps = |case: &mut Case| {
        nothing(case);
        case.bucket.newest_dump = Some(bucket().bases[0].backup.clone());
    };
    assert!(check(dumps, &[(Red, "no-base")])[0].text.contains("the newest 1 h old"));
    let aged = |age: i64| move |case: &mut Case| case.bucket.bases[0].backup.arrived_at = at(-age);
    check(aged(8 * 86_400), &[]);
    check(aged(8 * 86_400 + 1), &[(Yellow, "base-old")]);
    let blocked = Blocked { why: "the history of timeline 2 is not stored".into(), hint: "push it".into() };
    check(|case| case.bucket.blocked = Some(blocked), &[(Red, "no-way")]);
}

#[test]
fn locks() {
    let ends = |second: i64| move |case: &mut Case| case.bucket.locks.soonest.as_mut().unwrap().until = at(second);
    check(ends(7 * 86_400), &[]);
    let soon = check(ends(7 * 86_400 - 1), &[(Yellow, "lock-ends")]);
    assert_eq!(soon[0].text, "the lock of main/wal/x ends in 6 d 23 h (status.min_lock is 7 d)");
    assert!(check(ends(-5), &[(Yellow, "lock-ends")])[0].text.contains("has ended"));
    let short = ShortLock { key: "keys/k".into(), until: at(8 * 86_400), needed_until: at(9 * 86_400) };
    let told = check(|case| case.bucket.locks.short = Some(short), &[(Yellow, "lock-short")]);
    assert!(told[0].text.starts_with("keys/k is locked until ") && told[0].hint.contains("extend"), "{told:?}");
    check(|case| case.bucket.locks.unlocked = Some("x".into()), &[(Red, "no-lock")]);
    let unlocked = |case: &mut Case| {
        case.bucket.locks.unlocked = Some("x".into());
        case.locked = false;
    };
    check(unlocked, &[]);
}

#[test]
fn a_latest_timeline_that_does_not_live_is_told() {
    let (fork, timeline) = (Lsn::new(0x100_0000), super::super::samples::timeline);
    let found = Diverging { latest: timeline(2), latest_at: at(-9), other: timeline(1), other_at: at(0), fork };
    let told = check(|case| case.bucket.diverging = Some(found), &[(Yellow, "diverging")]);
    assert!(told[0].text.contains("parted at 0/1000000") && told[0].hint.contains("--no-archive"), "{told:?}");
}

#[test]
fn tampering_is_told_and_the_worst_comes_first() {
    check(|case| case.tampering = 1, &[(Yellow, "tampering")]);
    let cut = check(|case| case.tampering = 1001, &[(Yellow, "tampering")]);
    assert_eq!(cut[0].text, "at least 1001 findings in the bucket cannot be an accident");
    let all = |case: &mut Case| {
        case.tampering = 3;
        case.bucket.bases.clear();
        behind(case, 5, -61);
    };
    check(all, &[(Red, "lag"), (Red, "no-base"), (Yellow, "tampering")]);
}

/// PAINS F3.
#[test]
fn replicas_that_are_behind_or_silent() {
    let facts = |lag_seconds, failure: Option<&str>| ReplicaFacts {
        replica: "far".into(),
        failure: failure.map(str::to_owned),
        missing_wal_bytes: 32 << 20,
        lacks_newest_base: true,
        lacks_newest_dump: false,
        lag_seconds,
        max_lag_seconds: 3600,
    };
    check(|case| case.replicas = vec![facts(3600, None)], &[]);
    let behind = check(|case| case.replicas = vec![facts(7500, None)], &[(Yellow, "replica-behind")]);
    assert!(behind[0].text.contains("32.0 MiB of WAL and the newest base backup, for 2 h 5 min"), "{}", behind[0].text);
    let dump = |case: &mut Case| {
        let facts = ReplicaFacts {
            missing_wal_bytes: 0,
            lacks_newest_base: false,
            lacks_newest_dump: true,
            ..facts(7500, None)
        };
        case.replicas = vec![facts];
    };
    let behind = check(dump, &[(Yellow, "replica-behind")]);
    assert!(behind[0].text.contains("lacks the newest dump, for 2 h 5 min"), "{}", behind[0].text);
    check(|case| case.replicas = vec![facts(0, Some("denied"))], &[(Yellow, "replica-failing")]);
}
