//! Files against PostgreSQL's manifest, while their bytes pass by.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256, SHA384, SHA512};

use super::entries::Entry;
use super::fault::{Fault, io_fault};
use super::papers::Listed;
use crate::format::hex;

const PIECE_BYTES: usize = 256 << 10;

/// Files that pg_basebackup writes beside the manifest, or adds to.
const UNLISTED: [&str; 4] = ["backup_manifest", "postgresql.auto.conf", "recovery.signal", "standby.signal"];

/// What the manifest says, and what was seen of it.
pub(super) struct Checker<'m> {
    /// Where the backup is, for errors.
    place: &'m Path,
    listed: &'m HashMap<String, Listed>,
    seen: HashSet<&'m str>,
}

impl<'m> Checker<'m> {
    pub(super) fn new(place: &'m Path, listed: &'m HashMap<String, Listed>) -> Self {
        Self { place, listed, seen: HashSet::new() }
    }

    /// Copies a file and compares it; `path` is that below the data directory.
    pub(super) fn copy(
        &mut self,
        path: &str,
        entry: &Entry,
        content: &mut dyn Read,
        out: &mut dyn Write,
    ) -> Result<(), Fault> {
        if UNLISTED.contains(&path) {
            self.seen.extend(self.listed.get_key_value(path).map(|(name, _)| name.as_str()));
            return copy(self.place, path, entry.bytes, content, out, |_| {});
        }
        let damaged = |why: String| Fault::damaged(self.place, format!("{path} {why}"));
        let Some((name, listed)) = self.listed.get_key_value(path) else {
            return Err(damaged("is not in backup_manifest: it does not belong to this backup".into()));
        };
        if listed.size != entry.bytes {
            return Err(damaged(format!("has {} bytes, and backup_manifest says {}", entry.bytes, listed.size)));
        }
        let mut sum = Sum::of(listed.algorithm.as_deref());
        copy(self.place, path, entry.bytes, content, out, |bytes| sum.update(bytes))?;
        let expected = listed.checksum.as_deref().unwrap_or_default();
        if sum.finish().is_some_and(|found| found != expected) {
            return Err(damaged("is damaged: its checksum is not the one in backup_manifest".into()));
        }
        if !self.seen.insert(name) {
            return Err(damaged("is there twice".into()));
        }
        Ok(())
    }

    /// Everything must have been there.
    pub(super) fn finish(self) -> Result<(), Fault> {
        self.finish_where(|_| true)
    }

    /// Everything that belongs there must have been.
    pub(super) fn finish_where(self, belongs: impl Fn(&str) -> bool) -> Result<(), Fault> {
        let mut missing: Vec<&str> =
            self.listed.keys().map(String::as_str).filter(|name| belongs(name) && !self.seen.contains(name)).collect();
        missing.retain(|name| !UNLISTED.contains(name));
        missing.sort_unstable();
        match missing.first() {
            None => Ok(()),
            Some(first) => {
                let why = format!("{first} is missing ({} of the files in backup_manifest are)", missing.len());
                Err(Fault::damaged(self.place, why))
            }
        }
    }
}

/// Moves exactly `bytes`.
pub(super) fn copy(
    place: &Path,
    path: &str,
    bytes: u64,
    content: &mut dyn Read,
    out: &mut dyn Write,
    mut look: impl FnMut(&[u8]),
) -> Result<(), Fault> {
    let (mut buffer, mut left) = (vec![0; PIECE_BYTES], bytes);
    let mut content = content.take(bytes);
    while left > 0 {
        let count = content.read(&mut buffer).map_err(io_fault(place))?;
        if count == 0 {
            return Err(Fault::damaged(place, format!("{path} is cut off: {left} of its {bytes} bytes are missing")));
        }
        look(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(io_fault(place))?;
        left -= count as u64;
    }
    Ok(())
}

/// A checksum as PostgreSQL writes it; `None` where there is none, or one that is not computed here.
enum Sum {
    None,
    Crc(crc_fast::Digest),
    Sha(Context),
}

impl Sum {
    fn of(algorithm: Option<&str>) -> Self {
        match algorithm {
            Some("CRC32C") => Self::Crc(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi)),
            Some("SHA256") => Self::Sha(Context::new(&SHA256)),
            Some("SHA384") => Self::Sha(Context::new(&SHA384)),
            Some("SHA512") => Self::Sha(Context::new(&SHA512)),
            _ => Self::None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc(digest) => digest.update(bytes),
            Self::Sha(context) => context.update(bytes),
        }
    }

    fn finish(self) -> Option<String> {
        match self {
            Self::None => None,
            // Written as the bytes of the number lie in memory.
            Self::Crc(digest) => {
                let sum = u32::try_from(digest.finalize()).unwrap_or(u32::MAX);
                Some(hex(&sum.to_le_bytes()))
            }
            Self::Sha(context) => Some(hex(context.finish().as_ref())),
        }
    }
}
