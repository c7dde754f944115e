//! Directories, links and empty files: what needs no data.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;

use super::layout::{Layout, is_restored};
use super::owner::Owner;
use super::roots::{Root, failed};
use crate::commands::Result;
use crate::format::manifest::{DirectoryEntry, FileEntry, LinkEntry};

/// Makes them below the roots. What is there already and is of the right kind is kept.
pub(super) fn make(layout: &Layout, roots: &[Root], owner: Owner) -> Result<()> {
    for placed in &layout.placed {
        let root = &roots[placed.root].work;
        let mut directories: Vec<&DirectoryEntry> = placed.index.directories.iter().collect();
        directories.sort_by(|a, b| a.0.cmp(&b.0));
        for DirectoryEntry(path, mode) in directories {
            directory(&root.join(path), *mode, owner).map_err(failed(&root.join(path)))?;
        }
        for LinkEntry(path, _) in &placed.index.links {
            let Some(target) = layout.link(path) else { continue };
            let link = root.join(path);
            parents(root, &link, owner)?;
            make_link(&link, target, owner).map_err(failed(&link))?;
        }
        let mut last = None;
        for file in placed.index.files.iter().filter(|file| is_restored(file.path())) {
            let path = root.join(file.path());
            if path.parent() != last.as_deref() {
                parents(root, &path, owner)?;
                last = path.parent().map(Path::to_path_buf);
            }
            if file.bytes() == 0 {
                open(&path, file, owner).and_then(|file| file.set_len(0)).map_err(failed(&path))?;
            }
        }
    }
    Ok(())
}

/// Opens a file for writing; it is made if need be.
pub(super) fn open(path: &Path, file: &FileEntry, owner: Owner) -> io::Result<fs::File> {
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mode = (file.mode() & 0o777) | 0o600;
    let mut options = fs::OpenOptions::new();
    let open = options.write(true).create(true).truncate(false).mode(mode).custom_flags(nofollow).open(path)?;
    owner.give_file(&open)?;
    Ok(open)
}

fn directory(path: &Path, mode: u32, owner: Owner) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        // A link to a directory elsewhere, such as of pg_wal: what is restored stays in the directory that was named.
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    fs::DirBuilder::new().mode((mode & 0o777) | 0o700).recursive(true).create(path)?;
    owner.give(path)
}

/// Every directory between the root and `path`: each is a real one.
fn parents(root: &Path, path: &Path, owner: Owner) -> Result<()> {
    let Some(below) = path.parent().and_then(|parent| parent.strip_prefix(root).ok()) else { return Ok(()) };
    let mut at = root.to_owned();
    for part in below {
        at.push(part);
        directory(&at, 0o700, owner).map_err(failed(&at))?;
    }
    Ok(())
}

fn make_link(link: &Path, target: &Path, owner: Owner) -> io::Result<()> {
    match fs::read_link(link) {
        Ok(existing) if existing == target => return Ok(()),
        Ok(_) => fs::remove_file(link)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => fs::remove_dir_all(link).or_else(|_| fs::remove_file(link))?,
    }
    symlink(target, link)?;
    owner.give(link)
}
