//! Lifecycle rules and the bucket policy: kept and given back, never acted on. `doctor` reads them.

use s3s::dto::{
    DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, DeleteBucketPolicyInput, DeleteBucketPolicyOutput,
    GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, GetBucketPolicyInput,
    GetBucketPolicyOutput, PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
    PutBucketPolicyInput, PutBucketPolicyOutput,
};
use s3s::{S3Request, S3Result, s3_error};

use super::super::model::BucketRecord;
use super::Api;

/// Changes a bucket's record.
async fn set(api: &Api, bucket: String, change: impl FnOnce(&mut BucketRecord) + Send + 'static) -> S3Result<()> {
    let change = move |record: &mut BucketRecord| {
        change(record);
        Ok(())
    };
    api.blocking(move |backend| backend.configure(&bucket, change)).await
}

pub(super) async fn get_bucket_lifecycle_configuration(
    api: &Api,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<GetBucketLifecycleConfigurationOutput> {
    let found = api.backend.read(&request.input.bucket, |bucket| bucket.record.lifecycle.clone())?;
    let found =
        found.ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist"))?;
    Ok(GetBucketLifecycleConfigurationOutput {
        rules: Some(found.rules),
        ..GetBucketLifecycleConfigurationOutput::default()
    })
}

/// Replaces all rules (API PutBucketLifecycleConfiguration).
pub(super) async fn put_bucket_lifecycle_configuration(
    api: &Api,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<PutBucketLifecycleConfigurationOutput> {
    let given = request.input.lifecycle_configuration.filter(|given| !given.rules.is_empty());
    let given = given.ok_or_else(|| s3_error!(MalformedXML))?;
    set(api, request.input.bucket, |record| record.lifecycle = Some(given)).await?;
    Ok(PutBucketLifecycleConfigurationOutput::default())
}

pub(super) async fn delete_bucket_lifecycle(
    api: &Api,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<DeleteBucketLifecycleOutput> {
    set(api, request.input.bucket, |record| record.lifecycle = None).await?;
    Ok(DeleteBucketLifecycleOutput {})
}

pub(super) async fn get_bucket_policy(
    api: &Api,
    request: S3Request<GetBucketPolicyInput>,
) -> S3Result<GetBucketPolicyOutput> {
    let found = api.backend.read(&request.input.bucket, |bucket| bucket.record.policy.clone())?;
    let found = found.ok_or_else(|| s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"))?;
    Ok(GetBucketPolicyOutput { policy: Some(found) })
}

/// The policy must be JSON with statements; more is not looked at.
pub(super) async fn put_bucket_policy(
    api: &Api,
    request: S3Request<PutBucketPolicyInput>,
) -> S3Result<PutBucketPolicyOutput> {
    let policy = request.input.policy;
    let read: Option<serde_json::Value> = serde_json::from_str(&policy).ok();
    if read.is_none_or(|policy| policy.get("Statement").is_none()) {
        return Err(s3_error!(MalformedPolicy, "Policies must be valid JSON and have a statement"));
    }
    set(api, request.input.bucket, |record| record.policy = Some(policy)).await?;
    Ok(PutBucketPolicyOutput {})
}

pub(super) async fn delete_bucket_policy(
    api: &Api,
    request: S3Request<DeleteBucketPolicyInput>,
) -> S3Result<DeleteBucketPolicyOutput> {
    set(api, request.input.bucket, |record| record.policy = None).await?;
    Ok(DeleteBucketPolicyOutput {})
}
