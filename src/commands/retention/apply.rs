//! `stonewal retention apply`: removes what the plan expires and no lock holds, version by version, and nothing else.
//!
//! The facts are gathered right before. What arrived since, or shortly before, is not judged by them and stays. A manifest
//! goes before what it names, so that a run that is cut short leaves no backup that looks whole and is not.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

mod replaced;

use super::acting::{Scene, Scope, Target, noteworthy, pages};
use crate::catalog::Finding;
use crate::commands::Result;
use crate::format::{BackupId, ClusterName};
use crate::limits::{DELETE_KEYS_MAX, RETENTION_IN_FLIGHT};
use crate::retention::{Item, Reason, Verdict};
use crate::store::{self, Entry, Lock, LockMode, Prune as _, Read as _, Retain as _, S3, VersionOf};

/// What is younger than this when the facts are gathered may not be among them: the times of one store differ.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// How many refusals are told in full.
const REFUSALS_TOLD: usize = 20;

/// What to apply.
#[derive(Debug)]
pub struct Options {
    /// Whose objects.
    pub scope: Scope,
    /// Delete; otherwise only tell.
    pub delete: bool,
}

/// What was removed, or would be.
#[derive(Debug, Default, Serialize)]
pub struct Removed {
    /// Versions, without delete markers.
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Delete markers.
    pub markers: u64,
}

/// A version that a lock or hold keeps.
#[derive(Debug, Serialize)]
pub struct Locked {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: String,
    /// Mode of its lock; `None` if only a hold keeps it.
    pub mode: Option<LockMode>,
    /// When its lock ends.
    pub retain_until: Option<Timestamp>,
    /// Whether a legal hold lies on it.
    pub held: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// For this moment (store time).
    pub at: Timestamp,
    /// Backups that expire, with the reason.
    pub backups: Vec<Expired>,
    /// What was removed, or would be.
    pub removed: Removed,
    /// What had to stay, or would have to, because it is locked; the first ones.
    pub locked: Vec<Locked>,
    /// How many versions that are.
    pub locked_count: u64,
    /// When the last of these locks ends.
    pub locked_until: Option<Timestamp>,
    /// Versions left alone because they arrived after the facts were gathered, or shortly before.
    pub too_new: u64,
    /// Originals of WAL that copies under other data keys took the place of, removed or still locked: among the above.
    pub replaced: u64,
    /// What does not belong there.
    pub findings: Vec<Finding>,
}

/// A backup that expires.
#[derive(Debug, Serialize)]
pub struct Expired {
    /// Its id.
    pub backup: BackupId,
    /// Why nothing keeps it.
    pub why: Reason,
    /// Whether its manifest is gone; never in a dry run.
    pub gone: bool,
    /// Whether a lock or a hold keeps its manifest, and so all of it.
    pub locked: bool,
}

/// Applies the plan.
pub async fn run(options: Options) -> Result<Outcome> {
    let mut scene = Scene::set(options.scope).await?;
    let findings = noteworthy(std::mem::take(&mut scene.findings));
    let outcome = Outcome {
        location: scene.location.clone(),
        cluster: scene.cluster.clone(),
        dry_run: !options.delete,
        at: scene.plan.at,
        backups: Vec::new(),
        removed: Removed::default(),
        locked: Vec::new(),
        locked_count: 0,
        locked_until: None,
        too_new: 0,
        replaced: 0,
        findings,
    };
    let mut work = Work { scene: &scene, outcome, batch: Vec::new(), cleared: HashSet::new() };
    work.manifests().await?;
    // Wraps are found by the manifests that name them, so they go right after these.
    let names = scene.repository.names();
    let folder = format!("{}{}/", names.prefix(), scene.cluster);
    let canary = format!("{}canary/", names.prefix());
    let [record, identities, rosters, writers, _] = scene.ground();
    for prefix in [scene.keys(), folder, canary, record, identities, rosters, writers] {
        work.sweep(&prefix).await?;
    }
    work.replaced().await?;
    work.flush().await?;
    Ok(work.outcome)
}

/// A version on its way out.
#[derive(Debug)]
struct Doomed {
    target: Target,
    marker: bool,
}

struct Work<'a> {
    scene: &'a Scene,
    outcome: Outcome,
    batch: Vec<Doomed>,
    /// Backups without a manifest by now: what is left of them may go.
    cleared: HashSet<BackupId>,
}

impl Work<'_> {
    fn is_new(&self, entry: &Entry) -> bool {
        entry.last_modified.checked_add(SETTLED).is_ok_and(|settled| settled > self.scene.begun_at)
    }

    /// The manifests of the backups that expire. One that is locked still protects everything it names.
    async fn manifests(&mut self) -> Result<()> {
        let scene = self.scene;
        for decision in &scene.plan.backups {
            let Verdict::Expire { why } = &decision.verdict else { continue };
            let prefix = scene.repository.names().manifests(&scene.cluster, &decision.backup);
            let mut gone = true;
            // A full batch is flushed on the way.
            let before = self.outcome.locked_count;
            let mut listing = pages(&**scene.repository.store(), &prefix);
            while let Some(page) = listing.next().await? {
                for entry in page.entries {
                    gone &= self.doom(&entry).await?;
                }
            }
            self.flush().await?;
            let locked = self.outcome.locked_count > before;
            gone &= !locked;
            if gone {
                self.cleared.insert(decision.backup.clone());
            }
            let (backup, why) = (decision.backup.clone(), why.clone());
            self.outcome.backups.push(Expired { backup, why, gone: gone && !self.outcome.dry_run, locked });
        }
        for folder in scene.plan.unfinished.iter().filter(|folder| folder.verdict.expires()) {
            self.cleared.insert(folder.backup.clone());
        }
        Ok(())
    }

    /// Everything below a prefix that expires, in all its versions, and delete markers over anything of ours.
    async fn sweep(&mut self, prefix: &str) -> Result<()> {
        let scene = self.scene;
        let manifests = |id: &BackupId| scene.repository.names().manifests(&scene.cluster, id);
        let mut listing = pages(&**scene.repository.store(), prefix);
        while let Some(page) = listing.next().await? {
            for entry in page.entries {
                let item = Item::of(scene.repository.names(), &scene.cluster, entry.key.as_str());
                let ours = !matches!(item, Item::Unknown | Item::OtherCluster(_) | Item::Audit | Item::Evidence);
                let verdict = scene.plan.verdict(&item);
                let expires = match (&item, &verdict) {
                    // Told by the first pass.
                    (Item::Backup(id), _) if entry.key.as_str().starts_with(&manifests(id)) => false,
                    (Item::Backup(id), Verdict::Expire { .. })
                    | (_, Verdict::Expire { why: Reason::KeyOfExpired(id) }) => self.cleared.contains(id),
                    // What took its place is looked after by every backup.
                    (Item::Foundation, _) if scene.repository.is_retired_bundle(entry.key.as_str()) => true,
                    (_, verdict) => verdict.expires(),
                };
                if expires || (ours && entry.delete_marker) {
                    self.doom(&entry).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes one version into the next request; false if it is too new to be judged.
    async fn doom(&mut self, entry: &Entry) -> Result<bool> {
        if self.is_new(entry) {
            self.outcome.too_new += 1;
            return Ok(false);
        }
        self.batch.push(Doomed { target: Target::of(entry), marker: entry.delete_marker });
        if self.batch.len() >= DELETE_KEYS_MAX {
            self.flush().await?;
        }
        Ok(true)
    }

    async fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if self.outcome.dry_run {
            return self.foresee(batch).await;
        }
        let doomed: Vec<VersionOf> = batch.iter().map(|doomed| doomed.target.at.clone()).collect();
        let answers = if doomed.is_empty() { Vec::new() } else { self.scene.store.delete_versions(&doomed).await? };
        let mut denied = HashMap::new();
        let mut failed = None;
        for (Doomed { target, marker }, answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(()) => self.remove(&target, marker),
                Err(error @ (store::Error::Denied { .. } | store::Error::Refused { .. })) => {
                    denied.insert(target.at, error);
                }
                // One version that fails is a failure of the run, whatever became of the others.
                Err(error) => failed = Some(error),
            }
        }
        self.explain(denied).await?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Was it a lock that refused? Anything else is an error.
    async fn explain(&mut self, denied: HashMap<VersionOf, store::Error>) -> Result<()> {
        let store = &self.scene.store;
        let asked = stream::iter(denied).map(|(at, error)| async move {
            let (lock, held) = protection(store, &at).await?;
            if lock.is_none() && !held {
                return Err(error);
            }
            Ok((at, lock, held))
        });
        let told: Vec<(VersionOf, Option<Lock>, bool)> =
            asked.buffer_unordered(RETENTION_IN_FLIGHT).try_collect().await?;
        for (at, lock, held) in told {
            self.keep(&at, lock, held);
        }
        Ok(())
    }

    /// What would become of a batch: the same questions that explain a refusal.
    async fn foresee(&mut self, batch: Vec<Doomed>) -> Result<()> {
        let store = &self.scene.store;
        let asked = stream::iter(batch).map(|doomed| async move {
            if doomed.marker {
                return Ok((doomed, None, false)); // Nothing can be locked less.
            }
            match protection(store, &doomed.target.at).await {
                Ok((lock, held)) => Ok((doomed, lock, held)),
                Err(store::Error::NotFound { .. }) => Ok((doomed, None, false)),
                Err(error) => Err(error),
            }
        });
        let told: Vec<(Doomed, Option<Lock>, bool)> = asked.buffered(RETENTION_IN_FLIGHT).try_collect().await?;
        for (Doomed { target, marker }, lock, held) in told {
            match (lock, held) {
                (None, false) => self.remove(&target, marker),
                (lock, held) => self.keep(&target.at, lock, held),
            }
        }
        Ok(())
    }

    fn remove(&mut self, target: &Target, marker: bool) {
        let removed = &mut self.outcome.removed;
        if marker {
            removed.markers += 1;
        } else {
            removed.versions += 1;
            removed.bytes += target.bytes;
        }
    }

    fn keep(&mut self, at: &VersionOf, lock: Option<Lock>, held: bool) {
        let retain_until = lock.map(|lock| lock.retain_until);
        self.outcome.locked_count += 1;
        self.outcome.locked_until = self.outcome.locked_until.max(retain_until);
        if self.outcome.locked.len() < REFUSALS_TOLD {
            let (key, version) = (at.key.to_string(), at.version.to_string());
            let mode = lock.map(|lock| lock.mode);
            self.outcome.locked.push(Locked { key, version, mode, retain_until, held });
        }
    }
}

/// The lock that still binds, and where there is none, whether there is a legal hold.
pub(in crate::commands) async fn protection(store: &S3, at: &VersionOf) -> store::Result<(Option<Lock>, bool)> {
    // The answer tells the store's time.
    let lock = store.lock_of(&at.key, &at.version).await?;
    let lock = lock.filter(|lock| lock.retain_until > store.clock().now());
    let held = lock.is_none() && store.hold_of(&at.key, &at.version).await?;
    Ok((lock, held))
}
