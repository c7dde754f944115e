//! The way back: all or nothing, whoever dies.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use stonewal::postgres::dump::DumpOptions;
use stonewal::postgres::load::{Load, knows_restrict};
use stonewal::postgres::programs::Search;
use stonewal::postgres::{ConnInfo, Error, Session, target};
use tokio_util::sync::CancellationToken;

use super::{assert_sessions_end, dumped, sessions};
use crate::support::fixture::Fixture;

const OURS: &str = "stonewal restore";

async fn start(fixture: &Fixture, target: &ConnInfo) -> Load {
    Load::start(target, &fixture.program("psql").await, &CancellationToken::new()).await.unwrap()
}

async fn assert_empty(info: &ConnInfo) {
    let session = Session::connect(info, "watch").await.unwrap();
    target::ensure_empty(&session).await.unwrap();
}

#[tokio::test]
async fn a02_a_stream_cut_anywhere_is_never_committed() {
    let Some(fixture) = Fixture::awkward("a02_cut", 1).await else { return };
    let (dump, _) = dumped(&fixture, DumpOptions::default()).await;
    let target = fixture.target("cut").await;
    let find = |text: &str| dump.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    let cuts = [
        100,
        find("COPY public.pgbench_accounts") + 5_000,
        find("COPY public.lines") + 60,
        find("SELECT pg_catalog.lo_close") + 5,
        find("CREATE INDEX") + 3,
        dump.len() - 100,
    ];
    for cut in cuts {
        // Told that the stream is whole when it is not.
        let mut load = start(&fixture, &target).await;
        load.write(&dump[..cut]).await.unwrap();
        if cut < dump.len() - 100 {
            assert!(matches!(load.commit().await, Err(Error::LoadFailed { .. })), "cut at {cut}");
        } else {
            assert!(load.abort().await);
        }
        assert_sessions_end(&fixture, OURS).await;
        assert_empty(&target).await;
    }
}

/// What a killed stonewal leaves: a psql whose input simply ends. Without any help of ours it must not commit.
#[tokio::test]
async fn a02_psql_sees_a_clean_end_of_input_without_commit() {
    let Some(fixture) = Fixture::awkward("a02_clean_end", 1).await else { return };
    let (dump, _) = dumped(&fixture, DumpOptions::default()).await;
    let target = fixture.target("cut").await;
    let find = |text: &str| dump.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    let helper = std::env::current_exe().unwrap();
    for cut in [find("COPY public.pgbench_accounts") + 5_000, find("SELECT pg_catalog.lo_close") + 60, dump.len()] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stream"), &dump[..cut]).unwrap();
        let mut child = std::process::Command::new(&helper)
            .args(["--exact", "postgres::load::helper_that_gets_killed", "--ignored", "--nocapture"])
            .env("HELPER_DIR", dir.path())
            .env("HELPER_PORT", fixture.server.port().to_string())
            .env("HELPER_PSQL", fixture.server.bin_dir())
            .spawn()
            .unwrap();
        let begin = std::time::Instant::now();
        while !dir.path().join("written").exists() {
            assert!(begin.elapsed() < Duration::from_mins(1) && child.try_wait().unwrap().is_none(), "helper");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Workers that build an index bear the session's name, too.
        assert!(sessions(&fixture, OURS).await >= 1, "psql is in the middle of it");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_sessions_end(&fixture, OURS).await;
        assert_empty(&target).await;
    }
}

/// Not a test: the process that the test above kills with SIGKILL.
#[tokio::test]
#[ignore = "started by a02_psql_sees_a_clean_end_of_input_without_commit"]
#[expect(clippy::disallowed_methods, reason = "its parent speaks to it this way")]
async fn helper_that_gets_killed() {
    let Ok(dir) = std::env::var("HELPER_DIR") else { return };
    let dir = std::path::PathBuf::from(dir);
    let text = format!("host=127.0.0.1 port={} user=postgres dbname=cut", std::env::var("HELPER_PORT").unwrap());
    let info = ConnInfo::resolve(&text, &stonewal::postgres::Environment::default()).unwrap();
    let search = Search { chosen: Some(std::env::var("HELPER_PSQL").unwrap().into()), path: Vec::new() };
    let psql = search.find("psql", 0, "").await.unwrap();
    let mut load = Load::start(&info, &psql, &CancellationToken::new()).await.unwrap();
    load.write(&std::fs::read(dir.join("stream")).unwrap()).await.unwrap();
    std::fs::write(dir.join("written"), "").unwrap();
    tokio::time::sleep(Duration::from_mins(5)).await;
}

#[tokio::test]
async fn transaction_control_that_slips_through_cannot_commit_half_a_restore() {
    let Some(fixture) = Fixture::empty("guard").await else { return };
    let target = fixture.target("guarded").await;
    for slip in ["END;", "COMMIT WORK;", "COMMIT ;", "COMMIT AND CHAIN;", "PREPARE TRANSACTION 'x';"] {
        let mut load = start(&fixture, &target).await;
        let sent =
            load.write(format!("CREATE TABLE half (a int);\n{slip}\nCREATE TABLE rest (a int);\n").as_bytes()).await;
        let error = match sent {
            Ok(()) => load.commit().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, Error::LoadFailed { .. }), "{slip}: {error}");
        assert_empty(&target).await;
    }
}

/// A rollback ends the transaction without a failure. One that is seen is not sent; behind one that hides from us (here by another
/// meaning of backslashes) nothing is committed that the stream does not commit itself, and it is no success (PAINS A2).
#[tokio::test]
async fn a02_a_rollback_in_the_stream_is_never_a_restore() {
    let Some(fixture) = Fixture::empty("a02_rollback").await else { return };
    let target = fixture.target("rolled").await;
    for slip in ["ROLLBACK;", "/* x */ abort ;", "SELECT 1\\; ROLLBACK WORK;"] {
        let mut load = start(&fixture, &target).await;
        let script = format!("CREATE TABLE half (a int);\n{slip}\nCREATE TABLE rest (a int);\n");
        let error = load.write(script.as_bytes()).await.unwrap_err();
        assert!(error.to_string().contains("an end of the restore's transaction"), "{slip}: {error}");
        load.abort().await;
        assert_empty(&target).await;
    }
    let hidden = async |behind: &str| {
        let mut load = start(&fixture, &target).await;
        // To us a string begins with the third quote and ends in the comment.
        let script = format!(
            "CREATE TABLE half (a int);\nSET standard_conforming_strings = off;\nSELECT '\\''; ROLLBACK; {behind}\n-- '\nSELECT 1;\n"
        );
        load.write(script.as_bytes()).await.unwrap();
        let error = load.commit().await.unwrap_err();
        assert!(matches!(error, Error::Escaped), "{behind}: {error}");
    };
    hidden("CREATE TABLE rest (a int);").await;
    assert_empty(&target).await;
    hidden("CREATE TABLE rest (a int); COMMIT;").await;
    let session = Session::connect(&target, "watch").await.unwrap();
    assert!(target::ensure_empty(&session).await.is_err(), "this is what the error warns of");
}

#[tokio::test]
async fn b07_a_failing_statement_rolls_back_and_is_named() {
    let Some(fixture) = Fixture::empty("b07").await else { return };
    let target = fixture.target("failing").await;
    let mut load = start(&fixture, &target).await;
    let noise = "INSERT INTO t VALUES (1);\n".repeat(20_000);
    let script = format!("CREATE TABLE t (a int);\nSELECT * FROM nowhere;\n{noise}");
    let error = match load.write(script.as_bytes()).await {
        Ok(()) => load.commit().await.unwrap_err(),
        Err(error) => {
            load.abort().await;
            error
        }
    };
    let said = error.to_string();
    assert!(said.contains("relation \"nowhere\" does not exist") && !said.contains("Broken pipe"), "{said}");
    assert_empty(&target).await;
    // A constraint that is checked only at the COMMIT.
    let mut load = start(&fixture, &target).await;
    let late = "CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE b (i int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO b VALUES (1);\n";
    load.write(late.as_bytes()).await.unwrap();
    let error = load.commit().await.unwrap_err();
    assert!(error.to_string().contains("foreign key constraint"), "{error}");
    assert_empty(&target).await;
}

#[tokio::test]
async fn a_session_killed_at_the_target_is_a_named_failure() {
    let Some(fixture) = Fixture::empty("target_killed").await else { return };
    let target = fixture.target("killed").await;
    let mut load = start(&fixture, &target).await;
    load.write(b"CREATE TABLE t (a int);\nCOPY t (a) FROM stdin;\n1\n").await.unwrap();
    while sessions(&fixture, OURS).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fixture.value(
        "postgres",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'stonewal restore%'",
    );
    let rows = "2\n".repeat(100_000);
    let error = match load.write(rows.as_bytes()).await {
        Ok(()) => {
            load.write(b"\\.\n").await.ok();
            load.commit().await.unwrap_err()
        }
        Err(error) => error,
    };
    assert!(
        matches!(&error, Error::LoadFailed { what } if what.contains("terminating connection") || what.contains("closed the connection")),
        "{error}"
    );
    assert_empty(&target).await;
}

#[tokio::test]
async fn cancelling_and_dropping_leave_the_target_empty() {
    let Some(fixture) = Fixture::empty("cancelling").await else { return };
    let target = fixture.target("cancelled").await;
    // Limits that would end it by themselves, were they not lifted.
    let limit = "ALTER DATABASE cancelled SET idle_in_transaction_session_timeout = '100ms'";
    fixture.server.execute("postgres", limit).await.unwrap();
    fixture.server.execute("postgres", "ALTER DATABASE cancelled SET statement_timeout = '100ms'").await.unwrap();
    // Long work that is still queued when the stream ends.
    let cancel = CancellationToken::new();
    let mut load = Load::start(&target, &fixture.program("psql").await, &cancel).await.unwrap();
    load.write(b"CREATE TABLE t (a int);\nSELECT pg_sleep(300);\n").await.unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(load.commit(), stop);
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(sessions(&fixture, OURS).await, 0, "the sleeping backend is gone too");
    assert_empty(&target).await;
    let mut load = start(&fixture, &target).await;
    load.write(b"CREATE TABLE t (a int);\n").await.unwrap();
    drop(load);
    assert_sessions_end(&fixture, OURS).await;
    assert_empty(&target).await;
}

#[tokio::test]
async fn a_full_disk_at_the_target_is_psqls_own_message() {
    let Some(fixture) = Fixture::empty("disk_full").await else { return };
    let target = fixture.target("filled").await;
    // temp_file_limit stands in for the full disk where no small file system can be mounted: the same kind of error
    // (class 53) at the same place, in the middle of the work.
    let mut load = start(&fixture, &target).await;
    let script = b"SET temp_file_limit = '1MB'; SET work_mem = '64kB';\nCREATE TABLE t AS SELECT n FROM generate_series(1, 1000000) n ORDER BY n DESC;\n";
    load.write(script).await.unwrap();
    let error = load.commit().await.unwrap_err();
    assert!(error.to_string().contains("temp_file_limit"), "{error}");
    assert_empty(&target).await;
}

#[tokio::test]
async fn b07_psql_without_restrict_is_found_out_before_the_stream() {
    let Some(fixture) = Fixture::empty("b07_restrict").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("psql");
    // What psql before August 2025 does with the command.
    let old = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'psql (PostgreSQL) 15.13'; exit 0; }\nread line\nprintf '%s\\n' 'psql:<stdin>:1: error: invalid command \\restrict' >&2\nexit 3\n";
    std::fs::write(&path, old).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let search = Search { chosen: Some(dir.path().into()), path: Vec::new() };
    let info = fixture.server.conninfo("postgres").unwrap();
    assert!(!knows_restrict(&info, &search.find("psql", 0, "").await.unwrap()).await.unwrap());
    let nowhere =
        ConnInfo::resolve("host=127.0.0.1 port=1 user=x", &stonewal::postgres::Environment::default()).unwrap();
    assert!(knows_restrict(&nowhere, &fixture.program("psql").await).await.is_err(), "no answer is not a no");
}

#[tokio::test]
async fn only_an_empty_target_passes() {
    let Some(fixture) = Fixture::empty("only_empty").await else { return };
    for (at, sql) in [
        "CREATE TABLE t (a int)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE SEQUENCE s",
        "CREATE TYPE e AS ENUM ('a')",
        "CREATE DOMAIN d AS int",
        "CREATE SCHEMA s",
        "CREATE EXTENSION hstore",
        "SELECT lo_create(0)",
        "CREATE PUBLICATION p",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE c AS (a int)",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("full_{at}");
        let info = fixture.target(&name).await;
        assert_empty(&info).await;
        fixture.server.execute(&name, sql).await.unwrap();
        let session = Session::connect(&info, "watch").await.unwrap();
        let error = target::ensure_empty(&session).await.unwrap_err();
        assert!(matches!(error, Error::NotEmpty { .. }) && error.to_string().contains(" is not empty: "), "{sql}");
    }
}
