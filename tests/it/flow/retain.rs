//! Locks that follow the plan, legal holds, and what expires: each under the role that may do it and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use stonewal::commands::retention::{apply, extend, hold};
use stonewal::commands::{Error, Immutability, Which};
use stonewal::format::BackupId;
use stonewal::retention::Policy;
use stonewal::store::roles::Role;
use stonewal::store::{self, Append as _, Lock, LockMode, ObjectKey, Prune as _, Put};
use stonewal::verify::Level;

use super::stage::{DAY, Stage, id, run_backup};
use setting::{STEP, apply, days, extend, hold, is_due, newest_only, policy};

mod cost;
pub(in crate::flow) mod setting;
mod shared;
mod unlocking;

/// PAINS A16, B6, D8, D9: everything a backup stands on is locked as long as the plan keeps it, by a role that reads no
/// object and deletes nothing, page by page of seven.
#[tokio::test]
async fn a16_everything_a_kept_backup_needs_is_locked_as_long_as_the_plan_keeps_it() {
    let Some(stage) = Stage::new("a16_extend", |options| options.page_size = 7).await else { return };
    stage.backup().await;
    let second = stage.backup().await;
    let before = stage.locks().await;

    let told = extend(extend::Options { dry_run: true, ..stage.extension(policy()) }).await.unwrap();
    assert_eq!(stage.locks().await, before, "a dry run changes nothing");
    let due = stage.now().await + days(42);
    let mark = stage.log().len();
    let done = stage.extended(policy()).await;
    assert!(done.extended > 10 && done.extended == told.extended && done.cost > 0.0, "{done:?} {told:?}");
    assert!(is_due(done.furthest.unwrap(), due), "{done:?}");
    assert!(done.missing.is_empty() && done.findings.is_empty(), "{done:?}");
    for ((key, version), (lock, _)) in stage.locks().await {
        let until = lock.unwrap_or_else(|| panic!("{key} is not locked")).retain_until;
        assert!(until.duration_until(due) < SignedDuration::from_mins(2), "{key} only until {until}");
        assert!(until >= before[&(key.clone(), version)].0.unwrap().retain_until, "{key} is locked for less");
    }
    let extended = stage.log().len();
    // The list tells the lock there is, not that of the day of the backup; whoever may not ask gets that.
    for row in stage.list(Role::Reader, stage.writer_access()).await.backups {
        assert!(row.lock.unwrap().retain_until.duration_until(due) < SignedDuration::from_mins(2), "{row:?}");
        let shown = stage.show(Role::Reader, stage.writer_access(), id(&row.backup)).await;
        let (now, then) = (shown.lock.unwrap().retain_until, shown.clear.lock.unwrap().retain_until);
        assert!(shown.lock == row.lock && then < now, "{then} {now}");
    }
    for request in stage.log()[..extended].iter().skip(mark).filter(|request| request.user == Some(Role::Retainer)) {
        let action = request.action.as_deref().unwrap_or_default();
        assert!(["GetObjectRetention", "PutObjectRetention"].contains(&action) && request.status < 400, "{request:?}");
    }
    assert_needed_first(&stage, mark);

    // What has no end in sight is locked in steps: whoever runs this daily writes every lock once per step (PAINS E2).
    let open_until = (stage.now().await + days(42)).as_second();
    let next = STEP.as_secs() - open_until.rem_euclid(STEP.as_secs());
    stage.server().advance_clock(Duration::from_secs(next.unsigned_abs()) + Duration::from_hours(1));
    assert!(stage.extended(policy()).await.extended > 5);
    stage.server().advance_clock(DAY);
    let within = stage.extended(policy()).await;
    assert!(within.extended == 0 && within.looked_at > 10, "{within:?}");
    stage.server().advance_clock(3 * DAY);
    assert!(stage.extended(policy()).await.extended > 5);
    let short = Policy { window: SignedDuration::from_mins(1), margin: SignedDuration::ZERO, ..policy() };
    assert_eq!(stage.extended(short).await.extended, 0, "a lock is never shortened");
    assert!(!stage.bytes(id(&second.backup)).await.is_empty());

    let chunk = stage.entries().await.into_iter().find(|entry| entry.key.as_str().contains("/dump/0-")).unwrap();
    stage.connected(Role::Admin).await.store.delete_version(&chunk.key, &chunk.version, true).await.unwrap();
    let told = stage.extended(policy()).await;
    assert_eq!((told.missing_count, &*told.missing), (1, &[chunk.key.to_string()][..]), "what is gone is told");
}

/// Wherever extending stops, nothing outlives what it stands on: the ground comes first, and each manifest after what it names.
#[track_caller]
fn assert_needed_first(stage: &Stage, mark: usize) {
    let written = stage.log().into_iter().skip(mark).filter(|r| r.action.as_deref() == Some("PutObjectRetention"));
    let written: Vec<String> = written.filter_map(|request| request.key).collect();
    let of_a_backup = |key: &String| key.contains("/backups/");
    assert!(written.iter().skip_while(|key| !of_a_backup(key)).all(of_a_backup), "{written:?}");
    let manifests: Vec<usize> = (0..written.len()).filter(|at| written[*at].contains("/manifest-")).collect();
    for at in &manifests {
        let (folder, _) = written[*at].rsplit_once('/').unwrap();
        assert!(written[at + 1..].iter().all(|key| !key.starts_with(folder)), "{written:?}");
    }
    assert_eq!(manifests.len(), 2, "{written:?}");
}

/// However often it is cut short, the next run does the rest, and no lock is ever shorter than before.
#[tokio::test]
async fn extending_may_be_interrupted_at_any_moment() {
    let Some(stage) = Stage::new("extend_interrupted", |options| options.page_size = 7).await else { return };
    stage.backup().await;
    let (mut cuts, mut last) = (0, stage.locks().await);
    for patience in 0.. {
        let run = extend(stage.extension(policy()));
        let ended = tokio::time::timeout(Duration::from_millis(150 << patience), run).await;
        let now = stage.locks().await;
        for (version, (lock, _)) in &last {
            assert!(now[version].0.unwrap().retain_until >= lock.unwrap().retain_until, "{version:?}");
        }
        last = now;
        match ended {
            Err(_) => cuts += 1,
            Ok(done) => {
                assert!(done.unwrap().missing.is_empty());
                break;
            }
        }
    }
    assert!(cuts > 0, "it was never cut short");
    let due = stage.now().await + days(42) - SignedDuration::from_mins(5);
    assert!(last.values().all(|(lock, _)| lock.unwrap().retain_until > due), "{last:?}");
}

/// PAINS D9: a wrong role is named with what it lacks, and nothing happens.
#[tokio::test]
async fn d09_the_wrong_role_is_told_what_it_lacks() {
    let Some(stage) = Stage::light("d09_wrong_role", |_| ()).await else { return };
    let first = stage.backup().await;
    stage.backup().await;
    let before = stage.locks().await;
    let denied = |error: &Error, wanted: &str| matches!(error, Error::Store(store::Error::Denied { action, .. }) if *action == wanted);

    // Whoever may not read it is not told that there is no repository.
    for role in [Role::Retainer, Role::Pruner] {
        let error = stage.verify(role, Stage::passphrase(), Level::List).await.unwrap_err();
        assert!(stonewal::observe::chain(&error).contains("s3:GetObject"), "{role}: {error:?}");
    }
    let mut options = stage.extension(policy());
    options.scope.acting = stage.repository(Role::Reader).s3;
    let error = extend(options).await.unwrap_err();
    assert!(denied(&error, "s3:PutObjectRetention"), "{error:?}");
    let mut options = stage.holding(&first.backup, true);
    options.scope.acting = stage.repository(Role::Pruner).s3;
    let error = hold(options).await.unwrap_err();
    assert!(denied(&error, "s3:PutObjectLegalHold"), "{error:?}");
    stage.server().advance_clock(31 * DAY);
    for role in [Role::Retainer, Role::Writer, Role::Reader] {
        let error = apply(apply::Options { scope: stage.scope(role, newest_only()), delete: true }).await.unwrap_err();
        assert!(denied(&error, "s3:DeleteObjectVersion"), "{role}: {error:?}");
    }
    assert_eq!(stage.locks().await, before);
}

/// PAINS E4: what nobody can take back needs a date, and a typo of a century is refused.
#[tokio::test]
async fn e04_compliance_needs_the_date_and_a_century_is_refused() {
    let Some(stage) = Stage::new("e04_compliance", |_| ()).await else { return };
    let mut options = stage.backup_options();
    options.repository.immutability = Immutability::ObjectLock { mode: LockMode::Compliance, retain: 20 * DAY };
    run_backup(options).await.unwrap();
    let before = stage.locks().await;

    // Configured as governance: what is found in compliance mode is left alone.
    let done = stage.extended(policy()).await;
    assert!(done.unacknowledged > 5, "{done:?}");
    let compliance = |options: extend::Options| {
        let mut options = options;
        options.scope.repository.immutability =
            Immutability::ObjectLock { mode: LockMode::Compliance, retain: 20 * DAY };
        options
    };
    let error = extend(compliance(stage.extension(policy()))).await.unwrap_err().to_string();
    let due = stage.now().await + days(42);
    let day = error.rsplit_once("--acknowledge-compliance ").unwrap().1.to_owned();
    assert!(is_due(format!("{day}T23:59:59Z").parse().unwrap(), due), "{error}");
    assert!(error.contains(&format!("at the longest until {day}, about ")), "{error}");
    // Looking first, as the error says, needs no date: the cost is told, and the day that it takes.
    let told = extend(compliance(extend::Options { dry_run: true, ..stage.extension(policy()) })).await.unwrap();
    assert!(told.unacknowledged > 5 && told.extended >= told.unacknowledged && told.cost > 0.0, "{told:?}");
    let cost = format!("{} locks of ", told.extended);
    assert!(
        error.contains(&cost) && error.contains(&format!("about {:.2} for storing", told.cost)),
        "{told:?}: {error}"
    );
    assert_eq!(told.acknowledge.map(|day| day.to_string()), Some(day.clone()), "{told:?}");
    let early = (due - days(2)).strftime("%Y-%m-%d").to_string().parse().unwrap();
    let error = extend(extend::Options { acknowledged: Some(early), ..stage.extension(policy()) }).await.unwrap_err();
    assert!(error.to_string().contains("falls short"), "{error}");
    for ((key, version), (lock, _)) in stage.locks().await {
        let (lock, was) = (lock.unwrap(), before[&(key.clone(), version)].0.unwrap());
        assert!(lock == was || was.mode == LockMode::Governance, "{key}: {lock:?}");
    }
    let acknowledged = Some(day.parse().unwrap());
    let done = extend(compliance(extend::Options { acknowledged, ..stage.extension(policy()) })).await.unwrap();
    assert!(done.unacknowledged == 0 && done.extended > 5, "{done:?}");
    assert!(done.weaker_mode > 0, "the foundations of `init` stay in governance mode, and that is told: {done:?}");

    for policy in [Policy { window: days(36_500), ..policy() }, Policy { yearly: 100, ..policy() }] {
        let error = extend(stage.extension(policy)).await.unwrap_err();
        assert!(error.to_string().contains("retention.max is 400 days"), "{error}");
    }
}

/// PAINS F2: a hold lies on everything the backup needs, resists everyone, and goes as it came.
#[tokio::test]
async fn f02_a_hold_lies_on_every_object_a_backup_needs() {
    let Some(stage) = Stage::new("f02_hold", |options| options.page_size = 7).await else { return };
    let (first, second) = (stage.backup().await, stage.backup().await);
    let mine = |key: &str, backup: &BackupId| key.contains(backup.as_str());
    let ground = |key: &str| key.ends_with("/repository") || key.contains("/identities/") || key.contains("/writers/");

    // Cut short, then whole.
    let _ = tokio::time::timeout(Duration::from_millis(150), hold(stage.holding(&first.backup, true))).await;
    let done = hold(stage.holding(&first.backup, true)).await.unwrap();
    assert!(done.held && done.missing.is_empty(), "{done:?}");
    let locks = stage.locks().await;
    for ((key, _), (_, held)) in &locks {
        assert_eq!(*held, mine(key, &first.backup) || ground(key) || (key.contains("/keys/") && *held), "{key}");
    }
    let wraps = locks.iter().filter(|((key, _), (_, held))| key.contains("/keys/") && *held).count();
    assert_eq!(wraps, 2, "the wraps of this backup, and of no other");
    let listed = Box::pin(hold::list(stage.scope(Role::Reader, policy()))).await.unwrap();
    assert!(listed.held.len() == 1 && listed.held[0].backup == first.backup, "{listed:?}");

    // Whatever the locks, the policy and the rights.
    stage.server().advance_clock(90 * DAY);
    let applied = stage.applied(newest_only(), true).await;
    assert!(applied.backups.is_empty(), "{applied:?}");
    let admin = stage.connected(Role::Admin).await.store;
    for entry in stage.entries().await.iter().filter(|entry| mine(entry.key.as_str(), &first.backup)) {
        let deleted = admin.delete_version(&entry.key, &entry.version, true).await;
        assert!(matches!(deleted, Err(store::Error::Denied { .. })), "{}: {deleted:?}", entry.key);
    }
    assert!(!stage.bytes(id(&first.backup)).await.is_empty());

    hold(stage.holding(&second.backup, true)).await.unwrap();
    let done = hold(stage.holding(&first.backup, false)).await.unwrap();
    assert!(done.kept_for_others > 0, "the ground is needed by the other: {done:?}");
    for ((key, _), (_, held)) in stage.locks().await {
        let expected = mine(&key, &second.backup) || ground(&key) || (key.contains("/keys/") && held);
        assert_eq!(held, expected, "{key}");
    }
    hold(stage.holding(&second.backup, false)).await.unwrap();
    assert!(stage.locks().await.values().all(|(_, held)| !held));

    // Whatever cannot be read may be a backup under hold, on the same ground.
    let unread = ObjectKey::new("flow/main/backups/20260101T000000Z-00112233/manifest-0011223344556677");
    admin.put(Put { key: unread, body: "x".into(), lock: None }).await.unwrap();
    for on in [true, false] {
        hold(stage.holding(&first.backup, on)).await.unwrap();
    }
    for ((key, _), (_, held)) in stage.locks().await {
        assert_eq!(held, ground(&key), "{key}");
    }
}

/// PAINS A8, E4: what goes is what the plan says and no lock holds; what stays restores; a refusal is explained.
#[tokio::test]
async fn a08_exactly_what_the_plan_expires_goes_once_its_locks_have_ended() {
    let Some(stage) = Stage::new("a08_apply", |options| options.page_size = 7).await else { return };
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(stage.backup().await.backup);
    }
    let kept = made.pop().unwrap();
    let wanted = stage.bytes(id(&kept)).await;
    let before = stage.versions().await;
    // Facts settle: what arrived in the last minutes is not judged.
    stage.server().advance_clock(Duration::from_mins(2));
    let early = stage.applied(newest_only(), true).await;
    assert!(early.removed.versions == 0 && early.too_new > 0, "{early:?}");
    stage.server().advance_clock(DAY);
    let told = stage.applied(newest_only(), false).await;
    assert!(told.removed.versions == 0 && told.locked_count == 2 && told.dry_run, "{told:?}");
    assert!(
        told.locked.iter().all(|one| one.mode == Some(LockMode::Governance) && one.retain_until.is_some()),
        "{told:?}"
    );
    assert!(told.backups.len() == 2 && told.backups.iter().all(|backup| backup.locked && !backup.gone), "{told:?}");
    let locked = stage.applied(newest_only(), true).await;
    assert_eq!(stage.versions().await, before);
    assert!(locked.removed.versions == 0 && locked.locked_count == 2, "{locked:?}");
    let told = &locked.locked[0];
    assert!(told.key.contains("/manifest-") && told.mode == Some(LockMode::Governance) && !told.held, "{told:?}");
    assert!(told.retain_until.is_some_and(|until| Some(until) <= locked.locked_until), "{told:?}");

    stage.server().advance_clock(30 * DAY);
    stage.extended(newest_only()).await;
    let dry = stage.applied(newest_only(), false).await;
    assert_eq!(stage.versions().await, before, "a dry run changes nothing");
    let mark = stage.log().len();
    let done = stage.applied(newest_only(), true).await;
    assert!(done.removed.versions == dry.removed.versions && done.locked_count == 0, "{done:?} {dry:?}");
    assert!(done.backups.iter().all(|expired| expired.gone) && done.backups.len() == 2, "{done:?}");
    let after = stage.versions().await;
    let gone: BTreeSet<_> = before.difference(&after).map(|(key, _)| key.clone()).collect();
    assert!(after.is_subset(&before) && gone.len() as u64 == done.removed.versions, "{gone:?}");
    let expired = |key: &String| key.contains("/keys/") || made.iter().any(|id| key.contains(id.as_str()));
    assert!(gone.iter().all(expired), "{gone:?}");
    assert!(after.iter().filter(|(key, _)| expired(key)).count() == 2, "the wraps of the one that is kept: {after:?}");
    for request in stage.log().iter().skip(mark).filter(|r| r.action.as_deref().is_some_and(|a| a.contains("Delete"))) {
        assert!(
            request.user == Some(Role::Pruner) && request.action.as_deref() == Some("DeleteObjects"),
            "{request:?}"
        );
        assert!(!request.headers.contains_key("x-amz-bypass-governance-retention"), "{request:?}");
    }
    assert!(stage.bytes(Which::Latest).await == wanted);
    let verified = stage.verify(Role::Reader, Stage::passphrase(), Level::Decrypt).await.unwrap();
    assert!(!verified.has_damage() && verified.backups.len() == 1, "{verified:?}");
    assert_eq!(stage.applied(newest_only(), true).await.removed.versions, 0, "again: nothing left to do");
}

/// A policy that would leave nothing is refused before anything is asked to go.
#[tokio::test]
async fn a08_a_policy_that_expires_everything_is_refused() {
    let Some(stage) = Stage::light("a08_everything", |_| ()).await else { return };
    stage.backup().await;
    stage.server().advance_clock(60 * DAY);
    let before = stage.versions().await;
    let nothing = Policy { keep_last_dumps: 0, min_redundancy: 0, ..newest_only() };
    let scope = stage.scope(Role::Pruner, nothing);
    let error = apply(apply::Options { scope, delete: true }).await.unwrap_err();
    assert!(matches!(error, Error::Retention(_)), "{error:?}");
    assert_eq!(stage.versions().await, before);
}

/// PAINS D8: thousands of objects, seven a page, a thousand a request; one that is locked stays and is told.
#[tokio::test]
async fn d08_thousands_of_objects_go_page_by_page() {
    use futures::{StreamExt as _, TryStreamExt as _, stream};
    let Some(stage) = Stage::light("d08_thousands", |options| options.page_size = 7).await else { return };
    stage.backup().await;
    let before = stage.versions().await;
    // More than two requests to delete, of a thousand objects each.
    let count: usize = crate::support::rounds(2_100).try_into().unwrap();
    let store = stage.connected(Role::Admin).await.store;
    let until = stage.now().await + days(3);
    let puts = (0..count).map(|n| {
        let lock = (n == count / 2).then_some(Lock { mode: LockMode::Compliance, retain_until: until });
        store.put(Put { key: ObjectKey::new(format!("flow/canary/{n:016x}")), body: "x".into(), lock })
    });
    stream::iter(puts).buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
    stage.server().advance_clock(DAY);
    let done = stage.applied(policy(), true).await;
    assert_eq!((done.removed.versions, done.locked_count), (count as u64 - 1, 1), "{done:?}");
    assert_eq!(done.locked[0].mode, Some(LockMode::Compliance));
    let requests = stage.log().iter().filter(|r| r.action.as_deref() == Some("DeleteObjects")).count();
    assert!(requests <= count / 1000 + 2, "{requests} requests");
    stage.server().advance_clock(3 * DAY);
    assert_eq!(stage.applied(policy(), true).await.removed.versions, 1);
    assert_eq!(stage.versions().await, before);
}

/// PAINS E1: delete markers over anything of ours go, and hide nothing meanwhile; what is not ours is not touched.
#[tokio::test]
async fn e01_delete_markers_go_and_foreign_objects_stay() {
    let Some(stage) = Stage::light("e01_markers", |_| ()).await else { return };
    stage.backup().await;
    let before = stage.versions().await;
    let attacker = stage.server().credentials(Role::Attacker).unwrap();
    let raw = crate::support::raw_client(&stage.server().endpoint(), &attacker);
    for entry in stage.entries().await {
        raw.delete_object().bucket(super::stage::BUCKET).key(entry.key.as_str()).send().await.unwrap();
    }
    let foreign = stage.connected(Role::Admin).await.store;
    for key in ["flow/notes.txt", "flow/main/backups/readme", "flow/other/wal/x"] {
        foreign.put(Put { key: ObjectKey::new(key), body: "x".into(), lock: None }).await.unwrap();
    }
    // A marker over what is not ours is not ours either.
    raw.delete_object().bucket(super::stage::BUCKET).key("flow/main/backups/readme").send().await.unwrap();
    stage.server().advance_clock(DAY);
    let done = stage.applied(policy(), true).await;
    assert_eq!((done.removed.markers, done.removed.versions), (before.len() as u64, 0), "{done:?}");
    let after = stage.versions().await;
    assert!(before.is_subset(&after) && after.len() == before.len() + 4, "{after:?}");
    assert!(!stage.bytes(Which::Latest).await.is_empty());
}

/// PAINS D6, A17: what counts is the store's time, however far the host's is off.
#[tokio::test]
async fn i11_extending_follows_the_stores_clock() {
    for ahead in [-48, 48] {
        let change =
            |options: &mut stonewal::store::embedded::Options| options.clock_offset = SignedDuration::from_hours(ahead);
        let Some(stage) = Stage::light("i11_clock", change).await else { return };
        stage.backup().await;
        let done = stage.extended(policy()).await;
        let due = stage.now().await + days(42);
        assert!(is_due(done.furthest.unwrap(), due), "{ahead}: {done:?}");
        assert!(
            stage
                .locks()
                .await
                .values()
                .all(|(lock, _)| lock.unwrap().retain_until > due - SignedDuration::from_mins(2))
        );
    }
}
