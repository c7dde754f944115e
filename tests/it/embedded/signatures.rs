//! Who is let in: signatures, clocks, regions, sessions.

use std::time::Duration;

use aws_smithy_async::time::TimeSource as _;
use jiff::{SignedDuration, Timestamp};
use ring::{digest, hmac};
use secrecy::ExposeSecret as _;
use stonewal::store::embedded::{Credentials, Session, User};
use stonewal::store::roles::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{BUCKET, Fixture, SigningClock, client, outcome, put};

#[tokio::test]
async fn unknown_users_and_wrong_secrets() {
    let fixture = Fixture::new().await;
    let right = fixture.server.credentials(Role::Reader).unwrap();
    let list = async |credentials: &Credentials| {
        let client = fixture.client_of(credentials, None);
        outcome(client.list_objects_v2().bucket(BUCKET).send().await)
    };
    let unknown = Credentials { access_key: "AKIAUNKNOWN".into(), secret_key: "x".into() };
    assert_eq!(list(&unknown).await, "InvalidAccessKeyId");
    let wrong = Credentials { access_key: right.access_key.clone(), secret_key: "wrong".into() };
    assert_eq!(list(&wrong).await, "SignatureDoesNotMatch");
    assert_eq!(list(&right).await, "ok");
}

#[tokio::test]
async fn requests_for_another_region_name_the_right_one() {
    let fixture = Fixture::with(|options| options.region = "eu-central-1".into()).await;
    let admin = fixture.server.credentials(Role::Admin).unwrap();
    let other = client(&fixture.server.endpoint(), "us-east-1", &admin, None, fixture.clock.clone());
    let error = other.list_objects_v2().bucket(BUCKET).send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().headers().get("x-amz-bucket-region"), Some("eu-central-1"));
    let text = format!("{error:?}");
    assert!(text.contains("AuthorizationHeaderMalformed") && text.contains("expecting 'eu-central-1'"), "{text}");
    let head = fixture.client(Role::Admin).head_bucket().bucket(BUCKET).send().await.unwrap();
    assert_eq!(head.bucket_region(), Some("eu-central-1"));
    let location = fixture.client(Role::Admin).get_bucket_location().bucket(BUCKET).send().await.unwrap();
    assert_eq!(location.location_constraint().unwrap().as_str(), "eu-central-1");
}

#[tokio::test]
async fn a_store_whose_clock_is_days_off() {
    for days in [-2, 2] {
        let fixture = Fixture::with(|options| options.clock_offset = SignedDuration::from_hours(24 * days)).await;
        let writer = fixture.server.credentials(Role::Writer).unwrap();
        let honest = SigningClock(std::sync::Arc::default());
        let skewed = client(&fixture.server.endpoint(), fixture.server.region(), &writer, None, honest);
        let error = skewed.list_objects_v2().bucket(BUCKET).send().await.unwrap_err();
        let date = error.raw_response().unwrap().headers().get("date").unwrap().to_owned();
        assert_eq!(outcome::<(), _>(Err(error)), "RequestTimeTooSkewed");
        let store_time = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp().as_second();
        assert!((store_time - fixture.later(0).secs()).abs() <= 5, "Date is the store's time: {date}");
        // A client that signs with the store's time is let in, and locks follow that time.
        let writer = fixture.client(Role::Writer);
        let stored = put(&writer, "k", b"x")
            .object_lock_mode(aws_sdk_s3::types::ObjectLockMode::Governance)
            .object_lock_retain_until_date(fixture.later(60));
        stored.send().await.unwrap();
        let head = writer.head_object().bucket(BUCKET).key("k").send().await.unwrap();
        assert!((head.last_modified().unwrap().secs() - fixture.later(0).secs()).abs() <= 5);
    }
}

#[tokio::test]
async fn sessions_need_their_token_and_end() {
    let credentials = Credentials { access_key: "ASIASESSION".into(), secret_key: "a-secret".into() };
    let expires = host_time() + SignedDuration::from_secs(60);
    let session = Session { token: "the-token".into(), expires };
    let user = User { credentials: credentials.clone(), role: Role::Reader, session: Some(session) };
    let fixture = Fixture::with(|options| options.users.push(user)).await;
    let list = async |token: Option<&str>| {
        outcome(fixture.client_of(&credentials, token).list_objects_v2().bucket(BUCKET).send().await)
    };
    assert_eq!(list(Some("the-token")).await, "ok");
    assert_eq!(list(Some("another")).await, "InvalidToken");
    assert_eq!(list(None).await, "InvalidToken");
    fixture.advance(Duration::from_secs(61));
    assert_eq!(list(Some("the-token")).await, "ExpiredToken");
    let reader = fixture.server.credentials(Role::Reader).unwrap();
    let stray = fixture.client_of(&reader, Some("the-token"));
    assert_eq!(outcome(stray.list_objects_v2().bucket(BUCKET).send().await), "InvalidToken");
}

#[tokio::test]
async fn anonymous_and_old_signatures_are_refused() {
    let fixture = Fixture::new().await;
    for (head, status, code) in [
        ("GET /vault?list-type=2 HTTP/1.1", "403", "AccessDenied"),
        ("GET /vault/k?AWSAccessKeyId=a&Signature=b&Expires=99999999999 HTTP/1.1", "501", "NotImplemented"),
        ("GET /vault/k?X-Amz-Signature=b HTTP/1.1", "501", "NotImplemented"),
        ("GET /vault/k HTTP/1.1\r\nauthorization: AWS a:b", "400", "InvalidRequest"),
        ("POST /vault HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=x", "501", "NotImplemented"),
    ] {
        let request = format!("{head}\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let answer = send(&fixture.server.endpoint(), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(code), "{head}: {answer}");
        assert!(answer.contains("x-amz-request-id: "), "{answer}");
    }
}

#[tokio::test]
async fn every_amz_header_must_be_signed() {
    let fixture = Fixture::new().await;
    let credentials = fixture.server.credentials(Role::Writer).unwrap();
    let url = format!("{}/{BUCKET}/k", fixture.server.endpoint());
    let crc = super::crc64(b"x");
    let signed = [("x-amz-checksum-crc64nvme", crc.as_str()), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    let answer = signed_put(&url, &credentials, &signed, b"x").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = sign(&url, &credentials, &signed, b"x");
    let tampered = request.replacen("host:", "x-amz-meta-added: 1\r\nhost:", 1);
    let answer = send(&fixture.server.endpoint(), tampered.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("not signed"), "{answer}");
}

/// Sends a PUT signed here, with exactly these headers.
pub(super) async fn signed_put(url: &str, credentials: &Credentials, headers: &[(&str, &str)], body: &[u8]) -> String {
    send(url, sign(url, credentials, headers, body).as_bytes()).await
}

/// A small SigV4 signer (AWS General Reference, "Create a signed AWS API request") for requests no SDK would make.
fn sign(url: &str, credentials: &Credentials, headers: &[(&str, &str)], body: &[u8]) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let date = host_time().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut all: Vec<(&str, &str)> = headers.to_vec();
    all.extend([("host", host), ("x-amz-date", date.as_str())]);
    all.sort_unstable();
    let names = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<Vec<_>>().concat();
    let payload = headers.iter().find(|(name, _)| *name == "x-amz-content-sha256").unwrap().1;
    let canonical = format!("PUT\n/{path}\n\n{lines}\n{names}\n{payload}");
    let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let mut key = format!("AWS4{}", credentials.secret_key.expose_secret()).into_bytes();
    for part in [&date[..8], "us-east-1", "s3", "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}").as_bytes()));
    let sent = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
    format!(
        "PUT /{path} HTTP/1.1\r\n{sent}authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, \
         Signature={signature}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
        credentials.access_key,
        body.len(),
        String::from_utf8_lossy(body)
    )
}

fn host_time() -> Timestamp {
    SigningClock(std::sync::Arc::default()).now().try_into().unwrap()
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

async fn send(url: &str, request: &[u8]) -> String {
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
