//! `stonewal retention plan`: what stays, until when and why. Changes nothing.

use jiff::Timestamp;
use serde::Serialize;

use super::firsts::Firsts;
use super::{Superseded, gather};
use crate::catalog::{Access, Branch, Diverging, Replacement, Repository};
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::format::{BackupId, ClusterName};
use crate::retention::{self, Facts, Item, Plan, Policy};
use crate::store::Read as _;
use crate::verify::Findings;

/// What to plan.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind: they say whose manifests count.
    pub access: Access,
    /// One cluster; `None` = all.
    pub cluster: Option<ClusterName>,
    /// The rules.
    pub policy: Policy,
    /// As it will be at this moment, if nothing else is stored until then; `None` = now.
    pub at: Option<Timestamp>,
}

/// The plan of one cluster.
#[derive(Debug, Serialize)]
pub struct ClusterPlan {
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// Partials that whole pieces have replaced; they expire.
    pub superseded: Superseded,
    /// Originals of WAL that copies under other data keys took the place of; they expire.
    pub replaced: Superseded,
    /// Whether the latest timeline is not the one that lives.
    pub diverging: Option<Diverging>,
}

/// All plans.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// By name of the cluster.
    pub clusters: Vec<ClusterPlan>,
    /// What is marked keep and is no backup of these clusters.
    pub unknown_marks: Vec<BackupId>,
    /// What does not belong there.
    pub findings: Findings,
}

/// Looks at everything and plans.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let now = connected.store.clock().now();
    if let Some(at) = options.at.filter(|at| *at < now) {
        return Err(Error::Usage(format!("--at {at} is over: a plan is for now or for later")));
    }
    let clusters = match options.cluster {
        Some(cluster) => vec![cluster],
        None => repository.clusters().await?,
    };
    let mut findings = Findings::default();
    findings.extend(repository.findings().iter().cloned());
    let mut plans = Vec::new();
    for cluster in &clusters {
        let gathered = gather(&connected, &repository, cluster).await?;
        findings.merge(gathered.findings);
        let plan = retention::plan(&gathered.facts, &options.policy, options.at.unwrap_or(gathered.begun_at))?;
        let (superseded, replaced) = (gathered.superseded, replaced(&repository, &plan).await?);
        plans.push(ClusterPlan { plan, superseded, replaced, diverging: diverging(&gathered.facts) });
    }
    let known = |id: &BackupId| plans.iter().any(|of| of.plan.backups.iter().any(|decision| decision.backup == *id));
    let unknown_marks = options.policy.keep.iter().filter(|id| !known(id)).cloned().collect();
    Ok(Outcome { location: connected.location, clusters: plans, unknown_marks, findings })
}

/// What copies took the place of, where the plan keeps that WAL.
async fn replaced(repository: &Repository, plan: &Plan) -> Result<Superseded> {
    let (names, mut sum) = (repository.names(), Superseded::default());
    let mut firsts = Firsts::genuine(repository, &names.wal_timelines(&plan.cluster));
    while let Some(found) = firsts.next_replacements().await? {
        for Replacement { copy, replaced } in found {
            let item = Item::of(names, &plan.cluster, copy.key.as_str());
            if plan.verdict(&item).until().is_some() {
                sum.objects += replaced.len() as u64;
                sum.bytes += replaced.iter().map(|entry| entry.bytes).sum::<u64>();
            }
        }
    }
    Ok(sum)
}

fn diverging(facts: &Facts) -> Option<Diverging> {
    Diverging::among(facts.wal.iter().filter_map(|fact| {
        let (end, newest_at) = (fact.windows.last()?.end, fact.newest_at?);
        Some(Branch { timeline: fact.timeline, history: fact.history.as_ref(), end, newest_at })
    }))
}
