//! SIGINT and SIGTERM at every stage: exit code 130, nothing published or committed, no session left.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::process::{Finished, Running, child_called, descendants, eventually};
use super::world::World;
use crate::support::proxy::{Proxy, Weather};

/// The rule of DESIGN's and the operator's patience: everything is gone by then.
const END_MAX: Duration = Duration::from_secs(10);

async fn proxy(world: &World, weather: Weather) -> Proxy {
    Proxy::start(world.store.endpoint().strip_prefix("http://").unwrap().parse().unwrap(), weather).await
}

async fn interrupt(running: Running, signal: Signal) -> Finished {
    let begin = std::time::Instant::now();
    running.signal(signal);
    let ended = running.end().await;
    assert!(begin.elapsed() < END_MAX, "it took {:?} to end", begin.elapsed());
    ended
}

const PUBLISHED_NOTHING: &str = "
interrupted: ending in good order (interrupt again to end at once)
error: interrupted; nothing was published or committed";

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_waits_for_a_lock_is_interrupted() {
    let Some(world) = World::new("interrupt_lock").await else { return };
    let holder = world.hold("app", "LOCK TABLE public.ledger IN ACCESS EXCLUSIVE MODE").await;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let running = world.stonewal("backup dump").start();
        world.session_is("wait_event_type = 'Lock'").await;
        assert_eq!(child_called(&world.home(), "pg_dump").await.program, "pg_dump");
        interrupt(running, signal).await.is(130, PUBLISHED_NOTHING);
        world.unchanged().await;
    }
    drop(holder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_interrupted_while_it_streams_finishes_or_waits_for_the_store() {
    let Some(world) = World::new("interrupt_stream").await else { return };
    let store = proxy(&world, Weather::Slow(Duration::from_millis(20))).await;
    let backup = || world.stonewal("backup dump").env("AWS_ENDPOINT_URL_S3", store.endpoint());

    // When pg_dump has ended and the last chunks are on their way.
    let running = backup().start();
    child_called(&world.home(), "pg_dump").await;
    let ended = || descendants(&world.home()).iter().all(|child| child.program == "stonewal").then_some(());
    eventually("pg_dump ends", 30, ended).await;
    interrupt(running, Signal::INT).await.is(130, PUBLISHED_NOTHING);
    world.unchanged().await;

    // While pg_dump has more than the slow store takes.
    world.grow().await;
    let before = world.bodies();
    let running = backup().env("STONEWAL_LIMITS_UPLOADS", "1").start();
    world.uploading(&before).await;
    child_called(&world.home(), "pg_dump").await;
    world.session_is("query LIKE 'COPY public.bulk%'").await;
    interrupt(running, Signal::TERM).await.is(130, PUBLISHED_NOTHING);
    world.unchanged().await;

    // Before anything was asked of PostgreSQL, while the store says nothing.
    store.set(Weather::Blackhole);
    let running = backup().start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    interrupt(running, Signal::INT).await.is(130, PUBLISHED_NOTHING);
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_interrupted_inside_copy_and_right_before_the_commit() {
    let Some(world) = World::new("interrupt_restore").await else { return };
    world.target("target").await;
    let store = proxy(&world, Weather::Slow(Duration::from_millis(15))).await;
    let restore = || world.restore_into("target", "").env("AWS_ENDPOINT_URL_S3", store.endpoint());
    let running = restore().start();
    world.session_is("query LIKE 'COPY public.ledger%'").await;
    interrupt(running, Signal::INT).await.is(130, PUBLISHED_NOTHING);
    world.assert_empty("target").await;

    // The last statement before the COMMIT is the comment on the database, which somebody else is changing.
    store.set(Weather::Fair);
    let holder = world.hold("target", "COMMENT ON DATABASE target IS 'not yet'").await;
    let running = restore().start();
    world.session_is("query LIKE 'COMMENT ON DATABASE%' AND wait_event_type = 'Lock'").await;
    interrupt(running, Signal::TERM).await.is(130, PUBLISHED_NOTHING);
    drop(holder);
    world.assert_empty("target").await;
    world.unchanged().await;

    // To a file: nothing under its name, nothing beside it.
    store.set(Weather::Slow(Duration::from_millis(15)));
    std::fs::create_dir(world.path("out")).unwrap();
    let run = world.restorer("restore dump --to-file out/app.sql").env("AWS_ENDPOINT_URL_S3", store.endpoint());
    let running = run.start();
    let staged = || std::fs::read_dir(world.path("out")).unwrap().next().map(|_| ());
    eventually("the staged file is there", 60, staged).await;
    interrupt(running, Signal::INT).await.is(130, PUBLISHED_NOTHING);
    assert_eq!(std::fs::read_dir(world.path("out")).unwrap().count(), 0);
}

/// PostgreSQL is frozen, so that nothing can be put in order: whoever interrupts twice need not wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigint_ends_it_at_once() {
    let Some(world) = World::new("interrupt_twice").await else { return };
    let store = proxy(&world, Weather::Slow(Duration::from_millis(20))).await;
    let run = world.stonewal("backup dump").env("AWS_ENDPOINT_URL_S3", store.endpoint());
    let mut running = run.env("STONEWAL_LIMITS_UPLOADS", "1").start();
    world.session_is("query LIKE 'COPY public.ledger%'").await;
    let server = Pid::from_raw(i32::try_from(world.fixture.server.id().unwrap()).unwrap()).unwrap();
    kill_process(server, Signal::STOP).unwrap();
    running.signal(Signal::INT);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let waits = running.is_running();
    let begin = std::time::Instant::now();
    running.signal(Signal::INT);
    let ended = running.end().await;
    let took = begin.elapsed();
    kill_process(server, Signal::CONT).unwrap();
    assert!(waits, "the first one asks for good order, which waits for PostgreSQL");
    assert!(took < Duration::from_secs(1), "{took:?}");
    ended.is(130, "interrupted: ending in good order (interrupt again to end at once)");
    world.unchanged().await;
}
