//! `stonewal hold`: legal holds on every object that a backup needs, WAL included. A hold has no end: it stays until
//! someone takes it away, whatever locks and plans say.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::acting::{Scene, Scope, Target, pinned};
use super::firsts::Firsts;
use super::reach::Reach;
pub use super::reach::WalUntil;
use crate::catalog::{Backup, each_entry};
use crate::commands::{Error, Result};
use crate::format::manifest::Kind;
use crate::format::{BackupId, ClusterName, KeyId};
use crate::limits::{FINDINGS_MAX, RETENTION_IN_FLIGHT};
use crate::retention::Item;
use crate::store::{self, Retain as _};

/// Which hold.
#[derive(Debug)]
pub struct Options {
    /// Whose objects.
    pub scope: Scope,
    /// The backup.
    pub backup: BackupId,
    /// Set it, or take it away.
    pub on: bool,
    /// Of a base: how much of its WAL. Taking away always looks at all of it.
    pub wal_until: WalUntil,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// The backup.
    pub backup: BackupId,
    /// Whether it is held now.
    pub held: bool,
    /// Objects whose hold was changed.
    pub changed: u64,
    /// Objects that were so already.
    pub unchanged: u64,
    /// Objects that stay held because another held backup needs them.
    pub kept_for_others: u64,
    /// Objects that the backup needs and that are gone; the first ones.
    pub missing: Vec<String>,
}

/// A backup under legal hold.
#[derive(Debug, Serialize)]
pub struct Held {
    /// Its id.
    pub backup: BackupId,
    /// What it is.
    pub kind: Kind,
    /// When its manifest arrived (store time).
    pub arrived_at: Timestamp,
}

/// All backups under legal hold.
#[derive(Debug, Serialize)]
pub struct List {
    /// Bucket and prefix.
    pub location: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// By arrival.
    pub held: Vec<Held>,
}

/// A hold must not wait until somebody has mended a policy that cannot be followed.
fn whatever_the_policy(mut scope: Scope) -> Scope {
    let policy = &mut scope.policy;
    policy.min_redundancy = policy.min_redundancy.max(1);
    for own in [&mut policy.dumps, &mut policy.bases] {
        own.min_redundancy = own.min_redundancy.map(|count| count.max(1));
    }
    scope.policy.max = SignedDuration::MAX;
    scope
}

/// Tells which backups are held.
pub async fn list(scope: Scope) -> Result<List> {
    let scene = Scene::set(whatever_the_policy(scope)).await?;
    let held = scene.holds().map(|decision| Held {
        backup: decision.backup.clone(),
        kind: decision.kind,
        arrived_at: decision.arrived_at,
    });
    Ok(List { location: scene.location.clone(), cluster: scene.cluster.clone(), held: held.collect() })
}

/// Sets or takes away the hold of one backup. Interrupted, it may be run again.
pub async fn run(options: Options) -> Result<Outcome> {
    let scene = Scene::set(whatever_the_policy(options.scope)).await?;
    let (backup, _) = scene.repository.backup(&scene.cluster, &options.backup).await?;
    let outcome = Outcome {
        location: scene.location.clone(),
        cluster: scene.cluster.clone(),
        backup: options.backup.clone(),
        held: options.on,
        changed: 0,
        unchanged: 0,
        kept_for_others: 0,
        missing: Vec::new(),
    };
    let mut others = Vec::new();
    for decision in scene.holds().filter(|decision| decision.backup != options.backup) {
        others.extend(scene.backup(&decision.backup).await?);
    }
    let wal_until = if options.on { options.wal_until } else { WalUntil::Latest };
    let wal = Reach::of(&scene.repository, &scene.cluster, &backup, wal_until).await?;
    let mut work = Work { scene: &scene, on: options.on, shared: !options.on && is_shared(&scene).await?, outcome };
    if options.on {
        // The manifest first: from then on plans keep all of it.
        work.all(vec![Target::of(&backup.entry)]).await?;
        work.everything(&backup, &wal, &[]).await?;
    } else {
        work.everything(&backup, &wal, &others).await?;
        work.all(vec![Target::of(&backup.entry)]).await?;
    }
    Ok(work.outcome)
}

/// Whether somebody else needs what every backup stands on: a held backup of another cluster, or a backup whose manifest
/// cannot be read now and so does not say whether it is held.
async fn is_shared(scene: &Scene) -> Result<bool> {
    if !scene.plan.unfinished.is_empty() {
        return Ok(true);
    }
    for cluster in scene.repository.clusters().await? {
        if cluster == scene.cluster {
            continue;
        }
        for id in scene.repository.candidates(&cluster).await? {
            if may_be_held(scene, &cluster, &id).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn may_be_held(scene: &Scene, cluster: &ClusterName, id: &BackupId) -> Result<bool> {
    let repository = &scene.repository;
    if let (Some(backup), _) = repository.look(cluster, id).await? {
        return Ok(scene.store.hold_of(&backup.entry.key, &backup.entry.version).await?);
    }
    let mut unread = false;
    let manifests = repository.names().manifests(cluster, id);
    each_entry(&**repository.store(), &manifests, |entry| unread |= !entry.delete_marker).await?;
    Ok(unread)
}

impl Scene {
    fn holds(&self) -> impl Iterator<Item = &crate::retention::BackupDecision> {
        self.plan.backups.iter().filter(|decision| decision.is_held())
    }
}

struct Work<'a> {
    scene: &'a Scene,
    on: bool,
    /// Ground and WAL may be held for others that are not known here.
    shared: bool,
    outcome: Outcome,
}

impl Work<'_> {
    /// Everything but the manifest. What any of `others` needs is left as it is.
    async fn everything(&mut self, backup: &Backup, wal: &Reach, others: &[Backup]) -> Result<()> {
        let (scene, clear) = (self.scene, backup.clear());
        let keys: HashSet<KeyId> = [clear.payload_key.id, clear.metadata_key.id].into();
        let is_ground =
            |item: &Item| matches!(item, Item::Foundation | Item::ClusterRecord | Item::History(_) | Item::Gap(_));
        let unknown = self.shared;
        let is_wal = |item: &Item| matches!(item, Item::Piece { .. } | Item::Partial { .. } | Item::Notes(_));
        let spared = |item: &Item| {
            is_ground(item) && (unknown || !others.is_empty())
                || unknown && is_wal(item) && !scene.plan.unfinished.is_empty()
                || others.iter().any(|other| needs(other, item))
        };
        for prefix in scene.ground() {
            self.listed(&prefix, is_ground, spared).await?;
        }
        self.all(pinned(&scene.repository, backup)).await?;
        for key in &keys {
            let own = |item: &Item| *item == Item::Wrap(*key);
            self.listed(&scene.repository.names().wraps(*key), own, spared).await?;
        }
        if clear.base.is_some() {
            // The keys of WAL were wrapped for later recipients too, and no manifest tells which keys these are.
            let is_extra = |item: &Item| matches!(item, Item::Wrap(key) if !scene.plan.names_key(*key));
            let held_too = unknown || others.iter().any(|other| other.clear().base.is_some());
            self.listed(&scene.keys(), is_extra, |_| held_too).await?;
            let needed = |item: &Item| match item {
                Item::Piece { timeline, range } | Item::Partial { timeline, range } => wal.holds(*timeline, *range),
                Item::Notes(segment) => wal.touches(segment.timeline),
                other => is_ground(other),
            };
            self.listed(&scene.repository.names().wal_timelines(&scene.cluster), needed, spared).await?;
        }
        Ok(())
    }

    async fn listed(
        &mut self,
        prefix: &str,
        needed: impl Fn(&Item) -> bool,
        spared: impl Fn(&Item) -> bool,
    ) -> Result<()> {
        let scene = self.scene;
        // A hold from before a copy was made lies on the original.
        let mut firsts = Firsts::genuine(&scene.repository, prefix).and_replaced(!self.on);
        while let Some(entries) = firsts.next().await? {
            let mut targets = Vec::new();
            for entry in &entries {
                let item = Item::of(scene.repository.names(), &scene.cluster, entry.key.as_str());
                match (needed(&item), !self.on && spared(&item)) {
                    (false, _) => {}
                    (true, true) => self.outcome.kept_for_others += 1,
                    (true, false) => targets.push(Target::of(entry)),
                }
            }
            self.all(targets).await?;
        }
        Ok(())
    }

    async fn all(&mut self, targets: Vec<Target>) -> Result<()> {
        let (store, on) = (&self.scene.store, self.on);
        let steps = stream::iter(targets).map(|Target { at, .. }| async move {
            let step = async {
                if store.hold_of(&at.key, &at.version).await? == on {
                    return Ok(false);
                }
                store.set_hold(&at.key, &at.version, on).await?;
                Ok(true)
            };
            match step.await {
                Ok(changed) => Ok(Ok(changed)),
                Err(store::Error::NotFound { .. }) => Ok(Err(at.key.to_string())),
                Err(error) => Err(Error::Store(error)),
            }
        });
        let steps: Vec<Result<bool, String>> = steps.buffer_unordered(RETENTION_IN_FLIGHT).try_collect().await?;
        for step in steps {
            match step {
                Ok(true) => self.outcome.changed += 1,
                Ok(false) => self.outcome.unchanged += 1,
                Err(key) if self.outcome.missing.len() < FINDINGS_MAX => self.outcome.missing.push(key),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Whether a held backup needs an object of the WAL. Nobody wrote down how much of its WAL was asked to be held, so all of
/// it behind its start is left alone; the last hold to go takes everything with it.
fn needs(held: &Backup, item: &Item) -> bool {
    let Some(base) = &held.clear().base else { return false };
    match item {
        Item::Piece { timeline, range } | Item::Partial { timeline, range } => {
            *timeline != base.timeline || range.end > base.start
        }
        Item::Notes(segment) => {
            segment.timeline != base.timeline
                || segment
                    .start(base.segment_bytes)
                    .is_none_or(|start| start.plus(base.segment_bytes.bytes()) > base.start)
        }
        _ => false,
    }
}
