//! Whether a server continues the WAL that is stored. A machine that was set back to a snapshot has the same system identifier
//! and timeline, and writes other WAL under positions that are taken.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::sender::Place;
use super::stored::Known;
use crate::catalog::TimelineCoverage;
use crate::commands::{Error, Result};
use crate::format::names::WalName;
use crate::format::wal::{CommitScanner, Commits, WalRange, piece_bytes};
use crate::format::{Lsn, Timeline};
use crate::limits::WAL_PROOF_SECONDS_MAX;
use crate::observe::chain;
use crate::postgres;
use crate::postgres::replication::{Client, Fault, System, WalEvent};

/// The server's own bytes, if they could be had.
enum Read {
    Bytes(Bytes),
    /// It no longer has them: that proves nothing.
    Gone,
    /// It has no room for a second connection, or no time; why.
    NotNow(String),
}

/// Before the first stream of a process: the end of what is stored of the server's timeline is on the server, and the same. Gives
/// why that could not be compared, if it could not.
pub(super) async fn at_start(
    place: &Place,
    client: &mut Client,
    system: &System,
    known: &Known,
) -> Result<Option<String>> {
    let Some(coverage) = known.of(system.timeline) else { return Ok(None) };
    let Some(end) = coverage.end() else { return Ok(None) };
    if end > system.flush_lsn {
        // It may have written, and another streamer have stored, since it was asked.
        let now = client.identify_system().await?;
        not_set_back(client, &now, system.timeline, end).await?;
    }
    compare(place, client, system, coverage, end).await
}

/// A primary has everything that it ever sent; a standby may lag.
pub(super) async fn not_set_back(client: &mut Client, system: &System, timeline: Timeline, end: Lsn) -> Result<()> {
    if system.timeline != timeline || system.flush_lsn >= end || is_standby(client).await? {
        return Ok(());
    }
    let what = format!(
        "the server is at {} of timeline {timeline}, and its WAL up to {end} is stored: it was set back to an earlier state",
        system.flush_lsn
    );
    Err(Error::Diverged { what })
}

async fn is_standby(client: &mut Client) -> Result<bool> {
    Ok(match client.parameter("in_hot_standby") {
        Some(value) => value == "on",
        None => client.show("transaction_read_only").await? == "on",
    })
}

/// Compares the newest stored piece, by its digest, and what partials have behind it, by the times of its commits: that is what
/// a host that cannot decrypt can compare. WAL that the server no longer has proves nothing.
async fn compare(
    place: &Place,
    client: &Client,
    system: &System,
    coverage: &TimelineCoverage,
    end: Lsn,
) -> Result<Option<String>> {
    let timeline = system.timeline;
    let whole = coverage.pieces.last().map(|pieces| pieces.end);
    let piece = piece_bytes(place.identity.segment_bytes);
    if let Some(last) = whole.filter(|last| *last <= system.flush_lsn) {
        let range = WalRange { start: Lsn::new(last.get() - piece), end: last };
        let name = WalName::Piece { timeline, range, tag: None };
        let head = place.repository.wal_head_of(&place.cluster, &name).await?;
        let digest = head.and_then(|head| head.header().plain);
        if let Some(digest) = digest {
            match read(client, timeline, range).await? {
                Read::NotNow(why) => return Ok(Some(why)),
                Read::Bytes(bytes) => {
                    let same = tokio::task::spawn_blocking(move || digest.is_of(&bytes)).await;
                    if !same.map_err(crate::pipeline::Error::Worker)? {
                        return Err(differs(timeline, range));
                    }
                }
                Read::Gone => {}
            }
        }
    }
    let start = end.floor(piece);
    let tail = WalRange { start, end };
    if start == end || whole == Some(end) || end > system.flush_lsn || !coverage.holds(tail) {
        return Ok(None);
    }
    let chain =
        place.repository.partial_chain(&place.cluster, timeline, WalRange { start, end: start.plus(piece) }).await?;
    let stored = chain.iter().fold(None, |all, part| Commits::join(all, part.head.header().commits));
    if chain.last().is_some_and(|part| part.range.end == end)
        && let Some(stored) = stored
    {
        match read(client, timeline, tail).await? {
            Read::NotNow(why) => return Ok(Some(why)),
            Read::Bytes(bytes) if commits_of(tail.start, &bytes).is_some_and(|found| !lie_within(found, stored)) => {
                return Err(differs(timeline, tail));
            }
            Read::Bytes(_) | Read::Gone => {}
        }
    }
    Ok(None)
}

/// Whether the commits found can be those that are stored. One whose record began in the piece before is not found, and where
/// a clock was set back that may be the latest: fewer may be found, never others.
fn lie_within(found: Commits, stored: Commits) -> bool {
    stored.first <= found.first && found.last <= stored.last
}

fn differs(timeline: Timeline, range: WalRange) -> Error {
    let WalRange { start, end } = range;
    let what = format!(
        "the server has other WAL from {start} to {end} of timeline {timeline} than is stored: it was set back to an earlier state, or is a copy that went its own way"
    );
    Error::Diverged { what }
}

/// A record that began in the piece before is not seen.
fn commits_of(start: Lsn, bytes: &[u8]) -> Option<Commits> {
    let mut scanner = CommitScanner::new(start);
    scanner.feed(bytes);
    scanner.take_commits()
}

/// The server's own bytes, over a connection of their own.
async fn read(client: &Client, timeline: Timeline, range: WalRange) -> Result<Read> {
    let reading = async {
        let client = Client::connect(client.info(), "stonewal proof").await?;
        let mut stream = client.start_replication(None, range.start, timeline).await?;
        let mut bytes = BytesMut::new();
        while (bytes.len() as u64) < range.bytes() {
            match stream.next().await? {
                WalEvent::Data { bytes: more, .. } => bytes.extend_from_slice(&more),
                WalEvent::Keepalive { .. } => {
                    stream.status(Lsn::default(), Lsn::default(), Lsn::default(), false).await?;
                }
                WalEvent::TimelineEnded { .. } | WalEvent::Ended => return Ok(Read::Gone),
            }
        }
        bytes.truncate(usize::try_from(range.bytes()).unwrap_or(usize::MAX));
        Ok(Read::Bytes(bytes.freeze()))
    };
    match tokio::time::timeout(Duration::from_secs(WAL_PROOF_SECONDS_MAX), reading).await {
        Ok(Err(postgres::Error::Replication { failure, .. })) if failure.fault == Fault::WalRemoved => Ok(Read::Gone),
        Ok(Err(error)) if has_no_room(&error) => Ok(Read::NotNow(chain(&error))),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(read)) => Ok(read),
        Err(_) => {
            let WalRange { start, end } = range;
            Ok(Read::NotNow(format!("sending {start} to {end} once more takes longer than {WAL_PROOF_SECONDS_MAX} s")))
        }
    }
}

/// Whether one more connection is what the server lacks.
fn has_no_room(error: &postgres::Error) -> bool {
    match error {
        postgres::Error::Busy { .. } => true,
        postgres::Error::Replication { failure, .. } => failure.fault == Fault::NoWalSender,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commits_that_are_not_stored_tell_of_another_server() {
        let commits = |first: i64, last: i64| {
            let at = |second| jiff::Timestamp::from_second(second).unwrap();
            Commits { first: at(first), last: at(last) }
        };
        let stored = commits(100, 200);
        assert!(lie_within(stored, stored));
        assert!(
            lie_within(commits(100, 150), stored),
            "the latest began in the piece before; then the clock was set back"
        );
        assert!(!lie_within(commits(100, 201), stored));
        assert!(!lie_within(commits(99, 200), stored));
    }
}
