//! What a bucket is paid for, with everything that somebody who may write can add to the bill.

use std::collections::BTreeSet;
use std::time::Duration;

use stonewal::commands::cost::{self, Amount, ForeignKind, Part, Prices};
use stonewal::commands::{Error, Immutability, backup_dump};
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, Lock, LockMode, ObjectKey, Put};

use super::setting::{days, newest_only};
use crate::flow::ground::raw_client;
use crate::flow::stage::{BUCKET, Stage, run_backup};

fn options(stage: &Stage, role: Role) -> cost::Options {
    cost::Options {
        repository: stage.repository(role),
        access: Some(Stage::passphrase()),
        cluster: None,
        policy: newest_only(),
        partial_retain: days(7),
        locks: false,
        prices: Prices::default(),
    }
}

async fn count(options: cost::Options) -> cost::Outcome {
    Box::pin(cost::run(options)).await.unwrap()
}

fn sum(outcome: &cost::Outcome) -> Amount {
    let (current, noncurrent) = (outcome.total.current, outcome.total.noncurrent);
    Amount { versions: current.versions + noncurrent.versions, bytes: current.bytes + noncurrent.bytes }
}

/// Junk under a lock of its own, over a chunk, in the folder of a backup and as WAL of no cluster; a delete marker; uploads.
async fn pollute(stage: &Stage, chunk: &ObjectKey, lock: Lock) {
    let store = stage.connected(Role::Attacker).await.store;
    let folder = chunk.as_str().rsplit_once('/').unwrap().0;
    let stray = format!("{folder}/9-0707070707070707");
    let wal = "flow/evil/wal/00000001/0000000003000000-0000000004000000";
    for (key, bytes, lock) in
        [("flow/Junk/x", 1000, Some(lock)), (chunk.as_str(), 50, None), (stray.as_str(), 10, None), (wal, 20, None)]
    {
        let put = Put { key: ObjectKey::new(key), body: vec![0_u8; bytes].into(), lock };
        store.put(put).await.unwrap();
    }
    store.hide(&ObjectKey::new("flow/repository")).await.unwrap();
    let raw = raw_client(stage);
    for key in ["flow/big", "elsewhere"] {
        raw.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    }
}

/// PAINS E1, E3, E4: every byte is told once, with what becomes of it, whose it is and for how long it must be paid for; by the
/// rights of a reader, and of uploads by those of an auditor.
#[tokio::test]
async fn e01_every_byte_that_is_paid_for_is_told_with_what_becomes_of_it() {
    let Some(stage) = Stage::light("e01_cost", |options| options.page_size = 7).await else { return };
    let old = stage.backup().await.backup;
    stage.backup().await;
    let other = backup_dump::Options { cluster: "other".parse().unwrap(), ..stage.backup_options() };
    run_backup(other).await.unwrap();
    stage.server().advance_clock(Duration::from_mins(2));
    let entries = stage.entries().await;
    let of_old = entries.iter().filter(|entry| entry.key.as_str().contains(old.as_str()));
    let all: u64 = entries.iter().map(|entry| entry.bytes).sum();

    let clean = count(options(&stage, Role::Reader)).await;
    assert!(clean.foreign.is_empty() && clean.planned && clean.uploads.unfinished.is_none(), "{clean:#?}");
    assert!(clean.uploads.why_not.as_ref().is_some_and(|why| why.contains("s3:ListBucketMultipartUploads")));
    assert_eq!(sum(&clean), Amount { versions: entries.len() as u64, bytes: all });
    let clusters = clean.areas.iter().filter_map(|area| area.place.as_ref()?.cluster.as_ref());
    assert_eq!(
        clusters.map(ToString::to_string).collect::<BTreeSet<_>>(),
        BTreeSet::from(["main", "other"].map(String::from))
    );
    let shares = &clean.shares;
    assert_eq!(shares.expires.all.versions, of_old.count() as u64 + 2, "with its keys: {shares:#?}");
    assert_eq!((shares.expires.locked, shares.left.all.versions), (shares.expires.all, 0), "{shares:#?}");

    let chunk = entries.iter().find(|e| e.key.as_str().contains(old.as_str()) && e.key.as_str().contains("/dump/0-"));
    let lock = Lock { mode: LockMode::Governance, retain_until: stage.now().await + days(60) };
    pollute(&stage, &chunk.unwrap().key, lock).await;
    stage.server().freeze(Some("/dump/0-"));
    let mut priced = options(&stage, Role::Auditor);
    priced.prices.usual = Some(1.0);
    let told = count(priced).await;
    let found: Vec<_> = told.foreign.iter().map(|found| (found.kind, found.count, found.bytes)).collect();
    let expected = [
        (ForeignKind::UnknownName, 1, 1000),
        (ForeignKind::UnknownCluster, 1, 20),
        (ForeignKind::LaterVersion, 1, 50),
        (ForeignKind::DeleteMarker, 1, 0),
        (ForeignKind::Stray, 1, 10),
    ];
    assert_eq!(found, expected, "{told:#?}");
    assert_eq!(
        (told.foreign[0].example.as_str(), told.foreign[3].example.as_str()),
        ("flow/Junk/x", "flow/repository")
    );
    assert_eq!((told.uploads.unfinished, told.uploads.example.as_deref()), (Some(1), Some("flow/big")));
    assert_eq!((told.total.markers, told.total.noncurrent.versions), (1, 2), "{told:#?}");
    assert_eq!((told.shares.kept.all, sum(&told).bytes), (clean.shares.kept.all, all + 1080));
    assert_eq!(told.shares.expires.all.bytes, clean.shares.expires.all.bytes + 10);
    assert_eq!((told.shares.foreign.all.bytes, told.shares.foreign.locked.bytes), (1070, 0), "nobody asked");
    assert_eq!(told.total.classes["GLACIER"].versions, 4, "three chunks and what lies over one: {told:#?}");
    assert_eq!(told.unpriced, BTreeSet::from(["GLACIER".to_owned()]));
    assert!(told.total.per_month.is_some_and(|money| money > 0.0), "{told:#?}");

    let asked = count(cost::Options { locks: true, ..options(&stage, Role::Reader) }).await;
    let foreign = &asked.shares.foreign;
    assert_eq!((foreign.locked, foreign.first_ends), (Amount { versions: 1, bytes: 1000 }, foreign.last_ends));
    assert!((foreign.last_ends.unwrap().as_second() - lock.retain_until.as_second()).abs() <= 1, "{foreign:?}");
    assert_eq!(asked.shares.expires.locked, clean.shares.expires.all, "what lies beside the manifest is not");
    assert_eq!(asked.shares.kept.locked, asked.shares.kept.all);
    without_keys(&stage, &told).await;
}

/// Sizes need no key and no object to be read: one listing tells them.
async fn without_keys(stage: &Stage, told: &cost::Outcome) {
    let mark = stage.log().len();
    let blind = count(cost::Options { access: None, ..options(stage, Role::Reader) }).await;
    let made = stage.log().split_off(mark);
    let listed = made.iter().filter(|request| request.action.as_deref() == Some("ListObjectVersions")).count();
    let pages = (sum(&blind).versions + blind.total.markers).div_ceil(7);
    assert!(listed as u64 >= pages && listed as u64 <= pages + 1, "{listed} requests for {pages} pages");
    let others: Vec<_> = made.iter().filter(|r| r.action.as_deref() != Some("ListObjectVersions")).collect();
    assert!(others.iter().all(|r| r.action.as_deref() == Some("ListMultipartUploads")), "{others:?}");
    assert_eq!((blind.planned, sum(&blind)), (false, sum(told)));
    let kinds: Vec<_> = blind.foreign.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [ForeignKind::UnknownName, ForeignKind::LaterVersion, ForeignKind::DeleteMarker]);
    let evil = blind.areas.iter().find_map(|area| area.place.as_ref().filter(|place| place.part == Part::Wal));
    assert_eq!(evil.and_then(|place| place.cluster.as_ref()).map(ToString::to_string).as_deref(), Some("evil"));

    let mut unlocked = cost::Options { locks: true, ..options(stage, Role::Reader) };
    unlocked.repository.immutability = Immutability::None;
    let error = Box::pin(cost::run(unlocked)).await.unwrap_err();
    assert!(matches!(&error, Error::Usage(why) if why.contains("no locks to ask for")), "{error:?}");
}
