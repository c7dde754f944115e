//! A repository, a server that archives into it, and the program.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use secrecy::SecretString;
use stonewal::postgres::Environment;
use stonewal::postgres::server::{OpenOptions, Server, ServerOptions, hand_over};
use stonewal::store::embedded;
use stonewal::store::roles::Role;
use stonewal::store::{Entry, ListQuery, Prune as _, Read as _, S3};
use tokio::process::{Child, Command};

use crate::support::host;
use crate::support::seed::Seed;

pub(super) const PASSPHRASE: &str = "SENTINEL-passphrase of the WAL tests";
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
const RUN_MAX: Duration = Duration::from_mins(3);

/// The program as archive_command and restore_command.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_stonewal");

pub(super) struct World {
    pub(super) store: embedded::Server,
    /// Passable for everyone: the server runs as another user.
    pub(super) dir: tempfile::TempDir,
    pub(super) bin_dir: PathBuf,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Finished {
    /// The exit code; `None` after a signal.
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(super) fn good(self) -> Self {
        assert!(self.status.success(), "{}: {}{}", self.status, self.stdout, self.stderr);
        self
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

impl World {
    /// `None`, with a printed line, where PostgreSQL is not installed.
    pub(super) async fn new(test: &str) -> Option<Self> {
        let Some(bin_dir) = Server::find_bin_dir(&Environment::default()) else {
            crate::support::skip(test, "PostgreSQL");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("sww").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let keys = dir.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o755)).unwrap();
        let seed = Seed::of(PASSPHRASE, host::REPOSITORY, &[]).await;
        seed.plant(&dir.path().join("store"), &keys.join("recovery"), &keys.join("writer"));
        hand_over(&keys).unwrap();
        let mut options = embedded::Options::new(dir.path().join("store"));
        options.request_log = Some(dir.path().join("requests"));
        let store = embedded::Server::start(options).await.unwrap();
        std::fs::write(dir.path().join("requests"), "").unwrap();
        Some(Self { store, dir, bin_dir })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The variables of a host with this role; `keys` is a file below `keys/`.
    pub(super) fn env(&self, role: Role, keys: Option<&str>) -> Vec<(String, String)> {
        let mut env: Vec<(String, String)> =
            host::variables(&self.store, role).map(|(name, value)| (name.into(), value)).into();
        env.push(("HOME".into(), self.dir.path().display().to_string()));
        if let Some(file) = keys {
            let name = if file == "writer" { "STONEWAL_KEYS_WRITER_FILE" } else { "STONEWAL_KEYS_IDENTITY_FILE" };
            env.push((name.into(), self.path("keys").join(file).display().to_string()));
            if file != "writer" {
                // It can sign no audit record.
                env.push(("STONEWAL_AUDIT_MODE".into(), "off".into()));
            }
        }
        env
    }

    pub(super) fn start(&self, line: &str, role: Role, keys: Option<&str>, env: &[(&str, &str)]) -> Child {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).env_clear().envs(self.env(role, keys)).envs(env.iter().copied());
        command.current_dir(self.dir.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(super) async fn run(&self, line: &str, role: Role, keys: Option<&str>, env: &[(&str, &str)]) -> Finished {
        let child = self.start(line, role, keys, env);
        let output = tokio::time::timeout(RUN_MAX, child.wait_with_output()).await.expect("it ends in time").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// As the database host.
    pub(super) async fn push(&self, path: &Path) -> Finished {
        self.run(&format!("wal push {}", path.display()), Role::Writer, Some("writer"), &[]).await
    }

    /// As the restore host, into a directory of its own.
    pub(super) async fn fetch(&self, name: &str, to: &str) -> Finished {
        self.fetch_with(name, to, &[("STONEWAL_WAL_DEADLINE", "6s")]).await
    }

    pub(super) async fn fetch_with(&self, name: &str, to: &str, env: &[(&str, &str)]) -> Finished {
        let to = self.path(to);
        std::fs::create_dir_all(&to).unwrap();
        let line = format!("wal fetch {name} {}", to.join("RECOVERYXLOG").display());
        self.run(&line, Role::Reader, Some("recovery"), env).await
    }

    /// What the last fetch into this directory wrote.
    pub(super) fn fetched(&self, to: &str) -> Vec<u8> {
        std::fs::read(self.path(to).join("RECOVERYXLOG")).unwrap()
    }

    /// A server whose segments stay, archiving if `archive`.
    pub(super) async fn server(&self, name: &str, segment_mib: u32, archive: bool) -> Server {
        let mut options = self.server_options(name, segment_mib);
        if archive {
            options.settings.push(("archive_mode".into(), "on".into()));
            options.settings.push(("archive_command".into(), format!("{PROGRAM} wal push \"%p\"")));
            options.env = secret(self.env(Role::Writer, Some("writer")));
        }
        crate::support::clusters::start(&options).await.unwrap()
    }

    pub(super) fn server_options(&self, name: &str, segment_mib: u32) -> ServerOptions {
        let mut options = ServerOptions::new(self.path(name));
        options.bin_dir = Some(self.bin_dir.clone());
        options.wal_segment_mib = Some(segment_mib);
        for (setting, value) in [("wal_keep_size", "2GB"), ("wal_level", "replica"), ("autovacuum", "off")] {
            options.settings.push((setting.into(), value.into()));
        }
        options
    }

    /// A copy of a data directory in recovery, with `wal fetch` as its restore_command.
    pub(super) fn recovery(&self, copy: &Path, env: &[(&str, &str)]) -> OpenOptions {
        std::fs::write(copy.join("recovery.signal"), "").unwrap();
        hand_over(copy).unwrap();
        let run = format!("{}-run", copy.file_name().unwrap().to_string_lossy());
        let mut options = OpenOptions::new(copy, self.path(&run));
        options.bin_dir = Some(self.bin_dir.clone());
        options.env = secret(self.env(Role::Reader, Some("recovery")));
        options.env.retain(|(name, _)| env.iter().all(|(other, _)| other != name));
        options.env.extend(env.iter().map(|(name, value)| ((*name).into(), SecretString::from(*value))));
        for (setting, value) in [
            ("restore_command", format!("{PROGRAM} wal fetch \"%f\" \"%p\"")),
            ("archive_mode", "off".into()),
            ("recovery_target_timeline", "latest".into()),
        ] {
            options.settings.push((setting.into(), value));
        }
        options
    }

    /// Stores everything finished. A segment is known to be so once its successor has begun.
    pub(super) async fn push_all(&self, server: &Server) {
        server.execute("postgres", "SELECT pg_logical_emit_message(true, 'test', 'next')").await.unwrap();
        let line = format!("wal push --from {}", server.data_dir().join("pg_wal").display());
        self.run(&line, Role::Writer, Some("writer"), &[]).await.good();
    }

    /// A client of the store with a role of its own.
    pub(super) async fn s3(&self, role: Role) -> S3 {
        host::client(&self.store, role).await
    }

    /// Every version in the repository whose key contains `part`.
    pub(super) async fn objects(&self, part: &str) -> Vec<Entry> {
        let (store, query) = (self.s3(Role::Admin).await, ListQuery { prefix: "prod/".into(), by_folder: false });
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let page = store.list_page(&query, token.as_ref()).await.unwrap();
            found.extend(page.entries.into_iter().filter(|entry| entry.key.as_str().contains(part)));
            match page.next {
                Some(next) => token = Some(next),
                None => return found,
            }
        }
    }

    /// Removes every version of what contains `part`, as only someone with a bypass can.
    pub(super) async fn destroy(&self, part: &str) {
        let store = self.s3(Role::Admin).await;
        for entry in self.objects(part).await {
            store.delete_version(&entry.key, &entry.version, true).await.unwrap();
        }
    }

    /// The requests since the last call: action, status, key.
    pub(super) fn requests(&self) -> Vec<(String, u64, String)> {
        let text = std::fs::read_to_string(self.path("requests")).unwrap();
        // The server appends to the file it opened: emptying it leaves its position, so remember how far we were.
        let seen = self.path("seen");
        let from = std::fs::read_to_string(&seen).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        std::fs::write(&seen, text.len().to_string()).unwrap();
        let word = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line.trim_start_matches('\0')).ok();
        let lines = text[from..].lines().filter_map(parse);
        lines.map(|l| (word(&l, "action"), l["status"].as_u64().unwrap_or(0), word(&l, "key"))).collect()
    }
}

fn secret(env: Vec<(String, String)>) -> Vec<(String, SecretString)> {
    env.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect()
}

pub(super) async fn value(server: &Server, sql: &str) -> String {
    let session = stonewal::postgres::Session::connect(&server.socket_conninfo("postgres").unwrap(), "test").await;
    let row = session.unwrap().client().query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

/// Writes a little and switches the segment; returns the name of the segment that was finished.
pub(super) async fn switch(server: &Server) -> String {
    server
        .execute("postgres", "SELECT pg_logical_emit_message(true, 'test', repeat(md5(random()::text), 100))")
        .await
        .unwrap();
    let name = value(server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await;
    server.execute("postgres", "SELECT pg_switch_wal()").await.unwrap();
    name
}

pub(super) fn wal_file(server: &Server, name: &str) -> PathBuf {
    server.data_dir().join("pg_wal").join(name)
}

/// Waits until everything finished is archived; returns its name.
pub(super) async fn archived(server: &Server, last: &str) {
    for _ in 0..1200 {
        if value(server, "SELECT last_archived_wal FROM pg_stat_archiver").await.as_str() >= last {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{last} was not archived: {}", server.log());
}

/// Copies a data directory with its times and rights.
pub(super) fn copied(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
