//! Restoring over what is there: files whose length and checksum are those of PostgreSQL's own manifest are kept, everything
//! that does not belong is removed, but only in a directory that is a stopped cluster of the same origin.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::files::{self, Wanted};
use super::layout::{CONTROL_FILE, Layout, is_restored};
use super::marker::{self, Marker};
use super::roots::{Postmaster, Root, failed};
use crate::commands::{Error, Result};
use crate::format::manifest::{BASE_STREAM, FileEntry};
use crate::limits::COMPARISONS;
use crate::pipeline;

/// What was found to be right already.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Refuses a directory that is not this cluster's, or that a server runs on.
pub(super) fn check(data: &Path, expected: &Marker) -> Result<()> {
    let refuse = |why: String| {
        let way_out = "restore into a new directory without --delta".to_owned();
        Err(Error::Target { path: data.to_owned(), why, way_out })
    };
    match Postmaster::of(data) {
        Postmaster::Gone => {}
        Postmaster::Running => return refuse("a PostgreSQL server runs on it".into()),
        Postmaster::Unseen => {
            let why = "its postmaster.pid names a process that cannot be seen from here: the server crashed, or it runs in another container or on another host";
            let way_out = "make sure that no server runs on it, remove postmaster.pid, and restore again with --delta";
            return Err(Error::Target { path: data.to_owned(), why: why.into(), way_out: way_out.into() });
        }
    }
    let marked = Marker::read(data).map(|marker| marker.system_identifier);
    let found = match marked {
        Some(identifier) => identifier,
        None => match system_identifier(data) {
            Some(identifier) => identifier.to_string(),
            None => return refuse("it is not a PostgreSQL data directory, so nothing in it may be removed".into()),
        },
    };
    if found != expected.system_identifier {
        return refuse(format!(
            "it holds the cluster with system identifier {found}, the backup is of {}",
            expected.system_identifier
        ));
    }
    Ok(())
}

/// The first field of `pg_control` (`src/include/catalog/pg_control.h`), in the byte order of the host.
fn system_identifier(data: &Path) -> Option<u64> {
    let mut first = [0; 8];
    fs::File::open(data.join(CONTROL_FILE)).ok()?.read_exact(&mut first).ok()?;
    data.join("PG_VERSION").exists().then(|| u64::from_ne_bytes(first))
}

/// A tablespace directory may hold something only if the cluster in `data` uses it.
pub(super) fn check_tablespace(data: &Path, link: &str, target: &Path) -> bool {
    let uses = fs::read_link(data.join(link)).ok().and_then(|to| to.canonicalize().ok());
    uses.is_some_and(|to| to == target)
}

/// PostgreSQL's manifest of a base backup (docs, "Backup Manifest Format"), as far as it matters here.
#[derive(Debug, Deserialize)]
struct BackupManifest {
    #[serde(rename = "Files")]
    files: Vec<ManifestFile>,
}

#[derive(Debug, Deserialize)]
struct ManifestFile {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

/// CRC-32C by path below the data directory.
fn checksums(manifest: &[u8]) -> Result<HashMap<String, (u64, u32)>> {
    let parsed: BackupManifest = serde_json::from_slice(manifest).map_err(|error| crate::format::Error::Malformed {
        what: "PostgreSQL's backup manifest",
        why: error.to_string(),
    })?;
    let crc = |file: &ManifestFile| {
        let of_known_kind = file.algorithm.as_deref() == Some("CRC32C");
        // Written as the bytes of the number lie in memory.
        let bytes = crate::format::unhex::<4>(file.checksum.as_deref()?).filter(|_| of_known_kind)?;
        Some(u32::from_le_bytes(bytes))
    };
    let files = parsed.files.into_iter();
    Ok(files.filter_map(|file| Some((file.path.clone()?, (file.size, crc(&file)?)))).collect())
}

/// Looks at every file and says which are to be written.
pub(super) async fn compare(layout: &Layout, roots: &[Root], manifest: &[u8]) -> Result<(Wanted, Kept)> {
    let known = checksums(manifest)?;
    let (mut wanted, mut kept) = (files::all(layout), Kept::default());
    for (placed, wanted) in layout.placed.iter().zip(&mut wanted) {
        let prefix = match placed.stream.as_str() {
            BASE_STREAM => String::new(),
            space => format!("pg_tblspc/{}/", space.trim_start_matches("tablespace-")),
        };
        let root = Arc::new(roots[placed.root].work.clone());
        let of_file = |file: &FileEntry| known.get(&format!("{prefix}{}", file.path())).copied();
        let files = (0..).zip(&placed.index.files).filter(|(at, _): &(usize, _)| wanted[*at]);
        let candidates: Vec<(usize, u64, u32, PathBuf)> = files
            .filter_map(|(at, file)| {
                let (size, crc) = of_file(file).filter(|(size, _)| *size == file.bytes())?;
                Some((at, size, crc, root.join(file.path())))
            })
            .collect();
        let mut looks = stream::iter(candidates)
            .map(|(at, size, crc, path)| async move {
                let same = spawn_blocking(move || matches(&path, size, crc)).await;
                same.map(|same| (at, size, same)).map_err(pipeline::Error::Worker)
            })
            .buffer_unordered(COMPARISONS);
        while let Some((at, size, same)) = looks.try_next().await? {
            if same {
                wanted[at] = false;
                (kept.files, kept.bytes) = (kept.files + 1, kept.bytes + size);
            }
        }
    }
    Ok((wanted, kept))
}

/// Whether a regular file has this length and checksum. What cannot be read is not the same.
fn matches(path: &Path, size: u64, crc: u32) -> bool {
    let is_candidate = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size);
    let Some(mut file) = is_candidate.then(|| fs::File::open(path).ok()).flatten() else { return false };
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return digest.finalize() == u64::from(crc),
            Ok(read) => digest.update(&buffer[..read]),
            Err(_) => return false,
        }
    }
}

/// Removes what does not belong, and the files that are to be written anew, so that nothing is written through an old one.
pub(super) fn clean(layout: &Layout, roots: &[Root], wanted: &Wanted) -> Result<u64> {
    let mut removed = 0;
    for (placed, wanted) in layout.placed.iter().zip(wanted) {
        let index = &placed.index;
        let kept = index.files.iter().zip(wanted).filter(|(_, wanted)| !**wanted).map(|(file, _)| file.path());
        let files = kept.filter(|path| is_restored(path) && *path != CONTROL_FILE).collect();
        let links = index.links.iter().map(|link| link.0.as_str()).collect();
        let mut directories: HashSet<&str> = index.directories.iter().map(|directory| directory.0.as_str()).collect();
        for path in index.files.iter().map(FileEntry::path).chain(index.links.iter().map(|link| link.0.as_str())) {
            let mut above = path;
            while let Some((parent, _)) = above.rsplit_once('/') {
                directories.insert(parent);
                above = parent;
            }
        }
        let root = &roots[placed.root].work;
        // A tablespace directory may be shared with a cluster of another version, beside our own directory in it.
        let shared = placed.stream.as_str() != BASE_STREAM;
        let known = Known { files, links, directories, shared };
        remove_foreign(root, root, &known, &mut removed)?;
    }
    Ok(removed)
}

struct Known<'a> {
    files: HashSet<&'a str>,
    links: HashSet<&'a str>,
    directories: HashSet<&'a str>,
    shared: bool,
}

fn remove_foreign(root: &Path, dir: &Path, known: &Known<'_>, removed: &mut u64) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let metadata = fs::symlink_metadata(&path).map_err(failed(&path))?;
        let below = path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
        let is_top = dir == root;
        if is_top && (below == marker::NAME || below == "lost+found") {
            continue;
        }
        if metadata.is_dir() && known.directories.contains(below) {
            remove_foreign(root, &path, known, removed)?;
            continue;
        }
        let is_kept = metadata.is_file() && known.files.contains(below)
            || metadata.is_symlink() && known.links.contains(below)
            || is_top && known.shared;
        if !is_kept {
            let gone = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(failed(&path))?;
            *removed += 1;
        }
    }
    Ok(())
}
