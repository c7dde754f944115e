//! From listings to coverage.

use std::ops::ControlFlow;

use futures::{StreamExt as _, stream};

use super::times::told;
use super::{TimelineCoverage, WalCatalog, merge_ranges};
use crate::catalog::listing::{entries_after, folders, read_small};
use crate::catalog::{Error, Finding, FindingKind, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::{GapRecord, History, WalContent, WalHead, WalRange, piece_bytes};
use crate::format::{self, ClusterName, Lsn, SegmentSize, Timeline, WalFileName};
use crate::limits::{FINDINGS_MAX, HEADS, WAL_PARTIALS_MAX, WAL_PIECE_BYTES_MAX, WAL_WINDOWS_MAX};
use crate::store::{Entry, ListQuery};

/// A listed partial, or a piece under an alternate name: what its name says, nothing more.
#[derive(Clone, Debug)]
pub struct Partial {
    /// Its positions.
    pub range: WalRange,
    /// The version.
    pub entry: Entry,
}

impl Repository {
    /// The WAL of `cluster`. Lists the pieces of every timeline, partials only where there is no piece.
    pub async fn wal(&self, cluster: &ClusterName) -> Result<WalCatalog> {
        let mut catalog = WalCatalog { record: self.cluster_record(cluster).await?, ..WalCatalog::default() };
        for folder in folders(&*self.store, &self.names.wal_timelines(cluster)).await? {
            let Some(timeline) = self.names.timeline_of(cluster, &folder) else {
                let what = "it is not the folder of a timeline";
                catalog.findings.push(Finding::new(FindingKind::Stray, folder, None, what));
                continue;
            };
            let coverage = self.timeline_coverage(cluster, timeline, catalog.segment(), &mut catalog.findings).await?;
            catalog.timelines.insert(timeline, coverage);
        }
        Ok(catalog)
    }

    /// The WAL of one timeline.
    pub async fn timeline_coverage(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        segment: Option<SegmentSize>,
        findings: &mut Vec<Finding>,
    ) -> Result<TimelineCoverage> {
        let mut coverage = TimelineCoverage::new(timeline);
        let has_history = self.list_pieces(cluster, &mut coverage, segment, findings).await?;
        self.trim(cluster, &mut coverage, segment).await?;
        coverage.windows.clone_from(&coverage.pieces);
        self.add_partials(cluster, &mut coverage, segment, findings).await?;
        if has_history {
            coverage.history = self.history(cluster, timeline).await?;
        }
        coverage.gaps = self.gaps(cluster, timeline, findings).await?;
        Ok(coverage)
    }

    /// The history of a timeline as its object tells in clear; `None` if it has none here.
    pub async fn history(&self, cluster: &ClusterName, timeline: Timeline) -> Result<Option<History>> {
        let name = WalName::File { timeline, name: WalFileName::History(timeline), tag: None };
        let head = self.wal_head_of(cluster, &name).await?;
        Ok(head.and_then(|head| match &head.header().content {
            WalContent::File(file) => file.history(),
            WalContent::Range(_) => None,
        }))
    }

    /// Merges the names of pieces; says whether there is a history file.
    async fn list_pieces(
        &self,
        cluster: &ClusterName,
        coverage: &mut TimelineCoverage,
        segment: Option<SegmentSize>,
        findings: &mut Vec<Finding>,
    ) -> Result<bool> {
        let folder = self.names.wal_timeline(cluster, coverage.timeline);
        let query = ListQuery { prefix: folder, by_folder: true };
        let (mut has_history, pieces) = (false, &mut coverage.pieces);
        entries_after(&*self.store, &query, None, |entry| {
            if entry.delete_marker {
                return ControlFlow::Continue(());
            }
            match self.names.wal_of(cluster, entry.key.as_str()) {
                Some(WalName::Piece { range, .. })
                    // What goes on where the last window ends takes no room, whatever was planted before it.
                    if segment.is_none_or(|segment| range.is_piece(segment))
                        && (pieces.len() < WAL_WINDOWS_MAX || pieces.last().is_some_and(|last| last.end >= range.start)) =>
                {
                    merge_ranges(pieces, range);
                }
                Some(WalName::File { name: WalFileName::History(_), .. }) => has_history = true,
                Some(WalName::File { .. }) => {}
                _ if findings.len() < FINDINGS_MAX => {
                    let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
                    findings.push(Finding::new(FindingKind::Stray, key, version, "it is not named like WAL of ours"));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(has_history)
    }

    /// Takes from the ends of every window what is not genuine, and notes when the newest piece was sealed.
    async fn trim(
        &self,
        cluster: &ClusterName,
        coverage: &mut TimelineCoverage,
        segment: Option<SegmentSize>,
    ) -> Result<()> {
        let Some(bytes) = segment.map(piece_bytes) else { return Ok(()) };
        let mut trimmed = Vec::with_capacity(coverage.pieces.len());
        for mut window in std::mem::take(&mut coverage.pieces) {
            while window.start < window.end {
                let last = WalRange { start: Lsn::new(window.end.get() - bytes), end: window.end };
                if let Some(head) = self.believable(cluster, coverage.timeline, last).await? {
                    coverage.newest_at = coverage.newest_at.max(Some(head.header().written_at));
                    break;
                }
                window.end = last.start;
            }
            while window.start < window.end {
                let first = WalRange { start: window.start, end: window.start.plus(bytes) };
                if first.end == window.end || self.believable(cluster, coverage.timeline, first).await?.is_some() {
                    break;
                }
                window.start = first.end;
            }
            if window.start < window.end {
                trimmed.push(window);
            }
        }
        coverage.pieces = trimmed;
        Ok(())
    }

    /// The header of a piece, if there is a genuine one.
    async fn believable(&self, cluster: &ClusterName, timeline: Timeline, range: WalRange) -> Result<Option<WalHead>> {
        let name = WalName::Piece { timeline, range, tag: None };
        told(self.wal_head_of(cluster, &name).await)
    }

    /// Fills holes and the end with partials: as far as genuine ones follow each other.
    async fn add_partials(
        &self,
        cluster: &ClusterName,
        coverage: &mut TimelineCoverage,
        segment: Option<SegmentSize>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let Some(bytes) = segment.map(piece_bytes) else { return Ok(()) };
        let mut holes = coverage.holes();
        // Before the first piece there may be partials alone, behind the last one the tail.
        let first = coverage.pieces.first().map_or(Lsn::new(u64::MAX), |first| first.start);
        holes.insert(0, WalRange { start: Lsn::new(0), end: first });
        if let Some(last) = coverage.pieces.last() {
            holes.push(WalRange { start: last.end, end: Lsn::new(u64::MAX) });
        }
        for hole in holes {
            let floor = WalRange { start: hole.start.floor(bytes), end: hole.end };
            let (partials, all) = self.list_partials(cluster, coverage.timeline, floor).await?;
            if !all && findings.len() < FINDINGS_MAX {
                let folder = self.names.wal_partials(cluster, coverage.timeline);
                let what = "there are more partials in one place than are looked at";
                findings.push(Finding::new(FindingKind::Stray, folder, None, what));
            }
            let unknown: Vec<Partial> = partials.into_iter().filter(|partial| !coverage.holds(partial.range)).collect();
            let read =
                |partial: Partial| async move { (self.wal_version_head(cluster, &partial.entry).await, partial) };
            let mut heads = stream::iter(unknown).map(read).buffered(HEADS);
            while let Some((head, partial)) = heads.next().await {
                match head {
                    Ok(head) => {
                        coverage.newest_at = coverage.newest_at.max(Some(head.header().written_at));
                        merge_ranges(&mut coverage.windows, partial.range);
                    }
                    Err(Error::Store(error)) if !error.is_about_the_object() => return Err(error.into()),
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// The listed partials that begin within `range`, by position; an error if there are more than are looked at.
    pub async fn partials(&self, cluster: &ClusterName, timeline: Timeline, range: WalRange) -> Result<Vec<Partial>> {
        match self.list_partials(cluster, timeline, range).await? {
            (found, true) => Ok(found),
            (found, false) => {
                let (claimed, max) = (found.len() as u64 + 1, WAL_PARTIALS_MAX as u64);
                Err(format::Error::Absurd { what: "number of partials in one place", claimed, max }.into())
            }
        }
    }

    /// The same, and whether these are all.
    async fn list_partials(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        range: WalRange,
    ) -> Result<(Vec<Partial>, bool)> {
        let folder = self.names.wal_partials(cluster, timeline);
        let after = format!("{folder}{}", range.start.name());
        let query = ListQuery { prefix: folder, by_folder: false };
        let (mut found, mut all) = (Vec::<Partial>::new(), true);
        entries_after(&*self.store, &query, Some(after), |entry| {
            let Some(WalName::Partial { range: part, .. }) = self.names.wal_of(cluster, entry.key.as_str()) else {
                return ControlFlow::Continue(());
            };
            if part.start >= range.end {
                return ControlFlow::Break(());
            }
            if found.len() >= WAL_PARTIALS_MAX {
                all = false;
                return ControlFlow::Break(());
            }
            if !entry.delete_marker {
                // Newest version first: the last one seen of a key is its first.
                match found.last_mut() {
                    Some(last) if last.entry.key == entry.key => last.entry = entry,
                    _ => found.push(Partial { range: part, entry }),
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok((found, all))
    }

    /// Where genuine WAL of `timeline` goes on behind `at`, or was noticed to be missing; `None` if it ends there.
    pub async fn wal_beyond(&self, cluster: &ClusterName, timeline: Timeline, at: Lsn) -> Result<Option<Lsn>> {
        for gap in self.gaps(cluster, timeline, &mut Vec::new()).await? {
            if gap.start <= at && at < gap.end {
                return Ok(Some(gap.end));
            }
        }
        let folder = self.names.wal_timeline(cluster, timeline);
        let from = at.floor(WAL_PIECE_BYTES_MAX as u64);
        let mut nearest: Option<Lsn> = None;
        for partial in self.partials(cluster, timeline, WalRange { start: from, end: Lsn::new(u64::MAX) }).await? {
            if partial.range.end > at && self.is_genuine(cluster, &partial.entry).await? {
                nearest = Some(partial.range.start.max(at));
                break;
            }
        }
        let (query, mut after) =
            (ListQuery { prefix: folder.clone(), by_folder: true }, format!("{folder}{}", from.name()));
        // The first genuine piece; in batches, since what was planted before it may be much.
        loop {
            let mut batch = Vec::new();
            entries_after(&*self.store, &query, Some(after.clone()), |entry| {
                if let Some(WalName::Piece { range, .. }) = self.names.wal_of(cluster, entry.key.as_str())
                    && range.end > at
                    && !entry.delete_marker
                {
                    batch.push((range, entry));
                }
                if batch.len() < HEADS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .await?;
            let Some((_, last)) = batch.last() else { return Ok(nearest) };
            after = last.key.to_string();
            for (range, _) in &batch {
                let name = WalName::Piece { timeline, range: *range, tag: None };
                // Only what is nothing like ours is nothing: what cannot be read or believed may be WAL.
                if self.wal_head_of(cluster, &name).await?.is_some() {
                    let start = range.start.max(at);
                    return Ok(Some(nearest.map_or(start, |nearest| nearest.min(start))));
                }
            }
        }
    }

    /// Whether a partial is ours; an error if it may be.
    async fn is_genuine(&self, cluster: &ClusterName, entry: &Entry) -> Result<bool> {
        match self.wal_version_head(cluster, entry).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_nothing_of_ours() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn gaps(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<GapRecord>> {
        let query = ListQuery { prefix: self.names.wal_gaps(cluster, timeline), by_folder: false };
        let mut entries: Vec<Entry> = Vec::new();
        entries_after(&*self.store, &query, None, |entry| {
            if !entry.delete_marker {
                match entries.last_mut() {
                    Some(last) if last.key == entry.key => *last = entry,
                    _ => entries.push(entry),
                }
            }
            if entries.len() < WAL_WINDOWS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await?;
        let mut gaps = Vec::new();
        for entry in entries {
            let Some(bytes) = read_small(&*self.store, &entry).await? else { continue };
            let decoded = self.decode_signed(|| None, |trusted| GapRecord::decode(&bytes, trusted)).await;
            let named = self.names.wal_of(cluster, entry.key.as_str());
            match decoded {
                Ok(gap)
                    if gap.repository == self.id()
                        && gap.cluster == *cluster
                        && named.is_some_and(|name| {
                            name.tag().is_some_and(|tag| name == WalName::Gap { timeline, range: gap.range(), tag })
                                && gap.timeline == timeline
                        }) =>
                {
                    gaps.push(gap);
                }
                Err(Error::Store(error)) if !error.is_about_the_object() => return Err(error.into()),
                _ if findings.len() < FINDINGS_MAX => {
                    let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
                    findings.push(Finding::new(FindingKind::ForgedWal, key, version, "it is no gap record of ours"));
                }
                _ => {}
            }
        }
        Ok(gaps)
    }
}
