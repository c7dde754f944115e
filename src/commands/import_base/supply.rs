//! The files of a WAL directory, and how they are handed to a push.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::fault::{Fault, io_fault};
use super::unpack::{self, plain_name};
use crate::commands::wal_push::Supply;
use crate::commands::{Error, Result};
use crate::format::{SegmentSize, WalFileName};
use crate::limits::{WAL_FILE_BYTES_MAX, WAL_PUSHES};

/// A file of a WAL directory.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) path: PathBuf,
    /// What it is stored as.
    pub(super) name: WalFileName,
}

impl Item {
    /// Whether its own name says that it was not finished.
    pub(super) fn is_called_partial(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        plain_name(&name).ends_with(".partial")
    }
}

/// The WAL files of a directory, every copy of each: first the one that is not compressed.
pub(super) fn list(directory: &Path) -> Result<Vec<Item>, Fault> {
    if directory.join("archive_status").exists() {
        let why = "it is the pg_wal of a server, whose last segments are not finished".into();
        let way_out = "push it by `stonewal wal push --from DIR`, which knows which are, and import without --wal";
        return Err(Fault::Refused { path: directory.to_owned(), why, way_out });
    }
    let mut items: BTreeMap<(String, bool, PathBuf), Item> = BTreeMap::new();
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
        items.insert((plain.to_owned(), plain != text, path.clone()), Item { path, name });
    }
    if items.is_empty() {
        let why = "it holds no WAL".into();
        let way_out = "give the directory that pg_receivewal or archive_command filled; names such as 000000010000000000000007, also with .gz, .zst, .lz4 or .partial";
        return Err(Fault::Refused { path: directory.to_owned(), why, way_out });
    }
    Ok(items.into_values().collect())
}

/// Hands files to a push a few at a time; those that are not called what they are stored as through a directory of their own.
pub(super) struct Unpacked {
    items: std::vec::IntoIter<Item>,
    segment: SegmentSize,
    spool: Option<tempfile::TempDir>,
}

impl Unpacked {
    pub(super) fn new(items: Vec<Item>, segment: SegmentSize) -> Self {
        Self { items: items.into_iter(), segment, spool: None }
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
        let segment = self.segment;
        let unpacked = tokio::task::spawn_blocking(move || unpack_all(&batch, segment)).await;
        let (paths, spool) = unpacked.map_err(crate::catalog::Error::Worker)??;
        self.spool = spool;
        Ok(Some(paths))
    }
}

fn unpack_all(batch: &[Item], segment: SegmentSize) -> Result<(Vec<PathBuf>, Option<tempfile::TempDir>)> {
    let (mut paths, mut spool) = (Vec::new(), None);
    for item in batch {
        if item.path.file_name().is_some_and(|file| file.to_string_lossy() == item.name.to_string()) {
            paths.push(item.path.clone());
            continue;
        }
        let folder = match spool.take() {
            Some(folder) => folder,
            None => tempfile::Builder::new().prefix("stonewal-import").tempdir().map_err(|error| unwritten(&error))?,
        };
        let to = folder.path().join(item.name.to_string());
        unpack(item, &to, segment)?;
        paths.push(to);
        spool = Some(folder);
    }
    Ok((paths, spool))
}

/// Unpacks one file, which has been seen to be no longer than what it is; one that swells beyond that now is not taken.
fn unpack(item: &Item, to: &Path, segment: SegmentSize) -> Result<()> {
    let most = match item.name {
        WalFileName::Segment(_) | WalFileName::Partial(_) => segment.bytes(),
        WalFileName::History(_) | WalFileName::BackupHistory(..) => WAL_FILE_BYTES_MAX as u64,
    };
    let mut content = unpack::open(&item.path)?.take(most + 1);
    let mut file = std::fs::File::create(to).map_err(|error| unwritten(&error))?;
    let bytes = std::io::copy(&mut content, &mut file).map_err(io_fault(&item.path))?;
    if bytes > most {
        return Err(Fault::damaged(&item.path, format!("it has more than the {most} bytes that it had before")).into());
    }
    Ok(())
}

fn unwritten(error: &std::io::Error) -> Error {
    Error::File { path: std::env::temp_dir(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_what_is_unpacked_is_no_longer_than_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000002.history.gz");
        let write = |bytes: usize| {
            let file = std::fs::File::create(&path).unwrap();
            let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            std::io::Write::write_all(&mut packed, &vec![b'x'; bytes]).unwrap();
            packed.finish().unwrap();
        };
        let item = Item { path: path.clone(), name: "00000002.history".parse().unwrap() };
        let unpacked = || unpack_all(std::slice::from_ref(&item), SegmentSize::DEFAULT);
        write(WAL_FILE_BYTES_MAX);
        let (paths, spool) = unpacked().unwrap();
        assert_eq!(std::fs::metadata(&paths[0]).unwrap().len(), WAL_FILE_BYTES_MAX as u64);
        drop(spool);
        write(WAL_FILE_BYTES_MAX + 1);
        assert!(unpacked().unwrap_err().to_string().contains("it has more than"));
        let segment = Item { path: path.clone(), name: "000000010000000000000001".parse().unwrap() };
        write((1 << 20) + 1);
        let unpacked = |size| unpack_all(std::slice::from_ref(&segment), SegmentSize::new(size).unwrap());
        assert!(unpacked(1 << 20).is_err() && unpacked(2 << 20).is_ok());
    }

    #[test]
    fn every_copy_is_listed_and_the_plain_one_first() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["000000010000000000000001.gz", "000000010000000000000001", "00000002.history", "notes.txt"];
        for name in names {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let found = list(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|item| item.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(found, [names[1], names[0], names[2]]);
    }
}
