//! The newest WAL keeps its lock, and so does what it stands on (invariant I11).

use std::time::Duration;

use jiff::SignedDuration;
use stonewal::store::roles::Role;
use stonewal::store::{Lock, LockMode, Read as _, Retain as _, S3};

use super::stage::{Stage, timeline};

const SOON: Duration = Duration::from_secs(30);

/// After a graceful end the last partials may be the only copy of the newest WAL for long.
#[tokio::test(flavor = "multi_thread")]
async fn i11_the_last_tail_gets_the_full_lock_at_the_end() {
    let Some(stage) = Stage::new("the last tail", |_| {}).await else { return };
    let streamer = stage.stream("");
    for _ in 0..4 {
        stage.flushed(stage.write(50).await, SOON).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    let (store, repository) = (stage.s3(Role::Admin).await, stage.repository().await);
    let tail = stage.coverage(timeline(1)).await.tail().expect("an unfinished piece");
    let piece = stonewal::format::wal::WalRange::piece(tail.start, stage.segment());
    // PAINS A16: what `retention extend` locked for longer meanwhile is left as it is, and stops nobody.
    let chain = repository.partial_chain(&super::stage::cluster(), timeline(1), piece).await.unwrap();
    let extended = chain[0].entry.clone();
    let retain_until = store.clock().now() + SignedDuration::from_hours(60 * 24);
    let longer = Lock { mode: LockMode::Governance, retain_until };
    store.set_lock(&extended.key, &extended.version, longer).await.unwrap();
    streamer.stop().await;
    let coverage = stage.coverage(timeline(1)).await;
    let tail = coverage.tail().expect("an unfinished piece");
    let chain = repository.partial_chain(&super::stage::cluster(), timeline(1), piece).await.unwrap();
    assert!(chain.len() > 1 && chain.last().unwrap().range.end == tail.end, "{chain:?}");
    for link in &chain {
        let lock = store.head(&link.entry.key, &link.entry.version).await.unwrap().lock.unwrap();
        let left = store.clock().now().duration_until(lock.retain_until);
        assert!(left > SignedDuration::from_hours(34 * 24), "{}: {left:#}", link.entry.key);
    }
    let kept = store.head(&extended.key, &extended.version).await.unwrap().lock.unwrap();
    assert!(kept.retain_until > retain_until - SignedDuration::from_hours(1), "{kept:?}");
}

/// A streamer that is killed leaves its tail with a short lock. Started again while the server is down it ends, having looked after that.
#[tokio::test(flavor = "multi_thread")]
async fn i11_the_tail_of_a_streamer_that_was_killed_is_kept_though_no_server_answers() {
    let Some(mut stage) = Stage::new("an orphaned tail", |_| {}).await else { return };
    let streamer = stage.stream("");
    stage.flushed(stage.write(50).await, SOON).await;
    streamer.kill().await;
    stage.fixture.server.kill().await.unwrap();
    let store = stage.s3(Role::Admin).await;
    let (tail, repository) = (stage.coverage(timeline(1)).await.tail().unwrap(), stage.repository().await);
    let piece = stonewal::format::wal::WalRange::piece(tail.start, stage.segment());
    let chain = repository.partial_chain(&super::stage::cluster(), timeline(1), piece).await.unwrap();
    let left = async || {
        let mut shortest = SignedDuration::MAX;
        for link in &chain {
            let lock = store.head(&link.entry.key, &link.entry.version).await.unwrap().lock.unwrap();
            shortest = shortest.min(store.clock().now().duration_until(lock.retain_until));
        }
        shortest
    };
    assert!(!chain.is_empty() && left().await < SignedDuration::from_hours(34 * 24));
    // It may be started many times until the server is back.
    for note in [true, false] {
        let mut heir = stage.stream("");
        assert_eq!(heir.end().await.code(), Some(1), "{}", heir.said());
        assert_eq!(heir.said().contains("got the lock of whole segments"), note, "{}", heir.said());
        assert!(left().await > SignedDuration::from_hours(34 * 24), "{}", heir.said());
    }
}

/// Seconds that a lock of a minute has only after it was looked after.
const LONGER: SignedDuration = SignedDuration::from_secs(63);

/// Waits until the first partial of the tail is locked for longer than it was when it came.
async fn tail_is_locked_longer(stage: &Stage, store: &S3) {
    let tail = stage.coverage(timeline(1)).await.tail().unwrap();
    let piece = stonewal::format::wal::WalRange::piece(tail.start, stage.segment());
    let chain = stage.repository().await.partial_chain(&super::stage::cluster(), timeline(1), piece).await.unwrap();
    let first = &chain[0].entry;
    let locked = async || {
        let head = store.head(&first.key, &first.version).await.unwrap();
        head.last_modified.duration_until(head.lock.unwrap().retain_until)
    };
    until(async || locked().await > LONGER).await;
}

/// Locks of a minute are looked after every 15 s.
async fn until(holds: impl AsyncFn() -> bool) {
    for _ in 0..120 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("no lock became longer within a minute");
}

/// With a short lock of partials, an idle server's tail is looked after while the streamer runs.
#[tokio::test(flavor = "multi_thread")]
async fn i11_an_idle_tail_and_the_ground_are_looked_after() {
    let Some(stage) = Stage::new("an idle tail", |_| {}).await else { return };
    let streamer = stage.stream_with("", |command| {
        command.env("STONEWAL_WAL_PARTIAL_RETAIN", "1m").env("STONEWAL_LOCK_RETAIN", "1m");
        command.env("STONEWAL_LOG", "warn");
    });
    stage.flushed(stage.write(50).await, SOON).await;
    let store = stage.s3(Role::Admin).await;
    tail_is_locked_longer(&stage, &store).await;
    // And the cluster record outlives what is written now.
    let query = stonewal::store::ListQuery { prefix: "prod/main/cluster".into(), by_folder: false };
    let records = store.list_page(&query, None).await.unwrap().entries;
    let outlives = async || {
        let mut longest = SignedDuration::ZERO;
        for entry in &records {
            let lock = store.head(&entry.key, &entry.version).await.unwrap().lock.unwrap();
            longest = longest.max(store.clock().now().duration_until(lock.retain_until));
        }
        longest > LONGER
    };
    until(outlives).await;
    streamer.stop().await;
}

/// A server that is dead for long takes no look after the newest WAL away: that may be the only copy.
#[tokio::test(flavor = "multi_thread")]
async fn i11_the_tail_is_looked_after_while_the_server_is_down() {
    let Some(mut stage) = Stage::new("a tail without a server", |_| {}).await else { return };
    let mut streamer = stage.stream_with("", |command| {
        command.env("STONEWAL_WAL_PARTIAL_RETAIN", "1m").env("STONEWAL_LOCK_RETAIN", "1m");
    });
    stage.flushed(stage.write(50).await, SOON).await;
    stage.fixture.server.kill().await.unwrap();
    let store = stage.s3(Role::Admin).await;
    tail_is_locked_longer(&stage, &store).await;
    assert!(streamer.is_running(), "{}", streamer.said());
}
