//! `replica copy`, `replica verify`, `replica list` between two real stores (PAINS F3, A18, D8).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stonewal::catalog::each_entry;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Entry, Lock, LockMode, ObjectKey, Prune as _, Put, Read as _, Retain as _, S3};

use super::replicas::Pair;
use super::world::{Finished, World};

/// A world with one small base and some WAL, and credentials that write the far side.
async fn pair(test: &str) -> Option<Pair> {
    let world = World::new(test).await?;
    world.sql("CREATE TABLE ledger AS SELECT i, md5(i::text) AS body FROM generate_series(1, 1000) i").await;
    world.good_backup().await;
    let pair = Pair::around(world).await;
    // A manifest that arrives as the copy begins is left for the next run.
    tokio::time::sleep(Duration::from_secs(4)).await;
    pair.configure(Role::Writer, &pair.far.endpoint());
    Some(pair)
}

/// Without any key: ciphertext is copied.
pub(super) async fn replica(pair: &Pair, line: &str) -> Finished {
    let mut command = pair.command(Role::Reader, &format!("replica {line} --json"));
    command.env_remove("STONEWAL_KEYS_IDENTITY_FILE");
    super::world::finished(command.spawn().unwrap()).await
}

fn number(document: &Value, name: &str) -> u64 {
    document[name].as_u64().unwrap_or_else(|| panic!("{name} in {document}"))
}

async fn versions(store: &S3) -> Vec<Entry> {
    let mut entries = Vec::new();
    each_entry(store, "prod/", |entry| entries.push(entry)).await.unwrap();
    entries
}

/// How often the store here has handed out a manifest.
fn manifests_read(pair: &Pair) -> usize {
    let log = std::fs::read_to_string(pair.world.path("requests.jsonl")).unwrap();
    let requests = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_of_manifest = |request: &Value| request["key"].as_str().is_some_and(|key| key.contains("/manifest-"));
    requests.filter(|request| request["action"] == "GetObject" && is_of_manifest(request)).count()
}

#[tokio::test]
async fn f03_a_copy_is_whole_and_repeating_it_copies_nothing() {
    let Some(pair) = pair("f03_a_copy_is_whole").await else { return };
    let bucket = pair.bucket().await;
    let first = versions(&bucket).await;
    // Later versions and delete markers here are nobody's business there.
    let junk = Put { key: first[3].key.clone(), body: "junk".into(), lock: None };
    bucket.put(junk).await.unwrap();

    let tried = replica(&pair, "copy far --dry-run").await.ends(0).json();
    let far = pair.far_bucket(Role::Admin).await;
    assert!(versions(&far).await.is_empty(), "a dry run writes nothing");
    // A manifest comes after its chunks, and waits until they have taken their time.
    let is_chunk =
        |entry: &&Entry| entry.key.as_str().contains("/backups/") && !entry.key.as_str().contains("/manifest-");
    let chunk_bytes: u64 = first.iter().filter(is_chunk).map(|entry| entry.bytes).sum();
    let begun = std::time::Instant::now();
    let copied = replica(&pair, "copy far --limit 4MiB/s").await.ends(0).json();
    let least = Duration::from_millis(chunk_bytes * 1000 / (4 << 20));
    assert!(least.as_millis() > 500 && begun.elapsed() >= least, "{chunk_bytes} bytes in {:?}", begun.elapsed());
    assert_eq!(number(&copied, "copied"), number(&tried, "copied"));
    assert_eq!(number(&copied, "copied_bytes"), number(&tried, "copied_bytes"));
    let there = versions(&far).await;
    assert_eq!(there.len() as u64, number(&copied, "copied"), "one version each, the first one");
    for entry in &first {
        let head = bucket.head(&entry.key, &entry.version).await.unwrap();
        let copy = there.iter().find(|copy| copy.key == entry.key).unwrap();
        assert_eq!(far.head(&copy.key, &copy.version).await.unwrap().lock, head.lock, "{}", entry.key);
        assert_ne!(copy.version.as_str(), entry.version.as_str());
    }
    // Whatever keys are at hand, what is there already costs no reading of manifests.
    let read = manifests_read(&pair);
    assert!(read >= 2, "{read}: for the digests of its chunks, and to be copied");
    let again = replica(&pair, "copy far").await.ends(0).json();
    assert_eq!((number(&again, "copied"), number(&again, "present")), (0, there.len() as u64));
    pair.run(Role::Reader, "replica copy far").await.ends(0);
    assert_eq!(manifests_read(&pair), read);
    let same = replica(&pair, "verify far --deep").await.ends(0).json();
    assert_eq!((number(&same, "missing"), number(&same, "present")), (0, there.len() as u64));
    replica(&pair, "list").await.ends(0).says(&["same"]);
    pair.run_far("verify --level decrypt --from-replica far").await.good();
    // PAINS D9: who may not read is told so, and nothing is called missing.
    pair.configure(Role::Pruner, &pair.far.endpoint());
    replica(&pair, "verify far").await.ends(1).says(&["s3:GetObject"]);
}

/// Whenever a copy is killed, every backup that the replica shows is whole, and the next run goes on.
#[tokio::test]
async fn i02_a_copy_that_is_killed_leaves_a_consistent_replica() {
    let Some(pair) = pair("i02_a_copy_that_is_killed").await else { return };
    pair.world.good_backup().await;
    pair.world.good_backup().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut random = fastrand::Rng::with_seed(0x5eed);
    for _ in 0..4 {
        let mut child = pair.command(Role::Reader, "replica copy far --limit 12MiB/s").spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(150..1500))).await;
        child.kill().await.unwrap();
        let listed = pair.run_far("verify --level checksum --from-replica far --json").await;
        if listed.code == 1 {
            continue; // Not even the keys are there yet.
        }
        let listed = listed.good().json();
        assert!(listed["backups"].as_array().unwrap().iter().all(|backup| backup["whole"] == true), "{listed}");
    }
    replica(&pair, "copy far").await.ends(0);
    let listed = pair.run_far("verify --level decrypt --from-replica far --json").await.good().json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 3);
    assert_eq!(number(&replica(&pair, "verify far").await.ends(0).json(), "missing"), 0);
}

/// Locks and holds here are followed there, compliance only when someone says so.
#[tokio::test]
async fn i11_locks_and_holds_follow() {
    let Some(pair) = pair("i11_locks_and_holds").await else { return };
    replica(&pair, "copy far").await.ends(0);
    let (bucket, far) = (pair.bucket().await, pair.far_bucket(Role::Admin).await);
    let all = versions(&bucket).await;
    let (longer, stricter) = (&all[2], &all[4]);
    let now = Timestamp::from_second(bucket.clock().now().as_second()).unwrap();
    let until = |days: i64| now + SignedDuration::from_hours(24 * days);
    let lock = |mode, days| Lock { mode, retain_until: until(days) };
    bucket.set_lock(&longer.key, &longer.version, lock(LockMode::Governance, 60)).await.unwrap();
    let junk = ObjectKey::new("prod/zz-strict");
    let strict = Put { key: junk.clone(), body: "strict".into(), lock: Some(lock(LockMode::Compliance, 40)) };
    let strict = bucket.put(strict).await.unwrap().version;
    bucket.set_hold(&stricter.key, &stricter.version, true).await.unwrap();

    let told = replica(&pair, "verify far").await.ends(3).json();
    let wrong = ["locks_short", "missing", "holds_missing"].map(|name| number(&told, name));
    assert_eq!(wrong, [1, 1, 1], "{told}");
    // A writer may lengthen, and may not hold.
    let followed = replica(&pair, "copy far").await.ends(3).json();
    assert_eq!((number(&followed, "locks_lengthened"), number(&followed, "refused")), (1, 1), "{followed}");
    assert_eq!(number(&followed, "holds_refused"), 1, "{followed}");
    let told = replica(&pair, "verify far")
        .await
        .ends(3)
        .says(&["legal holds are missing there, of 1 object", "s3:PutObjectLegalHold"])
        .json();
    assert_eq!((number(&told, "locks_short"), number(&told, "holds_missing")), (0, 1), "{told}");
    bucket.set_lock(&junk, &strict, lock(LockMode::Compliance, 50)).await.unwrap();
    let followed = replica(&pair, "copy far").await.ends(3).json();
    assert_eq!((number(&followed, "locks_lengthened"), number(&followed, "locks_unacknowledged")), (0, 1));
    let short = format!("copy far --acknowledge-compliance {}", until(49).strftime("%Y-%m-%d"));
    assert_eq!(number(&replica(&pair, &short).await.ends(3).json(), "locks_unacknowledged"), 1);
    pair.configure(Role::Admin, &pair.far.endpoint());
    let enough = format!("copy far --acknowledge-compliance {}", until(50).strftime("%Y-%m-%d"));
    let followed = replica(&pair, &enough).await.ends(0).json();
    assert_eq!((number(&followed, "locks_lengthened"), number(&followed, "holds_set")), (1, 1), "{followed}");
    let copy = versions(&far).await.into_iter().find(|entry| entry.key == junk).unwrap();
    let held = far.head(&copy.key, &copy.version).await.unwrap().lock.unwrap();
    assert_eq!((held.mode, held.retain_until), (LockMode::Compliance, until(50)));
    replica(&pair, "verify far").await.ends(0);
}

/// What anybody planted binds nobody (PAINS E4, F3): a copy that was put there beforehand and unlocked does not count for one, and a
/// lock of decades on something beside our objects is not carried over.
#[tokio::test]
async fn i11_planted_copies_do_not_count_and_planted_locks_are_not_followed() {
    let Some(pair) = pair("i11_planted_copies").await else { return };
    let (bucket, far) = (pair.bucket().await, pair.far_bucket(Role::Admin).await);
    let all = versions(&bucket).await;
    let wrap = all.iter().find(|entry| entry.key.as_str().contains("/keys/")).unwrap();
    let now = Timestamp::from_second(bucket.clock().now().as_second()).unwrap();
    let in_days = |days: i64| now + SignedDuration::from_hours(24 * days);
    let strict = Lock { mode: LockMode::Compliance, retain_until: in_days(40) };
    // As large as all the memory that copies may have, so that nothing else fits beside what is copied anew (invariant I12).
    let (stricter, large) = (ObjectKey::new("prod/zz-strict"), bytes::Bytes::from(vec![7_u8; 16 << 20]));
    bucket.put(Put { key: stricter.clone(), body: large.clone(), lock: Some(strict) }).await.unwrap();
    // The same bytes, by somebody who may remove them again; under governance the lock can be laid on them.
    let wrapped = bucket.get(&wrap.key, &wrap.version, 0..wrap.bytes).await.unwrap();
    for (key, body) in [(&stricter, large), (&wrap.key, wrapped)] {
        far.put(Put { key: key.clone(), body, lock: None }).await.unwrap();
    }
    let century = ObjectKey::new("prod/zz-century");
    let lock = Some(Lock { mode: LockMode::Compliance, retain_until: in_days(20_000) });
    bucket.put(Put { key: century.clone(), body: "junk".into(), lock }).await.unwrap();

    let mut narrow = pair.command(Role::Reader, "replica copy far --json");
    narrow.env_remove("STONEWAL_KEYS_IDENTITY_FILE");
    narrow
        .env("STONEWAL_LIMITS_MEMORY", "16MiB")
        .env("STONEWAL_LIMITS_UPLOADS", "1")
        .env("STONEWAL_LIMITS_DOWNLOADS", "1");
    let copied = super::world::finished(narrow.spawn().unwrap()).await.ends(3).json();
    assert_eq!((number(&copied, "locks_unacknowledged"), number(&copied, "locks_lengthened")), (1, 1), "{copied}");
    let locks = async |key: &ObjectKey| {
        let mut locks = Vec::new();
        for entry in versions(&far).await.into_iter().filter(|entry| entry.key == *key) {
            locks.push(far.head(&entry.key, &entry.version).await.unwrap().lock);
        }
        locks
    };
    let of_strict = locks(&stricter).await;
    assert!(of_strict.len() == 2 && of_strict.contains(&None) && of_strict.contains(&Some(strict)), "{of_strict:?}");
    assert_eq!(locks(&wrap.key).await, [bucket.head(&wrap.key, &wrap.version).await.unwrap().lock]);
    let of_century = locks(&century).await[0].unwrap();
    assert!(of_century.mode == LockMode::Compliance && of_century.retain_until < in_days(401), "{of_century:?}");
    // Nothing more is added by the next run.
    let again = replica(&pair, "copy far").await.ends(3).json();
    assert_eq!((number(&again, "copied"), number(&again, "locks_unacknowledged")), (0, 1), "{again}");
}

/// What is behind, what is something else, and what lies there alone.
#[tokio::test]
async fn f03_a_replica_that_is_not_what_it_should_be_is_told() {
    let Some(pair) = pair("f03_a_replica_that_is_not").await else { return };
    let (bucket, far) = (pair.bucket().await, pair.far_bucket(Role::Admin).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    replica(&pair, "verify far").await.ends(0).says(&["\"none\""]);
    let late = replica(&pair, "verify far --max-lag 1s").await.ends(1).json();
    assert!(late["behind"] == true && number(&late, "lag_seconds") >= 2, "{late}");
    // Somebody was faster, with the same length and with another one.
    let all = versions(&bucket).await;
    let chunk = all.iter().max_by_key(|entry| entry.bytes).unwrap();
    let planted = vec![7_u8; usize::try_from(chunk.bytes).unwrap()];
    for body in [bytes::Bytes::from(planted), "short".into()] {
        far.put(Put { key: chunk.key.clone(), body, lock: None }).await.unwrap();
    }
    far.put(Put { key: ObjectKey::new("prod/alone"), body: "x".into(), lock: None }).await.unwrap();
    let unproven = replica(&pair, "verify far").await.ends(3).json();
    assert_eq!((number(&unproven, "unproven"), number(&unproven, "strays")), (1, 1), "{unproven}");
    replica(&pair, "verify far --deep").await.ends(4).says(&["something else"]);
    let with_lag = |lag: &str| {
        let path = pair.world.path("stonewal.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{text}max_lag = \"{lag}\"\n")).unwrap();
    };
    with_lag("1s");
    // Junk under the manifest's name is no manifest.
    let manifest = all.iter().find(|entry| entry.key.as_str().contains("/manifest-")).unwrap();
    far.put(Put { key: manifest.key.clone(), body: "junk".into(), lock: None }).await.unwrap();
    let behind = pair.run(Role::Reader, "status --offline --json").await;
    assert!(behind.stdout.contains("replica-behind") && behind.stdout.contains("the newest base backup"), "{behind:?}");
    pair.run(Role::Reader, "doctor --no-probe").await.says(&["it holds nothing yet"]);
    replica(&pair, "copy far").await.ends(3).says(&["the copy lies beside them"]);
    let well = pair.run(Role::Reader, "status --offline --json").await;
    assert!(!well.stdout.contains("replica-behind"), "{well:?}");
    pair.run(Role::Reader, "doctor --no-probe").await.says(&["versioned, locked, a copy of this repository"]);
    replica(&pair, "verify far --deep").await.ends(0);
    pair.run_far("verify --level checksum --from-replica far").await.ends(3);
}

/// With keys, what rotted here is not copied, whatever the store says of it, and neither is the manifest that names it; without, it is
/// told. What somebody laid beside the chunks stops nothing.
#[tokio::test]
async fn f03_rot_is_not_copied() {
    let Some(pair) = pair("f03_rot_is_not_copied").await else { return };
    let file_of = |key: &str| {
        let bucket = pair.world.path("store/buckets/backups");
        let metas = std::fs::read_dir(bucket.join("meta")).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
        let mut metas = metas.map(|meta| serde_json::from_slice::<Value>(&meta.unwrap()).unwrap());
        bucket.join("data").join(metas.find(|meta| meta["key"] == key).unwrap()["file"].as_str().unwrap())
    };
    let all = versions(&pair.bucket().await).await;
    let chunk =
        all.iter().filter(|entry| entry.key.as_str().contains("/base/0-")).max_by_key(|entry| entry.bytes).unwrap();
    let path = file_of(chunk.key.as_str());
    let bend = || {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    // Junk with the random part of a genuine chunk inherits nothing from it.
    let (folder, name) = chunk.key.as_str().rsplit_once('/').unwrap();
    let beside = ObjectKey::new(format!("{folder}/77-{}", name.split_once('-').unwrap().1));
    pair.bucket().await.put(Put { key: beside, body: "junk".into(), lock: None }).await.unwrap();
    let with_keys = "replica copy far --json";
    bend();
    let told = pair.run(Role::Reader, with_keys).await.ends(3);
    assert_eq!(told.stderr.matches("not those that its manifest names").count(), 1, "{told:?}");
    let told = told.json();
    assert_eq!(number(&told, "left"), 1, "the manifest waits: {told}");
    let there = versions(&pair.far_bucket(Role::Admin).await).await;
    assert!(
        there.iter().all(|entry| entry.key != chunk.key && !entry.key.as_str().contains("/manifest-")),
        "{there:?}"
    );
    // Anybody may have planted what says so: without keys it is told, and keeps nothing from being copied.
    let told = replica(&pair, "copy far").await.ends(3).says(&["it was copied, since only keys tell"]).json();
    assert_eq!(number(&told, "left"), 0, "{told}");
    // Both sides have the same rot: a warning for whoever has no keys, and damage for whoever knows the manifest for genuine.
    replica(&pair, "verify far --deep").await.ends(3).says(&["not those that a manifest beside it names"]);
    let told = pair.run(Role::Reader, "replica verify far --deep --json").await.ends(4).json();
    assert_eq!((number(&told, "rotten"), number(&told, "different")), (1, 0), "{told}");
    bend();
    let planted = ObjectKey::new("prod/main/backups/20260101T000000Z-00112233/manifest-0011223344556677");
    let admin = pair.world.s3(Role::Admin).await;
    let junk = admin.put(Put { key: planted.clone(), body: "junk".into(), lock: None }).await.unwrap().version;
    // What arrived as the copy begins is left for the next run in any case.
    pair.world.store.advance_clock(Duration::from_secs(3));
    let told = pair.run(Role::Reader, with_keys).await.ends(3);
    told.says(&["the copy lies beside them", "it is not the manifest of a backup, and was not copied"]);
    assert!(versions(&pair.far_bucket(Role::Admin).await).await.iter().all(|entry| entry.key != planted));
    admin.delete_version(&planted, &junk, true).await.unwrap();
    replica(&pair, "verify far --deep").await.ends(0);
    bend();
    replica(&pair, "verify far --deep").await.ends(4).says(&["not those that a manifest beside it names"]);
}

/// PAINS A16, F3: where there are dumps only, the newest of them is watched.
#[tokio::test]
async fn a16_status_tells_the_locks_and_the_lag_of_dumps() {
    let Some(world) = World::new("a16_status_of_dumps").await else { return };
    world.run_as(Role::Writer, &format!("backup dump --from {}", world.url())).await.good();
    let pair = Pair::around(world).await;
    let path = pair.world.path("stonewal.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}max_lag = \"1s\"\n")).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = pair.run(Role::Reader, "status --offline --json").await;
    told.says(&["lacks the newest dump"]);
    let told = pair.run(Role::Reader, "status --offline --json").await.json();
    let locks = &told["bucket"]["locks"];
    assert!(locks["kind"] == "dump" && number(locks, "asked") >= 6 && locks["soonest"]["until"].is_string(), "{locks}");
    let day = SignedDuration::from_hours(24);
    let manifest =
        versions(&pair.bucket().await).await.into_iter().find(|entry| entry.key.as_str().contains("/manifest-"));
    let key = manifest.unwrap().key;
    crate::support::shorten(&pair.world.store, "backups", key.as_str(), pair.bucket().await.clock().now() + day).await;
    pair.run(Role::Reader, "status --offline").await.says(&["lock of", key.as_str(), "make a new dump"]);
}

/// Nothing is mixed with what is somebody else's.
#[tokio::test]
async fn f03_the_replica_of_another_repository_is_refused() {
    let Some(pair) = pair("f03_the_replica_of_another").await else { return };
    let far = pair.far_bucket(Role::Admin).await;
    let record = Put { key: ObjectKey::new("prod/repository"), body: "another".into(), lock: None };
    far.put(record).await.unwrap();
    for line in ["copy far", "verify far"] {
        replica(&pair, line).await.ends(2).says(&["holds the record of another repository"]);
    }
    replica(&pair, "list").await.ends(3).says(&["other"]);
    replica(&pair, "copy near").await.ends(2).says(&["no section replica.near (known: far)"]);
    assert_eq!(versions(&far).await.len(), 1, "nothing was written");
    // Nor is anything copied to where nothing would lock it.
    let raw = crate::support::raw_client(&pair.far.endpoint(), &pair.far.credentials(Role::Admin).unwrap());
    raw.create_bucket().bucket("plain").send().await.unwrap();
    let path = pair.world.path("stonewal.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("s3://far/", "s3://plain/");
    std::fs::write(path, text).unwrap();
    replica(&pair, "copy far").await.ends(1).says(&["bucket plain has no"]);
}
