//! Everything that can go wrong with a running dump: no receipt, a named cause, no backend left behind.

use std::time::{Duration, Instant};

use stonewal::postgres::dump::{Dump, DumpOptions};
use stonewal::postgres::programs::Search;
use stonewal::postgres::{ConnInfo, Error, Session};
use tokio_util::sync::CancellationToken;

use super::{assert_sessions_end, drain, dumped, sessions};
use crate::support::fixture::{DATABASE, Fixture};
use crate::support::rounds;

const OURS: &str = "stonewal dump";

async fn start(fixture: &Fixture, cancel: &CancellationToken) -> Dump {
    let options = DumpOptions { counts: true, ..Default::default() };
    Dump::start(&fixture.source(), options, &fixture.search(), cancel).await.unwrap()
}

fn kill(pid: u32, signal: &str) {
    let done = std::process::Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn a01_pg_dump_killed_at_random_offsets_never_ends_well() {
    let Some(fixture) = Fixture::awkward("a01_killed", 1).await else { return };
    let (whole, _) = dumped(&fixture, DumpOptions::default()).await;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..rounds(12) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The pipe holds 64 KiB: a pg_dump killed later than that before the end may have ended already.
        let offset = usize::try_from(seed >> 33).unwrap() % (whole.len() - (256 << 10));
        let cancel = CancellationToken::new();
        let mut dump = start(&fixture, &cancel).await;
        let (mut seen, mut buffer) = (0, vec![0; 4096]);
        while seen <= offset {
            seen += dump.read(&mut buffer).await.unwrap();
        }
        let signal = ["-KILL", "-TERM", "-SEGV"][round as usize % 3];
        kill(dump.child_id().unwrap(), signal);
        let error = drain(dump).await.unwrap_err();
        assert!(matches!(error, Error::ChildFailed { .. }), "{signal} at {offset}: {error}");
        assert_sessions_end(&fixture, OURS).await;
    }
}

#[tokio::test]
async fn i01_a_dump_that_was_not_read_to_its_end_gives_no_receipt() {
    let Some(fixture) = Fixture::awkward("i01_not_read", 1).await else { return };
    let cancel = CancellationToken::new();
    let mut dump = start(&fixture, &cancel).await;
    let mut buffer = vec![0; 4096];
    dump.read(&mut buffer).await.unwrap();
    assert!(matches!(dump.finish().await, Err(Error::Incomplete { .. })));
    assert_sessions_end(&fixture, OURS).await;
}

/// Tables that were meant to get a digest must not go without one unnoticed.
#[tokio::test]
async fn digests_of_no_table_are_refused_before_anything_is_dumped() {
    let Some(fixture) = Fixture::awkward("digests of no table", 1).await else { return };
    let cancel = CancellationToken::new();
    let options = DumpOptions { digests: vec!["*".into(), "public.no_such_*".into()], ..Default::default() };
    let error = Dump::start(&fixture.source(), options, &fixture.search(), &cancel).await.unwrap_err();
    assert!(error.to_string().contains("no_such_"), "{error}");
    assert!(error.is_refusal() && error.hint().is_some());
    assert_sessions_end(&fixture, OURS).await;
    // A dump of everything awkward, with a digest of each table and no counts.
    let (_, receipt) = dumped(&fixture, DumpOptions { digests: vec!["*.*".into()], ..Default::default() }).await;
    let (_, counted) = dumped(&fixture, DumpOptions { counts: true, ..Default::default() }).await;
    let digests = receipt.digests.unwrap();
    let rows: Vec<_> = digests.tables.iter().map(|(table, digest)| (table.to_string(), digest.rows)).collect();
    let counts = counted.counts.unwrap();
    assert_eq!(rows, counts.iter().map(|c| (format!("{}.{}", c.schema, c.name), c.rows)).collect::<Vec<_>>());
    assert_eq!((receipt.counts, counted.digests), (None, None));
}

#[tokio::test]
async fn c05_a_dump_that_waits_for_a_lock_leaves_no_backend_when_cancelled() {
    let Some(fixture) = Fixture::awkward("c05_lock", 1).await else { return };
    let blocker = Session::connect(&fixture.source(), "blocker").await.unwrap();
    blocker.client().batch_execute("BEGIN; LOCK TABLE public.bytes IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for counts in [false, true] {
        let cancel = CancellationToken::new();
        let options = DumpOptions { counts, ..Default::default() };
        let dump = Dump::start(&fixture.source(), options, &fixture.search(), &cancel).await.unwrap();
        let stop = cancel.clone();
        let later = async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            stop.cancel();
            Instant::now()
        };
        let (result, cancelled) = tokio::join!(drain(dump), later);
        assert!(matches!(result, Err(Error::Cancelled)));
        assert!(cancelled.elapsed() < Duration::from_secs(10));
        assert_eq!(sessions(&fixture, OURS).await, 0, "gone when the error is returned");
        let dump = start(&fixture, &CancellationToken::new()).await;
        assert!(dump.abort().await, "gone, and known to be");
        assert_eq!(sessions(&fixture, OURS).await, 0);
    }
    let options = DumpOptions { lock_timeout_millis: Some(200), ..Default::default() };
    let dump = Dump::start(&fixture.source(), options, &fixture.search(), &CancellationToken::new()).await.unwrap();
    assert!(drain(dump).await.unwrap_err().to_string().contains("timeout"));
}

#[tokio::test]
async fn c06_losing_the_session_that_holds_the_snapshot_fails_the_dump() {
    let Some(fixture) = Fixture::awkward("c06_lost", 1).await else { return };
    let cancel = CancellationToken::new();
    let mut dump = start(&fixture, &cancel).await;
    let mut buffer = vec![0; 4096];
    dump.read(&mut buffer).await.unwrap();
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'stonewal dump%' \
               AND query NOT LIKE 'COPY%' AND pid <> pg_backend_pid()";
    fixture.value("postgres", sql);
    let begin = Instant::now();
    let error = drain(dump).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. } | Error::ChildFailed { .. } | Error::Sql { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_sessions_end(&fixture, OURS).await;
}

#[tokio::test]
async fn a_database_dropped_in_the_middle_fails_the_dump() {
    let Some(fixture) = Fixture::awkward("dropped", 1).await else { return };
    let cancel = CancellationToken::new();
    let mut dump = start(&fixture, &cancel).await;
    let mut buffer = vec![0; 4096];
    dump.read(&mut buffer).await.unwrap();
    let quoted = format!("\"{}\"", DATABASE.replace('"', "\"\""));
    fixture.server.execute("postgres", &format!("DROP DATABASE {quoted} WITH (FORCE)")).await.unwrap();
    let error = drain(dump).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("terminating connection") || said.contains("closed the connection") || said.contains("lost"),
        "{said}"
    );
    assert!(error.hint().is_some());
    assert_sessions_end(&fixture, OURS).await;
    let gone = Dump::start(&fixture.source(), DumpOptions::default(), &fixture.search(), &cancel).await.unwrap_err();
    assert!(matches!(gone, Error::NoDatabase { .. }), "{gone}");
}

#[tokio::test]
async fn the_server_stopped_in_the_middle_fails_the_dump() {
    let Some(fixture) = Fixture::awkward("stopped", 1).await else { return };
    let cancel = CancellationToken::new();
    let mut dump = start(&fixture, &cancel).await;
    let mut buffer = vec![0; 4096];
    dump.read(&mut buffer).await.unwrap();
    kill(fixture.server.id().unwrap(), "-QUIT");
    let error = drain(dump).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. } | Error::ChildFailed { .. } | Error::Sql { .. }), "{error}");
}

/// A pg_dump that is not one: writes what it is told and ends as it is told.
fn fake(dir: &std::path::Path, body: &str) -> Search {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join("pg_dump");
    let script =
        format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'pg_dump (PostgreSQL) 99.1'; exit 0; fi\n{body}\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Search { chosen: Some(dir.into()), path: Vec::new() }
}

#[tokio::test]
async fn a02_exit_zero_without_the_closing_line_is_not_success() {
    let Some(fixture) = Fixture::empty("a02_closing_line").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let info = fixture.server.conninfo("postgres").unwrap();
    let cancel = CancellationToken::new();
    let closing = "printf -- 'SET x;\\n--\\n-- PostgreSQL database dump complete\\n--\\n\\n'";
    for (body, good) in [
        (closing.to_owned(), true),
        (format!("{closing}; exit 1"), false),
        ("exit 0".to_owned(), false),
        ("printf 'COPY t FROM stdin;\\n1\\n'".to_owned(), false),
        (format!("{closing}; echo 'SELECT 1;'"), false),
    ] {
        let search = fake(dir.path(), &body);
        let dump = Dump::start(&info, DumpOptions::default(), &search, &cancel).await.unwrap();
        assert_eq!(drain(dump).await.is_ok(), good, "{body}");
        assert_sessions_end(&fixture, OURS).await;
    }
}

#[tokio::test]
async fn i13_no_secret_on_the_command_line_or_in_errors() {
    let fixture = Fixture::with("i13", |options| options.password = Some("SENTINEL-pw".to_owned().into())).await;
    let Some(fixture) = fixture else { return };
    let dir = tempfile::tempdir().unwrap();
    // `ps` sees what /proc shows: the fake prints its own command line and fails.
    let search =
        fake(dir.path(), "tr '\\0' ' ' </proc/$$/cmdline >&2; [ -n \"$PGPASSWORD\" ] && echo has-password >&2; exit 1");
    let info: ConnInfo = fixture.server.conninfo("postgres").unwrap();
    let dump = Dump::start(&info, DumpOptions::default(), &search, &CancellationToken::new()).await.unwrap();
    let error = drain(dump).await.unwrap_err();
    let said = format!("{error} {error:?} {info:?}");
    assert!(said.contains("--snapshot=") && said.contains("has-password"), "{said}");
    assert!(!said.contains("SENTINEL"), "{said}");
}

#[tokio::test]
async fn b08_an_old_pg_dump_is_refused_before_anything_happens() {
    let Some(fixture) = Fixture::empty("b08").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let search = fake(dir.path(), "exit 1");
    let path = dir.path().join("pg_dump");
    let text = std::fs::read_to_string(&path).unwrap().replace("99.1", "12.3");
    std::fs::write(&path, text).unwrap();
    let info = fixture.server.conninfo("postgres").unwrap();
    let error = Dump::start(&info, DumpOptions::default(), &search, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&error, Error::ProgramTooOld { found, .. } if found == "12.3"), "{error}");
    assert!(error.hint().unwrap().contains("postgresql-client-"));
    assert_eq!(sessions(&fixture, OURS).await, 0);
}
