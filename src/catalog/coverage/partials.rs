//! What partials hold: as far as genuine ones follow each other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;

use super::times::told;
use super::{Partial, TimelineCoverage, merge_ranges};
use crate::catalog::listing::entries_after;
use crate::catalog::{Error, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::{WalHead, WalRange, piece_bytes};
use crate::format::{ClusterName, Lsn, SegmentSize, Timeline};
use crate::limits::{WAL_PARTIALS_MAX, WAL_PROBES};
use crate::store::{Entry, ListQuery};

/// A genuine partial that is needed: without it, something would be missing.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its positions.
    pub range: WalRange,
    /// The version.
    pub entry: Entry,
    /// What it says of itself.
    pub head: WalHead,
}

/// A listed partial, and what is known of it.
struct Candidate {
    range: WalRange,
    entry: Entry,
    known: Known,
}

enum Known {
    Nothing,
    Genuine(Box<WalHead>),
    Junk,
}

/// How many more are proved at once while junk is met.
const WIDER: usize = 8;
const WIDTH_MAX: usize = 1024;

impl Repository {
    /// Fills holes and the end of `coverage` with partials.
    pub(super) async fn add_partials(
        &self,
        cluster: &ClusterName,
        coverage: &mut TimelineCoverage,
        segment: Option<SegmentSize>,
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
            let (links, doubt) = self.partial_links_and_doubt(cluster, coverage.timeline, floor).await?;
            coverage.note_unread(doubt.as_ref());
            for link in links {
                coverage.newest_at = coverage.newest_at.max(Some(link.head.header().written_at));
                merge_ranges(&mut coverage.windows, link.range);
            }
        }
        Ok(())
    }

    /// The partials that hold what genuine ones of `piece` hold without a hole from its start, in order.
    pub async fn partial_chain(&self, cluster: &ClusterName, timeline: Timeline, piece: WalRange) -> Result<Vec<Link>> {
        let (mut at, mut links) = (piece.start, self.partial_links(cluster, timeline, piece).await?);
        links.retain(|link| {
            let follows = link.range.start <= at;
            at = if follows { at.max(link.range.end) } else { at };
            follows
        });
        Ok(links)
    }

    /// Few genuine partials that begin within `range` and hold all that genuine ones hold, by position.
    pub async fn partial_links(&self, cluster: &ClusterName, timeline: Timeline, range: WalRange) -> Result<Vec<Link>> {
        Ok(self.partial_links_and_doubt(cluster, timeline, range).await?.0)
    }

    /// The same, and what was wrong with one that may be ours and would have been needed.
    pub(super) async fn partial_links_and_doubt(
        &self,
        cluster: &ClusterName,
        timeline: Timeline,
        range: WalRange,
    ) -> Result<(Vec<Link>, Option<Error>)> {
        let folder = self.names.wal_partials(cluster, timeline);
        let query = ListQuery { prefix: folder.clone(), by_folder: false };
        let mut after = format!("{folder}{}", range.start.name());
        let (mut links, mut doubt) = (Vec::new(), None);
        loop {
            let mut found: Vec<Partial> = Vec::new();
            entries_after(&*self.store, &query, Some(after.clone()), |entry| {
                let Some(WalName::Partial { range: part, .. }) = self.names.wal_of(cluster, entry.key.as_str()) else {
                    return ControlFlow::Continue(());
                };
                if part.start >= range.end {
                    return ControlFlow::Break(());
                }
                // Newest version first: the last one seen of a key is its first.
                let room = found.len() < WAL_PARTIALS_MAX;
                match found.last_mut().filter(|last| last.entry.is_beside(&entry)) {
                    _ if entry.delete_marker => {}
                    Some(last) => last.entry = entry,
                    None if room => found.push(Partial { range: part, entry }),
                    None => return ControlFlow::Break(()),
                }
                ControlFlow::Continue(())
            })
            .await?;
            let is_last = found.len() < WAL_PARTIALS_MAX;
            after = found.last().map_or(after, |last| last.entry.key.to_string());
            links.extend(self.links(cluster, found, &mut doubt).await?);
            if is_last {
                return Ok((links, doubt));
            }
        }
    }

    async fn links(
        &self,
        cluster: &ClusterName,
        partials: Vec<Partial>,
        doubt: &mut Option<Error>,
    ) -> Result<Vec<Link>> {
        let fresh = |Partial { range, entry }| Candidate { range, entry, known: Known::Nothing };
        let mut all: Vec<Candidate> = partials.into_iter().map(fresh).collect();
        let mut width = 1;
        loop {
            let Picked { chosen, doubtful } = pick(&all, width);
            if doubtful.is_empty() {
                let link = |index: usize| match &all[index] {
                    Candidate { range, entry, known: Known::Genuine(head) } => {
                        Some(Link { range: *range, entry: entry.clone(), head: (**head).clone() })
                    }
                    _ => None,
                };
                return Ok(chosen.into_iter().filter_map(link).collect());
            }
            let entries: Vec<_> = doubtful.into_iter().map(|index| (index, all[index].entry.clone())).collect();
            let read = |(index, entry): (usize, Entry)| async move {
                (index, self.wal_version_head(cluster, &entry).await.map(Some))
            };
            let mut heads = stream::iter(entries).map(read).buffer_unordered(WAL_PROBES);
            let mut junk = false;
            while let Some((index, head)) = heads.next().await {
                all[index].known = told(head, doubt)?.map_or(Known::Junk, |head| Known::Genuine(Box::new(head)));
                junk |= matches!(all[index].known, Known::Junk);
            }
            width = if junk { (width * WIDER).min(WIDTH_MAX) } else { 1 };
        }
    }
}

/// The fewest candidates that hold everything, junk left out, and which of them are not proved; with some of those that would
/// be next if these turned out to be junk.
struct Picked {
    chosen: Vec<usize>,
    doubtful: Vec<usize>,
}

/// A candidate that begins early enough. The longest comes first, of those what is proved, and of those what arrived first: whoever
/// read the head of ours can store it again over anything, but not before it.
type Open = (Lsn, bool, Reverse<Timestamp>, usize);

/// `all` is in order of their starts.
fn pick(all: &[Candidate], width: usize) -> Picked {
    let mut picked = Picked { chosen: Vec::new(), doubtful: Vec::new() };
    let mut open: BinaryHeap<Open> = BinaryHeap::new();
    let (mut at, mut next) = (Lsn::new(0), 0);
    loop {
        while let Some(candidate) = all.get(next).filter(|candidate| candidate.range.start <= at) {
            let genuine = matches!(candidate.known, Known::Genuine(_));
            if candidate.range.end > at && !matches!(candidate.known, Known::Junk) {
                open.push((candidate.range.end, genuine, Reverse(candidate.entry.last_modified), next));
            }
            next += 1;
        }
        match open.pop().filter(|(end, ..)| *end > at) {
            Some((end, genuine, _, index)) => {
                picked.chosen.push(index);
                if !genuine {
                    picked.doubtful.push(index);
                    spare(&mut open, at, width - 1, &mut picked.doubtful);
                }
                at = end;
            }
            None => match all[next.min(all.len())..].iter().find(|candidate| !matches!(candidate.known, Known::Junk)) {
                Some(candidate) => {
                    open.clear();
                    at = candidate.range.start;
                }
                None => return picked,
            },
        }
    }
}

/// The next best of those that are open at `at`.
fn spare(open: &mut BinaryHeap<Open>, at: Lsn, count: usize, doubtful: &mut Vec<usize>) {
    let mut aside = Vec::new();
    while aside.len() < count {
        match open.pop() {
            Some(top @ (end, false, _, index)) if end > at => {
                doubtful.push(index);
                aside.push(top);
            }
            Some(top) => {
                open.push(top);
                break;
            }
            None => break,
        }
    }
    open.extend(aside);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ObjectKey, VersionId};

    /// PAINS A16: the head of ours under another name, over anything, arrived later.
    #[test]
    fn i04_of_partials_alike_what_arrived_first_is_taken() {
        let candidate = |second: i64| Candidate {
            range: WalRange { start: Lsn::new(0), end: Lsn::new(9) },
            entry: Entry {
                key: ObjectKey::new(format!("p/main/wal/{second}")),
                version: VersionId::new("v"),
                last_modified: Timestamp::from_second(second).unwrap(),
                bytes: 1,
                etag: String::new(),
                delete_marker: false,
                is_latest: true,
                class: None,
            },
            known: Known::Nothing,
        };
        for (seconds, first, second) in [([1, 2, 3], 0, 1), ([3, 1, 2], 1, 2), ([2, 3, 1], 2, 0)] {
            let picked = pick(&seconds.map(candidate), 2);
            assert_eq!((picked.chosen, picked.doubtful), (vec![first], vec![first, second]), "{seconds:?}");
        }
    }
}
