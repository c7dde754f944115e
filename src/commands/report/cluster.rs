//! One cluster: what `status`, the retention plan and the listings say of it, brought together.

use std::collections::BTreeMap;

use super::facts::{ClusterReport, Line};
use super::{Looker, backups, reach, times};
use crate::commands::retention::gather;
use crate::commands::{Result, status};
use crate::format::ClusterName;
use crate::retention;
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
        let report = ClusterReport {
            cluster: cluster.clone(),
            system_identifier: seen.bucket.system_identifier,
            health: seen.health,
            reasons: seen.reasons,
            window: seen.bucket.window,
            restorable: reach::periods(&bases, &wal, &histories),
            wal,
            backups,
            unfinished: (facts.unfinished.len() + facts.unread.len()) as u64,
            policy_window_seconds: self.policy.window.as_secs().try_into().unwrap_or(0),
            min_lock_seconds: min_lock.as_secs(),
            no_plan,
        };
        Ok((report, gathered.findings))
    }

    async fn wal(&self, cluster: &ClusterName, timelines: &[status::TimelineFacts]) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for facts in timelines {
            lines.push(times::line(self.repository, cluster, facts).await?);
        }
        Ok(lines)
    }
}
