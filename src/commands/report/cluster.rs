//! One cluster: what `status`, the retention plan and the listings say of it, brought together.

use std::collections::BTreeMap;

use super::checklist::{self, Ground, Point};
use super::facts::{ClusterReport, Line};
use super::sealed::Sealed;
use super::{Looker, archive, backups, reach, times, traces};
use crate::commands::retention::gather;
use crate::commands::{Result, status};
use crate::format::ClusterName;
use crate::format::manifest::Kind;
use crate::retention;
use crate::store::Read as _;
use crate::verify::Findings;

impl Looker<'_> {
    /// The report, and what was found beside what belongs there.
    pub(super) async fn cluster(&self, cluster: &ClusterName) -> Result<(ClusterReport, Findings)> {
        let seen = status::of_bucket(self.connected, self.repository, cluster, self.thresholds).await?;
        let gathered = gather(self.connected, self.repository, cluster).await?;
        let facts = &gathered.facts;
        let (plan, no_plan) = match retention::plan(facts, self.policy, gathered.begun_at) {
            Ok(plan) => (Some(plan), None),
            Err(refusal) => (None, Some(format!("{refusal}; {}", refusal.hint()))),
        };
        let min_lock = self.thresholds.min_lock;
        let of = (facts, plan.as_ref());
        let backups = backups::rows(self.connected, self.repository, cluster, of, min_lock).await?;
        let wal = self.wal(cluster, &seen.bucket.timelines).await?;
        let histories: BTreeMap<_, _> = facts.wal.iter().map(|fact| (fact.timeline, fact.history.clone())).collect();
        let bases: Vec<_> = facts.backups.iter().filter_map(|fact| fact.base.as_ref()).collect();
        let (drills, beside) = self.repository.evidence(cluster).await?;
        let mut findings = gathered.findings;
        findings.extend(beside);
        let physical_since = self.repository.cluster_record(cluster).await?.map(|record| record.created_at);
        let mut report = ClusterReport {
            cluster: cluster.clone(),
            archive: false,
            system_identifier: seen.bucket.system_identifier,
            health: seen.health,
            reasons: seen.reasons,
            window: seen.bucket.window,
            restorable: reach::periods(&bases, &wal, &histories),
            wal,
            checklist: Vec::new(),
            physical_since,
            backups,
            drills: drills.into_iter().map(|kept| kept.evidence).collect(),
            unfinished: (facts.unfinished.len() + facts.unread.len()) as u64,
            policy_window_seconds: self.policy.window.as_secs().try_into().unwrap_or(0),
            min_lock_seconds: min_lock.as_secs(),
            locks: seen.bucket.locks,
            no_plan,
        };
        if archive::is_one(self.repository, &report).await? {
            archive::judge(&mut report);
        }
        report.checklist = self.checklist(&report).await?;
        Ok((report, findings))
    }

    async fn checklist(&self, report: &ClusterReport) -> Result<Vec<Point>> {
        let mut sealed = Vec::new();
        for kind in [Kind::Base, Kind::Dump] {
            let newest = report.backups.iter().rev().find(|row| row.kind == kind);
            if let Some(row) = newest {
                let (backup, _) = self.repository.backup(&report.cluster, &row.backup).await?;
                sealed.push(Sealed::look(self.repository, &backup).await?);
            }
        }
        let trace = traces::of(self.repository, report.own_drills().next()).await?;
        let at = self.connected.store.clock().now();
        Ok(checklist::points_of(&Ground { at, cluster: report, sealed: &sealed, trace, terms: self.terms }))
    }

    async fn wal(&self, cluster: &ClusterName, timelines: &[status::TimelineFacts]) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for facts in timelines {
            lines.push(times::line(self.repository, cluster, facts).await?);
        }
        Ok(lines)
    }
}
