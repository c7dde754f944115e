//! Failures that pass, and those that do not.

use std::time::{Duration, Instant};

use stonewal::store::{Append as _, Error, Prune as _, Read as _, Retain as _, S3, S3Options};

use super::{client, everything, key, lock, locked_put, options, version};
use crate::support::scripted::{Reply, Scripted};

#[tokio::test]
async fn passing_failures_are_survived() {
    let failures = [
        Reply::error(503, "SlowDown"),
        Reply::error(500, "InternalError"),
        Reply::error(400, "RequestTimeout"),
        Reply::error(409, "OperationAborted"),
        Reply::error(400, "BadDigest"),
        Reply::new(502).with_body("<html>bad gateway</html>"),
        Reply::new(429),
        Reply::reset(),
        Reply::new(200),                                               // says success, stored nothing
        Reply::stored("v0").with("x-amz-checksum-crc64nvme", "AAAA="), // stored something else
        Reply::error(200, "InternalError"),
        Reply::error(200, "SlowDown").with("etag", "\"0\"").with("x-amz-version-id", "v0"),
    ];
    for failure in failures {
        let text = format!("{failure:?}");
        let server = Scripted::start(move |n, _| if n < 2 { failure.clone() } else { Reply::stored("v2") }).await;
        let stored = client(&server).await.put(locked_put("123456789")).await;
        assert_eq!(stored.unwrap_or_else(|e| panic!("{text}: {e}")).version.as_str(), "v2", "{text}");
        let seen = server.seen();
        assert_eq!(seen.len(), 3, "{text}");
        assert!(seen.iter().all(|request| request.body == b"123456789" && request.target == seen[0].target), "{text}");
    }
}

#[tokio::test]
async fn lasting_failures_are_reported_at_once() {
    for code in
        ["AccessDenied", "NoSuchBucket", "InvalidRequest", "ExpiredToken", "InvalidAccessKeyId", "NotImplemented"]
    {
        let server = Scripted::start(move |_, _| Reply::error(403, code)).await;
        let error = client(&server).await.put(locked_put("x")).await.expect_err(code);
        assert!(error.is_permanent(), "{code}: {error}");
        assert_eq!(server.seen().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_locked_put_without_a_version_is_not_a_success() {
    let server = Scripted::start(|_, _| Reply::new(200).with("etag", "\"0\"")).await;
    let error = client(&server).await.put(locked_put("x")).await.expect_err("no version");
    assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains("not versioned"), "{error}");
}

#[tokio::test]
async fn an_error_in_a_success_is_an_error_for_every_call() {
    let server = Scripted::start(|_, _| Reply::error(200, "InternalError")).await;
    let store = S3::connect(S3Options { attempts: 2, ..options(&server) }).await.expect("client");
    assert!(matches!(store.put(locked_put("x")).await, Err(Error::Busy { .. } | Error::Corrupt { .. })));
    assert!(matches!(store.set_lock(&key(), &version(), lock()).await, Err(Error::Busy { .. })));
    assert!(matches!(store.delete_version(&key(), &version(), false).await, Err(Error::Busy { .. })));
    assert!(matches!(store.list_page(&everything(), None).await, Err(Error::Busy { .. })));
    assert!(store.bucket_state().await.is_err());
    assert!(store.get(&key(), &version(), 0..500).await.is_err());
    assert!(store.get(&key(), &version(), 0..10).await.is_err(), "the beginning of an error document is no object");
    assert!(store.create_bucket(true).await.is_err());
}

/// One request in five is refused: slower, and nothing fails.
#[tokio::test]
async fn twenty_percent_slow_down_only_slows_down() {
    let server =
        Scripted::start(|n, _| if n % 5 == 0 { Reply::error(503, "SlowDown") } else { Reply::stored("v1") }).await;
    let store = std::sync::Arc::new(client(&server).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = store.clone();
        tasks.spawn(async move { store.put(locked_put("x")).await });
    }
    for result in tasks.join_all().await {
        result.expect("put");
    }
    assert!(server.seen().len() >= 50);
}

#[tokio::test]
async fn attempts_are_bounded_and_counted_in_the_text() {
    let server = Scripted::start(|_, _| Reply::error(503, "SlowDown")).await;
    let store = S3::connect(S3Options { attempts: 3, ..options(&server) }).await.expect("client");
    let error = store.put(locked_put("x")).await.expect_err("busy");
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert!(error.to_string().contains("SlowDown") && error.to_string().contains("3 attempts in "), "{error}");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    for first_answered in [false, true] {
        let server = Scripted::start(move |n, _| {
            if first_answered && n == 0 { Reply::error(500, "InternalError") } else { Reply::silence() }
        })
        .await;
        let deadline = Duration::from_secs(2);
        let store = S3::connect(S3Options { deadline, ..options(&server) }).await.expect("client");
        let started = Instant::now();
        let error = store.put(locked_put("x")).await.expect_err("silence");
        let elapsed = started.elapsed();
        assert!(matches!(error, Error::Deadline { seconds: 2, .. }), "{error}");
        assert!((Duration::from_millis(1900)..Duration::from_secs(4)).contains(&elapsed), "{elapsed:?}");
        assert_eq!(error.to_string().contains("InternalError"), first_answered, "{error}");
        assert!(matches!(store.get(&key(), &version(), 0..9).await, Err(Error::Deadline { .. })));
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answered_is_given_up_soon() {
    // Port 9 on the loopback interface: nothing listens there.
    let options = S3Options { attempts: 20, ..crate::support::options("http://127.0.0.1:9", "vault", "a", "b") };
    let store = S3::connect(options).await.expect("client");
    let started = Instant::now();
    let error = store.put(locked_put("x")).await.expect_err("unreachable");
    assert!(matches!(&error, Error::Unreachable { endpoint, .. } if endpoint == "http://127.0.0.1:9"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let source = std::error::Error::source(&error).expect("source");
    assert!(source.to_string().contains("4 attempts"), "{source}");
}
