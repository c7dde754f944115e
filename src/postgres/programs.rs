//! Which pg_dump, pg_dumpall and psql to run. pg_dump refuses servers newer than itself, so it must be found out
//! before anything is written (PAINS B8).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::conninfo::hide_secrets;
use super::{Environment, Error, Result};

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Major version, such as 15.
    pub major: u32,
    /// Version as it prints it, such as `15.18`.
    pub version: String,
}

/// Where to look for programs.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Only this directory or program, when the operator named one.
    pub chosen: Option<PathBuf>,
    /// Directories of `PATH`.
    pub path: Vec<PathBuf>,
}

impl Search {
    /// Looks along `PATH`, then where distributions keep versioned programs.
    pub fn new(env: &Environment, chosen: Option<PathBuf>) -> Self {
        let path = env.get("PATH").map(|list| std::env::split_paths(list).collect()).unwrap_or_default();
        Self { chosen, path }
    }

    /// The first program of this name whose major version is at least `major`; `needs` says why in the error.
    pub async fn find(&self, name: &str, major: u32, needs: &str) -> Result<Program> {
        let candidates = self.candidates(name);
        let mut newest: Option<Program> = None;
        let mut broken = None;
        for path in candidates.iter().filter(|path| path.is_file()) {
            match version_of(path).await {
                Ok(program) if program.major >= major => return Ok(program),
                Ok(program) if newest.as_ref().is_none_or(|n| program.major > n.major) => newest = Some(program),
                Ok(_) => {}
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        match (newest, broken) {
            (Some(Program { path, version, .. }), _) => {
                Err(Error::ProgramTooOld { program: name.into(), path, found: version, needs: needs.into(), major })
            }
            (None, Some(error)) => Err(error),
            (None, None) => {
                let looked = candidates.iter().filter_map(|c| c.parent().map(Path::to_path_buf)).collect();
                Err(Error::ProgramMissing { program: name.into(), looked })
            }
        }
    }

    fn candidates(&self, name: &str) -> Vec<PathBuf> {
        if let Some(chosen) = &self.chosen {
            // Where nothing is, the error names what was given.
            return vec![if chosen.is_file() { chosen.clone() } else { chosen.join(name) }];
        }
        let mut dirs = self.path.clone();
        dirs.extend(versioned_dirs());
        let mut seen = std::collections::HashSet::new();
        dirs.into_iter().filter(|dir| seen.insert(dir.clone())).map(|dir| dir.join(name)).collect()
    }
}

/// Versioned program directories of Debian, of the project's own packages for Red Hat and SUSE, and of Homebrew;
/// newest version first.
pub(super) fn versioned_dirs() -> Vec<PathBuf> {
    let layouts = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
        ("/usr/lib", "postgresql", "bin"),
    ];
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (base, prefix, last) in layouts {
        let Ok(entries) = std::fs::read_dir(base) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix(prefix)).and_then(|n| n.parse().ok());
            found.extend(number.map(|number| (number, entry.path().join(last))));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

async fn version_of(path: &Path) -> Result<Program> {
    let name = || path.display().to_string();
    let io = |source| Error::ChildIo { program: name(), what: "ask for its version".into(), source };
    let mut command = Command::new(path);
    hide_secrets(command.as_std_mut());
    let run = command.arg("--version").kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(10), run).await;
    let output = output.map_err(|_| io(std::io::ErrorKind::TimedOut.into()))?.map_err(io)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let parsed = parse_version(&text).filter(|_| output.status.success());
    let Some((major, version)) = parsed else {
        return Err(Error::Unsupported { what: format!("{} does not print a PostgreSQL version", name()) });
    };
    Ok(Program { path: path.into(), major, version })
}

/// From `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `psql (PostgreSQL) 19devel`.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let (_, after) = text.split_once("(PostgreSQL) ")?;
    let version = after.split_whitespace().next()?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version[..digits].parse().ok()?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn reads_versions() {
        let cases = [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some((15, "15.18"))),
            ("psql (PostgreSQL) 19devel\n", Some((19, "19devel"))),
            ("pg_dump (PostgreSQL) 9.6.24", Some((9, "9.6.24"))),
            ("something else 15.1", None),
            ("pg_dump (PostgreSQL) x", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_version(text), want.map(|(n, v)| (n, v.to_owned())), "{text}");
        }
    }

    fn fake(dir: &Path, version: &str) {
        let path = dir.join("pg_dump");
        std::fs::write(&path, format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[tokio::test]
    async fn b08_takes_the_first_new_enough_and_names_the_fix_otherwise() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fake(old.path(), "11.4");
        fake(new.path(), "99.1");
        let search = Search { chosen: None, path: vec![old.path().into(), new.path().into()] };
        assert_eq!(search.find("pg_dump", 11, "").await.unwrap().version, "11.4", "PATH order counts");
        assert_eq!(search.find("pg_dump", 98, "").await.unwrap().version, "99.1");
        let only_old = Search { chosen: Some(old.path().into()), path: vec![] };
        let error = only_old.find("pg_dump", 16, "the server is 16.2").await.unwrap_err();
        assert!(error.to_string().contains("11.4") && error.to_string().contains("the server is 16.2"));
        assert!(error.hint().unwrap().contains("postgresql-client-16"));
        let nowhere = Search { chosen: Some("/nonexistent".into()), path: vec![] };
        assert!(matches!(nowhere.find("pg_dump", 1, "").await, Err(Error::ProgramMissing { .. })));
    }
}
