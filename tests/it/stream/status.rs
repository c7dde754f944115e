//! `status` against a real server and bucket: what is red must be red within seconds, and what is well must stay green.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use stonewal::postgres::server::{ServerOptions, hand_over};
use stonewal::store::roles::Role;

use super::stage::Stage;
use crate::support::fixture::Fixture;

const SOON: Duration = Duration::from_secs(20);

/// What one run of `status --json` said.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) code: i32,
    pub(super) document: Value,
}

impl Status {
    /// Names of the reasons of one colour.
    pub(super) fn reasons(&self, health: &str) -> Vec<&str> {
        let all = self.document["reasons"].as_array().unwrap().iter();
        all.filter(|reason| reason["health"] == health).map(|reason| reason["name"].as_str().unwrap()).collect()
    }

    #[track_caller]
    pub(super) fn is(&self, red: &[&str], yellow: &[&str]) {
        let (code, health) = match (red, yellow) {
            ([], []) => (0, "green"),
            ([], _) => (3, "yellow"),
            _ => (1, "red"),
        };
        assert_eq!(
            (self.reasons("red"), self.reasons("yellow")),
            (red.to_vec(), yellow.to_vec()),
            "{:#}",
            self.document
        );
        assert_eq!((self.code, self.document["health"].as_str()), (code, Some(health)), "{:#}", self.document);
    }
}

impl Stage {
    /// As a host that may only read, with a writer file, sees it.
    pub(super) async fn status(&self, flags: &str) -> Status {
        let output = self.command(&format!("status --json {flags}"), Role::Reader).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{said}"));
        assert!(document.get("error").is_none() && said.is_empty(), "{document:#}{said}");
        Status { code: output.status.code().unwrap(), document }
    }

    pub(super) async fn base(&self) {
        let output = self.command("backup base", Role::Writer).output().await.unwrap();
        // That the cluster has no data checksums is a warning.
        let good = output.status.success() || output.status.code() == Some(3);
        assert!(good, "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets archive_command to the program. The server runs as another user, who needs a key file of its own.
    async fn archive_by_push(&self) {
        let passable = |path: &std::path::Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let keys = self.path("keys");
        std::fs::create_dir(&keys).unwrap();
        std::fs::copy(self.path("home/writer"), keys.join("writer")).unwrap();
        passable(&keys);
        passable(self.folder.path());
        let command = self.command("", Role::Writer);
        let variables =
            command.as_std().get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
        let variables = variables.filter(|(name, _)| !name.starts_with("STONEWAL_") || *name == "STONEWAL_REPOSITORY");
        let mut script = String::from("#!/bin/sh\n");
        for (name, value) in variables {
            writeln!(script, "export {name}='{value}'").unwrap();
        }
        writeln!(script, "export STONEWAL_KEYS_WRITER_FILE='{}'", keys.join("writer").display()).unwrap();
        writeln!(script, "exec '{}' wal push \"$1\"", env!("CARGO_BIN_EXE_stonewal")).unwrap();
        std::fs::write(keys.join("push"), script).unwrap();
        passable(&keys.join("push"));
        hand_over(&keys).unwrap();
        self.sql(&format!("ALTER SYSTEM SET archive_command = '{} %p'", keys.join("push").display())).await;
    }

    pub(super) async fn sql(&self, statement: &str) {
        self.server().execute("postgres", statement).await.unwrap();
    }

    /// Asks until the status has this reason. It must come within `within`.
    pub(super) async fn until(&self, reason: &str, flags: &str, within: Duration) -> Status {
        let begin = Instant::now();
        loop {
            let status = self.status(flags).await;
            if status.reasons("red").contains(&reason) || status.reasons("yellow").contains(&reason) {
                return status;
            }
            assert!(begin.elapsed() < within, "no {reason} within {within:?}: {:#}", status.document);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// PAINS C3: loss is measured in the bucket. A server that writes nothing loses nothing, however long; one that writes and
/// is not streamed is red as soon as `max_lag` allows.
#[tokio::test(flavor = "multi_thread")]
async fn i09_idle_is_green_and_a_streamer_that_stopped_is_red() {
    let Some(stage) = Stage::new("a status of streams", |_| {}).await else { return };
    stage.status("").await.is(&["lag", "no-slot", "no-base"], &[]);
    let streamer = stage.stream("");
    let lsn = stage.write(1000).await;
    stage.flushed(lsn, SOON).await;
    let bare = stage.status("").await;
    bare.is(&["no-base"], &[]);
    assert_eq!(bare.document["lag"]["bytes"], 0, "{:#}", bare.document);
    stage.base().await;
    let lsn = stage.write(1000).await;
    stage.flushed(lsn, SOON).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = stage.status("--max-lag 1s").await;
    idle.is(&[], &[]);
    let bucket = &idle.document["bucket"];
    assert_eq!(bucket["system_identifier"], idle.document["server"]["system_identifier"], "{bucket:#}");
    assert_eq!(bucket["durable"]["timeline"], 1, "{bucket:#}");
    // Manifest, keys, two chunks, bundle, certificate, WAL: however large the backup is.
    assert!(bucket["locks"]["asked"].as_u64().is_some_and(|asked| (7..=9).contains(&asked)), "{bucket:#}");
    assert!(bucket["window"]["latest_commit_at"].is_string() && bucket["window"]["earliest_at"].is_string());
    assert!(idle.document["server"]["unread"].as_array().unwrap().is_empty(), "{:#}", idle.document);
    assert_eq!(idle.document["server"]["senders"][0]["sync_state"], "async");

    streamer.kill().await;
    stage.write(1000).await;
    let late = stage.until("lag", "--max-lag 4s", SOON).await;
    late.is(&["lag"], &["slot-idle"]);
    assert!(late.document["lag"]["bytes"].as_u64().unwrap() > 0, "{:#}", late.document);
    assert!(late.document["lag"]["seconds"].as_u64().unwrap() >= 4, "{:#}", late.document);
    // Nobody asked the server: nothing is known of it, and that is said.
    let offline = stage.status("--offline").await;
    offline.is(&[], &[]);
    assert_eq!(offline.document["server"]["answer"], "not_asked");
    // It catches up, and all is well again.
    let lsn = stage.write(10).await;
    stage.stream(&format!("--until-lsn {lsn}")).good().await;
    assert_eq!(stage.status("--max-lag 1s").await.reasons("red"), [""; 0]);
}

/// A server that cannot be asked, one that is another cluster, and roles that may see little.
#[tokio::test(flavor = "multi_thread")]
async fn servers_and_roles_that_tell_nothing_or_something_else() {
    let Some(stage) = Stage::new("a status of servers", |_| {}).await else { return };
    let streamer = stage.stream("");
    let lsn = stage.write(1000).await;
    stage.flushed(lsn, SOON).await;
    stage.base().await;
    stage.sql("CREATE ROLE nobody_special LOGIN").await;
    stage.sql("CREATE ROLE monitor LOGIN IN ROLE pg_monitor").await;
    stage.flushed(stage.write(1).await, SOON).await;

    let url = |user: &str, port: u16| format!("--from postgres://{user}@127.0.0.1:{port}/postgres?sslmode=disable");
    let port = stage.server().port();
    let unread = |status: &Status| {
        let unread = status.document["server"]["unread"].as_array().unwrap().iter();
        unread.map(|unread| unread["fact"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let monitor = stage.status(&url("monitor", port)).await;
    monitor.is(&[], &[]);
    assert_eq!(unread(&monitor), [""; 0]);
    let plain = stage.status(&url("nobody_special", port)).await;
    plain.is(&[], &[]);
    assert_eq!(unread(&plain), ["state of the streamer", "size of pg_wal"]);
    // Where functions were taken from PUBLIC, as providers do.
    stage.sql("REVOKE EXECUTE ON FUNCTION pg_current_wal_flush_lsn() FROM PUBLIC").await;
    stage.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await;
    let blind = stage.status(&url("nobody_special", port)).await;
    blind.is(&[], &["unseen"]);
    assert_eq!(blind.document["lag"], Value::Null);

    let silent = stage.status(&url("postgres", 1)).await;
    silent.is(&["server-silent"], &[]);
    assert!(silent.document["bucket"]["durable"].is_object(), "{:#}", silent.document);
    let other = Fixture::empty("a second server").await.unwrap();
    let other = stage.status(&url("postgres", other.server.port())).await;
    assert!(other.reasons("red").contains(&"other-cluster"), "{:#}", other.document);
    assert_eq!(other.code, 1);

    // What the statements above wrote is on its way.
    stage.flushed(stage.write(1).await, SOON).await;
    let output = stage.command("status", Role::Reader).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["green", "missing ", "nothing: all WAL", "restores ", "stored", "slot ", "primary"] {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    streamer.stop().await;
}

/// PAINS C1 and C3: an archiver that fails is red at once, though all it has archived so far is there.
#[tokio::test(flavor = "multi_thread")]
async fn i09_a_failing_archiver_is_red_within_seconds() {
    let archiving = |options: &mut ServerOptions| {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        options.settings.extend([set("archive_mode", "on"), set("archive_command", "true")]);
    };
    let Some(stage) = Stage::new("a status of an archiver", archiving).await else { return };
    stage.base().await;
    stage.sql("ALTER SYSTEM SET archive_command = 'false'").await;
    stage.sql("SELECT pg_reload_conf()").await;
    stage.write(1000).await;
    stage.sql("SELECT pg_switch_wal()").await;
    let failing = stage.until("archiver-failing", "", Duration::from_secs(10)).await;
    let reason =
        &failing.document["reasons"].as_array().unwrap().iter().find(|r| r["name"] == "archiver-failing").unwrap();
    assert!(reason["text"].as_str().unwrap().contains("0000000100000000"), "{reason}");
    assert_eq!((failing.code, failing.document["server"]["backlog"]["files"].as_u64() > Some(0)), (1, true));
    // An archive_command that throws WAL away satisfies the server, never the status.
    stage.sql("ALTER SYSTEM SET archive_command = 'true'").await;
    stage.sql("ALTER SYSTEM SET archive_timeout = '1s'").await;
    stage.sql("SELECT pg_reload_conf()").await;
    let lost = stage.until("lag", "--max-lag 1s", SOON).await;
    assert!(lost.document["lag"]["by_archive_timeout"] == false, "{:#}", lost.document);
}

/// `wal push` alone, without a streamer: what is archived is durable, and the unfinished segment of a server that writes
/// nothing more is no loss.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_command_that_works_is_green() {
    let archiving = |options: &mut ServerOptions| {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        options.wal_segment_mib = Some(1);
        options.settings.extend([set("archive_mode", "on"), set("archive_command", "false")]);
    };
    let Some(stage) = Stage::new("a status of pushes", archiving).await else { return };
    stage.archive_by_push().await;
    stage.sql("ALTER SYSTEM SET archive_timeout = '2s'").await;
    stage.sql("SELECT pg_reload_conf()").await;
    stage.base().await;
    stage.write(5000).await;
    stage.sql("SELECT pg_switch_wal()").await;
    let begin = Instant::now();
    loop {
        let status = stage.status("--max-lag 5s").await;
        if status.code == 0 && status.document["server"]["archiver"]["archived"].as_u64() > Some(2) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "{:#}\n{}", status.document, stage.server().log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Nothing happens any more: it stays green, though the unfinished segment grows old.
    tokio::time::sleep(Duration::from_secs(6)).await;
    stage.status("--max-lag 5s").await.is(&[], &[]);
    let brief = stage.status("--max-lag 1s").await;
    assert_eq!(brief.reasons("red"), [""; 0], "{:#}", brief.document);
}
