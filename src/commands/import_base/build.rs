//! The streams that a backup becomes: tars of the form that PostgreSQL sends, with the WAL in the data directory's.

use std::io::{self, Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256};

use super::blocks::{end, pad, put};
use super::check::{Checker, copy};
use super::copies::At;
use super::entries::{self, Entry, Kind};
use super::fault::Fault;
use super::survey::{Survey, each_of_base, each_of_space};
use super::wal::{self, Need};
use super::{spaces, unpack};

/// Not stored: what is a stream or a link of its own, and what would make a restored cluster something else.
const LEFT_OUT: [&str; 4] = ["backup_manifest", "tablespace_map", "recovery.signal", "standby.signal"];

/// Writes the data directory. Files are checked once more: what is stored is what was checked.
pub(super) fn base(survey: &Survey, out: &mut dyn Write) -> Result<(), Fault> {
    let place = &survey.place;
    let mut checker = Checker::new(&place.given, &survey.manifest.files);
    let mut segments = 0;
    each_of_base(place, &mut |entry, content| {
        if let Some(name) = entry.path.strip_prefix("pg_wal/") {
            return match needed(survey, name, entry, &At::Base) {
                Some(need) => {
                    segments += 1;
                    segment(survey, entry, need, content, out)
                }
                None if entry.kind == Kind::Directory => put(&place.given, entry, out),
                None => Ok(()),
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
    checker.finish_where(|path| spaces::holding(path).is_none_or(|oid| !survey.spaces.contains_key(&oid)))?;
    for (oid, location) in &survey.spaces {
        put(&place.given, &spaces::link(*oid, location), out)?;
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
        checker.copy(&spaces::listed(oid, &entry.path), entry, content, out)?;
        pad(place, entry.bytes, out)
    })?;
    checker.finish_where(|path| spaces::holding(path) == Some(oid))?;
    end(place, out)
}

fn is_link_of_a_space(survey: &Survey, path: &str) -> bool {
    spaces::of_link(path).is_some_and(|oid| survey.spaces.contains_key(&oid))
}

/// The segment that is needed from where an entry lies, `name` being that below `pg_wal`.
fn needed<'s>(survey: &'s Survey, name: &str, entry: &Entry, at: &At) -> Option<&'s Need> {
    let name = wal::segment(name, entry)?;
    survey.needs.iter().find(|need| need.name == name && need.at == *at)
}

/// The segments that do not lie in the data directory's own tar; how many.
fn wal(survey: &Survey, out: &mut dyn Write) -> Result<usize, Fault> {
    let (mut tars, mut segments) = (Vec::<&Path>::new(), 0);
    for need in &survey.needs {
        match &need.at {
            At::Base => {}
            At::Tar(tar) if tars.contains(&tar.as_path()) => {}
            At::Tar(tar) => tars.push(tar),
            At::File(path) => {
                let bytes = survey.identity.segment_bytes.bytes();
                let entry = Entry { path: String::new(), kind: Kind::File, bytes, mode: 0o600, mtime: 0 };
                segment(survey, &entry, need, &mut *unpack::open(path)?, out)?;
                segments += 1;
            }
        }
    }
    for tar in tars {
        let at = At::Tar(tar.to_owned());
        entries::of_tar(tar, &mut |entry, content| match needed(survey, &entry.path, entry, &at) {
            Some(need) => {
                segments += 1;
                segment(survey, entry, need, content, out)
            }
            None => Ok(()),
        })?;
    }
    Ok(segments)
}

/// Writes a segment, which must be what it was when all was looked at.
fn segment(
    survey: &Survey,
    entry: &Entry,
    need: &Need,
    content: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<(), Fault> {
    let (place, bytes) = (&survey.place.given, survey.identity.segment_bytes.bytes());
    let changed = || Fault::damaged(place, format!("WAL segment {} was changed while it was imported", need.name));
    if entry.bytes != bytes {
        return Err(changed());
    }
    let entry = Entry { path: format!("pg_wal/{}", need.name), mode: 0o600, ..entry.clone() };
    put(place, &entry, out)?;
    let mut sum = Context::new(&SHA256);
    copy(place, &entry.path, bytes, content, out, |bytes| sum.update(bytes))?;
    if sum.finish().as_ref() != need.sum {
        return Err(changed());
    }
    pad(place, bytes, out)
}
