//! Backups and restores that do not get to their end leave nothing that looks like one.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stonewal::store::roles::Role;
use tokio::process::Child;

use super::world::{World, finished, names};

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A world with 40 MB to copy, which takes ten seconds at the rate of [`SLOW`].
async fn slow_world(test: &str) -> Option<World> {
    let world = World::new(test).await?;
    world.sql("CREATE TABLE bulk AS SELECT i, repeat(md5(i::text), 32) AS text FROM generate_series(1, 20000) i").await;
    world.sql("CHECKPOINT").await;
    Some(world)
}

const SLOW: &str = "--max-rate 4MiB";

/// Waits until the copy is under way.
async fn copying(world: &World) {
    let sql = "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'";
    for _ in 0..600 {
        if world.value(sql).await == "1" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no copy began");
}

/// No backup, no session, no slot.
async fn nothing_is_left(world: &World) {
    let listed = world.run_as(Role::Reader, "list --json").await.good().json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 0);
    let sql = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stonewal%')";
    let since = Instant::now();
    while world.value(sql).await != "0" {
        assert!(since.elapsed() < Duration::from_secs(15), "a session or slot is left");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_interrupted_copy_leaves_nothing() {
    let Some(world) = slow_world("an_interrupted_copy").await else { return };
    for how in [Signal::INT, Signal::TERM, Signal::KILL] {
        let child = world.start(Role::Writer, &format!("backup base {SLOW}"));
        copying(&world).await;
        signal(&child, how);
        let ended = finished(child).await;
        assert_eq!(ended.code, if how == Signal::KILL { -1 } else { 130 }, "{ended:?}");
        nothing_is_left(&world).await;
    }
}

/// PAINS C6.
#[tokio::test]
async fn c06_a_lost_control_session_ends_the_copy_within_half_a_minute() {
    let Some(world) = slow_world("c06_a_lost_control_session").await else { return };
    let child = world.start(Role::Writer, "backup base --max-rate 1MiB");
    copying(&world).await;
    let since = Instant::now();
    world.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'stonewal base' AND backend_type = 'client backend'").await;
    finished(child).await.ends(1).says(&["the connection to", "was lost"]);
    assert!(since.elapsed() < Duration::from_secs(30));
    nothing_is_left(&world).await;
}

#[tokio::test]
async fn a_crash_of_the_server_ends_the_copy() {
    let Some(mut world) = slow_world("a_crash_of_the_server").await else { return };
    let child = world.start(Role::Writer, &format!("backup base {SLOW}"));
    copying(&world).await;
    world.source.kill().await.unwrap();
    finished(child).await.ends(1).says(&["error: "]);
    world.source.restart().await.unwrap();
    world.source.wait_writable(super::world::PATIENCE).await.unwrap();
    nothing_is_left(&world).await;
}

#[tokio::test]
async fn a_store_that_refuses_ends_the_copy() {
    let Some(world) = slow_world("a_store_that_refuses").await else { return };
    let mut command = world.command(Role::Writer, &format!("backup base {SLOW}"));
    let child = command.env("STONEWAL_S3_ATTEMPTS", "2").spawn().unwrap();
    copying(&world).await;
    let folder = world.path("store/buckets/backups/data");
    let hidden = world.path("store/buckets/backups/gone");
    std::fs::rename(&folder, &hidden).unwrap();
    let ended = finished(child).await.ends(1);
    std::fs::rename(&hidden, &folder).unwrap();
    assert!(!ended.stderr.is_empty());
    nothing_is_left(&world).await;
}

/// A page that rots on the disk: the copy goes through to its end, and there is still no backup.
#[tokio::test]
async fn a_page_with_a_wrong_checksum_fails_and_is_named() {
    let Some(mut world) = slow_world("a_page_with_a_wrong_checksum").await else { return };
    let file = world.value("SELECT pg_relation_filepath('bulk')").await;
    world.source.shut_down(stonewal::postgres::server::Stop::Fast).await.unwrap();
    let path = world.source.data_dir().join(&file);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8192 * 3 + 4000] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    world.source.restart().await.unwrap();
    world.source.wait_writable(super::world::PATIENCE).await.unwrap();
    world.backup("").await.ends(1).says(&["checksum", &file]);
    nothing_is_left(&world).await;
    world.backup("--no-verify-checksums").await.good();
}

/// What the server lacks is said with what to do, before anything is written.
#[tokio::test]
async fn a_server_that_is_not_ready_is_told_what_it_lacks() {
    let Some(installed) = super::world::usual("a_server_that_is_not_ready") else { return };
    let world = World::on(&installed, |options| {
        for (name, value) in [("wal_level", "minimal"), ("max_wal_senders", "0"), ("max_replication_slots", "0")] {
            options.settings.retain(|(known, _)| known != name);
            options.settings.push((name.into(), value.into()));
        }
    })
    .await;
    world.sql("CREATE ROLE plain LOGIN").await;
    let mut command = world.command(Role::Writer, "backup base");
    command.env("REPLICATION_DATABASE_URL", world.url().replace("postgres@", "plain@"));
    let ended = finished(command.spawn().unwrap()).await.ends(1);
    ended.says(&[
        "role plain may not replicate",
        "wal_level is minimal",
        "max_wal_senders",
        "max_replication_slots",
        "ALTER ROLE \"plain\" REPLICATION",
    ]);
    nothing_is_left(&world).await;
}

/// PAINS B11. Killed at some moment: PostgreSQL does not start on what is there, and the next run says what it is.
#[tokio::test]
async fn a_killed_restore_can_neither_be_started_nor_mistaken() {
    let Some(world) = slow_world("a_killed_restore").await else { return };
    let id = world.good_backup().await;
    let target = world.path("restored");
    for how in [Signal::KILL, Signal::TERM] {
        let child = world.start(Role::Reader, &format!("restore base --dir {}", target.display()));
        let staging = world.path(".restored.stonewal-restore");
        while !staging.join("base").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        signal(&child, how);
        let ended = finished(child).await;
        assert!(!target.exists(), "it has no name yet");
        if how == Signal::TERM {
            assert_eq!(ended.code, 130, "{ended:?}");
            assert!(!staging.exists(), "what could be tidied up was");
            continue;
        }
        assert!(!staging.join("global/pg_control").exists());
        assert!(world.open_with(&staging, "half", |_| {}).await.is_err(), "PostgreSQL does not start on it");
        let again = world.restore(&format!("--dir {}", target.display())).await.ends(1);
        again.says(&[&format!("an interrupted restore of backup {id} left it"), "remove it (rm -r "]);
        std::fs::remove_dir_all(&staging).unwrap();
    }
    world.restore(&format!("--dir {}", target.display())).await.good();
    world.recover(&target, "second").await;
}

/// A mount point cannot be replaced by a directory from beside it, and it may be too small.
#[tokio::test]
async fn a_file_system_of_its_own_is_filled_in_place_or_refused_when_it_is_too_small() {
    let Some(world) = slow_world("a_file_system_of_its_own").await else { return };
    world.good_backup().await;
    let target = world.path("mounted");
    std::fs::create_dir(&target).unwrap();
    for (size, fits) in [("20m", false), ("400m", true)] {
        let Some(_mounted) = Mounted::new(&target, size) else {
            crate::support::skip("a_file_system_of_its_own", "mounting is not allowed here");
            return;
        };
        let ended = world.restore(&format!("--dir {}", target.display())).await;
        if fits {
            ended.good();
            world.verify_files(&target);
            world.recover(&target, "second").await;
        } else {
            ended.ends(1).says(&["the restore needs", "iB there", "are free"]);
            assert!(names(&target).is_empty());
        }
    }
}

/// A disk that fills up in the middle, which the look beforehand could not foresee: here it runs out of files.
#[tokio::test]
async fn a_disk_that_fills_up_leaves_nothing_and_says_what_is_needed() {
    const TEST: &str = "a_disk_that_fills_up";
    let Some(world) = slow_world(TEST).await else { return };
    world.good_backup().await;
    let target = world.path("mounted");
    std::fs::create_dir(&target).unwrap();
    let to = format!("--dir {}", target.display());
    {
        let Some(_mounted) = Mounted::new(&target, "400m,nr_inodes=300") else {
            crate::support::skip(TEST, "mounting is not allowed here");
            return;
        };
        world.restore(&to).await.ends(1).says(&["no room is left for", "the restore needs", "make room"]);
        assert!(names(&target).is_empty(), "{:?}", names(&target));
        let more = ["-o", "remount,nr_inodes=100000"];
        assert!(std::process::Command::new("mount").args(more).arg(&target).status().unwrap().success());
        world.restore(&to).await.good();
        world.recover(&target, "second").await;
    }
    let Some(_mounted) = Mounted::new(&target, "20m") else { return };
    let planned = world.restore(&format!("--plan {to}")).await.ends(3);
    planned.says(&["restores", "has room for", "the restore needs"]);
}

struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(at: &'a Path, size: &str) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).arg(at).output();
        output.ok().filter(|output| output.status.success()).map(|_| Self(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}
