//! Checksums: missing, wrong, in the wrong place.

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Put, S3, S3Options};

use super::{BUCKET, Fixture, PLAIN, crc64, outcome};
use crate::support::options;

const BODY: &[u8] = b"123456789";

fn bare(fixture: &Fixture, bucket: &str) -> PutObjectFluentBuilder {
    fixture.client(Role::Writer).put_object().bucket(bucket).key("k").body(ByteStream::from_static(BODY))
}

async fn with_header(put: PutObjectFluentBuilder, name: &'static str, value: &'static str) -> String {
    let put = put.customize().mutate_request(move |request| {
        request.headers_mut().insert(name, value);
    });
    outcome(put.send().await)
}

#[tokio::test]
async fn lock_buckets_refuse_puts_without_a_header_checksum() {
    let fixture = Fixture::new().await;
    assert_eq!(outcome(bare(&fixture, BUCKET).send().await), "InvalidRequest");
    assert_eq!(outcome(bare(&fixture, PLAIN).send().await), "ok");
    // The SDK's trap: an algorithm announced without a value.
    let announced = bare(&fixture, PLAIN).checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc64Nvme);
    assert_eq!(outcome(announced.send().await), "InvalidRequest");
    let good = || bare(&fixture, BUCKET).checksum_crc64_nvme(crc64(BODY));
    assert_eq!(with_header(good(), "content-encoding", "aws-chunked").await, "InvalidRequest");
    assert_eq!(with_header(good(), "x-amz-trailer", "x-amz-checksum-crc32").await, "InvalidRequest");
    assert_eq!(with_header(bare(&fixture, BUCKET), "x-amz-trailer", "x-amz-checksum-crc32").await, "InvalidRequest");
    assert_eq!(with_header(good(), "x-amz-checksum-crc32", "y/Q5Jg==").await, "InvalidRequest", "two checksums");
    assert_eq!(with_header(good(), "x-amz-server-side-encryption", "AES256").await, "NotImplemented");
    let reader = fixture.client(Role::Reader);
    assert_eq!(outcome(reader.head_object().bucket(BUCKET).key("k").send().await), "404", "nothing was stored");
    assert_eq!(std::fs::read_dir(fixture.store().join("buckets/vault/data")).unwrap().count(), 0, "nor left behind");
}

/// The client signs with the digest that it is given: of another body it is refused, and nothing is kept.
#[tokio::test]
async fn a_digest_handed_over_is_verified() {
    let fixture = Fixture::new().await;
    let writer = fixture.server.credentials(Role::Writer).unwrap();
    let (endpoint, secret) = (fixture.server.endpoint(), writer.secret_key.expose_secret());
    let options = S3Options { attempts: 2, ..options(&endpoint, BUCKET, &writer.access_key, secret) };
    let store = S3::connect(options).await.unwrap();
    let put = || Put { key: ObjectKey::new("k"), body: BODY.into(), lock: None };
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, BODY).as_ref());
    let wrong = sha256.map(|byte| !byte);
    let refused = store.put_hashed(put(), wrong).await;
    let refusal = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert!(refusal.contains("XAmzContentSHA256Mismatch"), "{refused:?}");
    let reader = fixture.client(Role::Reader);
    assert_eq!(outcome(reader.head_object().bucket(BUCKET).key("k").send().await), "404", "nothing was stored");
    assert_eq!(std::fs::read_dir(fixture.store().join("buckets/vault/data")).unwrap().count(), 0, "nor left behind");
    store.put_hashed(put(), sha256).await.unwrap();
    assert_eq!(outcome(reader.head_object().bucket(BUCKET).key("k").send().await), "ok");
}

#[tokio::test]
async fn every_algorithm_is_verified() {
    let fixture = Fixture::new().await;
    let sha = |algorithm| STANDARD.encode(ring::digest::digest(algorithm, BODY));
    let md5 = STANDARD.encode(<md5::Md5 as md5::Digest>::digest(BODY));
    let puts = |wrong: bool| {
        let value =
            |right: &str, length: usize| if wrong { STANDARD.encode(vec![0; length]) } else { right.to_owned() };
        let put = || bare(&fixture, BUCKET);
        [
            ("md5", put().content_md5(value(&md5, 16))),
            ("crc32", put().checksum_crc32(value("y/Q5Jg==", 4))),
            ("crc32c", put().checksum_crc32_c(value("4waSgw==", 4))),
            ("crc64nvme", put().checksum_crc64_nvme(value(&crc64(BODY), 8))),
            ("sha1", put().checksum_sha1(value(&sha(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY), 20))),
            ("sha256", put().checksum_sha256(value(&sha(&ring::digest::SHA256), 32))),
        ]
    };
    for (name, put) in puts(true) {
        assert_eq!(outcome(put.send().await), "BadDigest", "{name}");
    }
    let data = fixture.store().join("buckets/vault/data");
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "refused bodies are gone");
    for (name, put) in puts(false) {
        assert_eq!(outcome(put.send().await), "ok", "{name}");
    }
    assert_eq!(outcome(bare(&fixture, BUCKET).checksum_crc32("AAA=").send().await), "InvalidRequest");
    assert_eq!(outcome(bare(&fixture, BUCKET).content_md5("short").send().await), "InvalidDigest");
    // A right checksum does not make up for a wrong one beside it.
    let mixed = bare(&fixture, BUCKET).checksum_crc64_nvme(crc64(BODY)).content_md5(STANDARD.encode([0; 16]));
    assert_eq!(outcome(mixed.send().await), "BadDigest");
}

#[tokio::test]
async fn a_body_other_than_the_signed_one_is_refused() {
    let fixture = Fixture::new().await;
    let url = format!("{}/{BUCKET}/k", fixture.server.endpoint());
    let credentials = fixture.server.credentials(Role::Writer).unwrap();
    let (crc, hash) = (crc64(BODY), "0".repeat(64));
    let headers = [("x-amz-checksum-crc64nvme", crc.as_str()), ("x-amz-content-sha256", hash.as_str())];
    let answer = super::signatures::signed_put(&url, &credentials, &headers, BODY).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("XAmzContentSHA256Mismatch"), "{answer}");
    assert_eq!(std::fs::read_dir(fixture.store().join("buckets/vault/data")).unwrap().count(), 0);
}

#[tokio::test]
async fn chunked_uploads_with_trailers_work_where_nothing_is_locked_and_are_verified() {
    let fixture = Fixture::new().await;
    let url = format!("{}/{PLAIN}/k", fixture.server.endpoint());
    let credentials = fixture.server.credentials(Role::Writer).unwrap();
    for (trailer, expected) in [("y/Q5Jg==", "200"), ("AAAAAA==", "400")] {
        let body = format!("9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:{trailer}\r\n\r\n");
        let headers = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", "9"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        let answer = super::signatures::signed_put(&url, &credentials, &headers, body.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
    }
    let got = fixture.client(Role::Reader).get_object().bucket(PLAIN).key("k").send().await.unwrap();
    assert_eq!(got.content_encoding(), None);
    assert_eq!(got.body.collect().await.unwrap().to_vec(), BODY);
}
