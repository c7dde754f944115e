//! Recovery to a moment: random ones under write load, against the clients' own ledger; every kind of target.

use std::time::Duration;

use jiff::Timestamp;
use stonewal::postgres::Session;
use stonewal::postgres::server::{Phase, Server};

use super::archive::archiving;
use super::world::{PATIENCE, World, usual, value};
use crate::support::ledger::load::{Load, Pace};
use crate::support::ledger::{Ledger, Moment, Target};
use crate::support::rounds;

async fn check(server: &Server, ledger: &Ledger, target: Target) {
    let session = Session::connect(&server.socket_conninfo("postgres").unwrap(), "check").await.unwrap();
    ledger.check(&session, target).await;
}

/// As the command line takes it; the server's own notation of a moment.
fn flag(time: Timestamp) -> String {
    format!("--target-time {}", time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00"))
}

/// Two bases with load before, between and after them; then as many random moments as asked for.
#[tokio::test]
async fn b03_any_moment_under_load_comes_back_as_the_clients_saw_it() {
    let Some(installed) = usual("b03_any_moment") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    let load = Load::start(&world.source.socket_conninfo("postgres").unwrap(), Pace::default(), 1).await;
    world.good_backup().await;
    let session = Session::connect(&world.source.socket_conninfo("postgres").unwrap(), "clock").await.unwrap();
    let first = Moment::now(session.client()).await.unwrap();
    load.more(800).await;
    world.sql("SELECT pg_switch_wal()").await;
    world.good_backup().await;
    load.more(800).await;
    let last = Moment::now(session.client()).await.unwrap();
    load.more(100).await;
    let ledger = load.stop().await;
    world.archived().await;

    let span = u64::try_from((last.time.as_microsecond() - first.time.as_microsecond()).max(1)).unwrap();
    for round in 0..rounds(4) {
        let seed = u64::from(round).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ span;
        let offset = i64::try_from(fastrand::Rng::with_seed(seed).u64(0..span)).unwrap();
        let at = Timestamp::from_microsecond(first.time.as_microsecond() + offset).unwrap();
        let inclusive = round % 2 == 0;
        let target = Target::Time { at, inclusive };
        let (present, absent) = ledger.decided(target);
        assert!(present > 0 && absent > 0, "the target decides something");
        let data = world.path(&format!("r{round}"));
        // Every third by WAL that is fetched in advance.
        let wal = if round % 3 == 2 { "--wal local" } else { "" };
        let exclusive = if inclusive { "" } else { "--exclusive" };
        world.restore(&format!("--dir {} {} {exclusive} {wal}", data.display(), flag(at))).await.good();
        let server = world.recover(&data, &format!("s{round}")).await;
        check(&server, &ledger, target).await;
        drop(server);
        std::fs::remove_dir_all(&data).unwrap();
    }
    // And the end.
    let data = world.path("end");
    world.restore(&format!("--dir {}", data.display())).await.good();
    let server = world.recover(&data, "send").await;
    check(&server, &ledger, Target::Latest).await;
}

/// Position, transaction, name, immediate; before and after; pause and shutdown.
#[tokio::test]
async fn every_kind_of_target_ends_where_it_says() {
    let Some(installed) = usual("every_kind_of_target") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps (n int)").await;
    world.sql("INSERT INTO steps VALUES (1)").await;
    world.good_backup().await;
    world.sql("INSERT INTO steps VALUES (2)").await;
    world.value("SELECT pg_create_restore_point('before the accident')").await;
    let lsn = world.value("SELECT pg_current_wal_insert_lsn()").await;
    world.sql("CREATE TABLE known AS SELECT txid_current() AS xid; INSERT INTO steps VALUES (3)").await;
    let xid = world.value("SELECT xid FROM known").await;
    world.value("SELECT pg_create_restore_point('after')").await;
    world.sql("INSERT INTO steps VALUES (4)").await;
    world.archived().await;

    let cases: [(&[&str], &str); 7] = [
        (&["--target-lsn", &lsn], "1,2"),
        (&["--target-xid", &xid], "1,2,3"),
        (&["--target-xid", &xid, "--exclusive"], "1,2"),
        (&["--target-name", "before the accident"], "1,2"),
        (&["--target-name", "after"], "1,2,3"),
        (&["--target-immediate"], "1"),
        (&[], "1,2,3,4"),
    ];
    let steps = "SELECT string_agg(n::text, ',' ORDER BY n) FROM steps";
    for (number, (flags, expected)) in cases.into_iter().enumerate() {
        let data = world.path(&format!("r{number}"));
        let done = world.restore_words(&data, flags).await.good();
        world.verify_files(&data);
        let server = world.recover(&data, &format!("s{number}")).await;
        assert_eq!(value(&server, steps).await, expected, "{flags:?} {done:?}");
        assert_eq!(value(&server, "SELECT timeline_id FROM pg_control_checkpoint()").await, "2");
    }

    let data = world.path("paused");
    world.restore_words(&data, &["--target-name", "after", "--action", "pause"]).await.good();
    let mut server = world.open(&data, "spaused").await;
    server.wait_for(|phase| *phase == Phase::Paused, PATIENCE).await.unwrap();
    assert_eq!(value(&server, steps).await, "1,2,3");
    assert!(data.join("pg_wal/stonewal.recovery/identity").exists(), "recovery goes on, and needs its keys");
    server.promote().await.unwrap();
    assert!(!data.join("pg_wal/stonewal.recovery").exists());

    let data = world.path("stopped");
    world.restore_words(&data, &["--target-name", "after", "--action", "shutdown"]).await.good();
    let mut server = world.open(&data, "sstopped").await;
    assert!(server.wait_ended(PATIENCE).await.is_ok(), "{}", server.log());
    assert!(server.log().contains("shutdown at recovery target") || !server.log().contains("PANIC"));
}

/// PAINS B11.
/// The source was restored by the same means before, and ran with targets of its own; a standby has its own files.
#[tokio::test]
async fn what_an_earlier_recovery_left_does_not_count() {
    let Some(world) = World::new("what_an_earlier_recovery_left").await else { return };
    for (name, wrong) in [
        ("recovery_target_time", "2020-01-01 00:00:00+00"),
        ("recovery_target_action", "shutdown"),
        ("restore_command", "false"),
        ("recovery_end_command", "exit 1"),
    ] {
        world.sql(&format!("ALTER SYSTEM SET {name} = '{wrong}'")).await;
    }
    world.good_backup().await;
    let data = world.path("r");
    world.restore_words(&data, &["--target-immediate"]).await.good();
    let server = world.recover(&data, "s").await;
    assert_eq!(value(&server, "SELECT 1").await, "1");
}

/// PAINS B3. Between a gap's edges nothing is promised; before and behind it everything is as it was.
#[tokio::test]
async fn a_gap_is_named_and_not_crossed() {
    let Some(installed) = usual("a_gap_is_named") else { return };
    let world = World::on(&installed, archiving).await;
    world.archive().await;
    world.sql("CREATE TABLE steps (n int)").await;
    world.good_backup().await;
    world.sql("INSERT INTO steps VALUES (1)").await;
    let session = Session::connect(&world.source.socket_conninfo("postgres").unwrap(), "clock").await.unwrap();
    let before = Moment::now(session.client()).await.unwrap().time;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.sql("INSERT INTO steps VALUES (2)").await;
    world.archived().await;
    world.sql("ALTER SYSTEM SET archive_command = 'true'").await;
    world.sql("SELECT pg_reload_conf()").await;
    world.sql("INSERT INTO steps VALUES (3)").await;
    let inside = Moment::now(session.client()).await.unwrap().time;
    world.archived().await;
    world
        .sql(&format!("ALTER SYSTEM SET archive_command = 'sh {}/push \"%p\"'", world.path("archive").display()))
        .await;
    world.sql("SELECT pg_reload_conf()").await;
    world.sql("INSERT INTO steps VALUES (4)").await;
    world.archived().await;

    let data = world.path("r");
    world
        .restore_words(&data, &[])
        .await
        .ends(1)
        .says(&["WAL of timeline 1 is missing from", "wal push --from pg_wal"]);
    let moment = inside.to_string();
    world.restore_words(&data, &["--target-time", &moment]).await.ends(1).says(&["lies in or behind a gap"]);
    assert!(!data.exists());
    let moment = before.to_string();
    world.restore_words(&data, &["--target-time", &moment]).await.good();
    let server = world.recover(&data, "s").await;
    assert_eq!(value(&server, "SELECT string_agg(n::text, ',') FROM steps").await, "1");
}
