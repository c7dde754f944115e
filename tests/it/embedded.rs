//! The embedded store, driven by the AWS SDK and by raw sockets.

mod buckets;
mod durability;
mod frost;
mod integrity;
mod listing;
mod locks;
mod multipart;
mod objects;
mod roles;
mod serving;
mod settings;
mod signatures;
mod throughput;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::Engine as _;
use secrecy::ExposeSecret as _;
use stonewal::store::embedded::{Credentials, Options, Server};
use stonewal::store::roles::Role;

/// A bucket with Object Lock, made by [`Fixture::new`].
const BUCKET: &str = "vault";
/// A bucket without versioning or Object Lock.
const PLAIN: &str = "plain";

/// A running server with two buckets, and a signing clock that follows the server's.
struct Fixture {
    root: tempfile::TempDir,
    server: Server,
    clock: SigningClock,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut options = Options::new(root.path().join("store"));
        options.request_log = Some(root.path().join("requests.jsonl"));
        change(&mut options);
        let clock = SigningClock(Arc::new(AtomicI64::new(options.clock_offset.as_secs())));
        let server = Server::start(options).await.unwrap();
        let fixture = Self { root, server, clock };
        let admin = fixture.client(Role::Admin);
        admin.create_bucket().bucket(BUCKET).object_lock_enabled_for_bucket(true).send().await.unwrap();
        admin.create_bucket().bucket(PLAIN).send().await.unwrap();
        fixture
    }

    fn client(&self, role: Role) -> Client {
        self.client_of(&self.server.credentials(role).unwrap(), None)
    }

    fn client_of(&self, credentials: &Credentials, token: Option<&str>) -> Client {
        client(&self.server.endpoint(), self.server.region(), credentials, token, self.clock.clone())
    }

    /// Time passes for the store and for the clients that sign.
    fn advance(&self, by: Duration) {
        self.server.advance_clock(by);
        self.clock.0.fetch_add(i64::try_from(by.as_secs()).unwrap(), Ordering::SeqCst);
    }

    /// The store's time `seconds` from now.
    fn later(&self, seconds: i64) -> DateTime {
        DateTime::from_secs(DateTime::from(self.clock.now()).secs() + seconds)
    }

    fn log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.root.path().join("requests.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }
}

#[derive(Clone, Debug)]
struct SigningClock(Arc<AtomicI64>);

impl TimeSource for SigningClock {
    #[expect(clippy::disallowed_methods, reason = "the client's clock is the host's, moved by the test")]
    fn now(&self) -> SystemTime {
        let offset = self.0.load(Ordering::SeqCst);
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    }
}

fn client(endpoint: &str, region: &str, credentials: &Credentials, token: Option<&str>, clock: SigningClock) -> Client {
    let (access_key, secret) = (credentials.access_key.clone(), credentials.secret_key.expose_secret().to_owned());
    let credentials = aws_sdk_s3::config::Credentials::new(access_key, secret, token.map(Into::into), None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(region.to_owned()))
        .force_path_style(true)
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .time_source(clock)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// `ok`, or the error's code; an error without a body (HEAD) gives its status.
fn outcome<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E, HttpResponse>>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => {
            let status = error.raw_response().map(|response| response.status().as_u16());
            match error.code() {
                Some(code) if code != "NotFound" => code.to_owned(),
                _ => status.map_or_else(|| format!("{:?}", error.message()), |status| status.to_string()),
            }
        }
    }
}

fn crc64(body: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, body);
    base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes())
}

/// A PUT as stonewal makes it, without lock headers.
fn put(client: &Client, key: &str, body: &[u8]) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
    client.put_object().bucket(BUCKET).key(key).checksum_crc64_nvme(crc64(body)).body(ByteStream::from(body.to_vec()))
}

/// Puts and returns the version id.
async fn put_version(client: &Client, key: &str, body: &[u8]) -> String {
    put(client, key, body).send().await.unwrap().version_id.unwrap()
}
