//! `stonewal report`: what an auditor asks about, gathered at one moment and by the bucket alone.
//!
//! Nothing here is decided anew: the verdict is that of `status`, reasons and ends are those of the retention plan, findings
//! those of looking for backups. What this adds is time: when WAL came in, and from when to when recovery is possible.

use jiff::Timestamp;
use serde::Serialize;

use super::status::Thresholds;
use super::{Connected, RepositoryOptions, Result};
use crate::catalog::{Access, Repository};
use crate::format::ClusterName;
use crate::retention::Policy;
use crate::store::Read as _;
use crate::verify::Findings;

mod archive;
mod backups;
mod checklist;
mod cluster;
pub mod dr;
mod facts;
mod reach;
mod sealed;
mod times;
mod traces;
mod write;

pub use checklist::{Point, Terms};
pub use facts::{BackupRow, ClusterReport, Line, LockState, Missing, Period, Run};
pub use write::replace;

/// What to report on.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind: they say whose backups count.
    pub access: Access,
    /// One cluster; `None` = all.
    pub cluster: Option<ClusterName>,
    /// What is kept.
    pub policy: Policy,
    /// What is acceptable.
    pub thresholds: Thresholds,
    /// What a checklist asks.
    pub terms: Terms,
}

/// The report.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// When it was looked at (store time).
    pub at: Timestamp,
    /// Version of stonewal.
    pub stonewal: String,
    /// By name of the cluster.
    pub clusters: Vec<ClusterReport>,
    /// What does not belong in the repository, in whichever cluster.
    pub findings: Findings,
}

/// One look at everything.
struct Looker<'a> {
    connected: &'a Connected,
    repository: &'a Repository,
    policy: &'a Policy,
    thresholds: &'a Thresholds,
    terms: &'a Terms,
}

/// Looks at everything. What is wrong with a cluster is in its report; an error means that the bucket could not be looked at.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    let clusters = match options.cluster {
        Some(cluster) => vec![cluster],
        None => repository.clusters().await?,
    };
    let looker = Looker {
        connected: &connected,
        repository: &repository,
        policy: &options.policy,
        thresholds: &options.thresholds,
        terms: &options.terms,
    };
    let mut findings = Findings::default();
    findings.extend(repository.findings().iter().cloned());
    let mut reports = Vec::new();
    for cluster in &clusters {
        let (report, beside) = looker.cluster(cluster).await?;
        reports.push(report);
        findings.merge(beside);
    }
    let (at, stonewal) = (connected.store.clock().now(), env!("CARGO_PKG_VERSION").to_owned());
    Ok(Outcome { location: connected.location, at, stonewal, clusters: reports, findings })
}
