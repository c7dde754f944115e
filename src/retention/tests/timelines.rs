//! The window over bases and WAL: which base it begins with, forks, gaps, clocks.

use super::world::*;
use crate::format::wal::WalRange;
use crate::format::{Lsn, SegmentSize, WalFileName};
use crate::retention::{BackupFact, Item, Policy, Reason, UnreadFact, Verified, plan};

#[test]
fn the_window_begins_with_the_last_base_that_ended_before_it() {
    let facts = facts(
        vec![base(0, 1, 10), base(7, 1, 20), base(14, 1, 30), base(21, 1, 40)],
        vec![wal(1, &[(5, 50)], 25, &[])],
    );
    let made = plan(&facts, &policy(), day(25)).unwrap();
    let open = Some(day(42));
    assert_eq!(verdicts(&made), [("-", None), ("-", None), ("window", Some(day(31))), ("window", open)]);
    assert_eq!(
        wal_verdicts(&made),
        [(1, 5, 30, "-", None), (1, 30, 40, "window", Some(day(31))), (1, 40, 50, "window", open)]
    );
    let made_sooner = plan(&facts, &policy(), day(23)).unwrap();
    assert_eq!(verdicts(&made_sooner)[1], ("window", Some(day(24))), "day 13 is reached from the base of day 7");
    let next = facts.backups[2].id.clone();
    let Reason::WindowBase { next: told, from, .. } = why(&made_sooner, 1) else { panic!("{made_sooner:?}") };
    assert_eq!((told.as_ref(), *from), (Some(&next), day(13)));
}

#[test]
fn pieces_are_judged_by_where_they_lie() {
    let mut stored = wal(1, &[(5, 50)], 25, &[]);
    stored.proven = vec![range(5, 45)];
    let facts = facts(vec![base(14, 1, 30), base(21, 1, 40)], vec![stored]);
    let made = plan(&facts, &policy(), day(25)).unwrap();
    let piece = |start: u64, end: u64| short(&made.verdict(&Item::Piece { timeline: tl(1), range: range(start, end) }));
    assert_eq!(piece(29, 30).0, "-");
    assert_eq!(piece(30, 31), ("window", Some(day(31))), "the base starts inside of it");
    assert_eq!(piece(39, 41), ("window", Some(day(42))), "the longest need counts");
    assert_eq!(piece(5000, 5001).0, "window", "WAL that came after the plan");
    let elsewhere = Item::Piece { timeline: tl(2), range: range(30, 31) };
    assert_eq!(short(&made.verdict(&elsewhere)).0, "?", "a timeline that came after the plan");
    let partial =
        |start: u64, end: u64| made.verdict(&Item::Partial { timeline: tl(1), range: range(start, end) }).why().rule();
    assert_eq!(partial(44, 45), "superseded");
    assert_eq!(partial(45, 46), "window", "what only a name says is there may not be");
    assert_eq!(partial(44, 46), "window");
    let notes = |text: &str| {
        let WalFileName::BackupHistory(name, _) = text.parse().unwrap() else { panic!("{text}") };
        short(&made.verdict(&Item::Notes(name))).0
    };
    assert_eq!(notes("00000001000000000000001D.00000028.backup"), "-");
    assert_eq!(notes("00000001000000000000001E.00000028.backup"), "window");
}

#[test]
fn segments_are_kept_whole_whatever_their_size() {
    let mut facts = facts(vec![base(14, 1, 30), base(21, 1, 41)], vec![wal(1, &[(5, 50)], 25, &[])]);
    facts.segment = Some(SegmentSize::new(64 << 20).unwrap());
    let made = plan(&facts, &policy(), day(25)).unwrap();
    let told: Vec<_> = wal_verdicts(&made).into_iter().map(|(_, start, end, rule, _)| (start, end, rule)).collect();
    assert_eq!(told, [(5, 28, "-"), (28, 40, "window"), (40, 50, "window")], "recovery asks for whole segments");
}

#[test]
fn an_unverified_base_takes_over_from_nobody() {
    let broken = |on, at| BackupFact { verified: Verified::No("a chunk is missing".into()), ..base(on, 1, at) };
    let stored = || vec![wal(1, &[(5, 50)], 25, &[])];
    let made =
        plan(&facts(vec![base(7, 1, 20), broken(14, 30), base(21, 1, 40)], stored()), &policy(), day(25)).unwrap();
    assert_eq!(verdicts(&made), [("window", Some(day(31))), ("-", None), ("window", Some(day(42)))]);
    assert_eq!(wal_verdicts(&made)[0], (1, 5, 20, "-", None));
    // A broken one inside of the window stays as long as its moments, with its WAL; it may be mended.
    let made = plan(&facts(vec![broken(18, 30), base(21, 1, 40)], stored()), &policy(), day(25)).unwrap();
    assert_eq!(verdicts(&made), [("window", Some(day(28))), ("window", Some(day(42)))]);
    assert_eq!(wal_verdicts(&made)[1], (1, 30, 40, "window", Some(day(28))));
    // With no whole one at all, the WAL stays.
    let made = plan(&facts(vec![broken(21, 40)], stored()), &policy(), day(25)).unwrap();
    assert!(wal_verdicts(&made).iter().all(|(.., until)| *until == Some(day(42))), "{:?}", made.wal);
}

#[test]
fn wal_without_any_base_waits_for_one() {
    let made = plan(&facts(Vec::new(), vec![wal(1, &[(5, 50)], 25, &[])]), &policy(), day(26)).unwrap();
    assert_eq!(wal_verdicts(&made), [(1, 5, 50, "no-base", Some(day(43)))]);
    let made = plan(&facts(Vec::new(), vec![wal(1, &[(5, 50)], 25, &[])]), &policy(), day(36)).unwrap();
    assert_eq!(wal_verdicts(&made), [(1, 5, 50, "-", None)], "nothing in the window, and nothing to start from");
}

#[test]
fn a_cluster_that_is_gone_keeps_its_newest_base_and_the_wal_behind_it() {
    let facts = facts(vec![base(0, 1, 10), base(7, 1, 20)], vec![wal(1, &[(5, 50)], 9, &[])]);
    let made = plan(&facts, &policy(), day(300)).unwrap();
    let open = Some(day(317));
    assert_eq!(verdicts(&made), [("-", None), ("window", open)]);
    assert_eq!(wal_verdicts(&made), [(1, 5, 20, "-", None), (1, 20, 50, "window", open)]);
    assert!(!made.backups[1].own_end_only);
}

/// The newest base lies on the branch that was lost; the cluster has been silent for longer than the window.
#[test]
fn a_silent_cluster_keeps_the_base_of_the_timeline_that_it_lives_on() {
    let bases = vec![base(0, 1, 10), base(7, 1, 20), base(9, 1, 38)];
    let facts = facts(bases, vec![wal(1, &[(5, 40)], 9, &[]), wal(2, &[(35, 60)], 12, &[(1, 35)])]);
    let made = plan(&facts, &policy(), day(300)).unwrap();
    let open = Some(day(317));
    assert_eq!(verdicts(&made), [("-", None), ("window", open), ("min-redundancy", open)]);
    let told: Vec<_> =
        wal_verdicts(&made).into_iter().map(|(tl, start, end, rule, _)| (tl, start, end, rule)).collect();
    assert_eq!(
        told,
        [(1, 5, 20, "-"), (1, 20, 35, "window"), (1, 35, 38, "-"), (1, 38, 40, "newest-base"), (2, 35, 60, "window")]
    );
}

#[test]
fn a_base_kept_beyond_the_window_needs_no_wal() {
    let facts = facts(vec![base(0, 1, 10), base(30, 1, 20), base(50, 1, 30)], vec![wal(1, &[(5, 50)], 60, &[])]);
    let policy = Policy { monthly: 12, ..policy() };
    let made = plan(&facts, &policy, day(61)).unwrap();
    assert_eq!(verdicts(&made)[0], ("monthly", Some("2027-01-01T00:00:00Z".parse().unwrap())));
    let alone: Vec<bool> = made.backups.iter().map(|decision| decision.own_end_only).collect();
    assert_eq!(alone, [true, false, false], "the second one expires");
    assert_eq!(wal_verdicts(&made)[0], (1, 5, 30, "-", None));
}

#[test]
fn a_held_base_keeps_the_wal_to_the_next_one() {
    let mut all = vec![base(0, 1, 10), base(7, 1, 20), base(50, 1, 30)];
    all[0].held = true;
    let made = plan(&facts(all.clone(), vec![wal(1, &[(5, 50)], 60, &[])]), &policy(), day(61)).unwrap();
    let open = Some(day(78));
    assert_eq!(verdicts(&made)[0], ("hold", open));
    assert_eq!(
        wal_verdicts(&made),
        [(1, 5, 10, "-", None), (1, 10, 21, "hold", open), (1, 21, 30, "-", None), (1, 30, 50, "window", open)]
    );
}

/// Timeline 2 left timeline 1 in segment 35; what timeline 1 wrote behind that is a branch that was lost.
#[test]
fn every_branch_with_a_moment_in_the_window_is_kept_along_its_way() {
    let bases = vec![base(0, 1, 10), base(14, 1, 30), base(20, 2, 45)];
    let facts = facts(bases, vec![wal(1, &[(5, 40)], 16, &[]), wal(2, &[(35, 60)], 25, &[(1, 35)])]);
    let made = plan(&facts, &policy(), day(25)).unwrap();
    let (lost, open) = (Some(day(26)), Some(day(42)));
    assert_eq!(verdicts(&made), [("-", None), ("window", Some(day(30))), ("window", open)]);
    assert_eq!(
        wal_verdicts(&made),
        [
            (1, 5, 30, "-", None),
            (1, 30, 35, "window", Some(day(30))),
            (1, 35, 40, "window", lost),
            (2, 35, 45, "window", Some(day(30))),
            (2, 45, 60, "window", open),
        ]
    );
    let made = plan(&facts, &policy(), day(27)).unwrap();
    assert_eq!(wal_verdicts(&made)[2], (1, 35, 40, "-", None), "the lost branch left the window");
    let made = plan(&facts, &policy(), day(30)).unwrap();
    assert_eq!(verdicts(&made)[1], ("-", None));
    assert_eq!(wal_verdicts(&made)[0], (1, 5, 40, "-", None));
}

/// The base of the old timeline ended behind the fork: it is on no way to the new one.
#[test]
fn a_base_behind_the_fork_serves_its_own_branch_only() {
    let bases = vec![base(0, 1, 10), base(14, 1, 38), base(24, 2, 45)];
    let facts = facts(bases, vec![wal(1, &[(5, 40)], 16, &[]), wal(2, &[(35, 60)], 25, &[(1, 35)])]);
    let made = plan(&facts, &policy(), day(25)).unwrap();
    assert_eq!(verdicts(&made), [("window", Some(day(34))), ("window", Some(day(26))), ("window", Some(day(42)))]);
    let old = wal_verdicts(&made).into_iter().filter(|(timeline, ..)| *timeline == 1).collect::<Vec<_>>();
    // Segments 35 to 38 are needed for no moment that the base behind them could not reach.
    assert_eq!(
        old,
        [
            (1, 5, 10, "-", None),
            (1, 10, 35, "window", Some(day(34))),
            (1, 35, 38, "-", None),
            (1, 38, 40, "window", Some(day(26))),
        ]
    );
}

#[test]
fn a_timeline_whose_history_is_lost_keeps_what_it_has() {
    let mut two = wal(2, &[(35, 60)], 25, &[(1, 35)]);
    two.history = None;
    let facts = facts(vec![base(14, 1, 30)], vec![wal(1, &[(5, 40)], 16, &[]), two]);
    let made = plan(&facts, &policy(), day(25)).unwrap();
    assert_eq!(
        wal_verdicts(&made),
        [(1, 5, 30, "-", None), (1, 30, 40, "newest-base", Some(day(42))), (2, 35, 60, "no-base", Some(day(42))),]
    );
}

#[test]
fn a_gap_in_the_window_loses_nothing_on_either_side() {
    let bases = vec![base(0, 1, 10), base(14, 1, 30), base(21, 1, 42)];
    let facts = facts(bases, vec![wal(1, &[(5, 33), (36, 50)], 25, &[])]);
    let made = plan(&facts, &policy(), day(23)).unwrap();
    assert_eq!(verdicts(&made), [("window", Some(day(24))), ("window", Some(day(31))), ("window", Some(day(40)))]);
    let starts: Vec<_> = wal_verdicts(&made).into_iter().map(|(_, start, end, rule, _)| (start, end, rule)).collect();
    assert_eq!(starts, [(5, 10, "-"), (10, 30, "window"), (30, 33, "window"), (36, 42, "window"), (42, 50, "window")]);
}

#[test]
fn a_window_longer_than_all_history_keeps_everything_that_recovers() {
    let facts = facts(vec![base(3, 1, 10), base(14, 1, 30)], vec![wal(1, &[(5, 50)], 25, &[])]);
    let made = plan(&facts, &Policy { window: days(300), ..policy() }, day(25)).unwrap();
    assert_eq!(wal_verdicts(&made)[0], (1, 5, 10, "-", None), "before the first base there is nothing to recover to");
    assert!(made.backups.iter().all(|decision| decision.verdict.until().is_some()));
    assert_eq!(verdicts(&made)[0], ("window", Some(day(314))));
}

#[test]
fn a_server_whose_clock_is_wrong_makes_no_base_older_or_eternal() {
    let clock = |fact: BackupFact, on: i64| {
        let range = fact.base.clone().map(|range| crate::format::manifest::BaseRange {
            begun_at: day(on),
            ended_at: day(on),
            ..range
        });
        BackupFact { base: range, ..fact }
    };
    // Set back by less than a day, or the base of day 21 claims day 1 as an import would: it still does not take over before its
    // arrival says so. In the second case that of day 7 stays the newest beside.
    let back = |on| facts(vec![base(7, 1, 20), clock(base(21, 1, 40), on)], vec![wal(1, &[(5, 50)], 25, &[])]);
    let made = plan(&back(20), &policy(), day(25)).unwrap();
    assert_eq!(verdicts(&made)[0], ("window", Some(day(31))));
    let made = plan(&back(1), &policy(), day(25)).unwrap();
    assert_eq!(verdicts(&made), [("window", Some(day(42))), ("min-redundancy", Some(day(42)))]);
    assert_eq!(made.backups[1].also[0].until, day(31));
    // Ahead by a century: it does not take over, the one after it does, and nothing is locked for a century.
    let ahead = || clock(base(10, 1, 30), 36_500);
    let far = facts(vec![base(7, 1, 20), ahead()], vec![wal(1, &[(5, 50)], 25, &[])]);
    let made = plan(&far, &policy(), day(25)).unwrap();
    assert_eq!(verdicts(&made), [("window", Some(day(42))), ("window", Some(day(42)))]);
    let mended = facts(vec![base(7, 1, 20), ahead(), base(14, 1, 40)], vec![wal(1, &[(5, 50)], 25, &[])]);
    let made = plan(&mended, &policy(), day(25)).unwrap();
    assert_eq!(verdicts(&made), [("-", None), ("-", None), ("window", Some(day(42)))]);
}

/// Whoever cannot read a manifest cannot know which WAL it needs.
#[test]
fn no_wal_is_given_up_while_the_only_backups_cannot_be_read() {
    let mut facts = facts(Vec::new(), vec![wal(1, &[(5, 50)], 1, &[])]);
    facts.unread = vec![UnreadFact { id: id(day(0), 1), why: "signed by an unknown writer".into() }];
    let made = plan(&facts, &policy(), day(100)).unwrap();
    assert_eq!(wal_verdicts(&made), [(1, 5, 50, "?", None)]);
    facts.unread.clear();
    facts.segment = None;
    let made = plan(&facts, &policy(), day(100)).unwrap();
    assert_eq!(wal_verdicts(&made), [(1, 5, 50, "?", None)], "nor while the size of segments is not known");
}

/// A base that cannot be read now may be read tomorrow: what was written since it began is not given up, on any timeline.
#[test]
fn wal_since_a_backup_that_cannot_be_read_is_left() {
    // A lost branch, timeline 2, ended before; timeline 3 went on from 1 and its base needs nothing of the end of 1.
    let bases = vec![base(2, 1, 10), base(29, 3, 60)];
    let lines =
        vec![wal(1, &[(5, 50)], 25, &[]), wal(2, &[(30, 40)], 15, &[(1, 30)]), wal(3, &[(45, 70)], 30, &[(1, 45)])];
    let mut facts = facts(bases, lines);
    let policy = Policy { window: days(1), ..policy() };
    let rules = |facts: &crate::retention::Facts| {
        let made = plan(facts, &policy, day(31)).unwrap();
        wal_verdicts(&made).into_iter().map(|(tl, from, to, rule, _)| (tl, from, to, rule)).collect::<Vec<_>>()
    };
    let given_up = [(1, 5, 50, "-"), (2, 30, 40, "-"), (3, 45, 60, "-"), (3, 60, 70, "newest-base")];
    let all = rules(&facts);
    assert_eq!(all[..3], given_up[..3]);
    let unread = |on| vec![UnreadFact { id: id(day(on), 1), why: "the store does not hand it out".into() }];
    // Begun on day 24, the last on which the policy still may need it: window and margin are eight days.
    facts.unread = unread(24);
    let left = rules(&facts);
    assert_eq!(left[..4], [(1, 5, 10, "-"), (1, 10, 50, "?"), (2, 30, 40, "-"), (3, 45, 60, "?")]);
    assert_eq!(left[4..], all[3..], "what is kept stays kept");
    facts.unread = unread(22);
    assert_eq!(rules(&facts), all, "a name of any age can be planted: what is older counts for nothing");
}

#[test]
fn ends_of_the_log_do_not_overflow() {
    let mut last = base(21, 1, 40);
    let top = Lsn::new(u64::MAX - 5);
    last.base = last.base.map(|range| crate::format::manifest::BaseRange { start: top, stop: top, ..range });
    let facts = facts(vec![last], vec![wal(1, &[(5, 50)], 25, &[])]);
    let made = plan(&facts, &policy(), day(25)).unwrap();
    let highest = WalRange { start: Lsn::new(u64::MAX - SEGMENT + 1), end: Lsn::new(u64::MAX) };
    assert!(!made.verdict(&Item::Piece { timeline: tl(1), range: highest }).expires());
}
