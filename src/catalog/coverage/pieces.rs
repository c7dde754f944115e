//! Whole pieces: windows from a listing of names, with both ends of each proved.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use futures::{StreamExt as _, stream};

use super::times::told;
use super::{TimelineCoverage, merge_ranges};
use crate::catalog::listing::entries_after;
use crate::catalog::{Finding, FindingKind, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::{WalHead, WalRange, piece_bytes};
use crate::format::{ClusterName, Lsn, SegmentSize, Timeline, WalFileName};
use crate::limits::{FINDINGS_MAX, WAL_HEADS, WAL_PROBE_STEP_MAX, WAL_PROBES, WAL_WINDOWS_MAX};
use crate::store::{Entry, ListQuery};

/// Heads of pieces that are genuine, by their start.
type Proved = BTreeMap<Lsn, WalHead>;

impl Repository {
    /// Adds the pieces to `coverage`; says whether there is a history file.
    pub(super) async fn add_pieces(
        &self,
        cluster: &ClusterName,
        coverage: &mut TimelineCoverage,
        segment: Option<SegmentSize>,
        findings: &mut Vec<Finding>,
    ) -> Result<bool> {
        let folder = self.names.wal_timeline(cluster, coverage.timeline);
        let query = ListQuery { prefix: folder, by_folder: true };
        let (mut has_history, mut after) = (false, None);
        loop {
            let (pieces, mut full) = (&mut coverage.pieces, None);
            entries_after(&*self.store, &query, after, |entry| {
                match self.names.wal_of(cluster, entry.key.as_str()) {
                    _ if entry.delete_marker => {}
                    Some(WalName::Piece { range, .. }) if segment.is_none_or(|segment| range.is_piece(segment)) => {
                        merge_ranges(pieces, range);
                        if pieces.len() >= WAL_WINDOWS_MAX {
                            full = Some(entry.key.to_string());
                            return ControlFlow::Break(());
                        }
                    }
                    Some(WalName::File { name: WalFileName::History(_), .. }) => has_history = true,
                    Some(WalName::File { .. }) => {}
                    _ if findings.len() < FINDINGS_MAX => {
                        let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
                        let what = "it is not named like WAL of ours";
                        findings.push(Finding::new(FindingKind::Stray, key, version, what));
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            })
            .await?;
            self.trim(cluster, coverage, segment).await?;
            // So many windows are none of ours, and are gone now.
            after = full.filter(|_| coverage.pieces.len() < WAL_WINDOWS_MAX);
            if after.is_none() {
                return Ok(has_history);
            }
        }
    }

    /// Takes from the ends of every window what is not genuine, and notes when the newest piece was sealed.
    async fn trim(
        &self,
        cluster: &ClusterName,
        coverage: &mut TimelineCoverage,
        segment: Option<SegmentSize>,
    ) -> Result<()> {
        let Some(bytes) = segment.map(piece_bytes) else { return Ok(()) };
        let mut edges: Vec<Edges> = std::mem::take(&mut coverage.pieces).into_iter().map(Edges::of).collect();
        let mut step = 1;
        loop {
            let wanted: BTreeSet<Lsn> = edges.iter().flat_map(|edges| edges.doubtful(bytes, step)).collect();
            if wanted.is_empty() {
                break;
            }
            let proved = self.prove(cluster, coverage.timeline, bytes, &wanted).await?;
            for edges in &mut edges {
                edges.learn(bytes, step, &proved);
            }
            edges.retain(|edges| edges.range.start < edges.range.end);
            coverage.newest_at = coverage.newest_at.max(proved.values().map(|head| head.header().written_at).max());
            step = (step * 16).min(WAL_PROBE_STEP_MAX);
        }
        coverage.pieces = edges.into_iter().map(|edges| edges.range).collect();
        Ok(())
    }

    /// Which of the pieces that begin at `wanted` are genuine. A few are asked for by name; of many, a listing gives the versions,
    /// so that each costs one request whatever it is.
    async fn prove(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        bytes: u64,
        wanted: &BTreeSet<Lsn>,
    ) -> Result<Proved> {
        if wanted.len() > WAL_HEADS {
            return self.prove_listed(cluster, timeline, bytes, wanted).await;
        }
        let ask = |start: Lsn| async move {
            let name = WalName::Piece { timeline, range: WalRange { start, end: start.plus(bytes) }, tag: None };
            told(self.wal_head_of(cluster, &name).await).map(|head| Some((start, head?)))
        };
        let mut heads = stream::iter(wanted.iter().copied()).map(ask).buffer_unordered(WAL_HEADS);
        let mut proved = Proved::new();
        while let Some(head) = heads.next().await {
            proved.extend(head?);
        }
        Ok(proved)
    }

    async fn prove_listed(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        bytes: u64,
        wanted: &BTreeSet<Lsn>,
    ) -> Result<Proved> {
        let folder = self.names.wal_timeline(cluster, timeline);
        let query = ListQuery { prefix: folder.clone(), by_folder: true };
        let (mut proved, mut from) = (Proved::new(), wanted.first().copied());
        while let Some(start) = from.take() {
            let mut versions: BTreeMap<Lsn, Vec<Entry>> = BTreeMap::new();
            let mut passed = 0;
            entries_after(&*self.store, &query, Some(format!("{folder}{}", start.name())), |entry| {
                let Some(WalName::Piece { range, .. }) = self.names.wal_of(cluster, entry.key.as_str()) else {
                    return ControlFlow::Continue(());
                };
                let next = wanted.range(range.start..).next().copied();
                let enough = versions.len() > WAL_PROBES * 16 && !versions.contains_key(&range.start);
                if next.is_none() || enough || passed > 1000 {
                    from = next;
                    return ControlFlow::Break(());
                }
                if next == Some(range.start) && range.end == range.start.plus(bytes) {
                    passed = 0;
                    if !entry.delete_marker {
                        versions.entry(range.start).or_default().push(entry);
                    }
                } else {
                    passed += 1;
                }
                ControlFlow::Continue(())
            })
            .await?;
            let ask = |(start, entries): (Lsn, Vec<Entry>)| async move {
                self.oldest_head(cluster, entries).await.map(|head| Some((start, head?)))
            };
            let mut heads = stream::iter(versions).map(ask).buffer_unordered(WAL_PROBES);
            while let Some(head) = heads.next().await {
                proved.extend(head?);
            }
        }
        Ok(proved)
    }

    /// The head of the oldest version that is genuine (invariant I4).
    async fn oldest_head(&self, cluster: &ClusterName, mut entries: Vec<Entry>) -> Result<Option<WalHead>> {
        entries.sort_by_cached_key(|entry| (entry.last_modified, entry.key.clone()));
        for entry in &entries {
            if let Some(head) = told(self.wal_version_head(cluster, entry).await.map(Some))? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }
}

/// A window, and which of its ends are proved.
struct Edges {
    range: WalRange,
    start: bool,
    end: bool,
}

impl Edges {
    fn of(range: WalRange) -> Self {
        Self { range, start: false, end: false }
    }

    /// Pieces of which it is not known whether they are genuine: `step` at each end that is not proved.
    fn doubtful(&self, bytes: u64, step: u64) -> Vec<Lsn> {
        let count = self.range.bytes() / bytes;
        let piece = |number: u64| self.range.start.plus(number * bytes);
        let first = (0..step.min(count)).filter(|_| !self.start);
        let last = (count - step.min(count)..count).filter(|_| !self.end);
        first.chain(last).map(piece).collect()
    }

    /// Moves the ends inwards, to the first and the last genuine one or past what was asked for.
    fn learn(&mut self, bytes: u64, step: u64, proved: &Proved) {
        let WalRange { start, end } = self.range;
        let reach = (step * bytes).min(end.since(start));
        let first = proved.range(start..start.plus(reach)).next();
        let last = proved.range(Lsn::new(end.get() - reach)..end).next_back();
        if !self.end {
            self.end = last.is_some();
            self.range.end = last.map_or(Lsn::new(end.get() - reach), |(last, _)| last.plus(bytes));
        }
        if !self.start {
            self.start = first.is_some();
            self.range.start = first.map_or(start.plus(reach), |(first, _)| *first);
        }
    }
}
