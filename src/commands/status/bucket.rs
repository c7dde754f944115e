//! Looking into the bucket: backups by their manifests, WAL by listings and authenticated headers, locks by a few requests.

use std::sync::Arc;
use std::time::Duration;

use super::facts::{BackupFacts, BaseBackup, BucketFacts, Locks};
use super::health::Thresholds;
use super::window;
use crate::catalog::plan::PlanBase;
use crate::catalog::{Backup, Repository, WalCatalog};
use crate::commands::{Connected, Result};
use crate::format::manifest::{BaseRange, Kind};
use crate::format::{ClusterName, SegmentSize, StreamRecord, Timeline};
use crate::store::{Entry, ObjectKey, Read as _, S3, VersionId};
use crate::verify::Findings;

mod locks;

/// One look, and what of it need not be looked at twice.
pub(super) struct Look<'a> {
    pub(super) store: Arc<S3>,
    pub(super) repository: &'a Repository,
    pub(super) cluster: &'a ClusterName,
    /// WAL that arrived later than this long ago may have been overtaken by other WAL that is on its way.
    pub(super) settle: Duration,
    pub(super) backups: Backups,
    pub(super) wal: WalCatalog,
    findings: Findings,
    locks: Option<Locks>,
}

/// What the manifests say.
#[derive(Debug, Default)]
pub(super) struct Backups {
    /// By arrival.
    pub(super) bases: Vec<Base>,
    pub(super) newest_dump: Option<Dump>,
}

/// A base backup with its manifest's object.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) facts: BackupFacts,
    pub(super) range: BaseRange,
    system_identifier: Option<u64>,
    pub(super) objects: Objects,
}

/// A dump.
#[derive(Debug)]
pub(super) struct Dump {
    pub(super) facts: BackupFacts,
    pub(super) objects: Objects,
}

/// Some objects of a backup, in place of all.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) manifest: Entry,
    /// Some of what the manifest names: the keys, the first chunk and the last.
    pub(super) named: Vec<(ObjectKey, VersionId)>,
    /// Who signed it: the short id.
    pub(super) writer: String,
}

impl Base {
    /// As plans see it.
    pub(super) fn planned(&self) -> PlanBase {
        PlanBase { id: self.facts.backup.clone(), range: self.range.clone() }
    }

    fn told(&self) -> BaseBackup {
        let BaseRange { timeline, start, stop, ended_at, .. } = self.range;
        BaseBackup { backup: self.facts.clone(), timeline, start, stop, ended_at }
    }
}

impl Backups {
    fn add(&mut self, repository: &Repository, backup: &Backup) {
        let clear = backup.clear();
        let facts = BackupFacts {
            backup: clear.backup.clone(),
            kind: clear.kind,
            arrived_at: backup.taken_at(&repository.trusted_root()),
            locked_until: clear.lock.as_ref().map(|lock| lock.retain_until),
        };
        let objects = || Objects {
            manifest: backup.entry.clone(),
            named: named(repository, backup),
            writer: backup.manifest.writer().id(),
        };
        if let Some(range) = &clear.base {
            let (range, system_identifier) = (range.clone(), clear.system_identifier);
            self.bases.push(Base { facts, range, system_identifier, objects: objects() });
        } else if self.newest_dump.as_ref().is_none_or(|newest| newest.facts.arrived_at < facts.arrived_at) {
            self.newest_dump = Some(Dump { facts, objects: objects() });
        }
    }

    /// The newest base backup, or where there is none the newest dump.
    pub(super) fn newest(&self) -> Option<(Kind, &Objects)> {
        let base = self.bases.last().map(|base| (Kind::Base, &base.objects));
        base.or_else(|| self.newest_dump.as_ref().map(|dump| (Kind::Dump, &dump.objects)))
    }
}

/// Keys, first and last chunk.
fn named(repository: &Repository, backup: &Backup) -> Vec<(ObjectKey, VersionId)> {
    let (names, place, clear) = (repository.names(), repository.place(backup), backup.clear());
    let chunk = |stream: &StreamRecord, number: usize| {
        let chunk = stream.chunks.get(number)?;
        let key = place.chunk(&stream.name, u32::try_from(number).ok()?, chunk.tag);
        Some((ObjectKey::new(key), VersionId::new(&chunk.version)))
    };
    let first = clear.streams.iter().find_map(|stream| chunk(stream, 0));
    let last = clear.streams.iter().rev().find_map(|stream| chunk(stream, stream.chunks.len().checked_sub(1)?));
    let wraps = [&clear.payload_key, &clear.metadata_key]
        .map(|record| (ObjectKey::new(names.wrap(record.id, record.wrap.tag)), VersionId::new(&record.wrap.version)));
    let mut all: Vec<_> = wraps.into_iter().chain(first).chain(last).collect();
    all.dedup();
    all
}

impl<'a> Look<'a> {
    pub(super) fn at(
        connected: &Connected,
        repository: &'a Repository,
        cluster: &'a ClusterName,
        thresholds: &Thresholds,
    ) -> Self {
        let mut findings = Findings::default();
        findings.extend(repository.findings().iter().cloned());
        Self {
            store: connected.store.clone(),
            repository,
            cluster,
            settle: thresholds.max_lag,
            backups: Backups::default(),
            wal: WalCatalog::default(),
            findings,
            locks: None,
        }
    }

    /// Everything that there is. `timeline` is the server's.
    pub(super) async fn everything(&mut self, timeline: Option<Timeline>) -> Result<BucketFacts> {
        let backups = &mut self.backups;
        let beside = self.repository.each_backup(self.cluster, |backup| backups.add(self.repository, &backup)).await?;
        self.backups.bases.sort_by_key(|base| base.facts.arrived_at);
        self.findings.extend(beside);
        self.wal = self.repository.wal(self.cluster).await?;
        self.findings.extend(std::mem::take(&mut self.wal.findings));
        self.judge(timeline).await
    }

    /// The WAL that the server writes now, once more.
    pub(super) async fn again(&mut self, timeline: Option<Timeline>) -> Result<BucketFacts> {
        if self.wal.record.is_none() {
            self.wal.record = self.repository.cluster_record(self.cluster).await?;
        }
        if let Some(timeline) = timeline.or_else(|| self.wal.latest_timeline()) {
            let segment = self.wal.segment();
            // What does not belong there was told the first time.
            let coverage = self.repository.timeline_coverage(self.cluster, timeline, segment, &mut Vec::new()).await?;
            if coverage.end().is_some() {
                self.wal.timelines.insert(timeline, coverage);
            }
        }
        self.judge(timeline).await
    }

    /// What was found beside all that.
    pub(super) fn findings(self) -> Findings {
        self.findings
    }

    async fn judge(&mut self, timeline: Option<Timeline>) -> Result<BucketFacts> {
        let view = window::view(self, timeline).await?;
        let locks = match self.locks.take() {
            Some(locks) => locks,
            None => locks::ask(self, &view).await?,
        };
        self.locks = Some(locks.clone());
        let record = self.wal.record.as_ref();
        let of_base = self.backups.bases.iter().rev().find_map(|base| base.system_identifier);
        Ok(BucketFacts {
            now: self.store.clock().now(),
            system_identifier: record.map(|record| record.system_identifier).or(of_base),
            segment_bytes: self.segment(),
            timelines: view.timelines,
            bases: self.backups.bases.iter().map(Base::told).collect(),
            newest_dump: self.backups.newest_dump.as_ref().map(|dump| dump.facts.clone()),
            durable: view.durable,
            window: view.window,
            blocked: view.blocked,
            unread: view.unread,
            diverging: self.wal.diverging(),
            locks,
        })
    }

    /// Size of the cluster's segments.
    pub(super) fn segment(&self) -> Option<SegmentSize> {
        let of_base = || self.backups.bases.last().map(|base| base.range.segment_bytes);
        self.wal.segment().or_else(of_base)
    }
}
