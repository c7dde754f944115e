//! Changes to the store: each is checked, written durably, then shown in the index, in that order.
//!
//! Calls block on the disk and belong on a blocking thread. Two changes to one key never overlap (`key_locks`), so a
//! lock rule or a condition is decided on the state that the change is then applied to. The index itself is locked only
//! for lookups in memory.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::clock::Clock;
use super::disk::{self, Disk, Unfinished};
use super::frost::Frost;
use super::index::{Bucket, Index};
use super::model::{Body, BucketRecord, NULL_VERSION, Version, Versioning, random_id};
use super::{Conduct, locks, uploads};
use crate::store::Lock;

const KEY_LOCKS: usize = 64;

/// The store behind the API.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) disk: Disk,
    pub(super) clock: Arc<Clock>,
    pub(super) frost: Arc<Frost>,
    pub(super) region: String,
    /// Most entries in one listing page.
    pub(super) page_size: usize,
    pub(super) conduct: Conduct,
    pub(super) uploads: uploads::Table,
    index: RwLock<Index>,
    key_locks: [Mutex<()>; KEY_LOCKS],
    /// Shared by changes to versions, exclusive for creating, deleting and configuring buckets.
    bucket_lock: RwLock<()>,
    sequence: AtomicU64,
}

/// A version about to be added.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) key: String,
    /// Name of the body file that is already durable.
    pub(super) file: String,
    pub(super) body: Body,
    /// `None` takes the bucket's default.
    pub(super) retention: Option<Lock>,
    pub(super) legal_hold: Option<bool>,
}

/// A precondition of a write (API PutObject, `If-None-Match` and `If-Match`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// `If-None-Match: *`: the key has no current object.
    Absent,
    /// `If-Match`: the current object has this ETag.
    Etag(String),
}

/// What a delete did.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    /// The version deleted, or the marker created.
    pub(super) version: Option<String>,
    /// Whether that is a delete marker.
    pub(super) marker: bool,
}

impl Backend {
    pub(super) fn new(disk: Disk, clock: Arc<Clock>, region: String, page_size: usize, index: Index) -> Self {
        let newest = index.values().flat_map(Bucket::versions).map(|version| version.sequence).max();
        Self {
            disk,
            clock,
            frost: Arc::default(),
            region,
            page_size,
            conduct: Conduct::Sound,
            uploads: uploads::Table::default(),
            index: RwLock::new(index),
            key_locks: std::array::from_fn(|_| Mutex::new(())),
            bucket_lock: RwLock::new(()),
            sequence: AtomicU64::new(newest.map_or(0, |sequence| sequence + 1)),
        }
    }

    /// Looks something up in a bucket.
    pub(super) fn read<T>(&self, bucket: &str, look: impl FnOnce(&Bucket) -> T) -> S3Result<T> {
        self.index().get(bucket).map(look).ok_or_else(|| no_bucket(bucket))
    }

    pub(super) fn bucket_names(&self) -> Vec<(String, Timestamp)> {
        self.index().iter().map(|(name, bucket)| (name.clone(), bucket.record.created)).collect()
    }

    /// Creates a bucket; the owner asking again is told so (`BucketAlreadyOwnedByYou`).
    pub(super) fn create_bucket(&self, name: &str, object_lock: bool) -> S3Result<()> {
        let _alone = self.bucket_lock.write().unwrap_or_else(PoisonError::into_inner);
        if self.index().contains_key(name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        // Creating a bucket with Object Lock enables versioning too (User Guide, "Configuring S3 Object Lock").
        let versioning = if object_lock { Versioning::Enabled } else { Versioning::Never };
        let record = BucketRecord::new(self.clock.now_seconds(), versioning, object_lock);
        std::fs::create_dir_all(self.disk.meta(name)).map_err(disk_error)?;
        std::fs::create_dir_all(self.disk.data(name)).map_err(disk_error)?;
        disk::write_json(&self.disk.bucket_record(name), &record).map_err(disk_error)?;
        disk::sync_dir(&self.disk.buckets()).map_err(disk_error)?;
        self.index_mut().insert(name.to_owned(), Bucket::new(record));
        Ok(())
    }

    /// Deletes a bucket without versions (API DeleteBucket: all versions and delete markers must be gone first).
    pub(super) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let _alone = self.bucket_lock.write().unwrap_or_else(PoisonError::into_inner);
        if !self.read(name, Bucket::is_empty)? {
            return Err(s3_error!(BucketNotEmpty));
        }
        // Without its record a bucket does not exist; the next start removes what a kill leaves here.
        disk::remove_durably(&self.disk.bucket_record(name)).map_err(disk_error)?;
        self.index_mut().remove(name);
        std::fs::remove_dir_all(self.disk.bucket(name)).map_err(disk_error)
    }

    /// Changes a bucket's settings.
    pub(super) fn configure(&self, name: &str, change: impl FnOnce(&mut BucketRecord) -> S3Result<()>) -> S3Result<()> {
        let _alone = self.bucket_lock.write().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.read(name, |bucket| bucket.record.clone())?;
        change(&mut record)?;
        disk::write_json(&self.disk.bucket_record(name), &record).map_err(disk_error)?;
        if let Some(bucket) = self.index_mut().get_mut(name) {
            bucket.record = record;
        }
        Ok(())
    }

    /// Makes an uploaded body a version. Durable when it returns.
    pub(super) fn commit(
        &self,
        bucket: &str,
        draft: Draft,
        body: Unfinished,
        condition: &Condition,
    ) -> S3Result<Arc<Version>> {
        let _shared = self.bucket_lock.read().unwrap_or_else(PoisonError::into_inner);
        let _key = self.key_lock(bucket, &draft.key);
        let (record, latest) = self.read(bucket, |b| (b.record.clone(), b.latest(&draft.key).cloned()))?;
        check(condition, latest.as_deref())?;
        let now = self.clock.now_seconds();
        let retention = draft.retention.or_else(|| record.default_retention.map(|rule| rule.lock(now)));
        let version = Version {
            id: new_version_id(&record)?,
            key: draft.key,
            file: draft.file,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            last_modified: now,
            body: Some(draft.body),
            retention,
            legal_hold: draft.legal_hold,
        };
        let version = self.add(bucket, version)?;
        body.keep();
        Ok(version)
    }

    /// `DeleteObject`: without a version id a delete marker is put on top, with one that version is removed for good
    /// (User Guide, "Deleting object versions from a versioning-enabled bucket"). Absent versions are no error.
    pub(super) fn delete(&self, bucket: &str, key: &str, id: Option<&str>, bypass: bool) -> S3Result<Deleted> {
        let _shared = self.bucket_lock.read().unwrap_or_else(PoisonError::into_inner);
        let _key = self.key_lock(bucket, key);
        let record = self.read(bucket, |b| b.record.clone())?;
        let id = match (id, record.versioning) {
            (Some(id), _) => id,
            (None, Versioning::Never) => NULL_VERSION,
            (None, Versioning::Enabled | Versioning::Suspended) => return self.add_marker(bucket, key, &record),
        };
        let Some(version) = self.read(bucket, |b| b.version(key, id).cloned())? else {
            return Ok(Deleted { version: Some(id.to_owned()), marker: false });
        };
        // Delete markers are not protected ("Managing delete markers with Object Lock").
        if !version.is_marker() && self.conduct != Conduct::Ignores {
            let hold = version.legal_hold == Some(true);
            locks::may_delete(version.retention, hold, self.clock.now(), bypass).map_err(refused)?;
        }
        self.erase(bucket, &version)?;
        Ok(Deleted { version: Some(version.id.clone()), marker: version.is_marker() })
    }

    /// Changes the lock of a version.
    pub(super) fn relock(
        &self,
        bucket: &str,
        key: &str,
        id: Option<&str>,
        change: impl FnOnce(&mut Version, Timestamp) -> Result<(), locks::Refusal>,
    ) -> S3Result<()> {
        let _shared = self.bucket_lock.read().unwrap_or_else(PoisonError::into_inner);
        let _key = self.key_lock(bucket, key);
        let mut version = Version::clone(&*self.find(bucket, key, id)?);
        change(&mut version, self.clock.now()).map_err(refused)?;
        disk::write_json(&self.disk.meta_file(bucket, &version.file), &version).map_err(disk_error)?;
        if let Some(bucket) = self.index_mut().get_mut(bucket) {
            bucket.put(Arc::new(version));
        }
        Ok(())
    }

    fn add_marker(&self, bucket: &str, key: &str, record: &BucketRecord) -> S3Result<Deleted> {
        let marker = Version {
            key: key.to_owned(),
            id: new_version_id(record)?,
            file: random_id().map_err(disk_error)?,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            last_modified: self.clock.now_seconds(),
            body: None,
            retention: None,
            legal_hold: None,
        };
        let marker = self.add(bucket, marker)?;
        Ok(Deleted { version: Some(marker.id.clone()), marker: true })
    }

    /// The `null` version of a bucket without (active) versioning is replaced, never joined.
    fn add(&self, bucket: &str, version: Version) -> S3Result<Arc<Version>> {
        let replaced = match version.id.as_str() {
            NULL_VERSION => self.read(bucket, |b| b.version(&version.key, NULL_VERSION).cloned())?,
            _ => None,
        };
        disk::write_json(&self.disk.meta_file(bucket, &version.file), &version).map_err(disk_error)?;
        let version = Arc::new(version);
        if let Some(bucket) = self.index_mut().get_mut(bucket) {
            bucket.put(version.clone());
        }
        if let Some(old) = replaced {
            self.erase(bucket, &old)?;
        }
        Ok(version)
    }

    fn erase(&self, bucket: &str, version: &Version) -> S3Result<()> {
        disk::remove_durably(&self.disk.meta_file(bucket, &version.file)).map_err(disk_error)?;
        if let Some(bucket) = self.index_mut().get_mut(bucket) {
            bucket.remove(version);
        }
        // Readers that have the file open keep it. A left-over body is swept away at the next start.
        if !version.is_marker()
            && let Err(error) = std::fs::remove_file(self.disk.data_file(bucket, &version.file))
        {
            tracing::warn!(%error, "remove the body of a deleted version");
        }
        Ok(())
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_lock(&self, bucket: &str, key: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (bucket, key).hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % KEY_LOCKS as u64).unwrap_or(0);
        self.key_locks[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_version_id(record: &BucketRecord) -> S3Result<String> {
    match record.versioning {
        Versioning::Enabled => random_id().map_err(disk_error),
        Versioning::Never | Versioning::Suspended => Ok(NULL_VERSION.to_owned()),
    }
}

fn check(condition: &Condition, latest: Option<&Version>) -> S3Result<()> {
    let etag = latest.and_then(|version| version.body.as_ref()).map(|body| body.etag.as_str());
    match (condition, etag) {
        (Condition::None, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Etag(wanted), Some(etag)) if wanted == etag => Ok(()),
        (Condition::Etag(_), None) => Err(s3_error!(NoSuchKey)),
        (Condition::Absent | Condition::Etag(_), Some(_)) => {
            Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"))
        }
    }
}

pub(super) fn no_bucket(bucket: &str) -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist: {bucket}")
}

/// `AccessDenied` for a lock, `InvalidArgument` for a date in the past.
pub(super) fn refused(refusal: locks::Refusal) -> S3Error {
    let code = match refusal {
        locks::Refusal::Past => S3ErrorCode::InvalidArgument,
        _ => S3ErrorCode::AccessDenied,
    };
    S3Error::with_message(code, refusal.to_string())
}

/// 500, or 507 when the disk is full, so that a client can tell what will not help by itself.
pub(super) fn disk_error(error: io::Error) -> S3Error {
    if error.kind() != io::ErrorKind::StorageFull {
        tracing::error!(%error, "the store's disk");
        return S3Error::internal_error(error);
    }
    let mut full = S3Error::with_message(S3ErrorCode::Custom("StorageFull".into()), "The store's disk is full");
    full.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
    full.set_source(Box::new(error));
    full
}
