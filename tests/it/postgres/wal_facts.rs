//! What each version of the server says of its WAL.

use std::time::Duration;

use stonewal::format::SegmentSize;
use stonewal::postgres::Session;
use stonewal::postgres::server::ServerOptions;
use stonewal::postgres::slot::WalStatus;

use crate::support::majors::{Installed, postgres_majors};

/// All at once: the servers wait for their archivers, each for seconds.
#[tokio::test(flavor = "multi_thread")]
async fn every_version_tells_everything_to_a_superuser() {
    let all = postgres_majors("facts about WAL");
    futures::future::join_all(all.iter().map(tells_everything)).await;
}

async fn tells_everything(installed: &Installed) {
    let folder = tempfile::Builder::new()
        .prefix("swf")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .tempdir()
        .unwrap();
    let mut options = ServerOptions::new(folder.path().join("pg"));
    options.bin_dir = Some(installed.bin_dir.clone());
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    options.settings.extend([
        set("archive_mode", "on"),
        set("archive_command", "false"),
        set("archive_timeout", "7min"),
        set("max_slot_wal_keep_size", "100MB"),
        set("track_commit_timestamp", "on"),
    ]);
    let server = crate::support::clusters::start(&options).await.unwrap();
    for sql in ["SELECT pg_create_physical_replication_slot('s', true)", "CREATE TABLE t ()", "SELECT pg_switch_wal()"]
    {
        server.execute("postgres", sql).await.unwrap();
    }
    let session = Session::connect(&server.conninfo("postgres").unwrap(), "test").await.unwrap();
    let failed = async {
        loop {
            let facts = session.wal_facts("stonewal").await.unwrap();
            if facts.archiver.as_ref().unwrap().is_failing() {
                break facts;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let facts = tokio::time::timeout(Duration::from_secs(30), failed).await.unwrap();
    let major = installed.major;
    assert_eq!(facts.unread, [], "PostgreSQL {major}");
    assert_eq!((facts.version / 10_000, facts.standby, facts.timeline.unwrap().get()), (major, false, 1));
    assert!(facts.position.is_some() && facts.system_identifier.is_some() && facts.last_commit_at.is_some());
    assert_eq!(facts.settings.segment_bytes, Some(SegmentSize::DEFAULT));
    assert_eq!((facts.settings.archiving, facts.settings.archive_timeout_seconds), (true, 420));
    assert_eq!(facts.settings.slot_keep_bytes, Some(100 << 20));
    let slot = facts.slot("s").unwrap();
    assert_eq!((slot.physical, slot.active, slot.wal_status), (true, false, Some(WalStatus::Reserved)));
    assert!(slot.safe_bytes.is_some_and(|bytes| bytes > 0) && slot.retained_bytes.is_some_and(|bytes| bytes > 0));
    let archiver = facts.archiver.unwrap();
    assert!(archiver.failed > 0 && archiver.last_failed.is_some() && archiver.last_archived.is_none());
    let backlog = facts.backlog.unwrap();
    assert!(backlog.files > 0 && backlog.bytes == Some(backlog.files << 24) && backlog.oldest_at.is_some());
    assert!(facts.wal_bytes.is_some_and(|bytes| bytes >= 16 << 20));
    assert_eq!(facts.written.is_some_and(|written| written.bytes > 0), major >= 14, "PostgreSQL {major}");
    drop(session);
    server.stop().await.unwrap();
}
