//! What the bucket holds already of the way of a server.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::sender::Place;
use crate::catalog::{self, each_entry};
use crate::commands::{Error, Result};
use crate::format::names::WalName;
use crate::format::wal::{GapRecord, WalRange, piece_bytes};
use crate::format::{Lsn, Timeline};
use crate::limits::{SMALL_OBJECT_BYTES_MAX, WAL_HEADS};
use crate::observe::chain;
use crate::pipeline::wal_stream::{Leg, Stored};
use crate::store::{Entry, ListQuery, Read as _, Retain as _};

type Ranges = Vec<(Lsn, Lsn)>;

/// What is stored of the newest timeline of the way of which there is anything, and that there is something of the one
/// before it. `flushed` is the end of the server's WAL: names beyond it are not ours.
///
/// Names alone are believed for old pieces. Where streaming would begin, headers are authenticated: whoever can write to the
/// bucket could otherwise make us leave something out.
pub(super) async fn stored(place: &Arc<Place>, way: &[Leg], flushed: Lsn) -> Result<Vec<Stored>> {
    let mut all = Vec::new();
    for leg in way.iter().rev() {
        let limit = leg.until.map_or(flushed, |_| Lsn::new(u64::MAX));
        let (mut pieces, has_partials) = pieces(place, leg.timeline, limit).await?;
        authenticate(place, leg.timeline, &mut pieces).await?;
        if pieces.is_empty() && has_partials {
            pieces.extend(first_partial(place, leg.timeline).await?.map(|start| (start, start)));
        }
        if pieces.is_empty() {
            continue;
        }
        for gap in gaps(place, leg.timeline).await? {
            add(&mut pieces, gap);
        }
        all.push(Stored { timeline: leg.timeline, ranges: pieces });
        if all.len() == 2 {
            break;
        }
    }
    Ok(all)
}

/// Whole pieces by name, and whether there are partials.
async fn pieces(place: &Place, timeline: Timeline, limit: Lsn) -> Result<(Ranges, bool)> {
    let (store, names) = (&place.connected.store, &place.connected.names);
    let query = ListQuery { prefix: names.wal_timeline(&place.cluster, timeline), by_folder: true };
    let partials = names.wal_partials(&place.cluster, timeline);
    let (mut ranges, mut has_partials, mut token) = (Ranges::new(), false, None);
    loop {
        let page = store.list_page(&query, token.as_ref()).await?;
        has_partials |= page.prefixes.contains(&partials);
        for entry in page.entries.iter().filter(|entry| !entry.delete_marker) {
            match names.wal_of(&place.cluster, entry.key.as_str()) {
                Some(WalName::Piece { range, .. })
                    if range.is_piece(place.identity.segment_bytes) && range.end <= limit =>
                {
                    add(&mut ranges, (range.start, range.end));
                }
                _ => {}
            }
        }
        token = page.next;
        if token.is_none() {
            return Ok((ranges, has_partials));
        }
    }
}

/// Adds one range to ranges that are sorted, merging what touches. Quick where it comes last.
fn add(ranges: &mut Ranges, (start, end): (Lsn, Lsn)) {
    let from = ranges.partition_point(|(_, known)| *known < start);
    let to = ranges.partition_point(|(known, _)| *known <= end);
    let merged = ranges[from..to].iter().fold((start, end), |all, one| (all.0.min(one.0), all.1.max(one.1)));
    ranges.splice(from..to, [merged]);
}

/// Takes out the newest pieces that do not prove to be ours, until the newest that is left does.
async fn authenticate(place: &Arc<Place>, timeline: Timeline, ranges: &mut Ranges) -> Result<()> {
    let piece = piece_bytes(place.identity.segment_bytes);
    let mut proven_from = Lsn::new(u64::MAX);
    while let Some((_, end)) = ranges.last().copied().filter(|(_, end)| *end <= proven_from) {
        let mut jobs = JoinSet::new();
        let newest = ranges.iter().rev().flat_map(|(start, end)| {
            let count = end.since(*start) / piece;
            (0..count).rev().map(move |number| start.plus(number * piece))
        });
        for start in newest.take(WAL_HEADS) {
            proven_from = start;
            let place = place.clone();
            jobs.spawn(async move {
                let name = WalName::Piece { timeline, range: WalRange { start, end: start.plus(piece) }, tag: None };
                (start, place.repository.wal_head_of(&place.cluster, &name).await)
            });
        }
        while let Some(done) = jobs.join_next().await {
            let (start, head) = done.map_err(crate::pipeline::Error::Worker)?;
            match head {
                Ok(Some(_)) => {}
                Err(catalog::Error::Store(error)) if !error.is_about_the_object() => return Err(error.into()),
                Ok(None) => take_out(ranges, start, start.plus(piece)),
                Err(error) => {
                    tracing::warn!("WAL {start} of timeline {timeline} is stored anew beside: {}", chain(&error));
                    take_out(ranges, start, start.plus(piece));
                }
            }
        }
        if ranges.last().is_some_and(|(_, still)| *still == end) {
            break;
        }
    }
    Ok(())
}

fn take_out(ranges: &mut Ranges, start: Lsn, end: Lsn) {
    let Some(at) = ranges.iter().position(|(from, to)| *from <= start && end <= *to) else { return };
    let (from, to) = ranges[at];
    let left = [(from, start), (end, to)].into_iter().filter(|(from, to)| from < to);
    ranges.splice(at..=at, left.collect::<Ranges>());
}

/// Start of the piece of the oldest genuine partial.
async fn first_partial(place: &Place, timeline: Timeline) -> Result<Option<Lsn>> {
    let prefix = place.connected.names.wal_partials(&place.cluster, timeline);
    let query = ListQuery { prefix, by_folder: false };
    let page = place.connected.store.list_page(&query, None).await?;
    let piece = piece_bytes(place.identity.segment_bytes);
    for entry in page.entries.iter().filter(|entry| !entry.delete_marker) {
        if let Some(range) = genuine(place, entry).await? {
            return Ok(Some(range.start.floor(piece)));
        }
    }
    Ok(None)
}

/// The range of a listed partial that proves to be ours.
async fn genuine(place: &Place, entry: &Entry) -> Result<Option<WalRange>> {
    let Some(name) = place.connected.names.wal_of(&place.cluster, entry.key.as_str()) else { return Ok(None) };
    match place.repository.wal_version_head(&place.cluster, entry).await {
        Ok(_) => Ok(match name {
            WalName::Partial { range, .. } => Some(range),
            _ => None,
        }),
        Err(catalog::Error::Store(error)) if !error.is_about_the_object() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Gaps recorded by writers we know.
async fn gaps(place: &Place, timeline: Timeline) -> Result<Ranges> {
    let store = &*place.connected.store;
    let (mut listed, mut ranges) = (Vec::new(), Ranges::new());
    let prefix = place.connected.names.wal_gaps(&place.cluster, timeline);
    each_entry(store, &prefix, |entry| listed.push(entry)).await?;
    let trusted = place.repository.trusted();
    for entry in listed.iter().filter(|entry| !entry.delete_marker && entry.bytes <= SMALL_OBJECT_BYTES_MAX) {
        let bytes = match store.get(&entry.key, &entry.version, 0..entry.bytes).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_about_the_object() => continue,
            Err(error) => return Err(error.into()),
        };
        let ours = |gap: &GapRecord| {
            gap.timeline == timeline
                && gap.cluster == place.cluster
                && gap.system_identifier == place.identity.system_identifier
        };
        if let Some(gap) = GapRecord::decode(&bytes, &trusted).ok().filter(ours) {
            // What its first piece has before it lies beside it as a partial: nothing more will come of that piece.
            ranges.push((gap.start.floor(piece_bytes(place.identity.segment_bytes)), gap.end));
        }
    }
    Ok(ranges)
}

/// How far the partials of the piece that begins at `start` reach without a hole. They are about to be all that there will
/// ever be of it, so they get the lock that the piece would have had.
pub(super) async fn keep_partials(place: &Place, timeline: Timeline, start: Lsn) -> Result<Lsn> {
    let store = &*place.connected.store;
    let piece = piece_bytes(place.identity.segment_bytes);
    let (mut listed, mut found) = (Vec::new(), Vec::new());
    let prefix = place.connected.names.wal_partials(&place.cluster, timeline);
    each_entry(store, &prefix, |entry| {
        let name = place.connected.names.wal_of(&place.cluster, entry.key.as_str());
        if matches!(name, Some(WalName::Partial { range, .. }) if range.start.floor(piece) == start) {
            listed.push(entry);
        }
    })
    .await?;
    for entry in listed.into_iter().filter(|entry| !entry.delete_marker) {
        if let Some(range) = genuine(place, &entry).await? {
            found.push((range, entry));
        }
    }
    let mut reach = start;
    while let Some((range, entry)) =
        found.iter().filter(|(range, _)| range.start <= reach).max_by_key(|(range, _)| range.end)
    {
        if range.end <= reach {
            break;
        }
        reach = range.end;
        if let Some(lock) = place.connected.lock()? {
            store.set_lock(&entry.key, &entry.version, lock).await.map_err(Error::Store)?;
        }
    }
    Ok(reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Ranges {
        pairs.iter().map(|(start, end)| (Lsn::new(*start), Lsn::new(*end))).collect()
    }

    #[test]
    fn ranges_merge_and_split() {
        let mut all = Ranges::new();
        for (start, end) in [(10, 20), (30, 40), (20, 25), (50, 60), (25, 30), (0, 5), (41, 42), (35, 45), (10, 20)] {
            add(&mut all, (Lsn::new(start), Lsn::new(end)));
        }
        assert_eq!(all, ranges(&[(0, 5), (10, 45), (50, 60)]));
        for (start, end) in [(10, 15), (50, 60), (20, 30), (100, 110)] {
            take_out(&mut all, Lsn::new(start), Lsn::new(end));
        }
        assert_eq!(all, ranges(&[(0, 5), (15, 20), (30, 45)]));
    }
}
