//! How much of its WAL a segment holds, found while its bytes pass by: all of it, the beginning, or pages with something else
//! between them.

use super::CommitScanner;
use super::page::{PAGE_BYTES, PageHeader};
use crate::format::{Lsn, Timeline};
use crate::limits::WAL_PAGE_BYTES;

/// What was seen of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its length.
    pub bytes: u64,
    /// Bytes of pages that bear their own addresses, from the first on without a break.
    pub written: u64,
    /// What follows them.
    pub rest: Rest,
}

/// What follows the pages of a segment that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing, or the zeros with which PostgreSQL fills a segment that it leaves early: the segment is complete.
    Complete,
    /// Zeros, or what the file held before: the segment was not written to its end.
    Unwritten,
    /// Pages that belong there again: what lies between is damaged.
    Damaged,
}

impl Extent {
    /// Whether the first `bytes` of the segment are WAL.
    pub fn holds(&self, bytes: u64) -> bool {
        self.written >= bytes || (self.rest == Rest::Complete && self.bytes >= bytes)
    }
}

/// Looks at every page of a segment.
#[derive(Debug)]
pub struct ExtentScanner {
    start: Lsn,
    timeline: Timeline,
    page: Vec<u8>,
    bytes: u64,
    looked_at: u64,
    written: u64,
    broken: bool,
    only_zeros: bool,
    goes_on: bool,
    records: CommitScanner,
}

impl ExtentScanner {
    /// Before the first byte of the segment of a timeline that starts at `start`.
    pub fn new(timeline: Timeline, start: Lsn) -> Self {
        Self {
            start,
            timeline,
            page: Vec::with_capacity(WAL_PAGE_BYTES),
            bytes: 0,
            looked_at: 0,
            written: 0,
            broken: false,
            only_zeros: true,
            goes_on: false,
            records: CommitScanner::new(start),
        }
    }

    /// Takes in the bytes that follow.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at((WAL_PAGE_BYTES - self.page.len()).min(bytes.len()));
            self.page.extend_from_slice(now);
            bytes = later;
            if self.page.len() == WAL_PAGE_BYTES {
                let page = std::mem::take(&mut self.page);
                self.look(&page);
                self.page = page;
                self.page.clear();
            }
        }
    }

    /// What it came to.
    pub fn finish(self) -> Extent {
        let left_early = self.only_zeros && self.records.has_left_segment();
        let rest = if self.goes_on {
            Rest::Damaged
        } else if self.page.is_empty() && (!self.broken || left_early) {
            Rest::Complete
        } else {
            Rest::Unwritten
        };
        Extent { bytes: self.bytes, written: self.written, rest }
    }

    fn look(&mut self, page: &[u8]) {
        let address = self.start.get().wrapping_add(self.looked_at);
        self.looked_at += PAGE_BYTES;
        // At a switch the new timeline's first segment begins with a copy of the old one's pages.
        let belongs = |header: PageHeader| header.address == address && header.timeline <= self.timeline.get();
        if !PageHeader::read(page).is_some_and(belongs) {
            self.broken = true;
            self.only_zeros &= page.iter().all(|byte| *byte == 0);
        } else if self.broken {
            self.goes_on = true;
        } else {
            self.written += PAGE_BYTES;
            self.records.feed(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0x300_0000;
    const PAGES: usize = 6;
    /// `RM_XLOG_ID` and `XLOG_SWITCH`, and a record of the same manager that is none.
    const SWITCH: (u8, u8) = (0, 0x40);
    const NOOP: (u8, u8) = (0, 0x20);

    /// Pages with nothing but a header and one short record each.
    fn pages(count: usize, timeline: u32, last: (u8, u8)) -> Vec<u8> {
        let page = |number: usize| {
            let info = if number == 0 { 2_u16 } else { 0 };
            let mut page = [0xD110_u16.to_ne_bytes(), info.to_ne_bytes()].concat();
            page.extend(timeline.to_ne_bytes());
            page.extend((START + number as u64 * PAGE_BYTES).to_ne_bytes());
            page.resize(if number == 0 { 40 } else { 24 }, 0);
            let (manager, kind) = if number + 1 == count { last } else { NOOP };
            page.extend(24_u32.to_ne_bytes());
            page.extend([0; 12]);
            page.extend([kind, manager, 0, 0, 0, 0, 0, 0]);
            page.resize(WAL_PAGE_BYTES, 0);
            page
        };
        let mut bytes: Vec<u8> = (0..count).flat_map(page).collect();
        bytes.resize(PAGES * WAL_PAGE_BYTES, 0);
        bytes
    }

    fn extent(bytes: &[u8], at_once: usize) -> (u64, Rest) {
        let mut scanner = ExtentScanner::new(Timeline::new(2).unwrap(), Lsn::new(START));
        bytes.chunks(at_once).for_each(|part| scanner.feed(part));
        let extent = scanner.finish();
        assert_eq!(extent.bytes, bytes.len() as u64);
        (extent.written / PAGE_BYTES, extent.rest)
    }

    #[test]
    fn a_segment_is_complete_or_left_early_or_neither() {
        let cases = [
            (pages(PAGES, 2, NOOP), (6, Rest::Complete)),
            (pages(PAGES, 1, NOOP), (6, Rest::Complete)),
            (pages(3, 2, SWITCH), (3, Rest::Complete)),
            // As `pg_basebackup -X stream` leaves its last one.
            (pages(3, 2, NOOP), (3, Rest::Unwritten)),
            (pages(PAGES, 3, NOOP), (0, Rest::Unwritten)),
        ];
        for (bytes, expected) in cases {
            for at_once in [1000, WAL_PAGE_BYTES, bytes.len()] {
                assert_eq!(extent(&bytes, at_once), expected, "{at_once} at once");
            }
        }
    }

    #[test]
    fn what_the_file_held_before_is_not_its_wal() {
        let mut recycled = pages(PAGES, 2, NOOP);
        for page in recycled.chunks_mut(WAL_PAGE_BYTES).skip(4) {
            page[11] ^= 1;
        }
        assert_eq!(extent(&recycled, 4096), (4, Rest::Unwritten));
        let mut behind_switch = pages(3, 2, SWITCH);
        behind_switch[5 * WAL_PAGE_BYTES + 77] = 1;
        assert_eq!(extent(&behind_switch, 4096), (3, Rest::Unwritten));
    }

    #[test]
    fn a_broken_page_between_good_ones_is_damage() {
        for fill in [0, 0xA5] {
            let mut bytes = pages(PAGES, 2, NOOP);
            bytes[2 * WAL_PAGE_BYTES..3 * WAL_PAGE_BYTES].fill(fill);
            assert_eq!(extent(&bytes, 4096), (2, Rest::Damaged));
        }
        let cut = &pages(PAGES, 2, NOOP)[..4 * WAL_PAGE_BYTES + 100];
        assert_eq!(extent(cut, 4096), (4, Rest::Unwritten));
    }

    #[test]
    fn it_holds_what_was_written_and_a_complete_one_all() {
        let at = |pages: u64| pages * PAGE_BYTES;
        let of = |rest| Extent { bytes: at(6), written: at(3), rest };
        assert!(of(Rest::Unwritten).holds(at(3)) && of(Rest::Damaged).holds(at(3)) && of(Rest::Complete).holds(at(6)));
        assert!(!of(Rest::Unwritten).holds(at(3) + 1) && !of(Rest::Damaged).holds(at(4)));
        assert!(!of(Rest::Complete).holds(at(6) + 1));
    }
}
