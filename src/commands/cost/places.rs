//! Where something lies, by its name. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Amount;
use super::prices::{Prices, USUAL};
use crate::format::names::Names;
use crate::format::{ClusterName, EvidenceId, Tag};
use crate::limits::COST_CLASSES_MAX;
use crate::retention::Item;
use crate::store::Entry;

/// What something is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Backups of a cluster, finished or not.
    Backups,
    /// WAL of a cluster, with histories and recorded gaps.
    Wal,
    /// Evidence of drills.
    Evidence,
    /// All of clusters beyond those that are told one by one.
    MoreClusters,
    /// Wraps of data keys, of all clusters.
    Keys,
    /// The repository record, identity bundles, certificates, rosters, cluster records.
    Records,
    /// Audit records.
    Audit,
    /// What `doctor` left.
    Canary,
    /// Nothing that stonewal names so.
    Unknown,
}

/// Where something lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Of which cluster, if of one.
    pub cluster: Option<ClusterName>,
    /// As what.
    pub part: Part,
}

impl Place {
    /// Where what is called `key` lies, and what it is. Other than a plan, which leaves them alone, this looks closely at names of
    /// audit records, evidence and canaries: anybody's may lie there.
    pub(super) fn of(names: &Names, key: &str) -> (Option<ClusterName>, Item, Self) {
        let (owner, item) = Item::with_owner(names, key);
        let last = key.rsplit('/').next().unwrap_or_default();
        let genuine = match &item {
            Item::Audit => names.audit_of(key).is_some(),
            Item::Canary => last.parse::<Tag>().is_ok_and(|tag| names.canary(tag) == key),
            Item::Evidence => owner
                .as_ref()
                .is_some_and(|cluster| last.parse::<EvidenceId>().is_ok_and(|id| names.evidence(cluster, &id) == key)),
            _ => true,
        };
        let item = if genuine { item } else { Item::Unknown };
        let (of_cluster, part) = match &item {
            Item::Backup(_) => (true, Part::Backups),
            Item::Piece { .. } | Item::Partial { .. } | Item::Notes(_) | Item::History(_) | Item::Gap(_) => {
                (true, Part::Wal)
            }
            Item::Evidence => (true, Part::Evidence),
            Item::Wrap(_) => (false, Part::Keys),
            Item::ClusterRecord | Item::Foundation => (false, Part::Records),
            Item::Audit => (false, Part::Audit),
            Item::Canary => (false, Part::Canary),
            Item::OtherCluster(_) | Item::Unknown => (false, Part::Unknown),
        };
        let cluster = owner.clone().filter(|_| of_cluster);
        (owner, item, Self { cluster, part })
    }
}

/// What lies in one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Area {
    /// Where; of the sum of all, nowhere.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// What a plain listing shows.
    pub current: Amount,
    /// Versions under others or under a delete marker.
    pub noncurrent: Amount,
    /// Delete markers.
    pub markers: u64,
    /// All versions by storage class.
    pub classes: BTreeMap<String, Amount>,
    /// What a month of it costs; `None` without prices.
    pub per_month: Option<f64>,
}

impl Area {
    pub(super) fn at(place: Option<Place>) -> Self {
        let none = Amount::default();
        Self { place, current: none, noncurrent: none, markers: 0, classes: BTreeMap::new(), per_month: None }
    }

    /// One version more.
    pub(super) fn count(&mut self, entry: &Entry) {
        let amount = if entry.is_latest { &mut self.current } else { &mut self.noncurrent };
        amount.add(entry.bytes);
        let class = entry.class.as_deref().unwrap_or(USUAL);
        if let Some(known) = self.classes.get_mut(class) {
            known.add(entry.bytes);
            return;
        }
        let class = if self.classes.len() < COST_CLASSES_MAX { class } else { "OTHER" };
        self.classes.entry(class.to_owned()).or_default().add(entry.bytes);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.current.merge(other.current);
        self.noncurrent.merge(other.noncurrent);
        self.markers += other.markers;
        for (class, amount) in &other.classes {
            self.classes.entry(class.clone()).or_default().merge(*amount);
        }
    }

    /// Sets the money, where there is a price of anything.
    pub(super) fn price(&mut self, prices: &Prices) {
        let month = |(class, amount): (&String, &Amount)| {
            prices.of(class).map_or(0.0, |price| crate::commands::retention::price::gib(amount.bytes) * price)
        };
        self.per_month = prices.any().then(|| self.classes.iter().map(month).sum());
    }
}
