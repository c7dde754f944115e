//! Versions of which a listing does not tell whether they can be read.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::store::{Entry, VersionOf};

/// A version that may be frozen.
#[derive(Clone, Debug)]
pub(super) struct Doubtful {
    pub(super) at: VersionOf,
    pub(super) arrived: Timestamp,
}

impl Doubtful {
    pub(super) fn of(entry: &Entry) -> Self {
        let at = VersionOf { key: entry.key.clone(), version: entry.version.clone() };
        Self { at, arrived: entry.last_modified }
    }
}

/// The earliest of them, as many as are kept in mind: what is planted comes after what was there.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// By arrival, and by when they were listed.
    kept: BTreeMap<(Timestamp, u64), VersionOf>,
    listed: u64,
    /// All that came before this is kept; `None`: all.
    pub(super) cut: Option<Timestamp>,
}

impl Doubts {
    /// One more, of which at `most` so many are kept.
    pub(super) fn push(&mut self, doubt: Doubtful, most: usize) {
        self.kept.insert((doubt.arrived, self.listed), doubt.at);
        self.listed += 1;
        if self.kept.len() > most
            && let Some(((arrived, _), _)) = self.kept.pop_last()
        {
            self.cut = Some(self.cut.map_or(arrived, |cut| cut.min(arrived)));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// They were asked about. Where the cut was is still known.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    /// As they were listed.
    pub(super) fn in_order(&self) -> Vec<Doubtful> {
        let mut kept: Vec<_> = self.kept.iter().collect();
        kept.sort_by_key(|((_, nth), _)| *nth);
        kept.into_iter().map(|((arrived, _), at)| Doubtful { at: at.clone(), arrived: *arrived }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ObjectKey, VersionId};

    /// PAINS B14: who plants much loses what was planted.
    #[test]
    fn b14_what_came_last_is_let_go_first() {
        let (mut doubts, at) = (Doubts::default(), |second| Timestamp::from_second(second).unwrap());
        for (key, second) in [("c", 3), ("a", 2), ("d", 4), ("b", 1)] {
            let named = VersionOf { key: ObjectKey::new(key), version: VersionId::null() };
            doubts.push(Doubtful { at: named, arrived: at(second) }, 2);
        }
        let kept: Vec<String> = doubts.in_order().iter().map(|doubt| doubt.at.key.to_string()).collect();
        assert_eq!((kept, doubts.cut), (vec!["a".to_owned(), "b".to_owned()], Some(at(3))));
    }
}
