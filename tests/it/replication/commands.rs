//! The short commands.

use std::time::Duration;

use stonewal::format::{SegmentSize, Timeline};
use stonewal::postgres::Error;
use stonewal::postgres::replication::{Client, Fault};
use stonewal::postgres::slot::WalStatus;

use super::{Ground, fault, through_proxy};
use crate::support::majors::postgres_majors;
use crate::support::proxy::Weather;

fn first() -> Timeline {
    Timeline::new(1).unwrap()
}

#[tokio::test]
async fn what_the_server_says_of_itself_is_what_sql_says() {
    for installed in postgres_majors("identify_system") {
        let ground = Ground::new(&installed, |options| options.wal_segment_mib = Some(1)).await;
        let mut client = ground.client().await;
        assert_eq!(client.server_version_num() / 10_000, installed.major);
        let system = client.identify_system().await.unwrap();
        let identifier = ground.value("SELECT system_identifier FROM pg_catalog.pg_control_system()").await;
        assert_eq!(system.system_identifier.to_string(), identifier);
        assert_eq!(system.timeline, first());
        assert!(system.flush_lsn <= ground.lsn("SELECT pg_catalog.pg_current_wal_insert_lsn()").await);
        assert_eq!(client.segment_size().await.unwrap(), SegmentSize::new(1 << 20).unwrap());
        assert_eq!(client.show("max_wal_senders").await.unwrap(), "10");
        assert_eq!(client.timeline_history(first()).await.unwrap(), None, "the first timeline has no history");
        assert_eq!(client.timeline_history(Timeline::new(77).unwrap()).await.unwrap(), None);
        // A refusal leaves the connection as it was.
        let error = client.show("no_such_setting").await.unwrap_err();
        assert_eq!(fault(&error), Fault::Other);
        assert!(error.to_string().contains("no_such_setting"), "{error}");
        for name in ["", "a b", "a;b", "a'b", "ä"] {
            assert!(matches!(client.show(name).await.unwrap_err(), Error::Unsupported { .. }), "{name}");
        }
        assert_eq!(client.identify_system().await.unwrap().system_identifier, system.system_identifier);
    }
}

#[tokio::test]
async fn a_slot_lives_and_dies() {
    for installed in postgres_majors("slots") {
        let ground = Ground::new(&installed, |options| {
            options.settings.push(("max_replication_slots".into(), "2".into()));
            options.settings.push(("max_slot_wal_keep_size".into(), "64MB".into()));
        })
        .await;
        let (mut client, session) = (ground.client().await, ground.session().await);
        assert_eq!(session.slot("s").await.unwrap(), None);
        client.create_slot("s", true).await.unwrap();
        client.create_slot("lazy", false).await.unwrap();
        assert_eq!(fault(&client.create_slot("s", true).await.unwrap_err()), Fault::SlotExists);
        let full = client.create_slot("third", true).await.unwrap_err();
        assert_eq!(fault(&full), Fault::NoSlotFree);
        assert!(full.hint().unwrap().contains("max_replication_slots"));
        let state = session.slot("s").await.unwrap().unwrap();
        assert!(state.physical && !state.active && state.wal_status == Some(WalStatus::Reserved));
        assert_eq!(state.keep_limit_bytes, Some(64 << 20));
        assert!(state.safe_wal_size.is_some_and(|size| size > 32 << 20), "{state:?}");
        assert!(state.kept_bytes().is_some());
        let lazy = session.slot("lazy").await.unwrap().unwrap();
        assert_eq!((lazy.restart_lsn, lazy.wal_status), (None, None));
        if installed.major >= 15 {
            let read = client.read_slot("s").await.unwrap().unwrap();
            assert_eq!((read.restart_lsn, read.restart_timeline), (state.restart_lsn, Some(first())));
            assert_eq!(client.read_slot("lazy").await.unwrap().unwrap().restart_lsn, None);
            assert_eq!(client.read_slot("nobody").await.unwrap(), None);
        } else {
            assert!(matches!(client.read_slot("s").await.unwrap_err(), Error::Unsupported { .. }));
        }
        for name in ["", "S", "a-b", "a\"b", &"x".repeat(64)] {
            assert!(matches!(client.create_slot(name, true).await.unwrap_err(), Error::Setting { .. }), "{name}");
        }
        in_use(&ground, &mut client).await;
        client.drop_slot("s").await.unwrap();
        assert_eq!(fault(&client.drop_slot("s").await.unwrap_err()), Fault::SlotMissing);
        assert_eq!(session.slot("s").await.unwrap(), None);
    }
}

/// One streamer per slot: the second is told who the first is.
async fn in_use(ground: &Ground, client: &mut Client) {
    let system = client.identify_system().await.unwrap();
    let at = system.flush_lsn.floor(16 << 20);
    let streamer = ground.client().await;
    let stream = streamer.start_replication(Some("s"), at, first()).await.unwrap();
    let pid = ground.session().await.slot("s").await.unwrap().unwrap().active_pid.unwrap();
    let other = ground.client().await;
    let refused = other.start_replication(Some("s"), at, first()).await.unwrap_err();
    assert_eq!(fault(&refused.error), Fault::SlotInUse { pid: Some(pid) });
    assert!(refused.error.hint().unwrap().contains(&pid.to_string()));
    // The connection goes on.
    let mut other = *refused.client.unwrap();
    other.identify_system().await.unwrap();
    assert_eq!(fault(&other.drop_slot("s").await.unwrap_err()), Fault::SlotInUse { pid: Some(pid) });
    let mut streamer = stream.finish().await.unwrap();
    streamer.identify_system().await.unwrap();
    // Missing slots have a remedy, too.
    let refused = streamer.start_replication(Some("nobody"), at, first()).await.unwrap_err();
    assert_eq!(fault(&refused.error), Fault::SlotMissing);
}

#[tokio::test]
async fn an_interrupted_command_cannot_answer_the_next_one() {
    let Some(installed) = postgres_majors("interrupted").pop() else { return };
    let ground = Ground::new(&installed, |_| {}).await;
    let (proxy, mut client) = through_proxy(&ground).await;
    proxy.set(Weather::Blackhole);
    let given_up = tokio::time::timeout(Duration::from_millis(200), client.identify_system()).await;
    assert!(given_up.is_err());
    proxy.set(Weather::Fair);
    let error = client.show("port").await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
}
