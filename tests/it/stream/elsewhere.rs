//! WAL that one server has lost and another still has is no gap (invariant I9).

use std::time::Duration;

use super::failover::{caught_up, standby};
use super::gaps::{frugal, remove_wal};
use super::stage::timeline;

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn i09_what_another_server_still_has_is_no_gap() {
    let Some(stage) = frugal("WAL elsewhere").await else { return };
    let mut other = standby(&stage, "s2").await;
    let ports = [stage.server().port(), other.port()].map(|port| format!("127.0.0.1:{port}")).join(",");
    let url = format!("postgres://postgres@{ports}/postgres?sslmode=disable&target_session_attrs=read-write");
    let stream = || {
        stage.stream_with("", |command| {
            command.env("REPLICATION_DATABASE_URL", &url);
        })
    };
    let streamer = stream();
    let lsn = stage.write(5000).await;
    stage.flushed(lsn, SOON).await;
    streamer.kill().await;
    let drop = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active";
    stage.session().await.client().batch_execute(drop).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.session().await.client().batch_execute("SELECT pg_drop_replication_slot('stonewal')").await.unwrap();
    for _ in 0..3 {
        remove_wal(&stage).await;
        caught_up(&other, stage.write(1).await).await;
    }
    // The one that has it does not answer for a while: it is waited for.
    other.shut_down(stonewal::postgres::server::Stop::Fast).await.unwrap();
    let mut streamer = stream();
    streamer.says("one that does not may have it", SOON).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(stage.coverage(timeline(1)).await.gaps.is_empty(), "{}", streamer.said());
    other.restart().await.unwrap();
    streamer.says("is asked for from", SOON).await;
    let lsn = stage.write(100).await;
    stage.flushed(lsn, SOON).await;
    let said = streamer.stop().await;
    let coverage = stage.coverage(timeline(1)).await;
    assert_eq!((coverage.windows.len(), coverage.gaps.len()), (1, 0), "{coverage:?}\n{said}");
    assert!(coverage.end() >= Some(lsn));
}
