//! What a tar or a directory holds, one entry after the other, the same for both.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use tar::{Archive, EntryType};

use super::fault::{Fault, io_fault};
use super::unpack;

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Below the root, in its plain spelling.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    pub(super) mode: u32,
    pub(super) mtime: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link(String),
}

/// Takes an entry with its content.
pub(super) type Visit<'a> = dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Fault> + 'a;

/// Every entry of a tar, which is read to its end.
pub(super) fn of_tar(path: &Path, visit: &mut Visit<'_>) -> Result<(), Fault> {
    let failed = io_fault(path);
    let damaged = |why: String| Fault::damaged(path, why);
    let mut archive = Archive::new(unpack::open(path)?);
    for read in archive.entries().map_err(&failed)?.raw(true) {
        let mut read = read.map_err(|error| damaged(format!("it is no whole tar: {error}")))?;
        let bytes = read.path_bytes().into_owned();
        let name = std::str::from_utf8(&bytes).map_err(|_| damaged("a file name in it is not UTF-8".into()))?;
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        let header = read.header();
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => {
                let target = read.link_name_bytes().unwrap_or_default().into_owned();
                Kind::Link(String::from_utf8(target).map_err(|_| damaged(format!("{name}: its target is not UTF-8")))?)
            }
            other => return Err(damaged(format!("{name} is of type {other:?}, which no backup of PostgreSQL holds"))),
        };
        if kind == Kind::Directory && (name.is_empty() || name == ".") {
            continue;
        }
        crate::format::manifest::check_path(&name).map_err(|error| damaged(error.to_string()))?;
        let (mode, mtime) = (header.mode().map_err(&failed)? & 0o7777, header.mtime().unwrap_or_default());
        let entry = Entry { path: name, bytes: read.size(), kind, mode, mtime };
        visit(&entry, &mut read)?;
    }
    // What compression has to say comes last.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(&failed)?;
    Ok(())
}

/// Every entry of a directory, in the order of names; links are not followed.
pub(super) fn of_directory(root: &Path, visit: &mut Visit<'_>) -> Result<(), Fault> {
    below(root, "", visit)
}

fn below(root: &Path, above: &str, visit: &mut Visit<'_>) -> Result<(), Fault> {
    let directory = root.join(above);
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).map_err(io_fault(&directory))? {
        names.push(entry.map_err(io_fault(&directory))?.file_name());
    }
    names.sort();
    for name in names {
        let path = directory.join(&name);
        let failed = io_fault(&path);
        let name = name.to_str().ok_or_else(|| Fault::damaged(&path, "its name is not UTF-8"))?;
        let name = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        let metadata = fs::symlink_metadata(&path).map_err(&failed)?;
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(&failed)?;
            let target = target.to_str().ok_or_else(|| Fault::damaged(&path, "its target is not UTF-8"))?;
            Kind::Link(target.to_owned())
        } else if metadata.is_file() {
            Kind::File
        } else {
            return Err(Fault::damaged(&path, "it is neither a file nor a directory nor a link"));
        };
        let bytes = if kind == Kind::File { metadata.len() } else { 0 };
        let (mode, mtime) = (metadata.permissions().mode() & 0o7777, u64::try_from(metadata.mtime()).unwrap_or(0));
        let entry = Entry { path: name, kind, bytes, mode, mtime };
        match entry.kind {
            Kind::File => visit(&entry, &mut fs::File::open(&path).map_err(&failed)?)?,
            _ => visit(&entry, &mut io::empty())?,
        }
        if entry.kind == Kind::Directory {
            below(root, &entry.path, visit)?;
        }
    }
    Ok(())
}
