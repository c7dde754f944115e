//! Clocks that differ: the store's time counts, and signatures follow it.

use jiff::fmt::strtime;
use jiff::{SignedDuration, Timestamp};
use stonewal::store::{Append as _, Error, Read as _};

use super::{client, key, locked_put, version};
use crate::support::scripted::{Reply, Request, Scripted};

#[expect(clippy::disallowed_methods, reason = "the scripted store has a clock of its own")]
pub(super) fn store_time(ahead: SignedDuration) -> Timestamp {
    Timestamp::now() + ahead
}

pub(super) fn dated(reply: Reply, now: Timestamp) -> Reply {
    reply.with("date", &strtime::format("%a, %d %b %Y %H:%M:%S GMT", now).expect("date"))
}

/// S3's rule: a signature may be 15 minutes old or early.
fn in_time(request: &Request, now: Timestamp) -> bool {
    let signed = request.header("x-amz-date").expect("x-amz-date");
    let signed = strtime::parse("%Y%m%dT%H%M%S%z", signed.replace('Z', "+0000")).and_then(|time| time.to_timestamp());
    signed.expect("a time").duration_until(now).abs() < SignedDuration::from_mins(15)
}

#[tokio::test]
async fn two_days_off_costs_one_request_and_is_known() {
    for days in [-2, 2] {
        let ahead = SignedDuration::from_hours(24 * days);
        let server = Scripted::start(move |_, request| {
            let now = store_time(ahead);
            let fine = in_time(request, now);
            dated(if fine { Reply::stored("v1") } else { Reply::error(403, "RequestTimeTooSkewed") }, now)
        })
        .await;
        let store = client(&server).await;
        store.put(locked_put("x")).await.expect("signed with the store's time");
        store.put(locked_put("x")).await.expect("signed with the store's time");
        assert_eq!(server.seen().len(), 3, "one refusal, then every request is in time");
        let off = (store.clock().skew() - ahead).abs();
        assert!(off < SignedDuration::from_secs(3), "{days} days: off by {off}");
        assert!(store_time(ahead).duration_until(store.clock().now()).abs() < SignedDuration::from_secs(3));
    }
}

#[tokio::test]
async fn error_answers_tell_the_time_too_and_caches_do_not() {
    let ahead = SignedDuration::from_hours(5);
    let server = Scripted::start(move |n, _| {
        let reply = dated(Reply::error(403, "AccessDenied"), store_time(if n == 0 { ahead } else { ahead * 2 }));
        if n == 0 { reply } else { reply.with("age", "60") }
    })
    .await;
    let store = client(&server).await;
    for _ in 0..2 {
        assert!(matches!(store.get(&key(), &version(), 0..1).await, Err(Error::Denied { .. })));
        assert!((store.clock().skew() - ahead).abs() < SignedDuration::from_secs(3));
    }
}

#[tokio::test]
async fn a_store_that_refuses_every_time_is_asked_twice() {
    let ahead = SignedDuration::from_hours(1);
    let server = Scripted::start(move |_, _| dated(Reply::error(403, "RequestTimeTooSkewed"), store_time(ahead))).await;
    let error = client(&server).await.put(locked_put("x")).await.expect_err("skew");
    assert!(matches!(error, Error::Skew { skew_seconds } if (3595..=3605).contains(&skew_seconds)), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(server.seen().len(), 2);
}
