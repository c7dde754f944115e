//! A host whose clock is two days off: the store's time counts.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stonewal::commands::Which;
use stonewal::commands::doctor::{self, Status};
use stonewal::store::Read as _;
use stonewal::store::roles::Role;
use stonewal::verify::Level;

use super::stage::{DAY, Stage};

#[expect(clippy::disallowed_methods, reason = "the host's clock is what is compared with")]
fn host_now() -> Timestamp {
    Timestamp::now()
}

/// PAINS D6.
async fn locks_follow_the_store(test: &str, ahead: SignedDuration) {
    let Some(stage) = Stage::light(test, |options| options.clock_offset = ahead).await else { return };
    let made = stage.backup().await;
    let due = host_now() + ahead + SignedDuration::try_from(30 * DAY).unwrap();
    let off = |at: Timestamp| at.duration_until(due).abs();
    assert!(off(made.lock.unwrap().retain_until) < SignedDuration::from_mins(2), "{:?}, due {due}", made.lock);
    let store = stage.connected(Role::Reader).await.store;
    store.bucket_state().await.unwrap();
    let mut objects = 0;
    for entry in stage.entries().await {
        let lock = store.head(&entry.key, &entry.version).await.unwrap().lock.unwrap();
        // Copies of the foundation are locked for twice as long.
        let twice = entry.key.as_str().contains("/identities/") || entry.key.as_str().contains("/writers/");
        let copy = SignedDuration::try_from(if twice { 30 * DAY } else { Duration::ZERO }).unwrap();
        let as_due = off(lock.retain_until) < SignedDuration::from_mins(3);
        let as_copy = off(lock.retain_until - copy) < SignedDuration::from_mins(3);
        assert!(as_due || as_copy, "{}: {lock:?}, due {due}", entry.key);
        objects += 1;
    }
    assert!(objects > 8);
    let started = stage.show(Role::Reader, Stage::passphrase(), Which::Latest).await.clear.started_at;
    assert!(started.duration_until(host_now() + ahead).abs() < SignedDuration::from_mins(2), "{started}");
    assert!(made.warnings.iter().any(|warning| warning.contains("clock")), "{:?}", made.warnings);
    assert!(!stage.bytes(Which::Latest).await.is_empty());
    assert!(!stage.verify(Role::Reader, Stage::passphrase(), Level::List).await.unwrap().has_findings());
    let examined = doctor::run(stage.doctor_options(Role::Writer, Some(stage.writer_access()))).await.unwrap();
    let clock = examined.checks.iter().find(|check| check.name == "clock").unwrap();
    assert_eq!(clock.status, Status::Warn, "{clock:?}");
    assert!(clock.detail.contains(if ahead.is_positive() { "is 172" } else { "is -172" }), "{clock:?}");
    assert_eq!(examined.status(), Status::Warn, "and nothing worse: {:#?}", examined.checks);
}

#[tokio::test]
async fn i11_locks_are_right_when_the_store_is_two_days_ahead() {
    locks_follow_the_store("store_ahead", SignedDuration::from_hours(48)).await;
}

#[tokio::test]
async fn i11_locks_are_right_when_the_store_is_two_days_behind() {
    locks_follow_the_store("store_behind", SignedDuration::from_hours(-48)).await;
}
