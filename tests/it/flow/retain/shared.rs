//! What several share: holds of two clusters on one ground, and a manifest whose lock protects what it names.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use stonewal::commands::Which;
use stonewal::limits::DELETE_KEYS_MAX;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Lock, LockMode, ObjectKey, Put, Retain as _};

use super::setting::{days, hold, newest_only};
use crate::flow::stage::{DAY, Stage, id, run_backup};

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
