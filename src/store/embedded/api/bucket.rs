//! Buckets: creating, deleting, versioning and the lock configuration.

use s3s::dto::{
    Bucket, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput,
    DefaultRetention as DefaultRetentionDto, DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput,
    GetBucketLocationOutput, GetBucketVersioningInput, GetBucketVersioningOutput, GetObjectLockConfigurationInput,
    GetObjectLockConfigurationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule, PutBucketVersioningInput,
    PutBucketVersioningOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput,
};
use s3s::{S3Request, S3Result, s3_error};

use super::super::locks::{DefaultRetention, Period};
use super::super::model::Versioning;
use super::Api;
use super::convert::{mode, mode_name, time};

pub(super) async fn list_buckets(api: &Api, _: S3Request<ListBucketsInput>) -> S3Result<ListBucketsOutput> {
    let bucket = |(name, created)| Bucket {
        name: Some(name),
        creation_date: Some(time(created)),
        bucket_region: Some(api.backend.region.clone()),
    };
    let buckets = api.backend.bucket_names().into_iter().map(bucket).collect();
    Ok(ListBucketsOutput { buckets: Some(buckets), ..ListBucketsOutput::default() })
}

pub(super) async fn create_bucket(api: &Api, request: S3Request<CreateBucketInput>) -> S3Result<CreateBucketOutput> {
    let input = request.input;
    let constraint = input.create_bucket_configuration.and_then(|configuration| configuration.location_constraint);
    if let Some(region) = constraint
        && region.as_str() != api.backend.region
    {
        return Err(s3_error!(
            IllegalLocationConstraintException,
            "The {} location constraint is incompatible for the region specific endpoint this request was sent to.",
            region.as_str()
        ));
    }
    let (name, locked) = (input.bucket, input.object_lock_enabled_for_bucket == Some(true));
    let location = format!("/{name}");
    api.blocking(move |backend| backend.create_bucket(&name, locked)).await?;
    Ok(CreateBucketOutput { location: Some(location) })
}

pub(super) async fn delete_bucket(api: &Api, request: S3Request<DeleteBucketInput>) -> S3Result<DeleteBucketOutput> {
    api.blocking(move |backend| backend.delete_bucket(&request.input.bucket)).await?;
    Ok(DeleteBucketOutput {})
}

pub(super) async fn head_bucket(api: &Api, request: S3Request<HeadBucketInput>) -> S3Result<HeadBucketOutput> {
    api.backend.read(&request.input.bucket, |_| ())?;
    Ok(HeadBucketOutput { bucket_region: Some(api.backend.region.clone()), ..HeadBucketOutput::default() })
}

/// API GetBucketLocation: buckets in us-east-1 have no constraint.
pub(super) async fn get_bucket_location(
    api: &Api,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<GetBucketLocationOutput> {
    api.backend.read(&request.input.bucket, |_| ())?;
    let region = Some(&api.backend.region).filter(|region| *region != "us-east-1");
    let location_constraint = region.map(|region| BucketLocationConstraint::from(region.clone()));
    Ok(GetBucketLocationOutput { location_constraint })
}

/// API GetBucketVersioning: a bucket that never had versioning answers without a status.
pub(super) async fn get_bucket_versioning(
    api: &Api,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<GetBucketVersioningOutput> {
    let name = match api.backend.read(&request.input.bucket, |bucket| bucket.record.versioning)? {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    let status = name.map(BucketVersioningStatus::from_static);
    Ok(GetBucketVersioningOutput { status, ..GetBucketVersioningOutput::default() })
}

pub(super) async fn put_bucket_versioning(
    api: &Api,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<PutBucketVersioningOutput> {
    let input = request.input;
    let wanted = match input.versioning_configuration.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => return Err(s3_error!(MalformedXML)),
    };
    let change = move |record: &mut super::super::model::BucketRecord| {
        // "You can't suspend versioning" of a bucket with Object Lock ("Object Lock considerations").
        if record.object_lock && wanted != Versioning::Enabled {
            return Err(s3_error!(
                InvalidBucketState,
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
            ));
        }
        record.versioning = wanted;
        Ok(())
    };
    api.blocking(move |backend| backend.configure(&input.bucket, change)).await?;
    Ok(PutBucketVersioningOutput {})
}

pub(super) async fn get_object_lock_configuration(
    api: &Api,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<GetObjectLockConfigurationOutput> {
    let record = api.backend.read(&request.input.bucket, |bucket| bucket.record.clone())?;
    if !record.object_lock {
        return Err(s3_error!(
            ObjectLockConfigurationNotFoundError,
            "Object Lock configuration does not exist for this bucket"
        ));
    }
    let rule = record.default_retention.map(|rule| {
        let (days, years) = match rule.period {
            Period::Days(days) => (Some(days), None),
            Period::Years(years) => (None, Some(years)),
        };
        let mode = Some(ObjectLockRetentionMode::from_static(mode_name(rule.mode)));
        ObjectLockRule { default_retention: Some(DefaultRetentionDto { days, mode, years }) }
    });
    let enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    let configuration = ObjectLockConfiguration { object_lock_enabled: enabled, rule };
    Ok(GetObjectLockConfigurationOutput { object_lock_configuration: Some(configuration) })
}

/// Object Lock can be enabled on a versioned bucket and never disabled; the default rule may change at any time, for new
/// versions only (User Guide, "Configuring S3 Object Lock").
pub(super) async fn put_object_lock_configuration(
    api: &Api,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<PutObjectLockConfigurationOutput> {
    let input = request.input;
    let configuration = input.object_lock_configuration.ok_or_else(|| s3_error!(MalformedXML))?;
    let enabled = configuration.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str);
    if enabled != Some(ObjectLockEnabled::ENABLED) {
        return Err(s3_error!(MalformedXML));
    }
    let rule = configuration.rule.map(default_retention).transpose()?;
    let change = move |record: &mut super::super::model::BucketRecord| {
        if record.versioning != Versioning::Enabled {
            return Err(s3_error!(
                InvalidBucketState,
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
            ));
        }
        record.object_lock = true;
        record.default_retention = rule;
        Ok(())
    };
    api.blocking(move |backend| backend.configure(&input.bucket, change)).await?;
    Ok(PutObjectLockConfigurationOutput::default())
}

fn default_retention(rule: ObjectLockRule) -> S3Result<DefaultRetention> {
    let rule = rule.default_retention.ok_or_else(|| s3_error!(MalformedXML))?;
    let name = rule.mode.as_ref().ok_or_else(|| s3_error!(MalformedXML))?;
    DefaultRetention::new(mode(name.as_str())?, rule.days, rule.years).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "Default retention period must be a positive integer value of days or years within bounds"
        )
    })
}
