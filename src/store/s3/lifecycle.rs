//! Installing the one lifecycle rule of ours among those of others.

use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput as Found;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NoncurrentVersionExpiration, TransitionDefaultMinimumObjectSize,
};

use super::super::{Error, Result};
use super::S3;
use super::retry::{Call, Failure};

/// A rule that removes leftovers and touches no current version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TidyRule {
    /// Its id: a rule with the same id is replaced.
    pub id: String,
    /// Keys that it applies to begin with this.
    pub prefix: String,
    /// Removes versions so many days after they ceased to be current, if no lock holds them; `None` = never.
    pub noncurrent_days: Option<u32>,
    /// Removes multipart uploads so many days after they began.
    pub upload_days: u32,
}

impl S3 {
    /// Adds `rule`, or replaces the one with its id. Every other rule stays as it is (`GetBucketLifecycleConfiguration`,
    /// `PutBucketLifecycleConfiguration`, which replaces all rules at once). There is no condition for this request: of two
    /// who change the rules at the same time the later one wins.
    pub async fn install(&self, rule: &TidyRule) -> Result<()> {
        let (mut rules, minimum) = self.raw_rules().await?;
        rules.retain(|found| found.id() != Some(&rule.id));
        rules.push(raw(rule)?);
        let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().map_err(unbuilt)?;
        let call = Call::bucket("s3:PutLifecycleConfiguration");
        let attempt = || async {
            let request = self.client.put_bucket_lifecycle_configuration().bucket(&self.bucket);
            // Left out, it would fall back to its default.
            let request = request.set_transition_default_minimum_object_size(minimum.clone());
            let sent = request.lifecycle_configuration(all.clone()).send().await;
            sent.map(drop).map_err(|error| self.failure(call, &error))
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    async fn raw_rules(&self) -> Result<(Vec<LifecycleRule>, Option<TransitionDefaultMinimumObjectSize>)> {
        let call = Call::bucket("s3:GetLifecycleConfiguration");
        let split = |found: Found| (found.rules().to_vec(), found.transition_default_minimum_object_size().cloned());
        let attempt = || async {
            match self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await {
                Ok(found) => Ok(split(found)),
                Err(SdkError::ServiceError(e)) if e.err().code() == Some("NoSuchLifecycleConfiguration") => {
                    Ok((Vec::new(), None))
                }
                Err(error) => Err::<_, Failure>(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }
}

fn raw(rule: &TidyRule) -> Result<LifecycleRule> {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let noncurrent = |after| NoncurrentVersionExpiration::builder().noncurrent_days(days(after)).build();
    let uploads = AbortIncompleteMultipartUpload::builder().days_after_initiation(days(rule.upload_days)).build();
    let built = LifecycleRule::builder()
        .id(&rule.id)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(&rule.prefix).build())
        .expiration(LifecycleExpiration::builder().expired_object_delete_marker(true).build())
        .abort_incomplete_multipart_upload(uploads)
        .set_noncurrent_version_expiration(rule.noncurrent_days.map(noncurrent));
    built.build().map_err(unbuilt)
}

fn unbuilt(error: impl std::fmt::Display) -> Error {
    Error::Setup(format!("a lifecycle rule: {error}"))
}
