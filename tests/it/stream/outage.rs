//! A store that goes away and comes back, and servers that do.

use std::time::{Duration, Instant};

use stonewal::store::roles::Role;

use super::stage::{Stage, timeline};
use crate::support::proxy::{Proxy, Weather};
use crate::support::variable;

const SOON: Duration = Duration::from_secs(30);

/// 60 s in the large run. A store that refuses is away for so long that it is told.
fn outage(weather: Weather) -> Duration {
    let usual = if matches!(weather, Weather::Refuse) { 13 } else { 5 };
    Duration::from_secs(variable("STONEWAL_TEST_OUTAGE_SECONDS").map_or(usual, |text| text.parse().unwrap()))
}

async fn walsender(stage: &Stage) -> i32 {
    let sql = "SELECT pid FROM pg_stat_replication WHERE application_name = 'stonewal'";
    stage.session().await.client().query_one(sql, &[]).await.unwrap().get(0)
}

/// PAINS C1.
/// The store is cut off, or takes connections and says nothing: the connection to the server stays, although it would end
/// a silent one after 3 s; nothing is reported that is not durable; afterwards everything drains in order.
#[tokio::test(flavor = "multi_thread")]
async fn i08_a_store_that_is_gone_for_a_while_costs_nothing() {
    for weather in [Weather::Refuse, Weather::Blackhole] {
        let Some(stage) = Stage::new("store outage", |options| {
            options.wal_segment_mib = Some(1);
            options.settings.push(("wal_sender_timeout".into(), "3s".into()));
        })
        .await
        else {
            return;
        };
        let proxy = Proxy::start(address(&stage.store.endpoint()), Weather::Fair).await;
        let mut streamer = stage.stream_with("", |command| {
            command.env("AWS_ENDPOINT_URL_S3", proxy.endpoint());
        });
        let lsn = stage.write(10_000).await;
        stage.flushed(lsn, SOON).await;
        let pid = walsender(&stage).await;

        proxy.set(weather);
        let begin = Instant::now();
        let mut last = lsn;
        while begin.elapsed() < outage(weather) {
            last = stage.write(4_000).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let kept = stage.restart_lsn("stonewal").await.unwrap();
        let stored = stage.coverage(timeline(1)).await.windows[0].end;
        assert!(kept <= stored && kept < last, "{kept} is reported, {stored} is stored, {last} is written");
        assert_eq!(walsender(&stage).await, pid, "the connection was kept");
        assert!(streamer.is_running());

        proxy.set(Weather::Fair);
        stage.flushed(last, Duration::from_mins(1)).await;
        assert_eq!(walsender(&stage).await, pid, "the connection was kept");
        let first = stage.coverage(timeline(1)).await.windows[0].start;
        stage.assert_stored(stage.server(), timeline(1), first, last).await;
        if matches!(weather, Weather::Refuse) {
            // Once each, however often it was tried.
            streamer.says("the bucket stores WAL again; it took", SOON).await;
            let told = streamer.said().matches("warning: the bucket cannot be reached (").count();
            assert_eq!(told, 1, "{}", streamer.said());
        }
        streamer.stop().await;
    }
}

/// At the start nothing is at stake yet: whoever started it must be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_is_reported_and_not_waited_for() {
    let Some(stage) = Stage::new("black-holed store", |_| {}).await else { return };
    let proxy = Proxy::start(address(&stage.store.endpoint()), Weather::Blackhole).await;
    let mut streamer = stage.stream_with("", |command| {
        command.env("AWS_ENDPOINT_URL_S3", proxy.endpoint()).env("STONEWAL_S3_DEADLINE", "5s");
    });
    assert_eq!(streamer.end().await.code(), Some(1), "{}", streamer.said());
    assert!(streamer.said().contains("did not finish within 5 s"), "{}", streamer.said());
    assert_eq!(stage.restart_lsn("stonewal").await, None, "no slot was left behind");
}

/// Permissions that were taken away do not come back by themselves: the streamer ends, and the server keeps the WAL.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_denies_ends_the_streamer() {
    let Some(stage) = Stage::new("denied", |_| {}).await else { return };
    let reader = stage.store.credentials(Role::Reader).unwrap();
    let mut streamer = stage.stream_with("", |command| {
        command.env("AWS_ACCESS_KEY_ID", &reader.access_key);
        command.env("AWS_SECRET_ACCESS_KEY", secrecy::ExposeSecret::expose_secret(&reader.secret_key));
    });
    assert_eq!(streamer.end().await.code(), Some(1), "{}", streamer.said());
    assert!(streamer.said().contains("s3:PutObject"), "{}", streamer.said());
    assert!(stage.objects().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn server_restarts_and_crashes_are_followed() {
    let Some(mut stage) = Stage::new("server restart", |options| options.wal_segment_mib = Some(1)).await else {
        return;
    };
    let mut streamer = stage.stream("");
    let mut lsn = stage.write(10_000).await;
    for crash in [false, true, false] {
        stage.flushed(lsn, SOON).await;
        if crash {
            stage.fixture.server.kill().await.unwrap();
        }
        stage.fixture.server.restart().await.unwrap();
        stage.fixture.server.wait_writable(SOON).await.unwrap();
        lsn = stage.write(10_000).await;
        assert!(streamer.is_running(), "{}", streamer.said());
    }
    stage.flushed(lsn, SOON).await;
    let first = stage.coverage(timeline(1)).await.windows[0].start;
    stage.assert_stored(stage.server(), timeline(1), first, lsn).await;
    streamer.stop().await;
}

fn address(endpoint: &str) -> std::net::SocketAddr {
    endpoint.trim_start_matches("http://").parse().unwrap()
}
