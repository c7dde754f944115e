//! Streamers that die at any moment, and several at once.

use std::time::Duration;

use super::stage::{Stage, timeline};
use crate::support::rounds;

const SOON: Duration = Duration::from_secs(30);

/// PAINS A19 and F5. `STONEWAL_TEST_ROUNDS=200` for the large run.
#[tokio::test(flavor = "multi_thread")]
async fn i08_a_streamer_killed_at_any_moment_loses_nothing() {
    let Some(mut stage) = Stage::new("killed streamers", |options| options.wal_segment_mib = Some(1)).await else {
        return;
    };
    // So that reports between kills come from many places in a segment.
    stage.fixture.server.set("checkpoint_timeout", "30s");
    let mut random = fastrand::Rng::new();
    for round in 0..rounds(8) {
        let streamer = stage.stream("");
        let writing = async {
            loop {
                stage.write(random.u32(1..2000)).await;
                // All of it is kept, for the comparison.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        let lifetime = Duration::from_millis(fastrand::u64(100..2500));
        let _ = tokio::time::timeout(lifetime, writing).await;
        streamer.kill().await;
        // Whatever the server was told is durable must be there, without the streamer's help.
        if let Some(kept) = stage.restart_lsn("stonewal").await {
            let stored = stage.coverage(timeline(1)).await;
            let end = stored.windows.iter().find(|window| window.start <= kept && kept <= window.end);
            let nothing_yet = stored.windows.is_empty();
            assert!(end.is_some() || nothing_yet, "round {round}: the slot is at {kept}, stored: {:?}", stored.windows);
        }
    }
    let streamer = stage.stream("");
    let lsn = stage.write(1000).await;
    stage.flushed(lsn, SOON).await;
    streamer.stop().await;
    let coverage = stage.coverage(timeline(1)).await;
    assert_eq!(coverage.windows.len(), 1, "{:?}", coverage.windows);
    assert!(coverage.gaps.is_empty(), "{:?}", coverage.gaps);
    stage.assert_stored(stage.server(), timeline(1), coverage.windows[0].start, lsn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_streamers_at_once_do_not_harm_each_other() {
    let Some(stage) = Stage::new("two streamers", |options| options.wal_segment_mib = Some(1)).await else { return };
    let mut one = stage.stream("");
    one.says("streaming timeline", SOON).await;
    let first = stage.write(100).await;
    stage.flushed(first, SOON).await;
    let two = stage.stream_with("--slot second", |command| {
        command.env("STONEWAL_WAL_APPLICATION_NAME", "other");
    });
    let mut lsn = first;
    for _ in 0..5 {
        lsn = stage.write(20_000).await;
        stage.flushed(lsn, SOON).await;
    }
    one.stop().await;
    two.stop().await;
    let coverage = stage.coverage(timeline(1)).await;
    assert_eq!((coverage.windows.len(), coverage.gaps.len()), (1, 0), "{coverage:?}");
    stage.assert_stored(stage.server(), timeline(1), coverage.windows[0].start, lsn).await;
    let pieces = stage.objects().await.into_iter().filter(|entry| !entry.key.as_str().contains("partial"));
    let mut keys: Vec<_> = pieces.map(|entry| entry.key.to_string()).collect();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "no name is written twice (invariant I3)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_streamer_on_the_slot_is_refused() {
    let Some(stage) = Stage::new("one slot", |options| {
        options.settings.push(("wal_sender_timeout".into(), "5s".into()));
    })
    .await
    else {
        return;
    };
    let mut one = stage.stream("");
    one.says("streaming timeline", SOON).await;
    // It waits for as long as the other might be a connection that died, and says so at once.
    let mut two = stage.stream("");
    two.says("is active for PID", SOON).await;
    one.kill().await;
    two.says("streaming timeline", SOON).await;
    two.stop().await;
}
