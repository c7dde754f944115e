//! Bad networks and stores: what can be survived is survived, what cannot ends soon and leaves nothing behind.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use stonewal::commands::{self, Class, Error, RepositoryOptions, Which, backup_dump};
use stonewal::observe::Progress;
use stonewal::store::embedded::{Credentials, Session, User};
use stonewal::store::roles::Role;
use stonewal::{pipeline, store};
use tokio_util::sync::CancellationToken;

use super::lifecycle::{is_foundation, puts};
use super::refusing::Refusing;
use super::stage::{DAY, Stage, id, run_backup};
use crate::support::proxy::{Proxy, Weather};

fn upstream(stage: &Stage) -> SocketAddr {
    stage.server().endpoint().strip_prefix("http://").unwrap().parse().unwrap()
}

fn through(mut repository: RepositoryOptions, endpoint: &str) -> RepositoryOptions {
    repository.s3.endpoint = Some(endpoint.to_owned());
    repository
}

/// PAINS A12. A chunk is one PUT and the smallest chunk is 8 MiB, so on the way up connections die within their second one.
#[tokio::test]
async fn connections_that_die_every_few_megabytes_cost_nothing_but_time() {
    let Some(stage) = Stage::new("connections_die", |_| ()).await else { return };
    let up = Proxy::start(upstream(&stage), Weather::CutAfterUp(11 << 20)).await;
    let mut options = stage.backup_options();
    options.repository = through(options.repository, &up.endpoint());
    options.uploads = 1;
    let made = run_backup(options).await.unwrap();
    assert!(made.chunks > 3, "{made:?}");
    let whole = stage.bytes(Which::Latest).await;
    let down = Proxy::start(upstream(&stage), Weather::CutAfterDown(1 << 20)).await;
    let before = stage.log().len();
    let (bytes, ended) = stage
        .restored(id(&made.backup), |options| {
            options.repository = through(options.repository.clone(), &down.endpoint());
        })
        .await;
    ended.unwrap();
    assert!(bytes == whole, "byte for byte");
    let gets = stage.log()[before..].iter().filter(|request| request.action.as_deref() == Some("GetObject")).count();
    assert!(gets > 20, "every chunk was resumed several times: {gets}");
}

/// PAINS A3, D4.
#[tokio::test]
async fn a_store_that_refuses_every_fifth_request_gets_a_whole_backup() {
    let Some(stage) = Stage::new("refuses_a_fifth", |_| ()).await else { return };
    let busy = Refusing::start(upstream(&stage)).await;
    let mut options = stage.backup_options();
    options.repository = through(options.repository, &busy.endpoint());
    let made = run_backup(options).await.unwrap();
    let refused = busy.refused();
    assert!(refused > 2, "{refused} refusals");
    let whole = stage.bytes(id(&made.backup)).await;
    let (bytes, ended) = stage
        .restored(Which::Latest, |options| options.repository = through(options.repository.clone(), &busy.endpoint()))
        .await;
    ended.unwrap();
    assert!(bytes == whole && busy.refused() > refused);
    let log = stage.log();
    let stored = puts(&log).filter(|put| !is_foundation(put)).count() as u64;
    assert_eq!(stored, made.chunks + 3, "chunks, keys and manifest: nothing was stored twice");
}

/// Waits until so many chunks are stored.
async fn reach(progress: &Progress, chunks: u64) {
    let waiting = async {
        while progress.read().chunks < chunks {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.expect("the backup gets that far");
}

/// Starts a backup over a slow connection and, once a chunk is stored and while pg_dump still runs, lets `strike` happen;
/// then how it ended and how long it took since.
async fn struck(
    options: backup_dump::Options,
    strike: impl FnOnce(),
) -> (commands::Result<backup_dump::Outcome>, Duration) {
    let (progress, cancel) = (Progress::new(), CancellationToken::new());
    let running = Box::pin(backup_dump::run(options, &progress, &cancel));
    let striking = async {
        reach(&progress, 1).await;
        strike();
        Instant::now()
    };
    let (ended, since) = tokio::join!(running, striking);
    (ended, since.elapsed())
}

async fn assert_nothing_left(stage: &Stage) {
    stage.assert_no_session("in the end").await;
    let entries = stage.entries().await;
    assert!(entries.iter().any(|entry| entry.key.as_str().contains("/dump/")), "it was in the middle");
    assert!(entries.iter().all(|entry| !entry.key.as_str().contains("/manifest-")), "no manifest");
    let (_, ended) = stage.restored(Which::Latest, |_| ()).await;
    assert!(ended.unwrap_err().to_string().contains("has no dump"));
}

/// PAINS C4, C5.
#[tokio::test]
async fn i02_a_store_that_falls_silent_ends_the_backup_within_the_deadline() {
    let Some(stage) = Stage::new("falls_silent", |_| ()).await else { return };
    // More than the buffers hold: pg_dump must still be running when the store falls silent.
    stage.source.psql("app", "INSERT INTO ledger SELECT id + 200000, body FROM ledger", &[]);
    let proxy = Proxy::start(upstream(&stage), Weather::Slow(Duration::from_millis(1))).await;
    let mut options = stage.backup_options();
    options.repository = through(options.repository, &proxy.endpoint());
    options.repository.s3.deadline = Duration::from_secs(6);
    options.uploads = 1;
    let (ended, took) = struck(options, || proxy.set(Weather::Blackhole)).await;
    let error = ended.unwrap_err();
    let is_deadline =
        matches!(error, Error::Pipeline(pipeline::Error::Store(store::Error::Deadline { seconds: 6, .. })));
    assert!(is_deadline && error.class() == Class::Failed, "{error:?}");
    // The deadline, plus ten seconds at most until the source has been left.
    assert!(took < Duration::from_secs(16), "{took:?}");
    assert_nothing_left(&stage).await;
}

#[expect(clippy::disallowed_methods, reason = "the store's clock is the host's here")]
fn in_an_hour() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

/// PAINS D7.
#[tokio::test]
async fn i02_credentials_that_expire_in_the_middle_are_named() {
    let user = Credentials { access_key: "TEMPORARY".into(), secret_key: "for an hour".into() };
    let token = SecretString::from("session");
    let session = Session { token: token.clone(), expires: in_an_hour() };
    let guest = User { credentials: user.clone(), role: Role::Writer, session: Some(session) };
    let Some(stage) = Stage::new("expire", |options| options.users.push(guest)).await else { return };
    let proxy = Proxy::start(upstream(&stage), Weather::Slow(Duration::from_millis(1))).await;
    let mut options = stage.backup_options();
    options.repository = through(stage.repository_as(&user, Some(token)), &proxy.endpoint());
    options.uploads = 1;
    let (ended, took) = struck(options, || stage.server().advance_clock(DAY)).await;
    let error = ended.unwrap_err();
    let expired = matches!(error, Error::Pipeline(pipeline::Error::Store(store::Error::Expired { .. })));
    assert!(expired && error.hint().unwrap().contains("renew"), "{error:?}");
    assert!(took < Duration::from_secs(15), "asking again would be in vain: {took:?}");
    assert_nothing_left(&stage).await;
}

/// PAINS A1, C5: told to stop at any stage, a backup leaves no manifest and no session.
#[tokio::test]
async fn i02_an_interrupted_backup_leaves_nothing() {
    let Some(stage) = Stage::new("interrupted", |_| ()).await else { return };
    let proxy = Proxy::start(upstream(&stage), Weather::Slow(Duration::from_millis(1))).await;
    for chunks in [0, 1, 2] {
        let mut options = stage.backup_options();
        options.repository = through(options.repository, &proxy.endpoint());
        options.uploads = 1;
        let (progress, cancel) = (Progress::new(), CancellationToken::new());
        let interrupt = async {
            reach(&progress, chunks).await;
            cancel.cancel();
        };
        let (ended, ()) = tokio::join!(backup_dump::run(options, &progress, &cancel), interrupt);
        let error = ended.unwrap_err();
        assert_eq!(error.class(), Class::Interrupted, "after {chunks} chunks: {error:?}");
        stage.assert_no_session(&format!("after {chunks} chunks")).await;
    }
    assert_nothing_left(&stage).await;
}
