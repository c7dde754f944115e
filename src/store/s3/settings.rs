//! What the bucket does by itself and what it denies: lifecycle rules and policy, for `doctor`.

use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::types::{ExpirationStatus, LifecycleExpiration, LifecycleRule as Rule, NoncurrentVersionExpiration};
use jiff::Timestamp;

use super::super::Result;
use super::S3;
use super::retry::Call;

/// When a rule expires current versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// So many days after they were written.
    Days(u32),
    /// All that exist then, on this date.
    On(Timestamp),
}

/// One enabled lifecycle rule (S3 User Guide, "Lifecycle configuration elements"), as far as it can touch backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Its id; may be empty.
    pub id: String,
    /// Keys that it applies to begin with this.
    pub prefix: String,
    /// Whether it applies to tagged objects only. stonewal tags none.
    pub tagged_only: bool,
    /// Lays delete markers on current versions.
    pub expires: Option<Expiry>,
    /// Removes versions for good so many days after they ceased to be current, if no lock holds them.
    pub removes_noncurrent_days: Option<u32>,
    /// Removes delete markers with nothing below them.
    pub removes_markers: bool,
    /// Removes multipart uploads that were never completed.
    pub aborts_uploads: bool,
    /// Storage classes that it moves versions to.
    pub moves_to: Vec<String>,
}

impl S3 {
    /// The enabled lifecycle rules (`GetBucketLifecycleConfiguration`); none if there is no configuration.
    pub async fn lifecycle(&self) -> Result<Vec<LifecycleRule>> {
        let call = Call::bucket("s3:GetLifecycleConfiguration");
        let attempt = || async {
            match self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await {
                Ok(output) => Ok(output.rules().iter().filter(|rule| enabled(rule)).map(read).collect()),
                Err(SdkError::ServiceError(e)) if e.err().code() == Some("NoSuchLifecycleConfiguration") => {
                    Ok(Vec::new())
                }
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    /// The bucket policy as JSON (`GetBucketPolicy`), if there is one.
    pub async fn bucket_policy(&self) -> Result<Option<String>> {
        let call = Call::bucket("s3:GetBucketPolicy");
        let attempt = || async {
            match self.client.get_bucket_policy().bucket(&self.bucket).send().await {
                Ok(output) => Ok(output.policy().map(str::to_owned)),
                Err(SdkError::ServiceError(e)) if e.err().code() == Some("NoSuchBucketPolicy") => Ok(None),
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }
}

fn enabled(rule: &Rule) -> bool {
    *rule.status() == ExpirationStatus::Enabled
}

fn days(days: Option<i32>) -> Option<u32> {
    days.and_then(|days| u32::try_from(days).ok()).filter(|days| *days > 0)
}

fn read(rule: &Rule) -> LifecycleRule {
    let filter = rule.filter();
    let and = filter.and_then(|filter| filter.and());
    // The oldest form has the prefix outside of any filter.
    #[expect(deprecated, reason = "stores still answer in this form")]
    let outside = rule.prefix();
    let prefix = filter.and_then(|f| f.prefix()).or_else(|| and.and_then(|a| a.prefix())).or(outside);
    let expiration = rule.expiration();
    let date = expiration.and_then(|expiration| expiration.date());
    let date = date.and_then(|date| Timestamp::from_second(date.secs()).ok()).map(Expiry::On);
    let noncurrent = rule.noncurrent_version_transitions().iter().filter_map(|to| to.storage_class());
    let current = rule.transitions().iter().filter_map(|to| to.storage_class());
    LifecycleRule {
        id: rule.id().unwrap_or_default().to_owned(),
        prefix: prefix.unwrap_or_default().to_owned(),
        tagged_only: filter.is_some_and(|f| f.tag().is_some()) || and.is_some_and(|and| !and.tags().is_empty()),
        expires: days(expiration.and_then(LifecycleExpiration::days)).map(Expiry::Days).or(date),
        removes_noncurrent_days: days(
            rule.noncurrent_version_expiration().and_then(NoncurrentVersionExpiration::noncurrent_days),
        ),
        removes_markers: expiration.and_then(LifecycleExpiration::expired_object_delete_marker) == Some(true),
        aborts_uploads: rule.abort_incomplete_multipart_upload().is_some(),
        moves_to: current.chain(noncurrent).map(|class| class.as_str().to_owned()).collect(),
    }
}
