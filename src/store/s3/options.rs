//! What a connection to a bucket needs to know.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::Checksum;
use crate::limits::{STORE_ATTEMPTS_DEFAULT, STORE_DEADLINE_SECONDS_DEFAULT, STORE_STALL_SECONDS};

/// Bucket, endpoint and behaviour of an [`S3`](super::S3) client. What is `None` is taken from where the AWS tools take it:
/// `AWS_*` variables, the shared config and credentials files, web identity, SSO, instance metadata.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Name of the bucket.
    pub bucket: String,
    /// URL of an S3-compatible store; `None` is `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, the profile's, or AWS.
    pub endpoint: Option<String>,
    /// Signing region. With a custom endpoint and no region anywhere, `us-east-1`.
    pub region: Option<String>,
    /// Profile of the shared config files.
    pub profile: Option<String>,
    /// Whether credentials come from that profile alone, whatever the variables say: for a second set of credentials
    /// beside the usual ones.
    pub profile_only: bool,
    /// Bucket in the path instead of the host name; `None` is yes for a custom endpoint and no for AWS.
    pub path_style: Option<bool>,
    /// PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Checksum sent with every object.
    pub checksum: Checksum,
    /// Time for one whole request, retries included.
    pub deadline: Duration,
    /// How long a request may make no progress before it is sent again; a connection opens sooner or not at all.
    pub stall: Duration,
    /// Tries of one request, within the deadline.
    pub attempts: u32,
    /// A fixed key pair instead of the AWS chain: for tests, the demo and the embedded store.
    pub credentials: Option<StaticCredentials>,
}

impl S3Options {
    /// Everything from the environment and the defaults.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            endpoint: None,
            region: None,
            profile: None,
            profile_only: false,
            path_style: None,
            ca_file: None,
            checksum: Checksum::default(),
            deadline: Duration::from_secs(STORE_DEADLINE_SECONDS_DEFAULT),
            stall: Duration::from_secs(STORE_STALL_SECONDS),
            attempts: STORE_ATTEMPTS_DEFAULT,
            credentials: None,
        }
    }
}

/// A fixed key pair.
#[derive(Clone, Debug)]
pub struct StaticCredentials {
    /// Access key id; not a secret.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: SecretString,
    /// Session token of temporary credentials.
    pub session_token: Option<SecretString>,
}
