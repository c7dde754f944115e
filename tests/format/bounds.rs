//! Memory is bounded by configuration (invariant I12): a store that does not answer stops the source, and a reader that
//! does not read stops the download.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stonewal::format::Codec;
use stonewal::keys::{data_key, repository_id};
use stonewal::limits::FRAME_BYTES_MAX;
use stonewal::observe::Progress;
use stonewal::pipeline::{Encoding, StreamReader, StreamWriter, Target};
use stonewal::store::memory::Memory;
use stonewal::store::{
    Append, Creation, Head, ListQuery, Newest, ObjectKey, Page, PageToken, Put, Read, Result, StoreClock, Stored,
    VersionId,
};
use tokio::sync::Semaphore;

use crate::support::backup::{target, write};
use crate::support::{name, place, run, sql};

/// A bucket whose PUTs wait until they are let through, and which counts.
struct Gated {
    inner: Memory,
    gate: Semaphore,
    putting: AtomicUsize,
    putting_most: AtomicUsize,
    gets: AtomicUsize,
}

impl Gated {
    fn new(inner: Memory) -> Arc<Self> {
        let zero = AtomicUsize::default;
        Arc::new(Self { inner, gate: Semaphore::new(0), putting: zero(), putting_most: zero(), gets: zero() })
    }
}

#[async_trait]
impl Append for Gated {
    async fn put(&self, put: Put) -> Result<Stored> {
        let now = self.putting.fetch_add(1, Ordering::SeqCst) + 1;
        self.putting_most.fetch_max(now, Ordering::SeqCst);
        let _open = self.gate.acquire().await.unwrap();
        let stored = self.inner.put(put).await;
        self.putting.fetch_sub(1, Ordering::SeqCst);
        stored
    }

    async fn put_hashed(&self, put: Put, _: [u8; 32]) -> Result<Stored> {
        self.put(put).await
    }

    async fn put_new(&self, put: Put) -> Result<Creation> {
        self.put(put).await.map(Creation::Stored)
    }
}

#[async_trait]
impl Read for Gated {
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> Result<Bytes> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get(key, version, range).await
    }

    async fn newest(&self, key: &ObjectKey, most: u64) -> Result<Option<Newest>> {
        self.inner.newest(key, most).await
    }

    async fn head(&self, key: &ObjectKey, version: &VersionId) -> Result<Head> {
        self.inner.head(key, version).await
    }

    async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
        self.inner.list_page(query, token).await
    }

    fn clock(&self) -> &StoreClock {
        self.inner.clock()
    }
}

const UPLOADS: usize = 2;
const CHUNK: usize = 2 * FRAME_BYTES_MAX + 100_000;

/// With the store silent, the writer takes what the chunks in flight, the one being filled and the frames at work hold, and
/// not a byte more.
#[test]
fn i12_a_silent_store_stops_the_source() {
    run(async {
        let (store, place) = (Gated::new(Memory::default()), place(repository_id().unwrap()));
        let key = data_key().unwrap();
        let progress = Progress::new();
        let to = Target { store: store.clone(), place, lock: None, chunk_bytes: CHUNK, uploads: UPLOADS, progress };
        let encoding = Encoding { codec: Codec::None, level: 1 };
        let mut writer = StreamWriter::new(Arc::new(to), name("dump"), encoding, &key).unwrap();
        let mut taken = 0;
        loop {
            let space = tokio::time::timeout(Duration::from_millis(500), writer.space()).await;
            let Ok(space) = space else { break };
            let space = space.unwrap();
            space.fill(7);
            taken += space.len();
            let filled = space.len();
            writer.advance(filled);
            assert!(taken < 1 << 30, "the source is never stopped");
        }
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let limit = (UPLOADS + 1) * CHUNK + (workers + 2) * FRAME_BYTES_MAX;
        assert!(taken <= limit, "{taken} bytes were taken, {limit} may be held");
        assert!(taken > UPLOADS * 2 * FRAME_BYTES_MAX, "uploads are not in parallel: {taken} bytes were taken");
        assert_eq!(store.putting_most.load(Ordering::SeqCst), UPLOADS);
    });
}

/// And when the store answers again, everything arrives.
#[test]
fn i12_uploads_stay_within_their_number() {
    run(async {
        let (store, place) = (Gated::new(Memory::default()), place(repository_id().unwrap()));
        store.gate.add_permits(100);
        let (key, progress) = (data_key().unwrap(), Progress::new());
        let to = Target { store: store.clone(), place, lock: None, chunk_bytes: 20_000, uploads: UPLOADS, progress };
        let record = write(&Arc::new(to), "dump", Codec::Gzip, &key, &sql(12 * FRAME_BYTES_MAX)).await;
        assert!(record.chunks.len() >= 12);
        assert!((1..=UPLOADS).contains(&store.putting_most.load(Ordering::SeqCst)));
        assert_eq!(store.inner.keys().len(), record.chunks.len());
    });
}

#[test]
fn i12_a_slow_reader_stops_the_download() {
    const AHEAD: usize = 2;
    run(async {
        let (memory, place) = (Memory::default(), place(repository_id().unwrap()));
        let key = data_key().unwrap();
        let plain = sql(14 * FRAME_BYTES_MAX);
        let record = write(&target(&Arc::new(memory.clone()), &place, 20_000), "dump", Codec::Gzip, &key, &plain).await;
        assert_eq!(record.chunks.len(), 14, "a frame in each");
        let store = Gated::new(memory);
        let mut reader = StreamReader::new(store.clone(), place, record, &key, AHEAD, Progress::new()).unwrap();
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        for released in 1.. {
            if reader.next().await.unwrap().is_none() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            // Those released, those being opened, and those ahead of them.
            let limit = released + workers + AHEAD;
            let gets = store.gets.load(Ordering::SeqCst);
            assert!(gets <= limit, "{gets} chunks were fetched for {released} released");
        }
        let _receipt = reader.finish().unwrap();
    });
}
