//! The plan: what is stored, which base fits, what it comes to.

use jiff::Timestamp;
use serde::Serialize;

use super::owner::Owner;
use super::recovery::WalSource;
use super::work::Job;
use crate::catalog::plan::{Goal, Leg, PlanBase, Request, WalState, route};
use crate::catalog::{Backup, Finding, Repository};
use crate::commands::Result;
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
    /// Bytes to restore.
    pub plain_bytes: u64,
    /// Bytes to fetch for that.
    pub stored_bytes: u64,
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
    /// The earliest moment that can be recovered to on this way.
    pub earliest: Timestamp,
    /// The last commit on this way; `None` if nothing was committed since the base.
    pub latest: Option<Timestamp>,
}

/// Stored WAL.
pub(super) struct StoredWal;

/// A plan and what it stands on.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) backup: Backup,
    pub(super) wal: Option<StoredWal>,
    pub(super) findings: Vec<Finding>,
}

/// Plans.
pub(super) async fn make(
    repository: &Repository,
    cluster: &ClusterName,
    request: &Request,
    _wal: WalSource,
) -> Result<Planned> {
    let mut bases = Vec::new();
    let mut findings = repository
        .each_backup(cluster, |backup| {
            let clear = backup.clear();
            bases.extend(clear.base.clone().map(|range| PlanBase { id: clear.backup.clone(), range }));
        })
        .await?;
    let segment = bases.first().map_or(SegmentSize::DEFAULT, |base| base.range.segment_bytes);
    let state = WalState { segment, timelines: std::collections::BTreeMap::new() };
    let found = route(&bases, &state, request)?.settle(request, None)?;
    let (backup, beside) = repository.backup(cluster, &found.base.id).await?;
    findings.extend(beside);
    let clear = backup.clear();
    let plan = Plan {
        backup: found.base.id.clone(),
        reason: reason(request),
        base_ended_at: found.base.range.ended_at,
        base_stop: found.base.range.stop,
        plain_bytes: clear.plain_bytes(),
        stored_bytes: clear.stored_bytes(),
        goal: request.goal.clone(),
        inclusive: request.inclusive,
        timeline: found.timeline(),
        wal_bytes: found.legs.iter().map(|leg| leg.end.since(leg.start)).sum(),
        wal: found.legs,
        earliest: found.earliest,
        latest: None,
    };
    Ok(Planned { plan, backup, wal: None, findings })
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

pub(super) async fn fetch_local(_job: &Job<'_>, _data: &std::path::Path, _owner: Owner) -> Result<()> {
    Ok(())
}
