//! Each rule by itself, and what must not fool it.

use jiff::SignedDuration;

use super::world::*;
use crate::format::KeyId;
use crate::format::manifest::Kind;
use crate::retention::{Error, Item, Own, Policy, Reason, UnfinishedFact, UnreadFact, Verdict, Verified, plan};

#[test]
fn a_dump_is_kept_for_the_window_and_goes_when_it_is_over() {
    let dumps: Vec<_> = [0, 9, 10, 11, 19, 20].into_iter().map(dump).collect();
    let made = planned(&dumps, &policy(), day(20)).unwrap();
    let until = |on| Some(day(on));
    let open = Some(day(37));
    assert_eq!(
        verdicts(&made),
        [
            ("-", None),
            ("-", None),
            ("-", None), // its moment lies exactly at the edge
            ("window", until(21)),
            ("window", until(29)),
            ("min-redundancy", open),
        ]
    );
    assert_eq!(made.furthest, open);
    assert_eq!(*why(&made, 3), Reason::Window(days(10)));
    assert_eq!(made.backups[5].also.len(), 1, "and it lies in the window");
}

#[test]
fn the_newest_are_kept_however_old_they_are() {
    let dumps: Vec<_> = (0..5).map(dump).collect();
    let policy = Policy { keep_last_dumps: 3, ..policy() };
    let made = planned(&dumps, &policy, day(300)).unwrap();
    let open = Some(day(317));
    assert_eq!(
        verdicts(&made),
        [("-", None), ("-", None), ("keep-last", open), ("keep-last", open), ("keep-last", open)]
    );
    let more = Policy { keep_last_dumps: 1, min_redundancy: 2, ..policy };
    let told = verdicts(&planned(&dumps, &more, day(300)).unwrap());
    assert_eq!(told[2..], [("-", None), ("min-redundancy", open), ("keep-last", open)]);
}

#[test]
fn of_two_that_arrived_in_one_second_the_one_that_began_later_is_newer() {
    let policy = Policy { keep_last_dumps: 1, ..policy() };
    let (mut sooner, mut later) = (dump_at(day(0), 2), dump_at(day(0), 1));
    sooner.started_at -= SignedDuration::from_millis(600);
    later.started_at -= SignedDuration::from_millis(200);
    for dumps in [[sooner.clone(), later.clone()], [later, sooner]] {
        let made = planned(&dumps, &policy, day(300)).unwrap();
        assert_eq!(verdicts(&made), [("-", None), ("keep-last", Some(day(317)))]);
        assert_eq!(made.backups[1].backup, id(day(0), 1));
    }
}

/// PAINS B5.
#[test]
fn a_copy_under_other_keys_is_kept_for_what_its_original_was_kept_for() {
    for (old, mut copy) in [(dump(19), dump_at(day(19), 500)), (base(19, 1, 3), base(19, 1, 3))] {
        copy.id = id(day(19), 500);
        let policy = Policy { daily: 30, ..policy() };
        let before = planned(std::slice::from_ref(&old), &policy, day(20)).unwrap();
        let mut replaced = old.clone();
        replaced.replaced_by = Some(copy.id.clone());
        let after = planned(&[replaced.clone(), copy.clone()], &policy, day(20)).unwrap();
        let of = |id: &crate::format::BackupId| after.backups.iter().find(|d| d.backup == *id).unwrap();
        assert_eq!(of(&old.id).verdict, Verdict::Expire { why: Reason::Replaced(copy.id.clone()) });
        assert_eq!(short(&of(&copy.id).verdict), short(&before.backups[0].verdict));
        assert!(matches!(of(&copy.id).verdict, Verdict::Keep { .. }));
        // What a legal hold lies on stays all the same.
        replaced.held = true;
        let held = planned(&[replaced, copy], &policy, day(20)).unwrap();
        let verdict = &held.backups.iter().find(|d| d.backup == old.id).unwrap().verdict;
        assert_eq!(*verdict.why(), Reason::Hold);
    }
}

#[test]
fn what_has_no_end_is_never_locked_beyond_the_bound() {
    let policy = Policy { max: days(12), ..policy() };
    let made = planned(&[dump(0)], &policy, day(100)).unwrap();
    assert_eq!((made.open_until, made.furthest), (day(112), Some(day(112))), "not ten and seven days");
}

#[test]
fn rules_that_need_more_than_the_bound_are_refused_with_the_key_and_the_days() {
    for (refused, key, needed_days) in [
        (Policy { window: days(401), ..policy() }, "retention.window", 401),
        (Policy { daily: 401, ..policy() }, "retention.daily", 401),
        (Policy { weekly: 58, ..policy() }, "retention.weekly", 406),
        (Policy { monthly: 13, ..policy() }, "retention.monthly", 403),
        (Policy { yearly: 2, ..policy() }, "retention.yearly", 732),
    ] {
        let error = planned(&[dump(0)], &refused, day(1)).unwrap_err();
        assert_eq!(error, Error::BeyondMax { key, needed_days, max_days: 400 });
        assert!(error.hint().contains(&format!("retention.max = \"{needed_days}d\"")), "{}", error.hint());
        let raised = Policy { max: days(needed_days), ..refused };
        assert!(planned(&[dump(0)], &raised, day(1)).is_ok());
    }
}

#[test]
fn the_first_of_a_period_stands_for_it() {
    // Day 0 is Thursday, 1 January 2026.
    let dumps: Vec<_> = (0..70).map(dump).collect();
    let policy = Policy { window: days(1), monthly: 2, weekly: 2, ..policy() };
    let made = planned(&dumps, &policy, day(69)).unwrap();
    let kept: Vec<_> =
        made.backups.iter().filter(|d| !d.verdict.expires()).map(|d| d.verdict.why().to_string()).collect();
    assert_eq!(
        kept,
        [
            "monthly, first of 2026-02",
            "monthly, first of 2026-03",
            "weekly, first of 2026-W10",
            "weekly, first of 2026-W11",
            "minimum redundancy of 1 dumps",
        ]
    );
    let february = made.backups.iter().find(|d| d.arrived_at == day(31)).unwrap();
    assert_eq!(february.verdict.until(), Some("2026-04-01T00:00:00Z".parse().unwrap()));
    // Both kinds are counted for themselves.
    let mut both = dumps.clone();
    both.push(base(40, 1, 5));
    let made = planned(&both, &policy, day(69)).unwrap();
    let of_base = made.backups.iter().find(|d| d.kind == Kind::Base).unwrap();
    assert_eq!(of_base.verdict.why().to_string(), "monthly, first of 2026-02");
}

#[test]
fn who_stands_for_a_period_never_changes_once_it_is_there() {
    let policy = Policy { window: days(1), daily: 5, weekly: 3, monthly: 3, yearly: 1, ..policy() };
    let mut dumps = Vec::new();
    let mut promised = std::collections::BTreeMap::new();
    for on in 0..120 {
        dumps.push(dump(on));
        let made = planned(&dumps, &policy, day(on)).unwrap();
        for decision in &made.backups {
            let grounds = decision.also.iter().map(|ground| (&ground.why, ground.until));
            let first = decision.verdict.until().map(|until| (decision.verdict.why(), until));
            for (why, until) in grounds.chain(first) {
                if let Reason::First { period, name } = why {
                    let known = promised.entry((*period, name.clone())).or_insert((decision.backup.clone(), until));
                    assert_eq!(*known, (decision.backup.clone(), until), "{name}");
                }
            }
        }
        dumps.retain(|fact| made.backups.iter().any(|d| d.backup == fact.id && !d.verdict.expires()));
    }
    assert!(dumps.len() < 20 && promised.len() > 130, "{} {}", dumps.len(), promised.len());
}

#[test]
fn marks_and_holds_keep_for_as_long_as_they_last() {
    let mut backups = vec![dump(0), dump(1), dump(2), dump(50)];
    backups[0].held = true;
    let mut policy = policy();
    policy.keep.insert(backups[1].id.clone());
    let told = verdicts(&planned(&backups, &policy, day(60)).unwrap());
    let open = Some(day(77));
    assert_eq!(told, [("hold", open), ("keep", open), ("-", None), ("min-redundancy", open)]);
    backups[0].held = false;
    policy.keep.clear();
    let told = verdicts(&planned(&backups, &policy, day(60)).unwrap());
    assert_eq!(told[..2], [("-", None), ("-", None)]);
}

/// What is said of one kind counts for it alone, and what is not said follows the common rule.
#[test]
fn each_kind_has_rules_of_its_own() {
    let all = [dump(0), base(1, 1, 3), dump(35), base(36, 1, 5), dump(70), base(71, 1, 7)];
    let own = |window: Option<i64>, monthly| Own { window: window.map(days), monthly, ..Own::default() };
    let kept = |policy: &Policy| {
        let made = planned(&all, policy, day(75)).unwrap();
        made.backups.iter().map(|decision| !decision.verdict.expires()).collect::<Vec<_>>()
    };
    assert_eq!(
        kept(&policy()),
        [false, false, false, true, true, true],
        "a base is needed until the next is as old as the window"
    );
    let months = Policy { dumps: own(None, Some(4)), ..policy() };
    assert_eq!(kept(&months), [true, false, true, true, true, true]);
    let window = Policy { dumps: own(Some(41), None), monthly: 4, bases: own(None, Some(0)), ..policy() };
    assert_eq!(kept(&window), [true, false, true, true, true, true]);
    let window = Policy { dumps: own(Some(41), None), ..policy() };
    assert_eq!(kept(&window), [false, false, true, true, true, true]);
    let redundancy = |min_redundancy| Own { min_redundancy, ..Own::default() };
    let two = Policy { dumps: redundancy(Some(3)), bases: redundancy(Some(0)), ..policy() };
    assert_eq!(kept(&two), [true, false, true, true, true, true]);
    let beyond = |policy: Policy| match policy.check() {
        Err(Error::BeyondMax { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(beyond(Policy { dumps: own(Some(401), None), ..policy() }), "retention.dump.window");
    assert_eq!(beyond(Policy { bases: own(None, Some(14)), ..policy() }), "retention.base.monthly");
    assert_eq!(beyond(Policy { monthly: 14, dumps: own(None, Some(1)), ..policy() }), "retention.monthly");
    let longest = Policy { dumps: own(None, Some(4)), ..policy() }.keeps_at_least();
    assert_eq!(longest.as_secs(), 124 * 24 * 3600);
}

/// PAINS A17: junk may be newer than everything, and many.
#[test]
fn a_thousand_forged_or_damaged_backups_do_not_make_one_good_backup_expire() {
    let good = [dump(0), dump(1), base(2, 1, 3)];
    let policy = Policy { keep_last_dumps: 2, keep_last_bases: 1, monthly: 2, ..policy() };
    let now = day(40);
    let expected = verdicts(&planned(&good, &policy, now).unwrap());
    let bad = |number: u32| {
        let fact = dump_at(day(39), 10_000 + number);
        match number % 3 {
            0 => crate::retention::BackupFact { verified: Verified::No("a chunk is missing".into()), ..fact },
            1 => crate::retention::BackupFact { arrived_at: day(41), ..fact },
            _ => {
                crate::retention::BackupFact { kind: Kind::Base, verified: Verified::No("x".into()), ..base(39, 1, 9) }
            }
        }
    };
    let mut facts = facts(good.to_vec(), Vec::new());
    facts.backups.extend((0..1000).map(bad));
    // Manifests that nobody trusts come as folders that cannot be read.
    let unread = |number| UnreadFact { id: id(day(39), number), why: "not signed by a trusted writer".into() };
    facts.unread = (0..1000).map(unread).collect();
    let made = plan(&facts, &policy, now).unwrap();
    assert_eq!(verdicts(&made)[..3], expected);
    assert_eq!(expected.iter().filter(|(rule, _)| *rule == "-").count(), 0);
    let future = made.backups.iter().filter(|d| d.verdict.why().rule() == "future").count();
    assert_eq!(future, 333, "kept, and counted for nothing");
    assert!(made.unfinished.iter().all(|folder| matches!(folder.verdict, Verdict::Leave { .. })));
}

#[test]
fn an_unverified_newest_backup_takes_nobodys_place() {
    let broken =
        crate::retention::BackupFact { verified: Verified::No("stream base: 1 chunk missing".into()), ..dump(30) };
    let made = planned(&[dump(1), broken.clone()], &policy(), day(35)).unwrap();
    assert_eq!(verdicts(&made), [("min-redundancy", Some(day(52))), ("window", Some(day(40)))]);
    let made = planned(&[dump(1), broken.clone()], &policy(), day(41)).unwrap();
    assert_eq!(verdicts(&made)[1], ("-", None), "once its time is over");
    // Without a whole one, even a broken one may be all that there is.
    let made = planned(&[broken], &policy(), day(41)).unwrap();
    assert_eq!(verdicts(&made), [("?", None)]);
    assert!(why(&made, 0).to_string().contains("1 chunk missing"));
}

#[test]
fn what_arrived_in_the_future_counts_for_nothing() {
    let soon = dump_at(day(20) + SignedDuration::from_mins(4), 77);
    let made = planned(&[dump(1), soon.clone()], &policy(), day(20)).unwrap();
    assert_eq!(verdicts(&made)[0], ("-", None), "clocks of one store differ a little");
    let later = dump_at(day(20) + SignedDuration::from_mins(6), 77);
    let made = planned(&[dump(1), later], &policy(), day(20)).unwrap();
    assert_eq!(verdicts(&made), [("min-redundancy", Some(day(37))), ("future", Some(day(37)))]);
}

#[test]
fn a_clock_set_back_removes_nothing() {
    let dumps: Vec<_> = (0..30).map(dump).collect();
    let policy = Policy { keep_last_dumps: 2, ..policy() };
    let before = planned(&dumps, &policy, day(15)).unwrap();
    let kept = |plan: &crate::retention::Plan, on: usize| !plan.backups[on].verdict.expires();
    assert!((16..30).all(|on| kept(&before, on)), "all of what arrives later is kept");
    assert!((6..16).all(|on| kept(&before, on)), "and the window of that moment");
}

/// Invariant I11, PAINS A17: of a store whose clock was set back by two days, after an older base was imported.
#[test]
fn i11_what_a_base_from_the_future_needs_is_not_given_up() {
    let imported = crate::retention::BackupFact { arrived_at: day(22), started_at: day(22), ..base(12, 1, 5) };
    let stored = || vec![wal(1, &[(1, 30)], 21, &[])];
    let of = |backups: Vec<crate::retention::BackupFact>| plan(&facts(backups, stored()), &policy(), day(20)).unwrap();
    let open = Some(day(37));
    let alone = of(vec![base(3, 1, 9)]);
    assert_eq!(wal_verdicts(&alone)[0], (1, 1, 9, "-", None));
    let made = of(vec![imported.clone(), base(3, 1, 9)]);
    let told = wal_verdicts(&made);
    assert_eq!(told[0], (1, 1, 5, "-", None));
    assert!(told[1].1 == 5 && told[1].3 == "future" && told[1..].iter().all(|(.., until)| *until == open), "{told:?}");
    let decision = |id: &crate::format::BackupId| made.backups.iter().find(|d| d.backup == *id).unwrap();
    let future = decision(&imported.id);
    assert!(*future.verdict.why() == Reason::Future(day(22)) && !future.own_end_only);
    // It takes nobody's place: the older one is the newest of all, and of the window.
    let counting = decision(&base(3, 1, 9).id);
    assert!(!counting.own_end_only && counting.also.iter().any(|ground| ground.why.rule() == "min-redundancy"));
    // What cannot be believed has no such say.
    let mut planted = facts(vec![base(3, 1, 9)], stored());
    planted.unread = vec![UnreadFact { id: id(day(22), 1), why: "not signed by a trusted writer".into() }];
    let made = plan(&planted, &policy(), day(20)).unwrap();
    assert!(made.wal.iter().all(|decision| decision.verdict.why().rule() != "future"), "{:?}", made.wal);
}

#[test]
fn a_policy_that_leaves_nothing_of_a_kind_is_refused() {
    let nothing = Policy { min_redundancy: 0, ..policy() };
    let all = [dump(0), dump(1), base(99, 1, 3)];
    let error = planned(&all, &nothing, day(100)).unwrap_err();
    assert_eq!(error, Error::ExpiresAll { cluster: "main".into(), kind: Kind::Dump, count: 2 });
    assert!(error.hint().contains("min_redundancy"));
    // Neither what is broken nor what comes from the future is something left.
    let broken = crate::retention::BackupFact { verified: Verified::No("x".into()), ..dump(99) };
    let future = dump(130);
    assert!(planned(&[dump(0), broken, future], &nothing, day(100)).is_err());
    assert!(planned(&[dump(0), dump(99)], &nothing, day(100)).is_ok());
    assert!(planned(&[], &nothing, day(100)).is_ok(), "nothing is there to lose");
    let made = plan(&facts(vec![base(1, 1, 3)], vec![wal(1, &[(3, 9)], 2, &[])]), &nothing, day(100)).unwrap();
    assert_eq!(verdicts(&made), [("window", Some(day(117)))], "now is always a moment of the window");
}

#[test]
fn leftovers_go_when_nothing_came_for_a_while_and_doubtful_folders_stay() {
    let mut facts = facts(vec![dump(30)], Vec::new());
    let folder = |on: i64| UnfinishedFact { id: id(day(1), u32::try_from(on).unwrap()), newest_at: day(on), bytes: 5 };
    facts.unfinished = vec![folder(20), folder(24), folder(29), folder(33)];
    facts.unread = vec![UnreadFact { id: id(day(2), 9), why: "the store does not hand it out".into() }];
    let made = plan(&facts, &policy(), day(31)).unwrap();
    let told: Vec<_> = made.unfinished.iter().map(|folder| short(&folder.verdict)).collect();
    let running = |on: i64| ("unfinished", Some(day(on)));
    assert_eq!(told, [("-", None), ("-", None), running(36), running(40), ("?", None)]);
    assert!(made.verdict(&Item::Backup(id(day(1), 20))).expires());
    assert!(!made.verdict(&Item::Backup(id(day(2), 9))).expires());
    assert!(!made.verdict(&Item::Backup(id(day(3), 1))).expires(), "it came after the plan");
}

#[test]
fn keys_share_the_fate_of_their_backups_and_foundations_outlive_all() {
    let backups = [dump(0), dump(25), dump(30)];
    let policy = Policy { weekly: 9, ..policy() };
    let made = planned(&backups, &policy, day(40)).unwrap();
    let weekly = Some("2026-03-02T00:00:00Z".parse().unwrap());
    assert_eq!(verdicts(&made)[0], ("weekly", weekly));
    let of = |item: Item| short(&made.verdict(&item));
    assert_eq!(of(Item::Wrap(backups[0].keys[0])), ("key", weekly));
    // Invariant I11: it may be a wrap that was added for the WAL of some run, and only the WAL itself names that key.
    let unnamed = Item::Wrap(KeyId::new([9; 16]));
    assert!(!made.names_key(KeyId::new([9; 16])) && made.names_key(backups[0].keys[0]));
    for item in [Item::Foundation, Item::ClusterRecord, Item::History(tl(1)), Item::Gap(tl(1)), unnamed.clone()] {
        assert_eq!(of(item), ("needed", made.furthest));
    }
    assert_eq!(made.furthest, made.backups.iter().filter_map(|d| d.verdict.until()).max());
    for item in [Item::Audit, Item::Evidence, Item::Unknown, Item::OtherCluster("x".parse().unwrap())] {
        assert_eq!(of(item), ("?", None));
    }
    assert_eq!(of(Item::Canary), ("-", None));
    let bare = Policy { weekly: 0, ..policy };
    let made = planned(&backups, &bare, day(40)).unwrap();
    assert!(made.verdict(&Item::Wrap(backups[0].keys[0])).expires());
    let mut shared = backups.clone();
    shared[2].keys.clone_from(&backups[0].keys);
    let made = planned(&shared, &bare, day(40)).unwrap();
    let (first, last) = (verdicts(&made)[0].1, verdicts(&made)[2].1);
    assert!(first.is_none() && last.is_some(), "{made:?}");
    assert_eq!(made.verdict(&Item::Wrap(backups[0].keys[0])).until(), last, "the longest need counts");
    let empty = planned(&[], &bare, day(40)).unwrap();
    for item in [Item::Foundation, unnamed] {
        assert_eq!(short(&empty.verdict(&item)), ("?", None), "nothing tells how long it is needed");
    }
}
