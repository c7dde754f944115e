//! Finding backups: list folders, read what is named like a manifest, believe what is signed.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::SignedDuration;

use super::listing::{first_versions, folders};
use super::{Error, Finding, FindingKind, Repository, Result};
use crate::format::manifest::{ClearPart, Manifest};
use crate::format::{BackupId, ClusterName, Place};
use crate::limits::{DISCOVERIES, MANIFEST_BYTES_MAX, MANIFEST_USUAL_BYTES_MAX};
use crate::store::Entry;

/// How far the times of one store may differ: `Date` of an answer, arrival of an object.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// A backup whose manifest was found and authenticated.
#[derive(Debug)]
pub struct Backup {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's object.
    pub entry: Entry,
}

impl Backup {
    /// Clear part of its manifest.
    pub fn clear(&self) -> &ClearPart {
        self.manifest.clear()
    }
}

impl Repository {
    /// Where a backup lies.
    pub fn place(&self, backup: &Backup) -> Place {
        let clear = backup.clear();
        Place {
            names: self.names.clone(),
            repository: clear.repository,
            cluster: clear.cluster.clone(),
            backup: clear.backup.clone(),
        }
    }

    /// Clusters that have backups, by name.
    pub async fn clusters(&self) -> Result<Vec<ClusterName>> {
        Ok(self.names.clusters(&folders(&*self.store, self.names.prefix()).await?))
    }

    /// Folders of backups, oldest first by name. A folder is not yet a backup: only its manifest makes it one.
    pub async fn candidates(&self, cluster: &ClusterName) -> Result<Vec<BackupId>> {
        let folders = folders(&*self.store, &self.names.backups(cluster)).await?;
        let mut ids: Vec<BackupId> =
            folders.iter().filter_map(|folder| self.names.backup_of(cluster, folder)).collect();
        ids.sort();
        Ok(ids)
    }

    /// Gives every backup of `cluster` to `take`, oldest first, and what was found beside them. One manifest is held
    /// at a time, so that many large backups do not add up in memory.
    pub async fn each_backup(&self, cluster: &ClusterName, mut take: impl FnMut(Backup)) -> Result<Vec<Finding>> {
        let ids = self.candidates(cluster).await?;
        let mut found = stream::iter(ids).map(|id| async move { self.look(cluster, &id).await }).buffered(DISCOVERIES);
        let mut findings = Vec::new();
        while let Some((backup, beside)) = found.try_next().await? {
            backup.into_iter().for_each(&mut take);
            findings.extend(beside);
        }
        Ok(findings)
    }

    /// The newest backup of `cluster`: by the start time in its id, which is the store's and signed.
    pub async fn latest(&self, cluster: &ClusterName) -> Result<(Backup, Vec<Finding>)> {
        let mut findings = Vec::new();
        for id in self.candidates(cluster).await?.iter().rev() {
            let (backup, beside) = self.look(cluster, id).await?;
            findings.extend(beside);
            if let Some(backup) = backup {
                return Ok((backup, findings));
            }
        }
        Err(Error::NoBackup { cluster: cluster.clone() })
    }

    /// The backup called `id`.
    pub async fn backup(&self, cluster: &ClusterName, id: &BackupId) -> Result<(Backup, Vec<Finding>)> {
        let (backup, findings) = self.look(cluster, id).await?;
        let backup = backup.ok_or_else(|| Error::UnknownBackup { cluster: cluster.clone(), backup: id.clone() })?;
        Ok((backup, findings))
    }

    /// Looks into one folder: the oldest manifest that authenticates for this place is the backup.
    pub async fn look(&self, cluster: &ClusterName, id: &BackupId) -> Result<(Option<Backup>, Vec<Finding>)> {
        let (entries, mut findings) = first_versions(&*self.store, &self.names.manifests(cluster, id)).await?;
        for entry in entries {
            match self.read_manifest(&entry).await {
                Ok(manifest) => return Ok((Some(Backup { manifest, entry }), findings)),
                // Whether it is there at all cannot be said without the store.
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) => {
                    let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
                    findings.push(Finding::new(FindingKind::ForgedManifest, key, version, error.to_string()));
                }
            }
        }
        Ok((None, findings))
    }

    async fn read_manifest(&self, entry: &Entry) -> Result<Manifest> {
        if entry.bytes > MANIFEST_BYTES_MAX {
            let max = MANIFEST_BYTES_MAX;
            return Err(crate::format::Error::Absurd { what: "manifest", claimed: entry.bytes, max }.into());
        }
        // Many usual manifests at once, or one planted giant.
        let weight = usize::try_from(entry.bytes / MANIFEST_USUAL_BYTES_MAX).unwrap_or(DISCOVERIES) + 1;
        let weight = u32::try_from(weight.min(DISCOVERIES)).unwrap_or(1);
        let _room = self.manifest_room.acquire_many(weight).await;
        let bytes = self.store.get(&entry.key, &entry.version, 0..entry.bytes).await?;
        let manifest = self.decode_manifest(&bytes).await?;
        let clear = manifest.clear();
        if clear.started_at.duration_until(entry.last_modified) < -CLOCK_TOLERANCE {
            let why = format!("it claims to begin at {}, after it arrived", clear.started_at);
            return Err(crate::format::Error::Malformed { what: "manifest", why }.into());
        }
        let named = self.names.manifest(&clear.cluster, &clear.backup, clear.manifest);
        if clear.repository != self.id() || named != entry.key.as_str() {
            let why = format!("it is a copy of the manifest of backup {} of cluster {}", clear.backup, clear.cluster);
            return Err(crate::format::Error::Malformed { what: "manifest", why }.into());
        }
        Ok(manifest)
    }
}
