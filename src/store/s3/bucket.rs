//! Requests about the bucket: for `init` and `doctor`.

use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::get_bucket_versioning::GetBucketVersioningOutput;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, MfaDeleteStatus,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, VersioningConfiguration,
};

use super::super::{BucketState, LockMode, Result};
use super::S3;
use super::retry::{Call, Failure};

/// Retention that the bucket gives to objects written without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRetention {
    /// Its mode.
    pub mode: LockMode,
    /// Its length: days, or years of 365 days.
    pub days: u32,
}

/// What [`S3::try_versioning`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was allowed.
    Allowed,
    /// These credentials may not.
    Denied,
    /// Not tried: it might have changed something.
    Not,
}

impl S3 {
    /// Whether these credentials may change the bucket's versioning: it is enabled again where it is enabled already
    /// (`GetBucketVersioning`, `PutBucketVersioning`). Tried only under Object Lock, where it cannot be anything else nor become so between
    /// the two requests, and without MFA delete, the only other element of the configuration: so nothing can change.
    pub async fn try_versioning(&self) -> Result<Tried> {
        let locked = self.lock_configuration().await?;
        let locked = locked.is_some_and(|lock| lock.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled));
        let found = self.versioning().await?;
        let enabled = found.status() == Some(&BucketVersioningStatus::Enabled);
        if !locked || !enabled || found.mfa_delete() == Some(&MfaDeleteStatus::Enabled) {
            return Ok(Tried::Not);
        }
        match self.enable_versioning().await {
            Ok(()) => Ok(Tried::Allowed),
            Err(super::super::Error::Denied { .. }) => Ok(Tried::Denied),
            Err(error) => Err(error),
        }
    }

    async fn versioning(&self) -> Result<GetBucketVersioningOutput> {
        let call = Call::bucket("s3:GetBucketVersioning");
        let attempt = || async {
            let sent = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
            sent.map_err(|error| self.failure(call, &error))
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    async fn enable_versioning(&self) -> Result<()> {
        let call = Call::bucket("s3:PutBucketVersioning");
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let attempt = || async {
            let request = self.client.put_bucket_versioning().bucket(&self.bucket);
            let sent = request.versioning_configuration(enabled.clone()).send().await;
            sent.map(drop).map_err(|error| self.failure(call, &error))
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    /// Versioning and Object Lock of the bucket (`GetBucketVersioning`, `GetObjectLockConfiguration`).
    pub async fn bucket_state(&self) -> Result<BucketState> {
        let versioning = self.versioning().await?;
        let lock = self.lock_configuration().await?;
        Ok(BucketState {
            versioning: versioning.status() == Some(&BucketVersioningStatus::Enabled),
            object_lock: lock.is_some_and(|lock| lock.object_lock_enabled() == Some(&ObjectLockEnabled::Enabled)),
        })
    }

    /// The bucket's default retention, if it has one.
    pub async fn default_retention(&self) -> Result<Option<DefaultRetention>> {
        let lock = self.lock_configuration().await?;
        let rule = lock.as_ref().and_then(|lock| lock.rule()).and_then(|rule| rule.default_retention());
        Ok(rule.and_then(|rule| {
            let mode = match rule.mode()? {
                ObjectLockRetentionMode::Governance => LockMode::Governance,
                ObjectLockRetentionMode::Compliance => LockMode::Compliance,
                _ => return None,
            };
            let days = rule.days().or_else(|| rule.years().map(|years| years.saturating_mul(365)))?;
            Some(DefaultRetention { mode, days: u32::try_from(days).ok()? })
        }))
    }

    async fn lock_configuration(&self) -> Result<Option<ObjectLockConfiguration>> {
        let call = Call::bucket("s3:GetBucketObjectLockConfiguration");
        let attempt = || async {
            match self.client.get_object_lock_configuration().bucket(&self.bucket).send().await {
                Ok(output) => Ok(output.object_lock_configuration().cloned()),
                Err(SdkError::ServiceError(e)) if e.err().code() == Some("ObjectLockConfigurationNotFoundError") => {
                    Ok(None)
                }
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    /// The region the bucket says it is in (`HeadBucket`), or `None` if the store does not say.
    pub async fn bucket_region(&self) -> Result<Option<String>> {
        let call = Call::bucket("s3:ListBucket");
        let attempt = || async {
            let sent = self.client.head_bucket().bucket(&self.bucket).send().await;
            match sent {
                Ok(output) => Ok(output.bucket_region().map(str::to_owned)),
                Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => {
                    let (bucket, endpoint) = (self.bucket.clone(), self.endpoint.clone());
                    Err(Failure::permanent(super::super::Error::NoBucket { bucket, endpoint }))
                }
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    /// Creates the bucket in the client's region, versioned, with Object Lock if asked. A bucket that these credentials
    /// own already is left as it is: look at [`Self::bucket_state`] afterwards.
    pub async fn create_bucket(&self, object_lock: bool) -> Result<()> {
        let call = Call::bucket("s3:CreateBucket");
        let made = self.call(call, || self.patiently(call, self.create_once(call, object_lock))).await?;
        if !made || object_lock {
            // Object Lock brings versioning with it.
            return Ok(());
        }
        self.enable_versioning().await
    }

    /// Whether the bucket is new.
    async fn create_once(&self, call: Call<'_>, object_lock: bool) -> Result<bool, Failure> {
        // The first region has no name of its own in this API (S3 API Reference, CreateBucket).
        let place = (self.region != "us-east-1").then(|| {
            let constraint = BucketLocationConstraint::from(self.region.as_str());
            CreateBucketConfiguration::builder().location_constraint(constraint).build()
        });
        let request = self.client.create_bucket().bucket(&self.bucket).set_create_bucket_configuration(place);
        match request.set_object_lock_enabled_for_bucket(object_lock.then_some(true)).send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(e)) if e.err().is_bucket_already_owned_by_you() => Ok(false),
            Err(error) => Err(self.failure(call, &error)),
        }
    }
}
