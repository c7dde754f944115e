//! Acknowledgements in any order, durability in order.

use std::collections::BTreeMap;

use crate::format::Lsn;

/// Everything before [`Window::durable`] is stored and locked; what lies further on is remembered until the hole before
/// it closes.
#[derive(Debug)]
pub(super) struct Window {
    durable: Lsn,
    ahead: BTreeMap<Lsn, Lsn>,
}

impl Window {
    /// Durable up to `durable`.
    pub(super) fn new(durable: Lsn) -> Self {
        Self { durable, ahead: BTreeMap::new() }
    }

    /// The store has acknowledged `start..end`. Ranges may overlap and repeat.
    pub(super) fn acknowledge(&mut self, start: Lsn, end: Lsn) {
        let kept = self.ahead.entry(start).or_insert(end);
        *kept = end.max(*kept);
        while let Some(first) = self.ahead.first_entry().filter(|first| *first.key() <= self.durable) {
            self.durable = self.durable.max(first.remove());
        }
    }

    /// End of what is durable without a hole.
    pub(super) fn durable(&self) -> Lsn {
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order and the overlaps: durable is exactly the contiguous beginning of the union.
        #[test]
        fn i08_durable_is_the_contiguous_beginning(ranges in prop::collection::vec((0_u64..200, 1_u64..20), 0..60)) {
            let mut window = Window::new(Lsn::new(10));
            let mut stored = [false; 256];
            stored[..10].fill(true);
            for (start, bytes) in ranges {
                window.acknowledge(Lsn::new(start), Lsn::new(start + bytes));
                stored[usize::try_from(start).unwrap()..usize::try_from(start + bytes).unwrap()].fill(true);
                let want = stored.iter().position(|stored| !stored).unwrap();
                prop_assert_eq!(window.durable(), Lsn::new(want as u64));
            }
        }
    }
}
