//! What AWS KMS may answer instead of a secret, by what the operator can do about it.

/// A failed call to AWS KMS.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// The policies do not allow it.
    #[error("AWS KMS denies {action} for {key}: {said}")]
    Denied {
        /// IAM action.
        action: &'static str,
        /// The key.
        key: String,
        /// Code and message.
        said: String,
    },
    /// The key is disabled, waits for its deletion, or is otherwise out of use.
    #[error("key {key} of AWS KMS is out of use: {said}")]
    OutOfUse {
        /// The key.
        key: String,
        /// Code and message.
        said: String,
    },
    /// No such key, there.
    #[error("AWS KMS in {region} has no key {key}: {said}")]
    NoKey {
        /// The key.
        key: String,
        /// Where it was looked for.
        region: String,
        /// Code and message.
        said: String,
    },
    /// A key of another kind.
    #[error("key {key} of AWS KMS is of another kind: {said}")]
    OtherKind {
        /// The key.
        key: String,
        /// What it is.
        said: String,
    },
    /// Too many calls, or trouble at their end; it was tried again and again.
    #[error("AWS KMS is busy: {said}")]
    Busy {
        /// Code and message.
        said: String,
    },
    /// No answer.
    #[error("AWS KMS at {endpoint} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What happened.
        why: String,
    },
    /// Nobody to ask as, or nobody whom KMS knows.
    #[error("there are no credentials that AWS KMS takes: {why}")]
    Credentials {
        /// What the providers or KMS said.
        why: String,
    },
    /// The client cannot be set up.
    #[error("AWS KMS: {0}")]
    Setup(String),
    /// Anything else.
    #[error("AWS KMS refuses {action} for {key}: {said}")]
    Refused {
        /// IAM action.
        action: &'static str,
        /// The key.
        key: String,
        /// Code and message.
        said: String,
    },
}

impl KmsError {
    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        const OTHER_WAY: &str = "the passphrase and recovery files open backups without KMS";
        Some(match self {
            Self::Denied { action, .. } => {
                format!(
                    "allow {action} in the key's policy and to these credentials (kms.profile, or the usual ones); {OTHER_WAY}"
                )
            }
            Self::OutOfUse { .. } => format!(
                "enable the key, or cancel its deletion, in AWS KMS: once it is deleted, what is wrapped to it alone is lost; {OTHER_WAY}"
            ),
            Self::NoKey { .. } => {
                "check the key and its region (kms.region; a multi-Region key has a replica in another one)".into()
            }
            Self::OtherKind { .. } => {
                "make one with `aws kms create-key --key-spec ECC_NIST_P256 --key-usage KEY_AGREEMENT`".into()
            }
            Self::Busy { .. } => "run the command again; a quota of requests may be exceeded".into(),
            Self::Unreachable { .. } => {
                format!("check the network, the proxy and kms.endpoint (or AWS_ENDPOINT_URL_KMS); {OTHER_WAY}")
            }
            Self::Credentials { .. } => {
                "set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or kms.profile".into()
            }
            Self::Setup(_) | Self::Refused { .. } => return None,
        })
    }

    /// Whether it may be otherwise in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unreachable { .. } | Self::Credentials { .. })
    }
}
