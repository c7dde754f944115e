//! Someone with the store's every right except lock bypass, who wants the backups gone or changed.

use bytes::Bytes;
use jiff::SignedDuration;

use super::{Event, Listener};
use crate::catalog::each_entry;
use crate::commands::{Connected, RepositoryOptions, Result};
use crate::format::{BackupId, ClusterName};
use crate::keys::tag;
use crate::store::{self, Append as _, Entry, Lock, LockMode, ObjectKey, Prune as _, Put, Read as _, Retain as _, S3};

/// What was tried and what came of it.
#[derive(Debug, Default)]
pub(super) struct Harm {
    deletes_refused: u64,
    shortenings_refused: u64,
    bypasses_refused: u64,
    succeeded: u64,
    hidden: u64,
    overwritten: u64,
    planted: u64,
}

impl Harm {
    pub(super) fn refused(&self) -> u64 {
        self.deletes_refused + self.shortenings_refused + self.bypasses_refused
    }

    pub(super) fn accepted(&self) -> u64 {
        self.hidden + self.overwritten + self.planted
    }

    pub(super) fn tell(&self, tell: Listener<'_>) {
        let refused = format!(
            "refused: {} deletions of a version, {} shortened locks, {} bypasses",
            self.deletes_refused, self.shortenings_refused, self.bypasses_refused
        );
        let accepted = format!(
            "accepted: {} objects hidden by delete markers, {} overwritten with junk, {} forged manifests planted",
            self.hidden, self.overwritten, self.planted
        );
        tell(Event::Line(refused));
        tell(Event::Line(accepted));
        tell(Event::Line("a plain listing of the bucket now shows junk and nothing else".into()));
    }

    fn count(&mut self, attempt: store::Result<()>, refused: fn(&mut Self) -> &mut u64) -> Result<()> {
        match attempt {
            Ok(()) => self.succeeded += 1,
            Err(store::Error::Denied { .. } | store::Error::Refused { .. }) => *refused(self) += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Attacks everything below the prefix.
pub(super) async fn attack(options: &RepositoryOptions, cluster: &ClusterName, backup: &BackupId) -> Result<Harm> {
    let connected = Connected::to(options).await?;
    let store = &*connected.store;
    let mut entries = Vec::new();
    each_entry(store, connected.names.prefix(), |entry| entries.push(entry)).await?;
    let mut harm = Harm::default();
    let mut manifest = None;
    for entry in &entries {
        if entry.key.as_str().starts_with(&connected.names.manifests(cluster, backup)) {
            manifest = Some(store.get(&entry.key, &entry.version, 0..entry.bytes).await?);
        }
        destroy(store, entry, &mut harm).await?;
    }
    plant(&connected, cluster, backup, manifest.unwrap_or_default(), &mut harm).await?;
    if harm.succeeded > 0 {
        return Err(crate::commands::Error::Demo(format!("{} attacks on locked objects succeeded", harm.succeeded)));
    }
    Ok(harm)
}

async fn destroy(store: &S3, entry: &Entry, harm: &mut Harm) -> Result<()> {
    let (key, version) = (&entry.key, &entry.version);
    harm.count(store.delete_version(key, version, false).await, |harm| &mut harm.deletes_refused)?;
    harm.count(store.delete_version(key, version, true).await, |harm| &mut harm.bypasses_refused)?;
    let soon = store.clock().now().checked_add(SignedDuration::from_secs(5)).unwrap_or(entry.last_modified);
    let lock = Lock { mode: LockMode::Governance, retain_until: soon };
    harm.count(store.set_lock(key, version, lock).await, |harm| &mut harm.shortenings_refused)?;
    store.put(Put { key: key.clone(), body: Bytes::from_static(b"junk, and newer"), lock: None }).await?;
    harm.overwritten += 1;
    store.hide(key).await?;
    harm.hidden += 1;
    Ok(())
}

/// Newer "backups": a genuine manifest under another name, one with a bit flipped, and junk.
async fn plant(
    connected: &Connected,
    cluster: &ClusterName,
    backup: &BackupId,
    manifest: Bytes,
    harm: &mut Harm,
) -> Result<()> {
    let mut bent = manifest.to_vec();
    if let Some(byte) = bent.get_mut(40) {
        *byte ^= 1;
    }
    let later = connected.store.clock().now().checked_add(SignedDuration::from_hours(24)).unwrap_or_default();
    let bodies = [manifest, Bytes::from(bent), Bytes::from_static(b"stwlmnft junk")];
    for (number, body) in (0u8..).zip(bodies) {
        let newer = BackupId::new(later, [number; 4]);
        for place in [&newer, backup] {
            let key = ObjectKey::new(connected.names.manifest(cluster, place, tag()?));
            connected.store.put(Put { key, body: body.clone(), lock: None }).await?;
            harm.planted += 1;
        }
    }
    Ok(())
}
