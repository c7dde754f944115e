//! Parts of a tar of the form that PostgreSQL sends.

use std::io::Write;
use std::path::Path;

use tar::{EntryType, Header};

use super::entries::{Entry, Kind};
use super::fault::{Fault, io_fault};
use crate::limits::TAR_BLOCK_BYTES;

/// The header of an entry as PostgreSQL writes it, or why there is none.
pub(super) fn header(place: &Path, entry: &Entry) -> Result<Header, Fault> {
    let mut header = Header::new_ustar();
    let named = header.set_path(&entry.path).and_then(|()| match &entry.kind {
        Kind::Link(target) => header.set_link_name_literal(target),
        _ => Ok(()),
    });
    named.map_err(|error| Fault::damaged(place, format!("{}: no backup has such a name: {error}", entry.path)))?;
    header.set_entry_type(match entry.kind {
        Kind::File => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Link(_) => EntryType::Symlink,
    });
    header.set_size(if entry.kind == Kind::File { entry.bytes } else { 0 });
    header.set_mode(entry.mode);
    header.set_mtime(entry.mtime);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(header)
}

/// Writes the header of an entry.
pub(super) fn put(place: &Path, entry: &Entry, out: &mut dyn Write) -> Result<(), Fault> {
    out.write_all(header(place, entry)?.as_bytes()).map_err(io_fault(place))
}

/// Fills up the last block of a file.
pub(super) fn pad(place: &Path, bytes: u64, out: &mut dyn Write) -> Result<(), Fault> {
    let zeros = [0; TAR_BLOCK_BYTES];
    let over = usize::try_from(bytes % TAR_BLOCK_BYTES as u64).unwrap_or(0);
    let missing = if over == 0 { 0 } else { TAR_BLOCK_BYTES - over };
    out.write_all(&zeros[..missing]).map_err(io_fault(place))
}

/// Writes what a tar ends with.
pub(super) fn end(place: &Path, out: &mut dyn Write) -> Result<(), Fault> {
    out.write_all(&[0; 2 * TAR_BLOCK_BYTES]).map_err(io_fault(place))?;
    out.flush().map_err(io_fault(place))
}
