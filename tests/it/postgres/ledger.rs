//! The ledger against what it is for: crashes lose nothing acknowledged, recovery ends where it was told to, and a
//! wrong end is noticed.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use stonewal::postgres::Session;
use stonewal::postgres::server::{OpenOptions, Server, ServerOptions, Stop, hand_over, make_standby};

use crate::support::ledger::load::{Load, Pace};
use crate::support::ledger::{Ledger, Moment, Target, rows};
use crate::support::majors::{Installed, postgres_majors};

const PATIENCE: Duration = Duration::from_mins(1);

/// A server that archives into `wal` with cp, and the copy of it that recovers from there.
struct Pair {
    dir: tempfile::TempDir,
    server: Server,
}

impl Pair {
    async fn new(installed: &Installed) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let passable = std::fs::Permissions::from_mode(0o711);
        let dir = tempfile::Builder::new().prefix("sw").permissions(passable).tempdir().unwrap();
        std::fs::create_dir(dir.path().join("wal")).unwrap();
        hand_over(&dir.path().join("wal")).unwrap();
        let mut options = ServerOptions::new(dir.path().join("pg"));
        options.bin_dir = Some(installed.bin_dir.clone());
        options.wal_segment_mib = Some(1);
        options.settings.push(("archive_mode".into(), "on".into()));
        options
            .settings
            .push(("archive_command".into(), "cp %p \"$WAL/%f.tmp\" && mv \"$WAL/%f.tmp\" \"$WAL/%f\"".into()));
        options.env.push(wal(dir.path()));
        let mut server = crate::support::clusters::start(&options).await.unwrap();
        server.shut_down(Stop::Fast).await.unwrap();
        copy(server.data_dir(), &dir.path().join("base"));
        server.restart().await.unwrap();
        server.wait_writable(PATIENCE).await.unwrap();
        Self { dir, server }
    }

    /// Recovers a fresh copy to a target.
    async fn restored(&self, name: &str, settings: &[(&str, String)]) -> Server {
        let data = self.dir.path().join(name);
        copy(&self.dir.path().join("base"), &data);
        std::fs::write(data.join("recovery.signal"), "").unwrap();
        let mut options = OpenOptions::new(&data, self.dir.path().join(format!("{name}-run")));
        options.bin_dir = Some(self.server.bin_dir().to_owned());
        options.env.push(wal(self.dir.path()));
        options.settings.push(("restore_command".into(), "cp \"$WAL/%f\" %p".into()));
        options.settings.push(("archive_mode".into(), "off".into()));
        options.settings.push(("recovery_target_action".into(), "promote".into()));
        options.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let mut server = Server::open(&options).await.unwrap();
        server.wait_writable(PATIENCE).await.unwrap();
        server
    }
}

fn wal(dir: &Path) -> (String, SecretString) {
    ("WAL".into(), dir.join("wal").display().to_string().into())
}

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    hand_over(to).unwrap();
}

async fn session(server: &Server) -> Session {
    Session::connect(&server.conninfo("postgres").unwrap(), "test").await.unwrap()
}

/// PostgreSQL does not know abbreviations of time zones yet when it reads this setting, not even Z.
fn numeric(at: jiff::Timestamp) -> String {
    at.to_string().replace('Z', "+00")
}

/// Targets by time and by position in the middle of the load, each of which decides about many rows.
async fn check_targets(pair: &Pair, ledger: &Ledger, middle: Moment) {
    let at = middle.time;
    let time = |inclusive: bool| {
        let settings = [("recovery_target_time", numeric(at)), ("recovery_target_inclusive", inclusive.to_string())];
        (Target::Time { at, inclusive }, settings.to_vec())
    };
    let lsn = (Target::Lsn(middle.lsn), vec![("recovery_target_lsn", middle.lsn.to_string())]);
    for (number, (target, settings)) in [time(true), time(false), lsn].into_iter().enumerate() {
        let (present, absent) = ledger.decided(target);
        assert!(present > 50 && absent > 50, "{target:?} decides about {present} and {absent}");
        let restored = pair.restored(&format!("to{number}"), &settings).await;
        let session = session(&restored).await;
        ledger.check(&session, target).await;
        // The same rows, held against another end, are wrong.
        let found = rows(&session).await;
        assert!(!ledger.faults(&found, Target::Latest).is_empty());
        let (first, _) = ledger.range().unwrap();
        assert!(!ledger.faults(&found, Target::Time { at: first.time, inclusive: false }).is_empty());
    }
}

// With one thread the clients would rest while the server is killed, and never be hit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_lose_nothing_acknowledged_and_recovery_ends_where_told() {
    for installed in postgres_majors("ledger") {
        let mut pair = Pair::new(&installed).await;
        // Clients that never rest are nearly always in a commit.
        let pace = Pace { pause: std::time::Duration::ZERO, ..Pace::default() };
        let load = Load::start(&pair.server.conninfo("postgres").unwrap(), pace, 1).await;
        load.more(100).await;
        // Until one of them hits a commit.
        for round in 0.. {
            pair.server.kill().await.unwrap();
            pair.server.restart().await.unwrap();
            pair.server.wait_writable(PATIENCE).await.unwrap();
            load.more(20).await;
            if load.unsure() > 0 {
                break;
            }
            assert!(round < 20, "no crash hits a commit: {installed:?}");
        }
        let middle = Moment::now(session(&pair.server).await.client()).await.unwrap();
        load.more(200).await;
        let ledger = load.stop().await;
        ledger.check(&session(&pair.server).await, Target::Latest).await;
        // The last segment reaches the archive when the server stops.
        pair.server.execute("postgres", "SELECT pg_switch_wal()").await.unwrap();
        pair.server.shut_down(Stop::Fast).await.unwrap();
        check_targets(&pair, &ledger, middle).await;
        let end = pair.restored("end", &[("recovery_target_timeline", "latest".into())]).await;
        ledger.check(&session(&end).await, Target::Latest).await;
    }
}

#[tokio::test]
async fn a_failover_to_a_synchronous_standby_loses_nothing_acknowledged() {
    for installed in postgres_majors("ledger_failover") {
        let mut pair = Pair::new(&installed).await;
        let data = pair.dir.path().join("standby");
        copy(&pair.dir.path().join("base"), &data);
        make_standby(&data, &pair.server, "follower", None).unwrap();
        let mut options = OpenOptions::new(&data, pair.dir.path().join("standby-run"));
        options.bin_dir = Some(installed.bin_dir.clone());
        options.settings.push(("archive_mode".into(), "off".into()));
        let mut standby = Server::open(&options).await.unwrap();
        standby.wait_open(PATIENCE).await.unwrap();
        pair.server.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'follower'").await.unwrap();
        pair.server.reload();
        let sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let watch = session(&pair.server).await;
        while watch.client().query_one(sync, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let load = Load::start(&pair.server.conninfo("postgres").unwrap(), Pace::default(), 1).await;
        load.more(200).await;
        pair.server.kill().await.unwrap();
        standby.promote().await.unwrap();
        load.redirect(standby.conninfo("postgres").unwrap());
        load.more(50).await;
        let ledger = load.stop().await;
        ledger.check(&session(&standby).await, Target::Latest).await;
    }
}
