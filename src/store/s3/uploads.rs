//! Multipart uploads that nobody completed. Ours never are multipart; whoever may write can begin some, and their parts are
//! paid for without being listed among the versions.

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::EncodingType;
use jiff::Timestamp;

use super::super::pages::moves_on;
use super::super::{Error, ListQuery, PageToken, Result};
use super::S3;
use super::list::decode;
use super::object::timestamp;
use super::retry::{Call, Failure};
use crate::limits::LIST_PAGE_MAX;

/// An upload in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Key of the object that it would become.
    pub key: String,
    /// When it began (store time).
    pub begun_at: Timestamp,
}

impl S3 {
    /// Gives every multipart upload below `prefix` that is in progress to `take` (`ListMultipartUploads`), page by page.
    pub async fn each_upload(&self, prefix: &str, mut take: impl FnMut(Upload) + Send) -> Result<()> {
        let query = ListQuery { prefix: prefix.to_owned(), by_folder: false };
        let mut token: Option<PageToken> = None;
        loop {
            let call = Call::bucket("s3:ListBucketMultipartUploads");
            let once = || self.patiently(call, self.uploads_once(call, prefix, token.as_ref()));
            let output = self.call(call, once).await?;
            let corrupt = |what| Error::Corrupt { target: format!("uploads below {prefix}"), what };
            let (uploads, next) = page(&output).map_err(corrupt)?;
            uploads.into_iter().for_each(&mut take);
            moves_on(&query, token.as_ref(), next.as_ref())?;
            if next.is_none() {
                return Ok(());
            }
            token = next;
        }
    }

    async fn uploads_once(
        &self,
        call: Call<'_>,
        prefix: &str,
        token: Option<&PageToken>,
    ) -> Result<ListMultipartUploadsOutput, Failure> {
        let request = self
            .client
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .prefix(prefix)
            .max_uploads(LIST_PAGE_MAX)
            // Keys may hold characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .set_key_marker(token.map(|token| token.key.clone()))
            .set_upload_id_marker(token.and_then(|token| token.version.clone()));
        request.send().await.map_err(|error| self.failure(call, &error))
    }
}

fn page(output: &ListMultipartUploadsOutput) -> Result<(Vec<Upload>, Option<PageToken>), String> {
    let encoded = output.encoding_type() == Some(&EncodingType::Url);
    let plain = |text: &str| if encoded { decode(text) } else { Ok(text.to_owned()) };
    let mut uploads = Vec::with_capacity(output.uploads().len());
    for upload in output.uploads() {
        let begun_at = upload.initiated().and_then(timestamp).ok_or("an upload without a beginning")?;
        uploads.push(Upload { key: plain(upload.key().unwrap_or_default())?, begun_at });
    }
    let next = match (output.is_truncated(), output.next_key_marker()) {
        (Some(true), Some(key)) => {
            let version = output.next_upload_id_marker().filter(|id| !id.is_empty()).map(str::to_owned);
            Some(PageToken { key: plain(key)?, version })
        }
        (Some(true), None) => return Err("the list is truncated and names no next key".into()),
        _ => None,
    };
    Ok((uploads, next))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::DateTime;
    use aws_sdk_s3::types::MultipartUpload;

    use super::*;

    #[test]
    fn uploads_are_decoded_and_a_page_without_a_marker_is_no_end() {
        let upload = MultipartUpload::builder().key("a%2Bb%01").initiated(DateTime::from_secs(7)).build();
        let output = ListMultipartUploadsOutput::builder().uploads(upload).is_truncated(true);
        assert!(page(&output.clone().build()).is_err());
        let output = output.encoding_type(EncodingType::Url).next_key_marker("a%2Bb%01").next_upload_id_marker("u");
        let (uploads, next) = page(&output.build()).unwrap();
        assert_eq!(uploads, [Upload { key: "a+b\u{1}".into(), begun_at: Timestamp::from_second(7).unwrap() }]);
        let next = next.unwrap();
        assert_eq!((next.key.as_str(), next.version.as_deref()), ("a+b\u{1}", Some("u")));
        let undated = ListMultipartUploadsOutput::builder().uploads(MultipartUpload::builder().key("a").build());
        assert!(page(&undated.build()).is_err());
    }
}
