//! A bucket and its replica: what one does not say, the other may know, and neither hides anything of the other.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::restore::latest;
use super::world::{Scripted, back_up, bucket, cluster, host, lock, open, plain};
use crate::catalog::{ClusterIdentity, Error, Repository, cluster_record};
use crate::format::names::WalName;
use crate::format::wal::WalRange;
use crate::format::{BackupId, Lsn, SegmentSize, Timeline, WalFileName};
use crate::store::faulty::{Faulty, Rates};
use crate::store::memory::Memory;
use crate::store::{
    self, Append as _, Head, ListQuery, Newest, ObjectKey, Page, PageToken, Put, Read, Side, Sides, StoreClock,
    VersionId,
};

/// Reads, and lists nothing: a role without `s3:ListBucketVersions`.
struct Mute(Memory);

#[async_trait::async_trait]
impl Read for Mute {
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> store::Result<Bytes> {
        self.0.get(key, version, range).await
    }

    async fn newest(&self, key: &ObjectKey, most: u64) -> store::Result<Option<Newest>> {
        self.0.newest(key, most).await
    }

    async fn head(&self, key: &ObjectKey, version: &VersionId) -> store::Result<Head> {
        self.0.head(key, version).await
    }

    async fn list_page(&self, query: &ListQuery, _: Option<&PageToken>) -> store::Result<Page> {
        let (target, code) = (query.prefix.clone(), "AccessDenied".into());
        Err(store::Error::Denied { action: "s3:ListBucketVersions", target, code })
    }

    fn clock(&self) -> &StoreClock {
        self.0.clock()
    }
}

fn dead(store: &Memory) -> Faulty<Memory> {
    Faulty::seeded(store.clone(), 0, Rates { before: 1000, ..Rates::default() })
}

fn both(here: impl Read + 'static, there: &Memory) -> Arc<dyn Read> {
    let sides = vec![Side::new("here", Arc::new(here)), Side::new("there", Arc::new(there.clone()))];
    Arc::new(Sides::new(sides))
}

fn unheard<T>(answer: &crate::catalog::Result<T>) -> bool {
    matches!(answer, Err(Error::Store(store::Error::Unheard { .. })))
}

/// Everything that a restore takes for absent.
async fn asks(repository: &Repository) -> Vec<bool> {
    let (cluster, timeline) = (cluster(), Timeline::new(1).unwrap());
    let range = WalRange { start: Lsn::new(3 << 20), end: Lsn::new(4 << 20) };
    let piece = WalName::Piece { timeline, range, tag: None };
    let history = Timeline::new(2).unwrap();
    let history = WalName::File { timeline: history, name: WalFileName::History(history), tag: None };
    let id: BackupId = "20261124T031500Z-5b0c6f2e".parse().unwrap();
    vec![
        unheard(&repository.wal_object(&cluster, &piece).await),
        unheard(&repository.wal_object(&cluster, &history).await),
        unheard(&repository.cluster_record(&cluster).await),
        unheard(&repository.wal_beyond(&cluster, timeline, range.start).await),
        unheard(&repository.latest(&cluster).await),
        unheard(&repository.backup(&cluster, &id).await),
    ]
}

/// PAINS A5, D9: a bucket that fails, or denies, has not said that there is nothing; an empty replica cannot say it for it.
#[tokio::test]
async fn i10_a_denial_and_an_empty_replica_are_no_absence() {
    let (here, there) = (bucket(7), bucket(1000));
    let heard = open(both(here.clone(), &there), host()).await.unwrap();
    assert_eq!(asks(&heard).await, [false; 6]);
    assert!(heard.cluster_record(&cluster()).await.unwrap().is_none(), "both say so");
    for side in [both(dead(&here), &there), both(Mute(here.clone()), &there)] {
        let repository = open(side, host()).await.unwrap();
        assert_eq!(asks(&repository).await, [true; 6]);
    }
    // What is really in the bucket is found in spite of a denied listing.
    let identity = ClusterIdentity { system_identifier: 7, segment_bytes: SegmentSize::new(1 << 20).unwrap() };
    cluster_record(&here, &heard, &cluster(), identity, || Some(lock())).await.unwrap();
    let repository = open(both(Mute(here), &there), host()).await.unwrap();
    assert!(repository.cluster_record(&cluster()).await.unwrap().is_some());
}

/// A replica that lags hides no backup of the bucket, and the bucket none that only the replica has left.
#[tokio::test]
async fn i04_backups_of_either_side_are_found() {
    let (here, there) = (bucket(7), bucket(3));
    let never = CancellationToken::new();
    let (old, new) = (plain(1, 9_000), plain(2, 9_000));
    let repository = open(Arc::new(there.clone()), host()).await.unwrap();
    back_up(&Arc::new(there.clone()), &repository, Scripted::good(old.clone()), 1, &never).await.unwrap();
    let (restored, first, _) = latest(both(here.clone(), &there)).await.unwrap();
    assert!(restored == old, "only the replica has it");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let repository = open(Arc::new(here.clone()), host()).await.unwrap();
    back_up(&Arc::new(here.clone()), &repository, Scripted::good(new.clone()), 1, &never).await.unwrap();
    let (restored, second, _) = latest(both(here, &there)).await.unwrap();
    assert!(restored == new && first != second, "only the bucket has it");
}

/// Somebody who may write to the replica was faster than the copy: each object is the second version of its key there.
#[tokio::test]
async fn i04_what_was_planted_before_the_copy_hides_nothing() {
    let here = bucket(1000);
    let repository = open(Arc::new(here.clone()), host()).await.unwrap();
    let genuine = plain(3, 40_000);
    let never = CancellationToken::new();
    back_up(&Arc::new(here.clone()), &repository, Scripted::good(genuine.clone()), 1, &never).await.unwrap();
    let there = Memory::paged(7);
    for (key, _, body) in here.dump() {
        let bodies = [Bytes::from_static(b"planted"), vec![0; body.len()].into(), body, Bytes::from_static(b"later")];
        for body in bodies {
            there.put(Put { key: key.clone(), body, lock: None }).await.unwrap();
        }
    }
    for store in [both(dead(&here), &there), Arc::new(there.clone()) as Arc<dyn Read>] {
        let (restored, ..) = latest(store).await.unwrap();
        assert!(restored == genuine);
    }
}
