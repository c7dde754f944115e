//! `--wal local`: the WAL of the plan, fetched now, for a server that cannot reach the store.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::owner::Owner;
use super::plan::Plan;
use super::recovery::LOCAL_WAL_DIR;
use super::roots::failed;
use crate::catalog::{Repository, WalObject};
use crate::commands::wal::{each_partial, open};
use crate::commands::{Error, Result};
use crate::format::names::WalName;
use crate::format::wal::{WalContent, WalRange, piece_bytes};
use crate::format::{ClusterName, Lsn, SegmentName, Timeline, WalFileName};

/// Fetches every segment that the plan replays, and the histories of its timelines, into the data directory.
pub(super) async fn fetch(
    repository: &Repository,
    cluster: &ClusterName,
    plan: &Plan,
    (data, owner, downloads): (&Path, Owner, usize),
) -> Result<()> {
    let dir = data.join(LOCAL_WAL_DIR);
    let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(&dir);
    made.and_then(|()| owner.give(&dir)).map_err(failed(&dir))?;
    for leg in &plan.wal {
        if leg.timeline != plan.base_timeline {
            history(repository, cluster, leg.timeline, (&dir, owner)).await?;
        }
    }
    let fetches = stream::iter(pieces(plan)).map(|wanted| {
        let dir = &dir;
        async move {
            let body = wanted.body(repository, cluster, plan).await?;
            if body.is_empty() {
                return Ok(());
            }
            write(dir, wanted.timeline, (wanted.range, plan), &body, owner)
        }
    });
    fetches.buffer_unordered(downloads).try_collect::<Vec<()>>().await?;
    fs::File::open(&dir).and_then(|dir| dir.sync_all()).map_err(failed(&dir))
}

/// A piece that is part of the plan.
struct Wanted {
    timeline: Timeline,
    range: WalRange,
    /// Where it may be stored: on its own timeline, or, wholly before that began, on one before it. Newest first.
    timelines: Vec<Timeline>,
    /// How far it must reach: less would be zeros, which PostgreSQL takes for the end of the WAL.
    needed: Lsn,
}

/// The pieces that hold the WAL of the plan behind its base, each under the timelines that have a part of it. Segments that
/// end before the base does are in the base.
fn pieces(plan: &Plan) -> Vec<Wanted> {
    let bytes = piece_bytes(plan.segment_bytes);
    let segment = plan.segment_bytes.bytes();
    let mut all = Vec::new();
    for (number, leg) in plan.wal.iter().enumerate().filter(|(_, leg)| leg.end > plan.base_stop) {
        // PostgreSQL reads whole segments, the copied beginning of a new timeline's first one included.
        let mut at = leg.start.max(plan.base_stop).floor(segment);
        while at < leg.end {
            let range = WalRange { start: at, end: at.plus(bytes) };
            // Where a timeline ends within a piece, the next one's copy stands for it.
            let copied = range.end > leg.end && number + 1 < plan.wal.len();
            let needed = if copied { range.start } else { leg.end.min(range.end) };
            let older = if range.end <= leg.start { &plan.wal[..number] } else { &[] };
            let timelines = std::iter::once(leg).chain(older.iter().rev()).map(|leg| leg.timeline).collect();
            all.push(Wanted { timeline: leg.timeline, range, timelines, needed });
            at = range.end;
        }
    }
    all
}

impl Wanted {
    /// Its content: whole, or as much of it as is stored from its beginning, which is all that is needed.
    async fn body(&self, repository: &Repository, cluster: &ClusterName, plan: &Plan) -> Result<Vec<u8>> {
        for timeline in &self.timelines {
            let name = WalName::Piece { timeline: *timeline, range: self.range, tag: None };
            if let Some(whole) = repository.wal_object(cluster, &name).await? {
                return Ok(open(repository, whole).await?.to_vec());
            }
        }
        let same = |found: &WalObject| {
            Ok(
                matches!(&found.head.header().content, WalContent::Range(range) if range.segment_bytes == plan.segment_bytes),
            )
        };
        let mut body = Vec::new();
        let take = |_, bytes: &[u8]| {
            body.extend_from_slice(bytes);
            Ok(())
        };
        let reached = each_partial(repository, (cluster, self.timeline, self.range), same, take).await?;
        if reached.end >= self.needed {
            return Ok(body);
        }
        let missing = WalRange { start: reached.end, end: self.needed }.to_string();
        Err(reached.doubt.unwrap_or(Error::Gap { timeline: self.timeline.get(), missing }))
    }
}

/// Writes a piece into its segment, which has its full length from the beginning: what lies behind the plan stays zero, where
/// PostgreSQL stops.
fn write(dir: &Path, timeline: Timeline, (range, plan): (WalRange, &Plan), body: &[u8], owner: Owner) -> Result<()> {
    let size = plan.segment_bytes;
    let name = SegmentName::holding(timeline, range.start, size);
    let path = dir.join(name.to_string());
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let written = file.and_then(|file| {
        owner.give_file(&file)?;
        file.set_len(size.bytes())?;
        file.write_all_at(body, range.start.since(range.start.floor(size.bytes())))
    });
    written.map_err(failed(&path))
}

async fn history(
    repository: &Repository,
    cluster: &ClusterName,
    timeline: Timeline,
    (dir, owner): (&Path, Owner),
) -> Result<()> {
    let name = WalFileName::History(timeline);
    let found = repository.wal_object(cluster, &WalName::File { timeline, name, tag: None }).await?;
    let missing = || Error::Unreachable(crate::catalog::plan::Refusal::NoHistory { timeline });
    let body = open(repository, found.ok_or_else(missing)?).await?;
    let path = dir.join(name.to_string());
    fs::write(&path, &body).and_then(|()| owner.give(&path)).map_err(failed(&path))
}
