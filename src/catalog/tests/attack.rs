//! An attacker with every right but lock bypass makes noise, and changes nothing that a restore returns.

use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::restore::latest;
use super::world::{
    Failure, PASSPHRASE, Scripted, back_up, bucket, cluster, host, names, open, plain, recovery, secret, streamed,
};
use crate::catalog::{Access, Committed, Draft, Error, FindingKind, commit, open_bundle};
use crate::format::manifest::{ClearPart, CopyOf, KeyRecord, Manifest, SealedPart};
use crate::format::{BackupId, ObjectRecord, Tag};
use crate::keys::{WriterKey, data_key, tag, wrap};
use crate::store::memory::Memory;
use crate::store::{Append as _, ListQuery, Lock, ObjectKey, Prune as _, Put, Read as _};

/// A bucket with one backup by a host, listed in small pages.
async fn world() -> (Arc<Memory>, Committed, Vec<u8>) {
    let store = Arc::new(bucket(7));
    let repository = open(store.clone(), host()).await.unwrap();
    let plain = plain(1, 2_500_000);
    let never = CancellationToken::new();
    let committed = back_up(&store, &repository, Scripted::good(plain.clone()), 3, &never).await.unwrap();
    (store, committed, plain)
}

async fn put(store: &Memory, key: impl Into<String>, body: impl Into<Bytes>) {
    store.put(Put { key: ObjectKey::new(key), body: body.into(), lock: None }).await.unwrap();
}

/// Deletes what lets itself be deleted, writes over everything, lays markers on everything.
#[tokio::test]
async fn i04_noise_over_everything_changes_nothing() {
    let (store, committed, plain) = world().await;
    let versions = store.dump();
    for (key, version, _) in versions.iter().filter(|(key, ..)| is_locked(&store, key)) {
        let refused = store.delete_version(key, version, false).await.unwrap_err();
        assert!(matches!(refused, crate::store::Error::Denied { .. }), "{key}: {refused}");
    }
    for round in 0..150 {
        for (key, ..) in &versions {
            put(&store, key.as_str(), format!("junk {round}")).await;
            store.mark_deleted(key);
        }
    }
    assert!(store.dump().len() > 1000);
    let (restored, id, findings) = latest(store.clone()).await.unwrap();
    assert!(restored == plain);
    assert_eq!(id, committed.clear.backup.as_str());
    let kinds: Vec<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::LaterVersion, FindingKind::DeleteMarker]);
    // The passphrase's way in is as good.
    let repository = open(store, Access::Passphrase(secret(PASSPHRASE))).await.unwrap();
    assert_eq!(repository.latest(&cluster()).await.unwrap().0.clear(), &committed.clear);
}

/// What a backup wrote is locked; the ground is founded without locks, so that it can be copied.
fn is_locked(store: &Memory, key: &ObjectKey) -> bool {
    store.first(key).is_some_and(|(_, lock)| lock.is_some())
}

/// A "newer backup", whole and wrapped to our recipients, signed by the attacker's own key: with a certificate of their
/// own making as well.
#[tokio::test]
async fn i06_forged_backups_are_not_backups() {
    let (store, committed, plain) = world().await;
    let stranger = WriterKey::generate().unwrap();
    let mut clear = committed.clear.clone();
    clear.started_at += jiff::SignedDuration::from_secs(1);
    clear.backup = BackupId::new(clear.started_at, [0; 4]);
    let repository = open(store.clone(), host()).await.unwrap();
    let (payload, metadata) = (data_key().unwrap(), data_key().unwrap());
    for (key, record) in [(&payload, &mut clear.payload_key), (&metadata, &mut clear.metadata_key)] {
        let wrapped = repository.with_keyring(|ring| wrap(key, ring.recipients())).unwrap();
        let fresh = tag().unwrap();
        put(&store, names().wrap(key.id(), fresh), wrapped).await;
        *record = KeyRecord { id: key.id(), wrap: ObjectRecord { tag: fresh, version: "v".into() } };
    }
    let sign = |message: &[u8]| stranger.sign(message);
    let forged = Manifest::encode(&clear, &SealedPart::default(), &metadata, stranger.public(), sign).unwrap();
    put(&store, names().manifest(&cluster(), &clear.backup, clear.manifest), forged.clone()).await;
    // The same beside the genuine manifest.
    put(&store, names().manifest(&cluster(), &committed.clear.backup, Tag::new([0; 8])), forged).await;
    let own = crate::keys::Certificate { repository: clear.repository, name: "db1".into(), writer: *stranger.public() };
    put(&store, names().writer(&stranger.public().id(), tag().unwrap()), own.encode(&stranger).unwrap()).await;

    let (restored, id, findings) = latest(store.clone()).await.unwrap();
    assert!(restored == plain);
    assert_eq!(id, committed.clear.backup.as_str());
    assert!(findings.iter().all(|finding| finding.kind == FindingKind::ForgedManifest), "{findings:?}");
    let repository = open(store, recovery()).await.unwrap();
    let refused = repository.backup(&cluster(), &clear.backup).await.unwrap_err();
    assert!(matches!(refused, Error::UnknownBackup { .. }), "{refused}");
}

/// A host may publish, and not put one backup in the place of another: whatever it says of that counts for nothing.
#[tokio::test]
async fn i06_only_the_root_says_what_is_a_copy() {
    let (store, committed, _) = world().await;
    let repository = open(store.clone(), host()).await.unwrap();
    let original = committed.clear.backup.clone();
    let mut clear = committed.clear.clone();
    clear.backup = BackupId::new(clear.started_at, [0; 4]);
    clear.copy_of = Some(CopyOf { backup: original.clone(), arrived_at: clear.started_at });
    let metadata = data_key().unwrap();
    let encode = |clear: &ClearPart, key: &WriterKey| {
        Manifest::encode(clear, &SealedPart::default(), &metadata, key.public(), |message| key.sign(message))
    };
    let writer = repository.with_keyring(|ring| ring.writer().unwrap().clone());
    let body = encode(&clear, &writer).unwrap();
    put(&store, names().manifest(&cluster(), &clear.backup, clear.manifest), body).await;
    let (backup, _) = repository.backup(&cluster(), &clear.backup).await.unwrap();
    assert!(backup.clear().copy_of.is_some() && backup.copy_of(&repository.trusted_root()).is_none());
    // The root's word counts, and neither of them can call a backup its own copy.
    let root = open_bundle(&*store, &names(), secret(PASSPHRASE), None, "a test").await.unwrap();
    clear.backup = BackupId::new(clear.started_at, [1; 4]);
    let body = encode(&clear, &root.bundle.writer).unwrap();
    put(&store, names().manifest(&cluster(), &clear.backup, clear.manifest), body).await;
    let (backup, _) = repository.backup(&cluster(), &clear.backup).await.unwrap();
    assert_eq!(backup.copy_of(&repository.trusted_root()).map(|of| &of.backup), Some(&original));
    clear.backup = original;
    assert!(encode(&clear, &root.bundle.writer).is_err());
}

/// The genuine manifest copied to a newer place and to another cluster, where it is not a backup.
#[tokio::test]
async fn i04_a_replayed_manifest_is_not_a_backup() {
    let (store, committed, _) = world().await;
    let (body, _) = store.first(&committed.key).unwrap();
    let newer: BackupId = "20991231T235959Z-00000000".parse().unwrap();
    put(&store, names().manifest(&cluster(), &newer, Tag::new([1; 8])), body.clone()).await;
    let other: crate::format::ClusterName = "other".parse().unwrap();
    put(&store, names().manifest(&other, &committed.clear.backup, Tag::new([1; 8])), body.clone()).await;
    let repository = open(store, recovery()).await.unwrap();
    let (backup, findings) = repository.latest(&cluster()).await.unwrap();
    assert_eq!((backup.clear(), &backup.entry.key), (&committed.clear, &committed.key));
    assert_eq!(findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::ForgedManifest]);
    assert!(matches!(repository.latest(&other).await, Err(Error::NoBackup { .. })));
}

/// A copy beside the original that seems older: times of arrival have whole seconds. Its own name tells the original.
#[tokio::test]
async fn i04_a_copy_that_seems_older_is_not_the_manifest() {
    let (store, committed, plain) = world().await;
    let beside = bucket(1000);
    let (body, _) = store.first(&committed.key).unwrap();
    put(&beside, names().manifest(&cluster(), &committed.clear.backup, Tag::new([0; 8])), body).await;
    for (key, version, body) in store.dump() {
        if beside.first(&key).is_none() {
            beside.load(&key, version, body);
        }
    }
    let (restored, _, findings) = latest(Arc::new(beside)).await.unwrap();
    assert!(restored == plain);
    assert_eq!(findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::ForgedManifest]);
}

/// Wraps planted beside the genuine ones, and the genuine one gone: a copy of it, made by a rotation, still opens.
#[tokio::test]
async fn i04_planted_wraps_are_passed_over() {
    let (store, committed, plain) = world().await;
    let repository = open(store.clone(), recovery()).await.unwrap();
    let record = &committed.clear.payload_key;
    let key = ObjectKey::new(names().wrap(record.id, record.wrap.tag));
    let (genuine, _) = store.first(&key).unwrap();
    put(&store, names().wrap(record.id, Tag::new([0; 8])), &b"junk"[..]).await;
    let planted = wrap(&data_key().unwrap(), &repository.with_keyring(|ring| ring.recipients().to_vec()));
    // A recovery file wraps to no one; the attacker reads our recipients elsewhere.
    assert!(planted.is_err());
    let host = open(store.clone(), host()).await.unwrap();
    let recipients = host.with_keyring(|ring| ring.recipients().to_vec());
    put(&store, names().wrap(record.id, Tag::new([1; 8])), wrap(&data_key().unwrap(), &recipients).unwrap()).await;
    put(&store, names().wrap(record.id, Tag::new([2; 8])), genuine).await;
    let mut moved = record.clone();
    moved.wrap.version = "no such version".into();
    repository.payload_key(&moved).await.unwrap();
    assert!(latest(store).await.unwrap().0 == plain);
}

/// A host makes backups and reads their manifests, and cannot open a byte of data: its own included.
#[tokio::test]
async fn i07_a_host_backs_up_what_it_cannot_read() {
    let (store, _, plain) = world().await;
    let host = open(store.clone(), host()).await.unwrap();
    let (backup, _) = host.latest(&cluster()).await.unwrap();
    host.sealed_part(&backup.manifest).await.unwrap();
    let refused = host.payload_key(&backup.clear().payload_key).await.unwrap_err();
    assert!(matches!(refused, Error::Keys(crate::keys::Error::NotARecipient { .. })), "{refused}");
    for (key, _, body) in store.dump() {
        assert!(!contains(&body, &plain[..32]), "{key} holds plain text");
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

/// Every object of a backup is locked as the manifest says, and written once.
#[tokio::test]
async fn i03_every_object_is_locked_and_written_once() {
    let (store, committed, _) = world().await;
    let promised = committed.clear.lock.unwrap();
    let query = ListQuery { prefix: "pg/".into(), by_folder: false };
    let (mut keys, mut token) = (Vec::new(), None);
    loop {
        let page = store.list_page(&query, token.as_ref()).await.unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(keys, store.keys(), "a key has several versions");
    for key in keys.iter().filter(|key| key.as_str().contains("/backups/") || key.as_str().contains("/keys/")) {
        let (_, lock) = store.first(key).unwrap();
        assert_eq!(lock.map(|lock| lock.retain_until), Some(promised.retain_until), "{key}");
    }
}

/// A source whose stream ended without its proof of success publishes nothing.
#[tokio::test]
async fn i01_the_end_of_a_stream_publishes_nothing() {
    let store = Arc::new(bucket(1000));
    let repository = open(store.clone(), host()).await.unwrap();
    let source = Scripted { succeeds: false, ..Scripted::good(plain(2, 1000)) };
    let refused = back_up(&store, &repository, source, 3, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(refused, Failure::Source), "{refused:?}");
    // One that counted more bytes than were sealed.
    let source = Scripted { at: 10, ..Scripted::good(plain(2, 1000)) };
    let refused = back_up(&store, &repository, source, 3, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(refused, Failure::Catalog(Error::Receipts { .. })), "{refused:?}");
    assert!(latest(store.clone()).await.is_none());
    assert!(store.keys().iter().all(|key| !key.as_str().contains("/manifest-")));
}

/// What the store has is looked at before the manifest is written: a chunk that is locked for less than was asked for (PAINS A15), or
/// that vanished meanwhile, leaves no backup.
#[tokio::test]
async fn i02_a_chunk_that_is_not_there_or_not_locked_leaves_no_backup() {
    let store = Arc::new(bucket(1000));
    let repository = open(store.clone(), host()).await.unwrap();
    let begin = async || {
        let source = Scripted::good(plain(3, 3_000_000));
        streamed(&store, &repository, source, 3, &CancellationToken::new()).await.unwrap()
    };
    let (keys, draft, stream) = begin().await;
    let hour = SignedDuration::from_hours(1);
    let lock = draft.lock.map(|lock| Lock { retain_until: lock.retain_until + hour, ..lock });
    let refused = commit(&*store, &repository, keys, Draft { lock, ..draft }, vec![stream]).await.unwrap_err();
    assert!(matches!(refused, Error::Unlocked { .. }), "{refused}");

    for (chunk, put_back) in [(0, true), (1, false)] {
        let (keys, draft, stream) = begin().await;
        let chunk = format!("{}/dump/{chunk}-", draft.place.backup);
        let (key, version, body) = store.dump().into_iter().find(|(key, ..)| key.as_str().contains(&chunk)).unwrap();
        store.delete_version(&key, &version, true).await.unwrap();
        if put_back {
            store.load(&key, version, body);
        }
        let refused = commit(&*store, &repository, keys, draft, vec![stream]).await.unwrap_err();
        let expected = if put_back {
            matches!(refused, Error::Unlocked { .. })
        } else {
            matches!(refused, Error::Vanished { .. })
        };
        assert!(expected, "{refused}");
    }
    assert!(store.keys().iter().all(|key| !key.as_str().contains("/manifest-")));
}
