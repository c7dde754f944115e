//! What the integration tests stand on: servers, proxies, temporary things.

pub(crate) mod clusters;
pub(crate) mod compare;
pub(crate) mod fixture;
pub(crate) mod gate;
pub(crate) mod host;
#[cfg(feature = "kms")]
pub(crate) mod kms;
pub(crate) mod ledger;
pub(crate) mod majors;
pub(crate) mod pki;
pub(crate) mod proxy;
pub(crate) mod scripted;
pub(crate) mod seed;
pub(crate) mod servers;
pub(crate) mod stores;

use std::time::Duration;

use secrecy::SecretString;
use stonewal::store::{S3Options, StaticCredentials};

/// One variable of the environment of the test run.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment which servers exist")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// How often a heavy test repeats what it does: `few`, or as the environment says.
pub(crate) fn rounds(few: u32) -> u32 {
    variable("STONEWAL_TEST_ROUNDS").map_or(few, |text| text.parse().expect("STONEWAL_TEST_ROUNDS is a number"))
}

/// Reports a test that cannot run here. Where everything must run, that is a failure.
pub(crate) fn skip(what: &str, why: &str) {
    assert!(variable("REQUIRE_ALL").is_none_or(|v| v != "1"), "{what} cannot run, and REQUIRE_ALL=1: {why}");
    println!("skipped: {what}: {why}");
    note_skip(&format!("{what}: {why}"));
}

/// Adds a line to the list that `scripts/test` prints at its end: runners hide what passing tests print.
fn note_skip(line: &str) {
    use std::io::Write as _;
    let Some(path) = variable("STONEWAL_TEST_SKIPS") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| writeln!(file, "{line}")).unwrap();
}

/// A client's options for a loopback server, patient for seconds only.
pub(crate) fn options(endpoint: &str, bucket: &str, access_key: &str, secret_key: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        deadline: Duration::from_mins(1),
        credentials: Some(StaticCredentials {
            access_key: access_key.to_owned(),
            secret_key: SecretString::from(secret_key),
            session_token: None,
        }),
        ..S3Options::new(bucket)
    }
}

/// The AWS SDK's own client, for what ours leaves out on purpose.
pub(crate) fn raw_client(endpoint: &str, user: &stonewal::store::embedded::Credentials) -> aws_sdk_s3::Client {
    use aws_sdk_s3::config::{Credentials, Region};
    use secrecy::ExposeSecret as _;
    let secret = user.secret_key.expose_secret();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .force_path_style(true)
        .credentials_provider(Credentials::new(&user.access_key, secret, None, None, "test"))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Shortens a governance lock, as only somebody with the bypass may.
pub(crate) async fn shorten(
    store: &stonewal::store::embedded::Server,
    bucket: &str,
    key: &str,
    until: jiff::Timestamp,
) {
    use aws_sdk_s3::primitives::DateTime;
    use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};
    let admin = store.credentials(stonewal::store::roles::Role::Admin).unwrap();
    let retention = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .retain_until_date(DateTime::from_secs(until.as_second()))
        .build();
    let put = raw_client(&store.endpoint(), &admin).put_object_retention().bucket(bucket).key(key);
    put.retention(retention).bypass_governance_retention(true).send().await.unwrap();
}

/// An attacker's plain delete, which lays a marker over whatever is locked.
pub(crate) async fn hide(store: &stonewal::store::embedded::Server, bucket: &str, key: &str) {
    let credentials = store.credentials(stonewal::store::roles::Role::Attacker).unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&credentials.secret_key).to_owned();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(store.endpoint())
        .region(aws_sdk_s3::config::Region::from_static("us-east-1"))
        .force_path_style(true)
        .credentials_provider(aws_sdk_s3::config::Credentials::new(&credentials.access_key, secret, None, None, "test"))
        .build();
    aws_sdk_s3::Client::from_conf(config).delete_object().bucket(bucket).key(key).send().await.unwrap();
}

/// Changes a byte of the file below `data` that holds `stored`, as a bad disk does; gives back which it is.
pub(crate) fn rot(data: &std::path::Path, stored: &[u8]) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| std::fs::read(path).unwrap() == stored).unwrap();
    let mut bytes = stored.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    file
}
