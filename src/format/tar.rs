//! Where the files lie in a tar that PostgreSQL sends: found while the bytes pass by, so that the tar itself can be stored as
//! it comes and single files can be read by range later.
//!
//! PostgreSQL writes plain ustar headers (`src/port/tar.c`): names of at most 99 bytes, a size of 8 GiB and more in base 256,
//! and nothing but files, directories and symbolic links. Before version 15 the two blocks of zeros at the end are missing.

use tar::{EntryType, Header};

use super::manifest::{DirectoryEntry, FileEntry, LinkEntry, StreamIndex};
use super::{Error, Result};
use crate::limits::{FILE_INDEX_BYTES_MAX, TAR_BLOCK_BYTES};

#[cfg(test)]
mod tests;

const WHAT: &str = "tar of the base backup";

/// Reads headers and passes over contents.
#[derive(Debug)]
pub struct TarIndexer {
    header: Vec<u8>,
    offset: u64,
    /// Bytes of the current file and its padding that are still to come.
    skip: u64,
    /// Blocks of zeros seen; after the first no header may follow.
    ended: bool,
    index: StreamIndex,
    json_bytes: u64,
}

impl Default for TarIndexer {
    fn default() -> Self {
        Self::new()
    }
}

impl TarIndexer {
    /// Before the first byte of a tar.
    pub fn new() -> Self {
        let header = Vec::with_capacity(TAR_BLOCK_BYTES);
        Self { header, offset: 0, skip: 0, ended: false, index: StreamIndex::default(), json_bytes: 0 }
    }

    /// Takes the next bytes of the tar.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let wanted = if self.skip > 0 { self.skip } else { (TAR_BLOCK_BYTES - self.header.len()) as u64 };
            let (now, later) = bytes.split_at(usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len()));
            bytes = later;
            self.offset += now.len() as u64;
            if self.skip > 0 {
                self.skip -= now.len() as u64;
                continue;
            }
            self.header.extend_from_slice(now);
            if self.header.len() == TAR_BLOCK_BYTES {
                let block = std::mem::take(&mut self.header);
                self.block(&block)?;
                self.header = block;
                self.header.clear();
            }
        }
        Ok(())
    }

    /// What it held. A tar that ends inside a file or a header is none.
    pub fn finish(mut self) -> Result<StreamIndex> {
        if self.skip > 0 || !self.header.is_empty() {
            return Err(Error::Short(WHAT));
        }
        self.index.keep_last_of_each();
        Ok(self.index)
    }

    /// Bytes that the index takes in the manifest so far, as JSON, rounded up.
    pub fn json_bytes(&self) -> u64 {
        self.json_bytes
    }

    fn block(&mut self, block: &[u8]) -> Result<()> {
        if block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(());
        }
        if self.ended {
            return malformed("a file follows its end");
        }
        let header = Header::from_byte_slice(block);
        check_sum(header, block)?;
        let path = header.path_bytes();
        let path = text(&path)?.trim_end_matches('/');
        // PostgreSQL writes some of its own directories so.
        let path = path.strip_prefix("./").unwrap_or(path).to_owned();
        super::manifest::check_path(&path)?;
        self.json_bytes += 64 + path.len() as u64;
        let mode = header.mode().map_err(|e| fault(&path, &e))? & 0o7777;
        match header.entry_type() {
            EntryType::Regular => {
                let bytes = header.entry_size().map_err(|e| fault(&path, &e))?;
                self.skip = bytes.checked_next_multiple_of(TAR_BLOCK_BYTES as u64).ok_or(Error::TooLong)?;
                self.offset.checked_add(self.skip).ok_or(Error::TooLong)?;
                self.index.files.push(FileEntry(path, self.offset, bytes, mode));
            }
            EntryType::Directory => self.index.directories.push(DirectoryEntry(path, mode)),
            EntryType::Symlink => {
                let target = header.link_name_bytes().unwrap_or_default();
                let target = text(&target)?.to_owned();
                self.json_bytes += target.len() as u64;
                self.index.links.push(LinkEntry(path, target));
            }
            other => return malformed(&format!("{path} is of type {other:?}, which PostgreSQL does not write")),
        }
        if self.json_bytes > FILE_INDEX_BYTES_MAX {
            return Err(Error::Absurd { what: "file index", claimed: self.json_bytes, max: FILE_INDEX_BYTES_MAX });
        }
        Ok(())
    }
}

/// The sum of all bytes, with the field of the sum itself read as blanks.
fn check_sum(header: &Header, block: &[u8]) -> Result<()> {
    let field = 148..156;
    let sum: u32 = (0..).zip(block).map(|(at, byte)| if field.contains(&at) { 32 } else { u32::from(*byte) }).sum();
    match header.cksum() {
        Ok(expected) if expected == sum => Ok(()),
        _ => malformed("the checksum of a header is wrong"),
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| {
        let name = String::from_utf8_lossy(bytes).into_owned();
        Error::Malformed { what: WHAT, why: format!("the file name {name:?} is not UTF-8") }
    })
}

fn fault(path: &str, error: &std::io::Error) -> Error {
    Error::Malformed { what: WHAT, why: format!("{path}: {error}") }
}

fn malformed<T>(why: &str) -> Result<T> {
    Err(Error::Malformed { what: WHAT, why: why.to_owned() })
}
