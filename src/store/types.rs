//! Words of the S3 API as types.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Readiness;

/// The full key of an object in its bucket, prefix included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Wraps a full key; the caller built it from the object-name grammar or read it from a listing.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key as S3 sees it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The opaque name that a store gave to one version of an object. Unversioned buckets call it `null`. It means something to that
/// store only, so it knows which of several sides it is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct VersionId {
    id: String,
    side: u8,
}

impl VersionId {
    /// Wraps what the store returned.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), side: 0 }
    }

    /// The version of an object in a bucket without versioning.
    pub fn null() -> Self {
        Self::new("null")
    }

    /// The id as S3 sees it.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The same id as one of this side.
    #[must_use]
    pub fn on_side(self, side: u8) -> Self {
        Self { side, ..self }
    }

    /// Which of several sides it is of; 0 where there is one.
    pub fn side(&self) -> usize {
        self.side.into()
    }
}

impl From<String> for VersionId {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl From<VersionId> for String {
    fn from(version: VersionId) -> Self {
        version.id
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// One version of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionOf {
    /// Its key.
    pub key: ObjectKey,
    /// Which of the key's versions.
    pub version: VersionId,
}

/// Object Lock retention mode (S3 User Guide, "Locking objects with Object Lock").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Holds against everyone without `s3:BypassGovernanceRetention`.
    Governance,
    /// Holds against everyone, the account's root user included, until it expires.
    Compliance,
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        })
    }
}

/// Retention of one object version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who may still remove the version before `retain_until`.
    pub mode: LockMode,
    /// No earlier than this may the version be removed (store time).
    pub retain_until: Timestamp,
}

impl Lock {
    /// Whether it holds against as many and for as long as `other`, once both are stored: stores keep whole seconds, and what
    /// is sent to them is rounded up.
    pub fn outlasts(&self, other: Self) -> bool {
        let seconds =
            |lock: &Self| lock.retain_until.as_second() + i64::from(lock.retain_until.subsec_nanosecond() > 0);
        let as_strict = self.mode == other.mode || self.mode == LockMode::Compliance;
        as_strict && seconds(self) >= seconds(&other)
    }
}

/// One object to be written.
#[derive(Clone, Debug)]
pub struct Put {
    /// A key that was never used before.
    pub key: ObjectKey,
    /// The whole object.
    pub body: Bytes,
    /// Retention set by the same request; `None` only in a repository that declares `immutability = "none"`.
    pub lock: Option<Lock>,
}

/// What the store acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version that now holds the body.
    pub version: VersionId,
}

/// What became of a PUT that may only create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is stored.
    Stored(Stored),
    /// The key has an object: maybe our own, from a try whose answer was lost.
    Exists,
}

/// The newest version of an object, or its beginning.
#[derive(Clone, Debug)]
pub struct Newest {
    /// Its version; `null` also where the store does not say (an empty object).
    pub version: VersionId,
    /// Length of the whole object in bytes.
    pub bytes: u64,
    /// Its first bytes.
    pub body: Bytes,
}

/// Metadata of one version.
#[derive(Clone, Debug)]
pub struct Head {
    /// Length in bytes.
    pub bytes: u64,
    /// When the store received it (store time).
    pub last_modified: Timestamp,
    /// Retention, if any.
    pub lock: Option<Lock>,
    /// Whether a legal hold is on it, as far as these credentials are told.
    pub held: bool,
    /// Whether it can be read now.
    pub readiness: Readiness,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Keys must start with this.
    pub prefix: String,
    /// Group keys at the next `/` after the prefix into [`Page::prefixes`].
    pub by_folder: bool,
}

/// Where the next page starts; opaque.
#[derive(Clone, Debug)]
pub struct PageToken {
    /// `NextKeyMarker`.
    pub key: String,
    /// `NextVersionIdMarker`.
    pub version: Option<String>,
}

/// One page of a version listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Versions and delete markers.
    pub entries: Vec<Entry>,
    /// Common prefixes, each with its trailing `/`, when asked [`ListQuery::by_folder`].
    pub prefixes: Vec<String>,
    /// `None` on the last page.
    pub next: Option<PageToken>,
}

/// One version or delete marker in a listing.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub key: ObjectKey,
    /// Its version.
    pub version: VersionId,
    /// When the store received it (store time): an attacker cannot choose it.
    pub last_modified: Timestamp,
    /// Length in bytes; zero for a delete marker.
    pub bytes: u64,
    /// What the store calls its ETag, without quotes: the MD5 of what one PUT stored, unless a KMS key sealed it. Empty for a delete
    /// marker, and where the store shows none.
    pub etag: String,
    /// A delete marker hides older versions from plain reads and is ignored by ours.
    pub delete_marker: bool,
    /// Whether a plain GET would see this one.
    pub is_latest: bool,
    /// Its storage class; `None` for the usual one.
    pub class: Option<String>,
}

impl Entry {
    /// Whether another version is one of the same object, on the same side.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.key == other.key && self.version.side() == other.version.side()
    }
}

/// What the bucket says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BucketState {
    /// `GetBucketVersioning` says `Enabled`.
    pub versioning: bool,
    /// `GetObjectLockConfiguration` says `Enabled`.
    pub object_lock: bool,
}

/// The store's time, derived from the host's clock and the skew last measured.
#[derive(Debug, Default)]
pub struct StoreClock {
    skew_millis: AtomicI64,
}

impl StoreClock {
    /// Store time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock seam: the one place that reads the host's clock for the store"
    )]
    pub fn now(&self) -> Timestamp {
        let host = Timestamp::now();
        host.checked_add(self.skew()).unwrap_or(host)
    }

    /// How far the store is ahead of this host.
    pub fn skew(&self) -> SignedDuration {
        SignedDuration::from_millis(self.skew_millis.load(Ordering::Relaxed))
    }

    /// Takes in the store's time as read from a `Date` header just received. The header has whole seconds, so
    /// differences under two seconds are noise and count as none.
    #[expect(clippy::disallowed_methods, reason = "the clock seam")]
    pub fn observe(&self, store_now: Timestamp) {
        let skew = Timestamp::now().duration_until(store_now);
        let millis = if skew.abs() < SignedDuration::from_secs(2) { 0 } else { skew.as_millis() };
        self.skew_millis.store(i64::try_from(millis).unwrap_or(0), Ordering::Relaxed);
    }
}

/// A digest or another number in hexadecimal, as the S3 API writes them.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy whose lock was rounded to the second must not end before what was locked a moment later within that second.
    #[test]
    fn i11_locks_are_compared_as_they_are_stored() {
        let lock = |text: &str| Lock { mode: LockMode::Governance, retain_until: text.parse().unwrap() };
        assert!(!lock("2030-01-01T00:00:14Z").outlasts(lock("2030-01-01T00:00:14.5Z")), "stored until 15");
        assert!(lock("2030-01-01T00:00:15Z").outlasts(lock("2030-01-01T00:00:14.5Z")));
        assert!(lock("2030-01-01T00:00:14.2Z").outlasts(lock("2030-01-01T00:00:14.5Z")), "both until 15");
        let compliance = Lock { mode: LockMode::Compliance, ..lock("2030-01-01T00:00:14Z") };
        assert!(
            compliance.outlasts(lock("2030-01-01T00:00:14Z")) && !lock("2030-01-01T00:00:14Z").outlasts(compliance)
        );
    }
}
