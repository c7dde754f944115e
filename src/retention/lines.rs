//! Lines of recovery: for every timeline the way to it over its ancestors, and the bases on that way. From them follows
//! which bases and which WAL the window needs.
//!
//! On one line a base does for every moment behind its end what any earlier one could do. So of the bases that ended before
//! the window began, the last one suffices; with it everything later is needed, and the WAL from its start on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::backups::is_future;
use super::needs::{END, Needs};
use super::policy::{Policy, after, before};
use super::{BackupFact, Facts, Ground, Reason};
use crate::catalog::plan::{Leg, PlanBase};
use crate::format::manifest::BaseRange;
use crate::format::wal::WalRange;
use crate::format::{BackupId, Lsn, SegmentSize, Timeline};

/// A base as it stands on a line.
#[derive(Clone, Copy, Debug)]
struct Stand<'a> {
    fact: &'a BackupFact,
    range: &'a BaseRange,
    /// Whether it arrived when it cannot have: it counts for nothing, and keeps its WAL.
    future: bool,
}

impl<'a> Stand<'a> {
    fn of(fact: &'a BackupFact, now: Timestamp) -> Option<Self> {
        fact.base.as_ref().map(|range| Self { fact, range, future: is_future(fact, now) })
    }

    /// Whether it may stand for its moment. One that a copy took the place of is here for the sake of its hold alone, one from
    /// the future for the sake of its WAL.
    fn takes_part(&self) -> bool {
        self.fact.replaced_by.is_none() && !self.future
    }

    /// Only what is whole can take over from an earlier one.
    fn counts(&self) -> bool {
        self.fact.is_current() && !self.future
    }

    /// From when on it can be recovered to: by the clocks of server and store, whichever is later. Targets are given by
    /// the server's, ages by the store's; a server whose clock was set back does not make a base older.
    fn ended_at(&self) -> Timestamp {
        self.range.ended_at.max(self.fact.arrived_at)
    }
}

/// The way to one timeline.
#[derive(Debug)]
struct Line<'a> {
    timeline: Timeline,
    legs: Vec<Leg>,
    /// By where they end.
    bases: Vec<Stand<'a>>,
    /// Whether it is the newest: where the cluster lives, and may begin to write again after any silence.
    lives: bool,
    /// Until when moments at its end lie in the window; `None` if none does now.
    needed_until: Option<Timestamp>,
}

impl<'a> Line<'a> {
    /// The base behind one: not a copy of it, which stands in the same place, nor one that a copy took the place of.
    fn following(&self, number: usize) -> Option<&Stand<'a>> {
        let stop = self.bases[number].range.stop;
        self.bases[number + 1..].iter().find(|later| later.takes_part() && later.range.stop > stop)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    all: Vec<Line<'a>>,
    policy: &'a Policy,
    now: Timestamp,
    segment: SegmentSize,
}

impl<'a> Lines<'a> {
    /// `bases` are those that may take part, those from the future, and those that a hold promises WAL.
    pub(super) fn of(facts: &'a Facts, bases: &[&'a BackupFact], policy: &'a Policy, now: Timestamp) -> Self {
        let wal = facts.wal_state();
        let stands: Vec<Stand<'a>> = bases.iter().filter_map(|fact| Stand::of(fact, now)).collect();
        let planned: Vec<PlanBase> =
            stands.iter().map(|stand| PlanBase { id: stand.fact.id.clone(), range: stand.range.clone() }).collect();
        let of_wal = wal.timelines.iter().filter(|(_, line)| !line.windows.is_empty()).map(|(timeline, _)| *timeline);
        let of_bases = stands.iter().filter(|stand| !stand.future).map(|stand| stand.range.timeline);
        let known: BTreeSet<Timeline> = of_wal.chain(of_bases).collect();
        let latest = known.last().copied();
        let line = |timeline: Timeline| {
            let legs = wal.path(timeline);
            let on_path = wal.bases_on(&planned, &legs);
            let find = |base: &&PlanBase| stands.iter().copied().find(|stand| stand.fact.id == base.id);
            let bases = on_path.iter().filter_map(find).collect();
            let newest = newest(facts, &stands, timeline);
            let in_window = newest.is_some_and(|newest| newest > before(now, policy.window));
            let ends = |newest| after(newest, policy.window).min(policy.open_until(now));
            let lives = Some(timeline) == latest;
            let end = if lives { Some(policy.open_until(now)) } else { newest.map(ends) };
            Line { timeline, legs, bases, lives, needed_until: end.filter(|_| in_window) }
        };
        Self { all: known.into_iter().map(line).collect(), policy, now, segment: wal.segment }
    }

    /// The bases that the window needs, each as long as any line needs it.
    pub(super) fn window(&self) -> BTreeMap<BackupId, Ground> {
        let mut grounds: BTreeMap<BackupId, Ground> = BTreeMap::new();
        for line in &self.all {
            for (number, stand) in line.bases.iter().enumerate() {
                let Some(ground) = self.base_needed(line, number) else { continue };
                match grounds.get_mut(&stand.fact.id) {
                    Some(known) if known.until >= ground.until => {}
                    Some(known) => *known = ground,
                    None => drop(grounds.insert(stand.fact.id.clone(), ground)),
                }
            }
        }
        grounds
    }

    /// Until when the window needs a base on a line: until one that ended later can do everything for it.
    fn base_needed(&self, line: &Line<'a>, number: usize) -> Option<Ground> {
        let (window, stand) = (self.policy.window, &line.bases[number]);
        if !stand.takes_part() {
            return None;
        }
        let end_of_line = line.needed_until.or(line.lives.then(|| self.policy.open_until(self.now)))?;
        let later = line.bases[number + 1..].iter().filter(|later| later.counts());
        let next = later.min_by_key(|later| later.ended_at());
        let taken_over = next.map(|next| match next.ended_at() {
            // Nobody knows when a clock that is ahead will be right.
            ended if ended > self.now => self.policy.open_until(self.now),
            ended => after(ended, window),
        });
        let mut until = taken_over.map_or(end_of_line, |taken_over| taken_over.min(end_of_line));
        if !stand.counts() {
            until = until.min(after(stand.fact.arrived_at, window));
        }
        let next = next.filter(|_| taken_over == Some(until)).map(|next| next.fact.id.clone());
        let from = stand.ended_at().max(before(self.now, window));
        (until > self.now).then_some(Ground { until, why: Reason::WindowBase { window, from, next } })
    }

    /// The WAL that is needed: by the window, by the newest base that is kept, by bases under legal hold, and by those that a store
    /// whose clock was set back has from the future: they may be all that leads to some moment.
    pub(super) fn needs(&self, newest: Option<&BackupId>) -> Needs {
        let mut needs = Needs::default();
        let open = self.policy.open_until(self.now);
        for line in &self.all {
            let mut carried: Vec<(usize, Ground)> = Vec::new();
            for (number, stand) in line.bases.iter().enumerate() {
                let (id, window) = (stand.fact.id.clone(), self.policy.window);
                if let Some(Ground { until, .. }) = self.base_needed(line, number) {
                    let why = Reason::WindowWal { window, base: id.clone() };
                    carried.extend(self.follow(line, stand, None, Ground { until, why }, &mut needs));
                }
                let whole_line = [
                    (newest == Some(&id)).then(|| Reason::NewestWal(id.clone())),
                    stand.future.then(|| Reason::FutureWal(id.clone())),
                ];
                for why in whole_line.into_iter().flatten() {
                    let ground = Ground { until: open, why };
                    carried.extend(self.follow(line, stand, None, ground, &mut needs));
                }
                if stand.fact.held {
                    let ground = Ground { until: open, why: Reason::HeldWal(id) };
                    carried.extend(self.follow(line, stand, line.following(number), ground, &mut needs));
                }
            }
            self.carry(line, carried, &mut needs);
            if let Some(until) = line.needed_until
                && !line.bases.iter().any(Stand::counts)
            {
                let all = WalRange { start: Lsn::default(), end: END };
                needs.add(line.timeline, all, until, Reason::WalWithoutBase);
            }
        }
        needs
    }

    /// Adds the WAL from a base to the end of its leg, or to where `to` ends. Gives back from which leg on the rest follows,
    /// which every base before it needs as well.
    fn follow(
        &self,
        line: &Line<'a>,
        stand: &Stand<'a>,
        to: Option<&Stand<'a>>,
        ground: Ground,
        needs: &mut Needs,
    ) -> Option<(usize, Ground)> {
        let first = line.legs.iter().position(|leg| leg.timeline == stand.range.timeline)?;
        for (number, leg) in line.legs.iter().enumerate().skip(first) {
            let start = if number == first { stand.range.start } else { leg.start };
            let last = to.filter(|to| to.range.timeline == leg.timeline);
            let end = last.map_or(leg.end, |to| to.range.stop);
            needs.add(leg.timeline, self.segments(start, end), ground.until, ground.why.clone());
            if last.is_some() {
                return None;
            }
            if to.is_none() {
                return Some((number + 1, ground));
            }
        }
        None
    }

    /// Adds the legs behind those of the bases, each once, for whoever needs it longest.
    fn carry(&self, line: &Line<'a>, mut carried: Vec<(usize, Ground)>, needs: &mut Needs) {
        carried.sort_by_key(|(number, _)| *number);
        let (mut carried, mut longest) = (carried.into_iter().peekable(), None::<Ground>);
        for (number, leg) in line.legs.iter().enumerate() {
            while let Some((_, ground)) = carried.next_if(|(from, _)| *from <= number) {
                if longest.as_ref().is_none_or(|longest| longest.until < ground.until) {
                    longest = Some(ground);
                }
            }
            if let Some(Ground { until, why }) = &longest {
                needs.add(leg.timeline, self.segments(leg.start, leg.end), *until, why.clone());
            }
        }
    }

    /// Whole segments: recovery asks for nothing less.
    fn segments(&self, start: Lsn, end: Lsn) -> WalRange {
        let bytes = self.segment.bytes();
        let up = |lsn: Lsn| if lsn.get() > u64::MAX - bytes { END } else { lsn.plus(bytes - 1).floor(bytes) };
        WalRange { start: start.floor(bytes), end: up(end) }
    }
}

/// The last moment of a timeline, by any clock that tells of one.
fn newest(facts: &Facts, stands: &[Stand<'_>], timeline: Timeline) -> Option<Timestamp> {
    let of_wal = facts.wal.iter().filter(|fact| fact.timeline == timeline);
    let of_wal = of_wal.filter_map(|fact| fact.newest_at.max(fact.last_commit));
    let of_bases = stands.iter().filter(|stand| stand.range.timeline == timeline && !stand.future).map(Stand::ended_at);
    of_wal.chain(of_bases).max()
}
