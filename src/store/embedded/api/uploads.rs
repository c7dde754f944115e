//! `ListMultipartUploads`: what was begun and neither completed nor aborted.

use jiff::Timestamp;
use s3s::dto::{ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload};
use s3s::{S3Request, S3Result, s3_error};

use super::Api;
use super::convert::{count, signed, time};
use super::list::Encode;

pub(super) async fn list_multipart_uploads(
    api: &Api,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let input = request.input;
    if input.delimiter.is_some() {
        return Err(s3_error!(NotImplemented, "Uploads are listed without delimiter"));
    }
    let encode = Encode::new(input.encoding_type.as_ref())?;
    api.backend.read(&input.bucket, |_| ())?;
    let limit = count(input.max_uploads, api.backend.page_size)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = (input.key_marker.clone().unwrap_or_default(), input.upload_id_marker.clone());
    let later = |key: &str, id: &str| match &after {
        (marker, Some(of)) => (key, id) > (marker.as_str(), of.as_str()),
        // Without an upload, everything behind the key (API ListMultipartUploads, "key-marker").
        (marker, None) => marker.is_empty() || key > marker.as_str(),
    };
    let mut found = api.backend.uploads.of(&input.bucket, &prefix);
    found.retain(|(key, id, _)| later(key, id));
    let truncated = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| truncated).cloned();
    let line = |(key, id, initiated): (String, String, Timestamp)| MultipartUpload {
        key: Some(encode.text(&key)),
        upload_id: Some(id),
        initiated: Some(time(initiated)),
        ..MultipartUpload::default()
    };
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.as_deref().map(|prefix| encode.text(prefix)),
        encoding_type: input.encoding_type,
        key_marker: input.key_marker.as_deref().map(|marker| encode.text(marker)),
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(signed(limit)),
        is_truncated: Some(truncated),
        next_key_marker: last.as_ref().map(|(key, ..)| encode.text(key)),
        next_upload_id_marker: last.map(|(_, id, _)| id),
        uploads: Some(found.into_iter().map(line).collect()),
        ..ListMultipartUploadsOutput::default()
    })
}
