//! Every PostgreSQL on this machine, by major version: the system's, and those that `tests/servers/postgres` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::variable;

/// The server programs of one major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) major: u32,
    /// Directory of `initdb` and `postgres`; client programs may be missing there.
    pub(crate) bin_dir: PathBuf,
}

/// All, oldest first, one of each. Prints what is missing; where everything must run, one newer than 15 must be there.
pub(crate) fn postgres_majors(test: &str) -> Vec<Installed> {
    let found = installed(&roots());
    if !found.iter().any(|server| server.major > 15) {
        super::skip(&format!("{test} on PostgreSQL 16 and later"), "not installed; see tests/servers/postgres");
    }
    if found.is_empty() {
        super::skip(test, "PostgreSQL");
    }
    found
}

/// Directories whose entries are named by major versions: the system's, then where the script installs.
fn roots() -> Vec<PathBuf> {
    let home = || {
        let home = variable("HOME").map(|home| format!("{home}/.cache"));
        variable("XDG_CACHE_HOME").or(home).map(|cache| Path::new(&cache).join("stonewal/postgres"))
    };
    let installed = match variable("STONEWAL_TEST_POSTGRES") {
        Some(dir) => Some(dir.into()),
        None if rustix::process::geteuid().is_root() => Some("/var/cache/stonewal/postgres".into()),
        None => home(),
    };
    std::iter::once("/usr/lib/postgresql".into()).chain(installed).collect()
}

/// The first server that runs, of each major.
fn installed(roots: &[PathBuf]) -> Vec<Installed> {
    let mut found: Vec<Installed> = Vec::new();
    for root in roots {
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let Some(major) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let bin_dir = entry.path().join("bin");
            let known = found.iter().any(|server| server.major == major);
            if !known && bin_dir.join("initdb").is_file() && prints_major(&bin_dir.join("postgres"), major) {
                found.push(Installed { major, bin_dir });
            }
        }
    }
    found.sort_by_key(|server| server.major);
    found
}

fn prints_major(program: &Path, major: u32) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).starts_with(&format!("postgres (PostgreSQL) {major}"))
    })
}

#[test]
fn majors_are_sorted_found_once_and_checked() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    for (place, says) in [("a/17", "17.1"), ("b/17", "17.2"), ("b/13", "13.9"), ("b/14", "15.1"), ("b/x", "16.1")] {
        let bin = root.path().join(place).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("initdb"), "").unwrap();
        let postgres = bin.join("postgres");
        std::fs::write(&postgres, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {says}'\n")).unwrap();
        std::fs::set_permissions(&postgres, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let found = installed(&[root.path().join("a"), root.path().join("b"), root.path().join("none")]);
    let found: Vec<_> = found.iter().map(|s| (s.major, s.bin_dir.strip_prefix(root.path()).unwrap())).collect();
    assert_eq!(found, [(13, Path::new("b/13/bin")), (17, Path::new("a/17/bin"))]);
}
