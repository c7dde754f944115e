//! A repository with one good backup, a source, and the program as an operator runs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use stonewal::postgres::Session;
use stonewal::postgres::server::ServerOptions;
use stonewal::store::embedded::{self, Server};
use stonewal::store::roles::Role;
use stonewal::store::{Entry, ListQuery, Read as _, S3};

use super::process::{Run, eventually, no_descendants};
use crate::support::fixture::Fixture;
use crate::support::host;
use crate::support::seed::Seed;

/// Never to be seen anywhere.
pub(super) const PASSPHRASE: &str = "SENTINEL-passphrase of the tests";

/// Rows of the source's table; each is about 140 bytes of SQL.
const ROWS: u32 = 85_000;

pub(super) struct World {
    pub(super) fixture: Fixture,
    pub(super) store: Server,
    folder: tempfile::TempDir,
    /// The backup that must stay the latest whatever fails afterwards.
    pub(super) first: String,
}

impl World {
    /// `None`, with a printed line, where PostgreSQL is not installed.
    pub(super) async fn new(test: &str) -> Option<Self> {
        Self::with(test, |_| {}, |_| {}).await
    }

    pub(super) async fn with(
        test: &str,
        postgres: impl FnOnce(&mut ServerOptions),
        store: impl FnOnce(&mut embedded::Options),
    ) -> Option<Self> {
        let fixture = Fixture::with(test, postgres).await?;
        make_source(&fixture).await;
        let folder = tempfile::Builder::new().prefix("swf").tempdir().unwrap();
        for name in ["tmp", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("stonewal.toml"), "").unwrap();
        let mut options = embedded::Options::new(folder.path().join("store"));
        store(&mut options);
        let at = |name: &str| folder.path().join(name);
        let seed = Seed::of(PASSPHRASE, host::REPOSITORY, &[]).await;
        seed.plant(&at("store"), &at("home/recovery"), &at("home/writer"));
        let store = Server::start(options).await.unwrap();
        let mut world = Self { fixture, store, folder, first: String::new() };
        let made = world.stonewal("backup dump --json").end().await.good();
        world.first = made.json()["backup"].as_str().unwrap().to_owned();
        world.unchanged().await;
        Some(world)
    }

    /// The program on a backup host: a writer file and the writer's credentials.
    pub(super) fn stonewal(&self, line: &str) -> Run {
        let names = vec![
            (self.store.endpoint(), "[STORE]"),
            (self.path("").display().to_string().trim_end_matches('/').to_owned(), "[DIR]"),
            (format!("127.0.0.1:{}", self.fixture.server.port()), "[POSTGRES]"),
            (self.first.clone(), "[FIRST]"),
        ];
        let names = names.into_iter().filter(|(value, _)| !value.is_empty()).collect();
        Run::new(line, self.folder.path(), names)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_S3", self.store.endpoint())
            .env("AWS_REGION", self.store.region())
            .env("DATABASE_URL", self.url("app"))
            .env("HOME", self.home())
            .env("PATH", "/usr/bin:/bin")
            .env("STONEWAL_CONFIG", "stonewal.toml")
            .env("STONEWAL_DUMP_CODEC", "none")
            .env("STONEWAL_KEYS_WRITER_FILE", self.path("home/writer"))
            .env("STONEWAL_LIMITS_CHUNK", "8MiB")
            .env("STONEWAL_POSTGRES_BIN_DIR", self.fixture.server.bin_dir())
            .env("STONEWAL_REPOSITORY", "s3://backups/prod")
            .env("TMPDIR", self.path("tmp"))
            .env("USER", "nobody")
            .role(self, Role::Writer)
    }

    /// The program on a restore host: the recovery file (no key derivation to wait for) and the reader's credentials.
    pub(super) fn restorer(&self, line: &str) -> Run {
        let run = self.stonewal(line).unset("STONEWAL_KEYS_WRITER_FILE").unset("DATABASE_URL");
        // It can sign nothing; what becomes of its records is tested by itself.
        let run = run.env("STONEWAL_AUDIT_MODE", "off");
        run.env("STONEWAL_KEYS_IDENTITY_FILE", self.path("home/recovery")).role(self, Role::Reader)
    }

    /// A restore into a database of the source's server.
    pub(super) fn restore_into(&self, database: &str, flags: &str) -> Run {
        let run = self.restorer(&format!("restore dump latest {flags}"));
        run.env("RESTORE_DATABASE_URL", self.url(database)).env("CONFIRM_RESTORE", "true")
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.fixture.server.port())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// A client of the store with a role of its own.
    pub(super) async fn s3(&self, role: Role) -> S3 {
        host::client(&self.store, role).await
    }

    /// Everything in the repository whose key contains `part`.
    pub(super) async fn objects(&self, part: &str) -> Vec<Entry> {
        let query = ListQuery { prefix: "prod/".into(), by_folder: false };
        let page = self.s3(Role::Admin).await.list_page(&query, None).await.unwrap();
        assert!(page.next.is_none(), "one page holds all");
        page.entries.into_iter().filter(|entry| entry.key.as_str().contains(part)).collect()
    }

    /// The files in which the embedded store keeps bodies; one that is being received is there already.
    pub(super) fn bodies(&self) -> BTreeSet<PathBuf> {
        let bodies = std::fs::read_dir(self.path("store/buckets/backups/data")).unwrap();
        bodies.map(|entry| entry.unwrap().path()).collect()
    }

    /// Waits until a chunk that was not there `before` is half-way through.
    pub(super) async fn uploading(&self, before: &BTreeSet<PathBuf>) {
        let half_way = || self.bodies().difference(before).any(|path| size_of(path) > 1 << 20).then_some(());
        eventually("a chunk is on its way", 60, half_way).await;
    }

    /// Ids of the backups that exist, oldest first, as the program lists them.
    pub(super) async fn backups(&self) -> Vec<String> {
        let listed = self.stonewal("list --json").end().await.good().json();
        let rows = listed["backups"].as_array().unwrap();
        rows.iter().map(|row| row["backup"].as_str().unwrap().to_owned()).collect()
    }

    /// The failure before this left nothing: no backup, no session, no child, no temporary file.
    pub(super) async fn unchanged(&self) {
        self.no_sessions().await;
        self.unchanged_besides_sessions().await;
    }

    /// The same where the server is gone, and its sessions with it.
    pub(super) async fn unchanged_besides_sessions(&self) {
        no_descendants(&self.home()).await;
        assert_eq!(self.backups().await, std::slice::from_ref(&self.first), "the earlier backup is the only one");
        let left: Vec<_> = std::fs::read_dir(self.path("tmp")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "temporary files are left: {left:?}");
    }

    /// Within 10 seconds all sessions of ours are gone.
    pub(super) async fn no_sessions(&self) {
        no_sessions(&self.fixture).await;
    }

    /// A session in the source that holds a transaction open after `sql`.
    pub(super) async fn hold(&self, database: &str, sql: &str) -> Session {
        let session = Session::connect(&self.fixture.server.conninfo(database).unwrap(), "holder").await.unwrap();
        session.client().batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        session
    }

    /// Waits until a session of ours is in this state of pg_stat_activity.
    pub(super) async fn session_is(&self, condition: &str) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stonewal%' AND datname IS NOT NULL AND {condition}"
        );
        let watch = self.hold("postgres", "COMMIT").await;
        for _ in 0..600 {
            let row = watch.client().query_one(&sql, &[]).await.unwrap();
            if row.get::<_, i64>(0) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no session became {condition}");
    }

    /// The target of a restore that did not happen.
    pub(super) async fn assert_empty(&self, database: &str) {
        self.no_sessions().await;
        let sql = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
            WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'";
        assert_eq!(self.fixture.value(database, sql), "0", "{database} is empty");
    }

    /// The target of a restore that happened.
    pub(super) fn assert_restored(&self, database: &str) {
        let digest = "SELECT count(*) || ' ' || md5(string_agg(l::text, ',' ORDER BY id)) FROM ledger l";
        assert_eq!(self.fixture.value(database, digest), self.fixture.value("app", digest));
    }
}

pub(super) async fn no_sessions(fixture: &Fixture) {
    let sql = "SELECT coalesce(string_agg(application_name || ': ' || state || ': ' || left(query, 60), '; '), '') \
        FROM pg_stat_activity WHERE application_name LIKE 'stonewal%'";
    let mut left = String::new();
    for _ in 0..100 {
        left = fixture.value("postgres", sql);
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("sessions are left after 10 s: {left}");
}

async fn make_source(fixture: &Fixture) {
    fixture.server.execute("postgres", "CREATE ROLE bookkeeper").await.unwrap();
    fixture.server.execute("postgres", "CREATE DATABASE app TEMPLATE template0").await.unwrap();
    fixture.server.execute("postgres", "COMMENT ON DATABASE app IS 'the books'").await.unwrap();
    let table = format!(
        "CREATE TABLE ledger (id int, text text); ALTER TABLE ledger OWNER TO bookkeeper; \
         INSERT INTO ledger SELECT i, md5(i::text) || md5((i + 1)::text) || md5((i * 7)::text) || md5((-i)::text) \
         FROM generate_series(1, {ROWS}) i; ALTER TABLE ledger ADD PRIMARY KEY (id)"
    );
    fixture.server.execute("app", &table).await.unwrap();
}

impl World {
    /// An empty database on the source's server.
    pub(super) async fn target(&self, name: &str) {
        self.fixture.server.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
    }

    /// Makes the source too long for the buffers between pg_dump and a slow store: 64 MB of SQL that are quickly made.
    pub(super) async fn grow(&self) {
        let table = "CREATE TABLE bulk AS SELECT i, repeat(md5(i::text), 8000) AS text FROM generate_series(1, 250) i";
        self.fixture.server.execute("app", table).await.unwrap();
    }

    /// A user of the store beside those of every server.
    pub(super) fn user(name: &str, role: Role, session: Option<embedded::Session>) -> embedded::User {
        let secret_key = SecretString::from("SENTINEL-secret-of-a-user");
        embedded::User { credentials: embedded::Credentials { access_key: name.into(), secret_key }, role, session }
    }
}

/// Bytes of a file, none if it is gone.
pub(super) fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
