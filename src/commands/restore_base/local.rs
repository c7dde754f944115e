//! `--wal local`: the WAL of the plan, fetched now, for a server that cannot reach the store.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::owner::Owner;
use super::plan::Plan;
use super::recovery::LOCAL_WAL_DIR;
use super::roots::failed;
use crate::catalog::{self, Repository, WalObject};
use crate::commands::{Error, Result};
use crate::format::names::WalName;
use crate::format::wal::{WalContent, WalRange, piece_bytes};
use crate::format::{ClusterName, SegmentName, Timeline, WalFileName};
use crate::pipeline::open_wal_whole;

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
    let fetches = stream::iter(pieces(plan)).map(|(timeline, range)| {
        let (dir, at_end) = (&dir, plan.wal.last().is_some_and(|leg| leg.end <= range.end));
        async move {
            let body = piece(repository, cluster, timeline, (range, plan)).await?;
            // The copy in the base, or the next timeline's, stands for what is not stored at the edges.
            if body.is_empty() && !at_end {
                return Ok(());
            }
            write(dir, timeline, (range, plan), &body, owner)
        }
    });
    fetches.buffer_unordered(downloads).try_collect::<Vec<()>>().await?;
    fs::File::open(&dir).and_then(|dir| dir.sync_all()).map_err(failed(&dir))
}

/// The pieces that hold the WAL of the plan, each under the timelines that have a part of it.
fn pieces(plan: &Plan) -> Vec<(Timeline, WalRange)> {
    let bytes = piece_bytes(plan.segment_bytes);
    let segment = plan.segment_bytes.bytes();
    let mut all = Vec::new();
    for leg in &plan.wal {
        // PostgreSQL reads whole segments, the copied beginning of a new timeline's first one included.
        let mut at = leg.start.floor(segment);
        while at < leg.end {
            all.push((leg.timeline, WalRange { start: at, end: at.plus(bytes) }));
            at = at.plus(bytes);
        }
    }
    all
}

/// The content of one piece: whole, or as much of it as is stored from its beginning.
async fn piece(
    repository: &Repository,
    cluster: &ClusterName,
    timeline: Timeline,
    (range, plan): (WalRange, &Plan),
) -> Result<Vec<u8>> {
    if let Some(whole) = repository.wal_object(cluster, &WalName::Piece { timeline, range, tag: None }).await? {
        return Ok(opened(repository, whole).await?.to_vec());
    }
    let mut partials = repository.partials(cluster, timeline, range).await?;
    partials.sort_by_key(|partial| (partial.range.start, std::cmp::Reverse(partial.range.end)));
    let mut body: Vec<u8> = Vec::new();
    for partial in partials {
        let end = range.start.plus(body.len() as u64);
        if partial.range.start > end || partial.range.end <= end {
            continue;
        }
        let Some(found) = genuine(repository.wal_version(cluster, &partial.entry).await)? else { continue };
        let WalContent::Range(content) = found.head.header().content.clone() else { continue };
        if content.range() != partial.range || content.segment_bytes != plan.segment_bytes {
            continue;
        }
        let bytes = opened(repository, found).await?;
        let known = usize::try_from(end.since(partial.range.start)).unwrap_or(usize::MAX);
        body.extend_from_slice(bytes.get(known..).unwrap_or_default());
    }
    Ok(body)
}

async fn opened(repository: &Repository, found: WalObject) -> Result<Bytes> {
    let key = repository.wal_key(&found.head).await?;
    Ok(open_wal_whole(&found.head, found.object, &key).await?)
}

/// What was planted among the partials is passed over.
fn genuine(found: catalog::Result<WalObject>) -> Result<Option<WalObject>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(catalog::Error::Format(_)) => Ok(None),
        Err(catalog::Error::Store(error)) if error.is_about_the_object() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes a piece into its segment, which has its full length from the beginning: what is not stored stays zero, where
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
    let body = opened(repository, found.ok_or_else(missing)?).await?;
    let path = dir.join(name.to_string());
    fs::write(&path, &body).and_then(|()| owner.give(&path)).map_err(failed(&path))
}
