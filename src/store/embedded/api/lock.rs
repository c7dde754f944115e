//! Retention and legal holds of single versions.

use s3s::dto::{
    GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectRetentionInput, GetObjectRetentionOutput,
    ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode,
    PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectRetentionInput, PutObjectRetentionOutput,
};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::super::Conduct;
use super::super::access::bypass_requested;
use super::super::locks::may_set_retention;
use super::Api;
use super::convert::{from_time, hold, mode, mode_name, time};
use super::get::hold_status;
use super::put::no_lock_configuration;
use crate::store::Lock;

pub(super) async fn get_object_retention(
    api: &Api,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<GetObjectRetentionOutput> {
    let input = request.input;
    need_lock_bucket(api, &input.bucket)?;
    let version = api.backend.find(&input.bucket, &input.key, input.version_id.as_deref())?;
    let lock = version.retention.ok_or_else(nothing_set)?;
    let retention = ObjectLockRetention {
        mode: Some(ObjectLockRetentionMode::from_static(mode_name(lock.mode))),
        retain_until_date: Some(time(lock.retain_until)),
    };
    Ok(GetObjectRetentionOutput { retention: Some(retention) })
}

/// The gate has checked that a requested bypass is permitted.
pub(super) async fn put_object_retention(
    api: &Api,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<PutObjectRetentionOutput> {
    let bypass = bypass_requested(&request.headers);
    let input = request.input;
    need_lock_bucket(api, &input.bucket)?;
    let wanted = wanted_retention(input.retention)?;
    api.blocking(move |backend| {
        let ignores = backend.conduct == Conduct::Ignores;
        backend.relock(&input.bucket, &input.key, input.version_id.as_deref(), |version, now| {
            if !ignores {
                may_set_retention(version.retention, wanted, now, bypass)?;
            }
            version.retention = wanted;
            Ok(())
        })
    })
    .await?;
    Ok(PutObjectRetentionOutput::default())
}

/// Mode and date together, or neither: an empty element removes the retention ("Bypassing governance mode").
fn wanted_retention(retention: Option<ObjectLockRetention>) -> S3Result<Option<Lock>> {
    let retention = retention.ok_or_else(|| s3_error!(MalformedXML))?;
    match (retention.mode, retention.retain_until_date) {
        (None, None) => Ok(None),
        (Some(name), Some(until)) => {
            let mode = mode(name.as_str()).map_err(|_| s3_error!(MalformedXML))?;
            Ok(Some(Lock { mode, retain_until: from_time(&until)? }))
        }
        _ => Err(s3_error!(MalformedXML)),
    }
}

pub(super) async fn get_object_legal_hold(
    api: &Api,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<GetObjectLegalHoldOutput> {
    let input = request.input;
    need_lock_bucket(api, &input.bucket)?;
    let version = api.backend.find(&input.bucket, &input.key, input.version_id.as_deref())?;
    let on = version.legal_hold.ok_or_else(nothing_set)?;
    Ok(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status: Some(hold_status(on)) }) })
}

pub(super) async fn put_object_legal_hold(
    api: &Api,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<PutObjectLegalHoldOutput> {
    let input = request.input;
    need_lock_bucket(api, &input.bucket)?;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let on = hold(status.as_ref().map(ObjectLockLegalHoldStatus::as_str)).map_err(|_| s3_error!(MalformedXML))?;
    let on = on.ok_or_else(|| s3_error!(MalformedXML))?;
    api.blocking(move |backend| {
        backend.relock(&input.bucket, &input.key, input.version_id.as_deref(), |version, _| {
            version.legal_hold = Some(on);
            Ok(())
        })
    })
    .await?;
    Ok(PutObjectLegalHoldOutput::default())
}

fn need_lock_bucket(api: &Api, bucket: &str) -> S3Result<()> {
    let locked = api.backend.read(bucket, |bucket| bucket.record.object_lock)?;
    if locked { Ok(()) } else { Err(no_lock_configuration()) }
}

fn nothing_set() -> S3Error {
    s3_error!(NoSuchObjectLockConfiguration, "The specified object does not have a ObjectLock configuration")
}
