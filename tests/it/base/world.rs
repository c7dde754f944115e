//! A server, a repository, and the program between them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use stonewal::postgres::Session;
use stonewal::postgres::server::{OpenOptions, Server, ServerOptions};
use stonewal::store::embedded;
use stonewal::store::roles::Role;
use tokio::process::{Child, Command};

use crate::support::host;
use crate::support::majors::{Installed, postgres_majors};
use crate::support::seed::Seed;

const PASSPHRASE: &str = "SENTINEL-passphrase of the tests";

/// Plenty: a failure is seen at once, not by waiting.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

pub(super) struct World {
    pub(super) installed: Installed,
    pub(super) source: Server,
    pub(super) store: embedded::Server,
    // Dropped after the servers.
    folder: tempfile::TempDir,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Finished {
    #[track_caller]
    pub(super) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Done, with or without warnings.
    #[track_caller]
    pub(super) fn good(self) -> Self {
        assert!(self.code == 0 || self.code == 3, "{} {}\n{}", self.code, self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(super) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stdout.contains(word) || self.stderr.contains(word), "{word:?} is not in\n{self:?}");
        }
        self
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// The server that most tests use.
pub(super) fn usual(test: &str) -> Option<Installed> {
    let all = postgres_majors(test);
    all.iter().find(|installed| installed.major == 15).or(all.last()).cloned()
}

impl World {
    /// With the usual server; `None`, with a printed line, where there is none.
    pub(super) async fn new(test: &str) -> Option<Self> {
        Some(Self::on(&usual(test)?, |_| {}).await)
    }

    pub(super) async fn on(installed: &Installed, change: impl FnOnce(&mut ServerOptions)) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let passable = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("sb").permissions(passable).tempdir().unwrap();
        std::fs::write(folder.path().join("stonewal.toml"), "").unwrap();
        let mut options = ServerOptions::new(folder.path().join("pg"));
        options.bin_dir = Some(installed.bin_dir.clone());
        options.data_checksums = Some(true);
        options.settings.push(("max_wal_senders".into(), "10".into()));
        change(&mut options);
        let source = crate::support::clusters::start(&options).await.unwrap();
        let at = |name: &str| folder.path().join(name);
        let seed = Seed::of(PASSPHRASE, host::REPOSITORY, &[]).await;
        seed.plant(&at("store"), &at("recovery"), &at("writer"));
        let mut store = embedded::Options::new(at("store"));
        store.request_log = Some(folder.path().join("requests.jsonl"));
        let store = embedded::Server::start(store).await.unwrap();
        Self { installed: installed.clone(), source, store, folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.source.port())
    }

    /// The program with the variables of a role of the store; `line` is split at blanks.
    pub(super) fn command(&self, role: Role, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonewal"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .envs(host::variables(&self.store, role))
            .env("HOME", self.folder.path())
            .env("REPLICATION_DATABASE_URL", self.url())
            .env("STONEWAL_CONFIG", "stonewal.toml")
            .env("STONEWAL_DUMP_CODEC", "lz4")
            .env("STONEWAL_LIMITS_CHUNK", "8MiB")
            .env("STONEWAL_POSTGRES_BIN_DIR", &self.installed.bin_dir)
            .env("USER", "nobody")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        match role {
            Role::Writer => command.env("STONEWAL_KEYS_WRITER_FILE", self.path("writer")),
            Role::Admin => command.env("BACKUP_PASSPHRASE", PASSPHRASE),
            // A reader with a recovery file can neither sign nor append an audit record.
            _ => command
                .env("STONEWAL_AUDIT_MODE", "off")
                .env("STONEWAL_KEYS_IDENTITY_FILE", self.path("recovery"))
                .env("CONFIRM_PITR", "true"),
        };
        command
    }

    pub(super) fn start(&self, role: Role, line: &str) -> Child {
        self.command(role, line).spawn().unwrap()
    }

    pub(super) async fn run_as(&self, role: Role, line: &str) -> Finished {
        finished(self.start(role, line)).await
    }

    /// On the backup host.
    pub(super) async fn backup(&self, flags: &str) -> Finished {
        self.run_as(Role::Writer, &format!("backup base {flags}")).await
    }

    /// On the restore host.
    pub(super) async fn restore(&self, flags: &str) -> Finished {
        self.run_as(Role::Reader, &format!("restore base {flags}")).await
    }

    /// On the restore host, with flags that may hold blanks.
    pub(super) async fn restore_words(&self, dir: &Path, flags: &[&str]) -> Finished {
        let mut command = self.command(Role::Reader, "restore base --dir");
        finished(command.arg(dir).args(flags).spawn().unwrap()).await
    }

    /// A good backup's id.
    pub(super) async fn good_backup(&self) -> String {
        self.backup("--json").await.good().json()["backup"].as_str().unwrap().to_owned()
    }

    pub(super) async fn sql(&self, statement: &str) {
        self.source.execute("postgres", statement).await.unwrap();
    }

    pub(super) async fn value(&self, sql: &str) -> String {
        value(&self.source, sql).await
    }

    /// Requests that the store has answered.
    pub(super) fn requests(&self) -> usize {
        std::fs::read_to_string(self.path("requests.jsonl")).unwrap().lines().count()
    }

    /// Opens a restored directory as a server of its own.
    pub(super) async fn open(&self, data: &Path, name: &str) -> Server {
        self.open_with(data, name, |_| {}).await.unwrap()
    }

    pub(super) async fn open_with(
        &self,
        data: &Path,
        name: &str,
        change: impl FnOnce(&mut OpenOptions),
    ) -> stonewal::postgres::Result<Server> {
        let mut options = OpenOptions::new(data, self.path(name));
        options.bin_dir = Some(self.installed.bin_dir.clone());
        // Or the copy would store timelines of its own, which a real one should.
        options.settings.push(("archive_mode".into(), "off".into()));
        change(&mut options);
        Server::open(&options).await
    }

    /// Opens it and waits until recovery is over.
    pub(super) async fn recover(&self, data: &Path, name: &str) -> Server {
        let mut server = self.open(data, name).await;
        server.wait_writable(PATIENCE).await.unwrap();
        server
    }

    /// Lets the `restore_command` of a restored directory give up after seconds instead of a minute.
    pub(super) fn hurry(data: &Path) {
        let path = data.join("pg_wal/stonewal.recovery/stonewal.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("[wal]") {
            std::fs::write(&path, format!("{text}\n[wal]\ndeadline = \"6s\"\n")).unwrap();
        }
    }

    /// Runs `pg_verifybackup`, where it is installed: it is not among the programs of every major version.
    #[track_caller]
    pub(super) fn verify_files(&self, data: &Path) {
        let program = self.installed.bin_dir.join("pg_verifybackup");
        if !program.exists() {
            println!("skipped: pg_verifybackup {} is not installed", self.installed.major);
            return;
        }
        let output = std::process::Command::new(program).arg("--no-parse-wal").arg(data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Names of everything in a directory.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) async fn value(server: &Server, sql: &str) -> String {
    let session = Session::connect(&server.socket_conninfo("postgres").unwrap(), "test").await.unwrap();
    session.client().batch_execute("RESET search_path").await.unwrap();
    let row = session.client().query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

/// Waits for a run, which must not take for ever.
pub(super) async fn finished(child: Child) -> Finished {
    let output: Output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let finished =
        Finished { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!format!("{finished:?}").contains("SENTINEL"), "a secret is printed (invariant I13)");
    finished
}
