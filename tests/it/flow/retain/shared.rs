//! What several share: holds of two clusters on one ground, and a manifest whose lock protects what it names.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use stonewal::catalog::Access;
use stonewal::commands::retention::apply;
use stonewal::commands::{Error, Which};
use stonewal::limits::DELETE_KEYS_MAX;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Lock, LockMode, ObjectKey, Put, Retain as _};

use super::setting::{apply, days, hold, is_due, newest_only, policy};
use crate::flow::rotation::{NEXT, rotated};
use crate::flow::stage::{BUCKET, DAY, PASSPHRASE, Stage, id, run_backup};

/// PAINS F2: two clusters stand on one identity bundle; the hold of one that goes leaves that of the other.
#[tokio::test]
async fn f02_holds_of_another_cluster_keep_the_ground_they_share() {
    let Some(stage) = Stage::new("f02_shared", |_| ()).await else { return };
    let mine = stage.backup().await.backup;
    let mut options = stage.backup_options();
    options.cluster = "other".parse().unwrap();
    let theirs = run_backup(options).await.unwrap().backup;
    let other = |on| {
        let mut options = stage.holding(&theirs, on);
        options.scope.cluster = "other".parse().unwrap();
        options
    };
    hold(stage.holding(&mine, true)).await.unwrap();
    hold(other(true)).await.unwrap();
    let done = hold(stage.holding(&mine, false)).await.unwrap();
    assert!(done.kept_for_others > 0, "{done:?}");
    let ground = |key: &str| key.ends_with("/repository") || key.contains("/identities/") || key.contains("/writers/");
    for ((key, _), (_, held)) in stage.locks().await {
        let wrap = key.contains("/keys/");
        let expected = ground(&key) || key.contains(theirs.as_str()) || (wrap && held);
        assert_eq!(held, expected, "{key}");
    }
    assert_eq!(stage.locks().await.iter().filter(|((key, _), (_, held))| key.contains("/keys/") && *held).count(), 2);
    // Its backups need the ground still, and none of them is held: the last hold takes everything with it.
    let done = hold(other(false)).await.unwrap();
    assert_eq!(done.kept_for_others, 0, "{done:?}");
    assert!(stage.locks().await.values().all(|(_, held)| !held));
}

/// PAINS A8: a manifest that is locked for longer than its chunks keeps them, also when it was among the first of more names
/// than one request deletes.
#[tokio::test]
async fn a08_a_locked_manifest_in_an_early_batch_protects_its_chunks() {
    let Some(stage) = Stage::new("a08_batch", |_| ()).await else { return };
    let old = stage.backup().await.backup;
    let wanted = stage.bytes(id(&old)).await;
    stage.backup().await;
    let manifest = stage
        .entries()
        .await
        .into_iter()
        .find(|entry| entry.key.as_str().contains(old.as_str()) && entry.key.as_str().contains("/manifest-"));
    let manifest = manifest.unwrap();
    let longer = Lock { mode: LockMode::Governance, retain_until: stage.now().await + days(60) };
    stage.connected(Role::Retainer).await.store.set_lock(&manifest.key, &manifest.version, longer).await.unwrap();
    // Behind the genuine one in every listing.
    let attacker = stage.connected(Role::Attacker).await.store;
    let folder = manifest.key.as_str().rsplit_once("manifest-").unwrap().0;
    let junk = (0..DELETE_KEYS_MAX + 10).map(|n| {
        let key = ObjectKey::new(format!("{folder}manifest-fffffffffff{n:05}"));
        attacker.put(Put { key, body: "x".into(), lock: None })
    });
    stream::iter(junk).buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
    stage.server().advance_clock(31 * DAY + Duration::from_hours(1));
    stage.extended(newest_only()).await;
    let done = stage.applied(newest_only(), true).await;
    assert_eq!(done.removed.versions, DELETE_KEYS_MAX as u64 + 10, "the junk and nothing else: {done:?}");
    assert!(done.locked_count == 1 && done.backups.iter().all(|expired| !expired.gone), "{done:?}");
    assert!(stage.bytes(id(&old)).await == wanted);
    stage.server().advance_clock(30 * DAY);
    let done = stage.applied(newest_only(), true).await;
    assert!(done.backups[0].gone && done.removed.versions > 3, "{done:?}");
    assert!(!stage.bytes(Which::Latest).await.is_empty());
}

/// PAINS D8: one version that the store fails to remove is a failure of the run, whatever became of the others.
#[tokio::test]
async fn d08_a_version_that_fails_fails_the_run() {
    let Some(stage) = Stage::light("d08_one_fails", |_| ()).await else { return };
    stage.backup().await;
    let before = stage.versions().await;
    let store = stage.connected(Role::Admin).await.store;
    for number in 0..3 {
        let key = ObjectKey::new(format!("flow/canary/{number:016x}"));
        store.put(Put { key, body: "x".into(), lock: None }).await.unwrap();
    }
    // A folder in the place of its record is what the store cannot remove.
    let records = std::fs::read_dir(stage.options.root.join("buckets").join(BUCKET).join("meta")).unwrap();
    let mut records = records.map(|entry| entry.unwrap().path());
    let is_second = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap().contains("/0000000000000001");
    let record = records.find(is_second).unwrap();
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir(&record).unwrap();
    stage.server().advance_clock(DAY);
    let mut scope = stage.scope(Role::Pruner, policy());
    scope.acting.attempts = 2;
    let error = apply(apply::Options { scope, delete: true }).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error}");
    assert_eq!(stage.versions().await.len(), before.len() + 1, "the others went");
}

/// PAINS B5: the bundle of a passphrase that counts no more keeps the lock that it has, and goes when that has ended; what took its
/// place is looked after.
#[tokio::test]
async fn b05_the_bundle_of_a_retired_passphrase_goes_with_its_lock() {
    let Some(stage) = Stage::light("b05_retired_bundle", |_| ()).await else { return };
    stage.backup().await;
    let bundles = async || -> Vec<_> {
        let locks = stage.locks().await.into_iter().filter(|((key, _), _)| key.contains("/identities/"));
        locks.map(|((key, _), (lock, _))| (key, lock.unwrap().retain_until)).collect()
    };
    let retired = bundles().await;
    rotated(&stage, PASSPHRASE, NEXT, false).await.unwrap();
    stage.extended(policy()).await;
    let due = stage.now().await + days(42);
    let (old, new): (Vec<_>, Vec<_>) = bundles().await.into_iter().partition(|bundle| retired.contains(bundle));
    assert_eq!(old, retired, "not locked for longer");
    assert!(!new.is_empty() && new.iter().all(|(_, until)| is_due(*until, due)), "{new:?}");
    // A copy is locked for up to twice as long as a backup.
    stage.server().advance_clock(62 * DAY);
    stage.applied(policy(), true).await;
    assert_eq!(bundles().await, new);
    let (bytes, ended) =
        stage.restored(Which::Latest, |options| options.access = Access::Passphrase(NEXT.into())).await;
    assert!(ended.is_ok() && !bytes.is_empty(), "{ended:?}");
}
