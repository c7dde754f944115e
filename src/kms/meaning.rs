//! From what the SDK and KMS say to what it means. Codes are those of the KMS API Reference, "Common errors" and of the calls.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::keys::KmsError;
use crate::observe::chain;
use crate::store::find;

/// What was asked.
pub(super) struct Call<'a> {
    pub(super) action: &'static str,
    pub(super) key: &'a str,
    pub(super) region: &'a str,
    pub(super) endpoint: &'a str,
}

impl Call<'_> {
    pub(super) fn refused(&self, said: &str) -> KmsError {
        KmsError::Refused { action: self.action, key: self.key.to_owned(), said: said.to_owned() }
    }

    /// What an answer means.
    fn answered(&self, status: u16, code: Option<&str>, message: Option<&str>) -> KmsError {
        let (action, key) = (self.action, self.key.to_owned());
        let named = code.map_or_else(|| format!("HTTP {status}"), str::to_owned);
        let said = match message.map(|message| message.trim_end_matches('.')) {
            Some(message) if !message.is_empty() => format!("{named}: {message}"),
            _ => named,
        };
        match code.unwrap_or_default() {
            "AccessDeniedException" => KmsError::Denied { action, key, said },
            "DisabledException" | "KMSInvalidStateException" => KmsError::OutOfUse { key, said },
            "NotFoundException" => KmsError::NoKey { key, region: self.region.to_owned(), said },
            "InvalidKeyUsageException" | "UnsupportedOperationException" => KmsError::OtherKind { key, said },
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature" => KmsError::Credentials { why: said },
            "ThrottlingException"
            | "LimitExceededException"
            | "KeyUnavailableException"
            | "DependencyTimeoutException"
            | "KMSInternalException" => KmsError::Busy { said },
            _ if status == 429 || status >= 500 => KmsError::Busy { said },
            _ => KmsError::Refused { action, key, said },
        }
    }
}

/// The meaning of a failed call.
pub(super) fn meaning<E>(call: &Call<'_>, error: &SdkError<E, HttpResponse>) -> KmsError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = error {
        return call.answered(service.raw().status().as_u16(), service.err().code(), service.err().message());
    }
    if let Some(credentials) = find::<CredentialsError>(error) {
        return KmsError::Credentials { why: chain(credentials) };
    }
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => {
            KmsError::Unreachable { endpoint: call.endpoint.to_owned(), why: chain(error) }
        }
        error => call.refused(&chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_told_with_what_to_do() {
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1";
        let call = Call { action: "kms:DeriveSharedSecret", key: arn, region: "eu-central-1", endpoint: "e" };
        for (status, code, words, passing, hint) in [
            (400, "AccessDeniedException", "denies kms:DeriveSharedSecret", false, "allow kms:DeriveSharedSecret"),
            (400, "DisabledException", "out of use", false, "enable the key"),
            (400, "KMSInvalidStateException", "out of use", false, "cancel its deletion"),
            (400, "NotFoundException", "in eu-central-1 has no key", false, "kms.region"),
            (400, "InvalidKeyUsageException", "another kind", false, "KEY_AGREEMENT"),
            (400, "ThrottlingException", "busy", true, "again"),
            (500, "KMSInternalException", "busy", true, "again"),
            (400, "ExpiredTokenException", "credentials", true, "kms.profile"),
        ] {
            let error = call.answered(status, Some(code), Some("as they say."));
            let told = error.to_string();
            assert!(told.contains(words) && told.contains(&format!("{code}: as they say")), "{told}");
            assert_eq!(error.is_passing(), passing, "{told}");
            assert!(error.hint().is_some_and(|advice| advice.contains(hint)), "{code}: {:?}", error.hint());
        }
        assert!(matches!(call.answered(503, None, None), KmsError::Busy { said } if said == "HTTP 503"));
        assert!(matches!(call.answered(400, Some("ValidationException"), None), KmsError::Refused { .. }));
    }
}
