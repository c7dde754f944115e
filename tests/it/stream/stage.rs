//! A repository, a server that keeps its WAL, streamers as processes, and the bucket as a restore would read it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use stonewal::catalog::{Access, Repository, TimelineCoverage, WalObject};
use stonewal::format::names::{Names, WalName};
use stonewal::format::wal::{WalRange, piece_bytes};
use stonewal::format::{ClusterName, DataKey, Lsn, SegmentName, SegmentSize, Timeline};
use stonewal::keys::RecoveryFile;
use stonewal::pipeline::open_wal;
use stonewal::postgres::Session;
use stonewal::postgres::server::{Server, ServerOptions};
use stonewal::store::embedded;
use stonewal::store::roles::Role;
use stonewal::store::{Entry, ListQuery, Read as _, S3};
use tokio::process::{Child, Command};

use crate::support::fixture::Fixture;
use crate::support::host;
use crate::support::seed::Seed;

const PASSPHRASE: &str = "SENTINEL-passphrase of the streams";

pub(super) struct Stage {
    pub(super) fixture: Fixture,
    pub(super) store: embedded::Server,
    pub(super) folder: tempfile::TempDir,
    segment: SegmentSize,
}

/// A streamer under way; dropping it kills it.
pub(super) struct Streamer {
    child: Child,
    log: PathBuf,
}

impl Stage {
    /// `None`, with a printed line, where PostgreSQL is not installed.
    pub(super) async fn new(test: &str, postgres: impl FnOnce(&mut ServerOptions)) -> Option<Self> {
        let fixture = Fixture::with(test, |options| {
            let keep = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            options.settings.extend([
                keep("max_slot_wal_keep_size", "10GB"),
                // What is compared must still be there.
                keep("wal_keep_size", "10GB"),
                keep("autovacuum", "off"),
            ]);
            postgres(options);
        })
        .await?;
        let passable = std::fs::Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("swr").permissions(passable).tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        std::fs::write(folder.path().join("stonewal.toml"), "").unwrap();
        let at = |name: &str| folder.path().join(name);
        let seed = Seed::of(PASSPHRASE, host::REPOSITORY, &[]).await;
        seed.plant(&at("store"), &at("home/recovery"), &at("home/writer"));
        let store = embedded::Server::start(embedded::Options::new(at("store"))).await.unwrap();
        // Asked now: later the server may be gone.
        let session = Session::connect(&fixture.server.conninfo("postgres").unwrap(), "stage").await.unwrap();
        let sql = "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'";
        let bytes: String = session.client().query_one(sql, &[]).await.unwrap().get(0);
        let segment = SegmentSize::new(bytes.parse().unwrap()).unwrap();
        Some(Self { fixture, store, folder, segment })
    }

    pub(super) fn server(&self) -> &Server {
        &self.fixture.server
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on the host of a writer.
    pub(super) fn command(&self, line: &str, role: Role) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonewal"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .current_dir(self.folder.path())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .envs(host::variables(&self.store, role))
            .env("HOME", self.path("home"))
            .env("USER", "nobody")
            .env("STONEWAL_CONFIG", "stonewal.toml")
            .env("STONEWAL_KEYS_WRITER_FILE", self.path("home/writer"))
            .env("STONEWAL_S3_DEADLINE", "20s")
            .env("REPLICATION_DATABASE_URL", url(self.server()));
        command
    }

    /// Starts a streamer; more flags in `flags`.
    pub(super) fn stream(&self, flags: &str) -> Streamer {
        self.stream_with(flags, |_| {})
    }

    pub(super) fn stream_with(&self, flags: &str, change: impl FnOnce(&mut Command)) -> Streamer {
        let mut command = self.command(&format!("wal stream --create-slot {flags}"), Role::Writer);
        change(&mut command);
        let log = self.path(&format!("stream-{}.log", fastrand::u64(..)));
        let file = std::fs::File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Streamer { child: command.spawn().unwrap(), log }
    }

    pub(super) async fn session(&self) -> Session {
        Session::connect(&self.server().conninfo("postgres").unwrap(), "stage").await.unwrap()
    }

    /// Writes some WAL, and gives its end on disk.
    pub(super) async fn write(&self, rows: u32) -> Lsn {
        write(self.server(), rows).await
    }

    pub(super) async fn s3(&self, role: Role) -> S3 {
        host::client(&self.store, role).await
    }

    /// The repository as a restore host opens it.
    pub(super) async fn repository(&self) -> Repository {
        let text = SecretString::from(std::fs::read_to_string(self.path("home/recovery")).unwrap());
        let access = Access::Recovery(RecoveryFile::decode(&text).unwrap());
        let names = Names::new("prod").unwrap();
        Repository::open(Arc::new(self.s3(Role::Reader).await), names, access, "s3://backups/prod").await.unwrap()
    }

    pub(super) fn segment(&self) -> SegmentSize {
        self.segment
    }

    pub(super) async fn coverage(&self, timeline: Timeline) -> TimelineCoverage {
        let repository = self.repository().await;
        repository.timeline_coverage(&cluster(), timeline, Some(self.segment()), &mut Vec::new()).await.unwrap()
    }

    /// Every byte of WAL of a timeline that the bucket has, by the start of its piece: as far as it reaches without a hole.
    pub(super) async fn stored(&self, timeline: Timeline) -> BTreeMap<Lsn, Vec<u8>> {
        let (repository, cluster) = (self.repository().await, cluster());
        let coverage = self.coverage(timeline).await;
        let piece = piece_bytes(self.segment());
        let mut stored = BTreeMap::new();
        for range in &coverage.pieces {
            for start in (range.start.get()..range.end.get()).step_by(usize::try_from(piece).unwrap()).map(Lsn::new) {
                let name = WalName::Piece { timeline, range: WalRange { start, end: start.plus(piece) }, tag: None };
                let found = repository.wal_object(&cluster, &name).await.unwrap().expect("a piece that is listed");
                let key = repository.wal_key(&found.head).await.unwrap();
                stored.insert(start, opened(&found, &key).await);
            }
        }
        let all = WalRange { start: Lsn::new(0), end: Lsn::new(u64::MAX) };
        let (mut partials, _) = repository.partials(&cluster, timeline, all).await.unwrap();
        partials.sort_by_key(|partial| (partial.range.start, std::cmp::Reverse(partial.range.end)));
        for partial in partials {
            let start = partial.range.start.floor(piece);
            let have = stored.entry(start).or_insert_with(Vec::new);
            if start.plus(have.len() as u64) < partial.range.start {
                continue; // what lies before it is not there
            }
            let found = repository.wal_version(&cluster, &partial.entry).await.unwrap();
            let key = repository.wal_key(&found.head).await.unwrap();
            let plain = opened(&found, &key).await;
            let skip = usize::try_from(partial.range.start.since(start)).unwrap();
            let known = have.len().saturating_sub(skip).min(plain.len());
            assert_eq!(have[skip..skip + known], plain[..known], "two objects differ where they overlap");
            have.extend_from_slice(&plain[known..]);
        }
        stored
    }

    /// Fails unless the bucket has every byte of `from..to` as it lies in this server's `pg_wal`.
    pub(super) async fn assert_stored(&self, server: &Server, timeline: Timeline, from: Lsn, to: Lsn) {
        let stored = self.stored(timeline).await;
        let (segment, piece) = (self.segment(), piece_bytes(self.segment()));
        let mut at = from;
        while at < to {
            let name = SegmentName::holding(timeline, at, segment);
            let file = std::fs::read(server.data_dir().join("pg_wal").join(name.to_string()));
            let file = file.unwrap_or_else(|error| panic!("{name}: {error}"));
            let end = to.min(at.floor(piece).plus(piece));
            let have = stored.get(&at.floor(piece)).unwrap_or_else(|| panic!("nothing is stored of the piece of {at}"));
            let want = &file[offset(at, segment.bytes())..][..usize::try_from(end.since(at)).unwrap()];
            let got = have.get(offset(at, piece)..offset(at, piece) + want.len());
            assert!(got.is_some(), "of the piece of {at}, {} bytes are stored, not up to {end}", have.len());
            assert!(got == Some(want), "WAL {at} to {end} of timeline {timeline} differs");
            at = end;
        }
    }

    /// Every object below the cluster's WAL.
    pub(super) async fn objects(&self) -> Vec<Entry> {
        let (store, mut all, mut token) = (self.s3(Role::Reader).await, Vec::new(), None);
        let query = ListQuery { prefix: "prod/main/wal/".into(), by_folder: false };
        loop {
            let page = store.list_page(&query, token.as_ref()).await.unwrap();
            all.extend(page.entries);
            token = page.next;
            if token.is_none() {
                return all;
            }
        }
    }

    /// What the slot keeps from.
    pub(super) async fn restart_lsn(&self, slot: &str) -> Option<Lsn> {
        self.session().await.slot(slot).await.unwrap()?.restart_lsn
    }

    /// Waits until the streamer has reported `lsn` as flushed.
    pub(super) async fn flushed(&self, lsn: Lsn, within: Duration) {
        flushed(self.server(), lsn, within).await;
    }
}

/// Waits until a streamer of this server has reported `lsn` as flushed.
pub(super) async fn flushed(server: &Server, lsn: Lsn, within: Duration) {
    let session = Session::connect(&server.conninfo("postgres").unwrap(), "stage").await.unwrap();
    let sql = "SELECT max(flush_lsn)::text FROM pg_stat_replication WHERE application_name = 'stonewal'";
    let begin = Instant::now();
    loop {
        let row = session.client().query_one(sql, &[]).await.unwrap();
        let flushed = row.get::<_, Option<String>>(0).map(|text| text.parse::<Lsn>().unwrap());
        if flushed.is_some_and(|flushed| flushed >= lsn) {
            return;
        }
        assert!(begin.elapsed() < within, "{lsn} is not durable within {within:?}, but {flushed:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes some WAL, and gives its end on disk.
pub(super) async fn write(server: &Server, rows: u32) -> Lsn {
    let session = Session::connect(&server.conninfo("postgres").unwrap(), "stage").await.unwrap();
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS filler (text text); \
         INSERT INTO filler SELECT md5(random()::text) || md5(random()::text) FROM generate_series(1, {rows})"
    );
    session.client().batch_execute(&format!("SET search_path = public; {sql}")).await.unwrap();
    let row = session.client().query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap();
    row.get::<_, String>(0).parse().unwrap()
}

/// How a streamer reaches this server.
pub(super) fn url(server: &Server) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", server.port())
}

async fn opened(found: &WalObject, key: &DataKey) -> Vec<u8> {
    let mut plain = Vec::new();
    let take = |bytes: Vec<u8>| {
        plain.extend_from_slice(&bytes);
        Ok::<_, std::io::Error>(())
    };
    open_wal(&found.head, found.object.clone(), key, take).await.unwrap().unwrap();
    plain
}

fn offset(at: Lsn, size: u64) -> usize {
    usize::try_from(at.since(at.floor(size))).unwrap()
}

pub(super) fn cluster() -> ClusterName {
    "main".parse().unwrap()
}

pub(super) fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

impl Streamer {
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(super) async fn end(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(Duration::from_mins(2), self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the streamer does not end:\n{}", self.said())).unwrap()
    }

    /// Waits for a good end.
    pub(super) async fn good(mut self) -> String {
        let status = self.end().await;
        assert!(status.success(), "{status}:\n{}", self.said());
        self.said()
    }

    /// SIGTERM, and a good end.
    pub(super) async fn stop(self) -> String {
        self.signal(Signal::TERM);
        self.good().await
    }

    /// Waits until it has said this.
    pub(super) async fn says(&mut self, what: &str, within: Duration) {
        let begin = Instant::now();
        while !self.said().contains(what) {
            assert!(self.is_running(), "it ended before it said {what:?}:\n{}", self.said());
            assert!(begin.elapsed() < within, "it does not say {what:?} within {within:?}:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
