//! Recorded gaps.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use crate::catalog::error::believed;
use crate::catalog::listing::{entries_after, read_small};
use crate::catalog::{Finding, FindingKind, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::GapRecord;
use crate::format::{ClusterName, Timeline};
use crate::limits::{FINDINGS_MAX, WAL_PROBES, WAL_WINDOWS_MAX};
use crate::store::{Entry, ListQuery};

impl Repository {
    /// Those that writers we trust have recorded.
    pub(super) async fn gaps(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<GapRecord>> {
        let query = ListQuery { prefix: self.names.wal_gaps(cluster, timeline), by_folder: false };
        let (mut gaps, mut after) = (Vec::new(), None);
        loop {
            let mut entries: Vec<Entry> = Vec::new();
            entries_after(&*self.store, &query, after, |entry| {
                // Newest version first: the last one seen of a key is its first.
                let room = entries.len() < WAL_WINDOWS_MAX;
                match entries.last_mut().filter(|last| last.is_beside(&entry)) {
                    _ if entry.delete_marker => {}
                    Some(last) => *last = entry,
                    None if room => entries.push(entry),
                    None => return ControlFlow::Break(()),
                }
                ControlFlow::Continue(())
            })
            .await?;
            let is_last = entries.len() < WAL_WINDOWS_MAX;
            after = entries.last().map(|entry| entry.key.to_string());
            let read = |entry: Entry| async move { (read_small(&*self.store, &entry).await, entry) };
            let mut bodies = stream::iter(entries).map(read).buffered(WAL_PROBES);
            while let Some((body, entry)) = bodies.next().await {
                match self.gap_of(cluster, timeline, &entry, body).await? {
                    Some(gap) if gaps.contains(&gap) => {}
                    Some(gap) => gaps.push(gap),
                    None if findings.len() < FINDINGS_MAX => {
                        let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
                        let what = "it is no gap record of ours";
                        findings.push(Finding::new(FindingKind::ForgedWal, key, version, what));
                    }
                    None => {}
                }
            }
            if is_last {
                return Ok(gaps);
            }
        }
    }

    async fn gap_of(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        entry: &Entry,
        body: Result<Option<Bytes>>,
    ) -> Result<Option<GapRecord>> {
        let Some(bytes) = body? else { return Ok(None) };
        let belongs = |gap: &GapRecord| {
            let named = self.names.wal_of(cluster, entry.key.as_str());
            let tag = named.and_then(|name| name.tag());
            gap.repository == self.id()
                && gap.cluster == *cluster
                && gap.timeline == timeline
                && tag.is_some_and(|tag| named == Some(WalName::Gap { timeline, range: gap.range(), tag }))
        };
        let decoded = self.decode_signed(|| None, |trusted| GapRecord::decode(&bytes, trusted)).await;
        Ok(believed(decoded)?.filter(belongs))
    }
}
