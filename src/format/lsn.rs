//! Positions in the write-ahead log: LSN, timeline, segment, as PostgreSQL counts and spells them
//! (PostgreSQL docs 28.6 "WAL Internals"; names as in `src/include/access/xlog_internal.h`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// A byte position in the WAL. Reads and prints as PostgreSQL does: `0/16B3748`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Lsn(u64);

impl Lsn {
    /// Position `bytes` from the beginning of the WAL.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes from the beginning of the WAL.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether it is PostgreSQL's `InvalidXLogRecPtr`, `0/0`.
    pub const fn is_invalid(self) -> bool {
        self.0 == 0
    }

    /// The position `bytes` further on; stops at the end of the 64-bit range.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// Bytes from `earlier` to here; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The last multiple of `size` at or before this position; `size` is a power of two.
    #[must_use]
    pub const fn floor(self, size: u64) -> Self {
        Self(self.0 & !(size - 1))
    }

    /// As it stands in object names: 16 upper-case hexadecimal digits, which sort as the positions do.
    pub fn name(self) -> String {
        format!("{:016X}", self.0)
    }

    /// Reads [`Lsn::name`].
    pub fn from_name(text: &str) -> Option<Self> {
        upper_hex(text, 16).map(Self)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let half = |digits: &str| {
            let good = (1..=8).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
            good.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        let lsn = text.split_once('/').and_then(|(high, low)| Some(Self(half(high)? << 32 | half(low)?)));
        lsn.ok_or_else(|| Error::Malformed { what: "LSN", why: format!("{text:?} is not of the form 0/16B3748") })
    }
}

impl TryFrom<String> for Lsn {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

/// Number of a timeline, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct Timeline(u32);

impl Timeline {
    /// The timeline `number`; 0 is none.
    pub fn new(number: u32) -> Result<Self> {
        if number == 0 {
            return Err(Error::Malformed { what: "timeline", why: "0 is not a timeline".into() });
        }
        Ok(Self(number))
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// As it stands in file and object names: 8 upper-case hexadecimal digits.
    pub fn name(self) -> String {
        format!("{:08X}", self.0)
    }

    /// Reads [`Timeline::name`].
    pub fn from_name(text: &str) -> Option<Self> {
        upper_hex(text, 8).and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0).map(Self)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u32> for Timeline {
    type Error = Error;
    fn try_from(number: u32) -> Result<Self> {
        Self::new(number)
    }
}

impl From<Timeline> for u32 {
    fn from(timeline: Timeline) -> Self {
        timeline.0
    }
}

/// Size of a WAL segment in bytes: a power of two from 1 MiB to 1 GiB (`initdb --wal-segsize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct SegmentSize(u32);

impl SegmentSize {
    /// PostgreSQL's default, 16 MiB.
    pub const DEFAULT: Self = Self(16 << 20);

    /// A segment of `bytes`.
    pub fn new(bytes: u32) -> Result<Self> {
        if bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes) {
            return Ok(Self(bytes));
        }
        let why = format!("{bytes} is not a power of two from 1 MiB to 1 GiB");
        Err(Error::Malformed { what: "WAL segment size", why })
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }
}

impl TryFrom<u32> for SegmentSize {
    type Error = Error;
    fn try_from(bytes: u32) -> Result<Self> {
        Self::new(bytes)
    }
}

impl From<SegmentSize> for u32 {
    fn from(size: SegmentSize) -> Self {
        size.0
    }
}

/// What a file of `pg_wal` is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WalFileName {
    /// A segment: `000000010000000A000000FF`.
    Segment(SegmentName),
    /// The unfinished last segment of a timeline that ended: `….partial`.
    Partial(SegmentName),
    /// A timeline's history: `00000002.history`.
    History(Timeline),
    /// Notes of a base backup: `000000010000000A000000FF.00000028.backup`. Recovery does not need it.
    BackupHistory(SegmentName, u32),
}

/// Name of a segment. What position it has depends on the segment size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentName {
    /// Its timeline.
    pub timeline: Timeline,
    log: u32,
    segment: u32,
}

impl SegmentName {
    /// The segment of `timeline` that holds `at`.
    pub fn holding(timeline: Timeline, at: Lsn, size: SegmentSize) -> Self {
        let number = at.get() / size.bytes();
        let per_log = (1 << 32) / size.bytes();
        let part = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self { timeline, log: part(number / per_log), segment: part(number % per_log) }
    }

    /// Where the segment starts; `None` if no segment of this size has that name.
    pub fn start(self, size: SegmentSize) -> Option<Lsn> {
        let per_log = (1 << 32) / size.bytes();
        let inside = u64::from(self.segment) < per_log;
        inside.then(|| Lsn((u64::from(self.log) << 32) | (u64::from(self.segment) * size.bytes())))
    }

    fn parse(text: &str) -> Option<Self> {
        let part = |range: std::ops::Range<usize>| upper_hex(text.get(range)?, 8).and_then(|n| u32::try_from(n).ok());
        let timeline = Timeline::from_name(text.get(..8)?)?;
        (text.len() == 24).then_some(())?;
        Some(Self { timeline, log: part(8..16)?, segment: part(16..24)? })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:08X}{:08X}", self.timeline.name(), self.log, self.segment)
    }
}

impl fmt::Display for WalFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::History(timeline) => write!(f, "{}.history", timeline.name()),
            Self::BackupHistory(segment, offset) => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}

impl FromStr for WalFileName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            Some(match text.split_once('.') {
                None => Self::Segment(SegmentName::parse(text)?),
                Some((timeline, "history")) => Self::History(Timeline::from_name(timeline)?),
                Some((segment, "partial")) => Self::Partial(SegmentName::parse(segment)?),
                Some((segment, rest)) => {
                    let offset = upper_hex(rest.strip_suffix(".backup")?, 8)?;
                    Self::BackupHistory(SegmentName::parse(segment)?, u32::try_from(offset).ok()?)
                }
            })
        };
        let why = || format!("{text:?} is neither a segment, a history file, a backup history file nor a .partial");
        read().ok_or_else(|| Error::Malformed { what: "WAL file name", why: why() })
    }
}

/// Exactly `digits` upper-case hexadecimal digits, so that one value has one spelling.
fn upper_hex(text: &str, digits: usize) -> Option<u64> {
    let good = text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'A'..=b'F'));
    good.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_and_print_as_in_postgresql() {
        for (text, value) in [("0/16B3748", 0x16B_3748), ("A/FF000000", 0xA_FF00_0000), ("0/0", 0)] {
            let lsn: Lsn = text.parse().unwrap();
            assert_eq!((lsn.get(), lsn.to_string().as_str()), (value, text));
            assert_eq!(Lsn::from_name(&lsn.name()), Some(lsn));
        }
        for bad in ["", "0", "/", "0/", "/0", "0/123456789", "-1/0", "+0/1", "0/1 ", "G/0"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn segments_of_every_size() {
        let timeline = Timeline::new(1).unwrap();
        for shift in 20..=30 {
            let size = SegmentSize::new(1 << shift).unwrap();
            for at in [0, 1, size.bytes() - 1, size.bytes(), 0xFFFF_FFFF, 0x1_0000_0000, 0xA_1234_5678] {
                let name = SegmentName::holding(timeline, Lsn::new(at), size);
                assert_eq!(name.start(size), Some(Lsn::new(at).floor(size.bytes())), "{at:X} in {}", size.bytes());
                assert_eq!(name.to_string().parse::<WalFileName>().unwrap(), WalFileName::Segment(name));
            }
        }
        let last = SegmentName::holding(timeline, Lsn::new(0xFFFF_FFFF), SegmentSize::DEFAULT);
        assert_eq!(last.to_string(), "0000000100000000000000FF");
        assert_eq!(last.start(SegmentSize::new(64 << 20).unwrap()), None, "no such segment of 64 MiB");
        for bad in [0, 1, 1 << 19, 3 << 20] {
            assert!(SegmentSize::new(bad).is_err());
        }
    }

    #[test]
    fn names_of_files() {
        for good in [
            "000000010000000A000000FF",
            "00000002.history",
            "000000010000000A000000FF.partial",
            "000000010000000A000000FF.00000028.backup",
        ] {
            assert_eq!(good.parse::<WalFileName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "00000000.history",
            "0000000a.history",
            "000000010000000A000000F",
            "000000000000000A000000FF",
            "000000010000000A000000FF.backup",
            "../../etc/passwd",
            "RECOVERYXLOG",
        ] {
            assert!(bad.parse::<WalFileName>().is_err(), "{bad}");
        }
    }
}
