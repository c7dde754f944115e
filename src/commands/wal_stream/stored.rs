//! What the bucket holds already of the way of a server.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::sender::Place;
use super::tail::lengthen;
use crate::catalog::{self, TimelineCoverage, merge_ranges};
use crate::commands::Result;
use crate::format::wal::{WalRange, piece_bytes};
use crate::format::{Lsn, Timeline};
use crate::limits::WAL_HEADS;
use crate::pipeline::wal_stream::{Leg, Stored};
use crate::store::Entry;

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// For the decision where to go on: every timeline of the way of which there is anything.
    pub(super) done: Vec<Stored>,
    coverages: Vec<TimelineCoverage>,
}

impl Known {
    /// All that is known of one timeline.
    pub(super) fn of(&self, timeline: Timeline) -> Option<&TimelineCoverage> {
        self.coverages.iter().find(|coverage| coverage.timeline == timeline)
    }

    /// Why it is not known whether there is anything to go on from. If there were nothing, the server's position would be the
    /// place to begin, without a recorded gap (invariant I9).
    fn unread(&self) -> Option<String> {
        let mut unread = self.coverages.iter().filter_map(|coverage| coverage.unread.as_ref());
        unread.next().filter(|_| self.done.is_empty()).cloned()
    }
}

/// Looks at every timeline of the way. What is counted is what coverage counts, so whoever can add names to the bucket cannot
/// make us leave something out at an end.
pub(super) async fn stored(place: &Place, way: &[Leg]) -> Result<Known> {
    let (repository, cluster) = (&place.repository, &place.cluster);
    let (mut known, mut findings) = (Known::default(), Vec::new());
    let there = repository.wal_timelines(cluster, &mut findings).await?;
    for leg in way.iter().filter(|leg| there.contains(&leg.timeline)) {
        let segment = Some(place.identity.segment_bytes);
        let coverage = repository.timeline_coverage(cluster, leg.timeline, segment, &mut findings).await?;
        let ranges = done(&coverage, piece_bytes(place.identity.segment_bytes));
        if !ranges.is_empty() {
            known.done.push(Stored { timeline: leg.timeline, ranges });
        }
        known.coverages.push(coverage);
    }
    match known.unread() {
        Some(why) => Err(catalog::Error::Unread { key: repository.names().wal_timelines(cluster), why }.into()),
        None => Ok(known),
    }
}

/// Whole pieces and recorded gaps. Partials are streamed again: of a timeline that has nothing else, the start of the first is
/// where to begin.
fn done(coverage: &TimelineCoverage, piece: u64) -> Vec<(Lsn, Lsn)> {
    let mut ranges = coverage.pieces.clone();
    for gap in &coverage.gaps {
        // What its first piece has before it lies beside it as a partial: nothing more will come of that piece.
        merge_ranges(&mut ranges, WalRange { start: gap.start.floor(piece), end: gap.end });
    }
    if ranges.is_empty() {
        let first = coverage.windows.first().map(|window| window.start.floor(piece));
        return first.map(|start| (start, start)).into_iter().collect();
    }
    ranges.into_iter().map(|range| (range.start, range.end)).collect()
}

/// How far partials reach without a hole from the start of the piece of `at`; no less than `at`. They are about to be all that
/// there will ever be of it, so they get the lock that the piece would have had.
pub(super) async fn keep_partials(place: &Place, timeline: Timeline, at: Lsn) -> Result<Lsn> {
    let piece = WalRange::piece(at, place.identity.segment_bytes);
    let links = place.repository.partial_chain(&place.cluster, timeline, piece).await?;
    let reach = links.last().map_or(at, |link| link.range.end.max(at));
    let set = |entry: Entry| async move { lengthen(place, &entry.key, &entry.version).await };
    let entries = links.into_iter().map(|link| link.entry);
    stream::iter(entries).map(set).buffer_unordered(WAL_HEADS).try_for_each(|()| async { Ok(()) }).await?;
    Ok(reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i09_nothing_is_not_what_cannot_be_read() {
        let timeline = Timeline::new(1).unwrap();
        let line = |unread: Option<&str>| TimelineCoverage {
            timeline,
            windows: Vec::new(),
            pieces: Vec::new(),
            gaps: Vec::new(),
            history: None,
            newest_at: None,
            unread: unread.map(str::to_owned),
        };
        let known = |done: &[Stored], unread| Known { done: done.to_vec(), coverages: vec![line(None), line(unread)] };
        assert_eq!(known(&[], None).unread(), None, "a cluster that is new");
        assert_eq!(known(&[], Some("denied")).unread().as_deref(), Some("denied"));
        // With something to go on from, what is streamed again or missing is noticed.
        let there = Stored { timeline, ranges: vec![(Lsn::new(0), Lsn::new(1 << 20))] };
        assert_eq!(known(&[there], Some("denied")).unread(), None);
    }
}
