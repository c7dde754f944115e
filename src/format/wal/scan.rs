//! Finding the ends of transactions in WAL that passes by.
//!
//! Layout from PostgreSQL's source: pages in `xlog_internal.h`, records in `xlogrecord.h`, ends of transactions in
//! `xact.h`; the same in 13 to 18. Whatever the bytes are, nothing here fails: what is not understood is skipped to the next
//! page, and a time that is missed makes a recovery window narrower, never wider.

use jiff::Timestamp;

use super::Commits;
use super::page::{FIRST_IS_CONTRECORD, LONG_BYTES, PAGE_BYTES, PageHeader, SHORT_BYTES, u32_at};
use crate::format::Lsn;

/// `SizeOfXLogRecord`.
const RECORD_HEADER: usize = 24;
/// Record header, origin, top-level transaction, header of the main data, and the time that the main data begins with.
const PREFIX: usize = RECORD_HEADER + 3 + 5 + 5 + 8;
/// `XLogRecordMaxSize`.
const RECORD_MAX: u64 = 1020 << 20;
const ALIGNMENT: u64 = 8;

const RM_XLOG_ID: u8 = 0;
/// The record by which PostgreSQL leaves a segment early, `XLOG_SWITCH`; only the upper half of `xl_info` is the kind's.
const SWITCH: u8 = 0x40;
const KIND: u8 = 0xF0;
const RM_XACT_ID: u8 = 1;
/// `XLOG_XACT_OPMASK` and the operations that end a transaction.
const OPERATION: u8 = 0x70;
const COMMIT: u8 = 0x00;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ABORT_PREPARED: u8 = 0x40;

/// Seconds from 1970 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_SECONDS: i64 = 946_684_800;

/// What the next bytes of the page are.
#[derive(Debug)]
enum State {
    /// A page header.
    Page(Vec<u8>),
    /// The beginning of a record, as far as it is of interest.
    Record(Vec<u8>),
    /// The rest of a record.
    Skip(u64),
    /// Nothing that can be understood before the next page.
    Lost,
}

/// Reads WAL from the start of a page on and keeps the times at which transactions ended.
#[derive(Debug)]
pub struct CommitScanner {
    at: u64,
    state: State,
    /// What goes on behind the next page header; the length of a record is known once its first four bytes are.
    pending: Pending,
    commits: Option<Commits>,
    /// Whether the last record left its segment.
    left_segment: bool,
}

/// The record that a page breaks off.
#[derive(Debug)]
enum Pending {
    None,
    Record(Vec<u8>),
    Skip(u64),
}

impl CommitScanner {
    /// A scanner of what comes from `start` on, the first byte of a page.
    pub fn new(start: Lsn) -> Self {
        Self {
            at: start.get(),
            state: State::Page(Vec::new()),
            pending: Pending::None,
            commits: None,
            left_segment: false,
        }
    }

    /// Where it is.
    pub fn at(&self) -> Lsn {
        Lsn::new(self.at)
    }

    /// Takes in the WAL that follows.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let page_left = PAGE_BYTES - self.at % PAGE_BYTES;
            let taken = usize::try_from(self.wanted().min(page_left)).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(taken);
            self.take(now);
            self.at += taken as u64;
            bytes = later;
            self.step();
            if self.at.is_multiple_of(PAGE_BYTES) {
                self.turn_page();
            }
        }
    }

    /// The times found since the last call.
    pub fn take_commits(&mut self) -> Option<Commits> {
        self.commits.take()
    }

    /// Whether the last record was one that leaves the segment: what follows are zeros up to its end.
    pub fn has_left_segment(&self) -> bool {
        self.left_segment
    }

    /// How many bytes the present state takes.
    fn wanted(&self) -> u64 {
        match &self.state {
            State::Page(have) => (header_bytes(have) - have.len()) as u64,
            State::Record(have) => (record_prefix(have) - have.len()) as u64,
            State::Skip(left) => *left,
            State::Lost => PAGE_BYTES,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Page(have) | State::Record(have) => have.extend_from_slice(bytes),
            State::Skip(left) => *left -= bytes.len() as u64,
            State::Lost => {}
        }
    }

    /// Goes on to the next state once the present one has all it wants.
    fn step(&mut self) {
        if self.wanted() > 0 {
            return;
        }
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Page(header) => self.after_header(&header),
            State::Record(prefix) => self.after_prefix(&prefix),
            State::Skip(_) => State::Record(Vec::new()),
            State::Lost => State::Lost,
        };
        // The end of a record is padded; what is left of the padding may be nothing.
        if self.wanted() == 0 {
            self.step();
        }
    }

    fn after_header(&mut self, bytes: &[u8]) -> State {
        let pending = std::mem::replace(&mut self.pending, Pending::None);
        let here = self.at - bytes.len() as u64;
        // A page of a recycled segment bears its old address.
        let Some(header) = PageHeader::read(bytes).filter(|header| header.address == here) else { return State::Lost };
        if header.info & FIRST_IS_CONTRECORD == 0 {
            return State::Record(Vec::new());
        }
        let remaining = u64::from(header.remaining);
        match pending {
            Pending::Record(prefix) if record_left(&prefix) == Some(remaining) => State::Record(prefix),
            Pending::Skip(left) if left == self.padded(remaining) || left == remaining => State::Skip(left),
            _ => State::Skip(self.padded(remaining)),
        }
    }

    fn after_prefix(&mut self, prefix: &[u8]) -> State {
        let Some(total) = record_bytes(prefix) else { return State::Lost };
        self.left_segment =
            prefix.get(16).is_some_and(|info| info & KIND == SWITCH) && prefix.get(17) == Some(&RM_XLOG_ID);
        self.commits = Commits::join(self.commits, end_of_transaction(prefix, total).map(Commits::at));
        State::Skip(self.padded(total - prefix.len() as u64))
    }

    /// `left` bytes from here and what brings the next record to its alignment. Page headers are aligned, so they do not
    /// change it.
    fn padded(&self, left: u64) -> u64 {
        left + (ALIGNMENT - (self.at + left) % ALIGNMENT) % ALIGNMENT
    }

    fn turn_page(&mut self) {
        self.pending = match std::mem::replace(&mut self.state, State::Page(Vec::new())) {
            State::Record(prefix) if !prefix.is_empty() => Pending::Record(prefix),
            State::Skip(left) => Pending::Skip(left),
            _ => Pending::None,
        };
    }
}

fn header_bytes(have: &[u8]) -> usize {
    match PageHeader::read(have) {
        Some(header) if have.len() < LONG_BYTES => header.header_bytes(),
        Some(_) => have.len(),
        None => SHORT_BYTES,
    }
}

/// Length of the record that begins so; `None` if no record does.
fn record_bytes(prefix: &[u8]) -> Option<u64> {
    let total = u64::from(u32_at(prefix, 0)?);
    (RECORD_HEADER as u64..=RECORD_MAX).contains(&total).then_some(total)
}

/// How much of a record to look at: its length first, then what a transaction's end needs.
fn record_prefix(have: &[u8]) -> usize {
    match record_bytes(have) {
        None => 4.max(have.len()),
        Some(total) => usize::try_from(total).unwrap_or(usize::MAX).min(PREFIX),
    }
}

/// What is still to come of a record of which this much is there.
fn record_left(have: &[u8]) -> Option<u64> {
    record_bytes(have).map(|total| total - have.len() as u64)
}

/// The time in a record that ends a transaction.
fn end_of_transaction(record: &[u8], total: u64) -> Option<Timestamp> {
    let (info, manager) = (record.get(16)?, record.get(17)?);
    let ends = matches!(info & OPERATION, COMMIT | ABORT | COMMIT_PREPARED | ABORT_PREPARED);
    if *manager != RM_XACT_ID || !ends {
        return None;
    }
    // Such records refer to no blocks, so the main data follows its header at once.
    let mut at = RECORD_HEADER;
    let main = loop {
        match record.get(at)? {
            253 => at += 3,
            252 => at += 5,
            255 => break (at + 2, u64::from(*record.get(at + 1)?)),
            254 => break (at + 5, u64::from(u32_at(record, at + 1)?)),
            _ => return None,
        }
    };
    let (start, bytes) = main;
    if start as u64 + bytes != total {
        return None;
    }
    let micros = record.get(start..start + 8)?.try_into().ok().map(i64::from_ne_bytes)?;
    let since_1970 = micros.checked_add(EPOCH_SECONDS.checked_mul(1_000_000)?)?;
    Timestamp::from_microsecond(since_1970).ok()
}

#[cfg(test)]
mod tests;
