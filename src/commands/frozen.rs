//! Objects in archive tiers: they are listed, and cannot be read before they were thawed, which takes hours (PAINS B14).

use std::collections::{BTreeMap, HashSet};

use super::retention::pinned;
use super::{Error, Result};
use crate::catalog::{Backup, Repository, each_entry};
use crate::store::{self, Entry, VersionOf};

mod wal;

/// Storage classes whose objects must be restored before they can be read (API GetObject, `InvalidObjectState`).
pub(super) const FROZEN: [&str; 2] = ["DEEP_ARCHIVE", "GLACIER"];

/// In which storage classes something lies, the usual one left out, and one object that is frozen.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) counts: BTreeMap<String, u64>,
    frozen: Option<(VersionOf, String)>,
}

impl Classes {
    /// Of the chunks of a backup: looks into one listing.
    pub(super) async fn of(repository: &Repository, backup: &Backup) -> Result<Self> {
        let (names, clear) = (repository.names(), backup.clear());
        let needed: HashSet<VersionOf> = pinned(repository, backup).into_iter().map(|target| target.at).collect();
        let mut found = Self::default();
        each_entry(&**repository.store(), &names.backup(&clear.cluster, &clear.backup), |entry| {
            let at = VersionOf { key: entry.key.clone(), version: entry.version.clone() };
            if needed.contains(&at) {
                found.count(&entry);
            }
        })
        .await?;
        Ok(found)
    }

    fn count(&mut self, entry: &Entry) {
        let Some(class) = &entry.class else { return };
        if self.frozen.is_none() && is_frozen(entry) {
            let at = VersionOf { key: entry.key.clone(), version: entry.version.clone() };
            self.frozen = Some((at, class.clone()));
        }
        *self.counts.entry(class.clone()).or_default() += 1;
    }

    /// What a plan says of it; `what` lies there.
    pub(super) fn warning(&self, what: &str) -> Option<String> {
        self.frozen().map(|frozen| {
            format!(
                "{what} in archive tiers ({frozen}): a restore stops at the first one that was not thawed, which takes hours to days; request it now (S3 RestoreObject)"
            )
        })
    }

    /// How much is frozen in which class, if anything.
    pub(super) fn frozen(&self) -> Option<String> {
        let frozen = self.counts.iter().filter(|(class, _)| FROZEN.contains(&class.as_str()));
        let frozen: Vec<String> = frozen.map(|(class, count)| format!("{count} in {class}")).collect();
        (!frozen.is_empty()).then(|| frozen.join(", "))
    }

    /// Refuses what cannot be read, before the first byte is restored. One that is listed as frozen may have been thawed.
    pub(super) async fn refuse(&self, repository: &Repository) -> Result<()> {
        let Some((at, class)) = &self.frozen else { return Ok(()) };
        match repository.store().get(&at.key, &at.version, 0..1).await {
            Err(error @ store::Error::Frozen { .. }) => {
                tracing::warn!(class, key = %at.key, "an object lies in an archive tier");
                Err(Error::Store(error))
            }
            // Whatever else is the matter, the restore will tell.
            _ => Ok(()),
        }
    }
}

/// Whether a version is listed as one that cannot be read; it may have been thawed.
pub(super) fn is_frozen(entry: &Entry) -> bool {
    entry.class.as_deref().is_some_and(|class| FROZEN.contains(&class))
}
