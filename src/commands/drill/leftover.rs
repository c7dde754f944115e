//! What a drill leaves that did not end by itself: found by its name, known by its owner file, never touched while the drill
//! lives. The server goes first, then the directory.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::workplace::{Note, OWNER, OWNER_NEW, PREFIX, resolve};
use crate::commands::{Error, Result};

/// Programs that a drill starts in its directory, as the kernel shortens their names.
const PROGRAMS: [&str; 4] = ["postgres", "postmaster", "initdb", "stonewal"];

/// A pause between two looks at processes that were killed.
const PAUSE: Duration = Duration::from_millis(50);
/// Looks at the processes, before it is given up.
const LOOKS: u32 = 200;
/// Looks in a row that must find none: one may have been on its way when the drill was killed.
const QUIET_LOOKS: u32 = 4;
/// More than an owner file holds.
const NOTE_BYTES_MAX: u64 = 4096;
/// An empty directory of this age is not one that a drill is just making.
const EMPTY_AGE_MIN: Duration = Duration::from_mins(1);

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Left {
    /// Directories of drills that are gone, removed with what ran in them.
    pub removed: Vec<PathBuf>,
    /// Those of drills that go on.
    pub running: Vec<PathBuf>,
    /// Those that could not be removed, with the reason.
    pub failed: Vec<String>,
}

impl Left {
    /// In words, as far as it is worth telling.
    pub(super) fn told(&self) -> Vec<String> {
        let removed = self.removed.iter().map(|dir| format!("removed {}: its drill was killed", dir.display()));
        removed.chain(self.failed.iter().map(|what| format!("left by a drill that was killed: {what}"))).collect()
    }
}

/// Removes what killed drills left in a directory.
pub fn clean(dir: &Path) -> Result<Left> {
    let base = resolve(dir)?;
    let entries = fs::read_dir(&base).map_err(|e| Error::File { path: base.clone(), why: e.to_string() })?;
    let mut left = Left::default();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_named || !is_ours(&path) {
            continue;
        }
        match remove(&path, EMPTY_AGE_MIN) {
            Ok(Some(true)) => left.removed.push(path),
            Ok(Some(false)) => left.running.push(path),
            Ok(None) => {}
            Err(error) => left.failed.push(format!("{}: {error}", path.display())),
        }
    }
    Ok(left)
}

/// A directory, not a link to one, that belongs to the user we are: others may plant what they like beside it.
fn is_ours(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own)
}

/// Removes one, with what runs in it, unless its drill lives (`false`) or it is not a drill's (`None`). An empty one may be one
/// that is just being made, unless it is so old.
pub(super) fn remove(dir: &Path, empty_age: Duration) -> io::Result<Option<bool>> {
    if !is_ours(dir) {
        return Ok(None);
    }
    let owner = match File::options().read(true).write(true).open(dir.join(OWNER)) {
        Ok(owner) => owner,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return remove_empty(dir, empty_age),
        Err(error) => return Err(error),
    };
    match owner.try_lock() {
        Ok(()) if !is_of(&owner, dir) => Ok(None),
        Ok(()) => sweep(dir).map(|()| Some(true)),
        Err(TryLockError::WouldBlock) => Ok(Some(false)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the owner file was made for this directory: somebody who copies a drill's by hand wants to keep the copy.
fn is_of(owner: &File, dir: &Path) -> bool {
    let mut text = Vec::new();
    let read = owner.take(NOTE_BYTES_MAX).read_to_end(&mut text);
    let note = read.ok().and_then(|_| serde_json::from_slice::<Note>(&text).ok());
    let name = dir.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX));
    note.is_some_and(|note| name == Some(note.drill.as_str()))
}

/// A drill was killed before it could say that the directory is its own. What is kept on purpose is not empty.
fn remove_empty(dir: &Path, least_age: Duration) -> io::Result<Option<bool>> {
    let age = fs::metadata(dir)?.modified()?.elapsed().unwrap_or_default();
    if age < least_age {
        return Ok(None);
    }
    let only_new = fs::read_dir(dir)?.all(|entry| entry.is_ok_and(|entry| entry.file_name() == OWNER_NEW));
    if only_new {
        // An error means that it was not even begun.
        let _ = fs::remove_file(dir.join(OWNER_NEW));
    }
    Ok(fs::remove_dir(dir).is_ok().then_some(true))
}

/// Kills what a drill runs in its directory, and removes that, until both are gone. `remove_dir_all` follows no links.
pub(super) fn sweep(dir: &Path) -> io::Result<()> {
    let (mut quiet, mut refused) = (0, None);
    for _ in 0..LOOKS {
        let found = residents(dir);
        for pid in &found {
            // An error means that it has ended already.
            let _ = kill_process(*pid, Signal::KILL);
        }
        if found.is_empty() {
            match fs::remove_dir_all(dir) {
                Ok(()) => quiet = 0,
                Err(error) if error.kind() == io::ErrorKind::NotFound => quiet += 1,
                Err(error) => refused = Some(error),
            }
        }
        if quiet == QUIET_LOOKS {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(refused.unwrap_or_else(|| io::Error::other("what runs in it does not end")))
}

/// Servers and programs that work in the directory or below it. PostgreSQL works in its data directory, and so does what it
/// starts. A shell in which somebody looks around is none of them.
fn residents(dir: &Path) -> Vec<Pid> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid != own);
    let works_here = |pid: &u32| {
        let at = PathBuf::from(format!("/proc/{pid}"));
        let name = fs::read_to_string(at.join("comm")).unwrap_or_default();
        PROGRAMS.contains(&name.trim()) && fs::read_link(at.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
    };
    let found = pids.filter(works_here);
    found.filter_map(|pid| i32::try_from(pid).ok().and_then(Pid::from_raw)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(base: &Path, name: &str, files: &[&str]) -> PathBuf {
        let dir = base.join(name);
        fs::create_dir(&dir).unwrap();
        let drill = name.strip_prefix(PREFIX).unwrap_or(name);
        for file in files {
            fs::write(dir.join(file), format!("{{\"drill\":\"{drill}\",\"pid\":1}}")).unwrap();
        }
        dir
    }

    /// Only what a drill left, and only once it is gone.
    #[test]
    fn b17_nothing_is_removed_that_is_not_a_dead_drills() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let dead = made(&base, "stonewal-drill-dead", &[OWNER, "data"]);
        let living = made(&base, "stonewal-drill-living", &[OWNER, "data"]);
        let kept = made(&base, "stonewal-drill-kept", &["data"]);
        let fresh = made(&base, "stonewal-drill-fresh", &[]);
        let foreign = made(&base, "postgres", &[OWNER, "data"]);
        let elsewhere = made(&base, "elsewhere", &[OWNER, "data"]);
        let copied = made(&base, "stonewal-drill-copied", &["data"]);
        fs::copy(living.join(OWNER), copied.join(OWNER)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, base.join("stonewal-drill-link")).unwrap();
        let held = File::open(living.join(OWNER)).unwrap();
        held.lock().unwrap();
        let left = clean(&base).unwrap();
        assert_eq!((left.removed, left.running, left.failed.len()), (vec![dead.clone()], vec![living.clone()], 0));
        assert!(!dead.exists());
        for stays in [&living, &kept, &copied, &foreign, &elsewhere] {
            assert!(stays.join("data").exists(), "{}", stays.display());
        }
        assert!(fresh.exists());
        fs::write(fresh.join(OWNER_NEW), "").unwrap();
        assert_eq!(remove(&fresh, EMPTY_AGE_MIN).unwrap(), None, "it may be one that is being made");
        assert_eq!(remove(&fresh, Duration::ZERO).unwrap(), Some(true));
        drop(held);
        assert_eq!(clean(&base).unwrap().removed, [living]);
    }

    /// A program that works there is ended; one that only has the directory in its arguments is not.
    #[test]
    fn b17_what_runs_in_the_directory_goes_with_it() {
        let base = tempfile::tempdir().unwrap();
        let dir = made(&base.path().canonicalize().unwrap(), "stonewal-drill-x", &[OWNER]);
        let postgres = dir.join("postgres");
        fs::copy("/bin/sleep", &postgres).unwrap();
        let run = |cwd: &Path| std::process::Command::new(&postgres).arg("60").current_dir(cwd).spawn().unwrap();
        let (mut inside, mut outside) = (run(&dir), run(base.path()));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(residents(&dir).len(), 1);
        // Its parent reaps it, as init would.
        let reaper = std::thread::spawn(move || inside.wait().unwrap());
        sweep(&dir).unwrap();
        assert!(!reaper.join().unwrap().success() && !dir.exists());
        assert!(outside.try_wait().unwrap().is_none());
        outside.kill().unwrap();
        outside.wait().unwrap();
    }
}
