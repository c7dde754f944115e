//! What is written down about buckets and versions: small JSON files, one per bucket and one per version.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::digest::Checksum;
use super::locks::DefaultRetention;
use crate::store::Lock;
use crate::store::types::hex;

/// State of versioning (S3 User Guide, "How S3 Versioning works"): once enabled it can be suspended, never unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Versioning {
    #[default]
    Never,
    Enabled,
    Suspended,
}

/// One bucket's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BucketRecord {
    pub(super) created: Timestamp,
    pub(super) versioning: Versioning,
    /// Object Lock, once enabled, stays enabled ("Object Lock considerations").
    pub(super) object_lock: bool,
    pub(super) default_retention: Option<DefaultRetention>,
    /// Kept and given back; this server expires nothing by itself.
    #[serde(default)]
    pub(super) lifecycle: Option<s3s::dto::BucketLifecycleConfiguration>,
    /// Kept and given back; who may do what is decided by roles alone.
    #[serde(default)]
    pub(super) policy: Option<String>,
}

impl BucketRecord {
    pub(super) fn new(created: Timestamp, versioning: Versioning, object_lock: bool) -> Self {
        Self { created, versioning, object_lock, default_retention: None, lifecycle: None, policy: None }
    }
}

/// One version of an object, or a delete marker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    pub(super) key: String,
    /// What clients see; `null` for versions written without versioning.
    pub(super) id: String,
    /// Name of the metadata and the body file; never reused.
    pub(super) file: String,
    /// Order of commits over the whole server; ids carry no order on purpose.
    pub(super) sequence: u64,
    pub(super) last_modified: Timestamp,
    /// `None` for a delete marker.
    pub(super) body: Option<Body>,
    pub(super) retention: Option<Lock>,
    /// `None` when a hold was never set.
    pub(super) legal_hold: Option<bool>,
}

impl Version {
    pub(super) fn is_marker(&self) -> bool {
        self.body.is_none()
    }

    /// Length of the body in bytes, as the API's signed type; zero for a delete marker.
    pub(super) fn size(&self) -> i64 {
        self.body.as_ref().map_or(0, |body| i64::try_from(body.bytes).unwrap_or(i64::MAX))
    }
}

/// What is known of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) bytes: u64,
    /// Hexadecimal MD5, or MD5 of part MD5s with `-<parts>`; without quotes.
    pub(super) etag: String,
    pub(super) checksum: Checksum,
    #[serde(default)]
    pub(super) headers: Headers,
}

/// Headers that S3 stores with an object and gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Headers {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) cache_control: Option<String>,
    /// `x-amz-meta-*`, names without the prefix.
    pub(super) metadata: BTreeMap<String, String>,
}

/// The version id of unversioned writes.
pub(super) const NULL_VERSION: &str = "null";

const ID_BYTES: usize = 16;

/// A random name of 32 hexadecimal digits: unguessable, unordered.
pub(super) fn random_id() -> std::io::Result<String> {
    let mut bytes = [0; ID_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("the system has no random bytes"))?;
    Ok(hex(&bytes))
}

/// Whether `id` has the shape of a version id given out by this server; S3 answers 400 to others, 404 to unknown ones.
pub(super) fn is_version_id(id: &str) -> bool {
    id == NULL_VERSION || (id.len() == 2 * ID_BYTES && id.bytes().all(|b| b.is_ascii_hexdigit()))
}
