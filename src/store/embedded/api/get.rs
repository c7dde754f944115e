//! `GetObject` and `HeadObject`.

use std::ops::Range;
use std::sync::Arc;

use s3s::dto::{
    ArchiveStatus, ChecksumMode, ChecksumType, ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ObjectLockLegalHoldStatus, ObjectLockMode, StorageClass, StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, s3_error};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::super::Conduct;
use super::super::access::Caller;
use super::super::backend::disk_error;
use super::super::frost::Told;
use super::super::model::{Body, NULL_VERSION, Version};
use super::Api;
use super::convert::{etag, from_time, mode_name, time};
use crate::limits::EMBEDDED_READ_BYTES;
use crate::store::roles::Role;

/// What GET and HEAD ask alike.
struct Asked<'a> {
    bucket: &'a str,
    key: &'a str,
    version: Option<&'a str>,
    range: Option<s3s::dto::Range>,
    part_number: Option<i32>,
    if_match: Option<&'a ETagCondition>,
    if_none_match: Option<&'a ETagCondition>,
    if_modified_since: Option<&'a Timestamp>,
    if_unmodified_since: Option<&'a Timestamp>,
}

macro_rules! asked {
    ($input:expr) => {
        Asked {
            bucket: &$input.bucket,
            key: &$input.key,
            version: $input.version_id.as_deref(),
            range: $input.range,
            part_number: $input.part_number,
            if_match: $input.if_match.as_ref(),
            if_none_match: $input.if_none_match.as_ref(),
            if_modified_since: $input.if_modified_since.as_ref(),
            if_unmodified_since: $input.if_unmodified_since.as_ref(),
        }
    };
}

/// Fills what GET and HEAD answer alike.
macro_rules! fill {
    ($output:expr, $found:expr, $role:expr, $checksum_mode:expr) => {{
        let (version, body, range) = (&$found.version, &$found.body, &$found.range);
        let headers = body.headers.clone();
        $output.accept_ranges = Some("bytes".into());
        $output.content_length = i64::try_from(range.end - range.start).ok();
        $output.content_range = $found.content_range();
        $output.e_tag = Some(etag(&body.etag));
        $output.last_modified = Some(time(version.last_modified));
        $output.version_id = Some(version.id.clone()).filter(|id| id != NULL_VERSION);
        $output.content_type = headers.content_type.or_else(|| Some("binary/octet-stream".into()));
        $output.content_encoding = headers.content_encoding;
        $output.content_disposition = headers.content_disposition;
        $output.content_language = headers.content_language;
        $output.cache_control = headers.cache_control;
        $output.metadata = Some(headers.metadata.into_iter().collect());
        // A checksum of the whole says nothing about a part of it.
        let enabled = $checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        if enabled && !$found.partial {
            set_checksum!($output, &body.checksum);
            let kind = if body.checksum.is_composite() { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
            $output.checksum_type = Some(ChecksumType::from_static(kind));
        }
        // "To view retention you must have s3:GetObjectRetention"; the same for holds ("Object Lock considerations").
        if $role.allows("s3:GetObjectRetention") {
            $output.object_lock_mode = version.retention.map(|lock| ObjectLockMode::from_static(mode_name(lock.mode)));
            $output.object_lock_retain_until_date = version.retention.map(|lock| time(lock.retain_until));
        }
        if $role.allows("s3:GetObjectLegalHold") {
            $output.object_lock_legal_hold_status = version.legal_hold.map(hold_status);
        }
    }};
}

/// What a GET or HEAD found.
struct Found {
    version: Arc<Version>,
    body: Body,
    range: Range<u64>,
    partial: bool,
}

impl Found {
    fn content_range(&self) -> Option<String> {
        let Range { start, end } = self.range;
        self.partial.then(|| format!("bytes {start}-{}/{}", end.saturating_sub(1), self.body.bytes))
    }
}

pub(super) async fn get_object(api: &Api, request: S3Request<GetObjectInput>) -> S3Result<GetObjectOutput> {
    let role = caller(&request)?;
    let input = request.input;
    let (found, mut file) = open(api, &asked!(input)).await?;
    if frost(api, &found).is_some_and(|told| !told.readable) {
        let why = "The operation is not valid for the object's storage class";
        return Err(S3Error::with_message(S3ErrorCode::InvalidObjectState, why));
    }
    let Range { start, end } = found.range;
    file.seek(std::io::SeekFrom::Start(start)).await.map_err(disk_error)?;
    let stream = ReaderStream::with_capacity(file.take(end - start), EMBEDDED_READ_BYTES);
    let mut output = GetObjectOutput { body: Some(StreamingBlob::wrap(stream)), ..GetObjectOutput::default() };
    fill!(output, found, role, input.checksum_mode);
    Ok(output)
}

/// Between finding a version and opening its body it can be deleted, or replaced where nothing is versioned; then the
/// answer is that of a request that came later.
async fn open(api: &Api, asked: &Asked<'_>) -> S3Result<(Found, tokio::fs::File)> {
    for _ in 0..8 {
        let found = find(api, asked)?;
        match tokio::fs::File::open(api.backend.disk.data_file(asked.bucket, &found.version.file)).await {
            Ok(file) => return Ok((found, file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(disk_error(error)),
        }
    }
    Err(s3_error!(SlowDown, "The object is being replaced all the time"))
}

pub(super) async fn head_object(api: &Api, request: S3Request<HeadObjectInput>) -> S3Result<HeadObjectOutput> {
    let role = caller(&request)?;
    let input = request.input;
    let found = find(api, &asked!(input))?;
    let mut output = HeadObjectOutput::default();
    if let Some(told) = frost(api, &found) {
        output.storage_class = Some(StorageClass::from_static(told.class));
        output.archive_status = told.tier.map(ArchiveStatus::from_static);
        output.restore = told.restore;
    }
    fill!(output, found, role, input.checksum_mode);
    Ok(output)
}

fn frost(api: &Api, found: &Found) -> Option<Told> {
    api.backend.frost.told(&found.version.key, &found.version.id, api.backend.clock.now())
}

fn find(api: &Api, asked: &Asked<'_>) -> S3Result<Found> {
    if asked.part_number.is_some() {
        return Err(s3_error!(NotImplemented, "partNumber is not implemented by this server"));
    }
    let version = match api.backend.conduct {
        Conduct::Replaces => api.backend.find(asked.bucket, asked.key, None)?,
        _ => api.backend.find(asked.bucket, asked.key, asked.version)?,
    };
    let body = version.body.clone().ok_or_else(|| s3_error!(MethodNotAllowed))?;
    preconditions(asked, &version, &body)?;
    let range = match asked.range {
        None => 0..body.bytes,
        Some(range) => range.check(body.bytes).map_err(|_| s3_error!(InvalidRange))?,
    };
    Ok(Found { version, body, range, partial: asked.range.is_some() })
}

/// RFC 9110 section 13.2.2, as API GetObject describes the combinations.
fn preconditions(asked: &Asked<'_>, version: &Version, body: &Body) -> S3Result<()> {
    let is = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == body.etag,
    };
    let modified_after = |since: &Timestamp| from_time(since).map(|since| version.last_modified > since);
    let failed = s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold");
    match (asked.if_match, asked.if_unmodified_since) {
        (Some(condition), _) if !is(condition) => return Err(failed),
        (None, Some(since)) if modified_after(since)? => return Err(failed),
        _ => {}
    }
    match (asked.if_none_match, asked.if_modified_since) {
        (Some(condition), _) if is(condition) => Err(s3_error!(NotModified)),
        (None, Some(since)) if !modified_after(since)? => Err(s3_error!(NotModified)),
        _ => Ok(()),
    }
}

pub(super) fn hold_status(on: bool) -> ObjectLockLegalHoldStatus {
    ObjectLockLegalHoldStatus::from_static(if on { "ON" } else { "OFF" })
}

/// The role that the gate let in.
pub(super) fn caller<T>(request: &S3Request<T>) -> S3Result<Role> {
    request.extensions.get::<Caller>().map(|caller| caller.0).ok_or_else(|| s3_error!(AccessDenied))
}
