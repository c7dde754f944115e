//! Commit times read from the log as it passes, compared with what pg_waldump says of the same file.

use std::process::Command;

use jiff::Timestamp;
use stonewal::format::wal::{CommitScanner, Commits, SegmentHeader};
use stonewal::postgres::server::ServerOptions;

use super::world::{switch, value, wal_file};
use crate::support::majors::postgres_majors;

/// The first and last end of a transaction in a segment, as pg_waldump prints them (in the zone UTC).
fn dumped(program: &std::path::Path, segment: &std::path::Path) -> Option<Commits> {
    let output = Command::new(program).arg("--rmgr=Transaction").arg(segment).env("TZ", "UTC").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let times = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("desc: ")?;
        let ends =
            ["COMMIT ", "ABORT ", "COMMIT_PREPARED ", "ABORT_PREPARED "].iter().any(|word| rest.starts_with(word));
        let (_, time) = rest.split_once("20").filter(|_| ends)?;
        let time = format!("20{}", time.split(" UTC").next()?);
        Some(time.replacen(' ', "T", 1) + "Z").map(|text| text.parse::<Timestamp>().unwrap())
    });
    times.map(Commits::at).reduce(Commits::and)
}

#[tokio::test]
async fn times_are_those_of_pg_waldump() {
    for installed in postgres_majors("times_are_those_of_pg_waldump") {
        let program = installed.bin_dir.join("pg_waldump");
        if !program.is_file() {
            println!("skipped: commit times of PostgreSQL {}: no pg_waldump", installed.major);
            continue;
        }
        let dir = tempfile::Builder::new().prefix("swc").tempdir().unwrap();
        std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(dir.path()).unwrap().permissions(), 0o755);
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut options = ServerOptions::new(dir.path().join("pg"));
        options.bin_dir = Some(installed.bin_dir.clone());
        options.wal_segment_mib = Some(1);
        for (setting, value) in [("wal_keep_size", "1GB"), ("max_prepared_transactions", "4"), ("autovacuum", "off")] {
            options.settings.push((setting.into(), value.into()));
        }
        let server = crate::support::clusters::start(&options).await.unwrap();
        let mut names = vec![value(&server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await];
        for sql in [
            "CREATE TABLE t (n int, s text)",
            "INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 8000) i",
            "DELETE FROM t WHERE n % 2 = 0",
            "BEGIN; INSERT INTO t VALUES (0); ROLLBACK",
            "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'one'",
            "COMMIT PREPARED 'one'",
            "DO $$ BEGIN FOR i IN 1..300 LOOP INSERT INTO t VALUES (i, 'loop'); COMMIT; END LOOP; END $$",
        ] {
            server.execute("postgres", sql).await.unwrap();
            names.push(value(&server, "SELECT pg_walfile_name(pg_current_wal_lsn())").await);
        }
        names.push(switch(&server).await);
        names.dedup();
        let segments: Vec<_> = std::fs::read_dir(server.data_dir().join("pg_wal")).unwrap().flatten().collect();
        let mut compared = 0;
        for name in segments.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            let path = wal_file(&server, &name);
            if name.len() != 24 || name > *names.last().unwrap() {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let start = SegmentHeader::read(&bytes).unwrap().start;
            for at_once in [bytes.len(), 1000] {
                let mut scanner = CommitScanner::new(start);
                bytes.chunks(at_once).for_each(|part| scanner.feed(part));
                assert_eq!(scanner.take_commits(), dumped(&program, &path), "PostgreSQL {} {name}", installed.major);
            }
            compared += usize::from(dumped(&program, &path).is_some());
        }
        assert!(compared >= 2, "PostgreSQL {}: only {compared} segments with commits", installed.major);
        server.stop().await.unwrap();
    }
}
