//! Targets that fail under the restore: a statement that does not work there, a disk that fills up.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::{World, no_sessions};
use crate::support::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_rolls_everything_back() {
    let Some(world) = World::new("statement").await else { return };
    let Some(other) = Fixture::empty("statement").await else { return };
    other.target("target").await;
    let url = format!("postgres://postgres@127.0.0.1:{}/target?sslmode=disable", other.server.port());
    let restore = |flags| world.restore_into("target", flags).env("RESTORE_DATABASE_URL", &url);
    let failed = "
error: the restore was rolled back: psql:<stdin>:[..]: ERROR:  role \"bookkeeper\" does not exist

hint: the target is as it was before; mend the cause and restore again";
    restore("--no-globals").end().await.is(1, failed);
    no_sessions(&other).await;
    assert_eq!(other.value("target", "SELECT to_regclass('ledger') IS NULL"), "t");
    world.unchanged().await;
    // The same with its roles is a restore.
    restore("").end().await.good();
    assert_eq!(
        other.value(
            "target",
            "SELECT rolname FROM pg_class c JOIN pg_roles r ON r.oid = relowner WHERE relname = 'ledger'"
        ),
        "bookkeeper"
    );
    // Sound is an empty database too: with nothing to compare with, none may be promoted, or not without a warning.
    other.target("bare").await;
    let verify = |database: &str, flags: &str| {
        let run = world.restorer(&format!("verify restore {flags}"));
        run.env("RESTORE_DATABASE_URL", url.replace("/target?", &format!("/{database}?"))).end()
    };
    for (database, code, words) in [
        ("bare", 5, "FAIL  contents     the database has no table"),
        ("target", 3, "warn  contents     nothing of its contents was compared"),
    ] {
        let ended = verify(database, "").await;
        assert_eq!(ended.status.code(), Some(code), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
    }
    let compared = verify("target", "--backup latest").await.stdout;
    assert!(compared.contains("may be promoted") && !compared.contains("contents"), "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_the_target_rolls_everything_back() {
    let Some(world) = World::new("full_database").await else { return };
    let place = world.fixture.server.make_dir("small").unwrap();
    // An empty database takes some 8 MiB of it.
    let Some(_disk) = Disk::mount("full_database", &place, "12m") else { return };
    let create = format!("CREATE TABLESPACE small LOCATION '{}'", place.display());
    world.fixture.server.execute("postgres", &create).await.unwrap();
    let create = "CREATE DATABASE target TEMPLATE template0 TABLESPACE small";
    world.fixture.server.execute("postgres", create).await.unwrap();
    let full = "
error: the restore was rolled back: psql:<stdin>:[..]: ERROR:  could not extend file \"[..]\": No space left on device
HINT:  Check free disk space.
CONTEXT:  COPY ledger, line [..]

hint: the target is as it was before; mend the cause and restore again";
    world.restore_into("target", "").end().await.is(1, full);
    world.assert_empty("target").await;
    world.unchanged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_file_leaves_no_file() {
    let Some(world) = World::new("full_file").await else { return };
    let place = world.path("small");
    std::fs::create_dir(&place).unwrap();
    let Some(_disk) = Disk::mount("full_file", &place, "2m") else { return };
    let full = "error: small/app.sql: No space left on device (os error 28)";
    world.restorer("restore dump --to-file small/app.sql").end().await.is(1, full);
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    let run = world.restorer("restore dump --to-stdout --json");
    assert_eq!(run.end().await.status.code(), Some(2));
    world.unchanged().await;
}

/// A small file system in memory, there until it is dropped.
pub(super) struct Disk(PathBuf);

impl Disk {
    /// `None`, with a printed line, where we may not mount.
    pub(super) fn mount(test: &str, place: &Path, size: &str) -> Option<Self> {
        let owner = std::fs::metadata(place).unwrap();
        let options = format!("size={size},mode=700,uid={},gid={}", owner.uid(), owner.gid());
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(place.to_owned()));
        }
        // Not a server that is missing but a right that CI may lack too.
        println!("skipped: {test}: a small disk cannot be mounted here");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
