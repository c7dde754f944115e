//! Copies under other data keys: which of them stands for its original.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::format::BackupId;
use crate::format::manifest::CopyOf;
use crate::retention::{BackupFact, Verified};

/// A copy that the root writer vouches for.
#[derive(Debug)]
pub(super) struct Copied {
    /// The copy.
    pub(super) copy: BackupId,
    /// When it arrived itself.
    pub(super) arrived_at: Timestamp,
    /// What it says of its original.
    pub(super) of: CopyOf,
}

/// A copy counts as old as its original. Of all copies of one original the newest whole one takes the place of the original
/// and of the other copies: it was made under the keys that counted last, and one moment must not count twice.
pub(super) fn replace(backups: &mut [BackupFact], copies: &[Copied]) {
    let parents: BTreeMap<&BackupId, &BackupId> =
        copies.iter().map(|copied| (&copied.copy, &copied.of.backup)).collect();
    let mut newest: BTreeMap<BackupId, (Timestamp, &BackupFact)> = BTreeMap::new();
    for copied in copies {
        let first = first_original(&parents, &copied.copy);
        let Some(fact) = backups.iter_mut().find(|fact| fact.id == copied.copy) else { continue };
        fact.arrived_at = fact.arrived_at.min(copied.of.arrived_at);
        fact.copy_of = Some(first.clone());
    }
    for copied in copies {
        let Some(fact) = backups.iter().find(|fact| fact.id == copied.copy) else { continue };
        let Some(first) = fact.copy_of.clone().filter(|_| fact.verified == Verified::Yes) else { continue };
        let rank = |at: Timestamp, fact: &BackupFact| (at, fact.id.clone());
        match newest.get(&first) {
            Some((at, known)) if rank(*at, known) >= rank(copied.arrived_at, fact) => {}
            _ => drop(newest.insert(first, (copied.arrived_at, fact))),
        }
    }
    let newest: BTreeMap<_, _> =
        newest.into_iter().map(|(first, (_, copy))| (first, (copy.kind, copy.id.clone()))).collect();
    for fact in backups.iter_mut() {
        let first = fact.copy_of.as_ref().unwrap_or(&fact.id);
        let copy = newest.get(first).filter(|(kind, copy)| *kind == fact.kind && *copy != fact.id);
        fact.replaced_by = copy.map(|(_, copy)| copy.clone());
    }
}

/// What lies at the end of copies of copies; in a ring, something in it.
fn first_original<'a>(parents: &BTreeMap<&'a BackupId, &'a BackupId>, copy: &'a BackupId) -> &'a BackupId {
    let (mut first, mut steps) = (copy, 0);
    while let Some(parent) = parents.get(first).filter(|_| steps <= parents.len()) {
        (first, steps) = (*parent, steps + 1);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::Kind;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn id(number: u8) -> BackupId {
        BackupId::new(at(0), [0, 0, 0, number])
    }

    fn fact(number: u8) -> BackupFact {
        BackupFact {
            id: id(number),
            kind: Kind::Dump,
            arrived_at: at(i64::from(number)),
            started_at: at(0),
            verified: Verified::Yes,
            base: None,
            keys: Vec::new(),
            copy_of: None,
            replaced_by: None,
            held: false,
            bytes: 1,
        }
    }

    fn copied(copy: u8, of: u8, second: i64) -> Copied {
        Copied { copy: id(copy), arrived_at: at(second), of: CopyOf { backup: id(of), arrived_at: at(1) } }
    }

    fn replaced(mut facts: Vec<BackupFact>, copies: &[Copied]) -> Vec<Option<BackupId>> {
        replace(&mut facts, copies);
        facts.into_iter().map(|fact| fact.replaced_by).collect()
    }

    /// Two runs at the same time, or one before and one after a rotation.
    #[test]
    fn of_two_copies_one_counts_whatever_the_order_they_are_found_in() {
        let facts = || vec![fact(1), fact(2), fact(3), fact(9)];
        let expected = vec![Some(id(2)), None, Some(id(2)), None];
        for copies in [[copied(2, 1, 8), copied(3, 1, 7)], [copied(3, 1, 7), copied(2, 1, 8)]] {
            assert_eq!(replaced(facts(), &copies), expected);
        }
        let tied = [copied(2, 1, 8), copied(3, 1, 8)];
        assert_eq!(replaced(facts(), &tied), [Some(id(3)), Some(id(3)), None, None]);
    }

    #[test]
    fn a_copy_that_is_not_whole_takes_nobodys_place() {
        let mut facts = vec![fact(1), fact(2), fact(3)];
        facts[2].verified = Verified::No("a chunk is missing".into());
        let copies = [copied(2, 1, 7), copied(3, 1, 8)];
        assert_eq!(replaced(facts.clone(), &copies), [Some(id(2)), None, Some(id(2))]);
        facts[1].verified = Verified::No("a chunk is missing".into());
        assert_eq!(replaced(facts.clone(), &copies), [None, None, None]);
        (facts[1].verified, facts[1].kind) = (Verified::Yes, Kind::Base);
        assert_eq!(replaced(facts, &copies)[0], None, "a base is no copy of a dump");
    }

    #[test]
    fn copies_of_copies_stand_for_the_first_original() {
        let mut facts = vec![fact(1), fact(2), fact(3)];
        replace(&mut facts, &[copied(3, 2, 8), copied(2, 1, 7)]);
        let told: Vec<_> = facts.iter().map(|fact| (fact.copy_of.clone(), fact.replaced_by.clone())).collect();
        assert_eq!(told, [(None, Some(id(3))), (Some(id(1)), Some(id(3))), (Some(id(1)), None)]);
        assert!(facts.iter().all(|fact| fact.arrived_at == at(1)), "all as old as the first");
        // Where the one between is gone, what is left leads to what is left.
        assert_eq!(replaced(vec![fact(1), fact(3)], &[copied(3, 1, 8)]), [Some(id(3)), None]);
        let ring = replaced(vec![fact(1), fact(2)], &[copied(1, 2, 5), copied(2, 1, 6)]);
        assert!(ring.contains(&None), "{ring:?}");
    }
}
