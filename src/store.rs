//! The bucket: what may be read, appended, locked and pruned, each behind a trait of its own.
//!
//! Code that makes backups receives [`Append`] and [`Read`]; it cannot name a delete because [`Prune`] is not in its
//! hands (invariant I3). [`Retain`] only sets locks.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

pub mod embedded;
mod error;
#[doc(hidden)]
pub mod faulty;
#[doc(hidden)]
pub mod memory;
mod pages;
mod pinned;
pub mod roles;
mod s3;
mod sides;
mod types;

pub use error::{Error, Result};
pub use pages::Pages;
pub use pinned::{Pin, versions_of};
pub use s3::{
    Checksum, DefaultRetention, Expiry, LifecycleRule, Probe, S3, S3Options, StaticCredentials, TidyRule, Tried,
};
#[cfg(feature = "kms")]
pub(crate) use s3::{aws_endpoint, find, fixed_credentials, http_client};
pub use sides::{Altered, Failing, Side, Sides};
pub use types::{
    BucketState, Creation, Entry, Head, ListQuery, Lock, LockMode, Newest, ObjectKey, Page, PageToken, Put, StoreClock,
    Stored, VersionId, VersionOf,
};

/// Reading objects, their versions and their locks.
#[async_trait]
pub trait Read: Send + Sync {
    /// The bytes `range` of one version, all of them: a body that ends early is resumed at its offset, and an error if
    /// it cannot be completed. An empty range makes no request.
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> Result<Bytes>;

    /// The bytes that a manifest pins, in whatever version this bucket has them. [`Error::Corrupt`] if all that it has under
    /// `key` is of another content.
    async fn pinned(&self, key: &ObjectKey, pin: &Pin) -> Result<Bytes> {
        pinned::find(self, key, pin).await
    }

    /// The newest version of `key`, at most its first `most` bytes, in one request; `None` if an authorised answer says that
    /// there is none, or that a delete marker lies on top. Whoever may write may have put it there: believe it only for what
    /// it proves by itself.
    async fn newest(&self, key: &ObjectKey, most: u64) -> Result<Option<Newest>>;

    /// Size, modification time, lock and stored checksum of one version.
    async fn head(&self, key: &ObjectKey, version: &VersionId) -> Result<Head>;

    /// One page of versions and delete markers (`ListObjectVersions`), in key order, newest version of a key first.
    async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> Result<Page>;

    /// How often a side of several did not answer so far, while another did; a single bucket fails instead.
    fn unheard(&self) -> u64 {
        0
    }

    /// Nothing, if every side was heard since [`Read::unheard`] was `since`; else [`Error::Unheard`]. Whoever says that something
    /// does not exist asks this first: a side that failed may have it.
    fn all_heard(&self, since: u64) -> Result<()> {
        let _ = since;
        Ok(())
    }

    /// The store's idea of time: the host's clock corrected by the skew seen in `Date` headers.
    fn clock(&self) -> &StoreClock;
}

/// Adding objects. There is no way to replace or remove one.
#[async_trait]
pub trait Append: Send + Sync {
    /// One PUT with checksum and lock in its headers. Retrying is safe: the body is in memory and the key is fresh.
    /// Returns only after the store has acknowledged the whole object.
    async fn put(&self, put: Put) -> Result<Stored>;

    /// The same for a body whose SHA-256 is known: what signs requests need not hash it again, and an object is kept only if
    /// the store finds that very digest.
    async fn put_hashed(&self, put: Put, sha256: [u8; 32]) -> Result<Stored>;

    /// One PUT that leaves alone a key which has an object (`If-None-Match: *`, S3 API PutObject); a delete marker on top is
    /// no object. A try whose answer was lost may have stored it: then the next one meets our own object, so whoever is told
    /// [`Creation::Exists`] compares. A store that does not know the condition is asked first whether there is one.
    async fn put_new(&self, put: Put) -> Result<Creation>;
}

/// Retention and legal holds of versions that exist. The store refuses to shorten retention.
#[async_trait]
pub trait Retain: Send + Sync {
    /// The retention of one version, also one that has ended (`GetObjectRetention`); `None` if none was ever set. Reads
    /// no object: a retainer or pruner may not.
    async fn lock_of(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Lock>>;

    /// `PutObjectRetention` without any bypass.
    async fn set_lock(&self, key: &ObjectKey, version: &VersionId, lock: Lock) -> Result<()>;

    /// Whether a legal hold is on one version (`GetObjectLegalHold`).
    async fn hold_of(&self, key: &ObjectKey, version: &VersionId) -> Result<bool>;

    /// Puts a legal hold on one version or takes it away (`PutObjectLegalHold`); saying it twice is no error.
    async fn set_hold(&self, key: &ObjectKey, version: &VersionId, on: bool) -> Result<()>;
}

/// Removing versions: for the pruner role, and for proving that everyone else may not.
#[async_trait]
pub trait Prune: Send + Sync {
    /// `DeleteObject` of exactly one version; `bypass` asks to override governance retention.
    async fn delete_version(&self, key: &ObjectKey, version: &VersionId, bypass: bool) -> Result<()>;

    /// `DeleteObjects` of exactly these versions, at most [`DELETE_KEYS_MAX`](crate::limits::DELETE_KEYS_MAX), without any
    /// bypass. A result for each, in their order: the request succeeds although single versions are refused. An error of
    /// the whole leaves open which are gone; a version that is gone counts as deleted, so ask again.
    async fn delete_versions(&self, doomed: &[VersionOf]) -> Result<Vec<Result<()>>>;
}
