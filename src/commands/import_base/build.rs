//! The streams that a backup becomes: tars of the form that PostgreSQL sends, with the WAL in the data directory's.

use std::io::{self, Read, Write};
use std::path::Path;

use tar::{EntryType, Header};

use super::check::{Checker, copy};
use super::entries::{self, Entry, Kind};
use super::fault::{Fault, io_fault};
use super::survey::{Survey, each_of_base, each_of_space};
use super::unpack;
use super::wal::{self, At};
use crate::limits::TAR_BLOCK_BYTES;

/// Not stored: what is a stream or a link of its own, and what would make a restored cluster something else.
const LEFT_OUT: [&str; 4] = ["backup_manifest", "tablespace_map", "recovery.signal", "standby.signal"];

/// Writes the data directory. Files are checked once more: what is stored is what was checked.
pub(super) fn base(survey: &Survey, out: &mut dyn Write) -> Result<(), Fault> {
    let place = &survey.place;
    let mut checker = Checker::new(&place.given, &survey.manifest.files);
    let mut segments = 0;
    each_of_base(place, &mut |entry, content| {
        if let Some(name) = entry.path.strip_prefix("pg_wal/") {
            return match wal::segment(name, entry) {
                Some(name) if survey.needs.contains(&(name, At::Base)) => {
                    segments += 1;
                    segment(survey, entry, name, content, out)
                }
                _ if entry.kind == Kind::Directory => put(&place.given, entry, out),
                _ => Ok(()),
            };
        }
        match entry.kind {
            Kind::Link(_) => Ok(()),
            Kind::Directory if is_link_of_a_space(survey, &entry.path) => Ok(()),
            Kind::Directory => put(&place.given, entry, out),
            Kind::File if LEFT_OUT.contains(&entry.path.as_str()) => {
                checker.copy(&entry.path, entry, content, &mut io::sink())
            }
            Kind::File => {
                put(&place.given, entry, out)?;
                checker.copy(&entry.path, entry, content, out)?;
                pad(&place.given, entry.bytes, out)
            }
        }
    })?;
    // It may have been changed since it was surveyed.
    checker.finish_where(|path| !survey.spaces.keys().any(|oid| path.starts_with(&format!("pg_tblspc/{oid}/"))))?;
    for (oid, location) in &survey.spaces {
        let entry = Entry {
            path: format!("pg_tblspc/{oid}"),
            kind: Kind::Link(location.clone()),
            bytes: 0,
            mode: 0o777,
            mtime: 0,
        };
        put(&place.given, &entry, out)?;
    }
    segments += wal(survey, out)?;
    if segments != survey.needs.len() {
        let why = format!("{segments} of the {} WAL segments that it needs are there", survey.needs.len());
        return Err(Fault::damaged(&place.given, why));
    }
    end(&place.given, out)
}

/// Writes a tablespace.
pub(super) fn space(survey: &Survey, oid: u32, location: &str, out: &mut dyn Write) -> Result<(), Fault> {
    let place = &survey.place.given;
    let mut checker = Checker::new(place, &survey.manifest.files);
    each_of_space(&survey.place, oid, location, &mut |entry, content| {
        put(place, entry, out)?;
        if entry.kind != Kind::File {
            return Ok(());
        }
        checker.copy(&format!("pg_tblspc/{oid}/{}", entry.path), entry, content, out)?;
        pad(place, entry.bytes, out)
    })?;
    checker.finish_where(|path| path.starts_with(&format!("pg_tblspc/{oid}/")))?;
    end(place, out)
}

fn is_link_of_a_space(survey: &Survey, path: &str) -> bool {
    path.strip_prefix("pg_tblspc/").is_some_and(|oid| oid.parse().is_ok_and(|oid| survey.spaces.contains_key(&oid)))
}

/// The segments that do not lie in the data directory's own tar; how many.
fn wal(survey: &Survey, out: &mut dyn Write) -> Result<usize, Fault> {
    let (mut tars, mut segments) = (Vec::<&Path>::new(), 0);
    for (name, at) in &survey.needs {
        match at {
            At::Base => {}
            At::Tar(tar) if tars.contains(&tar.as_path()) => {}
            At::Tar(tar) => tars.push(tar),
            At::File(path) => {
                let bytes = survey.identity.segment_bytes.bytes();
                let entry = Entry { path: String::new(), kind: Kind::File, bytes, mode: 0o600, mtime: 0 };
                segment(survey, &entry, *name, &mut *unpack::open(path)?, out)?;
                segments += 1;
            }
        }
    }
    for tar in tars {
        let at = At::Tar(tar.to_owned());
        entries::of_tar(tar, &mut |entry, content| match wal::segment(&entry.path, entry) {
            Some(name) if survey.needs.contains(&(name, at.clone())) => {
                segments += 1;
                segment(survey, entry, name, content, out)
            }
            _ => Ok(()),
        })?;
    }
    Ok(segments)
}

fn segment(
    survey: &Survey,
    entry: &Entry,
    name: crate::format::SegmentName,
    content: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<(), Fault> {
    let (place, bytes) = (&survey.place.given, survey.identity.segment_bytes.bytes());
    if entry.bytes != bytes {
        return Err(Fault::damaged(place, format!("WAL segment {name} has {} bytes instead of {bytes}", entry.bytes)));
    }
    let entry = Entry { path: format!("pg_wal/{name}"), mode: 0o600, ..entry.clone() };
    put(place, &entry, out)?;
    copy(place, &entry.path, bytes, content, out, |_| {})?;
    pad(place, bytes, out)
}

/// A header as PostgreSQL writes it.
fn put(place: &Path, entry: &Entry, out: &mut dyn Write) -> Result<(), Fault> {
    let mut header = Header::new_ustar();
    let named = header.set_path(&entry.path).and_then(|()| match &entry.kind {
        Kind::Link(target) => header.set_link_name_literal(target),
        _ => Ok(()),
    });
    named.map_err(|error| Fault::damaged(place, format!("{}: {error}", entry.path)))?;
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
    out.write_all(header.as_bytes()).map_err(io_fault(place))
}

fn pad(place: &Path, bytes: u64, out: &mut dyn Write) -> Result<(), Fault> {
    let zeros = [0; TAR_BLOCK_BYTES];
    let over = usize::try_from(bytes % TAR_BLOCK_BYTES as u64).unwrap_or(0);
    let missing = if over == 0 { 0 } else { TAR_BLOCK_BYTES - over };
    out.write_all(&zeros[..missing]).map_err(io_fault(place))
}

fn end(place: &Path, out: &mut dyn Write) -> Result<(), Fault> {
    out.write_all(&[0; 2 * TAR_BLOCK_BYTES]).map_err(io_fault(place))?;
    out.flush().map_err(io_fault(place))
}
