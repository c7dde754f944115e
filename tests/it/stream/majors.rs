//! Every PostgreSQL beside the one that all other tests use.

use std::time::Duration;

use super::stage::{Stage, timeline};
use crate::support::majors::postgres_majors;
use crate::support::skip;

const SOON: Duration = Duration::from_mins(1);

/// A streamer is killed in the middle of a load and another goes on: not a byte is missing, none differs (PAINS A19).
async fn killed_and_continued(major: u32) {
    let test = format!("a killed streamer on PostgreSQL {major}");
    let Some(installed) = postgres_majors(&test).into_iter().find(|installed| installed.major == major) else {
        skip(&test, "not installed; see tests/servers/postgres");
        return;
    };
    let chosen = Stage::new(&test, |options| {
        options.bin_dir = Some(installed.bin_dir);
        options.wal_segment_mib = Some(1);
    });
    let Some(stage) = chosen.await else { return };
    let number = "SELECT current_setting('server_version_num')::int / 10000";
    let runs: i32 = stage.session().await.client().query_one(number, &[]).await.unwrap().get(0);
    assert_eq!(u32::try_from(runs), Ok(major), "the server is the one that was asked for");

    let streamer = stage.stream("");
    let seen = stage.write(5000).await;
    stage.flushed(seen, SOON).await;
    let writing = async {
        loop {
            stage.write(3000).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(fastrand::u64(200..1200)), writing).await;
    streamer.kill().await;
    let kept = stage.restart_lsn("stonewal").await.unwrap();
    let unseen = stage.write(20_000).await;
    assert!(kept >= seen.floor(1 << 20) && kept < unseen, "{kept} {seen} {unseen}");

    let streamer = stage.stream("");
    let last = stage.write(1000).await;
    stage.flushed(last, SOON).await;
    let said = streamer.stop().await;
    let coverage = stage.coverage(timeline(1)).await;
    assert_eq!((coverage.windows.len(), coverage.gaps.len()), (1, 0), "{coverage:?}\n{said}");
    stage.assert_stored(stage.server(), timeline(1), coverage.windows[0].start, last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i08_a_killed_streamer_loses_nothing_on_13() {
    Box::pin(killed_and_continued(13)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i08_a_killed_streamer_loses_nothing_on_14() {
    Box::pin(killed_and_continued(14)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i08_a_killed_streamer_loses_nothing_on_16() {
    Box::pin(killed_and_continued(16)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i08_a_killed_streamer_loses_nothing_on_17() {
    Box::pin(killed_and_continued(17)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i08_a_killed_streamer_loses_nothing_on_18() {
    Box::pin(killed_and_continued(18)).await;
}
