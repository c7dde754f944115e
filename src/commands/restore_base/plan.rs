//! The plan: what is stored, which base fits, what it comes to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::plan::{
    Goal, Leg, PlanBase, Refusal, Request, Route, TimelineChoice, TimelineWal, WalState, route,
};
use crate::catalog::{Backup, Diverging, Finding, Repository, Stretch, WalCatalog};
use crate::commands::Result;
use crate::commands::frozen::{Classes, FrozenPart};
use crate::format::wal::WalRange;
use crate::format::{BackupId, ClusterName, Lsn, SegmentSize, Timeline};

/// What will be used, and what can be reached.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The base.
    pub backup: BackupId,
    /// Why this one.
    pub reason: &'static str,
    /// When it ended, by the server's clock.
    pub base_ended_at: Timestamp,
    /// Where it is consistent.
    pub base_stop: Lsn,
    /// Its timeline.
    pub base_timeline: Timeline,
    /// Size of a WAL segment.
    pub segment_bytes: SegmentSize,
    /// Bytes to restore.
    pub plain_bytes: u64,
    /// Bytes to fetch for that.
    pub stored_bytes: u64,
    /// Chunks in other storage classes than the usual one.
    pub classes: BTreeMap<String, u64>,
    /// The same of the WAL that recovery may replay.
    pub wal_classes: BTreeMap<String, u64>,
    /// What of both cannot be read before it was thawed.
    pub frozen: Vec<FrozenPart>,
    /// Where recovery ends.
    pub goal: Goal,
    /// Whether what lies exactly at the target is still part of it.
    pub inclusive: bool,
    /// The timeline it ends on.
    pub timeline: Timeline,
    /// The WAL that recovery may replay, by timeline.
    pub wal: Vec<Leg>,
    /// Its bytes.
    pub wal_bytes: u64,
    /// Where WAL is missing behind what is replayed.
    pub gap: Option<Lsn>,
    /// The earliest moment that can be recovered to on this way.
    pub earliest: Timestamp,
    /// The last commit on this way; `None` if nothing was committed since the base.
    pub latest: Option<Timestamp>,
}

/// A plan and what it stands on.
pub(in crate::commands) struct Planned {
    pub(in crate::commands) plan: Plan,
    pub(in crate::commands) backup: Backup,
    pub(in crate::commands) findings: Vec<Finding>,
    /// Where no timeline was named: whether the latest is not the one that lives.
    pub(in crate::commands) diverging: Option<Diverging>,
    pub(in crate::commands) classes: Classes,
    pub(in crate::commands) wal_classes: Classes,
}

/// What came of planning.
pub(super) enum Attempt {
    Planned(Box<Planned>),
    Blocked(Box<Blocked>),
}

/// Why there is no plan: WAL is missing, as far as it can be read.
pub(super) struct Blocked {
    pub(super) refusal: Refusal,
    /// All WAL of the cluster.
    pub(super) classes: Classes,
    /// That behind the base which would be restored.
    pub(super) needed: Classes,
}

/// Plans. Reads listings, manifests and a few headers of WAL.
pub(in crate::commands) async fn make(
    repository: &Repository,
    cluster: &ClusterName,
    request: &Request,
) -> Result<Planned> {
    attempt(repository, cluster, request).await?.settled()
}

/// The same, with what lies in archive tiers where that may be why it cannot be done.
pub(super) async fn attempt(repository: &Repository, cluster: &ClusterName, request: &Request) -> Result<Attempt> {
    let mut bases = Vec::new();
    let mut findings = repository
        .each_backup(cluster, |backup| {
            let clear = backup.clear();
            bases.extend(clear.base.clone().map(|range| PlanBase { id: clear.backup.clone(), range }));
        })
        .await?;
    let wal = repository.wal(cluster).await?;
    findings.extend(wal.findings.iter().cloned());
    let segment = bases.first().map_or(SegmentSize::DEFAULT, |base| base.range.segment_bytes);
    let found = match route(&bases, &state(&wal, cluster, segment), request) {
        Ok(found) => found,
        Err(refusal) => {
            return explained(repository, (cluster, segment), (bases.as_slice(), request, &wal), refusal).await;
        }
    };
    let behind_base = stretches(&found);
    let latest = repository.latest_commit(cluster, segment, &behind_base).await?;
    let mut found = match found.settle(request, latest) {
        Ok(found) => found,
        Err(refusal) => {
            return explained(repository, (cluster, segment), (bases.as_slice(), request, &wal), refusal).await;
        }
    };
    let gap = found.beyond_gap.map(|_| found.end());
    if let Goal::Time(time) = request.goal
        && let Some(last) = repository.piece_past(cluster, segment, &behind_base, time).await?
    {
        cut(&mut found, last);
    }
    let (backup, beside) = repository.backup(cluster, &found.base.id).await?;
    findings.extend(beside);
    let classes = Classes::of(repository, &backup, None).await?;
    let wal_classes = Classes::of_wal(repository, (cluster, segment), &found.legs).await?;
    let clear = backup.clear();
    let plan = Plan {
        backup: found.base.id.clone(),
        reason: reason(request),
        base_ended_at: found.base.range.ended_at,
        base_stop: found.base.range.stop,
        base_timeline: found.base.range.timeline,
        segment_bytes: found.base.range.segment_bytes,
        plain_bytes: clear.plain_bytes(),
        stored_bytes: clear.stored_bytes(),
        classes: classes.counts.clone(),
        wal_classes: wal_classes.counts.clone(),
        frozen: classes.parts("chunk").into_iter().chain(wal_classes.parts("WAL object")).collect(),
        goal: request.goal.clone(),
        inclusive: request.inclusive,
        timeline: found.timeline(),
        wal_bytes: found.legs.iter().map(|leg| leg.end.since(leg.start)).sum(),
        wal: found.legs,
        gap,
        earliest: found.earliest,
        latest,
    };
    let diverging = wal.diverging().filter(|_| request.timeline == TimelineChoice::Latest);
    Ok(Attempt::Planned(Box::new(Planned { plan, backup, findings, diverging, classes, wal_classes })))
}

/// A refusal for want of WAL, with what lies in archive tiers: it cannot be read, so it neither proves itself nor tells times.
async fn explained(
    repository: &Repository,
    of: (&ClusterName, SegmentSize),
    (bases, request, wal): (&[PlanBase], &Request, &WalCatalog),
    refusal: Refusal,
) -> Result<Attempt> {
    if !refusal.is_for_wal() {
        return Err(refusal.into());
    }
    let behind = |start: Lsn| {
        let leg = move |timeline: &Timeline| Leg { timeline: *timeline, start, end: Lsn::new(u64::MAX) };
        wal.timelines.keys().map(leg).collect::<Vec<Leg>>()
    };
    let classes = Classes::of_wal(repository, of, &behind(Lsn::new(0))).await?;
    let needed = Classes::of_wal(repository, of, &behind(beginning(bases, request))).await?;
    Ok(Attempt::Blocked(Box::new(Blocked { refusal, classes, needed })))
}

/// Where the WAL begins that is replayed behind the base which fits, as far as that can be told without reading any.
fn beginning(bases: &[PlanBase], request: &Request) -> Lsn {
    let fits = |base: &&PlanBase| match (&request.base, &request.goal) {
        (Some(id), _) => base.id == *id,
        (None, Goal::Time(time)) => base.range.ended_at <= *time,
        (None, Goal::Lsn(lsn)) => base.range.stop <= *lsn,
        (None, _) => true,
    };
    let newest = bases.iter().filter(fits).max_by_key(|base| base.range.ended_at);
    newest.map_or(Lsn::new(0), |base| base.range.start)
}

/// The WAL that a recovery replays, by timeline: for whoever wants to keep it.
pub(in crate::commands) async fn wal_of(
    repository: &Repository,
    cluster: &ClusterName,
    request: &Request,
) -> Result<Vec<Leg>> {
    Ok(make(repository, cluster, request).await?.plan.wal)
}

/// The catalog of WAL as the plan sees it.
fn state(wal: &WalCatalog, cluster: &ClusterName, segment: SegmentSize) -> WalState {
    let timelines = wal.timelines.iter().map(|(timeline, coverage)| {
        let way = wal.path_to(cluster, *timeline).ok();
        let ancestors = way.map(|way| way.iter().filter_map(|leg| Some((leg.timeline, leg.switch?))).collect());
        let windows = coverage.windows.iter().map(|window| (window.start, window.end)).collect();
        (*timeline, TimelineWal { windows, ancestors })
    });
    WalState { segment: wal.segment().unwrap_or(segment), timelines: timelines.collect() }
}

/// The WAL of a route that lies behind the end of its base.
fn stretches(found: &Route) -> Vec<Stretch> {
    let stop = found.base.range.stop;
    let behind = found
        .legs
        .iter()
        .map(|leg| Stretch { timeline: leg.timeline, range: WalRange { start: leg.start.max(stop), end: leg.end } });
    behind.filter(|stretch| stretch.range.start < stretch.range.end).collect()
}

/// Nothing is replayed behind the piece in which the target lies.
fn cut(found: &mut Route, last: Stretch) {
    let Some(at) = found.legs.iter().position(|leg| leg.timeline == last.timeline) else { return };
    found.legs.truncate(at + 1);
    if let Some(leg) = found.legs.last_mut() {
        leg.end = leg.end.min(last.range.end);
    }
}

fn reason(request: &Request) -> &'static str {
    match request.goal {
        _ if request.base.is_some() => "it was named",
        Goal::Latest | Goal::Immediate => "it is the newest on the way",
        Goal::Time(_) | Goal::Lsn(_) => "it is the newest that ended before the target",
        Goal::Xid(_) | Goal::Name(_) => {
            "it is the oldest without a gap behind it: where such a target lies is not recorded; name a later base to replay less"
        }
    }
}
