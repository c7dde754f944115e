//! Level `list`: what the manifest pins is there and locked; what else lies there is reported.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Error, Findings};
use crate::catalog::{self, Backup, Finding, FindingKind, Repository, each_entry};
use crate::format::{LockModeRecord, LockRecord};
use crate::limits::HEADS;
use crate::store::{self, Entry, Lock, LockMode, ObjectKey, VersionId};

/// One pinned object while the listing passes.
struct Pinned {
    version: String,
    bytes: Option<u64>,
    seen: bool,
    /// The oldest version under another id that it might be, as in a replica.
    elsewhere: Option<String>,
    other_versions: u64,
    markers: u64,
}

impl Pinned {
    /// Takes note of another version than the one pinned; a listing gives the newest first.
    fn pass(&mut self, entry: &Entry) {
        self.other_versions += 1;
        if self.bytes.is_none_or(|bytes| bytes == entry.bytes) {
            self.elsewhere = Some(entry.version.to_string());
        }
    }

    fn new(version: &str, bytes: Option<u64>) -> Self {
        Self { version: version.to_owned(), bytes, seen: false, elsewhere: None, other_versions: 0, markers: 0 }
    }
}

/// In a replica nothing has the version id that was pinned; there, what has the right length stands for it, and level `checksum`
/// tells whether it is the same. Where any has, this is the bucket of the backup, and nothing stands for what is missing.
fn settle_elsewhere(pinned: &mut HashMap<String, Pinned>, manifest: &str) {
    if pinned.iter().any(|(key, object)| object.seen && key != manifest) {
        return;
    }
    for object in pinned.values_mut().filter(|object| !object.seen) {
        if let Some(version) = object.elsewhere.take() {
            (object.version, object.seen) = (version, true);
            object.other_versions -= 1;
        }
    }
}

pub(super) async fn check(repository: &Repository, backup: &Backup, findings: &mut Findings) -> Result<(), Error> {
    let objects = presence(repository, backup, findings).await?;
    check_locks(repository, backup.clear().lock, objects, findings).await
}

/// Looks for every pinned object in listings alone; gives back those that are there, by key and version.
pub(super) async fn presence(
    repository: &Repository,
    backup: &Backup,
    findings: &mut Findings,
) -> Result<Vec<(String, String)>, Error> {
    let mut pinned = pinned_objects(repository, backup);
    let manifests = repository.names().manifests(&backup.clear().cluster, &backup.clear().backup);
    for (kind, prefix) in prefixes(repository, backup) {
        let mut strays = Findings::default();
        each_entry(&**repository.store(), &prefix, |entry| match pinned.get_mut(entry.key.as_str()) {
            Some(object) if entry.delete_marker => object.markers += 1,
            Some(object) if object.version == entry.version.as_str() => {
                object.seen = object.bytes.is_none_or(|bytes| bytes == entry.bytes);
            }
            Some(object) => object.pass(&entry),
            // Whatever is named like a manifest was judged when the backup was looked for.
            None if entry.key.as_str().starts_with(&manifests) => {}
            None => {
                let version = Some(entry.version.as_str());
                strays.push(Finding::new(kind, entry.key.as_str(), version, "no manifest names it"));
            }
        })
        .await?;
        findings.merge(strays);
    }
    settle_elsewhere(&mut pinned, backup.entry.key.as_str());
    for (key, object) in &pinned {
        report(key, object, findings);
    }
    let seen = pinned.iter().filter(|(_, object)| object.seen);
    Ok(seen.map(|(key, object)| (key.clone(), object.version.clone())).collect())
}

/// Every object that a restore of the backup reads.
fn pinned_objects(repository: &Repository, backup: &Backup) -> HashMap<String, Pinned> {
    let (names, place, clear) = (repository.names(), repository.place(backup), backup.clear());
    let mut pinned = HashMap::new();
    for stream in &clear.streams {
        for (number, chunk) in (0..).zip(&stream.chunks) {
            let key = place.chunk(&stream.name, number, chunk.tag);
            pinned.insert(key, Pinned::new(&chunk.version, Some(chunk.bytes)));
        }
    }
    for record in [&clear.payload_key, &clear.metadata_key] {
        pinned.insert(names.wrap(record.id, record.wrap.tag), Pinned::new(&record.wrap.version, None));
    }
    let entry = &backup.entry;
    pinned.insert(entry.key.to_string(), Pinned::new(entry.version.as_str(), Some(entry.bytes)));
    pinned
}

/// Where its objects lie, and what else lies there may be.
fn prefixes(repository: &Repository, backup: &Backup) -> [(FindingKind, String); 3] {
    let (names, clear) = (repository.names(), backup.clear());
    let wraps = |key| (FindingKind::Wrap, names.wraps(key));
    let folder = names.backup(&clear.cluster, &clear.backup);
    [(FindingKind::Stray, folder), wraps(clear.payload_key.id), wraps(clear.metadata_key.id)]
}

fn report(key: &str, object: &Pinned, findings: &mut Findings) {
    let version = Some(object.version.as_str());
    if !object.seen {
        let detail = "the manifest needs it and the bucket does not list it in this version and length";
        findings.push(Finding::new(FindingKind::Missing, key, version, detail));
    }
    if object.other_versions > 0 {
        let detail = format!("{} other versions lie over it; they are ignored", object.other_versions);
        findings.push(Finding::new(FindingKind::LaterVersion, key, version, detail));
    }
    if object.markers > 0 {
        let detail = format!("{} delete markers lie over it; they are ignored", object.markers);
        findings.push(Finding::new(FindingKind::DeleteMarker, key, version, detail));
    }
}

/// Compares every object's lock with what the manifest promises (invariant I11), while the promise lasts.
async fn check_locks(
    repository: &Repository,
    promised: Option<LockRecord>,
    objects: Vec<(String, String)>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let store = repository.store();
    let Some(promised) = promised.map(lock).filter(|lock| lock.retain_until > store.clock().now()) else {
        return Ok(());
    };
    let heads = stream::iter(objects).map(|(key, version)| async move {
        let (object, id) = (ObjectKey::new(key), VersionId::new(version));
        let head = store.head(&object, &id).await?;
        Ok::<_, store::Error>((object, id, head))
    });
    let mut heads = heads.buffer_unordered(HEADS);
    while let Some((key, version, head)) = heads.try_next().await.map_err(catalog::Error::from)? {
        let detail = match head.lock {
            None => "it is not locked".to_owned(),
            Some(lock) if lock.outlasts(promised) => continue,
            Some(lock) => format!(
                "it is locked in {} mode until {}, the manifest says {} until {}",
                lock.mode, lock.retain_until, promised.mode, promised.retain_until
            ),
        };
        findings.push(Finding::new(FindingKind::LockShort, key.as_str(), Some(version.as_str()), detail));
    }
    Ok(())
}

fn lock(record: LockRecord) -> Lock {
    let mode = match record.mode {
        LockModeRecord::Governance => LockMode::Governance,
        LockModeRecord::Compliance => LockMode::Compliance,
    };
    Lock { mode, retain_until: record.retain_until }
}
