//! Sources that fail: programs that are missing, old or broken, and servers that refuse or go away.

use std::time::Duration;

use stonewal::postgres::Session;

use super::process::Run;
use super::programs;
use super::world::World;
use crate::support::proxy::{Proxy, Weather};

fn backup(world: &World, programs: impl AsRef<std::ffi::OsStr>) -> Run {
    world.stonewal("backup dump").env("STONEWAL_POSTGRES_BIN_DIR", programs)
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_are_missing_old_or_lie_make_no_backup() {
    let Some(world) = World::new("programs").await else { return };
    let before = world.objects("/main/").await.len();
    for program in ["pg_dump", "pg_dumpall"] {
        let missing = format!(
            "
error: {program} is not installed (looked in [DIR]/programs)

hint: install the PostgreSQL client programs (Debian: postgresql-client), or name the path of {program}"
        );
        backup(&world, programs::without(&world, program)).end().await.is(1, &missing);
        let old = format!(
            "
error: {program} 9.6.24 ([DIR]/programs/{program}) is too old: the server is PostgreSQL 15

hint: install the client programs of PostgreSQL 15 or newer (Debian: postgresql-client-15), or name their path"
        );
        backup(&world, programs::of_version(&world, program, "9.6.24")).end().await.is(1, &old);
    }
    let none = "
error: [DIR]/programs/pg_dump does not print a PostgreSQL version";
    backup(&world, programs::with(&world, "pg_dump", "echo hello")).end().await.is(1, none);
    assert_eq!(world.objects("/main/").await.len(), before, "nothing was written before the programs were known");
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_a02_a_pg_dump_that_ends_badly_at_its_last_byte_makes_no_backup() {
    let Some(world) = World::new("last_byte").await else { return };
    let end_1 =
        programs::running(&world, "pg_dump", "\"$REAL\" \"$@\"; echo 'pg_dump: error: the last word' >&2; exit 1");
    let failed = "
error: pg_dump ended with exit status 1:
pg_dump: error: the last word

hint: nothing was published; mend what the program complains about and run the command again";
    backup(&world, end_1).end().await.is(1, failed);
    world.unchanged().await;
    let no_trailer = programs::running(&world, "pg_dump", "\"$REAL\" \"$@\" | head -n -6");
    let incomplete = "
error: pg_dump ended without its closing line after [..] bytes

hint: nothing was published; mend what the program complains about and run the command again";
    backup(&world, no_trailer).end().await.is(1, incomplete);
    world.unchanged().await;
    let all_fails = programs::running(&world, "pg_dumpall", "\"$REAL\" \"$@\"; exit 3");
    let failed = "
error: pg_dumpall ended with exit status 3

hint: nothing was published; mend what the program complains about and run the command again";
    backup(&world, all_fails).end().await.is(1, failed);
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_refuse_us_are_named() {
    let change = |options: &mut stonewal::postgres::server::ServerOptions| {
        options.hba.push("host all gatekeeper 127.0.0.1/32 scram-sha-256".into());
    };
    let Some(world) = World::with("refusing", change, |_| {}).await else { return };
    world.fixture.server.execute("postgres", "CREATE ROLE gatekeeper LOGIN PASSWORD 'right'").await.unwrap();
    world.fixture.server.execute("postgres", "CREATE ROLE clerk LOGIN").await.unwrap();
    let from = |url: String| world.stonewal("backup dump").env("DATABASE_URL", url);
    let refused = "
error: gatekeeper@[POSTGRES]/app refuses the login: password authentication failed for user \"gatekeeper\" [28P01]

hint: check user, password (PGPASSWORD, ~/.pgpass) and pg_hba.conf of the server";
    from(world.url("app").replace("postgres@", "gatekeeper:SENTINEL-wrong@")).end().await.is(1, refused);
    let missing = "
error: database of postgres@[POSTGRES]/nowhere does not exist

hint: create the database, or correct its name in the connection URL";
    from(world.url("nowhere")).end().await.is(1, missing);
    let unreachable = "
error: no connection to postgres@127.0.0.1:1/app: [..]refused[..]

hint: check host and port, listen_addresses of the server, and any firewall in between";
    from("postgres://postgres@127.0.0.1:1/app?sslmode=disable".into()).end().await.is(1, unreachable);
    let denied = "
error: read the role passwords (pg_authid): clerk may not read them

hint: run as a superuser, or as a role that may read pg_authid (since PostgreSQL 14 a member of pg_read_all_data), or leave the passwords out (globals = \"no-passwords\")";
    from(world.url("app").replace("postgres@", "clerk@")).end().await.is(1, denied);
    let denied = "
error: [..]permission denied for [..]ledger[..]

hint: grant the missing right; pg_read_all_data [..]";
    let run = from(world.url("app").replace("postgres@", "clerk@")).env("STONEWAL_DUMP_GLOBALS", "no-passwords");
    let ended = run.end().await;
    let first = format!("{}\n\n{}", ended.stderr.lines().next().unwrap(), ended.stderr.lines().last().unwrap());
    super::process::Finished { stderr: first, ..ended }.is(1, denied);
    world.unchanged().await;
}

/// A backup that is under way and cannot end before the proxy lets it.
async fn under_way(world: &World) -> (Proxy, super::process::Running) {
    let upstream = world.store.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = Proxy::start(upstream, Weather::Slow(Duration::from_millis(20))).await;
    let run = world.stonewal("backup dump").env("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    world.grow().await;
    let before = world.bodies();
    let running = run.env("STONEWAL_LIMITS_UPLOADS", "1").start();
    world.uploading(&before).await;
    world.session_is("query LIKE 'COPY public.bulk%'").await;
    (proxy, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_dropped_under_the_dump_makes_no_backup() {
    let Some(world) = World::new("dropped").await else { return };
    let (_proxy, running) = under_way(&world).await;
    world.fixture.server.execute("postgres", "DROP DATABASE app WITH (FORCE)").await.unwrap();
    let ended = running.end().await;
    assert_lost(&ended);
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stopped_under_the_dump_makes_no_backup() {
    let Some(world) = World::new("stopped").await else { return };
    let (_proxy, running) = under_way(&world).await;
    let pid = i32::try_from(world.fixture.server.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = running.end().await;
    assert_lost(&ended);
    assert!(Session::connect(&world.fixture.server.conninfo("app").unwrap(), "check").await.is_err());
    world.unchanged_besides_sessions().await;
}

/// The session or pg_dump notices first; both name the cause.
#[track_caller]
fn assert_lost(ended: &super::process::Finished) {
    let said = &ended.stderr;
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let named =
        said.contains("terminating connection") || said.contains("was lost") || said.contains("closed the connection");
    assert!(said.contains("error: ") && named && said.contains("\nhint: nothing was published"), "{said}");
}
