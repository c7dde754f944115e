//! The WAL that came with a backup: in a tar, in the data directory, in directories that `pg_receivewal` or an archive filled.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::entries::{self, Entry, Kind};
use super::fault::{Fault, io_fault};
use super::unpack::{self, plain_name};
use crate::commands::wal_push::Supply;
use crate::commands::{Error, Result};
use crate::format::wal::SegmentHeader;
use crate::format::{SegmentName, SegmentSize, WalFileName};
use crate::limits::WAL_PUSHES;

/// Where a segment is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// In the tar of the data directory.
    Base,
    /// In `pg_wal.tar`.
    Tar(PathBuf),
    /// A file, compressed or not.
    File(PathBuf),
}

/// Segments by name, with the first place where each was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    segments: BTreeMap<String, At>,
    /// Whose they are: all of one cluster.
    identity: Option<(u64, SegmentSize, PathBuf)>,
}

impl Found {
    /// Takes note of a segment after a look at how it begins. What follows is not read.
    pub(super) fn look(
        &mut self,
        place: &Path,
        name: SegmentName,
        at: At,
        content: &mut dyn Read,
    ) -> Result<(), Fault> {
        self.check(place, name, content)?;
        self.segments.entry(name.to_string()).or_insert(at);
        Ok(())
    }

    fn check(&mut self, place: &Path, name: SegmentName, content: &mut dyn Read) -> Result<(), Fault> {
        let mut head = Vec::new();
        content.take(SegmentHeader::BYTES as u64).read_to_end(&mut head).map_err(io_fault(place))?;
        let damaged = |why: String| Fault::damaged(place, format!("{name}: {why}"));
        let header = SegmentHeader::read(&head).map_err(|error| damaged(error.to_string()))?;
        header.expect(name, header.segment_bytes.bytes()).map_err(|error| damaged(error.to_string()))?;
        let (owner, size, _) =
            self.identity.get_or_insert((header.system_identifier, header.segment_bytes, place.to_owned()));
        if (*owner, *size) != (header.system_identifier, header.segment_bytes) {
            let why = format!("it is WAL of cluster {}, and other WAL is of {owner}", header.system_identifier);
            return Err(damaged(why));
        }
        Ok(())
    }

    /// Everything in `pg_wal.tar`.
    pub(super) fn look_into_tar(&mut self, tar: &Path) -> Result<(), Fault> {
        entries::of_tar(tar, &mut |entry, content| match segment(&entry.path, entry) {
            Some(name) => self.look(tar, name, At::Tar(tar.to_owned()), content),
            None => Ok(()),
        })
    }

    /// Every segment among files. A partial may not have all that a backup needs, and only its beginning is looked at.
    pub(super) fn look_at(&mut self, files: &[Item]) -> Result<(), Fault> {
        for Item { path, name } in files {
            match *name {
                WalFileName::Segment(name) => {
                    self.look(path, name, At::File(path.clone()), &mut *unpack::open(path)?)?;
                }
                WalFileName::Partial(name) => self.check(path, name, &mut *unpack::open(path)?)?,
                WalFileName::History(_) | WalFileName::BackupHistory(..) => {}
            }
        }
        Ok(())
    }

    pub(super) fn identity(&self) -> Option<(u64, SegmentSize, &Path)> {
        self.identity.as_ref().map(|(owner, size, place)| (*owner, *size, place.as_path()))
    }

    pub(super) fn at(&self, name: SegmentName) -> Option<&At> {
        self.segments.get(&name.to_string())
    }
}

/// The segment that a regular entry of a tar is, `name` being that below `pg_wal`.
pub(super) fn segment(name: &str, entry: &Entry) -> Option<SegmentName> {
    match name.parse() {
        Ok(WalFileName::Segment(segment)) if entry.kind == Kind::File => Some(segment),
        _ => None,
    }
}

/// A file of a WAL directory.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) path: PathBuf,
    pub(super) name: WalFileName,
}

/// The WAL files of a directory, segments before the small files, which do not say whose they are.
pub(super) fn list(directory: &Path) -> Result<Vec<Item>, Fault> {
    if directory.join("archive_status").exists() {
        let why = "it is the pg_wal of a server, whose last segments are not finished".into();
        let way_out = "push it by `stonewal wal push --from DIR`, which knows which are, and import without --wal";
        return Err(Fault::Refused { path: directory.to_owned(), why, way_out });
    }
    let mut items: BTreeMap<(bool, String), Item> = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(io_fault(directory))? {
        let path = entry.map_err(io_fault(directory))?.path();
        let text = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = plain_name(&text);
        let Ok(name) = plain.parse::<WalFileName>() else {
            if text.len() > 24 && text.as_bytes()[..24].iter().all(u8::is_ascii_hexdigit) {
                let why = "it is WAL in a form that is not read".into();
                let way_out = "unpack or decrypt it, or move it elsewhere if it is not wanted; read are segments, .gz, .zst, .lz4 and .partial";
                return Err(Fault::Refused { path, why, way_out });
            }
            continue;
        };
        let is_small = matches!(name, WalFileName::History(_) | WalFileName::BackupHistory(..));
        // Where a file is there twice, the one that is not compressed counts.
        if plain == text || !items.contains_key(&(is_small, plain.to_owned())) {
            items.insert((is_small, plain.to_owned()), Item { path, name });
        }
    }
    if items.is_empty() {
        let why = "it holds no WAL".into();
        let way_out = "give the directory that pg_receivewal or archive_command filled; names such as 000000010000000000000007, also with .gz, .zst, .lz4 or .partial";
        return Err(Fault::Refused { path: directory.to_owned(), why, way_out });
    }
    Ok(items.into_values().collect())
}

/// Hands files to a push a few at a time; compressed ones through a directory of their own.
pub(super) struct Unpacked {
    pub(super) items: std::vec::IntoIter<Item>,
    spool: Option<tempfile::TempDir>,
}

impl Unpacked {
    pub(super) fn new(items: Vec<Item>) -> Self {
        Self { items: items.into_iter(), spool: None }
    }
}

impl Supply for Unpacked {
    async fn next(&mut self) -> Result<Option<Vec<PathBuf>>> {
        // What was handed out before is stored.
        self.spool = None;
        let batch: Vec<Item> = self.items.by_ref().take(WAL_PUSHES).collect();
        if batch.is_empty() {
            return Ok(None);
        }
        let unpacked = tokio::task::spawn_blocking(move || unpack_all(&batch)).await;
        let (paths, spool) = unpacked.map_err(crate::catalog::Error::Worker)??;
        self.spool = spool;
        Ok(Some(paths))
    }
}

fn unpack_all(batch: &[Item]) -> Result<(Vec<PathBuf>, Option<tempfile::TempDir>)> {
    let (mut paths, mut spool) = (Vec::new(), None);
    for Item { path, name } in batch {
        if path.file_name().is_some_and(|file| file.to_string_lossy() == name.to_string()) {
            paths.push(path.clone());
            continue;
        }
        let failed = |error: std::io::Error| Error::File { path: std::env::temp_dir(), why: error.to_string() };
        let folder = match spool.take() {
            Some(folder) => folder,
            None => tempfile::Builder::new().prefix("stonewal-import").tempdir().map_err(failed)?,
        };
        let to = folder.path().join(name.to_string());
        let mut content = unpack::open(path)?;
        let mut file = std::fs::File::create(&to).map_err(failed)?;
        // No segment is longer; a file that swells beyond is none.
        let mut content = (&mut content).take(u64::from(u32::MAX));
        std::io::copy(&mut content, &mut file).map_err(io_fault(path))?;
        paths.push(to);
        spool = Some(folder);
    }
    Ok((paths, spool))
}
