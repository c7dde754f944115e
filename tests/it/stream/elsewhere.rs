//! WAL that one server has lost and another still has is no gap (invariant I9).

use std::time::Duration;

use stonewal::postgres::Session;
use stonewal::postgres::replication::Client;
use stonewal::postgres::server::Server;

use super::failover::{caught_up, standby};
use super::gaps::{frugal, remove_wal};
use super::stage::{Stage, Streamer, timeline};

const SOON: Duration = Duration::from_mins(1);

/// A streamer that knows both servers.
fn stream(stage: &Stage, other: &Server) -> Streamer {
    let ports = [stage.server().port(), other.port()].map(|port| format!("127.0.0.1:{port}")).join(",");
    let url = format!("postgres://postgres@{ports}/postgres?sslmode=disable&target_session_attrs=read-write");
    stage.stream_with("", |command| {
        command.env("REPLICATION_DATABASE_URL", &url);
    })
}

async fn drop_slot(stage: &Stage) {
    let drop = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active";
    stage.session().await.client().batch_execute(drop).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.session().await.client().batch_execute("SELECT pg_drop_replication_slot('stonewal')").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i09_what_another_server_still_has_is_no_gap() {
    let Some(stage) = frugal("WAL elsewhere").await else { return };
    let mut other = standby(&stage, "s2").await;
    let streamer = stream(&stage, &other);
    let lsn = stage.write(5000).await;
    stage.flushed(lsn, SOON).await;
    streamer.kill().await;
    drop_slot(&stage).await;
    for _ in 0..12 {
        // Before each checkpoint, or the standby may not have got what that removes.
        caught_up(&other, stage.write(20_000).await).await;
        stage.session().await.client().batch_execute("CHECKPOINT").await.unwrap();
    }
    // The one that has it does not answer for a while: it is waited for.
    other.shut_down(stonewal::postgres::server::Stop::Fast).await.unwrap();
    let mut streamer = stream(&stage, &other);
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

/// A standby that no longer receives has only the beginning: it gives that, the rest is a gap, and the primary is streamed again.
#[tokio::test(flavor = "multi_thread")]
async fn i09_what_another_server_has_only_in_part_ends_in_a_gap() {
    let Some(stage) = frugal("WAL elsewhere in part").await else { return };
    let other = standby(&stage, "s2").await;
    let streamer = stream(&stage, &other);
    let stored = stage.write(5000).await;
    stage.flushed(stored, SOON).await;
    streamer.kill().await;
    drop_slot(&stage).await;
    let held = stage.write(5000).await;
    caught_up(&other, held).await;
    let session = Session::connect(&other.conninfo("postgres").unwrap(), "stage").await.unwrap();
    for sql in ["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"] {
        session.client().batch_execute(sql).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        remove_wal(&stage).await;
    }
    let mut streamer = stream(&stage, &other);
    streamer.says("is asked for from", SOON).await;
    streamer.says("the gap is recorded, take a new base backup", SOON).await;
    let lsn = stage.write(100).await;
    stage.flushed(lsn, SOON).await;
    let coverage = stage.coverage(timeline(1)).await;
    let [gap] = &coverage.gaps[..] else { panic!("one gap: {:?}\n{}", coverage.gaps, streamer.said()) };
    assert!(gap.start >= held && stored < held, "what the standby had is stored: {gap:?}, {held}\n{}", streamer.said());
    let [before, after] = &coverage.windows[..] else { panic!("two windows: {:?}", coverage.windows) };
    assert_eq!((before.end, after.start), (gap.start, gap.end), "the gap is exactly what is missing");
    assert!(after.end >= lsn);
}

/// The bucket's WAL is compared over a second connection; a server that has none to spare is streamed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_second_wal_sender_is_streamed_uncompared() {
    let Some(stage) = Stage::new("one WAL sender", |options| {
        options.wal_segment_mib = Some(1);
        options.settings.push(("max_wal_senders".into(), "2".into()));
    })
    .await
    else {
        return;
    };
    let streamer = stage.stream("");
    stage.flushed(stage.write(20_000).await, SOON).await;
    streamer.stop().await;
    let taken = Client::connect(&stage.server().conninfo("postgres").unwrap(), "another").await.unwrap();
    let mut streamer = stage.stream("");
    streamer.says("streaming timeline", SOON).await;
    assert!(streamer.said().contains("is not compared with what is stored"), "{}", streamer.said());
    stage.flushed(stage.write(100).await, SOON).await;
    streamer.stop().await;
    drop(taken);
}
