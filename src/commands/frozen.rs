//! Objects in archive tiers: they are listed, and cannot be read before they were thawed, which takes hours (PAINS B14).

use std::collections::{BTreeMap, HashSet};

use super::retention::pinned;
use super::{Error, Result};
use crate::catalog::{Backup, Repository, each_entry};
use crate::store::{self, VersionOf};

/// Storage classes whose objects must be restored before they can be read (API GetObject, `InvalidObjectState`).
pub(super) const FROZEN: [&str; 2] = ["DEEP_ARCHIVE", "GLACIER"];

/// In which storage classes the chunks of a backup lie, the usual one left out, and one that is frozen.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) counts: BTreeMap<String, u64>,
    frozen: Option<(VersionOf, String)>,
}

impl Classes {
    /// Looks into one listing.
    pub(super) async fn of(repository: &Repository, backup: &Backup) -> Result<Self> {
        let (names, clear) = (repository.names(), backup.clear());
        let needed: HashSet<VersionOf> = pinned(repository, backup).into_iter().map(|target| target.at).collect();
        let mut found = Self::default();
        each_entry(&**repository.store(), &names.backup(&clear.cluster, &clear.backup), |entry| {
            let at = VersionOf { key: entry.key, version: entry.version };
            if let Some(class) = entry.class.filter(|_| needed.contains(&at)) {
                if found.frozen.is_none() && FROZEN.contains(&class.as_str()) {
                    found.frozen = Some((at, class.clone()));
                }
                *found.counts.entry(class).or_default() += 1;
            }
        })
        .await?;
        Ok(found)
    }

    /// What a plan says of it.
    pub(super) fn warning(&self) -> Option<String> {
        let frozen = self.counts.iter().filter(|(class, _)| FROZEN.contains(&class.as_str()));
        let frozen: Vec<String> = frozen.map(|(class, count)| format!("{count} in {class}")).collect();
        (!frozen.is_empty()).then(|| {
            format!(
                "chunks of the backup lie in archive tiers ({}): a restore stops at the first one that was not thawed, which takes hours to days; request it now (S3 RestoreObject)",
                frozen.join(", ")
            )
        })
    }

    /// Refuses what cannot be read, before the first byte is restored. One that is listed as frozen may have been thawed.
    pub(super) async fn refuse(&self, repository: &Repository) -> Result<()> {
        let Some((at, class)) = &self.frozen else { return Ok(()) };
        match repository.store().get(&at.key, &at.version, 0..1).await {
            Err(error @ store::Error::Frozen { .. }) => {
                tracing::warn!(class, "a chunk lies in an archive tier");
                Err(Error::Store(error))
            }
            // Whatever else is the matter, the restore will tell.
            _ => Ok(()),
        }
    }
}
