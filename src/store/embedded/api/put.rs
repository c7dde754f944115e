//! `PutObject`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use hyper::HeaderMap;
use s3s::dto::{ChecksumType, ObjectLockLegalHoldStatus, PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Result, s3_error};

use super::super::Conduct;
use super::super::backend::{Draft, disk_error};
use super::super::digest::Algorithm;
use super::super::integrity::Announced;
use super::super::model::{Body, Headers, NULL_VERSION, random_id};
use super::super::receive::receive;
use super::Api;
use super::convert::{condition, etag, hold, lock_headers};
use crate::store::types::hex;

/// Headers whose meaning this server does not have; ignoring them would pretend.
const REFUSED_HEADERS: [&str; 5] = [
    "x-amz-tagging",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
];

/// Only chunks are so large.
const ROTTEN_BYTES_MIN: u64 = 1 << 20;

pub(super) async fn put_object(api: &Api, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
    let (input, trailers) = (request.input, request.trailing_headers);
    refuse_unknown(&request.headers)?;
    let locked = api.backend.read(&input.bucket, |bucket| bucket.record.object_lock)?;
    let announced = Announced::read(&request.headers, locked, Algorithm::Crc64nvme)?;
    let now = api.backend.clock.now();
    let retention = lock_headers(input.object_lock_mode.as_ref(), input.object_lock_retain_until_date.as_ref(), now)?;
    let legal_hold = hold(input.object_lock_legal_hold_status.as_ref().map(ObjectLockLegalHoldStatus::as_str))?;
    if !locked && (retention.is_some() || legal_hold.is_some()) {
        return Err(no_lock_configuration());
    }
    let retention = retention.filter(|_| api.backend.conduct != Conduct::Forgets);
    let condition = condition(input.if_none_match, input.if_match)?;
    let headers = Headers {
        content_type: input.content_type,
        content_encoding: plain_encoding(input.content_encoding),
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        cache_control: input.cache_control,
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
    };

    let file = random_id().map_err(disk_error)?;
    let received = receive(api.backend.disk.data_file(&input.bucket, &file), input.body, announced.algorithm).await?;
    announced.verify(&received, trailers.and_then(|trailers| trailers.take()).as_ref())?;
    if api.backend.conduct == Conduct::Rots && received.bytes >= ROTTEN_BYTES_MIN {
        let (path, middle) = (api.backend.disk.data_file(&input.bucket, &file), received.bytes / 2);
        api.blocking(move |_| rot(&path, middle).map_err(disk_error)).await?;
    }
    let body = Body { bytes: received.bytes, etag: hex(&received.md5), checksum: received.checksum, headers };
    let draft = Draft { key: input.key, file, body, retention, legal_hold };
    let commit = api.blocking(move |backend| backend.commit(&input.bucket, draft, received.file, &condition));
    let version = commit.await?;

    let mut output = PutObjectOutput {
        version_id: Some(version.id.clone()).filter(|id| id != NULL_VERSION),
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        ..PutObjectOutput::default()
    };
    if let Some(body) = &version.body {
        output.e_tag = Some(etag(&body.etag));
        set_checksum!(output, &body.checksum);
    }
    Ok(output)
}

/// Changes the byte at `at`, as a bad disk does.
fn rot(path: &Path, at: u64) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&[byte[0] ^ 0x10])
}

pub(super) fn no_lock_configuration() -> s3s::S3Error {
    s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")
}

pub(super) fn refuse_unknown(headers: &HeaderMap) -> S3Result<()> {
    match REFUSED_HEADERS.iter().find(|name| headers.contains_key(**name)) {
        None => Ok(()),
        Some(name) => Err(s3_error!(NotImplemented, "{name} is not implemented by this server")),
    }
}

/// `aws-chunked` describes the transfer and is not stored.
pub(super) fn plain_encoding(encoding: Option<String>) -> Option<String> {
    let encoding = encoding?;
    let kept: Vec<&str> =
        encoding.split(',').map(str::trim).filter(|coding| !coding.is_empty() && *coding != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

#[cfg(test)]
mod tests {
    use super::plain_encoding;

    #[test]
    fn transfer_codings_are_not_stored() {
        assert_eq!(plain_encoding(Some("aws-chunked".into())), None);
        assert_eq!(plain_encoding(Some("aws-chunked, gzip".into())).as_deref(), Some("gzip"));
        assert_eq!(plain_encoding(Some("gzip".into())).as_deref(), Some("gzip"));
    }
}
