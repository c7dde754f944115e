//! What is stored is what the server wrote, byte for byte.

use std::time::Duration;

use stonewal::format::Lsn;

use super::stage::{Stage, timeline};

const SOON: Duration = Duration::from_secs(20);

/// PAINS B12.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_is_stored_in_segments_of_every_size() {
    for mib in [1, 16, 64] {
        let Some(stage) = Stage::new("streaming", |options| options.wal_segment_mib = Some(mib)).await else { return };
        let streamer = stage.stream("");
        let mut lsn = Lsn::default();
        for _ in 0..6 {
            lsn = stage.write(36_000).await;
            stage.flushed(lsn, SOON).await;
        }
        let first = stage.coverage(timeline(1)).await.windows[0].start;
        stage.assert_stored(stage.server(), timeline(1), first, lsn).await;
        // A graceful end leaves the very last byte durable, as far as the server had sent it.
        let last = stage.write(10).await;
        let said = streamer.stop().await;
        assert!(said.contains("is durable up to"), "{said}");
        stage.assert_stored(stage.server(), timeline(1), first, last).await;
        assert!(stage.restart_lsn("stonewal").await.unwrap() >= last, "the last report reached the server");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_writes_nothing() {
    let Some(stage) = Stage::new("an idle server", |_| {}).await else { return };
    let streamer = stage.stream("");
    let lsn = stage.write(10).await;
    stage.flushed(lsn, SOON).await;
    // What a server writes by itself (running transactions, after 15 s) is over by then or has not begun.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = stage.objects().await.len();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = stage.objects().await.len();
    assert!(after <= before + 1, "{before} objects became {after}");
    streamer.stop().await;
}
