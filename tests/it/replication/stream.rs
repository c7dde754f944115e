//! WAL as it is on the server's disk, up to the end of a timeline.

use std::process::Command;
use std::time::Duration;

use stonewal::format::{Lsn, SegmentName, SegmentSize, Timeline};
use stonewal::postgres::Error;
use stonewal::postgres::replication::{Fault, WalEvent, WalStream};
use stonewal::postgres::server::{OpenOptions, Server, Stop, hand_over, make_standby};
use stonewal::postgres::slot::WalStatus;
use tokio::task::JoinSet;

use super::{Ground, fault};
use crate::support::majors::postgres_majors;

fn first() -> Timeline {
    Timeline::new(1).unwrap()
}

/// Writes about so many MiB of WAL that nothing compresses.
async fn write_wal(ground: &Ground, mib: u32) {
    let sql = format!(
        "SELECT count(pg_catalog.pg_logical_emit_message(n % 2 = 0, 'test',
         pg_catalog.repeat(pg_catalog.md5(n::text), 32768))) FROM pg_catalog.generate_series(1, {mib}) AS n"
    );
    ground.value(&sql).await;
}

/// Reads up to `end` with reads that are interrupted all the time, while another task reports.
async fn read_interrupted(stream: WalStream, end: Lsn) -> (Vec<u8>, WalStream) {
    let (mut reader, mut status) = stream.split();
    let (sender, mut position) = tokio::sync::watch::channel(reader.position());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while position.changed().await.is_ok() {
            let at = *position.borrow();
            status.status(at, at, at, fastrand::bool()).await.unwrap();
        }
        status
    });
    let (mut bytes, mut from) = (Vec::new(), None);
    while reader.position() < end {
        let patience = Duration::from_micros(fastrand::u64(0..2000));
        let Ok(event) = tokio::time::timeout(patience, reader.next()).await else { continue };
        match event.unwrap() {
            WalEvent::Data { start, bytes: piece, server_end, .. } => {
                assert_eq!(start.since(*from.get_or_insert(start)), bytes.len() as u64);
                assert!(server_end >= start);
                bytes.extend_from_slice(&piece);
            }
            WalEvent::Keepalive { .. } => {}
            other => panic!("{other:?}"),
        }
        sender.send_replace(reader.position());
    }
    drop(sender);
    let status = tasks.join_next().await.unwrap().unwrap();
    (bytes, WalStream::join(reader, status))
}

#[tokio::test]
async fn a_hundred_megabytes_are_pg_wal_byte_for_byte() {
    let all = postgres_majors("streaming");
    for installed in &all {
        let ground =
            Ground::new(installed, |options| options.settings.push(("wal_keep_size".into(), "1GB".into()))).await;
        let mut client = ground.client().await;
        client.create_slot("s", true).await.unwrap();
        let size = client.segment_size().await.unwrap();
        let start = client.identify_system().await.unwrap().flush_lsn.floor(size.bytes());
        let stream = client.start_replication(Some("s"), start, first()).await.unwrap();
        write_wal(&ground, if installed.major == all[all.len() - 1].major { 100 } else { 40 }).await;
        ground.execute("SELECT pg_switch_wal()").await;
        let end = ground.lsn("SELECT pg_catalog.pg_current_wal_flush_lsn()").await.floor(size.bytes());
        let (bytes, stream) = read_interrupted(stream, end).await;
        let whole = end.since(start) / size.bytes();
        assert!(whole >= 2, "{whole} segments");
        for (number, segment) in bytes.chunks_exact(usize::try_from(size.bytes()).unwrap()).enumerate() {
            let name = SegmentName::holding(first(), start.plus(number as u64 * size.bytes()), size);
            let file = std::fs::read(ground.server.data_dir().join("pg_wal").join(name.to_string())).unwrap();
            assert!(segment == file, "{name} of PostgreSQL {} differs", installed.major);
        }
        // What was reported is what the server shows.
        let session = ground.session().await;
        let reported = async {
            while session.slot("s").await.unwrap().unwrap().restart_lsn.is_none_or(|lsn| lsn < end) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reported).await.unwrap();
        let mut client = stream.finish().await.unwrap();
        client.identify_system().await.unwrap();
    }
}

/// Reads until something other than data and keepalives comes, reporting all the time.
async fn to_the_end(stream: &mut WalStream) -> Result<WalEvent, Error> {
    loop {
        match stream.next().await? {
            WalEvent::Data { .. } | WalEvent::Keepalive { .. } => {
                let at = stream.position();
                stream.status(at, at, at, false).await?;
            }
            other => return Ok(other),
        }
    }
}

#[tokio::test]
async fn a_promoted_standby_ends_the_timeline_and_goes_on() {
    for installed in postgres_majors("timelines") {
        let mut ground = Ground::new(&installed, |_| {}).await;
        ground.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n").await;
        ground.server.shut_down(Stop::Fast).await.unwrap();
        let copy = ground.path("copy");
        assert!(Command::new("cp").arg("-a").arg(ground.server.data_dir()).arg(&copy).status().unwrap().success());
        hand_over(&copy).unwrap();
        ground.server.restart().await.unwrap();
        ground.server.wait_writable(Duration::from_mins(1)).await.unwrap();
        make_standby(&copy, &ground.server, "standby", None).unwrap();
        let mut options = OpenOptions::new(&copy, ground.path("s"));
        options.bin_dir = Some(installed.bin_dir.clone());
        let mut standby = Server::open(&options).await.unwrap();
        standby.wait_open(Duration::from_mins(1)).await.unwrap();
        let connect = || async {
            let info = standby.conninfo("postgres").unwrap();
            stonewal::postgres::replication::Client::connect(&info, "stonewal test").await.unwrap()
        };
        let mut client = connect().await;
        let system = client.identify_system().await.unwrap();
        let start = system.flush_lsn.floor(SegmentSize::DEFAULT.bytes());
        let mut other = connect().await;
        let mut stream = client.start_replication(None, start, first()).await.unwrap();
        write_wal(&ground, 3).await;
        // Give the standby something to stream before it goes its own way.
        while stream.position() < system.flush_lsn.plus(2 << 20) {
            stream.next().await.unwrap();
        }
        standby.promote().await.unwrap();
        let WalEvent::TimelineEnded { next, at } = to_the_end(&mut stream).await.unwrap() else {
            panic!("the timeline did not end")
        };
        assert_eq!((next.get(), stream.position()), (2, at));
        assert_eq!(stream.next().await.unwrap(), WalEvent::Ended);
        // The same connection asks for the history and goes on.
        let mut client = stream.finish().await.unwrap();
        let history = client.timeline_history(next).await.unwrap().unwrap();
        let file = std::fs::read(copy.join("pg_wal").join(&history.file_name)).unwrap();
        assert_eq!((history.file_name.as_str(), &history.content[..]), ("00000002.history", &file[..]));
        let mut stream = client.start_replication(None, at.floor(16 << 20), next).await.unwrap();
        let WalEvent::Data { bytes, .. } = stream.next().await.unwrap() else { panic!("no data") };
        assert!(!bytes.is_empty());
        stream.finish().await.unwrap();
        // Exactly at the end of the old timeline there is nothing to stream but the way on.
        let mut ended = other.start_replication(None, at, first()).await.unwrap();
        assert_eq!(ended.next().await.unwrap(), WalEvent::TimelineEnded { next, at });
        other = ended.finish().await.unwrap();
        for (position, timeline, want) in
            [(at.plus(1 << 20), first(), Fault::NotInHistory), (at, Timeline::new(9).unwrap(), Fault::NotInHistory)]
        {
            let refused = other.start_replication(None, position, timeline).await.unwrap_err();
            assert_eq!(fault(&refused.error), want, "{position} on {timeline}: {}", refused.error);
            assert!(refused.error.hint().is_some());
            other = *refused.client.unwrap();
        }
        // This one is said after the stream began.
        let mut ahead = other.start_replication(None, at.plus(1 << 40), next).await.unwrap();
        let error = to_the_end(&mut ahead).await.unwrap_err();
        assert_eq!(fault(&error), Fault::Ahead, "{error}");
        ahead.finish().await.unwrap().identify_system().await.unwrap();
    }
}

#[tokio::test]
async fn wal_that_is_gone_is_said_to_be_gone() {
    for installed in postgres_majors("removed_wal") {
        let ground = Ground::new(&installed, |options| {
            options.wal_segment_mib = Some(1);
            for (name, value) in [
                ("max_slot_wal_keep_size", "4MB"),
                ("min_wal_size", "2MB"),
                ("max_wal_size", "2MB"),
                ("wal_keep_size", "0"),
            ] {
                options.settings.push((name.into(), value.into()));
            }
        })
        .await;
        let mut client = ground.client().await;
        client.create_slot("s", true).await.unwrap();
        let start = client.identify_system().await.unwrap().flush_lsn.floor(1 << 20);
        let session = ground.session().await;
        for _ in 0..20 {
            write_wal(&ground, 4).await;
            ground.execute("CHECKPOINT").await;
            if session.slot("s").await.unwrap().unwrap().wal_status == Some(WalStatus::Lost) {
                break;
            }
        }
        assert_eq!(session.slot("s").await.unwrap().unwrap().wal_status, Some(WalStatus::Lost), "{}", installed.major);
        // Without a slot the stream begins and breaks off; with it the server knows at once.
        let mut stream = client.start_replication(None, start, first()).await.unwrap();
        let error = to_the_end(&mut stream).await.unwrap_err();
        assert_eq!(fault(&error), Fault::WalRemoved, "{error}");
        assert!(stream.next().await.is_err(), "an error is not followed by a good end");
        let mut client = stream.finish().await.unwrap();
        client.identify_system().await.unwrap();
        let error = match client.start_replication(Some("s"), start, first()).await {
            Ok(mut stream) => to_the_end(&mut stream).await.unwrap_err(),
            Err(refused) => refused.error,
        };
        assert!(matches!(fault(&error), Fault::SlotInvalidated | Fault::WalRemoved), "{} {error:?}", installed.major);
        assert!(error.hint().unwrap().contains("base backup"));
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_sends_all_and_says_so() {
    for installed in postgres_majors("shutdown") {
        let mut ground = Ground::new(&installed, |_| {}).await;
        let mut client = ground.client().await;
        let system = client.identify_system().await.unwrap();
        let mut stream = client.start_replication(None, system.flush_lsn.floor(16 << 20), first()).await.unwrap();
        write_wal(&ground, 2).await;
        let end = async {
            let end = to_the_end(&mut stream).await;
            (end, stream)
        };
        let (stopped, (end, stream)) = tokio::join!(ground.server.shut_down(Stop::Fast), end);
        stopped.unwrap();
        assert_eq!(end.unwrap(), WalEvent::Ended, "{}", installed.major);
        // The shutdown checkpoint is the last record, and it was sent.
        assert!(stream.position() > system.flush_lsn.plus(2 << 20));
        assert!(matches!(stream.finish().await.unwrap_err(), Error::Lost { .. }), "there is no connection left");
    }
}
