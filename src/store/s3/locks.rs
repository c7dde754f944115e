//! Retention and legal hold of one version.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    ObjectLockLegalHold, ObjectLockLegalHoldStatus as Status, ObjectLockRetention, ObjectLockRetentionMode as Mode,
};

use super::super::{Error, Lock, LockMode, ObjectKey, Result, VersionId};
use super::S3;
use super::object::timestamp;
use super::retry::Call;

impl S3 {
    /// `GetObjectRetention`.
    pub(super) async fn get_retention(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Lock>> {
        let call = Call::version("s3:GetObjectRetention", key, version);
        let attempt = || async {
            let request = self.client.get_object_retention().bucket(&self.bucket).key(key.as_str());
            match request.version_id(version.as_str()).send().await {
                Ok(output) => Ok(output.retention),
                Err(error) if says_nothing_set(&error) => Ok(None),
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        let found = self.call(call, || self.patiently(call, attempt())).await?;
        let Some(found) = found.filter(|found| found.mode.is_some() || found.retain_until_date.is_some()) else {
            return Ok(None);
        };
        // A lock that cannot be read is no absent lock.
        let unreadable = || Error::Corrupt { target: key.to_string(), what: "its retention is incomplete".into() };
        read(&found).ok_or_else(unreadable).map(Some)
    }

    /// `GetObjectLegalHold`.
    pub(super) async fn get_hold(&self, key: &ObjectKey, version: &VersionId) -> Result<bool> {
        let call = Call::version("s3:GetObjectLegalHold", key, version);
        let attempt = || async {
            let request = self.client.get_object_legal_hold().bucket(&self.bucket).key(key.as_str());
            match request.version_id(version.as_str()).send().await {
                Ok(output) => Ok(output.legal_hold().and_then(|hold| hold.status().cloned())),
                Err(error) if says_nothing_set(&error) => Ok(None),
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        let status = self.call(call, || self.patiently(call, attempt())).await?;
        // Whatever a store calls it, only "off" is off.
        Ok(status.is_some_and(|status| status != Status::Off))
    }

    /// `PutObjectLegalHold`.
    pub(super) async fn put_hold(&self, key: &ObjectKey, version: &VersionId, on: bool) -> Result<()> {
        let call = Call::version("s3:PutObjectLegalHold", key, version);
        let hold = ObjectLockLegalHold::builder().status(if on { Status::On } else { Status::Off }).build();
        let attempt = || async {
            let request = self.client.put_object_legal_hold().bucket(&self.bucket).key(key.as_str());
            let request = request.version_id(version.as_str()).legal_hold(hold.clone());
            request.send().await.map(drop).map_err(|error| self.failure(call, &error))
        };
        self.call(call, || self.patiently(call, attempt())).await
    }
}

/// The version exists and has nothing set, or the bucket locks nothing: S3 tells both as errors (API GetObjectRetention;
/// `InvalidRequest` is what a bucket without Object Lock answers).
fn says_nothing_set<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(error) = error else { return false };
    let without_lock = || error.err().message().is_some_and(|words| words.contains("Object Lock Configuration"));
    match error.err().code() {
        Some("NoSuchObjectLockConfiguration" | "ObjectLockConfigurationNotFoundError") => true,
        Some("InvalidRequest") => without_lock(),
        _ => false,
    }
}

fn read(found: &ObjectLockRetention) -> Option<Lock> {
    let mode = match found.mode()? {
        Mode::Governance => LockMode::Governance,
        Mode::Compliance => LockMode::Compliance,
        _ => return None,
    };
    Some(Lock { mode, retain_until: timestamp(found.retain_until_date()?)? })
}
