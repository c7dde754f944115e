//! Headers of WAL pages (PostgreSQL source, `src/include/access/xlog_internal.h`); the same in 13 to 18.
//!
//! Numbers are in the byte order of the server's host. Every platform that PostgreSQL and this program share is
//! little-endian but for a few; a segment of the other order is named as such and not guessed at.

use crate::format::{Error, Lsn, Result, SegmentName, SegmentSize, Timeline};
use crate::limits::WAL_PAGE_BYTES;

/// Usual size of a page, `XLOG_BLCKSZ`.
pub(super) const PAGE_BYTES: u64 = WAL_PAGE_BYTES as u64;
pub(super) const SHORT_BYTES: usize = 24;
pub(super) const LONG_BYTES: usize = 40;

/// Flags in `xlp_info`.
pub(super) const FIRST_IS_CONTRECORD: u16 = 0x0001;
const LONG_HEADER: u16 = 0x0002;
const ALL_FLAGS: u16 = 0x000F;

/// What every page begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) info: u16,
    pub(super) timeline: u32,
    pub(super) address: u64,
    /// Bytes of the record that continues from the page before.
    pub(super) remaining: u32,
}

impl PageHeader {
    /// Reads the short header; `None` if it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SHORT_BYTES)?;
        let (magic, info) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
        // 0xD106 is 13, later versions count on; the high byte has been the same for ever.
        let known = magic & 0xFF00 == 0xD100 && info & !ALL_FLAGS == 0;
        known.then_some(())?;
        Some(Self { info, timeline: u32_at(bytes, 4)?, address: u64_at(bytes, 8)?, remaining: u32_at(bytes, 16)? })
    }

    pub(super) fn is_long(self) -> bool {
        self.info & LONG_HEADER != 0
    }

    pub(super) fn header_bytes(self) -> usize {
        if self.is_long() { LONG_BYTES } else { SHORT_BYTES }
    }
}

/// What the first page of a segment tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Timeline of the page: that of the segment, or an earlier one where the segment was copied from it at a switch.
    pub timeline: Timeline,
    /// First position of the segment.
    pub start: Lsn,
    /// PostgreSQL's system identifier of the cluster.
    pub system_identifier: u64,
    /// Size of its segments.
    pub segment_bytes: SegmentSize,
}

impl SegmentHeader {
    /// Bytes to read of a segment.
    pub const BYTES: usize = LONG_BYTES;

    /// Reads the header at the beginning of a segment.
    pub fn read(first: &[u8]) -> Result<Self> {
        let malformed = |why: &str| Error::Malformed { what: "WAL segment", why: why.into() };
        let page = PageHeader::read(first).ok_or_else(|| malformed("it does not begin with a WAL page header"))?;
        let long = first.get(SHORT_BYTES..LONG_BYTES).ok_or(Error::Short("WAL segment"))?;
        if !page.is_long() {
            return Err(malformed("its first page has no long header"));
        }
        let number = |at| u32_at(long, at).ok_or(Error::Short("WAL segment"));
        Ok(Self {
            timeline: Timeline::new(page.timeline)?,
            start: Lsn::new(page.address),
            system_identifier: u64_at(long, 0).ok_or(Error::Short("WAL segment"))?,
            segment_bytes: SegmentSize::new(number(8)?)?,
        })
    }

    /// Refuses a header that is not one of segment `name`, `bytes` long.
    pub fn expect(&self, name: SegmentName, bytes: u64) -> Result<()> {
        let malformed = |why: String| Err(Error::Malformed { what: "WAL segment", why });
        if bytes != self.segment_bytes.bytes() {
            return malformed(format!("{name} has {bytes} bytes, its header says {}", self.segment_bytes.bytes()));
        }
        if name.start(self.segment_bytes) != Some(self.start) {
            return malformed(format!("{name} holds the WAL from {}", self.start));
        }
        // At a switch the new timeline's first segment begins with a copy of the old one's pages.
        if self.timeline > name.timeline {
            return malformed(format!("{name} begins with a page of timeline {}", self.timeline));
        }
        Ok(())
    }
}

/// Whether bytes begin with a page that says that it is the one at `start`, or with zeros, as what follows a switch of the segment.
pub fn begins_with_page_at(bytes: &[u8], start: Lsn) -> bool {
    let page = bytes.get(..WAL_PAGE_BYTES).unwrap_or(bytes);
    PageHeader::read(bytes).is_some_and(|header| header.address == start.get()) || page.iter().all(|byte| *byte == 0)
}

/// How much of a segment that starts at `start` was ever written: everything up to the last page that bears its own address.
/// The rest is what the file held before. Reads to the first page that does not.
pub fn finished_bytes(start: Lsn, mut segment: impl std::io::Read) -> std::io::Result<u64> {
    let mut page = [0; WAL_PAGE_BYTES];
    let mut finished = 0;
    loop {
        let mut filled = 0;
        while filled < page.len() {
            match segment.read(&mut page[filled..])? {
                0 => return Ok(finished),
                read => filled += read,
            }
        }
        match PageHeader::read(&page) {
            Some(header) if header.address == start.get() + finished => finished += PAGE_BYTES,
            _ => return Ok(finished),
        }
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}
