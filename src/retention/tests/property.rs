//! Random lives of a cluster, with plans made and followed on the way. Whatever happens: every moment of the window that
//! could be recovered before can be recovered after, and nothing is needed for longer than the plan before said, so that
//! locks that follow plans never end too early; what is kept keeps its keys, and what is held its WAL up to the next base: to
//! its own end a base restores by itself. What can be recovered is asked of the planner of recoveries.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::policies::policies;
use super::world::*;
use crate::catalog::merge_ranges;
use crate::catalog::plan::{Goal, PlanBase, Request, TimelineChoice, WalState, route};
use crate::format::manifest::{BaseRange, Kind};
use crate::format::wal::{History, HistoryEntry, WalRange};
use crate::format::{BackupId, Lsn, SegmentSize, Timeline};
use crate::retention::{BackupFact, Facts, Item, Plan, Policy, TimelineFact, Verified, plan};

/// What may happen.
#[derive(Clone, Debug)]
enum Event {
    /// So many segments are written, one an hour.
    Write(u64),
    /// So many are written and lost.
    Lose(u64),
    Base {
        whole: bool,
    },
    Dump,
    /// A base comes that was taken when the segment so many before the last was written.
    Import(usize),
    /// A standby that is so many segments behind takes over, having stored the segment in which it did under its timeline.
    Failover(u64),
    Hours(i64),
    /// The server's clock is set, against the store's.
    Clock(i64),
    /// The store's clock is set, by so many hours.
    StoreClock(i64),
    /// Another policy counts from now on.
    Policy(Box<Policy>),
    /// A legal hold is laid on one of the backups, or taken off.
    Hold(prop::sample::Index),
    /// The policy marks one of the backups as never to expire, or no longer.
    Mark(prop::sample::Index),
    /// A plan is made and followed.
    Plan,
}

#[derive(Clone, Debug)]
struct Segment {
    timeline: Timeline,
    number: u64,
    commit: Timestamp,
    sealed: Timestamp,
}

struct World {
    now: Timestamp,
    server_ahead: SignedDuration,
    timeline: Timeline,
    ancestors: BTreeMap<Timeline, Vec<HistoryEntry>>,
    next: u64,
    wal: Vec<Segment>,
    backups: Vec<BackupFact>,
    made: u32,
    policy: Policy,
    last: Option<(Timestamp, Plan)>,
    /// Rules, holds or the store's clock changed: from then on nothing is lost, but what will be kept may have been promised less.
    changed: bool,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self {
            now: day(0),
            server_ahead: SignedDuration::ZERO,
            timeline: tl(1),
            ancestors: BTreeMap::new(),
            next: 10,
            wal: Vec::new(),
            backups: Vec::new(),
            made: 0,
            policy,
            last: None,
            changed: false,
        }
    }

    fn hours(&mut self, hours: i64) {
        self.now += SignedDuration::from_hours(hours);
    }

    fn store(&mut self, number: u64) {
        let (commit, sealed) = (self.now + self.server_ahead, self.now);
        self.wal.push(Segment { timeline: self.timeline, number, commit, sealed });
    }

    fn live(&mut self, event: &Event) {
        match event {
            Event::Write(count) => {
                for _ in 0..*count {
                    self.hours(1);
                    self.store(self.next);
                    self.next += 1;
                }
            }
            Event::Lose(count) => self.next += count,
            Event::Hours(hours) => self.hours(*hours),
            Event::Clock(hours) => self.server_ahead = SignedDuration::from_hours(*hours),
            Event::Dump => {
                self.made += 1;
                self.backups.push(dump_at(self.now, self.made));
            }
            Event::Base { whole } => self.back_up(*whole),
            Event::Import(back) => self.import(*back),
            Event::Failover(behind) => self.fail_over(*behind),
            Event::Plan => self.follow_plan(),
            Event::StoreClock(hours) => {
                self.hours(*hours);
                self.changed = true;
            }
            Event::Policy(policy) => {
                self.policy = (**policy).clone();
                self.changed = true;
            }
            Event::Hold(which) if !self.backups.is_empty() => {
                let fact = which.get_mut(&mut self.backups);
                fact.held = !fact.held;
                self.changed = true;
            }
            Event::Mark(which) if !self.backups.is_empty() => {
                let id = which.get(&self.backups).id.clone();
                if !self.policy.keep.remove(&id) {
                    self.policy.keep.insert(id);
                }
                self.changed = true;
            }
            Event::Hold(_) | Event::Mark(_) => {}
        }
    }

    fn back_up(&mut self, whole: bool) {
        self.made += 1;
        let begun_at = self.now + self.server_ahead;
        self.hours(1);
        self.store(self.next);
        let at = self.next * SEGMENT;
        self.next += 1;
        let range = BaseRange {
            start: Lsn::new(at + 0x28),
            stop: Lsn::new(at + 0x100),
            timeline: self.timeline,
            segment_bytes: SegmentSize::DEFAULT,
            begun_at,
            ended_at: self.now + self.server_ahead,
        };
        let verified = if whole { Verified::Yes } else { Verified::No("a chunk is missing".into()) };
        let fact = dump_at(self.now, self.made);
        self.backups.push(BackupFact { kind: Kind::Base, base: Some(range), verified, ..fact });
    }

    fn import(&mut self, back: usize) {
        let Some(segment) = self.wal.iter().rev().nth(back).cloned() else { return };
        self.made += 1;
        let at = segment.number * SEGMENT;
        let range = BaseRange {
            // Behind the switch, where the timeline begins in this segment.
            start: Lsn::new(at + 0x2028),
            stop: Lsn::new(at + 0x2100),
            timeline: segment.timeline,
            segment_bytes: SegmentSize::DEFAULT,
            begun_at: segment.commit,
            ended_at: segment.commit,
        };
        self.backups.push(BackupFact { kind: Kind::Base, base: Some(range), ..dump_at(self.now, self.made) });
        // What it brings back may need WAL that no plan before it knew of.
        self.last = None;
    }

    fn fail_over(&mut self, behind: u64) {
        let mut ancestors = self.ancestors.get(&self.timeline).cloned().unwrap_or_default();
        let begun = ancestors.last().map_or(10, |entry| entry.switch.get() / SEGMENT);
        let left_in = self.next.saturating_sub(behind).max(begun);
        let switch = Lsn::new(left_in * SEGMENT + 0x1000);
        ancestors.push(HistoryEntry { timeline: self.timeline, switch });
        if self.backups.iter().any(|fact| fact.base.as_ref().is_some_and(|range| range.stop > switch)) {
            // A standby that stayed behind a base for days needs an older one again: no plan can know that before.
            self.last = None;
        }
        self.timeline = tl(self.timeline.get() + 1);
        self.ancestors.insert(self.timeline, ancestors);
        self.hours(1);
        self.store(left_in);
        self.next = left_in + 1;
    }

    fn facts(&self) -> Facts {
        let mut lines: BTreeMap<Timeline, TimelineFact> = BTreeMap::new();
        for segment in &self.wal {
            let timeline = segment.timeline;
            let line = lines.entry(timeline).or_insert_with(|| TimelineFact {
                timeline,
                history: self.ancestors.get(&timeline).map(|all| History { timeline, ancestors: all.clone() }),
                windows: Vec::new(),
                proven: Vec::new(),
                newest_at: None,
                last_commit: None,
            });
            merge_ranges(&mut line.windows, range(segment.number, segment.number + 1));
            line.newest_at = line.newest_at.max(Some(segment.sealed));
            line.last_commit = Some(segment.commit);
        }
        facts(self.backups.clone(), lines.into_values().collect())
    }

    /// Moments of the window around which something changes.
    fn moments(&self, from: Timestamp) -> BTreeSet<Timestamp> {
        let second = SignedDuration::from_secs(1);
        let commits = self.wal.iter().flat_map(|segment| [segment.commit - second, segment.commit]);
        let ends = self.backups.iter().filter_map(|fact| Some(fact.base.as_ref()?.ended_at));
        commits.chain(ends).chain([from, self.now]).filter(|at| (from..=self.now).contains(at)).collect()
    }

    /// Which of these moments can be recovered, and where in the WAL each of them ends: that counts, whatever timeline
    /// has to be named to get there.
    fn recoverable(&self, moments: &BTreeSet<Timestamp>) -> BTreeSet<(Timestamp, Timeline, u64)> {
        let state = self.facts().wal_state();
        let whole = self.backups.iter().filter(|fact| fact.verified == Verified::Yes);
        let bases: Vec<PlanBase> =
            whole.filter_map(|fact| Some(PlanBase { id: fact.id.clone(), range: fact.base.clone()? })).collect();
        let timelines: BTreeSet<Timeline> = state.timelines.keys().copied().collect();
        let pairs = timelines.iter().flat_map(|timeline| moments.iter().map(move |moment| (*timeline, *moment)));
        pairs.filter_map(|(timeline, at)| self.end_of(&bases, &state, timeline, at)).collect()
    }

    /// Where a recovery to a moment ends.
    fn end_of(
        &self,
        bases: &[PlanBase],
        state: &WalState,
        timeline: Timeline,
        at: Timestamp,
    ) -> Option<(Timestamp, Timeline, u64)> {
        let timeline = TimelineChoice::Number(timeline);
        let request = Request { goal: Goal::Time(at), inclusive: true, timeline, base: None };
        let route = route(bases, state, &request).ok()?;
        let on_route = |segment: &&Segment| {
            let start = Lsn::new(segment.number * SEGMENT);
            let touched = |leg: &&crate::catalog::plan::Leg| leg.start < start.plus(SEGMENT) && start < leg.end;
            route.legs.iter().filter(touched).any(|leg| leg.timeline == segment.timeline)
        };
        let mut replayed: Vec<&Segment> = self.wal.iter().filter(on_route).collect();
        replayed.sort_by_key(|segment| (segment.timeline, segment.number));
        route.settle(&request, replayed.last().map(|segment| segment.commit)).ok()?;
        let end = replayed.into_iter().find(|segment| segment.commit > at)?;
        Some((at, end.timeline, end.number))
    }

    /// The WAL of held bases up to the next base.
    fn held_wal(&self) -> BTreeSet<(Timeline, u64)> {
        let starts = |fact: &BackupFact| fact.base.as_ref().map(|base| (base.timeline, base.start.get()));
        let of_base = |timeline: Timeline, start: u64| {
            let all = self.backups.iter().filter_map(starts);
            let next = all.filter(|(other, at)| *other == timeline && *at > start).map(|(_, at)| at).min();
            (timeline, start / SEGMENT, next.map_or(u64::MAX, |next| next / SEGMENT))
        };
        let held = self.backups.iter().filter(|fact| fact.held && fact.verified == Verified::Yes).filter_map(starts);
        let spans: Vec<_> = held.map(|(timeline, start)| of_base(timeline, start)).collect();
        let is_held = |segment: &&Segment| {
            let mut spans = spans.iter().filter(|(timeline, ..)| *timeline == segment.timeline);
            spans.any(|(_, first, end)| (*first..*end).contains(&segment.number))
        };
        self.wal.iter().filter(is_held).map(|segment| (segment.timeline, segment.number)).collect()
    }

    /// What is held stays, and what is kept keeps its keys.
    fn keeps_whole(&self, held: &BTreeSet<BackupId>, wal: &BTreeSet<(Timeline, u64)>, made: &Plan) {
        let left: BTreeSet<BackupId> = self.backups.iter().map(|fact| fact.id.clone()).collect();
        assert!(held.is_subset(&left), "of {held:?} {left:?} are left\n{made:#?}");
        let stored: BTreeSet<_> = self.wal.iter().map(|segment| (segment.timeline, segment.number)).collect();
        let lost: Vec<_> = wal.difference(&stored).collect();
        assert!(lost.is_empty(), "held WAL is lost: {lost:?}\n{made:#?}");
        for (fact, key) in self.backups.iter().flat_map(|fact| fact.keys.iter().map(move |key| (fact, *key))) {
            assert!(!made.verdict(&Item::Wrap(key)).expires(), "{} lost its key\n{made:#?}", fact.id);
        }
    }

    fn follow_plan(&mut self) {
        let policy = self.policy.clone();
        // Nothing happens under a policy that would leave nothing.
        let Ok(made) = plan(&self.facts(), &policy, self.now) else { return };
        let promised = self.last.take().filter(|_| !self.changed);
        if let Some((_, before)) = promised.filter(|(at, _)| self.now.duration_since(*at) <= policy.margin) {
            self.was_locked(&before, &made);
        }
        let moments = self.moments(self.now - policy.window);
        let (before, held_wal) = (self.recoverable(&moments), self.held_wal());
        // What a clock that was set back has in its future never expires.
        let stays = |fact: &&BackupFact| fact.held || fact.arrived_at > self.now;
        let held = self.backups.iter().filter(stays).map(|fact| fact.id.clone()).collect();
        self.backups.retain(|fact| !made.verdict(&Item::Backup(fact.id.clone())).expires());
        self.wal.retain(|segment| {
            let range = range(segment.number, segment.number + 1);
            !made.verdict(&Item::Piece { timeline: segment.timeline, range }).expires()
        });
        let after = self.recoverable(&moments);
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "lost at {}: {lost:?}\n{made:#?}", self.now);
        self.keeps_whole(&held, &held_wal, &made);
        let is_left = |id: &&BackupId| self.backups.iter().any(|fact| fact.id == **id);
        assert!(policy.keep.iter().all(|id| is_left(&id)), "a mark was not heeded\n{made:#?}");
        self.last = Some((self.now, made));
    }

    /// What the new plan keeps, the one before had locked until now at least, if it was there.
    fn was_locked(&self, before: &Plan, made: &Plan) {
        let known: BTreeSet<&BackupId> = before.backups.iter().map(|decision| &decision.backup).collect();
        for fact in self.backups.iter().filter(|fact| known.contains(&fact.id)) {
            let item = Item::Backup(fact.id.clone());
            self.outlasted(before, made, &item);
        }
        for segment in self.wal.iter().filter(|segment| segment.sealed <= before.at) {
            let range: WalRange = range(segment.number, segment.number + 1);
            self.outlasted(before, made, &Item::Piece { timeline: segment.timeline, range });
        }
    }

    fn outlasted(&self, before: &Plan, made: &Plan, item: &Item) {
        let (then, now) = (before.verdict(item), made.verdict(item));
        if now.until().is_some() {
            assert!(
                then.until().is_some_and(|until| until >= self.now),
                "{item:?} at {}: {then:?}, then {now:?}",
                self.now
            );
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..40_u64).prop_map(Event::Write),
        1 => (1..5_u64).prop_map(Event::Lose),
        3 => prop::bool::weighted(0.8).prop_map(|whole| Event::Base { whole }),
        1 => Just(Event::Dump),
        1 => (0..300_usize).prop_map(Event::Import),
        1 => (0..30_u64).prop_map(Event::Failover),
        2 => (1..200_i64).prop_map(Event::Hours),
        1 => (-100..100_i64).prop_map(Event::Clock),
        // Back as well: then what arrived counts for nothing until its time has come, and loses nothing.
        1 => (-400..400_i64).prop_map(Event::StoreClock),
        1 => policies().prop_map(|policy| Event::Policy(Box::new(policy))),
        1 => any::<prop::sample::Index>().prop_map(Event::Hold),
        1 => any::<prop::sample::Index>().prop_map(Event::Mark),
        4 => Just(Event::Plan),
    ]
}

/// Cases of one run; more of them with `STONEWAL_TEST_ROUNDS`.
#[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting")]
fn rounds() -> u32 {
    std::env::var("STONEWAL_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: rounds(), ..ProptestConfig::default() })]
    #[test]
    fn i11_plans_that_are_followed_lose_no_moment_of_the_window(
        events in prop::collection::vec(event(), 1..60),
        policy in policies(),
    ) {
        let mut world = World::new(policy);
        for event in events {
            world.live(&event);
        }
        world.follow_plan();
    }
}
