//! What a streamer that ran before us left, where the server cannot be reached: the newest WAL in the bucket may be all that there will
//! ever be of it, and nobody who stored it looks after its short locks any more.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::{Event, Listener};
use crate::catalog::{Access, Repository, TimelineCoverage};
use crate::commands::repository::prepare_to_write;
use crate::commands::{RepositoryOptions, Result};
use crate::format::wal::{WalRange, piece_bytes};
use crate::format::{ClusterName, Lsn, SegmentSize};
use crate::limits::{STATUS_IN_FLIGHT_MAX, WAL_HEADS, WAL_HEIR_SECONDS_MAX};
use crate::observe::chain;
use crate::store::{Entry, Lock, Read as _, Retain as _};

/// Sees to it that the partials which are all there is of their pieces are locked for as long as the pieces would have been. That this
/// fails is told and no more: we are about to end anyway.
pub(super) async fn look_after(options: &RepositoryOptions, access: Access, cluster: &ClusterName, tell: Listener<'_>) {
    let most = Duration::from_secs(WAL_HEIR_SECONDS_MAX);
    match tokio::time::timeout(most, keep(options, access, cluster)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => tell(Event::Note(format!(
            "the newest WAL in the bucket got the lock of whole segments meanwhile: {count} parts that an earlier run left"
        ))),
        Ok(Err(error)) => tracing::warn!("the newest WAL keeps its short lock for now: {}", chain(&error)),
        Err(_) => tracing::warn!("the newest WAL keeps its short lock for now: the store takes longer than {most:?}"),
    }
}

/// Gives how many locks were lengthened.
async fn keep(options: &RepositoryOptions, access: Access, cluster: &ClusterName) -> Result<usize> {
    let (connected, repository) = prepare_to_write(options, access).await?;
    let Some(lock) = connected.lock()? else { return Ok(0) };
    let Some(record) = repository.cluster_record(cluster).await? else { return Ok(0) };
    let (store, now) = (&connected.store, connected.store.clock().now());
    let set = |entry: Entry| async move {
        let held = store.head(&entry.key, &entry.version).await?.lock;
        if held.is_some_and(|held| lasts(held, lock, now)) {
            return Ok::<_, crate::commands::Error>(0);
        }
        // Nobody may take it out of compliance mode.
        let mode = held.filter(|held| held.retain_until > now).map_or(lock.mode, |held| held.mode);
        store.set_lock(&entry.key, &entry.version, Lock { mode, ..lock }).await?;
        Ok(1)
    };
    let parts = parts(&repository, cluster, record.segment_bytes).await?;
    let set: Vec<usize> = stream::iter(parts).map(set).buffer_unordered(WAL_HEADS).try_collect().await?;
    Ok(set.into_iter().sum())
}

/// The partials that are needed on the newest timeline of which there is anything.
async fn parts(repository: &Repository, cluster: &ClusterName, segment: SegmentSize) -> Result<Vec<Entry>> {
    let (mut findings, mut parts) = (Vec::new(), Vec::new());
    for timeline in repository.wal_timelines(cluster, &mut findings).await?.into_iter().rev() {
        let coverage = repository.timeline_coverage(cluster, timeline, Some(segment), &mut findings).await?;
        if coverage.end().is_none() {
            continue;
        }
        for range in unfinished(&coverage, piece_bytes(segment)) {
            let links = repository.partial_links(cluster, timeline, range).await?;
            parts.extend(links.into_iter().map(|link| link.entry));
        }
        break;
    }
    Ok(parts)
}

/// Where pieces are not whole: behind the last one, and where uploads overtook each other.
fn unfinished(coverage: &TimelineCoverage, piece: u64) -> Vec<WalRange> {
    let pairs = coverage.pieces.windows(2).rev().take(STATUS_IN_FLIGHT_MAX);
    let mut ranges: Vec<WalRange> = pairs.map(|pair| WalRange { start: pair[0].end, end: pair[1].start }).collect();
    ranges.extend(coverage.tail().map(|tail| WalRange { start: tail.start.floor(piece), end: Lsn::new(u64::MAX) }));
    ranges
}

/// Whether what is locked so is locked for long, and not for the short time of a partial: who is started again and again does not
/// write a lock each time.
fn lasts(held: Lock, wanted: Lock, now: Timestamp) -> bool {
    let left = |lock: Lock| now.duration_until(lock.retain_until).as_secs();
    left(held) / 7 >= left(wanted) / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Timeline;
    use crate::store::LockMode;

    #[test]
    fn what_is_not_whole_is_looked_for_behind_pieces_and_between_them() {
        let range = |start: u64, end: u64| WalRange { start: Lsn::new(start), end: Lsn::new(end) };
        let coverage = |windows: &[WalRange], pieces: &[WalRange]| TimelineCoverage {
            timeline: Timeline::new(1).unwrap(),
            windows: windows.to_vec(),
            pieces: pieces.to_vec(),
            gaps: Vec::new(),
            history: None,
            newest_at: None,
            unread: None,
        };
        let whole = coverage(&[range(0, 64)], &[range(0, 64)]);
        assert_eq!(unfinished(&whole, 16), []);
        let overtaken = coverage(&[range(0, 70)], &[range(0, 32), range(48, 64)]);
        assert_eq!(unfinished(&overtaken, 16), [range(32, 48), range(64, u64::MAX)]);
        let begun = coverage(&[range(20, 25)], &[]);
        assert_eq!(unfinished(&begun, 16), [range(16, u64::MAX)]);
    }

    #[test]
    fn a_lock_that_is_long_already_is_left() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let days = |days: i64| now + jiff::SignedDuration::from_hours(24 * days);
        let lock = |mode, until| Lock { mode, retain_until: days(until) };
        let wanted = lock(LockMode::Governance, 35);
        assert!(!lasts(lock(LockMode::Governance, 7), wanted, now));
        assert!(lasts(lock(LockMode::Governance, 34), wanted, now));
        assert!(lasts(lock(LockMode::Compliance, 34), wanted, now), "it would become shorter, which is denied");
        assert!(!lasts(lock(LockMode::Governance, -1), wanted, now));
    }
}
