//! `status` of a cluster whose WAL is streamed from a standby.

use std::time::Duration;

use super::failover::{caught_up, standby};
use super::stage::{Stage, flushed, url};

const SOON: Duration = Duration::from_secs(20);

/// PAINS C3: the standby's own position counts: green while all of it is in the bucket, red when the streamer is gone, and when
/// its slot is.
#[tokio::test(flavor = "multi_thread")]
async fn i09_a_standby_that_is_ahead_of_the_bucket_is_red() {
    let Some(stage) = Stage::new("a status of a standby", |_| {}).await else { return };
    let mirror = standby(&stage, "mirror").await;
    let from = format!("--from {}", url(&mirror));
    let stream = || {
        stage.stream_with("", |command| {
            command.env("REPLICATION_DATABASE_URL", url(&mirror));
        })
    };
    let streamer = stream();
    flushed(&mirror, stage.write(1000).await, SOON).await;
    stage.base().await;
    flushed(&mirror, stage.write(1000).await, SOON).await;
    let well = stage.status(&from).await;
    well.is(&[], &[]);
    assert_eq!(well.document["server"]["standby"], true, "{:#}", well.document);
    assert_eq!(well.document["lag"]["bytes"], 0, "{:#}", well.document);

    streamer.kill().await;
    let lsn = stage.write(1000).await;
    caught_up(&mirror, lsn).await;
    let late = stage.until("lag", &format!("--max-lag 4s {from}"), SOON).await;
    late.is(&["lag"], &["slot-idle"]);
    assert!(late.document["lag"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{:#}", late.document);
    // It catches up, and all is well again.
    let streamer = stream();
    flushed(&mirror, lsn, SOON).await;
    stage.status(&format!("--max-lag 4s {from}")).await.is(&[], &[]);
    streamer.stop().await;
    mirror.execute("postgres", "SELECT pg_drop_replication_slot('stonewal')").await.unwrap();
    let gone = stage.status(&from).await;
    gone.is(&["no-slot"], &[]);
}
