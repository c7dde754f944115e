//! WAL that is lost is written down (invariant I9), and WAL of others is refused.

use std::time::Duration;

use super::stage::{Stage, cluster, timeline, url};
use crate::support::proxy::{Proxy, Weather};

const SOON: Duration = Duration::from_mins(1);

/// Small segments, and no more of them kept than the slot asks for.
pub(super) async fn frugal(test: &str) -> Option<Stage> {
    Stage::new(test, |options| {
        options.wal_segment_mib = Some(1);
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        options.settings.extend([
            set("wal_keep_size", "0"),
            set("min_wal_size", "2MB"),
            set("max_wal_size", "4MB"),
            set("max_slot_wal_keep_size", "3MB"),
        ]);
    })
    .await
}

pub(super) async fn remove_wal(stage: &Stage) {
    for _ in 0..4 {
        stage.write(20_000).await;
        stage.session().await.client().batch_execute("CHECKPOINT").await.unwrap();
    }
}

/// Drops the slot of a streamer that was killed.
pub(super) async fn drop_slot(stage: &Stage) {
    let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active";
    stage.session().await.client().batch_execute(end).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.session().await.client().batch_execute("SELECT pg_drop_replication_slot('stonewal')").await.unwrap();
}

/// What remains is stored, the gap is recorded, and streaming goes on.
async fn assert_one_gap(stage: &Stage) {
    let lsn = stage.write(100).await;
    stage.flushed(lsn, SOON).await;
    let coverage = stage.coverage(timeline(1)).await;
    let [gap] = &coverage.gaps[..] else { panic!("one gap: {:?}", coverage.gaps) };
    assert_eq!(gap.cluster, cluster());
    let [before, after] = &coverage.windows[..] else { panic!("two windows: {:?}", coverage.windows) };
    assert_eq!((before.end, after.start), (gap.start, gap.end), "the gap is exactly what is missing");
    stage.assert_stored(stage.server(), timeline(1), after.start.max(kept_from(stage)), lsn).await;
}

/// Start of the oldest segment in `pg_wal`.
fn kept_from(stage: &Stage) -> stonewal::format::Lsn {
    let names = std::fs::read_dir(stage.server().data_dir().join("pg_wal")).unwrap();
    let names = names.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let starts = names.filter_map(|name| match name {
        stonewal::format::WalFileName::Segment(name) => name.start(stage.segment()),
        _ => None,
    });
    starts.min().unwrap()
}

/// PAINS A19.
#[tokio::test(flavor = "multi_thread")]
async fn i09_a_slot_dropped_behind_our_back_leaves_a_recorded_gap() {
    let Some(stage) = frugal("dropped slot").await else { return };
    let streamer = stage.stream("");
    let lsn = stage.write(5000).await;
    stage.flushed(lsn, SOON).await;
    streamer.kill().await;
    drop_slot(&stage).await;
    remove_wal(&stage).await;

    let mut streamer = stage.stream("");
    streamer.says("the gap is recorded, take a new base backup", SOON).await;
    assert_one_gap(&stage).await;
    let said = {
        streamer.signal(rustix::process::Signal::TERM);
        streamer.end().await
    };
    assert_eq!(said.code(), Some(3), "a gap is a warning at the end, too: {}", streamer.said());

    // The next one knows the gap and records none.
    let again = stage.stream("");
    let lsn = stage.write(100).await;
    stage.flushed(lsn, SOON).await;
    again.stop().await;
    assert_eq!(stage.coverage(timeline(1)).await.gaps.len(), 1);
}

/// PAINS A19.
/// The store is away for so long that the server gives up the slot. Everything received is stored afterwards, the rest is a gap.
#[tokio::test(flavor = "multi_thread")]
async fn i09_a_slot_that_the_server_gave_up_leaves_a_recorded_gap() {
    let Some(stage) = frugal("lost slot").await else { return };
    let address = stage.store.endpoint().trim_start_matches("http://").parse().unwrap();
    let proxy = Proxy::start(address, Weather::Fair).await;
    let mut streamer = stage.stream_with("", |command| {
        command.env("AWS_ENDPOINT_URL_S3", proxy.endpoint()).env("STONEWAL_LIMITS_UPLOADS", "1");
    });
    let lsn = stage.write(1000).await;
    stage.flushed(lsn, SOON).await;
    proxy.set(Weather::Refuse);
    let lost = async {
        loop {
            remove_wal(&stage).await;
            let state = stage.session().await.slot("stonewal").await.unwrap();
            if state.is_none_or(|slot| slot.wal_status == Some(stonewal::postgres::slot::WalStatus::Lost)) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, lost).await.expect("the server gives up the slot");
    remove_wal(&stage).await;
    assert!(streamer.is_running(), "{}", streamer.said());
    proxy.set(Weather::Fair);
    streamer.says("the gap is recorded, take a new base backup", SOON).await;
    assert_one_gap(&stage).await;
}

/// PAINS A6.
#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_refused_before_anything_is_written() {
    let Some(stage) = Stage::new("wrong cluster", |_| {}).await else { return };
    let streamer = stage.stream("");
    let lsn = stage.write(100).await;
    stage.flushed(lsn, SOON).await;
    streamer.stop().await;
    let before: Vec<_> = stage.objects().await.into_iter().map(|entry| entry.key).collect();
    let Some(other) = Stage::new("wrong cluster", |_| {}).await else { return };
    let mut wrong = stage.stream_with("", |command| {
        command.env("REPLICATION_DATABASE_URL", url(other.server()));
    });
    let status = wrong.end().await;
    assert!(!status.success() && wrong.said().contains("with system identifier"), "{}", wrong.said());
    let after: Vec<_> = stage.objects().await.into_iter().map(|entry| entry.key).collect();
    assert_eq!(before, after);
    assert_eq!(other.restart_lsn("stonewal").await, None, "no slot is left on the wrong server");
}
