//! Sealing and storing, several objects at a time. A store that does not answer is waited for: the server keeps the WAL.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::outage::Outage;
use crate::catalog::{self, ClusterIdentity, Kept, Repository, keep_wal};
use crate::commands::wal::begin_run;
use crate::commands::{Connected, Error, Result};
use crate::format::wal::{WalContent, WalRange};
use crate::format::{ClusterName, Lsn, Timeline, WalFileName};
use crate::limits::{WAL_RETRY_MILLIS, WAL_RETRY_MILLIS_MAX};
use crate::observe::chain;
use crate::pipeline::wal_stream::{Cut, CutKind, Ticket};
use crate::pipeline::{Encoding, SealedWal, WalRun};
use crate::store::{Lock, ObjectKey, Read as _, VersionId};

/// Where everything goes.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) connected: Connected,
    pub(super) repository: Repository,
    pub(super) cluster: ClusterName,
    pub(super) identity: ClusterIdentity,
    pub(super) partial_retain: Duration,
    pub(super) encoding: Encoding,
    /// What seals: every object says by which run, so that one may follow another at any time.
    pub(super) run: RwLock<Arc<WalRun>>,
}

impl Place {
    fn run(&self) -> Arc<WalRun> {
        self.run.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks for a new roster. Where there is one, what is sealed from now on is sealed under a key that is wrapped to whom it
    /// names.
    pub(super) async fn follow_roster(&self) -> Result<bool> {
        if !self.repository.follow_roster().await? {
            return Ok(false);
        }
        let (now, system) = (self.connected.store.clock().now(), self.identity.system_identifier);
        let run = begin_run(&self.repository, &self.cluster, system, self.encoding, now)?;
        *self.run.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(run);
        Ok(true)
    }

    /// The lock of what is stored now. What is needed for as long as a backup is locked as long as one.
    fn lock(&self, kind: CutKind) -> Result<Option<Lock>> {
        match kind {
            CutKind::Whole | CutKind::Tail => self.connected.lock(),
            CutKind::Partial | CutKind::Merged => {
                self.connected.lock_for(self.partial_retain.min(self.connected.retain()))
            }
        }
    }
}

/// What was stored so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) objects: AtomicU64,
    pub(super) plain_bytes: AtomicU64,
    pub(super) stored_bytes: AtomicU64,
}

/// Something that the store has acknowledged.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) kind: CutKind,
    pub(super) start: Lsn,
    pub(super) end: Lsn,
    /// `None` if the same was there already.
    pub(super) object: Option<(ObjectKey, VersionId)>,
}

/// Objects under way. Dropping it drops them: what was not acknowledged was never reported.
#[derive(Debug)]
pub(super) struct Sender {
    shared: Arc<Shared>,
    jobs: JoinSet<Result<(Ticket, Sent)>>,
}

#[derive(Debug)]
struct Shared {
    place: Arc<Place>,
    counters: Counters,
    outage: Arc<Outage>,
}

impl Sender {
    pub(super) fn new(place: Arc<Place>) -> Self {
        let shared = Shared { place, counters: Counters::default(), outage: Arc::default() };
        Self { shared: Arc::new(shared), jobs: JoinSet::new() }
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.shared.place
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Whether the store takes anything.
    pub(super) fn outage(&self) -> &Arc<Outage> {
        &self.shared.outage
    }

    /// Begins to store a cut.
    pub(super) fn send(&mut self, cut: Cut, ticket: Ticket) {
        let shared = self.shared.clone();
        self.jobs.spawn(async move { shared.store_cut(cut).await.map(|sent| (ticket, sent)) });
    }

    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The next acknowledgement; cancel-safe. `None` if nothing is under way.
    pub(super) async fn acknowledged(&mut self) -> Option<Result<(Ticket, Sent)>> {
        let done = self.jobs.join_next().await?;
        Some(done.unwrap_or_else(|error| Err(crate::pipeline::Error::Worker(error).into())))
    }

    /// Stores a history file.
    pub(super) async fn history(&self, timeline: Timeline, content: Bytes) -> Result<()> {
        let Some(what) = WalContent::file(WalFileName::History(timeline), &content)? else { return Ok(()) };
        let now = self.shared.place.connected.store.clock().now();
        let sealed = self.shared.place.run().seal(what, content.clone(), None, now).await?;
        self.shared.keep(&sealed, &content, CutKind::Whole).await.map(drop)
    }
}

impl Shared {
    async fn store_cut(&self, cut: Cut) -> Result<Sent> {
        let range = WalRange { start: cut.start, end: cut.end };
        let content = WalContent::range(cut.timeline, range, self.place.identity.segment_bytes);
        let now = self.place.connected.store.clock().now();
        let sealed = self.place.run().seal(content, cut.bytes.clone(), cut.commits, now).await?;
        let object = match self.keep(&sealed, &cut.bytes, cut.kind).await? {
            Kept::Stored { key, version } => Some((key, version)),
            Kept::Already => None,
        };
        Ok(Sent { kind: cut.kind, start: cut.start, end: cut.end, object })
    }

    /// Stores until it is stored; only an answer that will not change ends it.
    async fn keep(&self, sealed: &SealedWal, plain: &Bytes, kind: CutKind) -> Result<Kept> {
        let (store, repository) = (&*self.place.connected.store, &self.place.repository);
        let mut pause = WAL_RETRY_MILLIS;
        let upload = self.outage.upload(plain.len());
        let kept = loop {
            let lock = self.place.lock(kind)?;
            let kept = keep_wal(store, repository, &sealed.header, sealed.object.clone(), plain, lock).await;
            match kept {
                Ok(kept) => break kept,
                Err(catalog::Error::Store(error)) if !error.is_permanent() => {
                    tracing::debug!("{} is not stored yet: {}", sealed.header.content, chain(&error));
                }
                Err(error) => return Err(Error::Catalog(error)),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pause = (pause * 2).min(WAL_RETRY_MILLIS_MAX);
        };
        upload.stored();
        let add = |counter: &AtomicU64, bytes: usize| counter.fetch_add(bytes as u64, Ordering::Relaxed);
        add(&self.counters.objects, 1);
        add(&self.counters.plain_bytes, plain.len());
        add(&self.counters.stored_bytes, sealed.object.len());
        Ok(kept)
    }
}
