//! Contiguous WAL in, cuts out.

use bytes::{Bytes, BytesMut};

use super::cut::{Cut, CutKind};
use crate::format::wal::{CommitScanner, Commits};
use crate::format::{Lsn, Timeline};

/// So many partials are followed by one that holds the bytes of all of them, so many of those by a larger one, and so on:
/// an unfinished piece of n partials is read in a number of requests that grows with the logarithm of n only.
const MERGE: u32 = 16;

/// Levels of merging: `MERGE^LEVELS` partials of one piece are a week of one per second.
const LEVELS: usize = 5;

/// The server sent something else than the continuation of what it had sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server continues the WAL at {got} where {expected} was expected")]
pub struct Disorder {
    /// End of what was received.
    pub expected: Lsn,
    /// Start of what came.
    pub got: Lsn,
}

/// Collects one piece at a time.
#[derive(Debug)]
pub(super) struct Assembler {
    timeline: Timeline,
    piece_bytes: u64,
    start: Lsn,
    buffer: BytesMut,
    flushed: Lsn,
    flushes: u32,
    /// By level, the partials that the next merged one holds.
    blocks: [Block; LEVELS],
    scanner: CommitScanner,
    commits: Option<Commits>,
}

/// The current block of `MERGE^level` partials.
#[derive(Clone, Copy, Debug)]
struct Block {
    start: Lsn,
    commits: Option<Commits>,
}

impl Block {
    fn new(start: Lsn) -> Self {
        Self { start, commits: None }
    }
}

impl Assembler {
    /// Begins at `start`, a multiple of `piece_bytes`.
    pub(super) fn new(timeline: Timeline, piece_bytes: u64, start: Lsn) -> Self {
        let start = start.floor(piece_bytes);
        Self {
            timeline,
            piece_bytes,
            start,
            buffer: BytesMut::new(),
            flushed: start,
            flushes: 0,
            blocks: [Block::new(start); LEVELS],
            scanner: CommitScanner::new(start),
            commits: None,
        }
    }

    /// End of what was received.
    pub(super) fn received(&self) -> Lsn {
        self.start.plus(self.buffer.len() as u64)
    }

    /// Bytes held.
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Takes in what comes at `at`; gives every piece that it completes.
    pub(super) fn push(&mut self, at: Lsn, mut bytes: &[u8], mut whole: impl FnMut(Cut)) -> Result<(), Disorder> {
        if at != self.received() {
            return Err(Disorder { expected: self.received(), got: at });
        }
        while !bytes.is_empty() {
            let room = usize::try_from(self.start.plus(self.piece_bytes).since(self.received())).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            self.scan(now);
            bytes = later;
            if now.len() == room {
                whole(self.complete());
            }
        }
        Ok(())
    }

    fn scan(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes);
        let Some(found) = self.scanner.take_commits() else { return };
        let add = |known: &mut Option<Commits>| *known = Commits::join(*known, Some(found));
        add(&mut self.commits);
        self.blocks.iter_mut().for_each(|block| add(&mut block.commits));
    }

    fn complete(&mut self) -> Cut {
        let (start, end) = (self.start, self.received());
        let (bytes, commits) = (std::mem::take(&mut self.buffer).freeze(), self.commits.take());
        (self.start, self.flushed, self.flushes, self.blocks) = (end, end, 0, [Block::new(end); LEVELS]);
        Cut { timeline: self.timeline, start, end, kind: CutKind::Whole, bytes, commits }
    }

    /// Whether something was received that no cut holds yet.
    pub(super) fn has_new(&self) -> bool {
        self.received() > self.flushed
    }

    /// The bytes that no cut holds yet, and now and then the bytes of several such cuts once more in one.
    pub(super) fn flush(&mut self) -> Option<(Cut, Option<Cut>)> {
        if !self.has_new() {
            return None;
        }
        let end = self.received();
        let partial = self.cut(CutKind::Partial, Block { start: self.flushed, ..self.blocks[0] });
        self.flushed = end;
        self.flushes += 1;
        let mut level = 0;
        while level + 1 < LEVELS && self.flushes.is_multiple_of(MERGE.pow(u32::try_from(level + 1).unwrap_or(0))) {
            level += 1;
        }
        let merged = (level > 0).then(|| self.cut(CutKind::Merged, self.blocks[level]));
        self.blocks[..=level].fill(Block::new(end));
        Some((partial, merged))
    }

    /// The timeline ends here: what the current piece has, if anything.
    pub(super) fn tail(&self) -> Option<Cut> {
        let all = Block { start: self.start, commits: self.commits };
        (!self.buffer.is_empty()).then(|| self.cut(CutKind::Tail, all))
    }

    fn cut(&self, kind: CutKind, what: Block) -> Cut {
        let skip = usize::try_from(what.start.since(self.start)).unwrap_or(usize::MAX).min(self.buffer.len());
        let bytes = Bytes::copy_from_slice(&self.buffer[skip..]);
        let (start, end) = (what.start, self.received());
        Cut { timeline: self.timeline, start, end, kind, bytes, commits: what.commits }
    }
}
