//! `DeleteObjects` succeeds as a request although single versions fail: each of them is an error of its own, or tried again.

use stonewal::store::{Error, ObjectKey, Prune as _, S3, S3Options, VersionId, VersionOf};

use super::{client, options};
use crate::support::scripted::{Reply, Request, Scripted};

fn doomed() -> Vec<VersionOf> {
    let one = |key: &str| VersionOf { key: ObjectKey::new(key), version: VersionId::new("v1") };
    ["a", "b", "c"].map(one).to_vec()
}

/// The answer for some keys: deleted, or failed with a code.
fn answer(keys: &[(&str, Option<&str>)]) -> Reply {
    let line = |(key, code): &(&str, Option<&str>)| {
        let named = format!("<Key>{key}</Key><VersionId>v1</VersionId>");
        match code {
            None => format!("<Deleted>{named}</Deleted>"),
            Some(code) => format!("<Error>{named}<Code>{code}</Code><Message>says the script.</Message></Error>"),
        }
    };
    let lines: String = keys.iter().map(line).collect();
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult>{lines}</DeleteResult>");
    Reply::new(200).with("content-type", "application/xml").with_body(body.as_bytes())
}

/// The keys that a request asks for.
fn asked(request: &Request) -> Vec<String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    let rest = body.split("<Key>").skip(1);
    rest.map(|rest| rest.split('<').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_version_that_fails_for_now_is_asked_for_again_and_a_refused_one_is_told() {
    for code in ["SlowDown", "InternalError", "ServiceUnavailable"] {
        let server = Scripted::start(move |n, _| match n {
            0 => answer(&[("a", None), ("b", Some(code)), ("c", Some("AccessDenied"))]),
            1 => answer(&[("b", Some(code))]),
            _ => answer(&[("b", None)]),
        })
        .await;
        let answers = client(&server).await.delete_versions(&doomed()).await.unwrap();
        assert!(matches!(answers[..], [Ok(()), Ok(()), Err(Error::Denied { .. })]), "{code}: {answers:?}");
        let text = answers[2].as_ref().unwrap_err().to_string();
        assert!(text.contains("s3:DeleteObjectVersion on c is denied"), "{text}");
        let asked: Vec<_> = server.seen().iter().map(asked).collect();
        assert_eq!(
            asked,
            [vec!["a", "b", "c"], vec!["b"], vec!["b"]],
            "{code}: nothing is asked for twice without need"
        );
    }
}

#[tokio::test]
async fn a_version_that_fails_for_good_or_is_not_told_of_is_an_error() {
    let server = Scripted::start(|n, _| match n {
        0 => answer(&[("a", None), ("b", Some("SlowDown"))]),
        _ => answer(&[("b", Some("SlowDown"))]),
    })
    .await;
    let store = S3::connect(S3Options { attempts: 3, ..options(&server) }).await.unwrap();
    let answers = store.delete_versions(&doomed()).await.unwrap();
    assert!(answers[0].is_ok() && server.seen().len() == 3, "{answers:?}");
    assert!(matches!(answers[1], Err(Error::Busy { .. })), "{answers:?}");
    assert!(matches!(answers[2], Err(Error::Corrupt { .. } | Error::Busy { .. })), "never told of: {answers:?}");
    // What is gone already was deleted by somebody, which is what was asked for.
    let server = Scripted::start(|_, _| {
        answer(&[("a", Some("NoSuchVersion")), ("b", Some("NoSuchKey")), ("c", Some("MethodNotAllowed"))])
    })
    .await;
    let answers = client(&server).await.delete_versions(&doomed()).await.unwrap();
    assert!(matches!(answers[..], [Ok(()), Ok(()), Err(_)]), "{answers:?}");
}
