//! `ListObjectsV2` and `ListObjectVersions`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, EncodingType, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Result, s3_error};

use super::super::index::{After, Item, Scan};
use super::super::model::Version;
use super::Api;
use super::convert::{count, etag, signed, time};

/// Marks a place inside a key; no version id looks like it, and clients must not look at it.
const PLACE: &str = "place.";

pub(super) async fn list_object_versions(
    api: &Api,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<ListObjectVersionsOutput> {
    let input = request.input;
    let encode = Encode::new(input.encoding_type.as_ref())?;
    let limit = count(input.max_keys, api.backend.page_size)?;
    let after = start(api, &input)?;
    let mut output = ListObjectVersionsOutput {
        name: Some(input.bucket.clone()),
        prefix: Some(encode.text(input.prefix.as_deref().unwrap_or_default())),
        delimiter: input.delimiter.as_deref().map(|delimiter| encode.text(delimiter)),
        encoding_type: input.encoding_type,
        key_marker: Some(encode.text(input.key_marker.as_deref().unwrap_or_default())),
        version_id_marker: input.version_id_marker,
        max_keys: Some(signed(limit)),
        is_truncated: Some(false),
        ..ListObjectVersionsOutput::default()
    };
    if limit == 0 {
        return Ok(output);
    }
    let prefix = input.prefix.unwrap_or_default();
    let scan = Scan { prefix, delimiter: input.delimiter, after, limit, current_only: false };
    let page = api.backend.read(&input.bucket, |bucket| bucket.scan(&scan))?;
    let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for item in page.items {
        match item {
            Item::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(encode.text(&prefix)) }),
            Item::Version { version, latest } if version.is_marker() => {
                markers.push(marker_entry(&version, latest, encode));
            }
            Item::Version { version, latest } => {
                let mut entry = version_entry(&version, latest, encode);
                if let Some(told) = api.backend.frost.told(&version.key, &version.id, api.backend.clock.now()) {
                    entry.storage_class = Some(ObjectVersionStorageClass::from_static(told.class));
                }
                versions.push(entry);
            }
        }
    }
    if let Some(after) = page.next {
        output.is_truncated = Some(true);
        output.next_key_marker = after.key().map(|key| encode.text(key));
        output.next_version_id_marker = match after {
            After::Version(_, sequence) => Some(format!("{PLACE}{sequence:x}")),
            _ => None,
        };
    }
    output.versions = Some(versions);
    output.delete_markers = Some(markers);
    output.common_prefixes = Some(prefixes);
    Ok(output)
}

/// `key-marker` alone goes on after that key; with `version-id-marker` after that version of it. A version id does as
/// well as our own marker, as long as the version exists.
fn start(api: &Api, input: &ListObjectVersionsInput) -> S3Result<After> {
    let key = input.key_marker.as_deref().filter(|key| !key.is_empty());
    let marker = input.version_id_marker.as_deref().filter(|marker| !marker.is_empty());
    match (key, marker) {
        (None, None) => Ok(After::Start),
        (None, Some(_)) => {
            Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker."))
        }
        (Some(key), None) => Ok(After::Key(key.to_owned())),
        (Some(key), Some(marker)) => {
            let invalid = || s3_error!(InvalidArgument, "Invalid version id specified");
            let sequence = if let Some(place) = marker.strip_prefix(PLACE) {
                u64::from_str_radix(place, 16).map_err(|_| invalid())?
            } else {
                let version = api.backend.read(&input.bucket, |b| b.version(key, marker).cloned())?;
                version.ok_or_else(invalid)?.sequence
            };
            Ok(After::Version(key.to_owned(), sequence))
        }
    }
}

pub(super) async fn list_objects_v2(
    api: &Api,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<ListObjectsV2Output> {
    let input = request.input;
    let encode = Encode::new(input.encoding_type.as_ref())?;
    let limit = count(input.max_keys, api.backend.page_size)?;
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => After::Key(read_token(token)?),
        (None, Some(key)) if !key.is_empty() => After::Key(key.clone()),
        (None, _) => After::Start,
    };
    let mut output = ListObjectsV2Output {
        name: Some(input.bucket.clone()),
        prefix: Some(encode.text(input.prefix.as_deref().unwrap_or_default())),
        delimiter: input.delimiter.as_deref().map(|delimiter| encode.text(delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.as_deref().map(|key| encode.text(key)),
        continuation_token: input.continuation_token,
        max_keys: Some(signed(limit)),
        key_count: Some(0),
        is_truncated: Some(false),
        ..ListObjectsV2Output::default()
    };
    if limit == 0 {
        return Ok(output);
    }
    let prefix = input.prefix.unwrap_or_default();
    let scan = Scan { prefix, delimiter: input.delimiter, after, limit, current_only: true };
    let page = api.backend.read(&input.bucket, |bucket| bucket.scan(&scan))?;
    output.key_count = Some(signed(page.items.len()));
    output.is_truncated = Some(page.next.is_some());
    output.next_continuation_token = page.next.as_ref().and_then(After::key).map(write_token);
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for item in page.items {
        match item {
            Item::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(encode.text(&prefix)) }),
            Item::Version { version, .. } => contents.push(object(&version, encode)),
        }
    }
    output.contents = Some(contents);
    output.common_prefixes = Some(prefixes);
    Ok(output)
}

fn write_token(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

fn read_token(token: &str) -> S3Result<String> {
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

fn version_entry(version: &Version, latest: bool, encode: Encode) -> ObjectVersion {
    ObjectVersion {
        e_tag: version.body.as_ref().map(|body| etag(&body.etag)),
        is_latest: Some(latest),
        key: Some(encode.text(&version.key)),
        last_modified: Some(time(version.last_modified)),
        size: Some(version.size()),
        storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
        version_id: Some(version.id.clone()),
        ..ObjectVersion::default()
    }
}

fn marker_entry(version: &Version, latest: bool, encode: Encode) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(latest),
        key: Some(encode.text(&version.key)),
        last_modified: Some(time(version.last_modified)),
        version_id: Some(version.id.clone()),
        ..DeleteMarkerEntry::default()
    }
}

fn object(version: &Version, encode: Encode) -> Object {
    Object {
        e_tag: version.body.as_ref().map(|body| etag(&body.etag)),
        key: Some(encode.text(&version.key)),
        last_modified: Some(time(version.last_modified)),
        size: Some(version.size()),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    }
}

/// `encoding-type=url`: keys in answers are percent-encoded, for characters that XML cannot carry.
#[derive(Clone, Copy)]
pub(super) struct Encode {
    url: bool,
}

impl Encode {
    pub(super) fn new(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    pub(super) fn text(self, text: &str) -> String {
        use std::fmt::Write as _;
        if !self.url {
            return text.to_owned();
        }
        text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~/*".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
            encoded
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_text_and_tokens() {
        assert_eq!(Encode { url: true }.text("a b/ü+%\u{1}"), "a%20b/%C3%BC%2B%25%01");
        assert_eq!(Encode { url: false }.text("a b"), "a b");
        assert_eq!(read_token(&write_token("k/ü")).unwrap(), "k/ü");
        assert!(read_token("***").is_err() && read_token("_w").is_err());
    }
}
