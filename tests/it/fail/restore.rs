//! Restores that are not wanted, not possible, or not to be trusted.

use std::path::PathBuf;

use stonewal::store::roles::Role;
use stonewal::store::{ObjectKey, Prune as _};
use tokio::io::AsyncReadExt as _;

use super::programs;
use super::world::{World, size_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_must_not_happen_is_refused_before_the_first_byte() {
    let Some(world) = World::new("refused").await else { return };
    world.target("target").await;
    let not_confirmed = "
error: restoring into postgres@[POSTGRES]/target was not confirmed

hint: give --confirm or CONFIRM_RESTORE=true once you have checked the target";
    world.restore_into("target", "").unset("CONFIRM_RESTORE").end().await.is(2, not_confirmed);
    let not_empty = "
error: postgres@[POSTGRES]/app is not empty: table public.ledger

hint: restore into a newly created database: createdb NAME";
    world.restore_into("app", "").end().await.is(1, not_empty);
    let missing = "
error: database of postgres@[POSTGRES]/nowhere does not exist

hint: create the database, or correct its name in the connection URL";
    world.restore_into("nowhere", "").end().await.is(1, missing);
    let unknown = "
error: cluster main has no backup 20200101T000000Z-00000000

hint: `stonewal list` shows the ids";
    let run = world.restorer("restore dump 20200101T000000Z-00000000 --to-stdout");
    run.end().await.is(1, unknown);

    let psql = |programs: PathBuf| world.restore_into("target", "").env("STONEWAL_POSTGRES_BIN_DIR", programs);
    let missing = "
error: psql is not installed (looked in [DIR]/programs)

hint: install the PostgreSQL client programs (Debian: postgresql-client), or name the path of psql";
    psql(programs::without(&world, "psql")).end().await.is(1, missing);
    let old = "
error: psql 14.1 ([DIR]/programs/psql) is too old: the target is PostgreSQL 15

hint: install the client programs of PostgreSQL 15 or newer (Debian: postgresql-client-15), or name their path";
    psql(programs::of_version(&world, "psql", "14.1")).end().await.is(1, old);
    let ignorant = programs::running(
        &world,
        "psql",
        "exec sed -n '/^.restrict/{s/.*/psql:<stdin>:1: error: invalid command \\\\restrict/p;q3}' >&2",
    );
    let unable = "
error: psql 15[..] cannot load this dump: it does not know \\restrict, which pg_dump 15[..] writes; install a psql of August 2025 or later";
    psql(ignorant).end().await.is(1, unable);
    world.assert_empty("target").await;
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_readers_that_do_not_take_the_data() {
    let Some(world) = World::new("files").await else { return };
    std::fs::write(world.path("there.sql"), "precious").unwrap();
    let exists = "error: there.sql: it exists already; it is not overwritten";
    world.restorer("restore dump --to-file there.sql").end().await.is(1, exists);
    assert_eq!(std::fs::read_to_string(world.path("there.sql")).unwrap(), "precious");
    let no_folder = "error: nowhere/app.sql: there is no directory nowhere; it is not made";
    world.restorer("restore dump --to-file nowhere/app.sql").end().await.is(1, no_folder);

    // A reader that has seen enough, such as `head`: no success, and it is said why.
    let mut running = world.restorer("restore dump --to-stdout").start();
    let mut stdout = running.child.stdout.take().unwrap();
    let mut some = [0; 200];
    stdout.read_exact(&mut some).await.unwrap();
    drop(stdout);
    assert!(String::from_utf8_lossy(&some).contains("PostgreSQL database dump"));
    let closed = "error: the reader of standard output closed it after [..] bytes; what follows was not written";
    running.end().await.is(1, closed);

    world.restorer("restore dump --to-file app.sql").end().await.good();
    world.restorer("restore dump --to-stdout").env("TMPDIR", "/nonexistent").end().await.good();
    world.unchanged().await;
}

/// What Object Lock cannot prevent, as the operator sees it.
#[tokio::test(flavor = "multi_thread")]
async fn i05_chunks_that_are_altered_cut_or_missing_stop_the_restore() {
    let Some(world) = World::new("i05_chunks").await else { return };
    world.target("target").await;
    let chunk = the_largest_body(&world);
    let whole = std::fs::read(&chunk).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    std::fs::write(&chunk, &altered).unwrap();
    let altered = "
error: [..] is not what was stored: [..]

hint: nothing from the damaged place onward was released; run `stonewal verify --level checksum` for the whole extent, and restore another backup (`stonewal list`)";
    assert_damaged(&world, altered).await;
    std::fs::write(&chunk, &whole).unwrap();
    world.restorer("restore dump --to-stdout").end().await.good();

    let largest = world.objects("/dump/").await.into_iter().max_by_key(|entry| entry.bytes).unwrap();
    let (key, version) = (ObjectKey::new(largest.key.as_str()), largest.version);
    world.s3(Role::Admin).await.delete_version(&key, &version, true).await.unwrap();
    let missing = "
error: chunk prod/main/backups/[FIRST]/dump/[..] in version [..] is missing

hint: nothing from the damaged place onward was released; run `stonewal verify --level checksum` for the whole extent, and restore another backup (`stonewal list`)";
    assert_damaged(&world, missing).await;
    let listed = world.restorer("verify").end().await;
    assert_eq!(listed.status.code(), Some(4), "{}", listed.stderr);
    world.unchanged().await;
}

async fn assert_damaged(world: &World, transcript: &str) {
    world.restore_into("target", "").end().await.is(4, transcript);
    world.assert_empty("target").await;
    world.restorer("restore dump --to-file app.sql").end().await.is(4, transcript);
    assert!(!world.path("app.sql").exists());
    let verified = world.restorer("verify --level checksum").end().await;
    assert_eq!(verified.status.code(), Some(4), "{}\n{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains(&format!("DAMAGED    main  {}", world.first)), "{}", verified.stdout);
}

/// The file in which the embedded store keeps the body of the first chunk.
fn the_largest_body(world: &World) -> PathBuf {
    world.bodies().into_iter().max_by_key(|path| size_of(path)).unwrap()
}
