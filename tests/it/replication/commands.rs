//! The short commands.

use stonewal::format::{Lsn, Timeline};
use stonewal::postgres::Environment;
use stonewal::postgres::replication::{BaseBackupOptions, BaseEvent, WalEvent};
use stonewal::postgres::server::Server;

use super::{client, server};

#[tokio::test]
async fn smoke() {
    let dir = Server::find_bin_dir(&Environment::default()).unwrap();
    let fixture = server("smoke", dir).await;
    let mut client = client(&fixture).await;
    let system = client.identify_system().await.unwrap();
    println!("{system:?} {}", client.server_version_num());
    println!("{:?}", client.segment_size().await.unwrap());
    client.create_slot("s1", true).await.unwrap();
    println!("{:?}", client.create_slot("s1", true).await.unwrap_err());
    println!("{:?}", client.read_slot("s1").await.unwrap());
    println!("{:?}", client.read_slot("s2").await.unwrap());
    println!("{:?}", client.timeline_history(Timeline::new(1).unwrap()).await.unwrap());
    let mut stream = client
        .start_replication(Some("s1"), Lsn::new(system.flush_lsn.get() & !0xff_ffff), system.timeline)
        .await
        .unwrap();
    let mut n = 0;
    loop {
        match stream.next().await.unwrap() {
            WalEvent::Data { bytes, server_end, .. } => {
                n += bytes.len();
                if stream.position() >= server_end {
                    break;
                }
            }
            other => println!("{other:?}"),
        }
    }
    println!("{n}");
    let p = stream.position();
    stream.status(p, p, p, true).await.unwrap();
    println!("{:?}", stream.next().await.unwrap());
    let client = stream.finish().await.unwrap();
    let mut backup = client.base_backup(&BaseBackupOptions::new("smoke")).await.unwrap();
    println!("{:?} {:?}", backup.start_lsn(), backup.tablespaces());
    let mut total = 0;
    loop {
        match backup.next().await.unwrap() {
            BaseEvent::Data(bytes) => total += bytes.len(),
            BaseEvent::End => break,
            BaseEvent::Progress(_) => {}
            other => println!("{other:?}"),
        }
    }
    let end = backup.finish().unwrap();
    println!("{total} {:?} {:?} {:?}", end.archives, end.manifest, end.notices);
    let mut client = end.client;
    client.drop_slot("s1").await.unwrap();
    println!("{:?}", client.drop_slot("s1").await.unwrap_err());
}
