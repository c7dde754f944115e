//! Building the client: where, as whom, and over which connections.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, Credentials, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
    SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_types::os_shim_internal::{Env, Fs};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;

use super::super::{Error, Result, StoreClock};
use super::{S3, S3Options, StaticCredentials, wire};
use crate::limits::STORE_CONNECT_SECONDS;
use crate::observe::chain;

/// What the AWS tools sign with when a custom endpoint names no region.
const REGION_FALLBACK: &str = "us-east-1";

impl S3 {
    /// Reads configuration and certificates; no request is made to the store yet. Looking for credentials happens at the
    /// first request, so that a missing credential is reported for what it is.
    pub async fn connect(options: S3Options) -> Result<Self> {
        if options.bucket.is_empty() || options.attempts == 0 || options.deadline.is_zero() {
            return Err(Error::Setup(
                "the bucket name, the number of attempts and the deadline must not be empty".into(),
            ));
        }
        if let Some(endpoint) = options.endpoint.as_deref().filter(|url| !has_scheme(url)) {
            return Err(Error::Setup(format!("endpoint {endpoint} is not a URL: it starts with http:// or https://")));
        }
        let http = http_client(options.ca_file.as_deref(), options.endpoint.as_deref())?;
        let clock = Arc::new(StoreClock::default());
        let shared = load(&options, http, wire::StoreTime(clock.clone())).await;
        let contact = Arc::new(wire::Contact::default());
        let endpoint = options.endpoint.clone().or_else(|| aws_endpoint(&shared, "S3"));
        let region = shared.region().map_or_else(
            || endpoint.as_ref().map(|_| REGION_FALLBACK.to_owned()).ok_or_else(no_region),
            |region| Ok(region.as_ref().to_owned()),
        )?;
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .region(Region::new(region.clone()))
            .force_path_style(options.path_style.unwrap_or(endpoint.is_some()))
            .interceptor(wire::Observer { clock: clock.clone(), contact: contact.clone() })
            .interceptor(wire::DocumentChecksum(options.checksum));
        config.set_endpoint_url(endpoint.clone());
        Ok(Self {
            client: aws_sdk_s3::Client::from_conf(config.build()),
            bucket: options.bucket,
            endpoint: endpoint.unwrap_or_else(|| format!("AWS S3 in {region}")),
            region,
            checksum: options.checksum,
            deadline: options.deadline,
            stall: options.stall,
            attempts: options.attempts,
            clock,
            contact,
            failed: Mutex::default(),
        })
    }
}

impl S3Options {
    /// Whether the profile that alone gives the credentials is written down: one that nobody wrote down is a mistake in the
    /// configuration. For whoever changes something with it; a restore goes on without a replica that it cannot ask.
    pub async fn check_profile(&self) -> Result<()> {
        let Some(profile) = self.profile.as_deref().filter(|_| self.profile_only) else { return Ok(()) };
        let files = EnvConfigFiles::default();
        let known = aws_config::profile::load(&Fs::real(), &Env::real(), &files, None).await;
        let known = known.map_err(|error| Error::Setup(chain(&error)))?;
        match known.get_profile(profile) {
            Some(_) => Ok(()),
            None => Err(Error::Setup(format!(
                "there is no profile {profile:?} in the AWS configuration files, which retention.profile or the profile of a replica names"
            ))),
        }
    }
}

fn no_region() -> Error {
    Error::Setup("no region is configured: set region, AWS_REGION or the profile's region".into())
}

/// The AWS chain of settings. Retries and stall watching are switched off here because `retry` and `body` do them;
/// the SDK's checksum calculation is off because it would come as a trailer or not at all. Its skew correction is off because
/// the store's time is its time: for signatures, and for when credentials expire.
async fn load(options: &S3Options, http: SharedHttpClient, time: wire::StoreTime) -> SdkConfig {
    let connect_timeout = Duration::from_secs(STORE_CONNECT_SECONDS).min(options.stall);
    let provider = ProviderConfig::empty().with_http_client(http.clone()).with_time_source(time.clone());
    let mut loader: ConfigLoader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .time_source(time)
        .disable_clock_skew_correction(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect_timeout).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Ok(name) = AppName::new("stonewal") {
        loader = loader.app_name(name);
    }
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    } else if options.endpoint.is_some() {
        loader = loader.region(region_without_metadata(options.profile.as_deref()));
    }
    if let Some(profile) = options.profile.as_ref().filter(|_| options.profile_only) {
        let region = options.region.clone().map(Region::new);
        let of_profile = ProfileFileCredentialsProvider::builder().configure(&provider.with_region(region));
        loader = loader.credentials_provider(of_profile.profile_name(profile).build());
    }
    if let Some(fixed) = &options.credentials {
        loader = loader.credentials_provider(fixed_credentials(fixed));
    }
    loader.load().await
}

/// Environment, profile, fallback: a store of one's own is no reason to ask the cloud's metadata service for a region.
fn region_without_metadata(profile: Option<&str>) -> RegionProviderChain {
    let mut from_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        from_profile = from_profile.profile_name(profile);
    }
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(from_profile.build())
        .or_else(Region::from_static(REGION_FALLBACK))
}

pub(crate) fn fixed_credentials(fixed: &StaticCredentials) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(
        fixed.access_key.clone(),
        fixed.secret_key.expose_secret(),
        fixed.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
        None,
        "stonewal",
    ))
}

/// The SDK keeps the endpoint it resolved to itself; path style and error texts need it too.
pub(crate) fn aws_endpoint(shared: &SdkConfig, service: &'static str) -> Option<String> {
    use aws_types::service_config::ServiceConfigKey;
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let specific = shared.service_config().zip(key.ok()).and_then(|(config, key)| config.load_config(key));
    specific.or_else(|| shared.endpoint_url().map(str::to_owned))
}

/// What an endpoint names, however it is written: host and port, or the partition of AWS.
pub(super) fn place(endpoint: &str) -> String {
    let lower = endpoint.trim().to_ascii_lowercase();
    let host = lower.split_once("://").map_or(lower.as_str(), |(_, host)| host).trim_end_matches('/');
    let bare = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host).trim_end_matches('.');
    if !bare.starts_with("aws s3 in ") && !bare.contains(".amazonaws.com") {
        return bare.to_owned();
    }
    let partition = ["cn-", "us-gov-", "-iso"].into_iter().find(|mark| bare.contains(mark));
    format!("aws {}", partition.unwrap_or_default())
}

/// One HTTP client for the store and for credential providers: rustls on ring, the system's roots plus our CA file, and
/// the proxy of the environment, except towards the local host.
pub(crate) fn http_client(ca_file: Option<&Path>, endpoint: Option<&str>) -> Result<SharedHttpClient> {
    let mut trust = TrustStore::empty().with_native_roots(has_native_roots());
    if let Some(path) = ca_file {
        trust = trust.with_pem_certificate(read_certificates(path)?);
    }
    let tls = TlsContext::builder().with_trust_store(trust).build();
    let tls = tls.map_err(|error| Error::Setup(format!("TLS settings: {error}")))?;
    let local = endpoint.is_some_and(is_loopback);
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector =
            Connector::builder().tls_provider(Provider::rustls(CryptoMode::Ring)).tls_context(tls.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(if local { ProxyConfig::disabled() } else { ProxyConfig::from_env() }));
        connector.build()
    }))
}

/// A slim container has no system roots; the HTTP client takes an empty set for a programming error.
fn has_native_roots() -> bool {
    // Hundreds of files are read for it, and a process connects to several stores.
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs).0 > 0
    })
}

/// Reads and checks the CA file, because the HTTP client takes a bad one for a programming error.
fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let bad = |why: String| Error::Setup(format!("CA file {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(format!("not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("it holds no certificate".into()));
    }
    Ok(pem)
}

fn has_scheme(endpoint: &str) -> bool {
    let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}

fn is_loopback(endpoint: &str) -> bool {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PAINS F3: a repository is no copy of itself, whatever its endpoint is called.
    #[test]
    fn f03_places_are_known_however_they_are_written() {
        for (one, other, same) in [
            ("http://Store.example:9000/", "http://store.example:9000", true),
            ("https://store.example:443", "https://store.example", true),
            ("https://store.example", "https://store.example:9000", false),
            ("AWS S3 in eu-west-1", "AWS S3 in us-east-1", true),
            ("AWS S3 in eu-west-1", "https://s3.eu-west-1.amazonaws.com/", true),
            ("AWS S3 in cn-north-1", "AWS S3 in us-east-1", false),
            ("AWS S3 in eu-west-1", "https://store.example", false),
        ] {
            assert_eq!(place(one) == place(other), same, "{one} {other}");
        }
    }

    #[test]
    fn the_local_host_is_known_in_every_spelling() {
        for local in ["http://localhost:9000", "https://127.0.0.1", "http://127.1.2.3:1/x", "http://[::1]:9000"] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in
            ["http://localhost.example.com", "https://s3.eu-west-1.amazonaws.com", "http://[2001:db8::1]:9000"]
        {
            assert!(!is_loopback(remote), "{remote}");
        }
    }

    #[tokio::test]
    async fn what_cannot_work_is_refused_before_any_request() {
        let options = S3Options { endpoint: Some("http://127.0.0.1:9".into()), ..S3Options::new("vault") };
        let dir = tempfile::tempdir().unwrap();
        let junk = dir.path().join("junk.pem");
        std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let cases = [
            (S3Options { bucket: String::new(), ..options.clone() }, "bucket name"),
            (S3Options { attempts: 0, ..options.clone() }, "attempts"),
            (S3Options { endpoint: Some("localhost:9000".into()), ..options.clone() }, "localhost:9000 is not a URL"),
            (S3Options { ca_file: Some(dir.path().join("none.pem")), ..options.clone() }, "none.pem"),
            (S3Options { ca_file: Some(junk), ..options.clone() }, "junk.pem"),
            (S3Options { ca_file: Some(empty), ..options }, "no certificate"),
        ];
        for (options, words) in cases {
            let error = S3::connect(options).await.expect_err(words);
            assert!(matches!(error, Error::Setup(_)) && error.to_string().contains(words), "{words}: {error}");
        }
    }
}
