//! The directories that a restore fills: the data directory and one for each tablespace. They must be new or empty, they are
//! filled under another name beside their place where the system lets us, and get their names when everything is durable.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::marker::Marker;
use super::owner::Owner;
use crate::commands::{Error, Result};

/// A directory to fill.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Its name once it is complete; absolute.
    pub(super) target: PathBuf,
    /// Where it is filled: beside the target, or the target itself.
    pub(super) work: PathBuf,
    /// Permission bits.
    pub(super) mode: u32,
    /// Whose the empty directory was that it replaces.
    was: Option<Was>,
}

/// Owner and permissions of an empty directory that somebody made for the restore.
#[derive(Clone, Copy, Debug)]
struct Was {
    user: u32,
    group: u32,
    mode: u32,
}

impl Was {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { user: metadata.uid(), group: metadata.gid(), mode: metadata.mode() & 0o7777 })
    }

    /// Makes another directory like it.
    fn give(self, path: &Path) -> io::Result<()> {
        let now = fs::metadata(path)?;
        if (now.uid(), now.gid()) != (self.user, self.group) {
            std::os::unix::fs::chown(path, Some(self.user), Some(self.group))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(self.mode))
    }
}

/// What PostgreSQL accepts as permissions of a data directory.
fn is_accepted(mode: u32) -> bool {
    mode == 0o700 || mode == 0o750
}

/// What a failed system call on a path comes to.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |error| match error.kind() {
        // How much it takes is added by who knows it.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoRoom { path, needed_bytes: 0 },
        _ => Error::File { path, why: error.to_string() },
    }
}

fn taken(path: &Path, why: impl Into<String>, way_out: impl Into<String>) -> Error {
    Error::Target { path: path.to_owned(), why: why.into(), way_out: way_out.into() }
}

/// The absolute path of a target, links in it resolved, so that two names of one directory are seen to be one.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(failed(path))?;
    if let Ok(resolved) = absolute.canonicalize() {
        return Ok(resolved);
    }
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(taken(path, "it cannot be a target", "name a directory that is new or empty"));
    };
    let parent = parent.canonicalize().map_err(failed(parent))?;
    Ok(parent.join(name))
}

/// Refuses what holds something already, with the reason by what it holds.
pub(super) fn check_free(target: &Path) -> Result<()> {
    check_outside_clusters(target)?;
    let Ok(metadata) = fs::symlink_metadata(target) else { return Ok(()) };
    if !metadata.is_dir() {
        return Err(taken(target, "it is not a directory", "name a directory that is new or empty"));
    }
    if is_empty(target)? {
        return Ok(());
    }
    if let Some(marker) = Marker::read(target) {
        let why = format!("it holds part of backup {}: a restore into it was interrupted", marker.backup);
        return Err(taken(target, why, "continue it with --delta, or empty the directory and restore again"));
    }
    if target.join("PG_VERSION").exists() {
        let running = if Postmaster::of(target) == Postmaster::Running { ", which is running" } else { "" };
        let why = format!("it holds a PostgreSQL cluster{running}");
        return Err(taken(
            target,
            why,
            "name another directory; --delta restores over a stopped cluster of the same origin",
        ));
    }
    Err(taken(target, "it is not empty", "name a directory that is new or empty"))
}

/// A directory inside a cluster would be backed up and removed with it.
pub(in crate::commands) fn check_outside_clusters(target: &Path) -> Result<()> {
    match target.ancestors().skip(1).find(|above| above.join("PG_VERSION").exists()) {
        Some(cluster) => {
            let why = format!("it lies inside the PostgreSQL cluster at {}", cluster.display());
            Err(taken(target, why, "name a directory outside of every cluster"))
        }
        None => Ok(()),
    }
}

/// What `postmaster.pid` tells (PostgreSQL docs, 73.1 "Database File Layout").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Postmaster {
    /// There is none: the server was shut down, or never ran.
    Gone,
    /// Its process exists.
    Running,
    /// Its process is none of those that can be seen from here: it crashed, or runs in another container or on another host
    /// that has the same file system.
    Unseen,
}

impl Postmaster {
    /// Of a data directory. A file that cannot be read or understood tells the worst.
    pub(super) fn of(data: &Path) -> Self {
        let text = match fs::read_to_string(data.join("postmaster.pid")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Gone,
            Err(_) => return Self::Unseen,
        };
        let pid = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok());
        let pid = pid.and_then(|number| rustix::process::Pid::from_raw(number.saturating_abs()));
        match pid.map(rustix::process::test_kill_process) {
            None | Some(Err(rustix::io::Errno::SRCH)) => Self::Unseen,
            Some(_) => Self::Running,
        }
    }
}

fn is_empty(dir: &Path) -> Result<bool> {
    let entries = fs::read_dir(dir).map_err(failed(dir))?;
    for entry in entries {
        // A file system of its own brings this along.
        if entry.map_err(failed(dir))?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A warning if `needed` bytes do not fit where `dir` is or will be.
pub(super) fn room_for(dir: &Path, needed: u64) -> Option<String> {
    let free = free_bytes(dir)?;
    (free < needed).then(|| format!("{} has room for {free} bytes; the restore needs {needed}", dir.display()))
}

/// Bytes that are free where `dir` is or will be; `None` where that cannot be asked.
pub(in crate::commands) fn free_bytes(dir: &Path) -> Option<u64> {
    let absolute = std::path::absolute(dir).ok()?;
    let there = absolute.ancestors().find(|path| path.is_dir())?;
    let system = rustix::fs::statvfs(there).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Refuses file systems without room for what goes to them, before hours are spent on filling them.
pub(super) fn check_space(layout: &Layout) -> Result<()> {
    let mut needs: Vec<(u64, &Path, u64)> = Vec::new();
    for (root, target) in layout.targets.iter().enumerate() {
        let there = if target.is_dir() { target.as_path() } else { target.parent().unwrap_or(target) };
        let device = fs::metadata(there).map_err(failed(there))?.dev();
        let bytes = layout.bytes(root);
        match needs.iter_mut().find(|(at, ..)| *at == device) {
            Some((_, _, needed)) => *needed += bytes,
            None => needs.push((device, there, bytes)),
        }
    }
    for (_, path, needed) in needs {
        let Ok(system) = rustix::fs::statvfs(path) else { continue };
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < needed {
            let [needed, free] = [needed, free].map(|bytes| bytesize::ByteSize(bytes).display().iec());
            let why = format!("the restore needs {needed} there, {free} are free");
            return Err(taken(path, why, "make room, or name a directory on a larger file system"));
        }
    }
    Ok(())
}

impl Root {
    /// Sets up a free target for filling, with a note of what it is for.
    pub(super) fn prepare(target: &Path, mode: u32, marker: &Marker, owner: Owner) -> Result<Self> {
        let was = Was::of(target);
        let work = match staging(target, was)? {
            Some(work) => work,
            None => target.to_owned(),
        };
        let mode = was.map(|was| was.mode).filter(|mode| is_accepted(*mode)).unwrap_or(mode);
        let root = Self { target: target.to_owned(), work, mode, was };
        if !root.work.exists() {
            fs::DirBuilder::new().mode(0o700).create(&root.work).map_err(failed(&root.work))?;
        }
        marker.write(&root.work, owner).map_err(failed(&root.work))?;
        Ok(root)
    }

    /// A directory that holds something to be kept where it fits.
    pub(super) fn over(target: &Path, mode: u32, marker: &Marker, owner: Owner) -> Result<Self> {
        let root = Self { target: target.to_owned(), work: target.to_owned(), mode, was: None };
        marker.write(&root.work, owner).map_err(failed(&root.work))?;
        Ok(root)
    }

    /// Whether it is filled in its own place.
    pub(super) fn is_in_place(&self) -> bool {
        self.work == self.target
    }

    /// Everything below is on the disk before this returns.
    pub(super) fn sync(&self) -> Result<()> {
        let dir = fs::File::open(&self.work).map_err(failed(&self.work))?;
        rustix::fs::syncfs(&dir).map_err(|error| failed(&self.work)(error.into()))
    }

    /// Gives it its name. All of it is durable already.
    pub(super) fn publish(&self, owner: Owner) -> Result<()> {
        let at = failed(&self.work);
        let permissions = fs::Permissions::from_mode(self.mode);
        fs::set_permissions(&self.work, permissions).and_then(|()| owner.give(&self.work)).map_err(at)?;
        // As whoever made it meant it: its group may be the one that reads backups. Root's own, and that of a tablespace that
        // is not the server's, is for the server's user.
        if let Some(was) = self.was.filter(|was| !self.is_in_place() && was.user != 0 && owner.keeps(was.user)) {
            Was { mode: self.mode, ..was }.give(&self.work).map_err(failed(&self.work))?;
        }
        if !self.is_in_place() {
            fs::rename(&self.work, &self.target).map_err(failed(&self.target))?;
        }
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed(parent))
    }

    /// Removes what was written, after a failure. Only ever called for directories that were new or empty.
    pub(super) fn discard(&self) {
        if !self.is_in_place() {
            let _ = fs::remove_dir_all(&self.work);
            return;
        }
        let Ok(entries) = fs::read_dir(&self.work) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name() != "lost+found") {
            let path = entry.path();
            let directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            let _ = if directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// The name beside the target, or `None` where the target cannot be replaced by a directory from beside it: a mount point, or
/// a parent that we may not write to.
fn staging(target: &Path, was: Option<Was>) -> Result<Option<PathBuf>> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Ok(None) };
    let beside = parent.join(format!(".{}.stonewal-restore", name.to_string_lossy()));
    if fs::symlink_metadata(&beside).is_ok() {
        let what = match Marker::read(&beside) {
            Some(marker) => format!("an interrupted restore of backup {} left it", marker.backup),
            None => "it is in the way".to_owned(),
        };
        return Err(taken(
            &beside,
            what,
            format!("make sure that no restore is running, remove it (rm -r {}), and restore again", beside.display()),
        ));
    }
    let there = fs::metadata(target).ok();
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    if there.as_ref().is_some_and(|metadata| Some(metadata.dev()) != device(parent)) {
        return Ok(None);
    }
    match fs::DirBuilder::new().mode(0o700).create(&beside) {
        Ok(()) if there.is_none() => return Ok(Some(beside)),
        Ok(()) => {}
        Err(_) if there.is_some() => return Ok(None),
        Err(error) => return Err(failed(&beside)(error)),
    }
    // A trial: the last step must not be the first to find out that the target cannot be replaced, by one like it.
    let alike = was.map_or(Ok(()), |was| was.give(&beside));
    if alike.is_err() || fs::rename(&beside, target).is_err() {
        let _ = fs::remove_dir(&beside);
        return Ok(None);
    }
    fs::DirBuilder::new().mode(0o700).create(&beside).map_err(failed(&beside))?;
    Ok(Some(beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PostgreSQL refuses a tablespace that is not its own, whoever made the directory.
    #[test]
    fn a_directory_keeps_its_owner_only_if_it_is_the_servers() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root gives directories to others");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::chown(&data, Some(4001), Some(4001)).unwrap();
        let owner = Owner::of(&data).unwrap();
        let marker = Marker {
            backup: crate::format::BackupId::new(jiff::Timestamp::UNIX_EPOCH, [0; 4]),
            system_identifier: "7".into(),
        };
        for (user, group, expected) in [(4001, 4002, (4001, 4002)), (4003, 4003, (4001, 4001)), (0, 0, (4001, 4001))] {
            let target = dir.path().join(format!("space{user}"));
            fs::create_dir(&target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o750)).unwrap();
            std::os::unix::fs::chown(&target, Some(user), Some(group)).unwrap();
            let root = Root::prepare(&target, 0o700, &marker, owner).unwrap();
            assert!(!root.is_in_place());
            root.publish(owner).unwrap();
            let found = fs::metadata(&target).unwrap();
            assert_eq!((found.uid(), found.gid()), expected, "made by {user}");
            assert_eq!(found.mode() & 0o7777, 0o750);
        }
    }
}
