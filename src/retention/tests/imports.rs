//! Imported bases are as old as they say themselves, and never younger than their arrival (PAINS A16).

use jiff::SignedDuration;

use super::world::*;
use crate::retention::{BackupFact, Plan, Policy, plan};

/// A base that was taken on a day and arrived on another.
fn imported(taken: i64, on: i64, at: u64) -> BackupFact {
    let base = base(taken, 1, at);
    BackupFact { base: base.base, ..super::world::base(on, 1, at) }
}

fn rule(plan: &Plan, fact: &BackupFact) -> &'static str {
    short(&plan.backups.iter().find(|decision| decision.backup == fact.id).unwrap().verdict).0
}

#[test]
fn i11_an_import_takes_no_place_of_a_living_base() {
    let policy = Policy { keep_last_bases: 2, ..policy() };
    let stored = || vec![wal(1, &[(5, 60)], 41, &[])];
    let (first, second) = (base(38, 1, 40), base(40, 1, 50));
    let old = [imported(3, 41, 10), imported(4, 42, 11), imported(5, 43, 12)];
    for now in [day(44), day(300)] {
        let living = vec![first.clone(), second.clone()];
        let before = plan(&facts(living.clone(), stored()), &policy, now).unwrap();
        let all: Vec<_> = living.into_iter().chain(old.clone()).collect();
        let after = plan(&facts(all, stored()), &policy, now).unwrap();
        let rules = |plan: &Plan| [rule(plan, &first), rule(plan, &second)];
        assert_eq!((rules(&after), rules(&before)), (["keep-last", "window"], ["keep-last", "window"]));
        let behind = |plan| wal_verdicts(plan).into_iter().filter(|(_, start, ..)| *start >= 50).collect::<Vec<_>>();
        assert_eq!(behind(&after), behind(&before));
        assert!(old.iter().all(|old| rule(&after, old) != "keep-last"), "{after:#?}");
    }
    // Alone they are the newest there is.
    let made = plan(&facts(old.to_vec(), stored()), &policy, day(300)).unwrap();
    assert_eq!(old.each_ref().map(|old| rule(&made, old)), ["-", "keep-last", "window"]);
}

#[test]
fn i11_an_import_is_the_first_only_of_a_period_that_had_none() {
    let policy = Policy { window: days(1), daily: 60, ..policy() };
    let (living, newest) = (base(30, 1, 40), base(50, 1, 50));
    // Of the same day, but it came later.
    let mut same = imported(30, 51, 20);
    same.base.as_mut().unwrap().ended_at -= SignedDuration::from_hours(5);
    let lonely = imported(20, 52, 10);
    let all = vec![living.clone(), newest, same.clone(), lonely.clone()];
    let made = planned(&all, &policy, day(53)).unwrap();
    assert_eq!([&living, &same, &lonely].map(|fact| rule(&made, fact)), ["daily", "-", "daily"]);
}

#[test]
fn what_says_that_it_is_younger_than_its_arrival_is_not() {
    let policy = Policy { keep_last_bases: 1, ..policy() };
    let ahead = imported(90, 20, 10);
    let living = base(30, 1, 20);
    let made = planned(&[ahead.clone(), living.clone()], &policy, day(300)).unwrap();
    assert_eq!([&ahead, &living].map(|fact| rule(&made, fact)), ["-", "window"]);
}

/// A server whose clock is some hours behind does not make its bases old.
#[test]
fn a_clock_that_is_behind_makes_no_import() {
    let policy = Policy { keep_last_bases: 1, ..policy() };
    let (mut after, mut before) = (base(31, 1, 30), base(30, 1, 20));
    let hours = |hours| day(31) - SignedDuration::from_hours(hours);
    before.arrived_at = hours(1);
    let set = |fact: &mut BackupFact, at| {
        let range = fact.base.as_mut().unwrap();
        (range.begun_at, range.ended_at) = (at, at);
    };
    set(&mut before, hours(1));
    set(&mut after, hours(22));
    let made = planned(&[before.clone(), after.clone()], &policy, day(300)).unwrap();
    assert_eq!([&before, &after].map(|fact| rule(&made, fact)), ["-", "window"]);
}
