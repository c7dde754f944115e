//! What else lies in `pg_wal`: the backlog of the archiver, finished segments, histories.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::file::{WalFile, header_of};
use super::{Result, unreadable};
use crate::format::wal::{History, WalRange};
use crate::format::{Lsn, SegmentName, Timeline, WalFileName};

const STATUS: &str = "archive_status";

/// The next `most` files that PostgreSQL will want archived after `path`, in the order of their names; none where there is no
/// such directory (the file may come from anywhere).
pub(super) fn ready(path: &Path, most: usize) -> Vec<PathBuf> {
    let Some(wal) = path.parent() else { return Vec::new() };
    let own = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = names_in(&wal.join(STATUS)).into_iter();
    let mut names: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".ready")?.to_owned())).collect();
    names.retain(|name| *name > own && name.parse::<WalFileName>().is_ok());
    names.sort();
    names.truncate(most);
    names.into_iter().map(|name| wal.join(name)).collect()
}

/// Whether another file was archived while this one was waiting already: only then can an earlier call have taken it along.
pub(super) fn has_waited(path: &Path) -> bool {
    let Some(wal) = path.parent() else { return false };
    let status = wal.join(STATUS);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Ok(ready) = std::fs::metadata(status.join(format!("{name}.ready"))) else { return false };
    let since = (ready.mtime(), ready.mtime_nsec());
    // PostgreSQL renames .ready to .done, which changes no more than the time of the change.
    let done = names_in(&status).into_iter().filter(|name| name.strip_suffix(".done").is_some());
    let mut archived = done.filter_map(|name| std::fs::metadata(status.join(name)).ok());
    archived.any(|done| (done.ctime(), done.ctime_nsec()) > since)
}

/// A segment beside `path` that tells whose WAL it is.
pub(super) fn neighbour(path: &Path) -> Option<PathBuf> {
    let wal = path.parent()?;
    let mut names = names_in(wal);
    // The newest are in use; recycled ones bear later names and old content.
    names.sort();
    names.into_iter().map(|name| wal.join(name)).find(|path| is_itself(path))
}

/// Where a timeline that branched off `timeline` within `range` did so, by the histories beside `path`.
pub(super) fn switch_within(path: &Path, timeline: Timeline, range: WalRange) -> Option<Lsn> {
    let wal = path.parent()?;
    let switches = names_in(wal).into_iter().filter_map(|name| {
        let WalFileName::History(child) = name.parse().ok()? else { return None };
        let history = History::parse(child, &std::fs::read(wal.join(name)).ok()?).ok()?;
        let left = history.ancestors.iter().find(|ancestor| ancestor.timeline == timeline)?.switch;
        (range.start < left && left <= range.end).then_some(left)
    });
    switches.max()
}

/// Everything in a directory that is finished: segments that PostgreSQL has handed to archiving or that are followed by their
/// successor, ends of timelines, histories. The segment being written is not, and neither are recycled ones.
pub(super) fn finished(directory: &Path) -> Result<Vec<WalFile>> {
    std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    let mut names = names_in(directory);
    names.sort();
    let handed = names_in(&directory.join(STATUS));
    let is_handed = |name: &str| {
        let status = |suffix: &str| handed.iter().any(|status| status.strip_suffix(suffix) == Some(name));
        status(".ready") || status(".done")
    };
    let mut found = Vec::new();
    for name in names {
        let path = directory.join(&name);
        let wanted = match name.parse::<WalFileName>() {
            Ok(WalFileName::Segment(segment)) => {
                is_itself(&path) && (is_handed(&name) || is_followed(directory, &path, segment))
            }
            Ok(_) => true,
            Err(_) => false,
        };
        if wanted {
            found.push(WalFile::open(&path)?);
        }
    }
    Ok(found)
}

/// Whether the next segment has begun.
fn is_followed(directory: &Path, path: &Path, segment: SegmentName) -> bool {
    let Ok((Ok(header), _)) = header_of(path) else { return false };
    let next = header.start.plus(header.segment_bytes.bytes());
    is_itself(&directory.join(SegmentName::holding(segment.timeline, next, header.segment_bytes).to_string()))
}

/// Whether a file is the segment that its name says.
fn is_itself(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
    let (Some(WalFileName::Segment(name)), Ok((Ok(header), bytes))) = (name, header_of(path)) else { return false };
    header.expect(name, bytes).is_ok()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
