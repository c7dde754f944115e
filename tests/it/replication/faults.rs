//! Connections and servers that fail half-way: always an error, in time, and never a receipt.

use std::time::{Duration, Instant};

use stonewal::format::Timeline;
use stonewal::postgres::Error;
use stonewal::postgres::replication::{BaseBackupOptions, BaseEvent, Client, WalEvent};

use super::{Ground, behind, through_proxy};
use crate::support::majors::postgres_majors;
use crate::support::proxy::Weather;
use crate::support::rounds;

fn first() -> Timeline {
    Timeline::new(1).unwrap()
}

fn is_loss(error: &Error) -> bool {
    matches!(error, Error::Lost { .. } | Error::Unreachable { .. })
}

/// A base backup from login to receipts.
async fn whole_base(info: &stonewal::postgres::ConnInfo) -> Result<u64, Error> {
    let client = Client::connect(info, "stonewal test").await?;
    let mut backup = client.base_backup(&BaseBackupOptions::new("cut")).await?;
    let mut bytes = 0;
    loop {
        match backup.next().await? {
            BaseEvent::Data(data) => bytes += data.len() as u64,
            BaseEvent::End => break,
            _ => {}
        }
    }
    backup.finish().map(|_| bytes)
}

#[tokio::test]
async fn a_connection_cut_anywhere_is_an_error() {
    for installed in postgres_majors("cut_connections") {
        let ground = Ground::new(&installed, |_| {}).await;
        let (proxy, client) = through_proxy(&ground).await;
        drop(client);
        let whole = whole_base(&behind(&proxy)).await.unwrap();
        for round in 0..rounds(6) {
            // The first ones hit login and header, the others anything.
            let at = if round < 2 { fastrand::u64(1..700) } else { fastrand::u64(1..whole) };
            proxy.set(Weather::CutAfterDown(at));
            let error = whole_base(&behind(&proxy)).await.unwrap_err();
            assert!(is_loss(&error), "cut after {at} of {whole}: {error:?}");
            proxy.set(Weather::CutAfterUp(fastrand::u64(1..200)));
            assert!(whole_base(&behind(&proxy)).await.is_err());
        }
        // The very end: everything came but the last bytes.
        proxy.set(Weather::Fair);
        assert!(whole_base(&behind(&proxy)).await.is_ok());
    }
}

#[tokio::test]
async fn a_stream_cut_anywhere_keeps_what_came_in_order() {
    for installed in postgres_majors("cut_streams") {
        let ground = Ground::new(&installed, |_| {}).await;
        let (proxy, mut client) = through_proxy(&ground).await;
        let system = client.identify_system().await.unwrap();
        let start = system.flush_lsn.floor(16 << 20);
        let mut stream = client.start_replication(None, start, first()).await.unwrap();
        proxy.set(Weather::CutAfterDown(fastrand::u64(2000..1_000_000)));
        let error = loop {
            match stream.next().await {
                Ok(WalEvent::Data { start, bytes, .. }) => {
                    assert_eq!(start.plus(bytes.len() as u64), stream.position());
                }
                Ok(WalEvent::Keepalive { .. }) => {}
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        assert!(is_loss(&error), "{error:?}");
        assert!(stream.next().await.is_err());
        assert!(stream.finish().await.is_err());
    }
}

#[tokio::test]
async fn a_killed_server_is_an_error() {
    for installed in postgres_majors("killed_servers") {
        // The checkpoint of the base backup must leave the WAL that is streamed without a slot.
        let mut ground =
            Ground::new(&installed, |options| options.settings.push(("wal_keep_size".into(), "1GB".into()))).await;
        ground.execute("CREATE TABLE t AS SELECT n, repeat('x', 500) FROM generate_series(1, 100000) AS n").await;
        let mut client = ground.client().await;
        let system = client.identify_system().await.unwrap();
        let mut stream = client.start_replication(None, system.flush_lsn.floor(16 << 20), first()).await.unwrap();
        let mut backup = ground.client().await.base_backup(&BaseBackupOptions::new("killed")).await.unwrap();
        for _ in 0..20 {
            backup.next().await.unwrap();
        }
        ground.server.kill().await.unwrap();
        let error = loop {
            match backup.next().await {
                Ok(event) => assert_ne!(event, BaseEvent::End),
                Err(error) => break error,
            }
        };
        assert!(is_loss(&error), "{error:?}");
        assert!(backup.next().await.is_err());
        assert!(backup.finish().is_err());
        let error = loop {
            match stream.next().await {
                Ok(event) => assert!(matches!(event, WalEvent::Data { .. } | WalEvent::Keepalive { .. }), "{event:?}"),
                Err(error) => break error,
            }
        };
        assert!(is_loss(&error), "{error:?}");
    }
}

#[tokio::test]
async fn a_black_hole_is_noticed() {
    let Some(installed) = postgres_majors("black_hole").pop() else { return };
    let ground = Ground::new(&installed, |_| {}).await;
    ground.execute("CREATE TABLE t AS SELECT n, repeat('x', 500) FROM generate_series(1, 100000) AS n").await;
    let (proxy, mut client) = through_proxy(&ground).await;
    let system = client.identify_system().await.unwrap();
    let stream = client.start_replication(None, system.flush_lsn.floor(16 << 20), first()).await.unwrap();
    let (mut reader, mut status) = stream.split();
    reader.set_silence(Duration::from_secs(2));
    let other = Client::connect(&behind(&proxy), "stonewal test").await.unwrap();
    let mut backup = other.base_backup(&BaseBackupOptions::new("hole")).await.unwrap();
    backup.set_silence(Duration::from_secs(2));
    while !matches!(backup.next().await.unwrap(), BaseEvent::Data(_)) {}
    proxy.set(Weather::Blackhole);
    let begun = Instant::now();
    // Interrupted waits add up; statuses go out in vain, and without waiting.
    let error = loop {
        match tokio::time::timeout(Duration::from_millis(100), reader.next()).await {
            Err(_) => status.status(system.flush_lsn, system.flush_lsn, system.flush_lsn, true).await.unwrap(),
            Ok(Ok(event)) => assert!(matches!(event, WalEvent::Data { .. } | WalEvent::Keepalive { .. })),
            Ok(Err(error)) => break error,
        }
    };
    assert!(is_loss(&error) && error.to_string().contains("nothing came"), "{error}");
    let error = loop {
        match backup.next().await {
            Ok(event) => assert_ne!(event, BaseEvent::End),
            Err(error) => break error,
        }
    };
    assert!(is_loss(&error), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let info = behind(&proxy).with_param("connect_timeout", "2").unwrap();
    let error = Client::connect(&info, "stonewal test").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_read_stays_with_the_server() {
    let Some(installed) = postgres_majors("back_pressure").pop() else { return };
    let ground = Ground::new(&installed, |_| {}).await;
    ground.execute("CREATE TABLE t AS SELECT n, repeat('x', 500) FROM generate_series(1, 400000) AS n").await;
    let mut backup = ground.client().await.base_backup(&BaseBackupOptions::new("slow reader")).await.unwrap();
    backup.next().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sql = "SELECT backup_streamed FROM pg_catalog.pg_stat_progress_basebackup";
    let streamed: u64 = ground.value(sql).await.parse().unwrap();
    let total = 200 << 20;
    assert!(streamed < total / 4, "{streamed} bytes were taken from the server without being read");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ground.value(sql).await.parse::<u64>().unwrap(), streamed, "the server waits");
}
