//! Backups whose place a copy under other data keys has taken: what was promised for their sake is still kept (invariant I11).

use super::world::*;
use crate::format::BackupId;
use crate::retention::{BackupFact, Policy, Reason, Verdict, plan};

/// A base of a day and its copy, which is equally old.
fn copied(on: i64, at: u64) -> [BackupFact; 2] {
    let mut original = base(on, 1, at);
    let mut copy = BackupFact { id: id(day(on), 5000), ..original.clone() };
    copy.copy_of = Some(original.id.clone());
    original.replaced_by = Some(copy.id.clone());
    [original, copy]
}

fn verdict(plan: &crate::retention::Plan, id: &BackupId) -> Verdict {
    plan.backups.iter().find(|decision| decision.backup == *id).unwrap().verdict.clone()
}

/// PAINS F2, B5: the hold lies on the original, and its WAL reaches up to the next base, which is not its own copy.
#[test]
fn i11_a_held_base_that_was_copied_keeps_its_wal() {
    let stored = || vec![wal(1, &[(5, 60)], 45, &[])];
    let mut alone = base(0, 1, 10);
    alone.held = true;
    let before = plan(&facts(vec![alone, base(10, 1, 20), base(40, 1, 50)], stored()), &policy(), day(45)).unwrap();
    let held = |plan: &crate::retention::Plan| {
        let all = wal_verdicts(plan).into_iter();
        all.filter(|(_, _, _, rule, _)| *rule == "hold").map(|(_, start, end, ..)| (start, end)).collect::<Vec<_>>()
    };
    assert_eq!(held(&before), [(10, 21)]);
    for both in [false, true] {
        let [mut original, mut copy] = copied(0, 10);
        (original.held, copy.held) = (true, both);
        let [next, next_copy] = copied(10, 20);
        let backups =
            vec![original.clone(), copy, next, BackupFact { id: id(day(10), 5001), ..next_copy }, base(40, 1, 50)];
        let after = plan(&facts(backups, stored()), &policy(), day(45)).unwrap();
        assert_eq!(held(&after), [(10, 21)], "held copy: {both}");
        assert_eq!(*verdict(&after, &original.id).why(), Reason::Hold);
    }
    // The original stands for nothing else: no window, no WAL that follows the newest base.
    let [mut original, copy] = copied(40, 50);
    original.held = true;
    for order in [[original.clone(), copy.clone()], [copy.clone(), original.clone()]] {
        let made = plan(&facts(order.to_vec(), stored()), &policy(), day(45)).unwrap();
        assert_eq!(verdict(&made, &copy.id).why().rule(), "window");
        assert!(!made.backups.iter().find(|d| d.backup == copy.id).unwrap().own_end_only);
        assert_eq!(verdict(&made, &original.id).why().rule(), "hold");
    }
}

/// The newest base is the copy, although its original is as old and kept by a mark: the WAL behind it stays.
#[test]
fn i11_the_wal_of_the_newest_base_stays_when_its_original_is_marked() {
    let [original, copy] = copied(0, 10);
    // Whatever ids they have.
    for id in [id(day(0), 1), id(day(0), 9000)] {
        let copy = BackupFact { id: id.clone(), ..copy.clone() };
        let original = BackupFact { replaced_by: Some(id), ..original.clone() };
        // All of it is older than the window.
        let mut policy = Policy { keep_last_bases: 1, ..policy() };
        policy.keep.insert(original.id.clone());
        let made = plan(&facts(vec![original, copy], vec![wal(1, &[(5, 20)], 3, &[])]), &policy, day(100)).unwrap();
        let kept: Vec<_> = wal_verdicts(&made).into_iter().filter(|(.., until)| until.is_some()).collect();
        assert_eq!(kept.iter().map(|(_, start, end, ..)| (*start, *end)).collect::<Vec<_>>(), [(10, 20)], "{kept:?}");
    }
}

/// A mark names the original, which is gone one day: the copy is kept for it.
#[test]
fn a_copy_of_what_is_marked_is_kept_like_it() {
    let mut original = dump(0);
    let mut copy = dump_at(day(0), 500);
    copy.copy_of = Some(original.id.clone());
    original.replaced_by = Some(copy.id.clone());
    let mut policy = policy();
    policy.keep.insert(original.id.clone());
    for backups in [vec![original.clone(), copy.clone(), dump(90)], vec![copy.clone(), dump(90)]] {
        let made = planned(&backups, &policy, day(100)).unwrap();
        let kept = verdict(&made, &copy.id);
        assert_eq!((short(&kept).0, kept.why()), ("keep", &Reason::MarkedOriginal(original.id.clone())));
    }
    // Only the copy that counts inherits it.
    let mut older = dump_at(day(0), 400);
    (older.copy_of, older.replaced_by) = (Some(original.id.clone()), Some(copy.id.clone()));
    let made = planned(&[older.clone(), copy, dump(90)], &policy, day(100)).unwrap();
    assert!(verdict(&made, &older.id).expires());
}
