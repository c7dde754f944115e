//! Listing versions.

use std::borrow::Cow;

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

use super::super::{Entry, Error, ListQuery, ObjectKey, Page, PageToken, Result, VersionId};
use super::S3;
use super::object::timestamp;
use super::retry::{Call, Failure};
use crate::limits::LIST_PAGE_MAX;

impl S3 {
    pub(super) async fn list_versions(&self, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
        let call = Call::bucket("s3:ListBucketVersions");
        let output = self.call(call, || self.patiently(call, self.list_once(call, query, token))).await?;
        page(&output).map_err(|what| Error::Corrupt { target: format!("listing of {}", query.prefix), what })
    }

    async fn list_once(
        &self,
        call: Call<'_>,
        query: &ListQuery,
        token: Option<&PageToken>,
    ) -> Result<ListObjectVersionsOutput, Failure> {
        let request = self
            .client
            .list_object_versions()
            .bucket(&self.bucket)
            .prefix(&query.prefix)
            .set_delimiter(query.by_folder.then(|| "/".to_owned()))
            .max_keys(LIST_PAGE_MAX)
            // Keys may hold characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .set_key_marker(token.map(|token| token.key.clone()))
            .set_version_id_marker(token.and_then(|token| token.version.clone()));
        request.send().await.map_err(|error| self.failure(call, &error))
    }
}

fn page(output: &ListObjectVersionsOutput) -> Result<Page, String> {
    let encoded = output.encoding_type() == Some(&EncodingType::Url);
    let plain = |text: Option<&str>| match text {
        Some(text) if encoded => decode(text),
        text => Ok(text.unwrap_or_default().to_owned()),
    };
    let mut entries = Vec::with_capacity(output.versions().len() + output.delete_markers().len());
    for version in output.versions() {
        entries.push(Entry {
            key: ObjectKey::new(plain(version.key())?),
            version: VersionId::new(version.version_id().unwrap_or("null")),
            last_modified: modified(version.last_modified())?,
            bytes: version.size().and_then(|size| u64::try_from(size).ok()).ok_or("a version without a size")?,
            etag: version.e_tag().unwrap_or_default().trim_matches('"').to_owned(),
            delete_marker: false,
            is_latest: version.is_latest().unwrap_or_default(),
            class: version.storage_class().map(|class| class.as_str().to_owned()).filter(|class| class != "STANDARD"),
        });
    }
    for marker in output.delete_markers() {
        entries.push(Entry {
            key: ObjectKey::new(plain(marker.key())?),
            version: VersionId::new(marker.version_id().unwrap_or("null")),
            last_modified: modified(marker.last_modified())?,
            bytes: 0,
            etag: String::new(),
            delete_marker: true,
            is_latest: marker.is_latest().unwrap_or_default(),
            class: None,
        });
    }
    sort_as_listed(&mut entries);
    let prefixes = output.common_prefixes().iter().map(|folder| plain(folder.prefix())).collect::<Result<_, _>>()?;
    let next = match (output.is_truncated(), output.next_key_marker()) {
        (Some(true), Some(key)) => Some(PageToken {
            key: plain(Some(key))?,
            version: output.next_version_id_marker().filter(|id| !id.is_empty()).map(str::to_owned),
        }),
        // Taking this for the last page would make the rest of the bucket invisible.
        (Some(true), None) => return Err("the listing is truncated and names no next key".into()),
        _ => None,
    };
    Ok(Page { entries, prefixes, next })
}

/// The answer has versions and markers in one sequence, the SDK splits them; put them together again: by key, the latest
/// first, then by time, newest first. Within one second of the store the order of versions and markers is not known.
fn sort_as_listed(entries: &mut [Entry]) {
    entries.sort_by(|a, b| {
        let by_age = b.is_latest.cmp(&a.is_latest).then(b.last_modified.cmp(&a.last_modified));
        a.key.as_str().as_bytes().cmp(b.key.as_str().as_bytes()).then(by_age)
    });
}

fn modified(time: Option<&DateTime>) -> Result<jiff::Timestamp, String> {
    time.and_then(timestamp).ok_or_else(|| "a version without a modification time".into())
}

/// Form encoding, as S3 sends it: `+` is a space, a plus sign is `%2B`.
pub(super) fn decode(text: &str) -> Result<String, String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| format!("key {text} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion};

    use super::*;

    fn version(key: &str, secs: i64) -> ObjectVersion {
        ObjectVersion::builder().key(key).version_id("v").size(3).last_modified(DateTime::from_secs(secs)).build()
    }

    #[test]
    fn keys_are_decoded_only_when_the_answer_says_so() {
        let output = ListObjectVersionsOutput::builder().versions(version("a%2Bb+c%01/%C3%A9", 1));
        let encoded = page(&output.clone().encoding_type(EncodingType::Url).build()).unwrap();
        assert_eq!(encoded.entries[0].key.as_str(), "a+b c\u{1}/é");
        assert_eq!(page(&output.build()).unwrap().entries[0].key.as_str(), "a%2Bb+c%01/%C3%A9");
    }

    #[test]
    fn a_truncated_page_without_a_marker_is_an_error_not_the_end() {
        let output = ListObjectVersionsOutput::builder().versions(version("k", 1)).is_truncated(true);
        assert!(page(&output.clone().build()).is_err());
        let next = page(&output.next_key_marker("k").next_version_id_marker("v").build()).unwrap().next.unwrap();
        assert_eq!((next.key.as_str(), next.version.as_deref()), ("k", Some("v")));
    }

    #[test]
    fn versions_and_markers_are_one_sequence() {
        let marker = DeleteMarkerEntry::builder().key("a").version_id("m").is_latest(true);
        let marker = marker.last_modified(DateTime::from_secs(5)).build();
        let output = ListObjectVersionsOutput::builder().versions(version("b", 1)).versions(version("a", 2));
        let page = page(&output.versions(version("a", 4)).delete_markers(marker).build()).unwrap();
        let seen: Vec<_> = page.entries.iter().map(|e| (e.key.as_str(), e.last_modified.as_second())).collect();
        assert_eq!(seen, [("a", 5), ("a", 4), ("a", 2), ("b", 1)]);
        assert!(page.entries[0].delete_marker);
    }
}
