//! Two calls of AWS KMS: which public half a key has, and what its secret half agrees on.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyAgreementAlgorithmSpec, KeySpec, KeyUsageType};
use tokio::sync::{OnceCell, Semaphore};
use zeroize::Zeroizing;

use super::KmsOptions;
use super::meaning::{Call, meaning};
use crate::keys::{Agreed, Agreement, KmsError, KmsKey, Point};
use crate::limits::{KMS_ATTEMPTS, KMS_DEADLINE_SECONDS, KMS_IN_FLIGHT, KMS_PAUSE_MILLIS, STORE_CONNECT_SECONDS};
use crate::store::{aws_endpoint, fixed_credentials, http_client};

/// Before a point of P-256, uncompressed, in DER as SubjectPublicKeyInfo (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Asks KMS; connects with the first question, to the region of its key.
pub(super) struct Client {
    options: KmsOptions,
    connected: OnceCell<Connected>,
    room: Semaphore,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(options: KmsOptions) -> Self {
        Self { options, connected: OnceCell::new(), room: Semaphore::new(KMS_IN_FLIGHT) }
    }
}

#[async_trait]
impl Agreement for Client {
    async fn agree(&self, key: &KmsKey, point: &Point) -> Result<Agreed, KmsError> {
        let region = self.options.region.as_deref().unwrap_or(key.region());
        let connected = self.connected.get_or_try_init(|| Connected::to(&self.options, Some(region))).await?;
        let arn = key.arn_in(region);
        let _room = self.room.acquire().await;
        let call = connected.client.derive_shared_secret().key_id(&arn);
        let call = call.key_agreement_algorithm(KeyAgreementAlgorithmSpec::Ecdh);
        let answer = call.public_key(Blob::new([SPKI.as_slice(), point].concat())).send().await;
        let of = connected.call("kms:DeriveSharedSecret", &arn);
        let answer = answer.map_err(|error| meaning(&of, &error))?;
        let secret = Zeroizing::new(answer.shared_secret.map(Blob::into_inner).unwrap_or_default());
        Agreed::new(&secret).ok_or_else(|| of.refused("its answer holds no secret of 32 bytes"))
    }
}

/// Which key `name` stands for, and its public half.
pub(super) async fn look_up(options: &KmsOptions, name: &str) -> Result<KmsKey, KmsError> {
    let named = name.starts_with("arn:").then(|| name.split(':').nth(3)).flatten();
    let connected = Connected::to(options, named.or(options.region.as_deref())).await?;
    let answer = connected.client.get_public_key().key_id(name).send().await;
    let of = connected.call("kms:GetPublicKey", name);
    let answer = answer.map_err(|error| meaning(&of, &error))?;
    let (Some(spec), Some(usage)) = (&answer.key_spec, &answer.key_usage) else {
        return Err(of.refused("its answer does not say what kind of key it is"));
    };
    if (spec, usage) != (&KeySpec::EccNistP256, &KeyUsageType::KeyAgreement) {
        let said = format!("its spec is {} and its usage {}", spec.as_str(), usage.as_str());
        return Err(KmsError::OtherKind { key: name.to_owned(), said });
    }
    let point = answer.public_key.as_ref().and_then(|der| der.as_ref().strip_prefix(&SPKI)).unwrap_or_default();
    KmsKey::new(answer.key_id.as_deref().unwrap_or_default(), point)
        .map_err(|_| of.refused("its answer names no key, or a public half that is no point of P-256"))
}

struct Connected {
    client: aws_sdk_kms::Client,
    region: String,
    endpoint: String,
}

impl Connected {
    async fn to(options: &KmsOptions, region: Option<&str>) -> Result<Self, KmsError> {
        let shared = load(options, region).await?;
        let region = shared.region().map(ToString::to_string);
        let region = region.ok_or_else(|| {
            KmsError::Setup("no region is known: give the key's ARN, or set kms.region or AWS_REGION".into())
        })?;
        let endpoint = options.endpoint.clone().or_else(|| aws_endpoint(&shared, "KMS"));
        let mut config = aws_sdk_kms::config::Builder::from(&shared);
        config.set_endpoint_url(endpoint.clone());
        let client = aws_sdk_kms::Client::from_conf(config.build());
        Ok(Self { client, endpoint: endpoint.unwrap_or_else(|| region.clone()), region })
    }

    fn call<'a>(&'a self, action: &'static str, key: &'a str) -> Call<'a> {
        Call { action, key, region: &self.region, endpoint: &self.endpoint }
    }
}

/// The AWS chain of settings, tried again by the SDK: KMS counts the calls of all an account's users together.
async fn load(options: &KmsOptions, region: Option<&str>) -> Result<SdkConfig, KmsError> {
    let http = http_client(options.ca_file.as_deref(), options.endpoint.as_deref());
    let http = http.map_err(|error| KmsError::Setup(error.to_string()))?;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(STORE_CONNECT_SECONDS))
        .operation_timeout(Duration::from_secs(KMS_DEADLINE_SECONDS));
    let retries = RetryConfig::standard().with_max_attempts(KMS_ATTEMPTS);
    let retries = retries.with_initial_backoff(Duration::from_millis(KMS_PAUSE_MILLIS));
    let region = region.map(|region| Region::new(region.to_owned()));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(retries)
        .timeout_config(timeouts.build());
    if let Some(profile) = &options.profile {
        let provider = ProviderConfig::empty().with_http_client(http).with_region(region.clone());
        let of_profile = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile);
        loader = loader.profile_name(profile).credentials_provider(of_profile.build());
    }
    if let Some(region) = region {
        loader = loader.region(region);
    }
    if let Some(fixed) = &options.credentials {
        loader = loader.credentials_provider(fixed_credentials(fixed));
    }
    Ok(loader.load().await)
}
