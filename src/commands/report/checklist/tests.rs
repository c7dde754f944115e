//! What ticks a point, and what does not.

use super::*;
use crate::commands::report::{BackupRow, LockState};
use crate::commands::status::{Health, Locks};
use crate::format::evidence::CheckRecord;
use crate::retention::Verified;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
}

fn backup(kind: Kind) -> BackupRow {
    BackupRow {
        backup: "20270115T070000Z-5b0c6f2e".parse().unwrap(),
        kind,
        arrived_at: at(-30),
        took_seconds: 1,
        server_version: "15.18".into(),
        plain_bytes: 1,
        stored_bytes: 1,
        writer: "b3c1f0aa".into(),
        whole: Verified::Yes,
        held: false,
        plan: Some("keep"),
        needed_until: None,
        why: Vec::new(),
        locked_until: None,
        lock_mode: None,
        lock: LockState::Enough,
    }
}

/// A drill that went well, so many hours ago; of a base to a moment.
fn drill(kind: Kind, hours: i64) -> Evidence {
    let started = at(-hours);
    let id = format!("{}-0000d000", started.strftime("%Y%m%dT%H%M%SZ"));
    let signal = (kind == Kind::Base).then_some(true);
    let moment = (kind == Kind::Base).then_some(started);
    serde_json::from_value(serde_json::json!({
        "format": 1, "repository": "00000000000000000000000000000001", "cluster": "main", "evidence": id, "kind": "drill",
        "stonewal": "0.1.0", "host": "drill1", "started_at": started, "finished_at": started,
        "request": {"choice": "latest", "time": moment, "lsn": null},
        "backup": {"id": "20270115T070000Z-5b0c6f2e", "kind": kind, "manifest_sha256": "ab".repeat(32)},
        "server_version": "15.18", "reached": null, "recovery_signal": signal, "phases": [], "rto_milliseconds": 1,
        "newest_committed_at": null, "requested_at": started, "rpo_milliseconds": 1,
        "objectives": {"rto_milliseconds": null, "rpo_milliseconds": null}, "bytes": 1, "wal_bytes": 0,
        "checks": [{"name": "tables", "status": "ok", "detail": "x"}, {"name": "chain audit", "status": "note", "detail": "y"}],
        "release": "4f2a91c", "result": "passed", "error": null
    }))
    .unwrap()
}

/// Everything as it should be.
pub(in crate::commands::report) fn cluster() -> ClusterReport {
    ClusterReport {
        cluster: "main".parse().unwrap(),
        archive: false,
        system_identifier: Some(7),
        health: Health::Green,
        reasons: Vec::new(),
        window: None,
        restorable: vec![Period { from: at(-40 * 24), to: at(0) }],
        wal: Vec::new(),
        backups: vec![backup(Kind::Base), backup(Kind::Dump)],
        drills: vec![drill(Kind::Dump, 5), drill(Kind::Base, 29)],
        checklist: Vec::new(),
        physical_since: Some(at(-90 * 24)),
        unfinished: 0,
        policy_window_seconds: 35 * 86_400,
        min_lock_seconds: 7 * 86_400,
        locks: Locks::default(),
        no_plan: None,
    }
}

struct Case {
    cluster: ClusterReport,
    sealed: Vec<Sealed>,
    trace: Option<Trace>,
    release: Option<&'static str>,
}

/// The points that are open after a change, and what the first of them rests on.
#[track_caller]
fn check(change: impl FnOnce(&mut Case), open: &[&str], words: &str) {
    let trace = Some(Trace::Ended { record: "a".into() });
    let sealed = vec![Sealed::sample(None)];
    let mut case = Case { cluster: cluster(), sealed, trace, release: Some("4f2a91c") };
    change(&mut case);
    let terms = Terms { max_age: SignedDuration::from_hours(35 * 24), release: case.release.map(str::to_owned) };
    let Case { cluster, sealed, trace, .. } = &case;
    let points = points(&Ground { at: at(0), cluster, sealed, trace: trace.clone(), terms: &terms });
    assert_eq!(points.len(), 7);
    let found: Vec<_> = points.iter().filter(|point| !point.ticked).collect();
    assert_eq!(found.iter().map(|point| point.name).collect::<Vec<_>>(), open, "{found:?}");
    assert!(found.iter().all(|point| point.hint.is_some()) && points.iter().all(|point| !point.evidence.is_empty()));
    assert!(found.first().is_none_or(|point| point.evidence.contains(words)), "{found:?}");
}

#[test]
fn all_seven_are_ticked_when_all_is_well() {
    check(|_| {}, &[], "");
}

#[test]
fn backups_must_be_there_and_sealed() {
    check(|case| case.sealed.clear(), &["encrypted"], "no backup");
    check(|case| case.sealed.push(Sealed::sample(Some("x is missing"))), &["encrypted"], "x is missing");
}

/// PAINS A17: coverage that ends early, begins late or has a hole.
#[test]
fn i09_the_window_must_be_covered_without_a_hole_up_to_now() {
    let covered = |periods: &'static [(i64, i64)]| {
        move |case: &mut Case| {
            case.cluster.restorable =
                periods.iter().map(|(from, to)| Period { from: at(from * 24), to: at(to * 24) }).collect();
        }
    };
    check(covered(&[(-40, -20), (-18, 0)]), &["wal-window"], "not possible between");
    check(covered(&[(-60, -50), (-40, 0)]), &[], "");
    check(covered(&[]), &["wal-window"], "no moment");
    check(covered(&[(-60, -50)]), &["wal-window"], "no moment");
    check(covered(&[(-40, -2)]), &["wal-window"], "24 h ago");
    check(covered(&[(-20, 0)]), &["wal-window"], "the window begins at");
    let young = |case: &mut Case| {
        covered(&[(-20, 0)])(case);
        case.cluster.physical_since = Some(at(-21 * 24));
    };
    check(young, &[], "");
}

/// PAINS B17.
#[test]
fn rehearsals_must_be_young_of_the_right_kind_and_passed() {
    let drills = |make: fn() -> Vec<Evidence>| move |case: &mut Case| case.cluster.drills = make();
    let all = ["restored", "point-in-time", "verified", "release"];
    check(drills(Vec::new), &all, "no dump was restored by a drill within 35 days");
    check(drills(|| vec![drill(Kind::Dump, 36 * 24), drill(Kind::Base, 36 * 24)]), &all, "within 35 days");
    check(drills(|| vec![drill(Kind::Dump, 1)]), &["point-in-time"], "no base backup was recovered to a moment");
    check(drills(|| vec![drill(Kind::Base, 1)]), &["restored"], "no dump was restored");
    // The newest of a kind counts, not the last that went well.
    let failed = |kind, result| Evidence { result, error: Some("no room".into()), ..drill(kind, 1) };
    check(
        drills_of(vec![failed(Kind::Dump, EvidenceResult::Error), drill(Kind::Dump, 2), drill(Kind::Base, 3)]),
        &["restored", "verified"],
        "no room",
    );
    check(
        drills_of(vec![failed(Kind::Base, EvidenceResult::Failed), drill(Kind::Dump, 2)]),
        &["point-in-time"],
        "failed",
    );
    let without = Evidence { recovery_signal: Some(false), ..drill(Kind::Base, 1) };
    check(drills_of(vec![without, drill(Kind::Dump, 2)]), &["point-in-time"], "without recovery.signal");
    // Where there are no dumps, a base is what can be restored.
    let bases = |case: &mut Case| {
        case.cluster.backups = vec![backup(Kind::Base)];
        case.cluster.drills = vec![drill(Kind::Base, 1)];
    };
    check(bases, &[], "");
}

/// What a nightly drill leaves: recovered to the end of the WAL.
fn to_the_end(hours: i64) -> Evidence {
    let mut drill = drill(Kind::Base, hours);
    drill.request.time = None;
    drill
}

/// PAINS B17: a drill without a target says nothing about recovery to a moment, whatever became of it.
#[test]
fn only_a_drill_to_a_moment_rehearses_one() {
    let dump = || drill(Kind::Dump, 1);
    check(drills_of(vec![dump(), to_the_end(2)]), &["point-in-time"], "recovered to a moment by a drill within");
    let failed = || Evidence { result: EvidenceResult::Failed, ..to_the_end(2) };
    check(drills_of(vec![dump(), failed(), drill(Kind::Base, 3)]), &[], "");
    check(drills_of(vec![dump(), to_the_end(2), drill(Kind::Base, 3)]), &[], "");
    let targeted = Evidence { result: EvidenceResult::Failed, ..drill(Kind::Base, 3) };
    check(drills_of(vec![dump(), to_the_end(2), targeted]), &["point-in-time"], "failed");
    let mut position = to_the_end(2);
    position.request.lsn = Some("0/3000000".parse().unwrap());
    check(drills_of(vec![dump(), position]), &[], "");
}

/// What ticks `verified`, by the checks of the newest drill.
#[track_caller]
fn verified(checks: &[(&str, CheckResult)], ticked: bool, words: &str) {
    let mut newest = drill(Kind::Dump, 1);
    let one = newest.checks[0].clone();
    let named =
        |(name, status): &(&str, CheckResult)| CheckRecord { name: (*name).into(), status: *status, ..one.clone() };
    newest.checks = checks.iter().map(named).collect();
    let cluster = ClusterReport { drills: vec![newest], ..cluster() };
    let terms = Terms { max_age: SignedDuration::from_hours(35 * 24), release: None };
    let found = Ground { at: at(0), cluster: &cluster, sealed: &[], trace: None, terms: &terms }.verified();
    assert!(found.is_ok() == ticked && found.as_ref().unwrap_or_else(|why| why).contains(words), "{found:?}");
}

/// PAINS B17: a note that nothing is configured is no check that passed.
#[test]
fn notes_verify_nothing_and_only_chains_that_were_followed_count() {
    use CheckResult::{Fail, Note, Ok, Warn};
    let followed = [("tables", Ok), ("chain audit", Ok), ("chain ledger", Ok), ("chain empty", Note)];
    verified(&followed, true, "3 checks, 2 of them hash chains, none failed; 1 not compared");
    verified(&[("tables", Ok), ("chains", Note)], true, "1 check, no hash chain was followed, none failed; 1 not");
    verified(&[("rows", Ok)], true, "no hash chain was followed");
    verified(&[("sql totals", Ok)], true, "no hash chain was followed");
    verified(&[("chain audit", Ok)], true, "1 of them hash chains");
    let bare =
        [("tables", Note), ("rows", Note), ("chains", Note), ("sequences", Ok), ("indexes", Ok), ("release", Ok)];
    verified(&bare, false, "no check looked at");
    verified(&[("tables", Note), ("rows", Warn)], false, "no check looked at");
    verified(&[("tables", Ok), ("chain audit", Fail)], false, "chain audit failed");
}

fn drills_of(drills: Vec<Evidence>) -> impl FnOnce(&mut Case) {
    move |case| case.cluster.drills = drills
}

fn failed_at_once() -> Evidence {
    Evidence { result: EvidenceResult::Error, error: Some("no room".into()), ..drill(Kind::Dump, 1) }
}

#[test]
fn checks_audit_and_release_are_looked_at() {
    let mut bad = drill(Kind::Dump, 1);
    bad.checks[1].status = CheckResult::Fail;
    bad.result = EvidenceResult::Failed;
    let mut planless = Evidence { backup: None, checks: Vec::new(), ..failed_at_once() };
    let behind = |first: &Evidence| drills_of(vec![first.clone(), drill(Kind::Dump, 2), drill(Kind::Base, 3)]);
    check(behind(&planless), &["restored"], "no room");
    planless.request.time = Some(at(-1));
    check(behind(&planless), &["restored", "point-in-time"], "no room");
    check(drills_of(vec![bad.clone(), drill(Kind::Base, 2)]), &["restored", "verified"], "failed");
    // Of a replica alone: it hides nothing that the repository's own prove, and stands for none of them.
    let mut note = bad.checks[0].clone();
    (note.name, note.status) = (Evidence::READ_FROM.into(), CheckResult::Note);
    bad.checks = vec![note.clone()];
    check(drills_of(vec![bad, drill(Kind::Dump, 2), drill(Kind::Base, 3)]), &[], "");
    let mut far = [drill(Kind::Dump, 1), drill(Kind::Base, 2)];
    for drill in &mut far {
        drill.checks.push(note.clone());
    }
    check(drills_of(far.into()), &["restored", "point-in-time", "verified", "release"], "no dump was restored");
    check(|case| case.trace = None, &["audited"], "no drill");
    check(|case| case.trace = Some(Trace::None), &["audited"], "knows nothing");
    check(|case| case.trace = Some(Trace::BegunOnly { record: "a".into() }), &["audited"], "none that it ended");
    check(|case| case.release = None, &["release"], "no approved release");
    check(|case| case.release = Some("other"), &["release"], "approved is other");
}

/// An archive is not asked whether its WAL is new, but whether its base backups can be recovered at all.
#[test]
fn an_archive_is_asked_for_wal_only_where_a_base_lacks_it() {
    let asked = |cluster: &ClusterReport| {
        let terms = Terms { max_age: SignedDuration::from_hours(35 * 24), release: None };
        let sealed = [Sealed::sample(None)];
        let points = points_of(&Ground { at: at(0), cluster, sealed: &sealed, trace: None, terms: &terms });
        points.into_iter().map(|point| (point.name, point.ticked)).collect::<Vec<_>>()
    };
    let mut old = ClusterReport { archive: true, ..cluster() };
    assert_eq!(asked(&old), [("encrypted", true), ("wal-window", false)]);
    old.backups.retain(|row| row.kind == Kind::Dump);
    assert_eq!(asked(&old), [("encrypted", true)]);
}
