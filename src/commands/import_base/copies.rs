//! Copies of one WAL segment, each judged by all of its bytes.

use std::io::Read;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::fault::{Fault, io_fault};
use crate::format::wal::{Extent, ExtentScanner, Rest, SegmentHeader};
use crate::format::{Lsn, SegmentName, SegmentSize, Timeline, WalFileName};
use crate::limits::WAL_PAGE_BYTES;

const PIECE_BYTES: usize = 256 << 10;

/// Where a segment is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// In the tar of the data directory.
    Base,
    /// In `pg_wal.tar`.
    Tar(PathBuf),
    /// A file, compressed or not.
    File(PathBuf),
}

impl At {
    /// In words.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Base => "the one in base.tar".into(),
            Self::Tar(tar) => format!("the one in {}", tar.display()),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// The WAL that a backup needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentRange {
    pub(super) timeline: Timeline,
    pub(super) start: Lsn,
    pub(super) stop: Lsn,
}

impl SegmentRange {
    /// How many bytes of a segment, from its first on, lie in it.
    pub(super) fn bytes_in(&self, name: SegmentName, size: SegmentSize) -> u64 {
        match name.start(size) {
            Some(start) if name.timeline == self.timeline && self.start < start.plus(size.bytes()) => {
                self.stop.since(start).min(size.bytes())
            }
            _ => 0,
        }
    }

    /// How many of these lie in the page within which it ends; 0 in segments before that.
    fn bytes_in_last_page(&self, name: SegmentName, size: SegmentSize) -> u64 {
        match self.bytes_in(name, size) {
            0 => 0,
            _ if SegmentName::holding(self.timeline, Lsn::new(self.stop.get() - 1), size) != name => 0,
            bytes => (bytes - 1) % WAL_PAGE_BYTES as u64 + 1,
        }
    }
}

/// SHA-256 of what a backup needs of a segment, and of all of it.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// Of what it needs, without what is in `last`.
    pub(super) needed: [u8; 32],
    /// What it needs of the page within which it ends, up to the zeros of what was not written yet.
    pub(super) last: Vec<u8>,
    pub(super) all: [u8; 32],
}

impl Sums {
    /// Whether the other holds the same, or less of it: `pg_receivewal` leaves a page that it had received in part.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.needed == other.needed && self.last.starts_with(&other.last)
    }
}

/// One that has the length of a segment and begins with pages of it.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) at: At,
    /// Its name in the WAL directory; `None` of what lies in the backup.
    pub(super) given: Option<WalFileName>,
    pub(super) extent: Extent,
    pub(super) sums: Sums,
}

impl Copy {
    /// Whether it is all of the segment. What is called a partial may have ended with its timeline.
    pub(super) fn is_complete(&self) -> bool {
        self.extent.rest == Rest::Complete && !matches!(self.given, Some(WalFileName::Partial(_)))
    }
}

/// All copies of one segment; of those that are none, what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    pub(super) good: Vec<Copy>,
    pub(super) bad: Vec<Bad>,
}

/// A copy that is none.
#[derive(Clone, Debug)]
pub(super) struct Bad {
    pub(super) place: PathBuf,
    pub(super) why: String,
    /// Whether it lies in the WAL directory.
    pub(super) is_given: bool,
}

impl Copies {
    fn given(&self) -> impl Iterator<Item = &Copy> {
        self.good.iter().filter(|copy| copy.given.is_some() && copy.extent.rest != Rest::Damaged)
    }

    /// The complete copy in the WAL directory, or two that differ.
    pub(super) fn complete_given(&self) -> Result<Option<&Copy>, (&Copy, &Copy)> {
        let mut complete = self.given().filter(|copy| copy.is_complete());
        let Some(first) = complete.next() else { return Ok(None) };
        match complete.find(|other| other.sums.all != first.sums.all) {
            Some(other) => Err((first, other)),
            None => Ok(Some(first)),
        }
    }

    /// That with most WAL in it among those that were never finished; of equal ones the first.
    pub(super) fn longest_given(&self) -> Option<&Copy> {
        self.given().reduce(|best, copy| if copy.extent.written > best.extent.written { copy } else { best })
    }

    /// What the WAL directory has of it that is no good.
    pub(super) fn wrong_given(&self, place: &Path) -> impl Iterator<Item = Bad> {
        let damaged =
            self.good.iter().filter(|copy| copy.extent.rest == Rest::Damaged).map(|copy| copy.shortfall(place));
        damaged.chain(self.bad.iter().cloned()).filter(|bad| bad.is_given)
    }

    /// Why none will do.
    pub(super) fn wrong(&self, place: &Path) -> Option<Bad> {
        self.good.first().map(|copy| copy.shortfall(place)).or_else(|| self.bad.first().cloned())
    }
}

impl Copy {
    /// What keeps it from being all of the segment.
    fn shortfall(&self, place: &Path) -> Bad {
        let Extent { written, rest, .. } = self.extent;
        let what = match rest {
            Rest::Damaged => "is damaged, and good ones follow",
            Rest::Unwritten | Rest::Complete => "and all behind it are no WAL of it",
        };
        let place = match &self.at {
            At::File(path) | At::Tar(path) => path.clone(),
            At::Base => place.to_owned(),
        };
        Bad { place, why: format!("its page at byte {written} {what}"), is_given: self.given.is_some() }
    }
}

/// What came of reading a copy.
pub(super) enum Judged {
    Whole(Extent, Sums),
    Bad(String),
}

/// Reads all of a copy. `whose` may refuse it for what its header says.
pub(super) fn judge(
    place: &Path,
    name: SegmentName,
    range: &SegmentRange,
    content: &mut dyn Read,
    whose: impl FnOnce(&SegmentHeader) -> Result<(), Fault>,
) -> Result<Judged, Fault> {
    match read(place, name, range, content, whose) {
        Ok(judged) => Ok(judged),
        // That it cannot be read to its end is damage of this copy; that the disk fails is not.
        Err(Stop::Content(Fault::Refused { why, .. })) => Ok(Judged::Bad(why)),
        Err(Stop::Content(fault) | Stop::Whose(fault)) => Err(fault),
    }
}

/// Why no more of a copy is read.
enum Stop {
    Content(Fault),
    Whose(Fault),
}

fn read(
    place: &Path,
    name: SegmentName,
    range: &SegmentRange,
    content: &mut dyn Read,
    whose: impl FnOnce(&SegmentHeader) -> Result<(), Fault>,
) -> Result<Judged, Stop> {
    let failed = |error| Stop::Content(io_fault(place)(error));
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    (&mut *content).take(SegmentHeader::BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
    let header = SegmentHeader::read(&piece).and_then(|header| {
        header.expect(name, header.segment_bytes.bytes())?;
        Ok(header)
    });
    let header = match header {
        Ok(header) => header,
        Err(error) => return Ok(Judged::Bad(error.to_string())),
    };
    whose(&header).map_err(Stop::Whose)?;
    let size = header.segment_bytes;
    let mut scanner = ExtentScanner::new(name.timeline, header.start);
    let (mut needed, mut all) = (Needed::new(range, name, size), Context::new(&SHA256));
    let mut content = content.take(size.bytes() + 1 - piece.len() as u64);
    while !piece.is_empty() {
        needed.feed(&piece);
        all.update(&piece);
        scanner.feed(&piece);
        piece.clear();
        (&mut content).take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
    }
    let extent = scanner.finish();
    if extent.bytes != size.bytes() {
        let more = if extent.bytes > size.bytes() { "more than " } else { "" };
        let bytes = extent.bytes.min(size.bytes());
        return Ok(Judged::Bad(format!("it has {more}{bytes} bytes, its header says {}", size.bytes())));
    }
    let all = sum(all);
    let Needed { digest, last, .. } = needed;
    let written = last.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    Ok(Judged::Whole(extent, Sums { needed: sum(digest), last: last[..written].to_vec(), all }))
}

/// What a backup needs of a segment, as it is read.
struct Needed {
    digest: Context,
    /// Bytes before the last page that are still to come.
    before: u64,
    last: Vec<u8>,
    /// Bytes of the last page that are still to come.
    left: u64,
}

impl Needed {
    fn new(range: &SegmentRange, name: SegmentName, size: SegmentSize) -> Self {
        let left = range.bytes_in_last_page(name, size);
        Self { digest: Context::new(&SHA256), before: range.bytes_in(name, size) - left, last: Vec::new(), left }
    }

    fn feed(&mut self, piece: &[u8]) {
        let (before, rest) = piece.split_at(fitting(self.before, piece));
        let last = &rest[..fitting(self.left, rest)];
        self.digest.update(before);
        self.last.extend_from_slice(last);
        self.before -= before.len() as u64;
        self.left -= last.len() as u64;
    }
}

fn fitting(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}

fn sum(context: Context) -> [u8; 32] {
    context.finish().as_ref().try_into().unwrap_or_default()
}
