//! The retention plans of the clusters, asked about one object after the other.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::catalog::Repository;
use crate::commands::retention::{Gathered, gather};
use crate::commands::{Connected, Result};
use crate::format::{BackupId, ClusterName};
use crate::retention::{self, Item, Plan, Policy, Verdict, Verified};

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept at least until then.
    Kept(Timestamp),
    /// It may go.
    Expires,
    /// No plan has a say.
    Left,
}

impl From<&Verdict> for Fate {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Keep { until, .. } => Self::Kept(*until),
            Verdict::Expire { .. } => Self::Expires,
            Verdict::Leave { .. } => Self::Left,
        }
    }
}

/// The plan of one cluster.
struct Planned {
    plan: Plan,
    /// Whether anything there is signed, cannot be read now, or may be the beginning of a backup. A folder is made by whoever may
    /// write.
    believed: bool,
    /// What each whole backup holds by its manifest.
    bytes: HashMap<BackupId, u64>,
}

/// Those of all clusters that were asked for.
#[derive(Default)]
pub(super) struct Plans {
    of: BTreeMap<ClusterName, Planned>,
}

impl Plans {
    /// Gathers the facts and plans.
    pub(super) async fn of(
        connected: &Connected,
        repository: &Repository,
        cluster: Option<ClusterName>,
        policy: &Policy,
    ) -> Result<Self> {
        let clusters = match cluster {
            Some(cluster) => vec![cluster],
            None => repository.clusters().await?,
        };
        let mut plans = Self::default();
        for cluster in clusters {
            let gathered = Box::pin(gather(connected, repository, &cluster)).await?;
            plans.add(&gathered, policy)?;
        }
        Ok(plans)
    }

    pub(super) fn add(&mut self, Gathered { facts, begun_at, .. }: &Gathered, policy: &Policy) -> Result<()> {
        let plan = retention::plan(facts, policy, *begun_at)?;
        let young = plan.unfinished.iter().any(|folder| folder.verdict.until().is_some());
        let signed = !facts.backups.is_empty() || facts.segment.is_some();
        let believed = signed || !facts.unread.is_empty() || young;
        let whole = plan.backups.iter().filter(|decision| decision.verified == Verified::Yes);
        let bytes = whole.map(|decision| (decision.backup.clone(), decision.bytes)).collect();
        self.of.insert(facts.cluster.clone(), Planned { plan, believed, bytes });
        Ok(())
    }

    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        !self.of.is_empty()
    }

    /// The clusters that are some.
    pub(super) fn believed(&self) -> impl Iterator<Item = &ClusterName> {
        self.of.iter().filter(|(_, planned)| planned.believed).map(|(cluster, _)| cluster)
    }

    /// Whether a folder is named like a cluster and holds nothing of one.
    pub(super) fn disowns(&self, cluster: &ClusterName) -> bool {
        self.of.get(cluster).is_some_and(|planned| !planned.believed)
    }

    /// What a whole backup holds by its manifest.
    pub(super) fn bytes_of(&self, cluster: &ClusterName, backup: &BackupId) -> Option<u64> {
        self.of.get(cluster)?.bytes.get(backup).copied()
    }

    /// What becomes of an object in the folder of a cluster, or outside of all.
    pub(super) fn fate(&self, owner: Option<&ClusterName>, item: &Item) -> Fate {
        match (owner, item) {
            (Some(cluster), _) => {
                self.of.get(cluster).map_or(Fate::Left, |planned| Fate::from(&planned.plan.verdict(item)))
            }
            (None, Item::Wrap(key)) if self.all().any(|plan| plan.names_key(*key)) => {
                longest(self.all().filter(|plan| plan.names_key(*key)), item)
            }
            (None, _) => longest(self.all(), item),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Plan> {
        self.of.values().filter(|planned| planned.believed).map(|planned| &planned.plan)
    }
}

/// What all clusters stand on stays for as long as any of them needs it.
fn longest<'p>(plans: impl Iterator<Item = &'p Plan>, item: &Item) -> Fate {
    let mut fate = Fate::Left;
    for plan in plans {
        fate = match (fate, Fate::from(&plan.verdict(item))) {
            (Fate::Kept(until), Fate::Kept(other)) => Fate::Kept(until.max(other)),
            (kept @ Fate::Kept(_), _) | (_, kept @ Fate::Kept(_)) => kept,
            (Fate::Expires, _) | (_, Fate::Expires) => Fate::Expires,
            (Fate::Left, Fate::Left) => Fate::Left,
        };
    }
    fate
}
