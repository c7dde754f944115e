//! The WAL that a recovery replays, and what of it is frozen.

use std::collections::VecDeque;

use super::{Classes, Doubtful, is_frozen, may_be_frozen};
use crate::catalog::plan::Leg;
use crate::catalog::{Pages, Repository, believed, merge_ranges};
use crate::commands::Result;
use crate::format::names::WalName;
use crate::format::wal::WalRange;
use crate::format::{ClusterName, SegmentSize};
use crate::limits::{FROZEN_MAX, FROZEN_OF_PIECE_MAX, FROZEN_PROOFS_MAX, WAL_PARTIALS_MAX, WAL_PIECE_BYTES_MAX};
use crate::store::{Entry, ListQuery};

impl Classes {
    /// Of the WAL on these legs, in segments of this size. What lies ready in another version, under another name or on another side
    /// counts as ready: the frozen one may have been planted, and whoever may only add objects must not be able to stop a recovery. But
    /// it must be genuine, or a recovery would begin that stops at what is frozen.
    pub(in crate::commands) async fn of_wal(
        repository: &Repository,
        (cluster, segment): (&ClusterName, SegmentSize),
        legs: &[Leg],
    ) -> Result<Self> {
        let mut found = Self::default();
        for leg in legs {
            let look = Look { repository, cluster, segment, leg };
            let (mut ready, mut frozen) = (Vec::new(), Vec::new());
            look.partials(&mut ready, &mut frozen).await?;
            let (whole, doubtful) = look.pieces(&ready, &mut found).await?;
            for piece in &doubtful {
                match look.prove(piece).await? {
                    Proof::Ready(entry) => found.count(entry),
                    Proof::Held => {}
                    Proof::Frozen => found.count_frozen(piece),
                }
            }
            let alone = |(range, _): &&(WalRange, Entry)| !covers(&whole, *range) && !covers(&ready, *range);
            frozen.iter().filter(alone).for_each(|(_, entry)| found.count(entry));
        }
        found.ask(&**repository.store()).await?;
        Ok(found)
    }
}

impl Classes {
    /// A piece of which nothing lies ready: once, and each of its versions may be ours.
    fn count_frozen(&mut self, piece: &Piece) {
        let mut versions = piece.frozen.iter().rev();
        versions.next().into_iter().for_each(|oldest| self.count(oldest));
        versions.for_each(|entry| self.doubt(entry));
    }
}

/// One leg of the way.
struct Look<'a> {
    repository: &'a Repository,
    cluster: &'a ClusterName,
    segment: SegmentSize,
    leg: &'a Leg,
}

/// What is listed of one piece.
struct Piece {
    range: WalRange,
    /// Newest first under each name.
    frozen: VecDeque<Entry>,
    ready: Option<Entry>,
}

/// What counts for a piece.
enum Proof<'p> {
    /// What lies ready of it, and is genuine.
    Ready(&'p Entry),
    /// Genuine partials that hold all of it.
    Held,
    /// What is frozen.
    Frozen,
}

impl Look<'_> {
    /// Which WAL lies ready in partials, by their names, and the first ones that do not.
    async fn partials(&self, ready: &mut Vec<WalRange>, frozen: &mut Vec<(WalRange, Entry)>) -> Result<()> {
        let folder = self.repository.names().wal_partials(self.cluster, self.leg.timeline);
        let take = |range, entry: Entry| match may_be_frozen(&entry) {
            false => merge_ranges(ready, range),
            true if frozen.len() < WAL_PARTIALS_MAX => frozen.push((range, entry)),
            true => {}
        };
        self.each(&folder, take).await
    }

    /// Counts the whole pieces of which nothing is in doubt, each once. Gives back which there are, and the frozen ones that seem to lie
    /// ready as well.
    async fn pieces(&self, ready: &[WalRange], found: &mut Classes) -> Result<(Vec<WalRange>, Vec<Piece>)> {
        let folder = self.repository.names().wal_timeline(self.cluster, self.leg.timeline);
        let (mut whole, mut doubtful, mut last) = (Vec::new(), Vec::new(), None::<Piece>);
        let mut close = |piece: Option<Piece>| match piece {
            Some(piece) if piece.frozen.is_empty() => piece.ready.iter().for_each(|entry| found.count(entry)),
            Some(piece) if piece.ready.is_none() && !covers(ready, piece.range) => found.count_frozen(&piece),
            Some(piece) if doubtful.len() < FROZEN_PROOFS_MAX => doubtful.push(piece),
            // Whoever planted so many has been found out, or has not stopped anybody; a thaw takes them in.
            Some(piece) => {
                piece.frozen.iter().for_each(|entry| found.beyond.push(Doubtful::of(entry), FROZEN_MAX));
            }
            None => {}
        };
        self.each(&folder, |range, entry| {
            merge_ranges(&mut whole, range);
            // Versions and alternate names of a piece follow each other.
            if last.as_ref().is_none_or(|last| last.range != range) {
                close(last.replace(Piece { range, frozen: VecDeque::new(), ready: None }));
            }
            let Some(piece) = &mut last else { return };
            if !may_be_frozen(&entry) {
                piece.ready.get_or_insert(entry);
                return;
            }
            piece.frozen.push_back(entry);
            // What came last is let go: ours is listed before or after any number of alternates that somebody planted.
            let newest = || (0..piece.frozen.len()).max_by_key(|number| piece.frozen[*number].last_modified);
            if piece.frozen.len() > FROZEN_OF_PIECE_MAX
                && let Some(newest) = newest()
            {
                piece.frozen.remove(newest);
            }
        })
        .await?;
        close(last);
        Ok((whole, doubtful))
    }

    /// What lies ready of a piece counts if that is genuine; what is frozen does not if genuine partials hold all of it.
    async fn prove<'p>(&self, piece: &'p Piece) -> Result<Proof<'p>> {
        let timeline = self.leg.timeline;
        if let Some(ready) = &piece.ready {
            let name = WalName::Piece { timeline, range: piece.range, tag: None };
            if believed(self.repository.wal_head_of(self.cluster, &name).await)?.flatten().is_some() {
                return Ok(Proof::Ready(ready));
            }
        }
        let held = self.repository.partial_chain(self.cluster, timeline, piece.range).await?;
        let is_held = held.iter().any(|link| link.range.end >= piece.range.end && !is_frozen(&link.entry));
        Ok(if is_held { Proof::Held } else { Proof::Frozen })
    }

    /// Gives every listed version directly in a folder that holds WAL of the leg. What has a name that no WAL of the cluster can have was
    /// planted.
    async fn each(&self, folder: &str, mut take: impl FnMut(WalRange, Entry)) -> Result<()> {
        let Leg { start, end, .. } = *self.leg;
        let query = ListQuery { prefix: folder.to_owned(), by_folder: true };
        let after = format!("{folder}{}", start.floor(WAL_PIECE_BYTES_MAX as u64).name());
        let mut pages = Pages::after(&**self.repository.store(), query, Some(after));
        while let Some(page) = pages.next().await? {
            for entry in page.entries.into_iter().filter(|entry| !entry.delete_marker) {
                let range = match self.repository.names().wal_of(self.cluster, entry.key.as_str()) {
                    Some(WalName::Piece { range, .. }) if range.is_piece(self.segment) => range,
                    Some(WalName::Partial { range, .. }) if range.is_within_piece(self.segment) => range,
                    _ => continue,
                };
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
