//! What a plan says of archive tiers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Classes, Unready};
use crate::store::{Archive, Retrieval};

/// What of a restore lies in one archive tier and cannot be read now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrozenPart {
    /// `chunk` of the backup or `WAL object`.
    pub what: &'static str,
    /// The tier.
    pub archive: Archive,
    /// How much lies there.
    pub objects: u64,
    /// How much of that was asked for and is on its way.
    pub requested: u64,
    /// How long the archive usually takes, by how it is asked.
    pub takes: BTreeMap<&'static str, &'static str>,
}

impl FrozenPart {
    /// How long it takes, for people.
    pub fn times(&self) -> String {
        let times = Retrieval::ALL.iter().filter_map(|how| Some(format!("{how} {}", self.takes.get(how.name())?)));
        times.collect::<Vec<_>>().join(", ")
    }
}

impl Classes {
    /// By tier, what cannot be read now.
    pub(in crate::commands) fn parts(&self, what: &'static str) -> Vec<FrozenPart> {
        parts(&self.unready, what)
    }

    /// What a plan says of it; `what` lies there.
    pub(in crate::commands) fn warning(&self, what: &str) -> Option<String> {
        let frozen = self.frozen()?;
        let asked = self.unready.iter().filter(|one| one.is_requested).count();
        Some(if asked == self.unready.len() {
            format!(
                "{what} in archive tiers ({frozen}) and all of it was requested: a restore with --thaw waits for it"
            )
        } else {
            format!(
                "{what} in archive tiers ({frozen}): a restore refuses to begin before all of it was thawed, which takes minutes to days. --thaw requests it (S3 RestoreObject) and waits; with --plan it only requests it"
            )
        })
    }

    /// How much cannot be read in which tier, if anything.
    pub(in crate::commands) fn frozen(&self) -> Option<String> {
        told(&self.unready)
    }
}

/// How much lies where.
pub(super) fn told(unready: &[Unready]) -> Option<String> {
    let parts = parts(unready, "");
    let parts: Vec<String> = parts.iter().map(|part| format!("{} in {}", part.objects, part.archive)).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn parts(unready: &[Unready], what: &'static str) -> Vec<FrozenPart> {
    let mut parts = BTreeMap::<Archive, FrozenPart>::new();
    for one in unready {
        let part = parts.entry(one.archive).or_insert_with(|| {
            let takes = Retrieval::ALL.iter().filter_map(|how| Some((how.name(), one.archive.takes(*how)?)));
            FrozenPart { what, archive: one.archive, objects: 0, requested: 0, takes: takes.collect() }
        });
        part.objects += 1;
        part.requested += u64::from(one.is_requested);
    }
    parts.into_values().collect()
}
