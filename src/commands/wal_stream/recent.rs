//! The last bytes received: a server that sends them again must send the same.

use crate::limits::WAL_OVERLAP_BYTES;

/// A window over the end of a stream.
#[derive(Debug, Default)]
pub(super) struct Recent(Vec<u8>);

impl Recent {
    /// How many bytes are remembered.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// What follows.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(WAL_OVERLAP_BYTES)..];
        let old = self.0.len().min(WAL_OVERLAP_BYTES - new.len());
        self.0.drain(..self.0.len() - old);
        self.0.extend_from_slice(new);
    }

    /// Whether `again`, which begins so many bytes before the end, is what was there.
    pub(super) fn agrees(&self, before: u64, again: &[u8]) -> bool {
        let from = usize::try_from(before).ok().and_then(|before| self.0.len().checked_sub(before));
        from.and_then(|from| self.0.get(from..from + again.len())) == Some(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_remembered() {
        let all: Vec<u8> = (0..3 * WAL_OVERLAP_BYTES).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (mut recent, mut at) = (Recent::default(), 0);
        for bytes in [1, 5000, WAL_OVERLAP_BYTES - 7, 0, 8, WAL_OVERLAP_BYTES + 9, 3] {
            recent.add(&all[at..at + bytes]);
            at += bytes;
            assert_eq!(recent.bytes(), at.min(WAL_OVERLAP_BYTES));
            let before = recent.bytes();
            assert!(recent.agrees(before as u64, &all[at - before..at]));
            assert!(before < 3 || recent.agrees(3, &all[at - 3..at - 1]));
            assert!(!recent.agrees(before as u64 + 1, &all[at - before..at]), "from before what is remembered");
            assert!(!recent.agrees(1, &[all[at - 1] ^ 1]));
        }
    }
}
