//! When what is stored was committed, by the server's clock as WAL headers tell.

use jiff::Timestamp;

use super::Stretch;
use crate::catalog::{Error, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::{Commits, WalHead, WalRange, piece_bytes};
use crate::format::{ClusterName, Lsn, SegmentSize, Timeline};

/// One piece of a stretch, as far as it belongs to it.
#[derive(Clone, Copy, Debug)]
struct Spot {
    timeline: Timeline,
    range: WalRange,
}

impl Repository {
    /// The time of the latest transaction that ended in `stretches`; `None` if none did. One small request where the last
    /// piece has a commit.
    pub async fn latest_commit(
        &self,
        cluster: &ClusterName,
        segment: SegmentSize,
        stretches: &[Stretch],
    ) -> Result<Option<Timestamp>> {
        for spot in spots(segment, stretches).rev() {
            if let Some(commits) = self.commits(cluster, segment, spot).await? {
                return Ok(Some(commits.last));
            }
        }
        Ok(None)
    }

    /// The first piece of `stretches` in which a transaction ended later than `time`: recovery to `time` needs WAL up to
    /// there. A search by halves, so a handful of small requests.
    pub async fn piece_past(
        &self,
        cluster: &ClusterName,
        segment: SegmentSize,
        stretches: &[Stretch],
        time: Timestamp,
    ) -> Result<Option<Stretch>> {
        let all: Vec<Spot> = spots(segment, stretches).collect();
        let (mut from, mut to) = (0, all.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            // A piece in which nothing ended says what the next one says.
            let mut probe = middle;
            let past = loop {
                if probe == to {
                    break true;
                }
                match self.commits(cluster, segment, all[probe]).await? {
                    Some(commits) => break commits.last > time,
                    None => probe += 1,
                }
            };
            if past { to = middle } else { from = probe + 1 }
        }
        for spot in &all[from.min(all.len())..] {
            match self.commits(cluster, segment, *spot).await? {
                Some(commits) if commits.last > time => {
                    return Ok(Some(Stretch { timeline: spot.timeline, range: spot.range }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// What ended in one piece: by its header, or by those of the partials that stand for it.
    async fn commits(&self, cluster: &ClusterName, segment: SegmentSize, spot: Spot) -> Result<Option<Commits>> {
        let (timeline, whole) = (spot.timeline, WalRange::piece(spot.range.start, segment));
        let name = WalName::Piece { timeline, range: whole, tag: None };
        if let Some(head) = told(self.wal_head_of(cluster, &name).await)? {
            return Ok(head.header().commits);
        }
        let links = self.partial_links(cluster, timeline, whole).await?;
        Ok(links.iter().fold(None, |found, link| Commits::join(found, link.head.header().commits)))
    }
}

/// What cannot be believed tells nothing.
pub(super) fn told(head: Result<Option<WalHead>>) -> Result<Option<WalHead>> {
    match head {
        Err(Error::Format(_)) => Ok(None),
        Err(Error::Store(error)) if error.is_about_the_object() => Ok(None),
        head => head,
    }
}

/// The pieces of all stretches, in order.
fn spots(segment: SegmentSize, stretches: &[Stretch]) -> impl DoubleEndedIterator<Item = Spot> + '_ {
    let bytes = piece_bytes(segment);
    stretches.iter().flat_map(move |stretch| {
        let first = stretch.range.start.floor(bytes).get() / bytes;
        let last = stretch.range.end.get().div_ceil(bytes);
        (first..last).map(move |number| {
            let piece = WalRange::piece(Lsn::new(number * bytes), segment);
            let range = WalRange { start: piece.start.max(stretch.range.start), end: piece.end.min(stretch.range.end) };
            Spot { timeline: stretch.timeline, range }
        })
    })
}
