//! From listings to coverage.

use std::ops::ControlFlow;

use futures::{StreamExt as _, stream};

use super::{TimelineCoverage, WalCatalog};
use crate::catalog::listing::{entries_after, folders};
use crate::catalog::{Error, Finding, FindingKind, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::{History, WalContent, WalRange};
use crate::format::{ClusterName, Lsn, SegmentSize, Timeline, WalFileName};
use crate::limits::{FINDINGS_MAX, HEADS, WAL_PARTIALS_MAX, WAL_PIECE_BYTES_MAX, WAL_PROBES};
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

    /// The listed partials that begin within `range`, by position; if there are more than are looked at, the genuine ones
    /// that hold all that genuine ones hold, and what was wrong with one that may be ours.
    pub async fn partials(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        range: WalRange,
    ) -> Result<(Vec<Partial>, Option<Error>)> {
        let (found, all) = self.list_partials(cluster, timeline, range).await?;
        if all {
            return Ok((found, None));
        }
        let (links, doubt) = self.partial_links_and_doubt(cluster, timeline, range).await?;
        Ok((links.into_iter().map(|link| Partial { range: link.range, entry: link.entry }).collect(), doubt))
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
                    Some(last) if last.entry.is_beside(&entry) => last.entry = entry,
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
        let mark = self.store.unheard();
        let beyond = self.beyond(cluster, timeline, at).await?;
        // A side that was not heard may have what is missing, or what goes on.
        self.store.all_heard(mark)?;
        Ok(beyond)
    }

    async fn beyond(&self, cluster: &ClusterName, timeline: Timeline, at: Lsn) -> Result<Option<Lsn>> {
        for gap in self.gaps(cluster, timeline, &mut Vec::new()).await? {
            if gap.start <= at && at < gap.end {
                return Ok(Some(gap.end));
            }
        }
        let folder = self.names.wal_timeline(cluster, timeline);
        let from = at.floor(WAL_PIECE_BYTES_MAX as u64);
        let nearest = self.partial_beyond(cluster, timeline, at).await?;
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

    /// Where the first genuine partial that reaches beyond `at` begins; in batches, as above.
    async fn partial_beyond(&self, cluster: &ClusterName, timeline: Timeline, at: Lsn) -> Result<Option<Lsn>> {
        let folder = self.names.wal_partials(cluster, timeline);
        let mut after = format!("{folder}{}", at.floor(WAL_PIECE_BYTES_MAX as u64).name());
        let query = ListQuery { prefix: folder, by_folder: false };
        loop {
            let mut batch = Vec::<Partial>::new();
            entries_after(&*self.store, &query, Some(after.clone()), |entry| {
                let Some(WalName::Partial { range, .. }) = self.names.wal_of(cluster, entry.key.as_str()) else {
                    return ControlFlow::Continue(());
                };
                // Newest version first: the last one seen of a key is its first.
                let room = batch.len() < WAL_PROBES;
                match batch.last_mut().filter(|last| last.entry.is_beside(&entry)) {
                    _ if entry.delete_marker || range.end <= at => {}
                    Some(last) => last.entry = entry,
                    None if room => batch.push(Partial { range, entry }),
                    None => return ControlFlow::Break(()),
                }
                ControlFlow::Continue(())
            })
            .await?;
            let is_last = batch.len() < WAL_PROBES;
            after = batch.last().map_or(after, |last| last.entry.key.to_string());
            let ask = |Partial { range, entry }: Partial| async move {
                self.is_genuine(cluster, &entry).await.map(|genuine| genuine.then_some(range.start.max(at)))
            };
            let mut asked = stream::iter(batch).map(ask).buffered(WAL_PROBES);
            while let Some(found) = asked.next().await {
                if let Some(start) = found? {
                    return Ok(Some(start));
                }
            }
            if is_last {
                return Ok(None);
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
