//! A segment out of what is stored of it: pieces, and partials where a piece was never completed.

use super::output::Output;
use super::{Error, Result, Stamp};
use crate::catalog::{Repository, WalObject};
use crate::commands::wal::each_partial;
use crate::format::names::WalName;
use crate::format::wal::{WalRange, piece_bytes};
use crate::format::{self, ClusterName, Lsn, Timeline};

/// How much of the segment there is.
#[derive(Debug)]
pub(super) enum Found {
    /// All of it.
    Whole,
    /// So many bytes of its beginning, and nothing behind them on the timeline.
    Unfinished(u64),
    /// So many bytes of its beginning, and WAL that goes on behind a gap: [`Error::Gap`].
    BeforeGap { bytes: u64, gap: Error },
    /// Nothing, and nothing behind it on the timeline.
    Nothing,
}

/// How often the end may move while a segment is read, before what was read is taken for the end.
const MOVES_MAX: usize = 3;

/// Writes the segment that starts at `start`, as far as it is there without a hole.
pub(super) async fn segment(
    repository: &Repository,
    cluster: &ClusterName,
    timeline: Timeline,
    start: Lsn,
    stamp: &Stamp,
    output: &Output,
) -> Result<Found> {
    let search = Search { repository, cluster, timeline, system_identifier: stamp.system_identifier };
    let end = start.plus(stamp.segment_bytes.bytes());
    let (mut before, mark) = (start, repository.store().unheard());
    for moves in 0.. {
        let at = search.write(start, stamp, output).await?;
        output.set_length(stamp.segment_bytes.bytes())?;
        if at == end {
            return Ok(Found::Whole);
        }
        let beyond = repository.wal_beyond(cluster, timeline, at).await?;
        // The end is said only of what every side was heard about: one that failed may have more.
        repository.store().all_heard(mark).map_err(crate::catalog::Error::from)?;
        match beyond {
            None if at == start => return Ok(Found::Nothing),
            None => return Ok(Found::Unfinished(at.since(start))),
            // It goes on right there: a streamer is at work, and what was read is all there was a moment ago.
            Some(beyond) if beyond == at && at > before && moves < MOVES_MAX => before = at,
            Some(beyond) if beyond == at && at > before => return Ok(Found::Unfinished(at.since(start))),
            Some(beyond) if beyond == at && moves == 0 => {}
            Some(beyond) => {
                let (timeline, missing) = (timeline.get(), WalRange { start: at, end: beyond });
                let gap = Error::Gap { timeline, missing: missing.to_string() };
                return Ok(Found::BeforeGap { bytes: at.since(start), gap });
            }
        }
    }
    Ok(Found::Nothing)
}

struct Search<'a> {
    repository: &'a Repository,
    cluster: &'a ClusterName,
    timeline: Timeline,
    system_identifier: u64,
}

impl Search<'_> {
    /// Writes what there is from `start` on without a hole, and returns how far that is.
    async fn write(&self, start: Lsn, stamp: &Stamp, output: &Output) -> Result<Lsn> {
        let (repository, cluster, size) = (self.repository, self.cluster, stamp.segment_bytes);
        let end = start.plus(size.bytes());
        let mut at = start;
        while at < end {
            let piece = WalRange::piece(at, size);
            let offset = at.since(start);
            let name = |timeline| WalName::Piece { timeline, range: piece, tag: None };
            if let Some(found) = repository.wal_object(cluster, &name(self.timeline)).await? {
                self.check(&found)?;
                output.write(repository, found, offset).await?;
            } else if piece_bytes(size) < size.bytes()
                && let Some(older) = self.owner(piece).await?
                && let Some(found) = repository.wal_object(cluster, &name(older)).await?
            {
                self.check(&found)?;
                output.write(repository, found, offset).await?;
            } else {
                let reached = self.partials(piece, start, output).await?;
                if reached < piece.end {
                    return Ok(reached);
                }
            }
            at = piece.end;
        }
        Ok(at)
    }

    /// Refuses WAL of another PostgreSQL cluster.
    fn check(&self, found: &WalObject) -> Result<()> {
        let there = found.head.header().system_identifier;
        if there == self.system_identifier {
            return Ok(());
        }
        let why = format!("{} is of the cluster with system identifier {there}", found.key);
        Err(format::Error::Malformed { what: "WAL object", why }.into())
    }

    /// The older timeline on which a piece lies that is wholly before our timeline began: segments longer than a piece are
    /// stored on the new timeline only from the piece on in which it branched off.
    async fn owner(&self, piece: WalRange) -> Result<Option<Timeline>> {
        let history = self.repository.history(self.cluster, self.timeline).await?;
        let ancestors = history.map(|history| history.ancestors).unwrap_or_default();
        Ok(ancestors.iter().find(|ancestor| piece.end <= ancestor.switch).map(|ancestor| ancestor.timeline))
    }

    /// Writes what partials have of `piece` without a hole from its start, and returns how far that is. What may be ours and
    /// is damaged is an error if no other one holds the same.
    async fn partials(&self, piece: WalRange, start: Lsn, output: &Output) -> Result<Lsn> {
        let whose = |found: &WalObject| self.check(found).map(|()| true);
        let write = |at: Lsn, bytes: &[u8]| output.write_bytes(bytes, at.since(start));
        let reached = each_partial(self.repository, (self.cluster, self.timeline, piece), whose, write).await?;
        match reached.doubt {
            Some(error) if reached.end < piece.end => Err(error),
            _ => Ok(reached.end),
        }
    }
}
