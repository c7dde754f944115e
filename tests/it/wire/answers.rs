//! The meaning of error answers.

use stonewal::store::{Error, Read as _};

use super::{client, everything, key, version};
use crate::support::scripted::{Reply, Scripted};

async fn get_error(reply: Reply) -> Error {
    let server = Scripted::start(move |_, _| reply.clone()).await;
    client(&server).await.get(&key(), &version(), 0..10).await.expect_err("an error answer")
}

async fn head_error(head: Reply, get: Reply) -> Error {
    let server = Scripted::start(move |_, r| if r.method == "HEAD" { head.clone() } else { get.clone() }).await;
    client(&server).await.head(&key(), &version()).await.expect_err("an error answer")
}

#[tokio::test]
async fn absence_is_only_what_an_authorised_store_says_in_its_own_words() {
    for code in ["NoSuchKey", "NoSuchVersion"] {
        assert!(matches!(get_error(Reply::error(404, code)).await, Error::NotFound { version: Some(_), .. }));
        assert!(matches!(head_error(Reply::new(404), Reply::error(404, code)).await, Error::NotFound { .. }));
    }
    let marker = Reply::error(405, "MethodNotAllowed").with("x-amz-delete-marker", "true");
    assert!(matches!(get_error(marker).await, Error::NotFound { .. }));
    assert!(matches!(get_error(Reply::error(404, "NoSuchBucket")).await, Error::NoBucket { .. }));
    assert!(matches!(head_error(Reply::new(404), Reply::error(404, "NoSuchBucket")).await, Error::NoBucket { .. }));
    // A web server's 404 is not the store's.
    assert!(matches!(get_error(Reply::new(404).with_body("<html>no such page</html>")).await, Error::Refused { .. }));
    assert!(matches!(get_error(Reply::error(405, "MethodNotAllowed")).await, Error::Refused { .. }));
}

#[tokio::test]
async fn denied_is_not_absent() {
    let denied = get_error(Reply::error(403, "AccessDenied")).await;
    assert!(matches!(denied, Error::Denied { action: "s3:GetObjectVersion", .. }), "{denied}");
    assert!(denied.to_string().contains("s3:ListBucket"), "{denied}");
    assert!(denied.hint().is_some_and(|hint| hint.contains("s3:GetObjectVersion")));
    let head = head_error(Reply::new(403), Reply::error(404, "NoSuchKey")).await;
    assert!(matches!(head, Error::Denied { .. }), "{head}");
}

#[tokio::test]
async fn credentials_and_regions_are_told_apart() {
    for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"] {
        let error = get_error(Reply::error(403, code)).await;
        assert!(matches!(&error, Error::Credentials { code: c } if c.contains(code)), "{error}");
    }
    assert!(matches!(get_error(Reply::error(400, "ExpiredToken")).await, Error::Expired { .. }));
    let malformed = Reply::new(400).with_body(
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message><Region>eu-west-1</Region></Error>",
    );
    let redirect = Reply::error(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-west-1");
    let bare = Reply::new(301).with("x-amz-bucket-region", "eu-west-1");
    for reply in [malformed, redirect, bare] {
        let error = get_error(reply).await;
        assert!(matches!(&error, Error::WrongRegion { actual, .. } if actual == "eu-west-1"), "{error}");
    }
}

#[tokio::test]
async fn an_unreadable_listing_is_no_empty_listing() {
    for body in ["", "<html>hello</html>", "<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>"] {
        let server =
            Scripted::start(
                move |n, _| {
                    if n < 2 { Reply::new(200).with_body(body) } else { Reply::error(403, "AccessDenied") }
                },
            )
            .await;
        let error = client(&server).await.list_page(&everything(), None).await.expect_err(body);
        assert!(matches!(error, Error::Denied { .. } | Error::Corrupt { .. }), "{body}: {error}");
    }
}
