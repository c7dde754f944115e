//! The form of requests.

use stonewal::store::{Append as _, Checksum, Prune as _, Put, Read as _, Retain as _, S3, S3Options, VersionId};

use super::{SECRET, client, everything, key, lock, locked_put, options, version};
use crate::support::scripted::{Reply, Request, Scripted};

/// No store is asked to understand a streaming body, whatever the call.
fn assert_plain(request: &Request) {
    for (name, value) in &request.headers {
        assert!(!value.contains("aws-chunked"), "{name}: {value}");
        assert!(name != "x-amz-trailer" && name != "x-amz-decoded-content-length", "{name}: {value}");
        assert!(!value.contains(SECRET), "the secret is in {name}");
    }
    assert_ne!(request.header("transfer-encoding"), Some("chunked"));
    assert!(request.header("x-amz-content-sha256").is_some_and(|value| !value.starts_with("STREAMING")));
}

#[tokio::test]
async fn a_put_is_plain_checked_and_locked_in_one_request() {
    let cases = [
        (Checksum::Crc64Nvme, "x-amz-checksum-crc64nvme", "rosUhgp5mIg=", Some("CRC64NVME")),
        (Checksum::Sha256, "x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=", Some("SHA256")),
        (Checksum::Crc32c, "x-amz-checksum-crc32c", "4waSgw==", Some("CRC32C")),
        (Checksum::Md5, "content-md5", "JfnnlDI7RTiF9RgfG2JNCw==", None),
    ];
    for (checksum, header, value, algorithm) in cases {
        let server = Scripted::start(|_, _| Reply::stored("v1")).await;
        let store = S3::connect(S3Options { checksum, ..options(&server) }).await.expect("client");
        let stored = store.put(locked_put("123456789")).await.expect("put");
        assert_eq!(stored.version, version());
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        let request = &seen[0];
        assert_plain(request);
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("PUT", &b"123456789"[..]));
        assert!(request.target.starts_with("/vault/a/b"), "{}", request.target);
        assert_eq!(request.header(header), Some(value));
        assert_eq!(request.header("x-amz-sdk-checksum-algorithm"), algorithm);
        assert_eq!(request.header("content-length"), Some("9"));
        assert_eq!(request.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
        let until = request.header("x-amz-object-lock-retain-until-date").expect("retain-until");
        assert_eq!(until, "2031-02-03T04:05:07Z", "rounded up to whole seconds");
        let sums = request.headers.keys().filter(|name| name.starts_with("x-amz-checksum-")).count();
        assert_eq!(sums, usize::from(checksum != Checksum::Md5), "one checksum and no other");
    }
}

/// What is handed over is signed as it is, so that a store finds out if it is not the digest of the body.
#[tokio::test]
async fn a_known_digest_is_signed_instead_of_computed() {
    let server = Scripted::start(|_, _| Reply::stored("v1")).await;
    let store = client(&server).await;
    store.put_hashed(locked_put("123456789"), [0xab; 32]).await.expect("put");
    store.put(locked_put("123456789")).await.expect("put");
    let seen = server.seen();
    let own = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    for (request, sha256) in seen.iter().zip(["ab".repeat(32).as_str(), own]) {
        assert_plain(request);
        assert_eq!(request.header("x-amz-content-sha256"), Some(sha256));
        assert_eq!(request.header("x-amz-checksum-crc64nvme"), Some("rosUhgp5mIg="));
        let signed = request.header("authorization").expect("a signature");
        assert!(signed.contains(";x-amz-content-sha256;"), "{signed}");
        assert_eq!(request.body, b"123456789");
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_large_put_arrives_whole_and_plain() {
    let server = Scripted::start(|_, _| Reply::stored("v1")).await;
    let body: Vec<u8> = (0..20_000_003_u32).map(|n| (n % 251) as u8).collect();
    client(&server).await.put(locked_put(body.clone())).await.expect("put");
    let seen = server.seen();
    assert_plain(&seen[0]);
    assert!(seen[0].body == body, "the body differs");
}

#[tokio::test]
async fn an_empty_object_and_no_lock_send_no_lock_headers() {
    let server = Scripted::start(|_, _| Reply::new(200).with("etag", "\"0\"")).await;
    let put = Put { lock: None, ..locked_put("") };
    assert_eq!(client(&server).await.put(put).await.expect("put").version, VersionId::null());
    assert!(server.seen()[0].headers.keys().all(|name| !name.starts_with("x-amz-object-lock")));
    assert_plain(&server.seen()[0]);
}

#[tokio::test]
async fn requests_with_documents_carry_a_checksum_the_store_knows() {
    for (checksum, header) in [(Checksum::Crc64Nvme, "x-amz-checksum-crc64nvme"), (Checksum::Md5, "content-md5")] {
        let server = Scripted::start(|_, _| Reply::new(200)).await;
        let store = S3::connect(S3Options { checksum, ..options(&server) }).await.expect("client");
        store.set_lock(&key(), &version(), lock()).await.expect("set_lock");
        let request = &server.seen()[0];
        assert_plain(request);
        assert!(request.header(header).is_some(), "{checksum:?}: {:?}", request.headers);
        let others =
            request.headers.keys().filter(|name| name.starts_with("x-amz-checksum") && *name != header).count();
        assert_eq!(others, 0, "{:?}", request.headers);
        assert!(request.target.contains("retention") && request.target.contains("versionId=v1"));
        assert!(String::from_utf8_lossy(&request.body).contains("<Mode>COMPLIANCE</Mode>"));
        assert!(request.header("x-amz-bypass-governance-retention").is_none());
    }
}

#[tokio::test]
async fn a_delete_names_its_version_and_bypasses_only_when_asked() {
    let server = Scripted::start(|_, _| Reply::new(204)).await;
    let store = client(&server).await;
    store.delete_version(&key(), &version(), false).await.expect("delete");
    store.delete_version(&key(), &version(), true).await.expect("delete");
    let seen = server.seen();
    assert!(seen.iter().all(|request| request.method == "DELETE" && request.target.contains("versionId=v1")));
    assert_eq!(seen[0].header("x-amz-bypass-governance-retention"), None);
    assert_eq!(seen[1].header("x-amz-bypass-governance-retention"), Some("true"));
}

#[tokio::test]
async fn listing_asks_for_versions_url_encoded() {
    let document = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
    let server = Scripted::start(move |_, _| Reply::new(200).with_body(document)).await;
    client(&server).await.list_page(&everything(), None).await.expect("list");
    let target = &server.seen()[0].target;
    assert!(target.contains("versions") && target.contains("encoding-type=url"), "{target}");
}

#[tokio::test]
async fn i13_secrets_are_in_no_debug_text() {
    let server = Scripted::start(|_, _| Reply::error(403, "InvalidAccessKeyId")).await;
    let options = options(&server);
    let store = S3::connect(options.clone()).await.expect("client");
    let error = store.put(locked_put("x")).await.expect_err("refused");
    for text in [format!("{options:?}"), format!("{store:?}"), format!("{error:?} {error}")] {
        assert!(!text.contains(SECRET), "{text}");
    }
}
