//! AWS KMS, asked for what only the secret half of one of its keys can tell.
//!
//! The client is built with the feature `kms`. Without it everything else is as with it: data keys are wrapped to keys in KMS,
//! which takes their public halves alone, and what only KMS opens stays shut.

use std::path::PathBuf;
use std::sync::Arc;

use crate::keys::{self, Agreement, KmsKey};
use crate::store::StaticCredentials;

#[cfg(feature = "kms")]
mod client;
#[cfg(feature = "kms")]
mod meaning;

/// Where KMS is and as whom to ask. What is `None` is taken from where the AWS tools take it.
#[derive(Clone, Debug, Default)]
pub struct KmsOptions {
    /// URL of another service that speaks its protocol; `None` is `AWS_ENDPOINT_URL_KMS`, `AWS_ENDPOINT_URL`, the profile's, or AWS.
    pub endpoint: Option<String>,
    /// Region; `None` is that of the key.
    pub region: Option<String>,
    /// Profile whose credentials count alone, whatever the variables say.
    pub profile: Option<String>,
    /// PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// A fixed key pair instead of the AWS chain: for tests.
    pub credentials: Option<StaticCredentials>,
}

/// Who asks KMS; `None` in a build that cannot. Nothing is asked before there is a question.
pub fn service(options: KmsOptions) -> Option<Arc<dyn Agreement>> {
    #[cfg(feature = "kms")]
    {
        Some(Arc::new(client::Client::new(options)))
    }
    #[cfg(not(feature = "kms"))]
    {
        drop(options);
        None
    }
}

/// The key that `name` stands for: its id, its ARN, an alias or the ARN of one.
pub async fn look_up(options: &KmsOptions, name: &str) -> keys::Result<KmsKey> {
    #[cfg(feature = "kms")]
    {
        Ok(client::look_up(options, name).await?)
    }
    #[cfg(not(feature = "kms"))]
    {
        let _ = (options, name);
        std::future::ready(Err(keys::Error::NoKms)).await
    }
}

#[cfg(all(test, not(feature = "kms")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_without_it_names_the_feature() {
        assert!(service(KmsOptions::default()).is_none());
        let refused = look_up(&KmsOptions::default(), "alias/backups").await.unwrap_err();
        let told = (refused.to_string(), refused.hint().unwrap_or_default());
        assert!(told.0.contains("the feature `kms`") && told.1.contains("--features kms"), "{told:?}");
    }
}
