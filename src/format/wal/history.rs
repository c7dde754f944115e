//! Timeline history files (PostgreSQL source, `src/backend/access/transam/timeline.c`).

use serde::{Deserialize, Serialize};

use crate::format::{Error, Lsn, Result, Timeline};
use crate::limits::{TIMELINES_MAX, WAL_FILE_BYTES_MAX};

/// Which timelines led to one timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The timeline.
    pub timeline: Timeline,
    /// Its ancestors, oldest first; the last one is its parent.
    pub ancestors: Vec<HistoryEntry>,
}

/// One ancestor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryEntry {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it was left for the next one.
    pub switch: Lsn,
}

impl History {
    /// Reads the file of `timeline`: lines of ancestor, switch position and reason, apart by white space; `#` begins a comment.
    pub fn parse(timeline: Timeline, text: &[u8]) -> Result<Self> {
        let malformed = |why: String| Error::Malformed { what: "timeline history", why };
        if text.len() > WAL_FILE_BYTES_MAX {
            return Err(Error::Absurd {
                what: "timeline history",
                claimed: text.len() as u64,
                max: WAL_FILE_BYTES_MAX as u64,
            });
        }
        let mut ancestors: Vec<HistoryEntry> = Vec::new();
        // The reason is free text in whatever encoding.
        for line in String::from_utf8_lossy(text).lines() {
            let mut fields = line.split_whitespace();
            let Some(number) = fields.next().filter(|first| !first.starts_with('#')) else { continue };
            let number = number.parse().map_err(|_| malformed(format!("{number:?} is not a timeline")))?;
            let switch = fields.next().ok_or_else(|| malformed("a line names no position".into()))?;
            let entry = HistoryEntry { timeline: Timeline::new(number)?, switch: switch.parse()? };
            if ancestors.len() >= TIMELINES_MAX {
                return Err(malformed(format!("it has more than {TIMELINES_MAX} lines")));
            }
            ancestors.push(entry);
        }
        let history = Self { timeline, ancestors };
        history.check()?;
        Ok(history)
    }

    /// Refuses ancestors that are not in order.
    pub(super) fn check(&self) -> Result<()> {
        let malformed = |why: String| Err(Error::Malformed { what: "timeline history", why });
        let in_order = |pair: &[HistoryEntry]| pair[0].timeline < pair[1].timeline && pair[0].switch <= pair[1].switch;
        if !self.ancestors.windows(2).all(in_order) {
            return malformed("its lines are not in order".into());
        }
        match self.parent() {
            Some(parent) if parent.timeline >= self.timeline => {
                malformed(format!("timeline {} cannot lead to {}", parent.timeline, self.timeline))
            }
            _ => Ok(()),
        }
    }

    /// The timeline it branched off, and where.
    pub fn parent(&self) -> Option<HistoryEntry> {
        self.ancestors.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    #[test]
    fn histories_as_postgresql_writes_them() {
        let text =
            b"1\t0/2000000\tno recovery target specified\n\n# note\n2\t0/3000060\tbefore 2026-11-24 03:15:00+00\n";
        let history = History::parse(timeline(3), text).unwrap();
        assert_eq!(history.ancestors.len(), 2);
        assert_eq!(history.parent(), Some(HistoryEntry { timeline: timeline(2), switch: Lsn::new(0x300_0060) }));
        assert_eq!(History::parse(timeline(2), b"").unwrap().parent(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &b"1"[..],
            b"x 0/1 r",
            b"0 0/1 r",
            b"1 01 r",
            b"3 0/1 itself",
            b"2 0/1 r\n1 0/2 r",
            b"1 0/2 r\n2 0/1 r",
            b"1 0/1 r\n1 0/1 r",
        ] {
            assert!(History::parse(timeline(3), bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(History::parse(timeline(3), &vec![b'\n'; WAL_FILE_BYTES_MAX + 1]).is_err());
    }
}
