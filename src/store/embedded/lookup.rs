//! Finding the version a request means, with the answers S3 gives when there is none.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{HeaderValue, LAST_MODIFIED};
use s3s::header::{X_AMZ_DELETE_MARKER, X_AMZ_VERSION_ID};
use s3s::{S3Error, S3Result, s3_error};

use super::backend::Backend;
use super::clock::http_date;
use super::model::{Version, is_version_id};

impl Backend {
    /// The version that `id`, or else the newest, names.
    ///
    /// - A newest version that is a delete marker: 404 with `x-amz-delete-marker: true`.
    /// - A delete marker asked for by its id: 405 (User Guide, "Working with delete markers").
    /// - An id that was never given out: 404 `NoSuchVersion`; one of the wrong shape: 400 `InvalidArgument`.
    pub(super) fn find(&self, bucket: &str, key: &str, id: Option<&str>) -> S3Result<Arc<Version>> {
        let Some(id) = id else {
            let latest = self.read(bucket, |b| b.latest(key).cloned())?;
            let latest = latest.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))?;
            if latest.is_marker() {
                return Err(with_marker(s3_error!(NoSuchKey, "The specified key does not exist."), &latest));
            }
            return Ok(latest);
        };
        if !is_version_id(id) {
            return Err(s3_error!(InvalidArgument, "Invalid version id specified"));
        }
        let version = self.read(bucket, |b| b.version(key, id).cloned())?;
        let version = version.ok_or_else(|| s3_error!(NoSuchVersion, "The specified version does not exist."))?;
        if version.is_marker() {
            let refusal = s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.");
            return Err(with_marker(refusal, &version));
        }
        Ok(version)
    }
}

fn with_marker(mut error: S3Error, marker: &Version) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert(X_AMZ_DELETE_MARKER, HeaderValue::from_static("true"));
    for (name, value) in [(X_AMZ_VERSION_ID, marker.id.clone()), (LAST_MODIFIED, http_date(marker.last_modified))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    error.set_headers(headers);
    error
}
