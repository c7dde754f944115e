//! From listings to coverage.

use std::ops::ControlFlow;

use super::{TimelineCoverage, WalCatalog};
use crate::catalog::listing::{entries_after, folders};
use crate::catalog::{Finding, FindingKind, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::{History, WalContent, WalRange};
use crate::format::{self, ClusterName, Lsn, SegmentSize, Timeline, WalFileName};
use crate::limits::{FINDINGS_MAX, HEADS, WAL_PARTIALS_MAX, WAL_PIECE_BYTES_MAX};
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
        for timeline in self.wal_timelines(cluster, &mut catalog.findings).await? {
            let coverage = self.timeline_coverage(cluster, timeline, catalog.segment(), &mut catalog.findings).await?;
            catalog.timelines.insert(timeline, coverage);
        }
        Ok(catalog)
    }

    /// The timelines of which there may be WAL, by number.
    pub async fn wal_timelines(&self, cluster: &ClusterName, findings: &mut Vec<Finding>) -> Result<Vec<Timeline>> {
        let mut timelines = Vec::new();
        for folder in folders(&*self.store, &self.names.wal_timelines(cluster)).await? {
            match self.names.timeline_of(cluster, &folder) {
                Some(timeline) => timelines.push(timeline),
                None if findings.len() < FINDINGS_MAX => {
                    let what = "it is not the folder of a timeline";
                    findings.push(Finding::new(FindingKind::Stray, folder, None, what));
                }
                None => {}
            }
        }
        Ok(timelines)
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
        let has_history = self.add_pieces(cluster, &mut coverage, segment, findings).await?;
        coverage.windows.clone_from(&coverage.pieces);
        self.add_partials(cluster, &mut coverage, segment).await?;
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
}
