//! The S3 client: the traits of [`store`](super) on the AWS SDK.
//!
//! The SDK signs, resolves credentials and speaks HTTP. What a backup depends on is ours: checksums are computed here and
//! sent in a header with a plain body, retries run under one deadline per request, answers are checked against what was
//! asked, and every failure is given a meaning in one place (`classify`).

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Append, Creation, Head, ListQuery, Lock, Newest, ObjectKey, Page, PageToken, Prune, Put, Read, Result, Retain,
    StoreClock, Stored, VersionId, VersionOf,
};

mod body;
mod bucket;
mod checksum;
mod classify;
mod connect;
mod digest;
mod hide;
mod lifecycle;
mod list;
mod locks;
mod newest;
mod object;
mod options;
mod probe;
mod prune;
mod retry;
mod settings;
mod wire;

#[cfg(feature = "kms")]
pub(crate) use self::classify::find;
#[cfg(feature = "kms")]
pub(crate) use self::connect::{aws_endpoint, fixed_credentials, http_client};
pub use bucket::{DefaultRetention, Tried};
pub use checksum::Checksum;
pub use lifecycle::TidyRule;
pub use options::{S3Options, StaticCredentials};
pub use probe::Probe;
pub use settings::{Expiry, LifecycleRule};

/// A bucket at an S3 endpoint, with credentials.
///
/// Cloning is not offered on purpose: share it behind an `Arc`, so that its clock and connections are shared too.
pub struct S3 {
    client: Client,
    bucket: String,
    endpoint: String,
    region: String,
    checksum: Checksum,
    deadline: Duration,
    stall: Duration,
    attempts: u32,
    clock: Arc<StoreClock>,
    contact: Arc<wire::Contact>,
    /// The last try that failed, and when.
    failed: Mutex<Option<(Instant, String)>>,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("checksum", &self.checksum)
            .finish_non_exhaustive()
    }
}

impl S3 {
    /// Name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Where requests go: the custom endpoint, or `AWS S3 in <region>`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether both are the same bucket, as far as names tell, however the endpoints are written. On AWS, a bucket's name is its
    /// own in all regions of a partition.
    pub fn is_same_bucket(&self, other: &Self) -> bool {
        self.bucket == other.bucket && connect::place(&self.endpoint) == connect::place(&other.endpoint)
    }

    /// Why the last try of a request failed, if that was after `since`; it may have been made again since then.
    pub fn last_failure(&self, since: Instant) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(at, _)| *at >= since).map(|(_, why)| why.clone())
    }

    /// Region used for signing.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Checksum sent with every object.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }
}

#[async_trait]
impl Read for S3 {
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> Result<Bytes> {
        self.get_range(key, version, range).await
    }

    async fn newest(&self, key: &ObjectKey, most: u64) -> Result<Option<Newest>> {
        self.get_newest(key, most).await
    }

    async fn head(&self, key: &ObjectKey, version: &VersionId) -> Result<Head> {
        self.head_version(key, version).await
    }

    async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
        self.list_versions(query, token).await
    }

    fn clock(&self) -> &StoreClock {
        &self.clock
    }
}

#[async_trait]
impl Append for S3 {
    async fn put(&self, put: Put) -> Result<Stored> {
        self.put_object(&put, self.checksum, None).await
    }

    async fn put_hashed(&self, put: Put, sha256: [u8; 32]) -> Result<Stored> {
        self.put_object(&put, self.checksum, Some(sha256)).await
    }

    async fn put_new(&self, put: Put) -> Result<Creation> {
        self.create_object(&put, self.checksum).await
    }
}

#[async_trait]
impl Retain for S3 {
    async fn lock_of(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Lock>> {
        self.get_retention(key, version).await
    }

    async fn set_lock(&self, key: &ObjectKey, version: &VersionId, lock: Lock) -> Result<()> {
        self.put_retention(key, version, lock).await
    }

    async fn hold_of(&self, key: &ObjectKey, version: &VersionId) -> Result<bool> {
        self.get_hold(key, version).await
    }

    async fn set_hold(&self, key: &ObjectKey, version: &VersionId, on: bool) -> Result<()> {
        self.put_hold(key, version, on).await
    }
}

#[async_trait]
impl Prune for S3 {
    async fn delete_version(&self, key: &ObjectKey, version: &VersionId, bypass: bool) -> Result<()> {
        self.delete_one(key, version, bypass).await
    }

    async fn delete_versions(&self, doomed: &[VersionOf]) -> Result<Vec<Result<()>>> {
        self.delete_many(doomed).await
    }
}
