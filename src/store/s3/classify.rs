//! From what the SDK and the store say to what it means: the one place where codes are read.
//!
//! Codes are those of the S3 API Reference, "Error responses", and of stores that imitate it.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::super::Error;
use super::S3;
use super::retry::{Call, Failure, Retry};
use crate::observe::chain;

/// Differences below this do not explain a refused signature: S3 allows 15 minutes.
const SKEW_SECONDS_MIN: i64 = 240;

/// What a failed answer carried.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    /// Region of the bucket, from `x-amz-bucket-region` or from the body.
    pub(super) region: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// `x-amz-delete-marker: true`.
    pub(super) delete_marker: bool,
}

impl Answer {
    fn read<E: ProvideErrorMetadata>(error: &E, response: &HttpResponse) -> Self {
        let headers = response.headers();
        let named = headers.get("x-amz-bucket-region").filter(|region| !region.is_empty()).map(str::to_owned);
        Self {
            status: response.status().as_u16(),
            code: error.code().map(str::to_owned),
            message: error.message().map(str::to_owned),
            region: named.or_else(|| response.body().bytes().and_then(region_in_body)),
            retry_after: headers.get("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs),
            delete_marker: headers.get("x-amz-delete-marker") == Some("true"),
        }
    }

    /// Code and message as shown to people.
    fn words(&self) -> String {
        let code = self.code.clone().unwrap_or_else(|| match self.status {
            200..=299 => format!("an unreadable answer (HTTP {})", self.status),
            _ => format!("HTTP {}", self.status),
        });
        match &self.message {
            Some(message) if !message.is_empty() => format!("{code}: {}", message.trim_end_matches('.')),
            _ => code,
        }
    }
}

/// `<Region>` of an `AuthorizationHeaderMalformed` document.
fn region_in_body(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Region>")?;
    rest.split_once("</Region>").map(|(region, _)| region.to_owned()).filter(|region| region.len() < 64)
}

impl S3 {
    /// The meaning of a failed try.
    pub(super) fn failure<E>(&self, call: Call<'_>, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if let SdkError::ServiceError(service) = error {
            return self.meaning(call, &Answer::read(service.err(), service.raw()));
        }
        if let Some(credentials) = find::<CredentialsError>(error) {
            return no_credentials(credentials);
        }
        let busy = |code: String| Error::Busy { action: call.action, target: self.target(call), code };
        match error {
            SdkError::ResponseError(_) => Failure::passing(busy(format!("unreadable answer: {}", chain(error)))),
            SdkError::ConstructionFailure(_) => Failure::permanent(Error::Setup(chain(error))),
            _ => {
                // A certificate that is not trusted now will not be trusted in a second.
                let untrusted =
                    find::<rustls::Error>(error).is_some_and(|e| matches!(e, rustls::Error::InvalidCertificate(_)));
                let source = Box::new(Words(chain(error)));
                let error = Error::Unreachable { endpoint: self.endpoint.clone(), source };
                Failure { error, retry: if untrusted { Retry::Never } else { Retry::Backoff } }
            }
        }
    }

    /// The meaning of an answer; pure but for the measured skew.
    pub(super) fn meaning(&self, call: Call<'_>, answer: &Answer) -> Failure {
        let (action, target, code) = (call.action, self.target(call), answer.words());
        let skew_seconds = self.clock.skew().as_secs();
        let skewed = skew_seconds.abs() > SKEW_SECONDS_MIN;
        match kind(answer, call.key.is_some()) {
            Kind::NotFound => Failure::permanent(match call.key {
                Some(key) => Error::NotFound { key: key.clone(), version: call.version.cloned() },
                None => Error::Refused { action, target, code },
            }),
            Kind::NoBucket => {
                Failure::permanent(Error::NoBucket { bucket: self.bucket.clone(), endpoint: self.endpoint.clone() })
            }
            Kind::Region => Failure::permanent(Error::WrongRegion {
                bucket: self.bucket.clone(),
                asked: self.region.clone(),
                actual: answer.region.clone().unwrap_or_else(|| "another region".into()),
            }),
            Kind::Skew => Failure { error: Error::Skew { skew_seconds }, retry: Retry::NewTime },
            Kind::Signature if skewed => Failure { error: Error::Credentials { code }, retry: Retry::NewTime },
            Kind::Signature => Failure::permanent(Error::Credentials { code }),
            Kind::Expired => Failure::permanent(Error::Expired { code }),
            // The answer to HEAD has no code: that it was the time, only the clocks tell.
            Kind::Denied if skewed && answer.code.is_none() => {
                let error = Error::Denied { action, target, code: denied_words(call, code) };
                Failure { error, retry: Retry::NewTime }
            }
            Kind::Denied => Failure::permanent(Error::Denied { action, target, code: denied_words(call, code) }),
            Kind::SlowDown => {
                Failure { error: Error::Busy { action, target, code }, retry: Retry::SlowDown(answer.retry_after) }
            }
            Kind::Busy => Failure::passing(Error::Busy { action, target, code }),
            Kind::Damaged => Failure::passing(Error::Corrupt { target, what: format!("damaged on the way: {code}") }),
            Kind::Short => {
                Failure::permanent(Error::Corrupt { target, what: format!("shorter than recorded: {code}") })
            }
            Kind::Frozen => Failure::permanent(Error::Frozen { target, code }),
            Kind::Refused => Failure::permanent(Error::Refused { action, target, code }),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NotFound,
    NoBucket,
    Region,
    Skew,
    Signature,
    Expired,
    Denied,
    SlowDown,
    Busy,
    Damaged,
    Short,
    Frozen,
    Refused,
}

fn kind(answer: &Answer, about_object: bool) -> Kind {
    if answer.delete_marker && about_object && matches!(answer.status, 404 | 405) {
        return Kind::NotFound;
    }
    match answer.code.as_deref().unwrap_or_default() {
        "NoSuchKey" | "NoSuchVersion" => Kind::NotFound,
        "NoSuchBucket" => Kind::NoBucket,
        "PermanentRedirect" | "TemporaryRedirect" | "Redirect" | "IllegalLocationConstraintException" => Kind::Region,
        "AuthorizationHeaderMalformed" if answer.region.is_some() => Kind::Region,
        "RequestTimeTooSkewed" => Kind::Skew,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "AuthorizationHeaderMalformed"
        | "InvalidSecurity"
        | "NotSignedUp" => Kind::Signature,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => Kind::Expired,
        "SlowDown"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "SlowDownRead"
        | "SlowDownWrite" => Kind::SlowDown,
        "RequestTimeout" | "InternalError" | "OperationAborted" | "ConditionalRequestConflict" => Kind::Busy,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody" => Kind::Damaged,
        "InvalidRange" => Kind::Short,
        "InvalidObjectState" => Kind::Frozen,
        // A 503 that lasts: the archive has no room for more of the dear requests.
        "GlacierExpeditedRetrievalNotAvailable" => Kind::Refused,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "UnauthorizedAccess" | "Forbidden" => Kind::Denied,
        _ => kind_by_status(answer),
    }
}

/// Answers without a code (HEAD has no body) or with one we do not know.
fn kind_by_status(answer: &Answer) -> Kind {
    match answer.status {
        301 | 307 | 308 => Kind::Region,
        401 | 403 => Kind::Denied,
        429 | 503 => Kind::SlowDown,
        501 | 505 => Kind::Refused,
        // 2xx: a success whose document cannot be read.
        200..=299 | 408 | 500.. => Kind::Busy,
        _ => Kind::Refused,
    }
}

/// A read that is denied says nothing about existence, and on AWS a missing key looks the same without `s3:ListBucket`.
fn denied_words(call: Call<'_>, code: String) -> String {
    if call.action.starts_with("s3:GetObject") {
        format!("{code} (or it does not exist, which the store only tells who has s3:ListBucket)")
    } else {
        code
    }
}

fn no_credentials(error: &CredentialsError) -> Failure {
    let code = chain(error);
    let retry = match error {
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => Retry::Backoff,
        _ => Retry::Never,
    };
    if code.contains("expired") {
        return Failure::permanent(Error::Expired { code });
    }
    Failure { error: Error::NoCredentials { why: code }, retry }
}

/// The chain of causes, already put into words: the SDK's own types are not kept in our errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Words(String);

pub(crate) fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        // io::Error hides what it wraps: its source is the source of the wrapped one.
        if let Some(inner) = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(found) = inner.downcast_ref::<T>()
        {
            return Some(found);
        }
        next = current.source();
    }
    None
}
