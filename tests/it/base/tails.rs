//! The last segment before a gap, of which only a part is stored.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use stonewal::postgres::Session;
use stonewal::store::roles::Role;

use super::archive::archiving;
use super::world::{PATIENCE, World, usual, value};
use crate::support::ledger::Moment;

const STEPS: &str = "SELECT string_agg(n::text, ',' ORDER BY n) FROM steps";

async fn now(world: &World) -> Timestamp {
    let session = Session::connect(&world.source.socket_conninfo("postgres").unwrap(), "clock").await.unwrap();
    let moment = Moment::now(session.client()).await.unwrap().time;
    tokio::time::sleep(Duration::from_millis(50)).await;
    moment
}

/// What the tail and the gap hold.
struct Tail {
    world: World,
    /// Between step 2 and 3, both stored.
    before: Timestamp,
    /// After step 4, which is lost.
    inside: Timestamp,
}

/// Steps 1 to 3 are stored, the last two in a part of a segment; 4 is lost; 5 is stored.
async fn tail(test: &str) -> Option<Tail> {
    let world = World::on(&usual(test)?, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps (n int)").await;
    world.good_backup().await;
    world.sql("INSERT INTO steps VALUES (1)").await;
    world.archived().await;
    world.sql("INSERT INTO steps VALUES (2)").await;
    let before = now(&world).await;
    world.sql("INSERT INTO steps VALUES (3)").await;
    let current = world.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    let part = world.path(&format!("{current}.partial"));
    std::fs::copy(world.source.data_dir().join("pg_wal").join(&current), &part).unwrap();
    world.run_as(Role::Writer, &format!("wal push {}", part.display())).await.good();

    world.sql("ALTER SYSTEM SET archive_command = 'true'").await;
    world.sql("SELECT pg_reload_conf()").await;
    world.sql("INSERT INTO steps VALUES (4)").await;
    let inside = now(&world).await;
    world.archived().await;
    let push = format!("sh {}/push \"%p\"", world.path("archive").display());
    world.sql(&format!("ALTER SYSTEM SET archive_command = '{push}'")).await;
    world.sql("SELECT pg_reload_conf()").await;
    world.sql("INSERT INTO steps VALUES (5)").await;
    world.archived().await;
    Some(Tail { world, before, inside })
}

/// Starts what was restored after a change of its settings: it must end by itself, unpromoted, and say why.
async fn stops(world: &World, data: &Path, name: &str, (from, to): (&str, &str), says: &str) {
    let conf = data.join("postgresql.auto.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    std::fs::write(&conf, text.replace(from, to)).unwrap();
    let mut server = world.open(data, name).await;
    let ended = server.wait_ended(PATIENCE).await;
    let log = server.log();
    assert!(ended.is_ok_and(|status| !status.success()), "{log}");
    assert!(log.contains(says) && !log.contains("selected new timeline"), "{log}");
    assert!(data.join("recovery.signal").exists() && !data.join("pg_wal/00000002.history").exists());
}

#[tokio::test]
async fn i10_a_target_in_the_tail_before_a_gap_is_reached_and_none_behind_it() {
    let Some(Tail { world, before, inside }) = tail("i10_a_target_in_the_tail").await else { return };
    let moment = before.to_string();
    for (number, wal) in ["repository", "local"].into_iter().enumerate() {
        let data = world.path(&format!("r{number}"));
        world.restore_words(&data, &["--target-time", &moment, "--wal", wal]).await.good();
        let server = world.recover(&data, &format!("s{number}")).await;
        assert_eq!(value(&server, STEPS).await, "1,2", "{wal}");
    }
    let said = world.restore_words(&world.path("no"), &["--target-time", &inside.to_string()]).await;
    said.ends(1).says(&["lies in or behind a gap"]);

    // Somebody moves the target behind the tail by hand, and then takes it away.
    let data = world.path("moved");
    world.restore_words(&data, &["--target-time", &moment]).await.good();
    let line = |time: &str| format!("recovery_target_time = '{time}'");
    let notation = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
    let (first, second) = (line(&notation(before)), line(&notation(inside)));
    stops(&world, &data, "s2", (&first, &second), "recovery ended before configured recovery target was reached").await;
    stops(&world, &data, "s3", (&second, &line("")), "could not restore file").await;
    // Nothing is lost by that: it goes on with the target back in its place.
    let conf = data.join("postgresql.auto.conf");
    let text = std::fs::read_to_string(&conf).unwrap() + &first;
    std::fs::write(&conf, text).unwrap();
    let said = world.restore_words(&data, &["--target-time", &moment, "--delta"]).await.good();
    let server = world.recover(&data, "s4").await;
    assert_eq!(value(&server, STEPS).await, "1,2", "{said:?}");
}
