//! Real recoveries with `wal fetch` as restore_command.

use stonewal::postgres::server::{Phase, Server, Stop};
use stonewal::store::roles::Role;

use super::world::{PATIENCE, World, copied, switch, value, wal_file};

/// A server, its cold copy, and a table that grows by one row a segment; the segments' names.
pub(super) async fn grown(world: &World, segment_mib: u32, segments: usize) -> (Server, Vec<String>) {
    let mut server = world.server("pg", segment_mib, false).await;
    server.execute("postgres", "CREATE TABLE ledger (n int)").await.unwrap();
    server.shut_down(Stop::Fast).await.unwrap();
    copied(server.data_dir(), &world.path("copy"));
    server.restart().await.unwrap();
    server.wait_writable(PATIENCE).await.unwrap();
    let mut names = Vec::new();
    for n in 0..segments {
        server.execute("postgres", &format!("INSERT INTO ledger VALUES ({n})")).await.unwrap();
        names.push(switch(&server).await);
    }
    (server, names)
}

/// Recovery goes on to the last byte stored, over an unfinished segment, and then ends by itself.
async fn recovers(test: &str, segment_mib: u32, segments: usize) {
    let Some(world) = World::new(test).await else { return };
    let (server, names) = grown(&world, segment_mib, segments).await;
    world.push_all(&server).await;
    // What is in no finished segment: as the last segment of a timeline is handed over at its end.
    server.execute("postgres", "INSERT INTO ledger VALUES (1000)").await.unwrap();
    let current = value(&server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    std::fs::create_dir(world.path("tail")).unwrap();
    let tail = world.path("tail").join(format!("{current}.partial"));
    std::fs::copy(wal_file(&server, &current), &tail).unwrap();
    world.push(&tail).await.good();
    world.push(&tail).await.good();
    assert_eq!(world.objects("/partial/").await.len(), 1, "stored once");

    let mut restored = Server::open(&world.recovery(&world.path("copy"), &[])).await.unwrap();
    restored.wait_writable(PATIENCE).await.unwrap();
    let rows = value(&restored, "SELECT count(*) || ' ' || max(n) FROM public.ledger").await;
    assert_eq!(rows, format!("{} 1000", names.len() + 1), "{}", restored.log());
    assert_eq!(restored.phase().await.unwrap(), Phase::Writable);
    assert!(!restored.data_dir().join("pg_wal/stonewal.ahead").exists(), "nothing is left of looking ahead");

    // With WAL behind it, the unfinished segment is a gap.
    world.requests();
    let later = switch(&server).await;
    assert_eq!(later, current, "the segment was finished meanwhile");
    let after = switch(&server).await;
    world.push(&wal_file(&server, &after)).await.good();
    let said = world.fetch(&current, "gap").await;
    assert_eq!(said.code(), Some(126), "{}", said.stderr);
    world.push(&wal_file(&server, &current)).await.good();
    world.fetch(&current, "gap").await.good();
    assert!(world.fetched("gap") == std::fs::read(wal_file(&server, &current)).unwrap());
    restored.stop().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn recovery_reaches_the_last_byte_stored() {
    recovers("recovery_reaches_the_last_byte", 1, 20).await;
}

#[tokio::test]
async fn recovery_with_segments_in_pieces() {
    recovers("recovery_with_segments_in_pieces", 64, 2).await;
}

/// The promoted server archives its own timeline; a recovery over the switch needs both, and the history.
#[tokio::test]
async fn recovery_follows_a_timeline_switch() {
    let Some(world) = World::new("recovery_follows_a_switch").await else { return };
    let (server, _) = grown(&world, 1, 3).await;
    world.push_all(&server).await;
    copied(&world.path("copy"), &world.path("second"));
    let mut promoted = Server::open(&world.recovery(&world.path("copy"), &[])).await.unwrap();
    promoted.wait_writable(PATIENCE).await.unwrap();
    promoted.execute("postgres", "INSERT INTO ledger VALUES (2000)").await.unwrap();
    let last = switch(&promoted).await;
    assert!(last.starts_with("00000002"), "{last}");
    world.push_all(&promoted).await;

    let verified = world.run("wal verify --level full --json", Role::Reader, Some("recovery"), &[]).await.good();
    let timelines = verified.json()["clusters"][0]["timelines"].clone();
    assert_eq!(timelines[1]["parent"]["timeline"], 1, "{timelines}");
    let mut restored = Server::open(&world.recovery(&world.path("second"), &[])).await.unwrap();
    restored.wait_writable(PATIENCE).await.unwrap();
    assert_eq!(value(&restored, "SELECT max(n) FROM public.ledger").await, "2000", "{}", restored.log());
    for server in [restored, promoted, server] {
        server.stop().await.unwrap();
    }
}
