//! The plan: a verdict on everything that is stored of a cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::backups::decide;
use super::doubt::{Doubt, doubtful};
use super::lines::Lines;
use super::needs::Need;
use super::policy::{Policy, after};
use super::{BackupFact, Facts, Item, Reason, Result, Verified};
use crate::format::manifest::Kind;
use crate::format::wal::WalRange;
use crate::format::{BackupId, ClusterName, KeyId, Lsn, SegmentSize, Timeline};

/// What is to become of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It must stay, locked at least until then.
    Keep {
        /// Store time.
        until: Timestamp,
        /// The reason that lasts longest.
        why: Reason,
    },
    /// It may be removed once its lock has ended.
    Expire {
        /// Why nothing keeps it.
        why: Reason,
    },
    /// Neither its lock nor itself is touched.
    Leave {
        /// Why the plan has no say.
        why: Reason,
    },
}

impl Verdict {
    /// Until when it must stay.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Keep { until, .. } => Some(*until),
            Self::Expire { .. } | Self::Leave { .. } => None,
        }
    }

    /// Whether it may be removed.
    pub fn expires(&self) -> bool {
        matches!(self, Self::Expire { .. })
    }

    /// The reason.
    pub fn why(&self) -> &Reason {
        match self {
            Self::Keep { why, .. } | Self::Expire { why } | Self::Leave { why } => why,
        }
    }
}

/// A reason to keep something, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ground {
    /// Store time.
    pub until: Timestamp,
    /// The reason.
    pub why: Reason,
}

/// What is to become of a backup: its manifest, chunks and wraps.
#[derive(Clone, Debug, Serialize)]
pub struct BackupDecision {
    /// Its id.
    pub backup: BackupId,
    /// What it is.
    pub kind: Kind,
    /// When its manifest arrived (store time).
    pub arrived_at: Timestamp,
    /// Whether it is whole.
    pub verified: Verified,
    /// Bytes stored.
    pub bytes: u64,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Further reasons to keep it, the longest first.
    pub also: Vec<Ground>,
    /// Of a base that is kept: whether the WAL behind it is not kept for its sake, so that it restores to its own end only.
    pub own_end_only: bool,
}

impl BackupDecision {
    /// Whether a legal hold lies on it.
    pub fn is_held(&self) -> bool {
        let also = self.also.iter().map(|ground| &ground.why);
        also.chain([self.verdict.why()]).any(|why| *why == Reason::Hold)
    }
}

/// What is to become of a folder that is no backup, or not known to be one.
#[derive(Clone, Debug, Serialize)]
pub struct UnfinishedDecision {
    /// The id that the folder is named after.
    pub backup: BackupId,
    /// Bytes stored, if known.
    pub bytes: Option<u64>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What is to become of stored WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalDecision {
    /// The timeline.
    pub timeline: Timeline,
    /// First byte.
    pub start: Lsn,
    /// First byte no longer part of it.
    pub end: Lsn,
    /// Bytes of WAL, before compression.
    pub bytes: u64,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The plan of one cluster.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: ClusterName,
    /// The moment that it was made for (store time).
    pub at: Timestamp,
    /// Until when what has no end in sight is locked.
    pub open_until: Timestamp,
    /// The furthest moment until which anything must stay; `None` if nothing must.
    pub furthest: Option<Timestamp>,
    /// Backups, by arrival.
    pub backups: Vec<BackupDecision>,
    /// Folders without a manifest, or with one that is not believed.
    pub unfinished: Vec<UnfinishedDecision>,
    /// Stored WAL, by timeline and position.
    pub wal: Vec<WalDecision>,
    #[serde(skip)]
    by_backup: HashMap<BackupId, Verdict>,
    #[serde(skip)]
    by_key: HashMap<KeyId, Verdict>,
    #[serde(skip)]
    needed: BTreeMap<Timeline, Vec<Need>>,
    #[serde(skip)]
    planned: BTreeSet<Timeline>,
    #[serde(skip)]
    proven: BTreeMap<Timeline, Vec<WalRange>>,
    #[serde(skip)]
    doubtful: BTreeMap<Timeline, Doubt>,
    #[serde(skip)]
    segment: Option<SegmentSize>,
}

/// Makes the plan for the moment `now`, by the store's clock.
///
/// # Errors
/// A policy that keeps for longer than anything may be locked, or that would leave no whole backup of a kind.
pub fn plan(facts: &Facts, policy: &Policy, now: Timestamp) -> Result<Plan> {
    policy.check()?;
    let bases: Vec<&BackupFact> = facts.backups.iter().filter(|fact| fact.replaced_by.is_none() || fact.held).collect();
    let lines = Lines::of(facts, &bases, policy, now);
    let mut backups = decide(facts, policy, now, &lines)?;
    let newest = newest_base(facts, &backups, now).cloned();
    let newest = newest.as_ref();
    for decision in backups.iter_mut().filter(|decision| newest == Some(&decision.backup)) {
        decision.own_end_only = false;
    }
    let needed = lines.needs(newest).settle();
    let unfinished = unfinished(facts, policy, now);
    // Without the size of segments nothing tells which names are WAL; without a base that can be read, what a base that
    // cannot would need.
    let blind = facts.segment.is_none() || (newest.is_none() && !facts.unread.is_empty());
    let stored = facts.wal.iter().filter(|fact| !fact.windows.is_empty() && !blind);
    let mut plan = Plan {
        cluster: facts.cluster.clone(),
        at: now,
        open_until: policy.open_until(now),
        furthest: None,
        by_backup: HashMap::new(),
        by_key: by_key(facts, &backups),
        wal: Vec::new(),
        planned: stored.map(|fact| fact.timeline).collect(),
        doubtful: doubtful(facts, policy, now),
        proven: facts.wal.iter().map(|fact| (fact.timeline, fact.proven.clone())).collect(),
        segment: facts.segment,
        backups,
        unfinished,
        needed,
    };
    plan.by_backup = plan.backups.iter().map(|d| (d.backup.clone(), d.verdict.clone())).collect();
    plan.by_backup.extend(plan.unfinished.iter().map(|d| (d.backup.clone(), d.verdict.clone())));
    plan.wal = facts.wal.iter().flat_map(|fact| plan.ranges(fact.timeline, &fact.windows)).collect();
    let kept = plan.backups.iter().map(|d| &d.verdict).chain(plan.wal.iter().map(|d| &d.verdict));
    plan.furthest = kept.filter_map(Verdict::until).max();
    Ok(plan)
}

/// The newest whole base among those that are kept. Of an original and its copy, which are equally old, it is the copy: the
/// original does not take part in what needs WAL.
fn newest_base<'d>(facts: &Facts, backups: &'d [BackupDecision], now: Timestamp) -> Option<&'d BackupId> {
    let replaced = |id: &BackupId| facts.backups.iter().any(|fact| fact.id == *id && fact.replaced_by.is_some());
    let kept = |d: &&BackupDecision| {
        let future =
            matches!(d.verdict.why(), Reason::Future(_)) || d.arrived_at > after(now, super::backups::CLOCK_TOLERANCE);
        let whole = d.kind == Kind::Base && d.verified == Verified::Yes;
        whole && d.verdict.until().is_some() && !future && !replaced(&d.backup)
    };
    backups.iter().rev().find(kept).map(|decision| &decision.backup)
}

fn unfinished(facts: &Facts, policy: &Policy, now: Timestamp) -> Vec<UnfinishedDecision> {
    let folders = facts.unfinished.iter().map(|fact| {
        let until = after(fact.newest_at, policy.unfinished).min(after(now, policy.max));
        let verdict = if until > now {
            Verdict::Keep { until, why: Reason::Unfinished(policy.unfinished) }
        } else {
            Verdict::Expire { why: Reason::Abandoned(fact.newest_at) }
        };
        UnfinishedDecision { backup: fact.id.clone(), bytes: Some(fact.bytes), verdict }
    });
    let unread = facts.unread.iter().map(|fact| UnfinishedDecision {
        backup: fact.id.clone(),
        bytes: None,
        verdict: Verdict::Leave { why: Reason::Unread(fact.why.clone()) },
    });
    folders.chain(unread).collect()
}

/// What the backups say of their keys. A key of several is kept as long as the longest of them.
fn by_key(facts: &Facts, decisions: &[BackupDecision]) -> HashMap<KeyId, Verdict> {
    let keys: HashMap<&BackupId, &[KeyId]> = facts.backups.iter().map(|fact| (&fact.id, &*fact.keys)).collect();
    let mut verdicts: HashMap<KeyId, Verdict> = HashMap::new();
    for decision in decisions {
        let verdict = match &decision.verdict {
            Verdict::Keep { until, .. } => Verdict::Keep { until: *until, why: Reason::KeyOf(decision.backup.clone()) },
            Verdict::Expire { .. } => Verdict::Expire { why: Reason::KeyOfExpired(decision.backup.clone()) },
            leave @ Verdict::Leave { .. } => leave.clone(),
        };
        for key in keys.get(&decision.backup).copied().unwrap_or_default() {
            match verdicts.get(key) {
                Some(known) if known.until() >= verdict.until() && !known.expires() => {}
                _ => drop(verdicts.insert(*key, verdict.clone())),
            }
        }
    }
    verdicts
}

impl Plan {
    /// The verdict on an object. Whoever removes what expires must have made the plan after that object arrived.
    pub fn verdict(&self, item: &Item) -> Verdict {
        match item {
            Item::Backup(id) => self.by_backup.get(id).cloned().unwrap_or_else(|| leave(Reason::Unplanned)),
            Item::Wrap(key) => self.by_key.get(key).cloned().unwrap_or_else(|| self.as_long_as_any(Reason::UnknownKey)),
            Item::Partial { timeline, range } if self.is_superseded(*timeline, *range) => {
                Verdict::Expire { why: Reason::Superseded }
            }
            Item::Piece { timeline, range } | Item::Partial { timeline, range } => self.of_wal(*timeline, *range),
            Item::Notes(name) => match self.segment.and_then(|size| Some((name.start(size)?, size))) {
                Some((start, size)) => self.of_wal(name.timeline, WalRange { start, end: start.plus(size.bytes()) }),
                None => leave(Reason::Unplanned),
            },
            Item::History(_) | Item::Gap(_) | Item::ClusterRecord | Item::Foundation => {
                self.as_long_as_any(Reason::NoneKept)
            }
            Item::Canary => Verdict::Expire { why: Reason::Canary },
            Item::Audit | Item::Evidence => leave(Reason::OwnLock),
            Item::OtherCluster(_) => leave(Reason::OtherCluster),
            Item::Unknown => leave(Reason::Unknown),
        }
    }

    /// Whether a backup known here names this data key. Any other may be one that WAL is sealed under.
    pub fn names_key(&self, key: KeyId) -> bool {
        self.by_key.contains_key(&key)
    }

    /// What anything may stand on is kept until the last of all goes.
    fn as_long_as_any(&self, none: Reason) -> Verdict {
        match self.furthest {
            Some(until) => Verdict::Keep { until, why: Reason::Needed },
            None => leave(none),
        }
    }

    /// By position: what is not genuine shares the fate of what lies there.
    fn of_wal(&self, timeline: Timeline, range: WalRange) -> Verdict {
        if !self.planned.contains(&timeline) {
            return leave(Reason::Unplanned);
        }
        let needed = self.needed.get(&timeline).map(Vec::as_slice).unwrap_or_default();
        let from = needed.partition_point(|need| need.range.end <= range.start);
        let touched = needed[from..].iter().take_while(|need| need.range.start < range.end);
        match touched.max_by_key(|need| need.ground.until) {
            Some(Need { ground: Ground { until, why }, .. }) => Verdict::Keep { until: *until, why: why.clone() },
            None => match self.doubtful.get(&timeline).filter(|doubt| doubt.from < range.end) {
                Some(doubt) => leave(Reason::UnreadBackup(doubt.backup.clone())),
                None => Verdict::Expire { why: Reason::UnneededWal },
            },
        }
    }

    fn is_superseded(&self, timeline: Timeline, range: WalRange) -> bool {
        let proven = self.proven.get(&timeline).map(Vec::as_slice).unwrap_or_default();
        proven.iter().any(|whole| whole.start <= range.start && range.end <= whole.end)
    }

    /// Stored WAL cut where the verdict changes.
    fn ranges(&self, timeline: Timeline, windows: &[WalRange]) -> Vec<WalDecision> {
        let needed = self.needed.get(&timeline).map(Vec::as_slice).unwrap_or_default();
        let edges = needed.iter().flat_map(|need| [need.range.start, need.range.end]);
        let edges: BTreeSet<Lsn> = edges.chain(self.doubtful.get(&timeline).map(|doubt| doubt.from)).collect();
        let mut decisions: Vec<WalDecision> = Vec::new();
        for window in windows {
            let inside = edges.range(window.start..window.end).copied().filter(|edge| *edge > window.start);
            let starts: Vec<Lsn> = std::iter::once(window.start).chain(inside).collect();
            let ends = starts.iter().skip(1).copied().chain([window.end]);
            for (start, end) in starts.iter().copied().zip(ends) {
                let verdict = self.of_wal(timeline, WalRange { start, end });
                match decisions.last_mut() {
                    Some(last) if last.end == start && last.verdict == verdict => {
                        last.end = end;
                        last.bytes = end.since(last.start);
                    }
                    _ => decisions.push(WalDecision { timeline, start, end, bytes: end.since(start), verdict }),
                }
            }
        }
        decisions
    }
}

fn leave(why: Reason) -> Verdict {
    Verdict::Leave { why }
}
