//! Two credentials in one run: one reads and plans, the other changes locks or deletes and reads no object.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::gather;
use crate::catalog::{Access, Backup, Finding, Pages, Repository};
use crate::commands::{Connected, Error, Immutability, RepositoryOptions, Result};
use crate::format::{BackupId, ClusterName};
use crate::retention::{self, Plan, Policy};
use crate::store::{Entry, ListQuery, LockMode, ObjectKey, Read, S3, S3Options, VersionId, VersionOf};
use crate::verify::Findings;

/// Whose locks, by which rules, with which credentials.
#[derive(Debug)]
pub struct Scope {
    /// Where, with the credentials that read.
    pub repository: RepositoryOptions,
    /// The credentials that act: a retainer's or a pruner's.
    pub acting: S3Options,
    /// Keys of any kind: they say whose manifests count.
    pub access: Access,
    /// The cluster.
    pub cluster: ClusterName,
    /// The rules.
    pub policy: Policy,
}

/// A repository that was looked at, its plan, and the store to act on.
pub(super) struct Scene {
    pub(super) location: String,
    pub(super) repository: Repository,
    pub(super) cluster: ClusterName,
    pub(super) store: Arc<S3>,
    pub(super) plan: Plan,
    /// How new objects are locked.
    pub(super) mode: LockMode,
    /// When gathering the facts began: what arrived later is not among them.
    pub(super) begun_at: Timestamp,
    pub(super) findings: Findings,
}

impl Scene {
    /// Gathers the facts and plans, right before acting.
    pub(super) async fn set(scope: Scope) -> Result<Self> {
        let Immutability::ObjectLock { mode, .. } = scope.repository.immutability else {
            let why = "immutability is \"none\": nothing of this repository is locked, so there are no locks to change";
            return Err(Error::Usage(why.into()));
        };
        scope.acting.check_profile().await?;
        let connected = Connected::to(&scope.repository).await?;
        let store = Arc::new(S3::connect(scope.acting).await?);
        let repository = connected.open(scope.access).await?;
        let gathered = gather(&connected, &repository, &scope.cluster).await?;
        let plan = retention::plan(&gathered.facts, &scope.policy, gathered.begun_at)?;
        let mut findings = gathered.findings;
        findings.extend(repository.findings().iter().cloned());
        let (location, begun_at) = (connected.location.clone(), gathered.begun_at);
        Ok(Self { location, repository, cluster: scope.cluster, store, plan, mode, begun_at, findings })
    }

    /// A backup with its manifest, if it still has one.
    pub(super) async fn backup(&self, id: &BackupId) -> Result<Option<Backup>> {
        Ok(self.repository.look(&self.cluster, id).await?.0)
    }

    /// The folders and objects that hold what every backup of the cluster stands on.
    pub(super) fn ground(&self) -> [String; 5] {
        let names = self.repository.names();
        [names.repository(), names.identities(), names.rosters(), names.writers(), names.cluster_record(&self.cluster)]
    }

    /// Folder of all wraps.
    pub(super) fn keys(&self) -> String {
        format!("{}keys/", self.repository.names().prefix())
    }
}

/// One version to act on.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Target {
    pub(in crate::commands) at: VersionOf,
    pub(in crate::commands) bytes: u64,
}

impl Target {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { at: VersionOf { key: entry.key.clone(), version: entry.version.clone() }, bytes: entry.bytes }
    }
}

/// The chunks and wraps that a manifest pins: exactly the versions that a restore reads. The manifest is not among them.
pub(in crate::commands) fn pinned(repository: &Repository, backup: &Backup) -> Vec<Target> {
    let (place, clear, names) = (repository.place(backup), backup.clear(), repository.names());
    let target = |key: String, version: &str, bytes| {
        let at = VersionOf { key: ObjectKey::new(key), version: VersionId::new(version) };
        Target { at, bytes }
    };
    let wraps = [&clear.payload_key, &clear.metadata_key].map(|record| {
        let key = names.wrap(record.id, record.wrap.tag);
        target(key, &record.wrap.version, 0)
    });
    let chunks = clear.streams.iter().flat_map(|stream| {
        let place = &place;
        (0..).zip(&stream.chunks).map(move |(number, chunk)| {
            target(place.chunk(&stream.name, number, chunk.tag), &chunk.version, chunk.bytes)
        })
    });
    wraps.into_iter().chain(chunks).collect()
}

/// Every version and delete marker below a prefix, page by page.
pub(super) fn pages<'a>(store: &'a dyn Read, prefix: &str) -> Pages<'a> {
    Pages::of(store, ListQuery { prefix: prefix.to_owned(), by_folder: false })
}

/// Findings that are worth a warning.
pub(super) fn noteworthy(findings: Findings) -> Vec<Finding> {
    let mut seen = HashSet::new();
    let details = findings.details.into_iter().filter(|finding| !finding.kind.is_stray());
    details.filter(|finding| seen.insert(finding.to_string())).collect()
}
