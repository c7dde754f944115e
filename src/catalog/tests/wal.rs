//! Stored WAL among attackers: found without a listing where nobody interfered, and found the same where somebody did.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::ground::Opaque;
use super::world::{bucket, cluster, host, lock, names, open, plain, recovery};
use crate::catalog::{ClusterIdentity, Error, Kept, Repository, cluster_record, keep_wal, outlive_wal};
use crate::format::names::WalName;
use crate::format::wal::{WalContent, WalRange};
use crate::format::{self, Codec, Lsn, SegmentSize, Tag, Timeline, WalFileName};
use crate::limits::{COPIES_READ_MAX, FIRST_VERSIONS_MAX, KEYS_IN_FLIGHT};
use crate::pipeline::{Encoding, SealedWal, Signer, WalPlace, WalRun, open_wal_whole};
use crate::store::memory::Memory;
use crate::store::{self, Append as _, ObjectKey, Prune as _, Put};

const SEGMENT: u32 = 1 << 20;

pub(super) fn run_of(repository: &Repository, system_identifier: u64) -> WalRun {
    let place = WalPlace { names: names(), repository: repository.id(), cluster: cluster(), system_identifier };
    let (signer, recipients) = repository.with_keyring(|ring| {
        let certificate = ring.certificate().map(<[u8]>::to_vec);
        (Signer { writer: ring.writer().unwrap().clone(), certificate }, ring.recipients().to_vec())
    });
    let encoding = Encoding { codec: Codec::Zstd, level: 3 };
    WalRun::begin(place, &recipients, signer, encoding, repository.store().clock().now()).unwrap()
}

fn content(number: u64) -> WalContent {
    let (timeline, segment) = (Timeline::new(1).unwrap(), SegmentSize::new(SEGMENT).unwrap());
    WalContent::range(timeline, WalRange::piece(Lsn::new(number << 20), segment), segment)
}

pub(super) fn name(number: u64) -> WalName {
    WalName::of(&content(number), None)
}

pub(super) async fn sealed(run: &WalRun, number: u64, plain: &Bytes) -> SealedWal {
    run.seal(content(number), plain.clone(), None, lock().retain_until).await.unwrap()
}

pub(super) async fn keep(
    store: &Memory,
    repository: &Repository,
    sealed: &SealedWal,
    plain: &Bytes,
) -> crate::catalog::Result<Kept> {
    keep_wal(store, repository, &sealed.header, sealed.object.clone(), plain, Some(lock())).await
}

pub(super) async fn fetch(repository: &Repository, number: u64) -> Option<Bytes> {
    let found = repository.wal_object(&cluster(), &name(number)).await.unwrap()?;
    let key = repository.wal_key(&found.head).await.unwrap();
    Some(open_wal_whole(&found.head, found.object, &key).await.unwrap())
}

pub(super) async fn plant(store: &Memory, key: &ObjectKey, body: impl Into<Bytes>) {
    store.put(Put { key: key.clone(), body: body.into(), lock: None }).await.unwrap();
}

pub(super) fn piece(seed: u64) -> Bytes {
    plain(seed, SEGMENT as usize).into()
}

pub(super) fn key_of(number: u64) -> ObjectKey {
    ObjectKey::new(names().wal(&cluster(), &name(number)))
}

#[tokio::test]
async fn i07_a_host_that_cannot_read_stores_and_compares() {
    let store = Arc::new(bucket(1000));
    let (host, reader) = (open(store.clone(), host()).await.unwrap(), open(store.clone(), recovery()).await.unwrap());
    let run = run_of(&host, 7);
    let (ours, other) = (piece(1), piece(2));
    let first = sealed(&run, 3, &ours).await;
    assert!(matches!(keep(&store, &host, &first, &ours).await.unwrap(), Kept::Stored { key, .. } if key == key_of(3)));
    // The same again, by another run: other bytes in the bucket, the same WAL.
    let again = sealed(&run_of(&host, 7), 3, &ours).await;
    assert_eq!(keep(&store, &host, &again, &ours).await.unwrap(), Kept::Already);
    for (run, wal) in [(run, &other), (run_of(&host, 8), &ours)] {
        let refused = keep(&store, &host, &sealed(&run, 3, wal).await, wal).await;
        assert!(matches!(refused, Err(Error::WalDiffers { .. })), "{refused:?}");
    }
    assert_eq!(store.first(&key_of(3)).unwrap().0, first.object, "untouched");
    assert_eq!(fetch(&reader, 3).await, Some(ours));
    assert_eq!(fetch(&reader, 4).await, None);
    let head = host.wal_head_of(&cluster(), &name(3)).await.unwrap().unwrap();
    assert!(host.wal_key(&head).await.is_err(), "a writer file opens no WAL");
}

#[tokio::test]
async fn i04_whatever_is_laid_over_wal_the_same_bytes_return() {
    let store = Arc::new(bucket(2));
    let (host, reader) = (open(store.clone(), host()).await.unwrap(), open(store.clone(), recovery()).await.unwrap());
    let (run, wal) = (run_of(&host, 7), piece(1));
    for number in 1..4 {
        keep(&store, &host, &sealed(&run, number, &wal).await, &wal).await.unwrap();
    }
    let genuine = sealed(&run, 1, &wal).await.object;
    let neighbour = store.first(&key_of(2)).unwrap().0;
    let mut bent = genuine.to_vec();
    *bent.last_mut().unwrap() ^= 1;
    let foreign = {
        let other = bucket(1000);
        let stranger = open(Arc::new(other), super::world::host()).await.unwrap();
        sealed(&run_of(&stranger, 7), 1, &piece(9)).await.object.slice(..200)
    };
    for junk in [Bytes::from_static(b"junk"), Bytes::new(), neighbour, bent.into(), foreign, genuine.slice(..5000)] {
        plant(&store, &key_of(1), junk.clone()).await;
        assert_eq!(fetch(&reader, 1).await.as_ref(), Some(&wal));
        // Beside it, under an alternate name.
        plant(&store, &ObjectKey::new(format!("{}-0000000000000000", key_of(1))), junk).await;
        store.mark_deleted(&key_of(1));
        assert_eq!(fetch(&reader, 1).await.as_ref(), Some(&wal));
        let again = sealed(&run_of(&host, 7), 1, &wal).await;
        keep(&store, &host, &again, &wal).await.unwrap();
        assert_eq!(fetch(&reader, 1).await.as_ref(), Some(&wal));
    }
}

#[tokio::test]
async fn i04_what_was_planted_before_does_not_keep_wal_out() {
    let store = Arc::new(bucket(1000));
    let (host, reader) = (open(store.clone(), host()).await.unwrap(), open(store.clone(), recovery()).await.unwrap());
    let (run, wal) = (run_of(&host, 7), piece(1));
    for (number, marker) in [(1, false), (2, true)] {
        plant(&store, &key_of(number), &b"planted before"[..]).await;
        if marker {
            store.mark_deleted(&key_of(number));
        }
        assert_eq!(fetch(&reader, number).await, None);
        let kept = keep(&store, &host, &sealed(&run, number, &wal).await, &wal).await.unwrap();
        let Kept::Stored { key, .. } = kept else { panic!("it was not there") };
        assert_eq!(key == key_of(number), marker, "an alternate name where the name is taken");
        assert_eq!(fetch(&reader, number).await.as_ref(), Some(&wal));
        let again = sealed(&run_of(&host, 7), number, &wal).await;
        assert_eq!(keep(&store, &host, &again, &wal).await.unwrap(), Kept::Already);
    }
}

/// What begins like ours and is not genuine may be damage: it is no proof that there is nothing.
#[tokio::test]
async fn i10_damage_is_not_absence() {
    let store = Arc::new(bucket(1000));
    let (host, reader) = (open(store.clone(), host()).await.unwrap(), open(store.clone(), recovery()).await.unwrap());
    let wal = piece(1);
    let object = sealed(&run_of(&host, 7), 1, &wal).await.object;
    for at in [20, 600, 3000, object.len() - 1] {
        let mut bent = object.to_vec();
        bent[at] ^= 1;
        plant(&store, &key_of(1), bent).await;
        assert!(matches!(reader.wal_object(&cluster(), &name(1)).await, Err(Error::Format(_))), "byte {at}");
    }
    plant(&store, &key_of(2), object.clone()).await;
    let copied = reader.wal_object(&cluster(), &name(2)).await;
    assert!(matches!(copied, Err(Error::Format(format::Error::Malformed { .. }))), "a copy elsewhere: {copied:?}");
}

#[tokio::test]
async fn one_name_is_one_cluster() {
    let store = Arc::new(bucket(1000));
    let host = open(store.clone(), host()).await.unwrap();
    let identity = |system_identifier, bytes| {
        let segment_bytes = SegmentSize::new(bytes).unwrap();
        ClusterIdentity { system_identifier, segment_bytes }
    };
    let main = cluster();
    let record = |who| cluster_record(&*store, &host, &main, who, || Some(lock()));
    let key = ObjectKey::new(names().cluster_record(&cluster()));
    plant(&store, &key, &b"{}"[..]).await;
    let made = record(identity(7, SEGMENT)).await.unwrap();
    assert_eq!(record(identity(7, SEGMENT)).await.unwrap(), made);
    for other in [identity(8, SEGMENT), identity(7, 16 << 20)] {
        assert!(matches!(record(other).await, Err(Error::OtherCluster { .. })));
    }
    let (reader, others) = (open(store.clone(), recovery()).await.unwrap(), "other".parse().unwrap());
    assert_eq!(reader.cluster_record(&cluster()).await.unwrap(), Some(made));
    assert_eq!(reader.cluster_record(&others).await.unwrap(), None);
    // The certificate in the record spares the search: without the certificates it is believed all the same.
    for (key, version, _) in store.dump() {
        if key.as_str().contains("/writers/") {
            store.delete_version(&key, &version, true).await.unwrap();
        }
    }
    let reader = open(store.clone(), recovery()).await.unwrap();
    assert!(reader.cluster_record(&cluster()).await.unwrap().is_some());
}

fn partial(start: u64, end: u64) -> WalName {
    let (timeline, range) = (Timeline::new(1).unwrap(), WalRange { start: Lsn::new(start), end: Lsn::new(end) });
    WalName::Partial { timeline, range, tag: Tag::new([1; 8]) }
}

/// A genuine partial.
async fn keep_partial(store: &Memory, run: &WalRun, start: u64, end: u64) {
    let (timeline, segment) = (Timeline::new(1).unwrap(), SegmentSize::new(SEGMENT).unwrap());
    let content = WalContent::range(timeline, WalRange { start: Lsn::new(start), end: Lsn::new(end) }, segment);
    let wal = plain(start, usize::try_from(end - start).unwrap()).into();
    let sealed = run.seal(content, wal, None, lock().retain_until).await.unwrap();
    plant(store, &ObjectKey::new(names().wal(&cluster(), &partial(start, end))), sealed.object).await;
}

/// Of more partials than are looked at one by one, none that is genuine is left out, and none is an error.
#[tokio::test]
async fn i10_too_many_partials_hide_none() {
    let store = Arc::new(bucket(200_000));
    let host = open(store.clone(), host()).await.unwrap();
    let (run, timeline) = (run_of(&host, 7), Timeline::new(1).unwrap());
    keep_partial(&store, &run, 0, 200_000).await;
    keep_partial(&store, &run, 200_000, 300_000).await;
    for number in 1..=crate::limits::WAL_PARTIALS_MAX as u64 {
        let key = ObjectKey::new(names().wal(&cluster(), &partial(number, number + 1)));
        plant(&store, &key, &b""[..]).await;
    }
    let reader = open(store.clone(), recovery()).await.unwrap();
    let all = WalRange { start: Lsn::new(0), end: Lsn::new(1 << 20) };
    let (found, doubt) = reader.partials(&cluster(), timeline, all).await.unwrap();
    let ranges: Vec<_> = found.iter().map(|partial| (partial.range.start.get(), partial.range.end.get())).collect();
    assert_eq!(ranges, [(0, 200_000), (200_000, 300_000)]);
    assert!(doubt.is_none(), "{doubt:?}");
    for (at, beyond) in [(0, Some(0)), (150_000, Some(150_000)), (200_000, Some(200_000)), (300_000, None)] {
        let found = reader.wal_beyond(&cluster(), timeline, Lsn::new(at)).await.unwrap();
        assert_eq!(found, beyond.map(Lsn::new), "{at}");
    }
    // What may be ours and cannot be read is told where it would be needed.
    let key = ObjectKey::new(names().wal(&cluster(), &partial(300_000, 400_000)));
    plant(&store, &key, &b"opaque"[..]).await;
    let reader = open(Arc::new(Opaque(store)), recovery()).await.unwrap();
    let (found, doubt) = reader.partials(&cluster(), timeline, all).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(matches!(doubt, Some(Error::Store(store::Error::Refused { .. }))), "{doubt:?}");
}

/// Names planted at a position that is asked for, in any number, cost one listing.
#[tokio::test]
async fn names_planted_at_one_position_keep_no_listing_busy() {
    let store = Arc::new(bucket(1000));
    let host = open(store.clone(), host()).await.unwrap();
    let run = run_of(&host, 7);
    let (ours, segment) = (piece(1), SegmentSize::new(SEGMENT).unwrap());
    for number in [0, 4] {
        keep(&store, &host, &sealed(&run, number, &ours).await, &ours).await.unwrap();
    }
    let windows = 2 * crate::limits::WAL_HEADS as u64;
    for number in (2..).step_by(2).take(usize::try_from(windows).unwrap()).filter(|number| *number != 4) {
        plant(&store, &key_of(number), &b"junk"[..]).await;
    }
    // Others that start with it, and versions of its very name.
    for number in 1..1200 {
        let range = WalRange { start: Lsn::new(2 << 20), end: Lsn::new((2 << 20) + number) };
        let name = WalName::Piece { timeline: Timeline::new(1).unwrap(), range, tag: None };
        plant(&store, &ObjectKey::new(names().wal(&cluster(), &name)), &b"junk"[..]).await;
    }
    for _ in 0..=FIRST_VERSIONS_MAX {
        plant(&store, &key_of(4), &b"junk"[..]).await;
    }
    let reader = open(store, recovery()).await.unwrap();
    let timeline = Timeline::new(1).unwrap();
    let coverage = reader.timeline_coverage(&cluster(), timeline, Some(segment), &mut Vec::new()).await.unwrap();
    let windows: Vec<_> = coverage.windows.iter().map(|window| window.start.get() >> 20).collect();
    assert_eq!(windows, [0, 4]);
    assert_eq!(coverage.unread, None, "junk that could be read is junk");
}

/// WAL that cannot be read now is missing, and known not to be known.
#[tokio::test]
async fn i09_what_cannot_be_read_is_not_taken_for_nothing() {
    let segment = Some(SegmentSize::new(SEGMENT).unwrap());
    for name in [name(3), partial(3 << 20, (3 << 20) + 9)] {
        let store = Arc::new(bucket(1000));
        plant(&store, &ObjectKey::new(names().wal(&cluster(), &name)), &b"opaque"[..]).await;
        let reader = open(Arc::new(Opaque(store)), recovery()).await.unwrap();
        let timeline = Timeline::new(1).unwrap();
        let coverage = reader.timeline_coverage(&cluster(), timeline, segment, &mut Vec::new()).await.unwrap();
        assert_eq!(coverage.windows, []);
        assert!(coverage.unread.is_some(), "{name:?}");
    }
}

/// The record of the cluster and a history, each behind a planted version and among a thousand planted copies that came later.
#[tokio::test]
async fn i11_i12_the_ground_of_wal_is_renewed_among_any_number_of_planted_copies() {
    let store = Arc::new(bucket(1000));
    let host = open(store.clone(), host()).await.unwrap();
    let identity = ClusterIdentity { system_identifier: 7, segment_bytes: SegmentSize::new(SEGMENT).unwrap() };
    let (second, plain) = (Timeline::new(2).unwrap(), Bytes::from_static(b"1\t0/3000000\tno reason\n"));
    let file = WalFileName::History(second);
    // Somebody was there before, and hid it: ours are later versions.
    let history = WalName::File { timeline: second, name: file, tag: None };
    for key in [names().cluster_record(&cluster()), names().wal(&cluster(), &history)] {
        plant(&store, &ObjectKey::new(key.clone()), &b"junk"[..]).await;
        store.mark_deleted(&ObjectKey::new(key));
    }
    cluster_record(&*store, &host, &cluster(), identity, || None).await.unwrap();
    let content = WalContent::file(file, &plain).unwrap().unwrap();
    let history = run_of(&host, 7).seal(content, plain.clone(), None, lock().retain_until).await.unwrap();
    keep_wal(&*store, &host, &history.header, history.object.clone(), &plain, None).await.unwrap();
    for number in 0..1000_u64 {
        let tag = Tag::new(number.to_be_bytes());
        let name = WalName::File { timeline: second, name: file, tag: Some(tag) };
        for key in [names().cluster_record_alternate(&cluster(), tag), names().wal(&cluster(), &name)] {
            plant(&store, &ObjectKey::new(key), &b"junk"[..]).await;
        }
    }
    let locked = || {
        let keys = store.keys().into_iter().filter(|key| store.first(key).is_some_and(|(_, lock)| lock.is_some()));
        keys.count()
    };
    for copies in [2, 2] {
        let before = store.reads();
        let most = std::time::Duration::from_hours(24 * 400);
        let gone = outlive_wal(&*store, &host, &cluster(), &[second].into(), (lock(), most)).await.unwrap();
        assert_eq!((gone, locked()), (Vec::new(), copies));
        assert!(store.reads() - before <= 2 * (COPIES_READ_MAX as u64 + 16), "{} reads", store.reads() - before);
    }
}

/// Where whoever may write and hide planted more than is read at either end, before ours and after it, it is found all the same, at
/// one small read for each of those between; what is too long to be a record is not read. From then on a copy spares all that.
#[tokio::test]
async fn i11_i12_a_record_between_planted_ones_is_renewed_and_each_of_them_costs_one_read() {
    let store = Arc::new(bucket(1000));
    let host = open(store.clone(), host()).await.unwrap();
    let (end, more) = (COPIES_READ_MAX / 2, 100);
    let name = ObjectKey::new(names().cluster_record(&cluster()));
    for _ in 0..end + more {
        plant(&store, &name, &b"junk"[..]).await;
    }
    store.mark_deleted(&name);
    let identity = ClusterIdentity { system_identifier: 7, segment_bytes: SegmentSize::new(SEGMENT).unwrap() };
    cluster_record(&*store, &host, &cluster(), identity, || None).await.unwrap();
    let long = Bytes::from(vec![b'x'; usize::try_from(crate::limits::SMALL_OBJECT_BYTES_MAX).unwrap() + 1]);
    for number in 0..u64::try_from(end + more).unwrap() {
        let key = |tag: u64| ObjectKey::new(names().cluster_record_alternate(&cluster(), Tag::new(tag.to_be_bytes())));
        plant(&store, &key(number), &b"junk"[..]).await;
        if number % 8 == 0 {
            plant(&store, &key(1_000_000 + number), long.clone()).await;
        }
    }
    let most = std::time::Duration::from_hours(24 * 400);
    let between = COPIES_READ_MAX + 2 * more + 2 * KEYS_IN_FLIGHT;
    for reads in [between as u64, 1] {
        let before = store.reads();
        let gone = outlive_wal(&*store, &host, &cluster(), &BTreeSet::new(), (lock(), most)).await.unwrap();
        assert_eq!(gone, []);
        assert!(store.reads() - before <= reads, "{} reads", store.reads() - before);
        let locked = store.keys().into_iter().filter(|key| store.first(key).is_some_and(|(_, lock)| lock.is_some()));
        assert_eq!(locked.count(), 1, "one copy");
    }
}
