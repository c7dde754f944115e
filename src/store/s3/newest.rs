//! Requests about the newest object of a key: read it, or create it if there is none.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};

use super::super::{Creation, Error, Newest, ObjectKey, Put, Result, VersionId};
use super::body::Upload;
use super::object::PUT;
use super::retry::{Call, Failure};
use super::{Checksum, S3};
use crate::limits::MAPPED_BYTES_MIN;
use crate::observe::chain;

const GET: &str = "s3:GetObject";

impl S3 {
    pub(super) async fn get_newest(&self, key: &ObjectKey, most: u64) -> Result<Option<Newest>> {
        let call = Call::key(GET, key);
        match self.call(call, || Box::pin(self.newest_once(call, key, most.max(1)))).await {
            Ok(newest) => Ok(Some(newest)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One try. A body that breaks off is fetched anew: its continuation might be that of another version.
    async fn newest_once(&self, call: Call<'_>, key: &ObjectKey, most: u64) -> Result<Newest, Failure> {
        let request = self.client.get_object().bucket(&self.bucket).key(key.as_str());
        let request = request.range(format!("bytes=0-{}", most - 1));
        let sent = async {
            match request.send().await {
                Ok(output) => Ok(Some(output)),
                Err(error) if status(&error) == Some(416) => Ok(None),
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        let Some(mut output) = self.patiently(call, sent).await? else {
            // No first byte to begin a range at: an empty object.
            return Ok(Newest { version: VersionId::null(), bytes: 0, body: Bytes::new() });
        };
        let corrupt = |what: String| Failure::passing(Error::Corrupt { target: self.target(call), what });
        let bytes =
            whole_length(&output).ok_or_else(|| corrupt("the answer is no object, or tells no length".into()))?;
        let version = output.version_id().filter(|id| !id.is_empty()).map_or_else(VersionId::null, VersionId::new);
        let wanted = usize::try_from(bytes.min(most)).map_err(|_| corrupt("it does not fit in memory".into()))?;
        // Only what is touched becomes resident; what matters is where it comes from.
        let room = if wanted < MAPPED_BYTES_MIN / 32 { wanted } else { wanted.max(MAPPED_BYTES_MIN) };
        let mut body = BytesMut::with_capacity(room);
        while body.len() < wanted {
            let next = tokio::time::timeout(self.stall, output.body.next()).await;
            let piece = next
                .map_err(|_| self.stalled(call))?
                .ok_or_else(|| corrupt(format!("the body ended after {} of {wanted} bytes", body.len())))?
                .map_err(|error| {
                    let source = chain(&error).into();
                    Failure::passing(Error::Unreachable { endpoint: self.endpoint.clone(), source })
                })?;
            body.extend_from_slice(&piece[..piece.len().min(wanted - body.len())]);
        }
        Ok(Newest { version, bytes, body: body.freeze() })
    }

    pub(super) async fn create_object(&self, put: &Put, checksum: Checksum) -> Result<Creation> {
        let call = Call::key(PUT, &put.key);
        let sum = checksum.of(&put.body);
        match self.call(call, || Box::pin(self.create_object_once(call, put, (checksum, &sum)))).await? {
            Some(creation) => Ok(creation),
            None if self.get_newest(&put.key, 1).await?.is_some() => Ok(Creation::Exists),
            None => self.put_object(put, checksum, None).await.map(Creation::Stored),
        }
    }

    /// One try; `None` if the store does not know the condition.
    async fn create_object_once(
        &self,
        call: Call<'_>,
        put: &Put,
        sum: (Checksum, &str),
    ) -> Result<Option<Creation>, Failure> {
        let upload = Upload::new(put.body.clone());
        match self.send(call, upload, self.put_request(put).if_none_match("*"), sum).await? {
            Ok(output) => self.acknowledged(call, put, sum, &output).map(|stored| Some(Creation::Stored(stored))),
            Err(error) if status(&error) == Some(412) => Ok(Some(Creation::Exists)),
            Err(error) if status(&error) == Some(501) => Ok(None),
            Err(error) => Err(self.failure(call, &error)),
        }
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Length of the whole object; `None` for an error document under a success status, which has no ETag.
fn whole_length(output: &GetObjectOutput) -> Option<u64> {
    output.e_tag()?;
    match output.content_range() {
        Some(range) => range.strip_prefix("bytes 0-")?.split_once('/')?.1.parse().ok(),
        None => output.content_length().and_then(|length| u64::try_from(length).ok()),
    }
}
