//! Which backups stay, and for which reasons.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::lines::Lines;
use super::policy::{Policy, after};
use super::{BackupDecision, BackupFact, Error, Facts, Ground, Period, Reason, Result, Verdict, Verified};
use crate::format::BackupId;
use crate::format::manifest::Kind;

/// How far the times of one store may differ.
pub(super) const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

const KINDS: [Kind; 2] = [Kind::Dump, Kind::Base];

/// Whether it arrived when it cannot have.
pub(super) fn is_future(fact: &BackupFact, now: Timestamp) -> bool {
    fact.arrived_at > after(now, CLOCK_TOLERANCE)
}

/// The grounds of every backup, as they come together.
struct Grounds<'a> {
    facts: &'a Facts,
    policy: &'a Policy,
    now: Timestamp,
    all: BTreeMap<&'a BackupId, Vec<Ground>>,
}

/// Decides. `lines` are those of all bases; what is from the future counts for nothing on them.
pub(super) fn decide(facts: &Facts, policy: &Policy, now: Timestamp, lines: &Lines<'_>) -> Result<Vec<BackupDecision>> {
    let mut grounds = Grounds { facts, policy, now, all: BTreeMap::new() };
    let window = lines.window();
    for fact in &facts.backups {
        grounds.of_one(fact, window.get(&fact.id));
    }
    for kind in KINDS {
        grounds.of_kind(kind);
    }
    let mut ordered: Vec<&BackupFact> = facts.backups.iter().collect();
    ordered.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let decisions: Vec<BackupDecision> = ordered.into_iter().map(|fact| grounds.judge(fact)).collect();
    refuse_nothing_left(facts, now, &decisions)?;
    Ok(decisions)
}

impl<'a> Grounds<'a> {
    fn keep(&mut self, id: &'a BackupId, until: Timestamp, why: Reason) {
        let until = until.min(after(self.now, self.policy.max));
        if until > self.now {
            self.all.entry(id).or_default().push(Ground { until, why });
        }
    }

    fn keep_open(&mut self, id: &'a BackupId, why: Reason) {
        self.keep(id, self.policy.open_until(self.now), why);
    }

    /// What a backup by itself is kept for.
    fn of_one(&mut self, fact: &'a BackupFact, window: Option<&Ground>) {
        let policy = self.policy;
        if is_future(fact, self.now) {
            self.keep_open(&fact.id, Reason::Future(fact.arrived_at));
        } else if fact.replaced_by.is_some() {
            // Its copy is kept for what it was kept for.
        } else if let Some(Ground { until, why }) = window {
            self.keep(&fact.id, *until, why.clone());
        } else if fact.kind == Kind::Dump {
            let window = policy.window_of(Kind::Dump);
            self.keep(&fact.id, after(fact.arrived_at, window), Reason::Window(window));
        }
        if policy.keep.contains(&fact.id) {
            self.keep_open(&fact.id, Reason::Marked);
        }
        if let Some(original) = fact.copy_of.as_ref().filter(|original| policy.keep.contains(original))
            && fact.is_current()
        {
            self.keep_open(&fact.id, Reason::MarkedOriginal(original.clone()));
        }
        if fact.held {
            self.keep_open(&fact.id, Reason::Hold);
        }
    }

    /// What backups are kept for among those of their kind. Only what is whole and not from the future counts.
    fn of_kind(&mut self, kind: Kind) {
        let counts = |fact: &&BackupFact| fact.kind == kind && counts(fact, self.now);
        let mut newest: Vec<&'a BackupFact> = self.facts.backups.iter().filter(counts).collect();
        newest.sort_by(|a, b| b.rank().cmp(&a.rank()));
        let (last, redundancy) = (self.policy.keep_last(kind), self.policy.redundancy(kind));
        for (number, fact) in (1..).zip(&newest) {
            if number <= last {
                self.keep_open(&fact.id, Reason::NewestOf { count: last, kind });
            } else if number <= redundancy {
                self.keep_open(&fact.id, Reason::Redundancy { count: redundancy, kind });
            }
        }
        newest.sort_by(|a, b| b.arrival().cmp(&a.arrival()));
        for (period, count) in self.policy.periods(kind).into_iter().filter(|(_, count)| *count > 0) {
            for (first, fact) in firsts(period, &newest) {
                self.keep(&fact.id, period.end(first, count), Reason::First { period, name: period.name(first) });
            }
        }
    }

    fn judge(&mut self, fact: &BackupFact) -> BackupDecision {
        let mut grounds = self.all.remove(&fact.id).unwrap_or_default();
        // The longest first; among equals in the order in which they were found.
        grounds.sort_by_key(|ground| std::cmp::Reverse(ground.until));
        let replays = |ground: &Ground| matches!(ground.why, Reason::WindowBase { .. } | Reason::Future(_));
        let replays = grounds.iter().any(replays);
        let mut grounds = grounds.into_iter();
        let verdict = match grounds.next() {
            Some(Ground { until, why }) => Verdict::Keep { until, why },
            None => self.unkept(fact),
        };
        BackupDecision {
            backup: fact.id.clone(),
            kind: fact.kind,
            arrived_at: fact.arrived_at,
            verified: fact.verified.clone(),
            bytes: fact.bytes,
            own_end_only: fact.kind == Kind::Base && !replays && !fact.held && matches!(verdict, Verdict::Keep { .. }),
            verdict,
            also: grounds.collect(),
        }
    }

    fn unkept(&self, fact: &BackupFact) -> Verdict {
        if let Some(copy) = &fact.replaced_by {
            return Verdict::Expire { why: Reason::Replaced(copy.clone()) };
        }
        let Verified::No(why) = &fact.verified else { return Verdict::Expire { why: Reason::NoRule } };
        let (why, kind) = (why.clone(), fact.kind);
        if self.facts.backups.iter().any(|other| other.kind == kind && counts(other, self.now)) {
            Verdict::Expire { why: Reason::NotWhole(why) }
        } else {
            Verdict::Leave { why: Reason::NothingBetter { why, kind } }
        }
    }
}

fn counts(fact: &BackupFact, now: Timestamp) -> bool {
    fact.is_current() && !is_future(fact, now)
}

/// The first backup of every period: once it is there, nothing that comes later takes its place, imported ones of that time
/// neither, so that what it is locked for never turns out to be wrong.
fn firsts<'f>(period: Period, last_come_first: &[&'f BackupFact]) -> BTreeMap<Date, &'f BackupFact> {
    last_come_first.iter().map(|fact| (period.first_day(fact.taken_at()), *fact)).collect()
}

/// Whatever the policy says: it must not leave nothing of a kind.
fn refuse_nothing_left(facts: &Facts, now: Timestamp, decisions: &[BackupDecision]) -> Result<()> {
    let counting: BTreeSet<&BackupId> =
        facts.backups.iter().filter(|fact| counts(fact, now)).map(|fact| &fact.id).collect();
    for kind in KINDS {
        let of_kind = || decisions.iter().filter(|d| d.kind == kind && counting.contains(&d.backup));
        let count = of_kind().count();
        if count > 0 && !of_kind().any(|decision| matches!(decision.verdict, Verdict::Keep { .. })) {
            return Err(Error::ExpiresAll { cluster: facts.cluster.to_string(), kind, count });
        }
    }
    Ok(())
}
