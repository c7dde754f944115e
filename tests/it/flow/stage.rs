//! One stage for a whole flow: a PostgreSQL with something to lose, an embedded store that writes down every request, and
//! a repository with keys for every part.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use secrecy::SecretString;
use stonewal::catalog::{Access, each_entry};
use stonewal::commands::{self, Connected, Immutability, RepositoryOptions, Which};
use stonewal::commands::{backup_dump, doctor, init, list, restore_dump, show, verify, writer};
use stonewal::format::{BackupId, ClusterName, Codec};
use stonewal::keys::{RecoveryFile, WriterFile};
use stonewal::limits::{CHUNK_BYTES_MIN, DOWNLOADS_DEFAULT, UPLOADS_DEFAULT};
use stonewal::observe::Progress;
use stonewal::pipeline::Encoding;
use stonewal::postgres::ConnInfo;
use stonewal::postgres::dump::DumpOptions;
use stonewal::postgres::globals::GlobalsMode;
use stonewal::store::embedded::{Credentials, Options, Server};
use stonewal::store::roles::Role;
use stonewal::store::{Entry, LockMode, StaticCredentials};
use stonewal::verify::Level;
use tokio_util::sync::CancellationToken;

use crate::support::fixture::Fixture;
use crate::support::seed::Seed;

pub(super) const BUCKET: &str = "stone";
pub(super) const PREFIX: &str = "flow/";
pub(super) const PASSPHRASE: &str = "seventeen granite blocks";
pub(super) const DAY: Duration = Duration::from_hours(24);
/// Stands in rows, names and comments of the small database.
pub(super) const MARKER: &str = "Marmalade-4711";
/// Name of the small database.
const SMALL: &str = "app";
/// Rows of its table: 25 MB, several chunks.
const ROWS: u32 = 110_000;

/// Everything, running.
pub(super) struct Stage {
    pub(super) source: Fixture,
    pub(super) database: ConnInfo,
    pub(super) dir: tempfile::TempDir,
    pub(super) options: Options,
    server: Option<Server>,
}

impl Stage {
    /// A small database of 25 MB, an ordinary store, and no repository yet.
    pub(super) async fn empty(test: &str, change: impl FnOnce(&mut Options)) -> Option<Self> {
        let (source, database) = Self::small(test, ROWS).await?;
        Some(Self::around(source, database, change, false).await)
    }

    async fn small(test: &str, rows: u32) -> Option<(Fixture, ConnInfo)> {
        let source = Fixture::empty(test).await?;
        source.psql("postgres", &format!("CREATE DATABASE {SMALL};"), &[]);
        let script = format!(
            "CREATE TABLE ledger (id int PRIMARY KEY, body text NOT NULL);
             INSERT INTO ledger SELECT n, '{MARKER} ' || n || repeat(md5(n::text), 3) || md5((-n)::text) || md5((n * 7)::text) || md5((n * 11)::text) FROM generate_series(1, {rows}) n;
             CREATE TABLE \"{MARKER}\" (note text); INSERT INTO \"{MARKER}\" VALUES ('{MARKER}'), (NULL);
             CREATE ROLE \"{MARKER} role\";"
        );
        source.psql(SMALL, &script, &[]);
        let database = source.server.conninfo(SMALL).unwrap();
        Some((source, database))
    }

    /// [`Stage::empty`] with a repository and a writer file.
    pub(super) async fn new(test: &str, change: impl FnOnce(&mut Options)) -> Option<Self> {
        let (source, database) = Self::small(test, ROWS).await?;
        Some(Box::pin(Self::around(source, database, change, true)).await)
    }

    /// The same for what is not about chunks: with a table of 2 MB, which is some frames of one.
    pub(super) async fn light(test: &str, change: impl FnOnce(&mut Options)) -> Option<Self> {
        let (source, database) = Self::small(test, ROWS / 12).await?;
        Some(Box::pin(Self::around(source, database, change, true)).await)
    }

    /// The awkward database of the fixture, with a repository.
    pub(super) async fn awkward(test: &str, scale: u32) -> Option<Self> {
        let source = Fixture::awkward(test, scale).await?;
        let database = source.source();
        Some(Box::pin(Self::around(source, database, |_| (), true)).await)
    }

    async fn around(
        source: Fixture,
        database: ConnInfo,
        change: impl FnOnce(&mut Options),
        with_repository: bool,
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("swflow").tempdir().unwrap();
        let mut options = Options::new(dir.path().join("store"));
        options.request_log = Some(dir.path().join("requests.jsonl"));
        change(&mut options);
        // A store with another clock has a repository of that time.
        let seeded = with_repository && options.clock_offset.is_zero();
        if seeded {
            let env = [("STONEWAL_LOCK_RETAIN", "30d"), ("STONEWAL_AUDIT_MODE", "off")];
            let seed = Box::pin(Seed::of(PASSPHRASE, &format!("s3://{BUCKET}/{PREFIX}"), &env)).await;
            seed.plant(&options.root, &dir.path().join("recovery.txt"), &dir.path().join("db1.writer"));
        }
        let server = Some(Server::start(options.clone()).await.unwrap());
        let stage = Self { source, database, dir, options, server };
        if with_repository && !seeded {
            Box::pin(stage.found()).await;
        }
        stage
    }

    /// `init` by the administrator, then keys for a host.
    pub(super) async fn found(&self) {
        let made = init::run(self.init()).await.unwrap();
        assert!(made.created_bucket && made.created_repository && made.bundle.is_some());
        self.new_writer("db1").await;
    }

    pub(super) fn init(&self) -> init::Options {
        init::Options {
            repository: self.repository(Role::Admin),
            passphrase: PASSPHRASE.into(),
            recipients: Vec::new(),
            recovery_file: Some(self.recovery_path()),
            lifecycle: None,
        }
    }

    /// A writer file called `name`, and its certificate in the bucket.
    pub(super) async fn new_writer(&self, name: &str) {
        let (repository, out) = (self.repository(Role::Admin), self.writer_path(name));
        let options =
            writer::Options { repository, passphrase: PASSPHRASE.into(), bundle: None, name: name.into(), out };
        writer::run(options).await.unwrap();
    }

    pub(super) fn recovery_path(&self) -> PathBuf {
        self.dir.path().join("recovery.txt")
    }

    pub(super) fn writer_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.writer"))
    }

    pub(super) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Stops the store, lets `meanwhile` do something to its folder, and starts it again.
    pub(super) async fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.server.take().unwrap().stop().await;
        meanwhile(&self.options.root);
        self.server = Some(Server::start(self.options.clone()).await.unwrap());
    }

    pub(super) fn repository(&self, role: Role) -> RepositoryOptions {
        self.repository_as(&self.server().credentials(role).unwrap(), None)
    }

    pub(super) fn repository_as(&self, user: &Credentials, session_token: Option<SecretString>) -> RepositoryOptions {
        let mut s3 = crate::support::options(&self.server().endpoint(), BUCKET, "", "");
        let (access_key, secret_key) = (user.access_key.clone(), user.secret_key.clone());
        s3.credentials = Some(StaticCredentials { access_key, secret_key, session_token });
        let immutability = Immutability::ObjectLock { mode: LockMode::Governance, retain: 30 * DAY };
        let (prefix, lock_max) = (PREFIX.into(), 400 * DAY);
        let (replicas, from_replica, require_worm) = (Vec::new(), None, false);
        RepositoryOptions { s3, prefix, immutability, require_worm, lock_max, replicas, from_replica }
    }

    pub(super) fn passphrase() -> Access {
        Access::Passphrase(PASSPHRASE.into())
    }

    pub(super) fn writer_file(&self) -> WriterFile {
        let text = std::fs::read_to_string(self.writer_path("db1")).unwrap();
        WriterFile::decode(&SecretString::from(text)).unwrap()
    }

    pub(super) fn writer_access(&self) -> Access {
        Access::Writer(Box::new(self.writer_file()))
    }

    pub(super) fn recovery(&self) -> Access {
        let text = std::fs::read_to_string(self.recovery_path()).unwrap();
        Access::Recovery(RecoveryFile::decode(&SecretString::from(text)).unwrap())
    }

    /// A backup by the host: writer credentials, writer file, small chunks.
    pub(super) fn backup_options(&self) -> backup_dump::Options {
        self.backup_options_with(self.writer_access())
    }

    pub(super) fn backup_options_with(&self, access: Access) -> backup_dump::Options {
        backup_dump::Options {
            repository: self.repository(Role::Writer),
            access,
            cluster: cluster(),
            source: self.database.clone(),
            programs: self.source.search(),
            dump: DumpOptions { counts: true, ..DumpOptions::default() },
            globals: GlobalsMode::Full,
            encoding: encoding(Codec::None),
            chunk_bytes: CHUNK_BYTES_MIN,
            uploads: UPLOADS_DEFAULT,
            read_back: None,
        }
    }

    pub(super) async fn backup(&self) -> backup_dump::Outcome {
        run_backup(self.backup_options()).await.unwrap()
    }

    /// A restore of the dump by the restore host, to `target`.
    pub(super) fn restore_options(&self, which: Which, target: restore_dump::RestoreTarget) -> restore_dump::Options {
        restore_dump::Options {
            tables: None,
            repository: self.repository(Role::Reader),
            access: Self::passphrase(),
            cluster: cluster(),
            which,
            target,
            downloads: DOWNLOADS_DEFAULT,
        }
    }

    /// What a restore writes, and how it ended; what was written before a failure comes back too.
    pub(super) async fn restored(
        &self,
        which: Which,
        change: impl FnOnce(&mut restore_dump::Options),
    ) -> (Vec<u8>, commands::Result<restore_dump::Outcome>) {
        let sink = Sink::default();
        let target = restore_dump::RestoreTarget::Writer { writer: Box::new(sink.clone()), globals: false };
        let mut options = self.restore_options(which, target);
        change(&mut options);
        let ended = Box::pin(restore_dump::run(options, &Progress::new(), &CancellationToken::new())).await;
        (sink.take(), ended)
    }

    /// The bytes of a restore that must succeed.
    pub(super) async fn bytes(&self, which: Which) -> Vec<u8> {
        let (bytes, ended) = self.restored(which, |_| ()).await;
        assert_eq!(ended.unwrap().plain_bytes, bytes.len() as u64);
        bytes
    }

    /// Into a database of the server of `to`.
    pub(super) async fn restore_into(
        &self,
        to: &Fixture,
        target: &ConnInfo,
    ) -> commands::Result<restore_dump::Outcome> {
        let target = restore_dump::DatabaseTarget {
            info: target.clone(),
            programs: to.search(),
            confirm: restore_dump::Confirm::Given,
            globals: true,
        };
        let target = restore_dump::RestoreTarget::Database(Box::new(target));
        let options = self.restore_options(Which::Latest, target);
        Box::pin(restore_dump::run(options, &Progress::new(), &CancellationToken::new())).await
    }

    pub(super) async fn verify(&self, role: Role, access: Access, level: Level) -> commands::Result<verify::Outcome> {
        let repository = self.repository(role);
        let (cluster, which, sample, seed) = (None, None, None, None);
        let downloads = DOWNLOADS_DEFAULT;
        let options = verify::Options { repository, access, cluster, which, level, sample, seed, downloads };
        verify::run(options, &Progress::new()).await
    }

    pub(super) async fn list(&self, role: Role, access: Access) -> list::Outcome {
        list::run(list::Options { repository: self.repository(role), access, cluster: None }).await.unwrap()
    }

    pub(super) async fn show(&self, role: Role, access: Access, which: Which) -> show::Outcome {
        show::run(show::Options { repository: self.repository(role), access, cluster: cluster(), which }).await.unwrap()
    }

    pub(super) fn doctor_options(&self, role: Role, access: Option<Access>) -> doctor::Options {
        let programs = self.source.search();
        let (slot, application_name) = ("stonewal".into(), "stonewal".into());
        let repository = self.repository(role);
        doctor::Options {
            repository,
            access,
            source: None,
            programs,
            slot,
            application_name,
            kept: 35 * DAY,
            probe: true,
        }
    }

    pub(super) async fn connected(&self, role: Role) -> Connected {
        Connected::to(&self.repository(role)).await.unwrap()
    }

    /// Every version and marker in the repository.
    pub(super) async fn entries(&self) -> Vec<Entry> {
        let store = self.connected(Role::Admin).await.store;
        let mut entries = Vec::new();
        each_entry(&*store, PREFIX, |entry| entries.push(entry)).await.unwrap();
        entries
    }

    /// Requests so far.
    pub(super) fn log(&self) -> Vec<Request> {
        let text = std::fs::read_to_string(self.options.request_log.as_ref().unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Fails unless every session of ours at the source has ended within ten seconds (PAINS C5).
    pub(super) async fn assert_no_session(&self, when: &str) {
        let sql = "SELECT coalesce(string_agg(application_name || ': ' || coalesce(state, ''), ', '), '') FROM pg_stat_activity WHERE application_name LIKE 'stonewal%'";
        let started = std::time::Instant::now();
        loop {
            let left = self.source.value("postgres", sql);
            if left.is_empty() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "{when}: {left}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// One line of the store's request log.
#[derive(Clone, Debug, serde::Deserialize)]
pub(super) struct Request {
    pub(super) user: Option<Role>,
    pub(super) action: Option<String>,
    pub(super) method: String,
    pub(super) key: Option<String>,
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
}

pub(super) fn cluster() -> ClusterName {
    "main".parse().unwrap()
}

pub(super) fn encoding(codec: Codec) -> Encoding {
    Encoding { codec, level: codec.default_level() }
}

pub(super) fn id(backup: &BackupId) -> Which {
    Which::Id(backup.clone())
}

pub(super) async fn run_backup(options: backup_dump::Options) -> commands::Result<backup_dump::Outcome> {
    Box::pin(backup_dump::run(options, &Progress::new(), &CancellationToken::new())).await
}

/// Collects what is written to it.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl tokio::io::AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
