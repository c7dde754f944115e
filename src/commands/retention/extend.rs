//! `stonewal retention extend`: locks that follow the plan. It only ever lengthens, asks before it writes, and may be
//! interrupted and run again at any point.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::Serialize;

use super::acting::{Scene, Scope, Target, noteworthy, pinned};
use super::firsts::Firsts;
use crate::catalog::Finding;
use crate::commands::{Error, Result};
use crate::format::ClusterName;
use crate::limits::{FINDINGS_MAX, RETENTION_IN_FLIGHT};
use crate::retention::Item;
use crate::store::{self, Lock, LockMode, Read as _, Retain as _, VersionOf};
use targets::Targets;

mod targets;

const MONTH_SECONDS: f64 = 365.25 / 12.0 * 24.0 * 3600.0;
const GIB: f64 = 1_073_741_824.0;

/// What to extend.
#[derive(Debug)]
pub struct Options {
    /// Whose locks.
    pub scope: Scope,
    /// The furthest day until which compliance locks may be set: nobody can take one back.
    pub acknowledged: Option<Date>,
    /// Only tell.
    pub dry_run: bool,
    /// What a GiB costs in a month.
    pub price_per_gib_month: f64,
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// For this moment (store time).
    pub at: Timestamp,
    /// The furthest moment that a lock was, or would be, set to.
    pub furthest: Option<Timestamp>,
    /// Objects looked at.
    pub looked_at: u64,
    /// Locks lengthened, or that would be.
    pub extended: u64,
    /// Bytes of these objects.
    pub extended_bytes: u64,
    /// What storing these bytes until the new ends costs, in the currency of the price.
    pub cost: f64,
    /// Compliance locks that nobody acknowledged: left as they are. A dry run counts them among those to lengthen.
    pub unacknowledged: u64,
    /// The day that would have to be acknowledged for them.
    pub acknowledge: Option<Date>,
    /// Objects locked in governance mode although the configuration says compliance: the mode of a lock is never changed.
    pub weaker_mode: u64,
    /// Objects that the plan needs and that are gone; the first ones.
    pub missing: Vec<String>,
    /// How many are gone.
    pub missing_count: u64,
    /// What does not belong there.
    pub findings: Vec<Finding>,
}

/// What became of one lock.
enum Step {
    Fine { weaker: bool },
    Extended { bytes: u64, gib_months: f64, until: Timestamp, weaker: bool, unacknowledged: bool },
    Unacknowledged,
    Missing(String),
}

/// Extends.
pub async fn run(options: Options) -> Result<Outcome> {
    let (max, step) = (options.scope.policy.max, options.scope.policy.step());
    let mut scene = Scene::set(options.scope).await?;
    let findings = noteworthy(std::mem::take(&mut scene.findings));
    let targets = Targets::new(scene.plan.at, scene.plan.open_until, step, max);
    let furthest = scene.plan.furthest.map(|at| targets.of(at));
    // Looking needs no acknowledgement, but one that falls short is told.
    let acknowledged = acknowledge(options.acknowledged, furthest)?;
    // What nobody can take back is not begun before somebody has read until when and what it costs: then this only looks.
    let unread = furthest.filter(|_| !options.dry_run && !acknowledged && scene.mode == LockMode::Compliance);
    let mut work = Work {
        acknowledged,
        dry_run: options.dry_run || unread.is_some(),
        price: options.price_per_gib_month,
        targets,
        wraps: HashSet::new(),
        outcome: Outcome {
            location: scene.location.clone(),
            cluster: scene.cluster.clone(),
            dry_run: options.dry_run,
            at: scene.plan.at,
            furthest: None,
            looked_at: 0,
            extended: 0,
            extended_bytes: 0,
            cost: 0.0,
            unacknowledged: 0,
            acknowledge: furthest.map(day).filter(|_| !acknowledged),
            weaker_mode: 0,
            missing: Vec::new(),
            missing_count: 0,
            findings,
        },
        scene: &scene,
    };
    // What is needed first, what needs it last: wherever this stops, nothing outlives what it stands on (invariant I11).
    let wal = scene.repository.names().wal_timelines(&scene.cluster);
    for prefix in scene.ground().into_iter().chain([scene.keys(), wal]) {
        work.listed(&prefix).await?;
    }
    work.backups().await?;
    let mut outcome = work.outcome;
    if let Some(furthest) = unread {
        return Err(unacknowledged(&outcome, day(furthest)));
    }
    outcome.acknowledge = outcome.acknowledge.filter(|_| outcome.unacknowledged > 0);
    Ok(outcome)
}

fn day(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

/// Whether compliance locks may be lengthened. An acknowledgement that falls short of what will be set is none.
fn acknowledge(given: Option<Date>, furthest: Option<Timestamp>) -> Result<bool> {
    match (given, furthest.map(day)) {
        (Some(given), Some(furthest)) if given < furthest => Err(Error::Usage(format!(
            "--acknowledge-compliance {given} falls short: locks will be set until {furthest}"
        ))),
        (given, _) => Ok(given.is_some()),
    }
}

/// What an acknowledgement would be of: the day, how much is locked until then, and what keeping it costs (PAINS E4).
fn unacknowledged(looked: &Outcome, furthest: Date) -> Error {
    let (locks, bytes) = (looked.extended, bytesize::ByteSize(looked.extended_bytes).display().iec());
    let cost = format!("about {:.2} for storing it until then (retention.price_per_gib_month)", looked.cost);
    Error::Usage(format!(
        "lock.mode is compliance, so that nobody can take back what this sets: {locks} locks of {bytes}, at the longest until {furthest}, {cost}. Nothing was changed; look at it with --dry-run, then give --acknowledge-compliance {furthest}"
    ))
}

struct Work<'a> {
    scene: &'a Scene,
    acknowledged: bool,
    dry_run: bool,
    price: f64,
    targets: Targets,
    /// Wraps that the listing of all keys had, two of each backup.
    wraps: HashSet<VersionOf>,
    outcome: Outcome,
}

impl Work<'_> {
    /// Everything below a prefix that the plan keeps, in the version that counts.
    async fn listed(&mut self, prefix: &str) -> Result<()> {
        let scene = self.scene;
        let mut firsts = Firsts::genuine(&scene.repository, prefix);
        while let Some(entries) = firsts.next().await? {
            let mut kept = Vec::new();
            for entry in &entries {
                let item = Item::of(scene.repository.names(), &scene.cluster, entry.key.as_str());
                let Some(until) = scene.plan.verdict(&item).until() else { continue };
                if scene.repository.is_retired_bundle(entry.key.as_str()) {
                    continue;
                }
                if matches!(item, Item::Wrap(_)) {
                    self.wraps.insert(Target::of(entry).at);
                }
                kept.push((Target::of(entry), until));
            }
            self.all(kept).await?;
        }
        Ok(())
    }

    /// The objects of every backup that is kept, each manifest after what it names.
    async fn backups(&mut self) -> Result<()> {
        let scene = self.scene;
        for decision in &scene.plan.backups {
            let Some(until) = decision.verdict.until() else { continue };
            let Some(backup) = scene.backup(&decision.backup).await? else {
                self.take(Step::Missing(scene.repository.names().manifests(&scene.cluster, &decision.backup)));
                continue;
            };
            let objects = pinned(&scene.repository, &backup).into_iter();
            let objects = objects.filter(|target| !self.wraps.contains(&target.at)).map(|target| (target, until));
            self.all(objects.collect()).await?;
            self.all(vec![(Target::of(&backup.entry), until)]).await?;
        }
        Ok(())
    }

    async fn all(&mut self, targets: Vec<(Target, Timestamp)>) -> Result<()> {
        let this = &*self;
        let steps = stream::iter(targets).map(|(target, until)| async move { this.one(target, until).await });
        let steps: Vec<Step> = steps.buffer_unordered(RETENTION_IN_FLIGHT).try_collect().await?;
        for step in steps {
            self.take(step);
        }
        Ok(())
    }

    async fn one(&self, Target { at, bytes }: Target, until: Timestamp) -> Result<Step> {
        let store = &self.scene.store;
        let until = self.targets.of(until);
        let found = match store.lock_of(&at.key, &at.version).await {
            Ok(found) => found,
            Err(store::Error::NotFound { .. }) => return Ok(Step::Missing(at.key.to_string())),
            Err(error) => return Err(error.into()),
        };
        let now = store.clock().now();
        // A lock that has ended binds nobody any more, not to its mode either.
        let mode = found.filter(|lock| lock.retain_until > now).map_or(self.scene.mode, |lock| lock.mode);
        let weaker = mode == LockMode::Governance && self.scene.mode == LockMode::Compliance;
        let from = found.map_or(now, |lock| lock.retain_until).max(now);
        if found.is_some_and(|lock| lock.retain_until >= until) || until <= now {
            return Ok(Step::Fine { weaker });
        }
        let unacknowledged = mode == LockMode::Compliance && !self.acknowledged;
        if unacknowledged && !self.dry_run {
            return Ok(Step::Unacknowledged);
        }
        if !self.dry_run {
            match store.set_lock(&at.key, &at.version, Lock { mode, retain_until: until }).await {
                Ok(()) => {}
                Err(store::Error::NotFound { .. }) => return Ok(Step::Missing(at.key.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate of a price")]
        let gib_months = bytes as f64 / GIB * from.duration_until(until).as_secs_f64() / MONTH_SECONDS;
        Ok(Step::Extended { bytes, gib_months, until, weaker, unacknowledged })
    }

    fn take(&mut self, step: Step) {
        let outcome = &mut self.outcome;
        outcome.looked_at += 1;
        match step {
            Step::Fine { weaker } => outcome.weaker_mode += u64::from(weaker),
            Step::Extended { bytes, gib_months, until, weaker, unacknowledged } => {
                outcome.weaker_mode += u64::from(weaker);
                outcome.unacknowledged += u64::from(unacknowledged);
                outcome.extended += 1;
                outcome.extended_bytes += bytes;
                outcome.cost += gib_months * self.price;
                outcome.furthest = outcome.furthest.max(Some(until));
            }
            Step::Unacknowledged => outcome.unacknowledged += 1,
            Step::Missing(key) => {
                outcome.missing_count += 1;
                if outcome.missing.len() < FINDINGS_MAX {
                    outcome.missing.push(key);
                }
            }
        }
    }
}
