//! Multipart uploads. stonewal itself never uses them; other clients do (`aws s3 cp -`).

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ListPartsInput, ListPartsOutput, ObjectLockLegalHoldStatus, Part, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::super::backend::{Backend, Condition, Draft, disk_error};
use super::super::digest::{Algorithm, Checksum, Hasher, decode};
use super::super::disk::{Unfinished, sync_dir};
use super::super::integrity::{Announced, bad_digest};
use super::super::model::{Body, Headers, NULL_VERSION, Version, random_id};
use super::super::receive::receive;
use super::super::uploads::{self, PartRecord, Upload, UploadRecord, with};
use super::Api;
use super::convert::{condition, count, etag, hold, lock_headers, signed, time};
use super::put::{no_lock_configuration, plain_encoding, refuse_unknown};
use crate::store::types::hex;

/// API UploadPart: "between 1 and 10,000".
const PARTS_MAX: i32 = 10_000;
/// User Guide, "Amazon S3 multipart upload limits": 5 MiB for all parts but the last.
const PART_BYTES_MIN: u64 = 5 << 20;

pub(super) async fn create_multipart_upload(
    api: &Api,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    refuse_unknown(&request.headers)?;
    let input = request.input;
    let locked = api.backend.read(&input.bucket, |bucket| bucket.record.object_lock)?;
    let now = api.backend.clock.now();
    let retention = lock_headers(input.object_lock_mode.as_ref(), input.object_lock_retain_until_date.as_ref(), now)?;
    let legal_hold = hold(input.object_lock_legal_hold_status.as_ref().map(ObjectLockLegalHoldStatus::as_str))?;
    if !locked && (retention.is_some() || legal_hold.is_some()) {
        return Err(no_lock_configuration());
    }
    let (algorithm, composite) = checksum_kind(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
    let headers = Headers {
        content_type: input.content_type,
        content_encoding: plain_encoding(input.content_encoding),
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        cache_control: input.cache_control,
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
    };
    let id = random_id().map_err(disk_error)?;
    let output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(id.clone()),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: Some(type_name(composite)),
        ..CreateMultipartUploadOutput::default()
    };
    let (bucket, key) = (input.bucket, input.key);
    let record = UploadRecord { bucket, key, initiated: now, algorithm, composite, retention, legal_hold, headers };
    api.blocking(move |backend| {
        uploads::create(&backend.disk, &id, &record).map_err(disk_error)?;
        let upload = Upload { record, parts: std::collections::BTreeMap::new() };
        backend.uploads.insert(id, Arc::new(Mutex::new(upload)));
        Ok(())
    })
    .await?;
    Ok(output)
}

/// SHA checksums of parts do not combine into one of the whole; CRC64NVME is only ever one of the whole ("Checking
/// object integrity", "Full object and composite checksum types").
fn checksum_kind(
    algorithm: Option<&ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<(Option<Algorithm>, bool)> {
    let unknown = |name: &str| s3_error!(InvalidRequest, "Checksum algorithm {name} is not supported");
    let named = |name: &ChecksumAlgorithm| Algorithm::from_name(name.as_str()).ok_or_else(|| unknown(name.as_str()));
    let algorithm = algorithm.map(named).transpose()?;
    let composite = match (algorithm, kind.map(ChecksumType::as_str)) {
        (None, None) => false,
        (Some(algorithm), None) => algorithm != Algorithm::Crc64nvme,
        (None, Some(_)) => return Err(s3_error!(InvalidRequest, "A checksum type needs a checksum algorithm")),
        (Some(algorithm), Some(ChecksumType::FULL_OBJECT)) if algorithm.is_crc() => false,
        (Some(algorithm), Some(ChecksumType::COMPOSITE)) if algorithm != Algorithm::Crc64nvme => true,
        (Some(algorithm), Some(kind)) => {
            return Err(s3_error!(InvalidRequest, "The {kind} checksum type cannot be used with {}", algorithm.name()));
        }
    };
    Ok((algorithm, composite))
}

fn type_name(composite: bool) -> ChecksumType {
    ChecksumType::from_static(if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT })
}

pub(super) async fn upload_part(api: &Api, request: S3Request<UploadPartInput>) -> S3Result<UploadPartOutput> {
    let (input, trailers) = (request.input, request.trailing_headers);
    if !(1..=PARTS_MAX).contains(&input.part_number) {
        return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and {PARTS_MAX}, inclusive"));
    }
    let upload = api.backend.uploads.get(&input.upload_id, &input.bucket, &input.key).ok_or_else(no_upload)?;
    let locked = api.backend.read(&input.bucket, |bucket| bucket.record.object_lock)?;
    let asked = with(&upload, |upload| upload.record.algorithm);
    let announced = Announced::read(&request.headers, locked, asked.unwrap_or(Algorithm::Crc64nvme))?;
    if let Some(asked) = asked.filter(|asked| *asked != announced.algorithm) {
        let (expected, actual) = (asked.name().to_lowercase(), announced.algorithm.name().to_lowercase());
        return Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}"
        ));
    }
    let file = random_id().map_err(disk_error)?;
    let folder = api.backend.disk.upload(&input.upload_id);
    let received = receive(folder.join(&file), input.body, announced.algorithm).await?;
    announced.verify(&received, trailers.and_then(|trailers| trailers.take()).as_ref())?;
    let part = PartRecord {
        number: input.part_number,
        file,
        bytes: received.bytes,
        etag: hex(&received.md5),
        checksum: received.checksum,
        last_modified: api.backend.clock.now_seconds(),
    };
    let mut output = UploadPartOutput { e_tag: Some(etag(&part.etag)), ..UploadPartOutput::default() };
    set_checksum!(output, &part.checksum);
    api.blocking(move |backend| {
        // An upload completed or aborted meanwhile takes no more parts.
        backend.uploads.get(&input.upload_id, &input.bucket, &input.key).ok_or_else(no_upload)?;
        with(&upload, |upload| uploads::add_part(&folder, upload, part)).map_err(disk_error)?;
        received.file.keep();
        Ok(())
    })
    .await?;
    Ok(output)
}

pub(super) async fn complete_multipart_upload(
    api: &Api,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let mut input = request.input;
    let condition = condition(input.if_none_match.take(), input.if_match.take())?;
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let version = api.blocking(move |backend| complete(backend, &input, &condition)).await?;
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("/{bucket}/{key}")),
        bucket: Some(bucket),
        key: Some(key),
        version_id: Some(version.id.clone()).filter(|id| id != NULL_VERSION),
        ..CompleteMultipartUploadOutput::default()
    };
    if let Some(body) = &version.body {
        output.e_tag = Some(etag(&body.etag));
        output.checksum_type = Some(type_name(body.checksum.is_composite()));
        set_checksum!(output, &body.checksum);
    }
    Ok(output)
}

/// On any failure the upload stays as it was, to be completed or aborted later.
fn complete(backend: &Backend, input: &CompleteMultipartUploadInput, condition: &Condition) -> S3Result<Arc<Version>> {
    let id = &input.upload_id;
    let upload = backend.uploads.take(id, &input.bucket, &input.key).ok_or_else(no_upload)?;
    let committed = with(&upload, |upload| assemble(backend, upload, input, condition));
    match &committed {
        Err(_) => backend.uploads.insert(id.clone(), upload),
        Ok(_) => {
            if let Err(error) = uploads::remove(&backend.disk, id) {
                tracing::warn!(%error, "remove a completed upload");
            }
        }
    }
    committed
}

fn assemble(
    backend: &Backend,
    upload: &Upload,
    input: &CompleteMultipartUploadInput,
    condition: &Condition,
) -> S3Result<Arc<Version>> {
    let listed = input.multipart_upload.as_ref().and_then(|list| list.parts.as_deref()).unwrap_or_default();
    let parts = chosen(upload, listed)?;
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    if input.mpu_object_size.is_some_and(|size| u64::try_from(size) != Ok(bytes)) {
        return Err(s3_error!(InvalidRequest, "The provided x-amz-mp-object-size does not match the object's size"));
    }
    let file = random_id().map_err(disk_error)?;
    let path = backend.disk.data_file(&input.bucket, &file);
    let unfinished = Unfinished::new(path.clone());
    let algorithm = upload.record.algorithm.unwrap_or(Algorithm::Crc64nvme);
    let whole = join(&backend.disk.upload(&input.upload_id), &parts, &path, algorithm).map_err(disk_error)?;
    let checksum = if upload.record.composite { composite(algorithm, &parts) } else { whole };
    expect(input, &checksum)?;
    let record = &upload.record;
    let body = Body { bytes, etag: composite_etag(&parts), checksum, headers: record.headers.clone() };
    let (retention, legal_hold) = (record.retention, record.legal_hold);
    let draft = Draft { key: record.key.clone(), file, body, retention, legal_hold };
    backend.commit(&input.bucket, draft, unfinished, condition)
}

/// The parts the client lists: known, unchanged, ascending, large enough (API CompleteMultipartUpload, error codes).
fn chosen<'a>(upload: &'a Upload, listed: &[CompletedPart]) -> S3Result<Vec<&'a PartRecord>> {
    let mut parts: Vec<&PartRecord> = Vec::with_capacity(listed.len());
    for wanted in listed {
        let number = wanted.part_number.unwrap_or_default();
        if parts.last().is_some_and(|last| number <= last.number) {
            return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
        }
        let part = upload.parts.get(&number).filter(|part| {
            let same = |value: Option<&String>| value.is_none_or(|value| *value == part.checksum.value);
            wanted.e_tag.as_ref().is_some_and(|etag| etag.value() == part.etag) && same(part_checksum(wanted))
        });
        parts.push(part.ok_or_else(|| s3_error!(InvalidPart, "Part {number} could not be found, or differs"))?);
    }
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    if let Some(small) = parts.iter().rev().skip(1).find(|part| part.bytes < PART_BYTES_MIN) {
        return Err(s3_error!(EntityTooSmall, "Part {} is smaller than the minimum allowed size", small.number));
    }
    Ok(parts)
}

fn part_checksum(part: &CompletedPart) -> Option<&String> {
    (part.checksum_crc32.as_ref())
        .or(part.checksum_crc32c.as_ref())
        .or(part.checksum_crc64nvme.as_ref())
        .or(part.checksum_sha1.as_ref())
        .or(part.checksum_sha256.as_ref())
}

fn expect(input: &CompleteMultipartUploadInput, checksum: &Checksum) -> S3Result<()> {
    let announced = match checksum.algorithm {
        Algorithm::Crc32 => &input.checksum_crc32,
        Algorithm::Crc32c => &input.checksum_crc32c,
        Algorithm::Crc64nvme => &input.checksum_crc64nvme,
        Algorithm::Sha1 => &input.checksum_sha1,
        Algorithm::Sha256 => &input.checksum_sha256,
    };
    match announced {
        Some(announced) if *announced != checksum.value => Err(bad_digest(checksum.algorithm.name())),
        _ => Ok(()),
    }
}

/// Writes the parts one after another, durably, and sums them up.
fn join(folder: &Path, parts: &[&PartRecord], path: &Path, algorithm: Algorithm) -> std::io::Result<Checksum> {
    let mut out = File::options().write(true).create_new(true).open(path)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; crate::limits::EMBEDDED_READ_BYTES];
    for part in parts {
        let mut file = File::open(folder.join(&part.file))?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            out.write_all(&buffer[..read])?;
        }
    }
    out.sync_all()?;
    path.parent().map_or(Ok(()), sync_dir)?;
    Ok(hasher.finish())
}

/// The checksum of the parts' raw checksums, then `-` and their number.
fn composite(algorithm: Algorithm, parts: &[&PartRecord]) -> Checksum {
    let mut hasher = Hasher::new(algorithm);
    for part in parts {
        hasher.update(&decode(&part.checksum.value, algorithm.bytes()).unwrap_or_default());
    }
    let whole = hasher.finish();
    Checksum { value: format!("{}-{}", whole.value, parts.len()), ..whole }
}

fn composite_etag(parts: &[&PartRecord]) -> String {
    use md5::{Digest as _, Md5};
    let mut md5 = Md5::new();
    for part in parts {
        let digest: Vec<u8> = (0..part.etag.len())
            .step_by(2)
            .filter_map(|at| u8::from_str_radix(part.etag.get(at..at + 2)?, 16).ok())
            .collect();
        md5.update(&digest);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

pub(super) async fn abort_multipart_upload(
    api: &Api,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<AbortMultipartUploadOutput> {
    let input = request.input;
    api.blocking(move |backend| {
        let upload = backend.uploads.take(&input.upload_id, &input.bucket, &input.key).ok_or_else(no_upload)?;
        with(&upload, |_| uploads::remove(&backend.disk, &input.upload_id)).map_err(disk_error)
    })
    .await?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) async fn list_parts(api: &Api, request: S3Request<ListPartsInput>) -> S3Result<ListPartsOutput> {
    let input = request.input;
    let upload = api.backend.uploads.get(&input.upload_id, &input.bucket, &input.key).ok_or_else(no_upload)?;
    let limit = count(input.max_parts, api.backend.page_size)?;
    let after = input.part_number_marker.unwrap_or(0);
    let mut parts: Vec<Part> = with(&upload, |upload| {
        let later = upload.parts.values().filter(|part| part.number > after);
        later.take(limit + 1).map(part_line).collect()
    });
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(signed(limit)),
        part_number_marker: Some(after),
        next_part_number_marker: parts.last().and_then(|part| part.part_number).filter(|_| truncated),
        is_truncated: Some(truncated),
        parts: Some(parts),
        ..ListPartsOutput::default()
    })
}

fn part_line(part: &PartRecord) -> Part {
    let mut line = Part {
        e_tag: Some(etag(&part.etag)),
        last_modified: Some(time(part.last_modified)),
        part_number: Some(part.number),
        size: i64::try_from(part.bytes).ok(),
        ..Part::default()
    };
    set_checksum!(line, &part.checksum);
    line
}

fn no_upload() -> S3Error {
    s3_error!(NoSuchUpload, "The specified upload does not exist.")
}
