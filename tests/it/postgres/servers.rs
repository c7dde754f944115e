//! The disposable server itself, on every PostgreSQL found: crashes, restarts, recovery, standbys.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use secrecy::SecretString;
use stonewal::postgres::server::{OpenOptions, Phase, Server, ServerOptions, Stop, hand_over, make_standby};
use stonewal::postgres::{Error, Session};

use crate::support::majors::{Installed, postgres_majors};

/// Plenty: a failure is seen at once, not by waiting.
const PATIENCE: Duration = Duration::from_mins(1);

/// A directory that an unprivileged server may pass through.
fn passable() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let passable = std::fs::Permissions::from_mode(0o711);
    tempfile::Builder::new().prefix("sw").permissions(passable).tempdir().unwrap()
}

async fn made(installed: &Installed, dir: &Path, change: impl FnOnce(&mut ServerOptions)) -> Server {
    let mut options = ServerOptions::new(dir);
    options.bin_dir = Some(installed.bin_dir.clone());
    change(&mut options);
    crate::support::clusters::start(&options).await.unwrap()
}

fn opening(installed: &Installed, data_dir: &Path, dir: PathBuf) -> OpenOptions {
    OpenOptions { bin_dir: Some(installed.bin_dir.clone()), ..OpenOptions::new(data_dir, dir) }
}

async fn value(server: &Server, sql: &str) -> String {
    let session = Session::connect(&server.conninfo("postgres").unwrap(), "test").await.unwrap();
    session.client().batch_execute("RESET search_path").await.unwrap();
    session.client().query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap().get(0)
}

/// A copy of a stopped or crashed server's data directory, for the user that servers run as.
fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    hand_over(to).unwrap();
}

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_crash_kills_every_process_and_loses_nothing_committed() {
    for installed in postgres_majors("a_crash") {
        let dir = passable();
        let sleeper = "echo $$ >> pids; exec sleep 60";
        let mut server = made(&installed, &dir.path().join("pg"), |options| {
            options.settings.push(("archive_mode".into(), "on".into()));
            options.settings.push(("archive_command".into(), sleeper.into()));
        })
        .await;
        server.execute("postgres", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n").await.unwrap();
        server.execute("postgres", "SELECT pg_switch_wal()").await.unwrap();
        let pids = server.data_dir().join("pids");
        while !std::fs::read_to_string(&pids).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let command: u32 = std::fs::read_to_string(&pids).unwrap().lines().next().unwrap().parse().unwrap();
        let backend: u32 = value(&server, "SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
            .await
            .parse()
            .unwrap();
        let postmaster = server.id().unwrap();
        let before = [postmaster, backend, command].map(alive);
        server.execute("postgres", "INSERT INTO t VALUES (1001)").await.unwrap();
        server.kill().await.unwrap();
        assert_eq!((before, [postmaster, backend, command].map(alive)), ([true; 3], [false; 3]), "{installed:?}");
        assert!(matches!(server.phase().await.unwrap(), Phase::Ended(status) if !status.success()));
        server.kill().await.unwrap();

        let port = server.port();
        server.set("archive_command", "true");
        server.restart().await.unwrap();
        server.wait_writable(PATIENCE).await.unwrap();
        assert_eq!(server.port(), port);
        assert!(server.log().contains("automatic recovery in progress"), "{}", server.log());
        assert_eq!(value(&server, "SELECT count(*) FROM t").await, "1001", "{installed:?}");
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn each_way_of_stopping_leaves_what_it_promises() {
    for installed in postgres_majors("each_way_of_stopping") {
        let dir = passable();
        let mut server = made(&installed, &dir.path().join("pg"), |_| {}).await;
        for (how, clean) in [(Stop::Smart, true), (Stop::Fast, true), (Stop::Immediate, false)] {
            server.shut_down(how).await.unwrap();
            server.restart().await.unwrap();
            assert_eq!(server.wait_open(PATIENCE).await.unwrap(), Phase::Writable);
            let recovered = server.log().contains("automatic recovery in progress");
            assert_eq!(recovered, !clean, "{how:?} {installed:?}: {}", server.log());
        }
        // A running server is stopped first; settings given in between win over the files.
        server.set("work_mem", "77kB");
        server.restart().await.unwrap();
        server.wait_writable(PATIENCE).await.unwrap();
        assert_eq!(value(&server, "SELECT current_setting('work_mem')").await, "77kB");
    }
}

#[tokio::test]
async fn segment_sizes_checksums_and_replication_are_as_asked() {
    let all = postgres_majors("segment_sizes");
    for (number, installed) in all.iter().enumerate() {
        // All three with the oldest and the newest, one of them with each version between.
        let is_end = number == 0 || number + 1 == all.len();
        let ways = [(1, Some(true)), (64, Some(false)), (16, None)];
        for (way, (mib, checksums)) in ways.into_iter().enumerate() {
            if !is_end && number % ways.len() != way {
                continue;
            }
            let dir = passable();
            let server = made(installed, &dir.path().join("pg"), |options| {
                options.wal_segment_mib = Some(mib).filter(|mib| *mib != 16);
                options.data_checksums = checksums;
                options.password = Some("geheim".into());
            })
            .await;
            let size = value(&server, "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'").await;
            assert_eq!(size, (mib << 20).to_string());
            let on = value(&server, "SELECT current_setting('data_checksums')").await == "on";
            assert_eq!(on, checksums.unwrap_or(installed.major >= 18), "{installed:?}");
            assert!(value(&server, "SELECT count(*) FROM pg_ls_waldir()").await.parse::<u32>().unwrap() > 0);
            let line = "SELECT count(*) FROM pg_hba_file_rules WHERE 'replication' = ANY (database) \
                        AND auth_method = 'scram-sha-256' AND address = '127.0.0.1'";
            assert_eq!(value(&server, line).await, "1", "the superuser may replicate over loopback");
        }
    }
}

#[tokio::test]
async fn a_copy_recovers_to_its_target_pauses_and_is_promoted() {
    for installed in postgres_majors("a_copy_recovers") {
        let dir = passable();
        let wal = dir.path().join("wal");
        std::fs::create_dir(&wal).unwrap();
        hand_over(&wal).unwrap();
        let mut server = made(&installed, &dir.path().join("pg"), |options| {
            options.settings.push(("archive_mode".into(), "on".into()));
            options.settings.push(("archive_command".into(), "cp %p \"$WAL/%f\"".into()));
            options.env.push(("WAL".into(), SecretString::from(wal.display().to_string())));
        })
        .await;
        server.shut_down(Stop::Fast).await.unwrap();
        let copy = dir.path().join("copy");
        copied(server.data_dir(), &copy);
        server.restart().await.unwrap();
        server.wait_writable(PATIENCE).await.unwrap();
        server.execute("postgres", "CREATE TABLE t (n int)").await.unwrap();
        server.execute("postgres", "SELECT pg_create_restore_point('here')").await.unwrap();
        server.execute("postgres", "INSERT INTO t VALUES (1)").await.unwrap();
        server.stop().await.unwrap();

        std::fs::write(copy.join("recovery.signal"), "").unwrap();
        let mut options = opening(&installed, &copy, dir.path().join("run"));
        options.env.push(("WAL".into(), SecretString::from(wal.display().to_string())));
        for (name, value) in [
            ("restore_command", "cp \"$WAL/%f\" %p"),
            ("recovery_target_name", "here"),
            ("recovery_target_action", "pause"),
            ("archive_mode", "off"),
        ] {
            options.settings.push((name.into(), value.into()));
        }
        let mut restored = Server::open(&options).await.unwrap();
        let phase = restored.wait_for(|phase| *phase == Phase::Paused, PATIENCE).await.unwrap();
        assert_eq!(phase, Phase::Paused);
        assert_eq!(value(&restored, "SELECT count(*) FROM t").await, "0", "{installed:?}");
        restored.promote().await.unwrap();
        assert_eq!(restored.phase().await.unwrap(), Phase::Writable);
        restored.execute("postgres", "INSERT INTO t VALUES (2)").await.unwrap();
        assert_eq!(value(&restored, "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)").await, "00000002");
        assert!(!format!("{options:?}{restored:?}").contains(wal.to_str().unwrap()), "the environment is not shown");
    }
}

#[tokio::test]
async fn a_standby_follows_and_takes_over() {
    for installed in postgres_majors("a_standby_follows") {
        let dir = passable();
        let mut primary = made(&installed, &dir.path().join("it's a pg"), |_| {}).await;
        primary.execute("postgres", "SELECT pg_create_physical_replication_slot('s1')").await.unwrap();
        primary.shut_down(Stop::Fast).await.unwrap();
        let copy = dir.path().join("copy");
        copied(primary.data_dir(), &copy);
        primary.restart().await.unwrap();
        primary.wait_writable(PATIENCE).await.unwrap();

        make_standby(&copy, &primary, "follower", Some("s1")).unwrap();
        let mut standby = Server::open(&opening(&installed, &copy, dir.path().join("run"))).await.unwrap();
        assert_eq!(standby.wait_open(PATIENCE).await.unwrap(), Phase::Recovering);
        primary.execute("postgres", "CREATE TABLE t AS SELECT 1 AS n").await.unwrap();
        let written = value(&primary, "SELECT pg_current_wal_lsn()").await;
        let caught_up = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        while value(&standby, &caught_up).await != "true" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let sql = "SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON r.pid = s.active_pid \
                   WHERE application_name = 'follower' AND slot_name = 's1'";
        assert_eq!(value(&primary, sql).await, "1", "{installed:?}");
        primary.kill().await.unwrap();
        standby.promote().await.unwrap();
        assert_eq!(value(&standby, "SELECT n FROM t").await, "1");
        standby.execute("postgres", "INSERT INTO t VALUES (2)").await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    for installed in postgres_majors("what_cannot_run") {
        let dir = passable();
        let mut server = made(&installed, &dir.path().join("pg"), |_| {}).await;
        server.shut_down(Stop::Fast).await.unwrap();
        let data = server.data_dir().to_owned();

        // Missing WAL: the postmaster starts, its recovery does not.
        let broken = dir.path().join("broken");
        copied(&data, &broken);
        for entry in std::fs::read_dir(broken.join("pg_wal")).unwrap().flatten().filter(|e| e.path().is_file()) {
            std::fs::remove_file(entry.path()).unwrap();
        }
        let mut opened = Server::open(&opening(&installed, &broken, dir.path().join("run1"))).await.unwrap();
        assert!(!opened.wait_ended(PATIENCE).await.unwrap().success());
        assert!(opened.log().contains("could not locate a valid checkpoint record"), "{}", opened.log());

        // No control file: it ends before it listens; waiting for more than that fails, with the log.
        std::fs::remove_file(broken.join("global/pg_control")).unwrap();
        let mut opened = Server::open(&opening(&installed, &broken, dir.path().join("run2"))).await.unwrap();
        let error = opened.wait_open(PATIENCE).await.unwrap_err().to_string();
        assert!(error.contains("pg_control"), "{error}");

        // One that waits for ever is left in time.
        std::fs::write(data.join("recovery.signal"), "").unwrap();
        let mut options = opening(&installed, &data, dir.path().join("run3"));
        options.settings.push(("restore_command".into(), "sleep 60".into()));
        let mut opened = Server::open(&options).await.unwrap();
        let error = opened.wait_open(Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(error.contains("Starting after 1 s"), "{error}");
        opened.kill().await.unwrap();

        let missing = Server::open(&opening(&installed, &dir.path().join("none"), dir.path().join("run4"))).await;
        if rustix::process::geteuid().is_root() {
            let error = missing.unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{error}");
            std::fs::create_dir(dir.path().join("ours")).unwrap();
            let ours = opening(&installed, &dir.path().join("ours"), dir.path().join("run5"));
            let error = Server::open(&ours).await.unwrap_err().to_string();
            assert!(error.contains("belongs to root"), "{error}");
        }
    }
}
