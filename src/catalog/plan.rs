//! Which base, and which WAL, for a recovery: decided from what is stored, before a byte is restored. Pure.
//!
//! A recovery starts at a base, replays the base's timeline to where the next one branched off, and so on to the target. What
//! cannot be reached is refused here with the reason, since PostgreSQL would find out only after hours (PAINS B3).

mod refusal;
mod route;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;

pub use refusal::Refusal;
pub use route::{Leg, TimelineWal, WalState};

use crate::format::manifest::BaseRange;
use crate::format::{BackupId, Lsn, Timeline};

/// Where a recovery is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The end of the WAL that is stored.
    Latest,
    /// As soon as the base is consistent.
    Immediate,
    /// The last moment not after this one, by the server's clock.
    Time(Timestamp),
    /// A position.
    Lsn(Lsn),
    /// The commit of a transaction.
    Xid(u64),
    /// A point made by `pg_create_restore_point`.
    Name(String),
}

/// Along which timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimelineChoice {
    /// The newest one that is stored.
    Latest,
    /// That of the base, to its end.
    Current,
    /// This one.
    Number(Timeline),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where to end.
    pub goal: Goal,
    /// Whether what lies exactly at the target is still part of it.
    pub inclusive: bool,
    /// Along which timeline.
    pub timeline: TimelineChoice,
    /// From this base and no other.
    pub base: Option<BackupId>,
}

/// A base as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanBase {
    /// Its id.
    pub id: BackupId,
    /// Where it stands in the WAL.
    pub range: BaseRange,
}

/// The base to start from, the way that its timelines take, and how far the stored WAL goes on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The base.
    pub base: PlanBase,
    /// WAL to replay, by timeline, as far as it is stored without a gap. The first leg starts where replay of the base starts.
    pub legs: Vec<Leg>,
    /// Where stored WAL goes on behind a gap that ends the way.
    pub beyond_gap: Option<Lsn>,
    /// The earliest moment that any base on the way allows.
    pub earliest: Timestamp,
}

impl Route {
    /// How far it goes.
    pub fn end(&self) -> Lsn {
        self.legs.last().map_or(self.base.range.stop, |leg| leg.end)
    }

    /// The timeline that it ends on.
    pub fn timeline(&self) -> Timeline {
        self.legs.last().map_or(self.base.range.timeline, |leg| leg.timeline)
    }
}

/// Chooses base and way. What it cannot know is when transactions committed: [`Route::settle`] is told that.
pub fn route(bases: &[PlanBase], wal: &WalState, request: &Request) -> Result<Route, Refusal> {
    if bases.is_empty() {
        return Err(Refusal::NoBase);
    }
    if let Some(id) = &request.base {
        let base = bases.iter().find(|base| base.id == *id).ok_or_else(|| Refusal::UnknownBase { base: id.clone() })?;
        let target = match request.timeline {
            TimelineChoice::Current => base.range.timeline,
            choice => target_timeline(bases, wal, choice)?,
        };
        let path = wal.path(target);
        let all = on_path(bases, &path);
        if !all.contains(&base) {
            return Err(Refusal::NotOnPath { base: id.clone(), timeline: target });
        }
        return finish(base, &all, &path, wal, request);
    }
    let target = match request.timeline {
        TimelineChoice::Current => {
            let newest =
                bases.iter().filter(|base| starts_early_enough(base, &request.goal)).max_by_key(|base| rank(base));
            newest.ok_or_else(|| too_early(bases.iter(), &request.goal))?.range.timeline
        }
        choice => target_timeline(bases, wal, choice)?,
    };
    let path = wal.path(target);
    let all = on_path(bases, &path);
    let mut fitting = all.iter().filter(|base| starts_early_enough(base, &request.goal));
    let chosen = match request.goal {
        // When a transaction committed or a point was made is not recorded: the oldest base surely came before it.
        Goal::Xid(_) | Goal::Name(_) => {
            let unbroken = fitting.clone().filter(|base| route::follow(base, &path, wal).1.is_none());
            // Where every base has a gap behind it, the gap is the reason to refuse.
            unbroken.min_by_key(|base| rank(base)).or_else(|| fitting.next_back())
        }
        _ => fitting.next_back(),
    };
    match chosen {
        Some(base) => finish(base, &all, &path, wal, request),
        None if all.is_empty() && wal.ancestors(target).is_none() => Err(Refusal::NoHistory { timeline: target }),
        None if all.is_empty() => Err(Refusal::NoBaseOn { timeline: target }),
        None => Err(too_early(all.into_iter(), &request.goal)),
    }
}

/// The bases that a recovery along the path can start from, by where they end.
fn on_path<'b>(bases: &'b [PlanBase], path: &[Leg]) -> Vec<&'b PlanBase> {
    let fits = |base: &&PlanBase| {
        let BaseRange { timeline, start, stop, .. } = &base.range;
        path.iter().any(|leg| leg.timeline == *timeline && leg.start <= *start && *stop <= leg.end)
    };
    let mut fitting: Vec<&PlanBase> = bases.iter().filter(fits).collect();
    fitting.sort_by_key(|base| rank(base));
    fitting
}

fn rank(base: &PlanBase) -> (Lsn, Timestamp) {
    (base.range.stop, base.range.ended_at)
}

/// Whether the base is consistent before the goal, as far as that can be known.
fn starts_early_enough(base: &PlanBase, goal: &Goal) -> bool {
    match goal {
        Goal::Time(time) => base.range.ended_at <= *time,
        Goal::Lsn(lsn) => base.range.stop <= *lsn,
        Goal::Latest | Goal::Immediate | Goal::Xid(_) | Goal::Name(_) => true,
    }
}

fn too_early<'b>(bases: impl Iterator<Item = &'b PlanBase>, goal: &Goal) -> Refusal {
    let earliest = bases.min_by_key(|base| rank(base));
    match earliest {
        None => Refusal::NoBase,
        Some(base) => Refusal::TooEarly {
            goal: goal.clone(),
            base: base.id.clone(),
            time: base.range.ended_at,
            lsn: base.range.stop,
        },
    }
}

fn target_timeline(bases: &[PlanBase], wal: &WalState, choice: TimelineChoice) -> Result<Timeline, Refusal> {
    let of_bases = bases.iter().map(|base| base.range.timeline);
    // A history alone is no timeline that one could recover along.
    let of_wal = wal.timelines.iter().filter(|(_, stored)| !stored.windows.is_empty()).map(|(timeline, _)| *timeline);
    let known = of_wal.chain(of_bases);
    match choice {
        TimelineChoice::Number(number) if known.clone().any(|timeline| timeline == number) => Ok(number),
        TimelineChoice::Number(timeline) => Err(Refusal::UnknownTimeline { timeline }),
        TimelineChoice::Latest | TimelineChoice::Current => known.max().ok_or(Refusal::NoBase),
    }
}

/// Follows the WAL from the base and refuses a goal beyond its end.
fn finish(
    base: &PlanBase,
    all: &[&PlanBase],
    path: &[Leg],
    wal: &WalState,
    request: &Request,
) -> Result<Route, Refusal> {
    if !starts_early_enough(base, &request.goal) {
        return Err(too_early(std::iter::once(base), &request.goal));
    }
    let (mut legs, beyond_gap) = route::follow(base, path, wal);
    if request.goal == Goal::Immediate {
        legs.truncate(1);
        legs[0].end = base.range.stop;
        return Ok(Route { base: base.clone(), legs, beyond_gap: None, earliest: base.range.ended_at });
    }
    let earliest = all.iter().map(|base| base.range.ended_at).min().unwrap_or(base.range.ended_at);
    let mut route = Route { base: base.clone(), legs, beyond_gap, earliest };
    let target = path.last().map_or(base.range.timeline, |leg| leg.timeline);
    let (end, reached) = (route.end(), route.timeline());
    if let Goal::Lsn(lsn) = request.goal {
        // A record that starts at the target, or behind it, has to be there for PostgreSQL to stop.
        if end <= lsn {
            return Err(match route.beyond_gap {
                Some(next) if next <= lsn => Refusal::Gap { from: end, to: next, timeline: reached },
                _ => {
                    Refusal::LsnTooLate { lsn, from: all.first().map_or(base.range.stop, |base| base.range.stop), end }
                }
            });
        }
        route.cut(lsn);
        return Ok(route);
    }
    if reached != target && !matches!(request.goal, Goal::Time(_)) {
        return Err(Refusal::Unconnected { from: end, timeline: reached, target });
    }
    match (&request.goal, route.beyond_gap) {
        (Goal::Time(_), _) | (_, None) => Ok(route),
        (_, Some(to)) => Err(Refusal::Gap { from: end, to, timeline: reached }),
    }
}

impl Route {
    /// Leaves out the WAL behind `lsn`.
    fn cut(&mut self, lsn: Lsn) {
        self.legs.retain(|leg| leg.start <= lsn);
    }

    /// Decides whether a moment can be reached, given the last commit in the WAL of the route; other goals pass.
    pub fn settle(self, request: &Request, last_commit: Option<Timestamp>) -> Result<Self, Refusal> {
        let Goal::Time(time) = request.goal else { return Ok(self) };
        // PostgreSQL stops at the first commit past the target. Without one it replays all and then reports failure.
        let passed = |last: Timestamp| if request.inclusive { last > time } else { last >= time };
        if last_commit.is_some_and(passed) {
            return Ok(self);
        }
        Err(match self.beyond_gap {
            Some(to) => Refusal::TimeInGap {
                time,
                last: last_commit.unwrap_or(self.base.range.ended_at),
                from: self.end(),
                to,
                timeline: self.timeline(),
            },
            None => Refusal::TimeTooLate { time, earliest: self.earliest, last: last_commit },
        })
    }
}
