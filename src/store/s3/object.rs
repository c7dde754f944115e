//! Requests about one object.

use std::ops::Range;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ArchiveStatus, ChecksumAlgorithm, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention,
    ObjectLockRetentionMode, StorageClass,
};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use super::super::{Error, Head, Lock, LockMode, ObjectKey, Put, Readiness, Result, Stored, VersionId};
use super::body::Upload;
use super::retry::{Call, Failure};
use super::{Checksum, S3};
use crate::limits::MAPPED_BYTES_MIN;
use crate::observe::chain;

const GET: &str = "s3:GetObjectVersion";
pub(super) const PUT: &str = "s3:PutObject";

/// What the SDK says of one PUT.
pub(super) type PutAnswer = Result<PutObjectOutput, SdkError<PutObjectError, HttpResponse>>;

impl S3 {
    /// `sha256` of the body, if it is known.
    pub(super) async fn put_object(&self, put: &Put, checksum: Checksum, sha256: Option<[u8; 32]>) -> Result<Stored> {
        let call = Call::key(PUT, &put.key);
        let sum = checksum.of(&put.body);
        let attempt = || async {
            let upload = Upload::new(put.body.clone()).hashed(sha256);
            let answer = self.send(call, upload, self.put_request(put), (checksum, &sum)).await?;
            let output = answer.map_err(|error| self.failure(call, &error))?;
            self.acknowledged(call, put, (checksum, &sum), &output)
        };
        let stored = self.call(call, || Box::pin(attempt())).await?;
        tracing::trace!(key = %put.key, version = %stored.version, bytes = put.body.len(), "put");
        Ok(stored)
    }

    /// One try: the answer, or that the upload stalled.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        upload: Upload,
        request: PutObjectFluentBuilder,
        (checksum, sum): (Checksum, &str),
    ) -> Result<PutAnswer, Failure> {
        let sent = with_checksum(request, checksum, sum).customize().interceptor(upload.clone()).send();
        upload.watch(self.stall, sent).await.map_err(|_| self.stalled(call))
    }

    /// PUT of the whole body with its lock, still without a checksum.
    pub(super) fn put_request(&self, put: &Put) -> PutObjectFluentBuilder {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(put.key.as_str())
            .set_object_lock_mode(put.lock.map(|lock| match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            }))
            .set_object_lock_retain_until_date(put.lock.map(|lock| whole_seconds(lock.retain_until)))
            .body(ByteStream::from(put.body.clone()))
    }

    /// A success is believed only if it names what a store names when it has kept an object.
    pub(super) fn acknowledged(
        &self,
        call: Call<'_>,
        put: &Put,
        (checksum, sum): (Checksum, &str),
        output: &PutObjectOutput,
    ) -> Result<Stored, Failure> {
        let doubt = |what: String| Failure::passing(Error::Corrupt { target: self.target(call), what });
        if output.e_tag().is_none_or(str::is_empty) {
            return Err(doubt("the store answered success without an ETag".into()));
        }
        let kept = match checksum {
            Checksum::Crc64Nvme => output.checksum_crc64_nvme(),
            Checksum::Sha256 => output.checksum_sha256(),
            Checksum::Crc32c => output.checksum_crc32_c(),
            Checksum::Md5 => None,
        };
        if let Some(kept) = kept.filter(|kept| *kept != sum) {
            return Err(doubt(format!("the store computed checksum {kept}, ours is {sum}")));
        }
        match output.version_id().filter(|id| !id.is_empty()) {
            Some(id) => Ok(Stored { version: VersionId::new(id) }),
            None if put.lock.is_none() => Ok(Stored { version: VersionId::null() }),
            None => Err(Failure::permanent(Error::Refused {
                action: PUT,
                target: self.target(call),
                code: "the store returned no version id for a locked object: the bucket is not versioned".into(),
            })),
        }
    }

    pub(super) async fn get_range(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> Result<Bytes> {
        let call = Call::version(GET, key, version);
        let wanted = usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_| Error::Setup(format!("{key}: the range does not fit in memory")))?;
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        // Only what is touched becomes resident; what matters is where it comes from.
        let room = if wanted < MAPPED_BYTES_MIN / 32 { wanted } else { wanted.max(MAPPED_BYTES_MIN) };
        let mut collected = BytesMut::with_capacity(room);
        let mut budget = self.budget(call);
        loop {
            let before = collected.len();
            let outcome = budget.within(Box::pin(self.fetch(call, range.clone(), wanted, &mut collected))).await?;
            if collected.len() > before {
                budget.progressed();
            }
            match outcome {
                Ok(()) => return Ok(collected.freeze()),
                Err(failure) => budget.pause(failure).await?,
            }
        }
    }

    /// One connection's worth: from what is still missing to the end, or as far as it holds.
    async fn fetch(
        &self,
        call: Call<'_>,
        range: Range<u64>,
        wanted: usize,
        collected: &mut BytesMut,
    ) -> Result<(), Failure> {
        let start = range.start + collected.len() as u64;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(call.key.map_or("", ObjectKey::as_str))
            .set_version_id(call.version.map(|version| version.as_str().to_owned()))
            .range(format!("bytes={start}-{}", range.end - 1));
        let sent = async { request.send().await.map_err(|error| self.failure(call, &error)) };
        let mut output = self.patiently(call, sent).await?;
        let corrupt = |what| Error::Corrupt { target: self.target(call), what };
        check_answer(&output, call, start, range.end).map_err(|what| Failure::permanent(corrupt(what)))?;
        while collected.len() < wanted {
            let next = tokio::time::timeout(self.stall, output.body.next()).await;
            let piece = next.map_err(|_| self.stalled(call))?.ok_or_else(|| {
                Failure::passing(corrupt(format!("the body ended after {} of {wanted} bytes", collected.len())))
            })?;
            let piece = piece.map_err(|error| {
                let source = chain(&error).into();
                Failure::passing(Error::Unreachable { endpoint: self.endpoint.clone(), source })
            })?;
            // A store that ignores the range sends on; what was not asked for is not kept.
            collected.extend_from_slice(&piece[..piece.len().min(wanted - collected.len())]);
        }
        Ok(())
    }

    pub(super) async fn head_version(&self, key: &ObjectKey, version: &VersionId) -> Result<Head> {
        let call = Call::version(GET, key, version);
        let output = self.call(call, || self.patiently(call, self.head_once(call))).await?;
        head_from(&output).ok_or_else(|| Error::Corrupt {
            target: key.to_string(),
            what: "HEAD tells no length or no modification time".into(),
        })
    }

    async fn head_once(&self, call: Call<'_>) -> Result<HeadObjectOutput, Failure> {
        let key = call.key.map_or("", ObjectKey::as_str);
        let version = call.version.map(|version| version.as_str().to_owned());
        let request = self.client.head_object().bucket(&self.bucket).key(key).set_version_id(version.clone());
        match request.send().await {
            Ok(output) => Ok(output),
            Err(error) if says_absent(&error) => {
                // HEAD has no body to say what is missing (object, version, bucket) or a delete marker: ask in words.
                let get = self.client.get_object().bucket(&self.bucket).key(key).set_version_id(version);
                match get.range("bytes=0-0").send().await {
                    Err(error) => Err(self.failure(call, &error)),
                    Ok(_) => Err(Failure::passing(Error::Busy {
                        action: GET,
                        target: self.target(call),
                        code: "HEAD finds nothing where GET finds an object".into(),
                    })),
                }
            }
            Err(error) => Err(self.failure(call, &error)),
        }
    }

    pub(super) async fn put_retention(&self, key: &ObjectKey, version: &VersionId, lock: Lock) -> Result<()> {
        let call = Call::version("s3:PutObjectRetention", key, version);
        let mode = match lock.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let until = whole_seconds(lock.retain_until);
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(until).build();
        let attempt = || async {
            let request = self.client.put_object_retention().bucket(&self.bucket).key(key.as_str());
            let request = request.version_id(version.as_str()).retention(retention.clone());
            request.send().await.map(drop).map_err(|error| self.failure(call, &error))
        };
        self.call(call, || self.patiently(call, attempt())).await
    }

    pub(super) async fn delete_one(&self, key: &ObjectKey, version: &VersionId, bypass: bool) -> Result<()> {
        let action = if bypass { "s3:BypassGovernanceRetention" } else { "s3:DeleteObjectVersion" };
        let call = Call::version(action, key, version);
        let attempt = || async {
            let request = self.client.delete_object().bucket(&self.bucket).key(key.as_str());
            let request = request.version_id(version.as_str()).set_bypass_governance_retention(bypass.then_some(true));
            request.send().await.map(drop).map_err(|error| self.failure(call, &error))
        };
        match self.call(call, || self.patiently(call, attempt())).await {
            // S3 answers success for a version that is gone already (a repeated delete); some stores say what they see.
            Err(Error::NotFound { .. }) => Ok(()),
            result => result,
        }
    }
}

/// The value goes into a header of its own, never into a trailer. The algorithm is named as well: some stores check the
/// value only then (Ceph) or ask for nothing else.
pub(super) fn with_checksum(request: PutObjectFluentBuilder, checksum: Checksum, sum: &str) -> PutObjectFluentBuilder {
    let request = request.set_checksum_algorithm(checksum.algorithm().map(ChecksumAlgorithm::from));
    match checksum {
        Checksum::Crc64Nvme => request.checksum_crc64_nvme(sum),
        Checksum::Sha256 => request.checksum_sha256(sum),
        Checksum::Crc32c => request.checksum_crc32_c(sum),
        Checksum::Md5 => request.content_md5(sum),
    }
}

/// The answer must be of the version asked for, start where we asked, and belong to an object that is long enough.
fn check_answer(output: &GetObjectOutput, call: Call<'_>, start: u64, end: u64) -> Result<(), String> {
    if let (Some(asked), Some(got)) = (call.version, output.version_id())
        && asked.as_str() != got
    {
        return Err(format!("the store sent version {got} instead of {asked}"));
    }
    let Some(content_range) = output.content_range() else {
        let length = output.content_length().and_then(|length| u64::try_from(length).ok());
        return match length {
            _ if start > 0 => Err("the store ignores ranges".into()),
            // An error document under a success status (elsewhere the SDK looks for one).
            _ if output.e_tag().is_none() => Err("the answer is no object: it has no ETag".into()),
            Some(length) if length < end => Err(format!("the object has {length} bytes, {end} were recorded")),
            _ => Ok(()),
        };
    };
    let parsed = content_range.strip_prefix("bytes ").and_then(|rest| {
        let (span, total) = rest.split_once('/')?;
        Some((span.split_once('-')?.0.parse::<u64>().ok()?, total.parse::<u64>().ok()))
    });
    match parsed {
        Some((_, Some(total))) if total < end => Err(format!("the object has {total} bytes, {end} were recorded")),
        Some((first, _)) if first == start => Ok(()),
        _ => Err(format!("asked for bytes from {start}, the store sent {content_range}")),
    }
}

fn says_absent(error: &SdkError<HeadObjectError, HttpResponse>) -> bool {
    error.raw_response().is_some_and(|response| matches!(response.status().as_u16(), 404 | 405))
}

fn head_from(output: &HeadObjectOutput) -> Option<Head> {
    let lock = output.object_lock_mode().zip(output.object_lock_retain_until_date()).and_then(|(mode, until)| {
        let mode = match mode {
            ObjectLockMode::Governance => LockMode::Governance,
            ObjectLockMode::Compliance => LockMode::Compliance,
            _ => return None,
        };
        Some(Lock { mode, retain_until: timestamp(until)? })
    });
    Some(Head {
        bytes: u64::try_from(output.content_length()?).ok()?,
        last_modified: timestamp(output.last_modified()?)?,
        lock,
        held: output.object_lock_legal_hold_status().is_some_and(|status| *status != ObjectLockLegalHoldStatus::Off),
        readiness: Readiness::read(
            output.storage_class().map(StorageClass::as_str),
            output.archive_status().map(ArchiveStatus::as_str),
            output.restore(),
        ),
    })
}

/// Retention in whole seconds, rounded up: a store that drops fractions must not shorten a lock.
fn whole_seconds(until: Timestamp) -> DateTime {
    DateTime::from_secs(until.as_second() + i64::from(until.subsec_nanosecond() > 0))
}

pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}
