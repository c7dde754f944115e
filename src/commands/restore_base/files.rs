//! The contents of files: several chunks at once, each fetched and verified whole, its files written at their offsets.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::layout::{CONTROL_FILE, Layout, Placed, is_restored};
use super::owner::Owner;
use super::roots::{Root, failed};
use super::tree;
use crate::commands::{Error, Result};
use crate::format::manifest::{FileEntry, StreamIndex};
use crate::limits::SMALL_OBJECT_BYTES_MAX;
use crate::pipeline::{self, RangedReader, Span, chunks_ahead};

/// Which files of each stream are to be written.
pub(super) type Wanted = Vec<Vec<bool>>;

/// Everything that a restore writes but the control file and empty files.
pub(super) fn all(layout: &Layout) -> Wanted {
    let wanted = |file: &FileEntry| file.bytes() > 0 && is_restored(file.path()) && file.path() != CONTROL_FILE;
    layout.placed.iter().map(|placed| placed.index.files.iter().map(wanted).collect()).collect()
}

/// Bytes of the wanted files.
pub(super) fn bytes(layout: &Layout, wanted: &Wanted) -> u64 {
    let streams = layout.placed.iter().zip(wanted);
    let files = streams.flat_map(|(placed, wanted)| placed.index.files.iter().zip(wanted));
    files.filter(|(_, wanted)| **wanted).map(|(file, _)| file.bytes()).sum()
}

/// A chunk to fetch, and the files that lie in it.
struct Task {
    stream: usize,
    chunk: u32,
    files: Vec<usize>,
}

/// Writes the wanted files below their roots. After an error or an interruption nothing is being written any more.
pub(super) async fn write(
    layout: &Layout,
    roots: &[Root],
    readers: &[Arc<RangedReader>],
    wanted: &Wanted,
    (downloads, owner): (usize, Owner),
    cancel: &CancellationToken,
) -> Result<()> {
    let writing = Writing { stop: cancel.child_token(), alive: Arc::new(()) };
    let mut jobs = JoinSet::new();
    let tasks = (0..).zip(&layout.placed).flat_map(|(at, placed)| tasks(at, placed, &readers[at], &wanted[at]));
    let room = |task: &Task| chunks_ahead(downloads, &readers[task.stream].record().chunks);
    let mut ended = Ok(());
    for task in tasks {
        while ended.is_ok() && jobs.len() >= room(&task) {
            ended = next(&mut jobs, cancel).await;
        }
        if ended.is_err() {
            break;
        }
        let placed = &layout.placed[task.stream];
        let job = Job { index: placed.index.clone(), root: roots[placed.root].work.clone(), owner };
        jobs.spawn(job.run(readers[task.stream].clone(), task, writing.clone()));
    }
    while ended.is_ok() && !jobs.is_empty() {
        ended = next(&mut jobs, cancel).await;
    }
    if ended.is_err() {
        writing.stop.cancel();
        jobs.shutdown().await;
        // A thread in the middle of a write is not stopped with the job that it works for.
        while Arc::strong_count(&writing.alive) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    ended
}

/// Held by everything that writes.
#[derive(Clone)]
struct Writing {
    stop: CancellationToken,
    alive: Arc<()>,
}

impl Writing {
    fn is_over(&self) -> bool {
        self.stop.is_cancelled()
    }
}

/// Waits for one chunk.
async fn next(jobs: &mut JoinSet<Result<()>>, cancel: &CancellationToken) -> Result<()> {
    let done = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Interrupted),
        done = jobs.join_next() => done,
    };
    done.map_or(Ok(()), |done| done.map_err(pipeline::Error::Worker)?)
}

/// The chunks of one stream that hold any wanted file.
fn tasks<'a>(
    stream: usize,
    placed: &'a Placed,
    reader: &'a RangedReader,
    wanted: &'a [bool],
) -> impl Iterator<Item = Task> + 'a {
    let files = &placed.index.files;
    reader.spans().filter_map(move |span| {
        // Files lie one behind the other, so those that end before the chunk come first.
        let first = files.partition_point(|file| file.range().end <= span.bytes.start);
        let inside = (first..).zip(&files[first..]).take_while(|(_, file)| file.range().start < span.bytes.end);
        let files: Vec<usize> = inside.map(|(number, _)| number).filter(|number| wanted[*number]).collect();
        (!files.is_empty()).then_some(Task { stream, chunk: span.chunk, files })
    })
}

/// What one chunk's files need.
struct Job {
    index: Arc<StreamIndex>,
    root: PathBuf,
    owner: Owner,
}

impl Job {
    async fn run(self, reader: Arc<RangedReader>, task: Task, writing: Writing) -> Result<()> {
        let wanted = task.files.iter().map(|number| self.index.files[*number].range()).collect();
        let mut open: Option<(usize, File)> = None;
        let take = move |which: usize, at: u64, bytes: &[u8]| -> Result<()> {
            if writing.is_over() {
                return Err(Error::Interrupted);
            }
            let number = task.files[which];
            let entry = &self.index.files[number];
            let path = self.root.join(entry.path());
            let file = match open.take() {
                Some((at, file)) if at == number => file,
                _ => tree::open(&path, entry, self.owner).map_err(failed(&path))?,
            };
            file.write_all_at(bytes, at - entry.range().start).map_err(failed(&path))?;
            open = Some((number, file));
            Ok(())
        };
        reader.read(task.chunk, wanted, take).await?
    }
}

/// The whole of a small file, from whichever chunks it lies in.
pub(super) async fn read(reader: &Arc<RangedReader>, file: &FileEntry) -> Result<Vec<u8>> {
    if file.bytes() > SMALL_OBJECT_BYTES_MAX {
        let max = SMALL_OBJECT_BYTES_MAX;
        return Err(crate::format::Error::Absurd { what: "control file", claimed: file.bytes(), max }.into());
    }
    let spans: Vec<Span> = reader.spans().collect();
    let range = file.range();
    let mut whole = Vec::new();
    for span in spans.iter().filter(|span| span.bytes.start < range.end && span.bytes.end > range.start) {
        let part = Arc::new(Mutex::new(Vec::new()));
        let into = part.clone();
        let take = move |_: usize, _: u64, bytes: &[u8]| -> Result<()> {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(())
        };
        reader.read(span.chunk, vec![range.clone()], take).await??;
        whole.append(&mut part.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Ok(whole)
}
