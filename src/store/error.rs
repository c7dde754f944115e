//! What went wrong at the store, by meaning. Provider codes stay in the text.

use std::sync::Arc;

use super::{ObjectKey, VersionId};

/// Result of a store call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed store call, named after what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The version does not exist, and the answer was authorised: a proof of absence.
    #[error("object {key} does not exist{}", version.as_ref().map(|v| format!(" in version {v}")).unwrap_or_default())]
    NotFound {
        /// Key asked for.
        key: ObjectKey,
        /// Version asked for.
        version: Option<VersionId>,
    },
    /// The bucket does not exist.
    #[error("bucket {bucket} does not exist at {endpoint}")]
    NoBucket {
        /// Its name.
        bucket: String,
        /// Where we looked.
        endpoint: String,
    },
    /// The credentials are known but may not do this; says nothing about existence.
    #[error("{action} on {target} is denied{}", code_suffix(code))]
    Denied {
        /// S3 action, as IAM spells it (`s3:PutObject`).
        action: &'static str,
        /// Key or bucket.
        target: String,
        /// Code and message of the store.
        code: String,
    },
    /// The credentials are unknown, malformed or wrong.
    #[error("the store does not accept the credentials{}", code_suffix(code))]
    Credentials {
        /// Code and message of the store, or of the credentials provider.
        code: String,
    },
    /// None were found: no variable, profile, role or metadata service gave any.
    #[error("no credentials for the store were found{}", code_suffix(why))]
    NoCredentials {
        /// What the providers said.
        why: String,
    },
    /// The credentials were valid once.
    #[error("the credentials have expired{}", code_suffix(code))]
    Expired {
        /// Code and message of the store.
        code: String,
    },
    /// The bucket lives in another region.
    #[error("bucket {bucket} is in region {actual}, not {asked}")]
    WrongRegion {
        /// Its name.
        bucket: String,
        /// Region configured.
        asked: String,
        /// Region the store names, if it does.
        actual: String,
    },
    /// No answer: name resolution, connection or TLS failed on every attempt.
    #[error("no connection to {endpoint}")]
    Unreachable {
        /// Where we tried.
        endpoint: String,
        /// The transport's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The deadline for the whole request, retries included, has passed.
    #[error("{action} on {target} did not finish within {seconds} s{}", code_suffix(last))]
    Deadline {
        /// S3 action.
        action: &'static str,
        /// Key or bucket.
        target: String,
        /// The deadline.
        seconds: u64,
        /// Tries made and what the last failed one met.
        last: String,
    },
    /// The store keeps answering "slow down" or 5xx after every retry.
    #[error("{action} on {target}: the store is busy or failing{}", code_suffix(code))]
    Busy {
        /// S3 action.
        action: &'static str,
        /// Key or bucket.
        target: String,
        /// Code and message of the store.
        code: String,
    },
    /// The clocks differ so much that signatures are refused.
    #[error("the store refuses the request time; its clock is {skew_seconds} s ahead of this host")]
    Skew {
        /// Measured skew in seconds, negative when the store is behind.
        skew_seconds: i64,
    },
    /// What was received is not what was stored or asked for.
    #[error("{target}: {what}")]
    Corrupt {
        /// Key or bucket.
        target: String,
        /// The difference.
        what: String,
    },
    /// The store refuses the request as lacking a lock, a checksum or a feature.
    #[error("{action} on {target} is refused{}", code_suffix(code))]
    Refused {
        /// S3 action.
        action: &'static str,
        /// Key or bucket.
        target: String,
        /// Code and message of the store.
        code: String,
    },
    /// The object is there, and in an archive tier.
    #[error("{target} lies in an archive tier and cannot be read before it was thawed{}", code_suffix(code))]
    Frozen {
        /// Its key.
        target: String,
        /// Code and message of the store.
        code: String,
    },
    /// One of several sides did not answer, so what it has is not known: never a proof of absence.
    #[error("{side} was not heard about {target}")]
    Unheard {
        /// The side.
        side: String,
        /// Key or listing.
        target: String,
        /// Its failure.
        #[source]
        source: Arc<Error>,
    },
    /// The client could not be built: certificate files, endpoint, region.
    #[error("{0}")]
    Setup(String),
}

impl Error {
    /// Whether asking again later, unchanged, can help.
    pub fn is_permanent(&self) -> bool {
        if let Self::Unheard { source, .. } = self {
            return source.is_permanent();
        }
        !matches!(self, Self::Unreachable { .. } | Self::Deadline { .. } | Self::Busy { .. } | Self::Corrupt { .. })
    }

    /// Whether it is this one object that cannot be read, and others may well be: gone meanwhile, sealed under a key of
    /// someone else's, in an archive, damaged, or on a side that fails while another answers.
    pub fn is_about_the_object(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::Denied { .. }
                | Self::Refused { .. }
                | Self::Corrupt { .. }
                | Self::Frozen { .. }
                | Self::Unheard { .. }
        )
    }

    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "the object was never written, or its lock has expired and it was deleted; `stonewal verify` names all that is missing".into(),
            Self::NoBucket { .. } => "check the repository URL and the endpoint, or create the bucket with `stonewal init`".into(),
            Self::Denied { action, .. } => format!("allow {action} for these credentials; README.md lists what each role needs"),
            Self::Credentials { .. } | Self::NoCredentials { .. } => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached".into(),
            Self::Expired { .. } => "renew the session (for example `aws sso login`) or use a provider that refreshes by itself".into(),
            Self::WrongRegion { actual, .. } => format!("set region = \"{actual}\" (or AWS_REGION)"),
            Self::Unreachable { .. } => "check the endpoint URL, DNS, firewall, proxy and, for https, the CA file".into(),
            Self::Deadline { .. } | Self::Busy { .. } => "nothing was published; run the command again when the store answers".into(),
            Self::Frozen { .. } => "`stonewal restore … --thaw` requests everything that a restore needs from the archive (S3 RestoreObject), waits until it is readable, in minutes to days, and goes on; with --plan --thaw it only requests it. `stonewal restore base --plan` counts what lies there. Let lifecycle rules move backups to GLACIER_IR or STANDARD_IA instead".into(),
            Self::Skew { .. } => "synchronise this host's clock (NTP)".into(),
            Self::Corrupt { .. } => "run `stonewal verify --level checksum` and keep its output".into(),
            Self::Unheard { source, .. } => {
                let first = source.hint().map_or_else(String::new, |hint| format!("{hint}. "));
                format!("{first}What it may have is not called absent. If it is gone for good, say so: from_replica = \"NAME\" reads one replica alone; a replica is given up by removing its section (docs/RUNBOOK.md)")
            }
            Self::Refused { .. } | Self::Setup(_) => return None,
        })
    }
}

fn code_suffix(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(": {code}") }
}
