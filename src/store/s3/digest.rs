//! The digest that a store keeps with an object.

use aws_sdk_s3::types::ChecksumMode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{ObjectKey, Result, VersionId};
use super::S3;
use super::retry::Call;

impl S3 {
    /// SHA-256 of one version, if it was stored with [`Checksum::Sha256`](super::Checksum::Sha256) and the store shows it
    /// (`HeadObject` with `x-amz-checksum-mode`).
    pub async fn sha256_of(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<[u8; 32]>> {
        let call = Call::version("s3:GetObjectVersion", key, version);
        let attempt = || async {
            let request = self.client.head_object().bucket(&self.bucket).key(key.as_str());
            let request = request.version_id(version.as_str()).checksum_mode(ChecksumMode::Enabled);
            request.send().await.map_err(|error| self.failure(call, &error))
        };
        let head = self.call(call, || self.patiently(call, attempt())).await?;
        let sum = head.checksum_sha256().and_then(|sum| STANDARD.decode(sum).ok());
        Ok(sum.and_then(|sum| sum.try_into().ok()))
    }
}
