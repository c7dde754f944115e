//! The WAL that a recovery replays, and what of it is frozen.

use super::{Classes, is_frozen};
use crate::catalog::plan::Leg;
use crate::catalog::{Pages, Repository, merge_ranges};
use crate::commands::Result;
use crate::format::ClusterName;
use crate::format::names::WalName;
use crate::format::wal::WalRange;
use crate::limits::{WAL_PARTIALS_MAX, WAL_PIECE_BYTES_MAX};
use crate::store::{Entry, ListQuery};

impl Classes {
    /// Of the WAL on these legs. What lies ready in another version, under another name or on another side counts as ready: the
    /// frozen one may have been planted, and whoever may only add objects must not be able to stop a recovery.
    pub(in crate::commands) async fn of_wal(
        repository: &Repository,
        cluster: &ClusterName,
        legs: &[Leg],
    ) -> Result<Self> {
        let mut found = Self::default();
        for leg in legs {
            let look = Look { repository, cluster, leg };
            let (mut ready, mut frozen) = (Vec::new(), Vec::new());
            look.partials(&mut ready, &mut frozen).await?;
            let whole = look.pieces(&ready, &mut found).await?;
            let alone = |(range, _): &&(WalRange, Entry)| !covers(&whole, *range) && !covers(&ready, *range);
            frozen.iter().filter(alone).for_each(|(_, entry)| found.count(entry));
        }
        Ok(found)
    }
}

/// One leg of the way.
struct Look<'a> {
    repository: &'a Repository,
    cluster: &'a ClusterName,
    leg: &'a Leg,
}

impl Look<'_> {
    /// Which WAL lies ready in partials, and the first ones that do not.
    async fn partials(&self, ready: &mut Vec<WalRange>, frozen: &mut Vec<(WalRange, Entry)>) -> Result<()> {
        let folder = self.repository.names().wal_partials(self.cluster, self.leg.timeline);
        let take = |range, entry: Entry| match is_frozen(&entry) {
            false => merge_ranges(ready, range),
            true if frozen.len() < WAL_PARTIALS_MAX => frozen.push((range, entry)),
            true => {}
        };
        self.each(&folder, take).await
    }

    /// Counts the whole pieces, each once. Gives back which there are.
    async fn pieces(&self, ready: &[WalRange], found: &mut Classes) -> Result<Vec<WalRange>> {
        let folder = self.repository.names().wal_timeline(self.cluster, self.leg.timeline);
        let (mut whole, mut best): (Vec<WalRange>, Option<(WalRange, Entry)>) = (Vec::new(), None);
        let mut close = |piece: Option<(WalRange, Entry)>| {
            let needed = piece.filter(|(range, entry)| !is_frozen(entry) || !covers(ready, *range));
            if let Some((_, entry)) = needed {
                found.count(&entry);
            }
        };
        self.each(&folder, |range, entry| {
            merge_ranges(&mut whole, range);
            match &mut best {
                // Versions and alternate names of a piece follow each other.
                Some((of, known)) if *of == range => {
                    if is_frozen(known) {
                        *known = entry;
                    }
                }
                _ => close(best.replace((range, entry))),
            }
        })
        .await?;
        close(best);
        Ok(whole)
    }

    /// Gives every listed version directly in a folder that holds WAL of the leg.
    async fn each(&self, folder: &str, mut take: impl FnMut(WalRange, Entry)) -> Result<()> {
        let Leg { start, end, .. } = *self.leg;
        let query = ListQuery { prefix: folder.to_owned(), by_folder: true };
        let after = format!("{folder}{}", start.floor(WAL_PIECE_BYTES_MAX as u64).name());
        let mut pages = Pages::after(&**self.repository.store(), query, Some(after));
        while let Some(page) = pages.next().await? {
            for entry in page.entries.into_iter().filter(|entry| !entry.delete_marker) {
                let name = self.repository.names().wal_of(self.cluster, entry.key.as_str());
                let Some(WalName::Piece { range, .. } | WalName::Partial { range, .. }) = name else { continue };
                if range.start >= end {
                    return Ok(());
                }
                if range.end > start {
                    take(range, entry);
                }
            }
        }
        Ok(())
    }
}

fn covers(ranges: &[WalRange], range: WalRange) -> bool {
    ranges.iter().any(|known| known.start <= range.start && range.end <= known.end)
}
