//! A key in LocalStack's KMS.

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use secrecy::SecretString;
use stonewal::kms::KmsOptions;
use stonewal::store::StaticCredentials;

use super::servers::LocalStack;

pub(crate) const REGION: &str = "eu-central-1";

/// What the administrator of the keys may do.
pub(crate) struct Keys {
    client: Client,
    endpoint: String,
}

impl Keys {
    pub(crate) fn of(server: &LocalStack) -> Self {
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&server.endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        Self { client: Client::from_conf(config.build()), endpoint: server.endpoint.clone() }
    }

    pub(crate) fn options(&self) -> KmsOptions {
        let secret_key = SecretString::from("test".to_owned());
        let credentials = StaticCredentials { access_key: "test".into(), secret_key, session_token: None };
        KmsOptions {
            endpoint: Some(self.endpoint.clone()),
            region: Some(REGION.into()),
            credentials: Some(credentials),
            ..KmsOptions::default()
        }
    }

    /// A key for agreements, and its alias.
    pub(crate) async fn agreeing(&self, alias: &str) -> (String, String) {
        let arn = self.key(KeySpec::EccNistP256, KeyUsageType::KeyAgreement).await;
        let alias = format!("alias/{alias}-{}", std::process::id());
        self.client.create_alias().alias_name(&alias).target_key_id(&arn).send().await.expect("an alias");
        (arn, alias)
    }

    /// The ARN of a key of this kind.
    pub(crate) async fn key(&self, spec: KeySpec, usage: KeyUsageType) -> String {
        let made = self.client.create_key().key_spec(spec).key_usage(usage).send().await.expect("a key");
        made.key_metadata.and_then(|key| key.arn).expect("its ARN")
    }

    /// From now on the key is out of use.
    pub(crate) async fn doom(&self, arn: &str) {
        self.client.schedule_key_deletion().key_id(arn).pending_window_in_days(7).send().await.expect("it is doomed");
    }
}
