//! `DeleteObject` and `DeleteObjects`.

use std::panic::resume_unwind;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error as KeyError,
    ObjectIdentifier,
};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::super::access::{bypass_requested, denied};
use super::super::backend::{Backend, Deleted};
use super::super::model::{NULL_VERSION, is_version_id};
use super::Api;
use super::get::caller;
use crate::store::roles::Role;

/// API DeleteObjects: "up to 1,000 keys".
const KEYS_MAX: usize = 1000;
/// Deletions of one request under way at once.
const AT_ONCE: usize = 16;

/// The gate has checked that a requested bypass is permitted.
pub(super) async fn delete_object(api: &Api, request: S3Request<DeleteObjectInput>) -> S3Result<DeleteObjectOutput> {
    let bypass = bypass_requested(&request.headers);
    let input = request.input;
    if input.if_match.is_some() || input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(s3_error!(NotImplemented, "Conditional deletes are not implemented by this server"));
    }
    let deleted = api
        .blocking(move |backend| delete(backend, &input.bucket, &input.key, input.version_id.as_deref(), bypass))
        .await?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version.filter(|id| id != NULL_VERSION),
        ..DeleteObjectOutput::default()
    })
}

/// Each key is authorised, deleted and answered by itself.
pub(super) async fn delete_objects(api: &Api, request: S3Request<DeleteObjectsInput>) -> S3Result<DeleteObjectsOutput> {
    let role = caller(&request)?;
    let bypass = bypass_requested(&request.headers);
    let DeleteObjectsInput { bucket, delete: wanted, .. } = request.input;
    api.backend.read(&bucket, |_| ())?;
    if wanted.objects.is_empty() || wanted.objects.len() > KEYS_MAX {
        return Err(s3_error!(MalformedXML, "1 to {KEYS_MAX} keys can be deleted at once"));
    }
    let quiet = wanted.quiet == Some(true);
    let work = move |backend: &Backend| {
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        let done = at_once(&wanted.objects, |object| delete_one(backend, &bucket, object, role, bypass));
        for (object, done) in wanted.objects.into_iter().zip(done) {
            match done {
                Ok(done) => deleted.push(line(object, &done)),
                Err(error) => errors.push(key_error(object, &error)),
            }
        }
        Ok((deleted, errors))
    };
    let (deleted, errors) = api.blocking(work).await?;
    Ok(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    })
}

/// Each deletion waits until the disk has it; many of them wait together.
fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let share = items.len().div_ceil(AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let shares = items.chunks(share).map(|share| scope.spawn(move || share.iter().map(work).collect::<Vec<_>>()));
        let shares: Vec<_> = shares.collect();
        shares.into_iter().flat_map(|share| share.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn delete_one(
    backend: &Backend,
    bucket: &str,
    object: &ObjectIdentifier,
    role: Role,
    bypass: bool,
) -> S3Result<Deleted> {
    let version = object.version_id.as_deref();
    let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    for action in [action].into_iter().chain(bypass.then_some("s3:BypassGovernanceRetention")) {
        if !role.allows(action) {
            return Err(denied(role, action));
        }
    }
    delete(backend, bucket, &object.key, version, bypass)
}

fn delete(backend: &Backend, bucket: &str, key: &str, version: Option<&str>, bypass: bool) -> S3Result<Deleted> {
    if version.is_some_and(|id| !is_version_id(id)) {
        return Err(s3_error!(InvalidArgument, "Invalid version id specified"));
    }
    backend.delete(bucket, key, version, bypass)
}

/// A new marker is reported as `DeleteMarkerVersionId`, a deleted version as `VersionId` (API DeletedObject).
fn line(object: ObjectIdentifier, done: &Deleted) -> DeletedObject {
    DeletedObject {
        delete_marker: done.marker.then_some(true),
        delete_marker_version_id: done.version.clone().filter(|_| done.marker),
        key: Some(object.key),
        version_id: object.version_id,
    }
}

fn key_error(object: ObjectIdentifier, error: &S3Error) -> KeyError {
    KeyError {
        code: Some(error.code().as_str().to_owned()),
        key: Some(object.key),
        message: error.message().map(str::to_owned),
        version_id: object.version_id,
    }
}
