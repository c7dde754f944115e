//! What every backup stands on stays locked and genuine, and no trusted writer owns the future.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::restore::latest;
use super::world::{PASSPHRASE, Scripted, back_up, bucket, cluster, host, lock, names, open, plain, secret};
use crate::catalog::{Access, Error, FindingKind, Footing, Foundation, outlive};
use crate::format::manifest::{Manifest, SealedPart};
use crate::format::{BackupId, Tag};
use crate::keys::{Bundle, WriterFile, data_key};
use crate::limits::{COPIES_READ_MAX, FIRST_VERSIONS_MAX};
use crate::store::memory::Memory;
use crate::store::{
    self, Append as _, Head, ListQuery, Lock, ObjectKey, Page, PageToken, Prune as _, Put, Read, StoreClock, VersionId,
};

const MOST: std::time::Duration = std::time::Duration::from_hours(24 * 400);

fn writer_file() -> WriterFile {
    let Access::Writer(file) = host() else { panic!("a host has a writer file") };
    *file
}

/// Objects below `folder`, with lock and content.
fn below(store: &Memory, folder: &str) -> Vec<(ObjectKey, Bytes, Option<Lock>)> {
    let keys = store.keys().into_iter().filter(|key| key.as_str().starts_with(folder));
    keys.filter_map(|key| store.first(&key).map(|(body, lock)| (key, body, lock))).collect()
}

#[tokio::test]
async fn i11_the_genuine_ground_is_renewed_whatever_was_planted() {
    let store = Arc::new(bucket(2));
    let (print, asked) = (writer_file().bundle, lock());
    let for_ever = Lock { retain_until: asked.retain_until + SignedDuration::from_hours(10_000), ..asked };
    for key in [names().identity(print, Tag::new([0; 8])), names().identity(Tag::new([1; 8]), Tag::new([0; 8]))] {
        let body = Bytes::from_static(b"age-encryption.org/v1 junk, locked for long");
        store.put(Put { key: ObjectKey::new(key), body, lock: Some(for_ever) }).await.unwrap();
    }
    let repository = open(store.clone(), host()).await.unwrap();
    for round in 0..2 {
        assert_eq!(outlive(&*store, &repository, asked, MOST).await.unwrap(), []);
        let bundles = below(&store, &names().identities());
        let locked = |lock: &Option<Lock>| lock.is_some_and(|lock| lock.retain_until >= asked.retain_until);
        let genuine = bundles.iter().filter(|(_, body, lock)| Bundle::fingerprint(body) == print && locked(lock));
        assert_eq!(genuine.count(), 1, "round {round}");
        assert_eq!(bundles.len(), 4, "the first, two planted, one copy");
        let certificates = below(&store, &names().writers());
        assert_eq!(certificates.iter().filter(|(_, _, lock)| locked(lock)).count(), 1);
        assert_eq!(certificates.len(), 2);
    }
}

/// Where backups are locked for as long as anything may be, one copy of the ground serves many of them; where a bucket denies longer
/// locks than those of backups, each has its own.
#[tokio::test]
async fn i11_ten_backups_share_one_copy_of_the_ground() {
    for (denied, expected) in [(false, 1), (true, 10)] {
        let store = Arc::new(bucket(1000));
        let repository = open(store.clone(), host()).await.unwrap();
        let folders = [names().identities(), names().writers()];
        let before = folders.each_ref().map(|folder| below(&store, folder).len());
        for day in 1..=10 {
            store.clock().observe(store.clock().now() + SignedDuration::from_hours(24));
            let asked = Lock { retain_until: store.clock().now() + SignedDuration::try_from(MOST).unwrap(), ..lock() };
            if denied {
                store.deny_locks_beyond(asked.retain_until);
            }
            assert_eq!(outlive(&*store, &repository, asked, MOST).await.unwrap(), []);
            for folder in &folders {
                let lasts = |lock: &Option<Lock>| lock.is_some_and(|lock| lock.outlasts(asked));
                assert!(below(&store, folder).iter().any(|(_, _, lock)| lasts(lock)), "day {day} of {folder}");
            }
        }
        let after = folders.each_ref().map(|folder| below(&store, folder).len());
        assert_eq!(after, before.map(|count| count + expected), "denied: {denied}");
    }
}

/// Whoever may write can put any number of names among the copies of a bundle: some hundred are read, the genuine one counts, and
/// where theirs hide the copy that is locked longest, another one is made.
#[tokio::test]
async fn i11_i12_a_footing_is_found_among_any_number_of_planted_copies() {
    let store = Arc::new(bucket(1000));
    let (print, asked) = (writer_file().bundle, lock());
    let repository = open(store.clone(), host()).await.unwrap();
    let mut planted = 0_u64;
    for round in 0..2 {
        for _ in 0..3 * COPIES_READ_MAX {
            planted += 1;
            let key = ObjectKey::new(names().identity(print, Tag::new(planted.to_be_bytes())));
            store.put(Put { key, body: Bytes::from_static(b"planted"), lock: None }).await.unwrap();
        }
        let before = store.reads();
        let found = repository.footings(Foundation::Bundle(print), None).await.unwrap();
        assert_eq!(found.iter().map(|footing| footing.lock).collect::<Vec<_>>(), [None], "round {round}");
        assert!(store.reads() - before <= COPIES_READ_MAX as u64, "{} reads", store.reads() - before);
        assert_eq!(outlive(&*store, &repository, asked, MOST).await.unwrap(), []);
        let before = store.reads();
        let found = repository.footings(Foundation::Bundle(print), Some(asked)).await.unwrap();
        let best = Footing::best(&found, Some(asked)).unwrap();
        assert!(best.lock.unwrap().outlasts(asked), "round {round}");
        assert_eq!(store.reads() - before, 1, "the newest is read first");
    }
}

/// Bytes of ours under a name that was somebody else's first are none of ours: nobody reads them there.
#[tokio::test]
async fn i04_a_later_version_is_no_footing() {
    let store = Arc::new(bucket(1000));
    let print = writer_file().bundle;
    let repository = open(store.clone(), host()).await.unwrap();
    let (_, genuine, _) = below(&store, &names().identities()).remove(0);
    let key = ObjectKey::new(names().identity(print, Tag::new([3; 8])));
    for (body, lock) in [(Bytes::from_static(b"planted"), None), (genuine, Some(lock()))] {
        store.put(Put { key: key.clone(), body, lock }).await.unwrap();
    }
    let found = repository.footings(Foundation::Bundle(print), None).await.unwrap();
    assert!(found.iter().all(|footing| footing.lock.is_none() && footing.key != key), "{found:?}");
}

#[tokio::test]
async fn i11_ground_that_is_gone_is_told() {
    let store = Arc::new(bucket(1000));
    for (key, version, _) in store.dump() {
        if key.as_str().starts_with(&names().identities()) || key.as_str().starts_with(&names().writers()) {
            store.delete_version(&key, &version, false).await.unwrap();
        }
    }
    let repository = open(store.clone(), host()).await.unwrap();
    let gone = outlive(&*store, &repository, lock(), MOST).await.unwrap();
    assert_eq!(gone.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Missing; 2]);
}

#[tokio::test]
async fn a_named_bundle_is_the_only_one_tried() {
    let store = Arc::new(bucket(1000));
    let access = |fingerprint| Access::Bundle { passphrase: secret(PASSPHRASE), fingerprint };
    open(store.clone(), access(writer_file().bundle)).await.unwrap();
    let refused = open(store, access(Tag::new([7; 8]))).await.unwrap_err();
    assert!(matches!(refused, Error::NoRepository { .. }), "{refused}");
}

/// A trusted host that was taken over cannot own `latest` for ever by a date far ahead.
#[tokio::test]
async fn i04_a_backup_from_the_future_is_none() {
    let store = Arc::new(bucket(7));
    let repository = open(store.clone(), host()).await.unwrap();
    let genuine = plain(3, 10_000);
    let never = CancellationToken::new();
    let committed = back_up(&store, &repository, Scripted::good(genuine.clone()), 1, &never).await.unwrap();
    let mut clear = committed.clear.clone();
    clear.started_at += SignedDuration::from_hours(24 * 365);
    clear.backup = BackupId::new(clear.started_at, [0; 4]);
    let (file, key) = (writer_file(), names().manifest(&cluster(), &clear.backup, clear.manifest));
    let sign = |message: &[u8]| file.writer.sign(message);
    let metadata = data_key().unwrap();
    let body = Manifest::encode(&clear, &SealedPart::default(), &metadata, file.writer.public(), sign).unwrap();
    store.put(Put { key: ObjectKey::new(key), body: body.into(), lock: None }).await.unwrap();
    let (restored, id, findings) = latest(store).await.unwrap();
    assert!(restored == genuine);
    assert_eq!(id, committed.clear.backup.as_str());
    assert!(findings.iter().any(|finding| finding.detail.contains("after it arrived")), "{findings:?}");
}

/// The manifest is written last: whoever saw the first chunk can have put any number of names before it.
#[tokio::test]
async fn i04_a_genuine_manifest_is_found_behind_any_number_of_planted_ones() {
    let store = Arc::new(bucket(1000));
    let repository = open(store.clone(), host()).await.unwrap();
    let genuine = plain(4, 10_000);
    let never = CancellationToken::new();
    let committed = back_up(&store, &repository, Scripted::good(genuine.clone()), 1, &never).await.unwrap();
    let (body, _) = store.first(&committed.key).unwrap();
    let crowded = Arc::new(bucket(1000));
    for (key, version, body) in store.dump() {
        if key != committed.key {
            crowded.load(&key, version, body);
        }
    }
    for number in 0..=u64::try_from(FIRST_VERSIONS_MAX).unwrap() {
        let key = names().manifest(&cluster(), &committed.clear.backup, Tag::new(number.to_be_bytes()));
        crowded.put(Put { key: ObjectKey::new(key), body: Bytes::from_static(b"junk"), lock: None }).await.unwrap();
    }
    crowded.put(Put { key: committed.key.clone(), body, lock: None }).await.unwrap();
    let (restored, id, _) = latest(crowded).await.unwrap();
    assert!(restored == genuine);
    assert_eq!(id, committed.clear.backup.as_str());
}

/// Hands out everything but objects that a key of someone else's seals: as SSE-C and archives answer.
pub(super) struct Opaque(pub(super) Arc<Memory>);

#[async_trait::async_trait]
impl Read for Opaque {
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> store::Result<Bytes> {
        let bytes = self.0.get(key, version, range).await?;
        if bytes.starts_with(b"opaque") {
            let (target, code) = (key.to_string(), "InvalidRequest".into());
            return Err(store::Error::Refused { action: "s3:GetObjectVersion", target, code });
        }
        Ok(bytes)
    }

    async fn newest(&self, key: &ObjectKey, most: u64) -> store::Result<Option<store::Newest>> {
        self.0.newest(key, most).await
    }

    async fn head(&self, key: &ObjectKey, version: &VersionId) -> store::Result<Head> {
        self.0.head(key, version).await
    }

    async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> store::Result<Page> {
        self.0.list_page(query, token).await
    }

    fn clock(&self) -> &StoreClock {
        self.0.clock()
    }
}

#[tokio::test]
async fn i04_what_cannot_be_read_hides_nothing() {
    let store = Arc::new(bucket(1000));
    let repository = open(store.clone(), host()).await.unwrap();
    let genuine = plain(5, 10_000);
    let never = CancellationToken::new();
    let committed = back_up(&store, &repository, Scripted::good(genuine.clone()), 1, &never).await.unwrap();
    let planted = BackupId::new(committed.clear.started_at + SignedDuration::from_hours(1), [9; 4]);
    for place in [&planted, &committed.clear.backup] {
        let key = names().manifest(&cluster(), place, Tag::new([0; 8]));
        store.put(Put { key: ObjectKey::new(key), body: Bytes::from_static(b"opaque"), lock: None }).await.unwrap();
    }
    let opaque: Arc<dyn Read> = Arc::new(Opaque(store));
    let (restored, id, findings) = latest(opaque.clone()).await.unwrap();
    assert!(restored == genuine);
    assert_eq!(id, committed.clear.backup.as_str());
    assert!(findings.iter().any(|finding| finding.kind == FindingKind::Opaque), "{findings:?}");
    let repository = open(opaque, host()).await.unwrap();
    let refused = repository.backup(&cluster(), &planted).await.unwrap_err();
    assert!(matches!(refused, Error::Unread { .. }), "{refused}");
}
