//! Reads that arrive in pieces, wrong, or not at all.

use stonewal::store::{Error, Read as _, S3, S3Options};

use super::{client, key, options, version};
use crate::support::scripted::{Reply, Scripted};

fn object() -> Vec<u8> {
    (0..100_000_u32).map(|n| (n % 241) as u8).collect()
}

#[tokio::test]
async fn a_body_that_ends_early_is_resumed_where_it_ended() {
    for clean_end in [false, true] {
        let server = Scripted::start(move |_, request| {
            let reply = Reply::range_of(&object(), request);
            if clean_end { reply.end_after(7_000) } else { reply.cut_after(7_000) }
        })
        .await;
        // 84,000 bytes in pieces of 7,000: as many connections as that takes, more than the attempts.
        let store = S3::connect(S3Options { attempts: 3, ..options(&server) }).await.expect("client");
        let body = store.get(&key(), &version(), 5_000..89_000).await.expect("get");
        assert!(body == object()[5_000..89_000], "clean_end={clean_end}");
        let starts: Vec<_> = server.seen().iter().map(|r| r.header("range").unwrap().to_owned()).collect();
        let expected: Vec<_> = (0..12).map(|n| format!("bytes={}-88999", 5_000 + n * 7_000)).collect();
        assert_eq!(starts, expected);
        assert!(server.seen().iter().all(|request| request.target.contains("versionId=v1")));
    }
}

#[tokio::test]
async fn a_body_that_never_begins_is_given_up() {
    let server = Scripted::start(|_, request| Reply::range_of(&object(), request).end_after(0)).await;
    let store = S3::connect(S3Options { attempts: 4, ..options(&server) }).await.expect("client");
    let error = store.get(&key(), &version(), 0..10).await.expect_err("no bytes");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    assert_eq!(server.seen().len(), 4);
    assert!(error.to_string().contains("ended after 0 of 10 bytes"), "{error}");
}

#[tokio::test]
async fn an_empty_range_makes_no_request() {
    let server = Scripted::start(|_, _| Reply::error(500, "InternalError")).await;
    assert!(client(&server).await.get(&key(), &version(), 7..7).await.expect("get").is_empty());
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_answer_to_another_question_is_refused() {
    let whole = Reply::new(200).with("etag", "\"0\"").with_body(object());
    let cases = [
        (
            "another start",
            Reply::new(206).with("content-range", "bytes 0-99/100000").with_body(vec![1; 100]),
            "asked for bytes",
        ),
        (
            "another version",
            Reply::new(206).with("content-range", "bytes 10-19/100000").with("x-amz-version-id", "v9"),
            "v9",
        ),
        (
            "a shorter object",
            Reply::new(206).with("content-range", "bytes 10-14/15").with_body(vec![1; 5]),
            "has 15 bytes",
        ),
        ("range ignored", whole.clone(), "ignores ranges"),
        ("nonsense", Reply::new(206).with("content-range", "lots").with_body(vec![1; 10]), "lots"),
        ("past the end", Reply::error(416, "InvalidRange"), "shorter"),
    ];
    for (what, reply, words) in cases {
        let server = Scripted::start(move |_, _| reply.clone()).await;
        let error = client(&server).await.get(&key(), &version(), 10..20).await.expect_err(what);
        assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains(words), "{what}: {error}");
        assert_eq!(server.seen().len(), 1, "{what}: asking again does not help");
    }
    // From the start of the object, a store that sends all of it has answered the question.
    let server = Scripted::start(move |_, _| whole.clone()).await;
    assert!(client(&server).await.get(&key(), &version(), 0..20).await.expect("get") == object()[..20]);
}
