//! `RestoreObject` of one version.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::restore_object::RestoreObjectError;
use aws_sdk_s3::types::{GlacierJobParameters, RestoreRequest, Tier};

use super::super::{Archive, Error, ObjectKey, Result, Retrieval, Thaw, VersionId};
use super::S3;
use super::retry::Call;

impl S3 {
    pub(super) async fn restore_version(
        &self,
        key: &ObjectKey,
        version: &VersionId,
        archive: Archive,
        thaw: Thaw,
    ) -> Result<()> {
        let call = Call::version("s3:RestoreObject", key, version);
        let tier = match thaw.retrieval {
            Retrieval::Standard => Tier::Standard,
            Retrieval::Bulk => Tier::Bulk,
            Retrieval::Expedited => Tier::Expedited,
        };
        let how =
            GlacierJobParameters::builder().tier(tier).build().map_err(|error| Error::Setup(error.to_string()))?;
        let days = archive.takes_days().then(|| i32::try_from(thaw.days).unwrap_or(i32::MAX));
        let wanted = RestoreRequest::builder().set_days(days).glacier_job_parameters(how).build();
        let attempt = || async {
            let request = self.client.restore_object().bucket(&self.bucket).key(key.as_str());
            match request.version_id(version.as_str()).restore_request(wanted.clone()).send().await {
                Ok(_) => Ok(()),
                Err(error) if says_under_way(&error) => Ok(()),
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }
}

/// Somebody asked before, maybe we.
fn says_under_way(error: &SdkError<RestoreObjectError, HttpResponse>) -> bool {
    error.code() == Some("RestoreAlreadyInProgress")
}
