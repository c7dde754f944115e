//! What a store does with unusual requests, found out by making them: for `doctor`.
//!
//! Every probe writes a canary under the key it is given, which must be fresh. None of the answers is a reason to trust a
//! store more than its acknowledgements; they tell which settings it needs and what it leaves unchecked.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::ChecksumMode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::{Error, Lock, ObjectKey, Put, Result};
use super::object::with_checksum;
use super::retry::Call;
use super::{Checksum, S3};

/// A question to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Does it keep this checksum with the object and show it again?
    ChecksumKept(Checksum),
    /// Does it refuse an object whose checksum header does not match? (AWS: `BadDigest`.)
    WrongChecksumRefused(Checksum),
    /// Does it refuse a locked PUT without any checksum header, as AWS does?
    BareLockRefused(Lock),
    /// Does it, or its policy, refuse an object encrypted under a key that only the client has (SSE-C)? Whoever steals
    /// a writer's rights can otherwise leave objects that nobody else can read (User Guide, "Using server-side
    /// encryption with customer-provided keys").
    ForeignKeyRefused,
    /// Does a second PUT with `If-None-Match: *` meet a 412?
    SecondPutRefused,
}

const CANARY: &[u8] = b"stonewal canary";

impl S3 {
    /// Asks; true means yes. Errors that are no answer to the question (no connection, denied) are errors.
    pub async fn probe(&self, probe: Probe, key: &ObjectKey) -> Result<bool> {
        match probe {
            Probe::ChecksumKept(checksum) => self.checksum_kept(key, checksum).await,
            Probe::WrongChecksumRefused(checksum) => {
                self.put_refused(key, None, Some((checksum, checksum.of(b"something else"))), false).await
            }
            Probe::BareLockRefused(lock) => self.put_refused(key, Some(lock), None, false).await,
            Probe::ForeignKeyRefused => self.foreign_key_refused(key).await,
            Probe::SecondPutRefused => {
                let sum = Some((self.checksum, self.checksum.of(CANARY)));
                let first = self.put_refused(key, None, sum.clone(), true).await?;
                Ok(!first && self.put_refused(key, None, sum, true).await?)
            }
        }
    }

    async fn checksum_kept(&self, key: &ObjectKey, checksum: Checksum) -> Result<bool> {
        let put = Put { key: key.clone(), body: Bytes::from_static(CANARY), lock: None };
        let stored = match self.put_object(&put, checksum, None).await {
            Ok(stored) => stored,
            Err(Error::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let call = Call::version("s3:GetObjectVersion", key, &stored.version);
        let attempt = || async {
            let request = self.client.head_object().bucket(&self.bucket).key(key.as_str());
            let request = request.version_id(stored.version.as_str()).checksum_mode(ChecksumMode::Enabled);
            request.send().await.map_err(|error| self.failure(call, &error))
        };
        let head = self.call(call, || self.patiently(call, attempt())).await?;
        let kept = match checksum {
            Checksum::Crc64Nvme => head.checksum_crc64_nvme(),
            Checksum::Sha256 => head.checksum_sha256(),
            Checksum::Crc32c => head.checksum_crc32_c(),
            // Stores turn it into the ETag at best.
            Checksum::Md5 => None,
        };
        Ok(kept == Some(checksum.of(CANARY).as_str()))
    }

    /// Only after another PUT has shown that these credentials may write: a denial is then about the key.
    async fn foreign_key_refused(&self, key: &ObjectKey) -> Result<bool> {
        let call = Call::key("s3:PutObject", key);
        let put = Put { key: key.clone(), body: Bytes::from_static(CANARY), lock: None };
        // A fixed key: what is stored under it is no secret.
        let secret = [7_u8; 32];
        let attempt = || async {
            let request = with_checksum(self.put_request(&put), self.checksum, &self.checksum.of(CANARY));
            let request = request
                .sse_customer_algorithm("AES256")
                .sse_customer_key(STANDARD.encode(secret))
                .sse_customer_key_md5(Checksum::Md5.of(&secret));
            match request.send().await {
                Ok(_) => Ok(false),
                Err(SdkError::ServiceError(e)) if matches!(e.raw().status().as_u16(), 400 | 403 | 405 | 501) => {
                    Ok(true)
                }
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    /// Whether the store answers with a refusal (a 4xx that is about the request, not about rights) instead of storing.
    async fn put_refused(
        &self,
        key: &ObjectKey,
        lock: Option<Lock>,
        sum: Option<(Checksum, String)>,
        only_if_absent: bool,
    ) -> Result<bool> {
        let call = Call::key("s3:PutObject", key);
        let put = Put { key: key.clone(), body: Bytes::from_static(CANARY), lock };
        let attempt = || async {
            let mut request = self.put_request(&put);
            if let Some((checksum, value)) = &sum {
                request = with_checksum(request, *checksum, value);
            }
            match request.set_if_none_match(only_if_absent.then(|| "*".to_owned())).send().await {
                Ok(_) => Ok(false),
                Err(SdkError::ServiceError(e)) if matches!(e.raw().status().as_u16(), 400 | 409 | 411 | 412) => {
                    Ok(true)
                }
                Err(error) => Err(self.failure(call, &error)),
            }
        };
        self.call(call, || self.patiently(call, attempt())).await
    }
}
