//! The beginning that all kinds of backups have in common.

use jiff::Timestamp;

use super::repository::clock_warning;
use super::{Connected, Result};
use crate::catalog::{BackupKeys, Finding, Repository, outlive};
use crate::format::{BackupId, ClusterName, Place};
use crate::keys;
use crate::store::{Lock, Read as _};

/// A backup that has begun: what it needs outlives it, its keys are stored and locked. Nothing of it is visible yet.
#[derive(Debug)]
pub(super) struct Begun {
    /// Where it goes.
    pub(super) place: Place,
    /// Retention of every object.
    pub(super) lock: Option<Lock>,
    /// Store time.
    pub(super) started_at: Timestamp,
    /// What was missing of what it needs.
    pub(super) gone: Vec<Finding>,
    /// Its data keys.
    pub(super) keys: BackupKeys,
}

impl Begun {
    /// Begins a backup of `cluster` whose objects get `lock`.
    pub(super) async fn now(
        connected: &Connected,
        repository: &Repository,
        cluster: &ClusterName,
        lock: Option<Lock>,
    ) -> Result<Self> {
        let store = &connected.store;
        let started_at = store.clock().now();
        let gone = match lock {
            Some(lock) => outlive(&**store, repository, lock, connected.lock_max()).await?,
            None => Vec::new(),
        };
        let keys = BackupKeys::store(&**store, repository, lock).await?;
        let place = Place {
            names: connected.names.clone(),
            repository: repository.id(),
            cluster: cluster.clone(),
            backup: BackupId::new(started_at, keys::backup_suffix()?),
        };
        Ok(Self { place, lock, started_at, gone, keys })
    }
}

/// What is worth knowing of the ground that a backup stands on.
pub(super) fn warnings(connected: &Connected, repository: &Repository, gone: &[Finding]) -> Vec<String> {
    let findings = repository.findings().iter().chain(gone).map(Finding::to_string);
    clock_warning(connected).into_iter().chain(findings).collect()
}
