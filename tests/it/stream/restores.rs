//! What was streamed, restored as a user restores: gaps and damage in the newest WAL.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use stonewal::format::{Lsn, SegmentName};
use stonewal::postgres::Session;
use stonewal::postgres::server::{OpenOptions, Server};
use stonewal::store::roles::Role;
use stonewal::store::{Append as _, ObjectKey, Put};

use super::gaps::{drop_slot, frugal, remove_wal};
use super::stage::{Stage, timeline};
use crate::support::ledger::Moment;

const SOON: Duration = Duration::from_mins(1);

/// A run of `restore base`.
pub(super) struct Restore(Output);

impl Restore {
    fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.0.stdout), String::from_utf8_lossy(&self.0.stderr))
    }

    /// Done, with or without warnings.
    #[track_caller]
    pub(super) fn good(&self) {
        assert!(matches!(self.0.status.code(), Some(0 | 3)), "{}: {}", self.0.status, self.text());
    }
}

impl Stage {
    /// On the restore host, into a directory that the server's user may reach.
    pub(super) async fn restore(&self, dir: &str, flags: &[&str]) -> Restore {
        let mut command = self.command("restore base --dir", Role::Reader);
        command.arg(self.path(dir)).args(flags).env("CONFIRM_PITR", "true");
        command.env_remove("STONEWAL_KEYS_WRITER_FILE").env("STONEWAL_KEYS_IDENTITY_FILE", self.path("home/recovery"));
        command.env("STONEWAL_AUDIT_MODE", "off");
        Restore(command.env("STONEWAL_POSTGRES_BIN_DIR", self.server().bin_dir()).output().await.unwrap())
    }

    /// Opens what was restored, and waits until recovery is over.
    pub(super) async fn recovered(&self, dir: &str) -> Server {
        let mut options = OpenOptions::new(self.path(dir), self.path(&format!("{dir}-run")));
        options.bin_dir = Some(self.server().bin_dir().into());
        let mut server = Server::open(&options).await.unwrap();
        server.wait_writable(SOON).await.unwrap();
        server
    }

    async fn now(&self) -> Timestamp {
        let moment = Moment::now(self.session().await.client()).await.unwrap().time;
        tokio::time::sleep(Duration::from_millis(50)).await;
        moment
    }

    /// Partials in the bucket, in order.
    async fn partials(&self) -> Vec<Partial> {
        let mut all: Vec<Partial> =
            self.objects().await.iter().filter_map(|entry| Partial::of(entry.key.as_str())).collect();
        all.sort_by_key(|partial| (partial.start, partial.end));
        all
    }

    /// The file in which the store keeps an object.
    fn file_of(&self, key: &str) -> PathBuf {
        let bucket = self.path("store/buckets/backups");
        let metas = std::fs::read_dir(bucket.join("meta")).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
        let mut metas = metas.map(|meta| serde_json::from_slice::<serde_json::Value>(&meta.unwrap()).unwrap());
        let meta = metas.find(|meta| meta["key"] == key).expect("it is on the disk");
        bucket.join("data").join(meta["file"].as_str().unwrap())
    }
}

#[derive(Debug)]
struct Partial {
    key: String,
    start: Lsn,
    end: Lsn,
}

impl Partial {
    fn of(key: &str) -> Option<Self> {
        let (_, name) = key.split_once("/partial/")?;
        let mut numbers = name.split('-').map(|number| Lsn::new(u64::from_str_radix(number, 16).unwrap()));
        Some(Self { key: key.into(), start: numbers.next()?, end: numbers.next()? })
    }
}

async fn steps(server: &Server) -> String {
    let session = Session::connect(&server.conninfo("postgres").unwrap(), "test").await.unwrap();
    let sql = "SELECT string_agg(n::text, ',' ORDER BY n) FROM public.steps";
    session.client().query_one(sql, &[]).await.unwrap().get(0)
}

/// PAINS A19 and B3: steps 1 to 3 are streamed, the last two in a part of a segment; then the slot is dropped, 4 is lost and the
/// gap is recorded; 5 is streamed.
#[tokio::test(flavor = "multi_thread")]
async fn i10_a_target_before_a_recorded_gap_is_reached_and_none_inside_it() {
    let Some(stage) = frugal("a target before a recorded gap").await else { return };
    let streamer = stage.stream("");
    stage.sql("CREATE TABLE public.steps (n int)").await;
    stage.flushed(stage.write(10).await, SOON).await;
    stage.base().await;
    stage.sql("INSERT INTO public.steps VALUES (1)").await;
    stage.sql("SELECT pg_switch_wal()").await;
    stage.sql("INSERT INTO public.steps VALUES (2)").await;
    let before = stage.now().await.to_string();
    stage.sql("INSERT INTO public.steps VALUES (3)").await;
    stage.flushed(stage.write(1).await, SOON).await;
    streamer.kill().await;
    drop_slot(&stage).await;
    stage.sql("INSERT INTO public.steps VALUES (4)").await;
    let inside = stage.now().await.to_string();
    remove_wal(&stage).await;
    let mut streamer = stage.stream("");
    streamer.says("the gap is recorded, take a new base backup", SOON).await;
    stage.sql("INSERT INTO public.steps VALUES (5)").await;
    stage.flushed(stage.write(10).await, SOON).await;
    let coverage = stage.coverage(super::stage::timeline(1)).await;
    let [gap] = &coverage.gaps[..] else { panic!("one gap: {:?}", coverage.gaps) };
    assert!(!gap.start.get().is_multiple_of(stage.segment().bytes()), "it begins within a segment: {gap:?}");

    for wal in ["repository", "local"] {
        stage.restore(wal, &["--target-time", &before, "--wal", wal]).await.good();
        assert_eq!(steps(&stage.recovered(wal).await).await, "1,2", "{wal}");
    }
    for wal in ["repository", "local"] {
        let said = stage.restore("no", &["--target-time", &inside, "--wal", wal]).await;
        assert_eq!(said.0.status.code(), Some(1), "{}", said.text());
        assert!(said.text().contains("lies in or behind a gap"), "{}", said.text());
        assert!(!stage.path("no").exists());
    }
    streamer.kill().await;
    superseded_partials_go(&stage).await;
}

/// PAINS A8: once their locks have ended, exactly the partials below whole pieces are removed.
async fn superseded_partials_go(stage: &Stage) {
    let pieces = stage.coverage(super::stage::timeline(1)).await.pieces;
    let segment = stage.segment().bytes();
    let is_superseded = |partial: &Partial| {
        let start = partial.start.floor(segment);
        pieces.iter().any(|whole| whole.start <= start && partial.end <= whole.end && start.plus(segment) <= whole.end)
    };
    let keys =
        async || -> BTreeSet<String> { stage.objects().await.iter().map(|entry| entry.key.to_string()).collect() };
    let (before, partials) = (keys().await, stage.partials().await);
    let (gone, kept): (Vec<_>, Vec<_>) = partials.into_iter().partition(is_superseded);
    assert!(!gone.is_empty() && !kept.is_empty(), "{gone:?} {kept:?}");
    // Longer than wal.partial_retain, shorter than lock.retain.
    stage.store.advance_clock(Duration::from_hours(24 * 8));
    let output = stage.command("retention apply --delete --json", Role::Admin).output().await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["removed"]["versions"], gone.len(), "{told}");
    let expected: BTreeSet<String> = gone.into_iter().map(|partial| partial.key).collect();
    assert_eq!(before.difference(&keys().await).cloned().collect::<BTreeSet<_>>(), expected, "{told}");
}

/// PAINS A19: of several partials of one segment, one in the middle is damaged on the store's disk, in its body or in its header.
#[tokio::test(flavor = "multi_thread")]
async fn i09_a_damaged_partial_is_named_and_never_becomes_zeros() {
    let Some(stage) = Stage::new("a damaged partial", |_| {}).await else { return };
    let streamer = stage.stream("");
    stage.sql("CREATE TABLE public.steps (n int)").await;
    stage.flushed(stage.write(10).await, SOON).await;
    stage.base().await;
    stage.sql("SELECT pg_switch_wal()").await;
    for step in 1..=6 {
        stage.sql(&format!("INSERT INTO public.steps VALUES ({step})")).await;
        stage.flushed(stage.write(100).await, SOON).await;
    }
    streamer.kill().await;
    let partials = stage.partials().await;
    let last = partials.last().unwrap();
    let segment = last.start.floor(stage.segment().bytes());
    let newest: Vec<&Partial> = partials.iter().filter(|partial| partial.start >= segment).collect();
    assert!(newest.len() >= 4, "{partials:?}");
    // In the middle, with bytes that no other one has.
    let covers = |at: Lsn| newest.iter().filter(|partial| partial.start <= at && at < partial.end).count();
    let alone =
        |partial: &&&Partial| partial.start > newest[0].start && partial.end < last.end && covers(partial.start) == 1;
    let middle = newest.iter().find(alone).unwrap_or_else(|| panic!("none is alone: {partials:?}"));
    let (file, range) = (stage.file_of(&middle.key), format!("{} to ", middle.start));
    let whole = std::fs::read(&file).unwrap();
    for (place, byte, code) in [("body", whole.len() - 40, 4), ("header", 700, 1)] {
        let mut bent = whole.clone();
        bent[byte] ^= 1;
        std::fs::write(&file, bent).unwrap();
        let said = stage.restore(place, &["--wal", "local"]).await;
        let text = said.text();
        assert_eq!(said.0.status.code(), Some(code), "{place}: {text}");
        assert!(text.contains(&range), "{place}, {range}: {text}");
        assert!(!stage.path(place).exists(), "{place}: a directory is left");
    }
    std::fs::write(&file, &whole).unwrap();
    let stored = stage.stored(timeline(1)).await.remove(&segment).unwrap();
    // Beside a whole one, a copy with a damaged body is no harm: whoever may write can put it there.
    let mut bent = whole;
    let byte = bent.len() - 40;
    bent[byte] ^= 1;
    let (name, _) = middle.key.rsplit_once('-').unwrap();
    for tag in ["0000000000000000", "ffffffffffffffff"] {
        let put = Put { key: ObjectKey::new(format!("{name}-{tag}")), body: Bytes::from(bent.clone()), lock: None };
        stage.s3(Role::Attacker).await.put(put).await.unwrap();
    }
    // It was the damage alone, for both who read partials. PostgreSQL ends its recovery where they do.
    stage.restore("yes", &["--wal", "local"]).await.good();
    assert_eq!(steps(&stage.recovered("yes").await).await, "1,2,3,4,5,6");
    let mut fetch = stage.command("wal fetch", Role::Reader);
    let name = SegmentName::holding(timeline(1), segment, stage.segment());
    fetch.arg(name.to_string()).arg(stage.path("fetched")).env_remove("STONEWAL_KEYS_WRITER_FILE");
    let said = fetch.env("STONEWAL_KEYS_IDENTITY_FILE", stage.path("home/recovery")).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(std::fs::read(stage.path("fetched")).unwrap()[..stored.len()] == stored[..]);
}
