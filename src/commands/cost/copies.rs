//! Which versions of WAL `reencrypt --wal` stored over others, and what these took the place of.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::catalog::{Replacement, Repository};
use crate::commands::Result;
use crate::commands::retention::firsts::Firsts;
use crate::format::ClusterName;
use crate::limits::COST_COPIES_MAX;
use crate::store::Entry;

/// What a version of WAL is beside the others of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The copy that counts.
    Copy,
    /// The copy that counts took its place.
    Replaced,
    /// Neither.
    Usual,
    /// Nobody looked.
    Unknown,
}

/// Those of the clusters that were looked at, by a hash of key and version that is another one in each run, so that nobody can choose
/// names to be taken for copies.
#[derive(Default)]
pub(super) struct Copies {
    seed: RandomState,
    looked_at: BTreeSet<ClusterName>,
    counting: HashSet<u64>,
    replaced: HashSet<u64>,
}

impl Copies {
    /// Lists the WAL of each cluster and reads the heads of what lies over other versions of its name, up to a bound: of a cluster that
    /// holds more, later versions count as unknown.
    pub(super) async fn of(repository: &Repository, clusters: impl Iterator<Item = &ClusterName>) -> Result<Self> {
        let mut found = Self::default();
        for cluster in clusters {
            let prefix = repository.names().wal_timelines(cluster);
            let (mut firsts, mut whole) = (Firsts::genuine(repository, &prefix), true);
            while whole && let Some(replacements) = firsts.next_replacements().await? {
                whole = replacements.into_iter().all(|replacement| found.take(&replacement));
            }
            if whole {
                found.looked_at(cluster);
            }
        }
        Ok(found)
    }

    /// Whether there was room for it.
    pub(super) fn take(&mut self, Replacement { copy, replaced }: &Replacement) -> bool {
        if self.counting.len() + self.replaced.len() + replaced.len() >= COST_COPIES_MAX {
            return false;
        }
        self.counting.insert(self.hash(copy));
        for entry in replaced {
            self.replaced.insert(self.hash(entry));
        }
        true
    }

    /// All that there is of this cluster was taken.
    pub(super) fn looked_at(&mut self, cluster: &ClusterName) {
        self.looked_at.insert(cluster.clone());
    }

    pub(super) fn standing(&self, cluster: &ClusterName, entry: &Entry) -> Standing {
        let hash = self.hash(entry);
        if self.counting.contains(&hash) {
            Standing::Copy
        } else if self.replaced.contains(&hash) {
            Standing::Replaced
        } else if self.looked_at.contains(cluster) {
            Standing::Usual
        } else {
            Standing::Unknown
        }
    }

    fn hash(&self, entry: &Entry) -> u64 {
        self.seed.hash_one((&entry.key, &entry.version))
    }
}
