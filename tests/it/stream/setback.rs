//! Servers that went another way under the same name, timeline and positions.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stonewal::postgres::server::{OpenOptions, Server, Stop, hand_over};

use super::stage::{Stage, timeline, url, write};

const SOON: Duration = Duration::from_secs(30);

/// The data directory as it is now, for a server of its own.
async fn snapshot(stage: &mut Stage) -> std::path::PathBuf {
    stage.fixture.server.shut_down(Stop::Fast).await.unwrap();
    let copy = stage.server().dir().join("snapshot");
    let status = Command::new("cp").arg("-a").arg(stage.server().data_dir()).arg(&copy).status().unwrap();
    assert!(status.success());
    stage.fixture.server.restart().await.unwrap();
    stage.fixture.server.wait_writable(SOON).await.unwrap();
    copy
}

async fn open(stage: &Stage, data: &Path) -> Server {
    hand_over(data).unwrap();
    let mut options = OpenOptions::new(data, stage.server().dir().join("snapshot-run"));
    options.bin_dir = Some(stage.server().bin_dir().into());
    options.settings = vec![("fsync".into(), "off".into()), ("wal_keep_size".into(), "10GB".into())];
    let mut server = Server::open(&options).await.unwrap();
    server.wait_writable(SOON).await.unwrap();
    server
}

/// As after a virtual machine was set back: refused while it is behind, and when it has written more than is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_set_back_is_refused_before_anything_is_written() {
    for rows in [0_u32, 60_000] {
        let Some(mut stage) = Stage::new("set back", |options| options.wal_segment_mib = Some(1)).await else { return };
        let lsn = stage.write(100).await;
        let streamer = stage.stream("");
        stage.flushed(lsn, SOON).await;
        streamer.stop().await;
        let data = snapshot(&mut stage).await;
        let streamer = stage.stream("");
        let lsn = stage.write(20_000).await;
        stage.flushed(lsn, SOON).await;
        streamer.stop().await;
        let before: Vec<_> = stage.objects().await.into_iter().map(|entry| (entry.key, entry.version)).collect();
        stage.fixture.server.kill().await.unwrap();

        let server = open(&stage, &data).await;
        let at = write(&server, rows.max(1)).await;
        assert_eq!(at > lsn, rows > 0, "{at} and {lsn}");
        let mut streamer = stage.stream_with("", |command| {
            command.env("REPLICATION_DATABASE_URL", url(&server));
        });
        let status = streamer.end().await;
        assert_eq!(status.code(), Some(4), "{}", streamer.said());
        assert!(streamer.said().contains("it was set back to an earlier state"), "{}", streamer.said());
        let after: Vec<_> = stage.objects().await.into_iter().map(|entry| (entry.key, entry.version)).collect();
        assert_eq!(before, after, "{}", streamer.said());
    }
}

/// The same under a running streamer: another server streams beside, and writes other bytes at the next positions.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_streamer_stops_at_bytes_that_another_wrote() {
    let Some(mut stage) = Stage::new("diverging", |options| options.wal_segment_mib = Some(1)).await else { return };
    stage.write(100).await;
    let data = snapshot(&mut stage).await;
    let other = open(&stage, &data).await;
    let mut one = stage.stream("");
    one.says("streaming timeline", SOON).await;
    stage.flushed(stage.write(1).await, SOON).await;
    // Nothing is whole yet: the other streamer has nothing to prove itself by but partials, and is on its own server first.
    let mut two = stage.stream_with("--slot other", |command| {
        command.env("REPLICATION_DATABASE_URL", url(&other));
    });
    for _ in 0..40 {
        stage.write(2000).await;
        write(&other, 2000).await;
        if !one.is_running() || !two.is_running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ended = if one.is_running() { &mut two } else { &mut one };
    assert_eq!(ended.end().await.code(), Some(4), "{}", ended.said());
    let pieces = stage.objects().await.into_iter().filter(|entry| !entry.key.as_str().contains("partial"));
    let mut keys: Vec<_> = pieces.map(|entry| entry.key.to_string()).collect();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "nothing is written over");
    assert!(!stage.coverage(timeline(1)).await.windows.is_empty());
}
