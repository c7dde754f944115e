//! Finding backups: list folders, read what is named like a manifest, believe what is signed.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::listing::{Oldest, folders};
use super::{Error, Finding, FindingKind, Repository, Result};
use crate::format::manifest::{ClearPart, CopyOf, Kind, Manifest};
use crate::format::{BackupId, ClusterName, Place, WriterPublic};
use crate::limits::{DISCOVERIES, FINDINGS_MAX, MANIFEST_BYTES_MAX, MANIFEST_USUAL_BYTES_MAX};
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

    /// When its contents arrived: those of a copy came with its original.
    pub fn arrived_at(&self, root: &WriterPublic) -> Timestamp {
        let arrived = self.entry.last_modified;
        self.copy_of(root).map_or(arrived, |of| of.arrived_at.min(arrived))
    }

    /// When it was taken, for its place among others: when it arrived, or before that, if it is an imported base.
    pub fn taken_at(&self, root: &WriterPublic) -> Timestamp {
        let (clear, arrived_at) = (self.clear(), self.arrived_at(root));
        clear.base.as_ref().map_or(arrived_at, |base| base.taken_at(clear.started_at, arrived_at))
    }

    /// What it is a copy of, if the root says so: nobody else may put one backup in the place of another.
    pub fn copy_of(&self, root: &WriterPublic) -> Option<&CopyOf> {
        self.clear().copy_of.as_ref().filter(|_| self.manifest.writer() == root)
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
        let mut clusters = self.names.clusters(&folders(&*self.store, self.names.prefix()).await?);
        // A listing has `main-old/` before `main/`.
        clusters.sort();
        Ok(clusters)
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

    /// The newest backup of `cluster`: by the start time in its id, which is the store's and signed. Ids tell whole
    /// seconds; among backups of one second, the manifests tell which began last.
    pub async fn latest(&self, cluster: &ClusterName) -> Result<(Backup, Vec<Finding>)> {
        self.latest_of(cluster, None).await
    }

    /// The newest backup of one kind, or of any.
    pub async fn latest_of(&self, cluster: &ClusterName, kind: Option<Kind>) -> Result<(Backup, Vec<Finding>)> {
        let (mut findings, mark) = (Vec::new(), self.store.unheard());
        let mut newest: Option<Backup> = None;
        for id in self.candidates(cluster).await?.iter().rev() {
            if newest.as_ref().is_some_and(|newest| !id.began_at(newest.clear().started_at)) {
                break;
            }
            let (backup, beside) = self.look(cluster, id).await?;
            findings.extend(beside);
            let began = |backup: &Backup| backup.clear().started_at;
            let backup = backup.filter(|backup| kind.is_none_or(|kind| backup.clear().kind == kind));
            newest = newest.into_iter().chain(backup).max_by_key(began);
        }
        match newest {
            Some(newest) => Ok((newest, findings)),
            None => Err(self.nothing(mark, &findings, Error::NoBackup { cluster: cluster.clone(), kind })),
        }
    }

    /// The backup called `id`.
    pub async fn backup(&self, cluster: &ClusterName, id: &BackupId) -> Result<(Backup, Vec<Finding>)> {
        let mark = self.store.unheard();
        let (backup, findings) = self.look(cluster, id).await?;
        let unknown = || Error::UnknownBackup { cluster: cluster.clone(), backup: id.clone() };
        match backup {
            Some(backup) => Ok((backup, findings)),
            None => Err(self.nothing(mark, &findings, unknown())),
        }
    }

    /// Looks into one folder: the oldest manifest that authenticates for this place is the backup.
    pub async fn look(&self, cluster: &ClusterName, id: &BackupId) -> Result<(Option<Backup>, Vec<Finding>)> {
        let mut findings = Vec::new();
        let mut oldest = Oldest::and_later(&*self.store, self.names.manifests(cluster, id));
        while let Some((entries, beside)) = oldest.next().await? {
            findings.extend(beside);
            let mut entries = entries.into_iter();
            while let Some(entry) = entries.next() {
                match self.read_manifest(&entry).await {
                    Ok(manifest) => {
                        // A backup has one manifest: whatever else bears such a name was put there.
                        let room = FINDINGS_MAX.saturating_sub(findings.len());
                        let others = entries.filter(|other| other.key != entry.key);
                        findings.extend(others.take(room).map(|other| {
                            let (key, version) = (other.key.as_str(), Some(other.version.as_str()));
                            Finding::new(FindingKind::ForgedManifest, key, version, "the backup has another manifest")
                        }));
                        return Ok((Some(Backup { manifest, entry }), findings));
                    }
                    // Whether it is there at all cannot be said without the store.
                    Err(Error::Store(error)) if !error.is_about_the_object() => return Err(error.into()),
                    Err(error) if findings.len() < FINDINGS_MAX => findings.push(not_a_manifest(&entry, &error)),
                    Err(_) => {}
                }
            }
        }
        Ok((None, findings))
    }

    /// Nothing was found. That a side was not heard since `mark`, that something could not be read, or that the repository is
    /// another's, is the reason to tell.
    fn nothing(&self, mark: u64, findings: &[Finding], otherwise: Error) -> Error {
        if let Err(unheard) = self.store.all_heard(mark) {
            return unheard.into();
        }
        let unread = findings.iter().find(|finding| finding.kind == FindingKind::Opaque);
        let record = self.names.repository();
        let foreign = self.findings().iter().find(|f| f.kind == FindingKind::ForgedKey && f.key == record);
        match (unread, foreign) {
            (Some(finding), _) => Error::Unread { key: finding.key.clone(), why: finding.detail.clone() },
            (None, Some(finding)) => Error::OtherRepository { keys: self.id(), found: finding.detail.clone() },
            (None, None) => otherwise,
        }
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

fn not_a_manifest(entry: &Entry, error: &Error) -> Finding {
    let unread = matches!(error, Error::Store(_));
    let kind = if unread { FindingKind::Opaque } else { FindingKind::ForgedManifest };
    Finding::new(kind, entry.key.as_str(), Some(entry.version.as_str()), error.to_string())
}
