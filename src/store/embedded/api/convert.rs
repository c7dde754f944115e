//! Between the API's data types and ours.

use std::str::FromStr as _;
use std::time::SystemTime;

use jiff::Timestamp;
use s3s::dto::{self, ETag, ObjectLockMode, TimestampFormat};
use s3s::{S3Result, s3_error};

use super::super::backend::{Condition, refused};
use super::super::locks::Refusal;
use crate::store::{Lock, LockMode};

/// Fills the checksum fields of an answer.
macro_rules! set_checksum {
    ($output:expr, $checksum:expr) => {{
        use $crate::store::embedded::digest::Algorithm;
        let checksum: &$crate::store::embedded::digest::Checksum = $checksum;
        let value = Some(checksum.value.clone());
        match checksum.algorithm {
            Algorithm::Crc32 => $output.checksum_crc32 = value,
            Algorithm::Crc32c => $output.checksum_crc32c = value,
            Algorithm::Crc64nvme => $output.checksum_crc64nvme = value,
            Algorithm::Sha1 => $output.checksum_sha1 = value,
            Algorithm::Sha256 => $output.checksum_sha256 = value,
        }
    }};
}

pub(super) fn time(at: Timestamp) -> dto::Timestamp {
    dto::Timestamp::from(SystemTime::try_from(at).unwrap_or(SystemTime::UNIX_EPOCH))
}

/// Milliseconds are all that the API's format carries.
pub(super) fn from_time(at: &dto::Timestamp) -> S3Result<Timestamp> {
    let mut text = Vec::new();
    at.format(TimestampFormat::DateTime, &mut text).map_err(|_| s3_error!(InvalidArgument, "The date is invalid"))?;
    let text = String::from_utf8_lossy(&text);
    Timestamp::from_str(&text).map_err(|_| s3_error!(InvalidArgument, "The date {text} is invalid"))
}

pub(super) fn mode_name(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => ObjectLockMode::GOVERNANCE,
        LockMode::Compliance => ObjectLockMode::COMPLIANCE,
    }
}

pub(super) fn mode(name: &str) -> S3Result<LockMode> {
    match name {
        ObjectLockMode::GOVERNANCE => Ok(LockMode::Governance),
        ObjectLockMode::COMPLIANCE => Ok(LockMode::Compliance),
        _ => Err(s3_error!(InvalidArgument, "Unknown wormMode directive.")),
    }
}

/// The lock headers of a PUT: both or none, and a date in the future (API PutObject, lock headers).
pub(super) fn lock_headers(
    mode_header: Option<&ObjectLockMode>,
    until: Option<&dto::Timestamp>,
    now: Timestamp,
) -> S3Result<Option<Lock>> {
    match (mode_header, until) {
        (None, None) => Ok(None),
        (Some(name), Some(until)) => {
            let lock = Lock { mode: mode(name.as_str())?, retain_until: from_time(until)? };
            if lock.retain_until <= now {
                return Err(refused(Refusal::Past));
            }
            Ok(Some(lock))
        }
        _ => Err(s3_error!(
            InvalidArgument,
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        )),
    }
}

/// `ON` or `OFF`.
pub(super) fn hold(status: Option<&str>) -> S3Result<Option<bool>> {
    match status {
        None => Ok(None),
        Some("ON") => Ok(Some(true)),
        Some("OFF") => Ok(Some(false)),
        Some(_) => Err(s3_error!(InvalidArgument, "Legal Hold must be either of 'ON' or 'OFF'")),
    }
}

/// The preconditions of a write.
pub(super) fn condition(
    if_none_match: Option<dto::ETagCondition>,
    if_match: Option<dto::ETagCondition>,
) -> S3Result<Condition> {
    match (if_none_match, if_match) {
        (None, None) => Ok(Condition::None),
        (Some(dto::ETagCondition::Any), None) => Ok(Condition::Absent),
        (None, Some(dto::ETagCondition::ETag(etag))) => Ok(Condition::Etag(etag.value().to_owned())),
        // API PutObject: If-None-Match "expects the '*' character".
        _ => Err(s3_error!(NotImplemented, "Only If-None-Match: * or If-Match: <etag> is implemented")),
    }
}

pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

/// A bounded count out of an optional API number.
pub(super) fn count(wanted: Option<i32>, most: usize) -> S3Result<usize> {
    match wanted {
        None => Ok(most),
        Some(wanted) => usize::try_from(wanted)
            .map(|wanted| wanted.min(most))
            .map_err(|_| s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647")),
    }
}

/// A length as the API's signed number.
pub(super) fn signed(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;

    #[test]
    fn lock_headers_come_in_pairs_and_end_in_the_future() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let later = time(Timestamp::from_second(1_000_001).unwrap());
        let governance = ObjectLockMode::from_static(ObjectLockMode::GOVERNANCE);
        let odd = ObjectLockMode::from_static("governance");
        let code = |mode: Option<&ObjectLockMode>, until: Option<&dto::Timestamp>| {
            lock_headers(mode, until, now).map_err(|error| error.code().clone())
        };
        assert_eq!(code(None, None), Ok(None));
        let lock = code(Some(&governance), Some(&later)).unwrap().unwrap();
        assert_eq!((lock.mode, lock.retain_until.as_second()), (LockMode::Governance, 1_000_001));
        let invalid = Err(S3ErrorCode::InvalidArgument);
        assert_eq!(code(Some(&governance), None), invalid);
        assert_eq!(code(None, Some(&later)), invalid);
        assert_eq!(code(Some(&odd), Some(&later)), invalid);
        assert_eq!(code(Some(&governance), Some(&time(now))), invalid);
    }

    #[test]
    fn times_survive_the_round_trip_to_the_millisecond() {
        let at: Timestamp = "2026-02-28T23:59:59.123Z".parse().unwrap();
        assert_eq!(from_time(&time(at)).unwrap(), at);
    }
}
