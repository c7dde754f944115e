//! Directories with PostgreSQL's client programs, one of which is not what it seems.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::world::World;

/// The real programs, except `name`, which is a shell script; `$REAL` is the real one.
pub(super) fn with(world: &World, name: &str, body: &str) -> PathBuf {
    let real = world.fixture.server.bin_dir();
    let folder = without(world, name);
    let path = folder.join(name);
    let script = format!("#!/bin/sh\nREAL={}\n{body}\n", real.join(name).display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A script that is the real program when asked for its version, and `body` otherwise.
pub(super) fn running(world: &World, name: &str, body: &str) -> PathBuf {
    with(world, name, &format!("[ \"$1\" = --version ] && exec \"$REAL\" --version\n{body}"))
}

/// A script that only says which version it is.
pub(super) fn of_version(world: &World, name: &str, version: &str) -> PathBuf {
    with(world, name, &format!("echo '{name} (PostgreSQL) {version}'"))
}

/// The real programs, except `name`.
pub(super) fn without(world: &World, name: &str) -> PathBuf {
    let folder = fresh(&world.path("programs"));
    for program in ["pg_dump", "pg_dumpall", "psql"].iter().filter(|program| **program != name) {
        symlink(world.fixture.server.bin_dir().join(program), folder.join(program)).unwrap();
    }
    folder
}

fn fresh(folder: &Path) -> PathBuf {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    std::fs::create_dir(folder).unwrap();
    folder.to_owned()
}
