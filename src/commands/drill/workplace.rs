//! The one directory of a drill: restored files, tablespaces, socket, log.
//!
//! It goes with the drill. Errors, interrupts and panics remove it on the way out. For a drill that is killed there is the
//! guard: a process of ours that holds the other end of a pipe, and does the same when the pipe breaks. Should that be killed
//! too, the next drill finds what is left: the lock on the owner file is gone with its process.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::leftover;
use crate::commands::restore_base::check_outside_clusters;
use crate::commands::{Error, Result};
use crate::format::EvidenceId;

/// What the names of these directories begin with.
pub(super) const PREFIX: &str = "stonewal-drill-";
/// In each of them: locked for as long as the drill runs.
pub(super) const OWNER: &str = "stonewal.drill";
/// Its name until it is locked: whoever finds an owner file without a lock may rely on its drill being gone.
pub(super) const OWNER_NEW: &str = "stonewal.drill.new";

/// Longest path of a Unix socket (Linux, unix(7)).
const SOCKET_BYTES_MAX: usize = 107;
/// Longest name of the socket below the directory.
const SOCKET_NAME: &str = "/server/.s.PGSQL.65535";

/// For people who find the directory, and for `drill --clean`: a copy of it under another name is not the drill's.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) drill: String,
    pid: u32,
}

/// The directory of this drill.
pub(super) struct Workplace {
    dir: PathBuf,
    owner: Option<File>,
    guard: Option<Child>,
    done: bool,
}

/// The directory in which drills make theirs: absolute, links resolved.
pub(super) fn resolve(dir: &Path) -> Result<PathBuf> {
    let refused = |why: &str| Error::Target {
        path: dir.to_owned(),
        why: why.into(),
        way_out: "name a directory that exists and has room (drill.dir)".into(),
    };
    let resolved = dir.canonicalize().map_err(|error| refused(&error.to_string()))?;
    if !resolved.is_dir() {
        return Err(refused("it is not a directory"));
    }
    Ok(resolved)
}

impl Workplace {
    pub(super) fn make(base: &Path, id: &EvidenceId, program: &Path) -> Result<Self> {
        let dir = base.join(format!("{PREFIX}{id}"));
        check_outside_clusters(&dir)?;
        if dir.as_os_str().len() + SOCKET_NAME.len() > SOCKET_BYTES_MAX {
            return Err(Error::Target {
                path: base.to_owned(),
                why: "its path is too long for a Unix socket below it".into(),
                way_out: "name a directory with a shorter path (drill.dir)".into(),
            });
        }
        let failed = |error: io::Error| Error::File { path: dir.clone(), why: error.to_string() };
        // The guard first: from here on, whatever is there when we are gone is removed.
        let mut place =
            Self { dir: dir.clone(), owner: None, guard: Some(guard(program, &dir).map_err(failed)?), done: false };
        // Never a directory that is there already, whoever made it.
        if let Err(error) = fs::DirBuilder::new().mode(0o700).create(&dir) {
            place.let_be().map_err(failed)?;
            return Err(failed(error));
        }
        place.owner = Some(lock(&dir, id).map_err(failed)?);
        passable(&dir).map_err(failed)?;
        Ok(place)
    }

    /// All of it.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A directory in it that others pass through.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        let made = fs::create_dir_all(&path).and_then(|()| passable(&path));
        made.map(|()| path.clone()).map_err(|error| Error::File { path, why: error.to_string() })
    }

    /// Leaves the directory to whoever wants to look at it.
    fn keep(mut self) -> io::Result<PathBuf> {
        fs::remove_file(self.path(OWNER))?;
        self.let_be()?;
        // That of a new server lies beside its socket.
        let data = self.path("data");
        Ok(if data.is_dir() { data } else { self.path("server/data") })
    }

    /// Nothing is removed, by us or by the guard.
    fn let_be(&mut self) -> io::Result<()> {
        self.done = true;
        let pipe = self.guard.as_mut().and_then(|guard| guard.stdin.as_mut());
        let told = pipe.map_or(Ok(()), |pipe| pipe.write_all(super::guard::KEEP));
        self.dismiss();
        // A guard that was killed removes nothing either.
        told.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
    }

    fn remove(&mut self) -> io::Result<()> {
        self.done = true;
        let swept = leftover::sweep(&self.dir);
        self.dismiss();
        swept
    }

    /// Breaks the pipe: the guard looks once more, and ends.
    fn dismiss(&mut self) {
        self.owner = None;
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.remove();
        }
    }
}

/// Removes it, or keeps it and tells where the restored files are.
pub(super) async fn close(place: Option<Workplace>, keeps: bool) -> Result<Option<PathBuf>> {
    let Some(mut place) = place else { return Ok(None) };
    let dir = place.dir.clone();
    let closing = move || if keeps { place.keep().map(Some) } else { place.remove().map(|()| None) };
    let closed = tokio::task::spawn_blocking(closing).await.map_err(crate::pipeline::Error::Worker)?;
    closed.map_err(|error| Error::File { path: dir, why: format!("it could not be removed: {error}") })
}

/// The user that the server runs as is not root, where we are; in here is nothing that others could list.
fn passable(dir: &Path) -> io::Result<()> {
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

fn lock(dir: &Path, id: &EvidenceId) -> io::Result<File> {
    let new = dir.join(OWNER_NEW);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.lock()?;
    file.write_all(&serde_json::to_vec(&Note { drill: id.to_string(), pid: std::process::id() })?)?;
    // Empty after a power loss, it would be nobody's, and what was restored would stay for ever.
    file.sync_all()?;
    fs::rename(new, dir.join(OWNER))?;
    Ok(file)
}

/// Out of reach of what is sent to our process group.
fn guard(program: &Path, dir: &Path) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(["drill", "guard"]).arg(dir).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The owner file is locked and whole as soon as it has its name.
    #[test]
    fn b17_what_a_drill_holds_is_known_as_its_own() {
        let base = tempfile::tempdir().unwrap();
        let id: EvidenceId = "20261124T031500Z-5b0c6f2e".parse().unwrap();
        let dir = base.path().join(format!("{PREFIX}{id}"));
        fs::create_dir(&dir).unwrap();
        let held = lock(&dir, &id).unwrap();
        assert!(!dir.join(OWNER_NEW).exists());
        assert_eq!(leftover::remove(&dir, std::time::Duration::ZERO).unwrap(), Some(false));
        drop(held);
        assert_eq!(leftover::remove(&dir, std::time::Duration::ZERO).unwrap(), Some(true));
        assert!(!dir.exists());
    }

    /// Whoever killed the guard still gets what was to be kept.
    #[test]
    fn b17_a_dead_guard_does_not_lose_what_is_kept() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("data")).unwrap();
        fs::write(base.path().join(OWNER), "").unwrap();
        let mut guard = Command::new("/bin/true").stdin(Stdio::piped()).spawn().unwrap();
        let pipe = guard.stdin.take();
        guard.wait().unwrap();
        guard.stdin = pipe;
        let place = Workplace { dir: base.path().to_owned(), owner: None, guard: Some(guard), done: false };
        assert_eq!(place.keep().unwrap(), base.path().join("data"));
        assert!(base.path().join("data").exists());
    }
}
