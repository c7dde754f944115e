//! Everything is read once before anything is stored: what the backup is, whether all of it is there and whole.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::Checker;
use super::copies::At;
use super::entries::{self, Entry, Kind};
use super::fault::{Fault, io_fault};
use super::papers::{self, Label, MAJOR_MIN, Manifest};
use super::place::{Form, Place};
use super::wal::{self, Chosen, Found, Need};
use super::{blocks, spaces, supply};
use crate::catalog::ClusterIdentity;
use crate::limits::{BACKUP_PAPER_BYTES_MAX, MANIFEST_BYTES_MAX};

/// What is known of a backup that is whole.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) place: Place,
    pub(super) label: Label,
    pub(super) manifest: Manifest,
    /// PostgreSQL's own text of it.
    pub(super) manifest_text: Vec<u8>,
    pub(super) major: u32,
    pub(super) identity: ClusterIdentity,
    /// Tablespaces by OID, with their directories on the source.
    pub(super) spaces: BTreeMap<u32, String>,
    /// The WAL that makes it consistent.
    pub(super) needs: Vec<Need>,
    /// Bytes of its files.
    pub(super) bytes: u64,
    /// What is stored of the WAL directory.
    pub(super) wal: Chosen,
}

/// Small files that tell what the rest is.
#[derive(Default)]
struct Papers {
    label: Vec<u8>,
    map: Vec<u8>,
    version: Vec<u8>,
    control: Vec<u8>,
}

impl Papers {
    /// Where a file is kept that tells something. It is read into memory, so it may not be of any length (invariant I12).
    fn of(&mut self, place: &Place, entry: &Entry) -> Result<Option<&mut Vec<u8>>, Fault> {
        let paper = match entry.path.as_str() {
            "backup_label" => &mut self.label,
            "tablespace_map" => &mut self.map,
            "PG_VERSION" => &mut self.version,
            "global/pg_control" => &mut self.control,
            _ => return Ok(None),
        };
        if entry.bytes > BACKUP_PAPER_BYTES_MAX {
            let why = format!("{} has {} bytes, and should be a few lines or one page", entry.path, entry.bytes);
            return Err(Fault::damaged(&place.given, why));
        }
        Ok(Some(paper))
    }
}

/// Reads all of it.
pub(super) fn survey(given: &Path, wal: Option<&Path>) -> Result<Arc<Survey>, Fault> {
    let place = Place::find(given)?;
    let given = wal.map(supply::list).transpose()?.unwrap_or_default();
    let manifest_text = read_bounded(&place.manifest)?;
    let manifest = Manifest::read(&place.manifest, &manifest_text)?;
    let (mut papers, mut found) = (Papers::default(), Found::new(manifest.range()));
    let (mut spaces, mut bytes) = (BTreeMap::new(), 0);
    let mut checker = Checker::new(&place.given, &manifest.files);
    each_of_base(&place, &mut |entry, content| {
        if let Some(name) = entry.path.strip_prefix("pg_wal/") {
            return match wal::segment(name, entry) {
                Some(segment) => found.look(&place.given, segment, at_of(&place, name), content),
                None if entry.kind == Kind::Directory => blocks::header(&place.given, entry).map(drop),
                None => Ok(()),
            };
        }
        match &entry.kind {
            Kind::Link(target) => {
                let oid = spaces::of_link(&entry.path);
                let strange =
                    || Fault::damaged(&place.given, format!("{} is a link, and not that of a tablespace", entry.path));
                spaces.insert(oid.ok_or_else(strange)?, target.clone());
                Ok(())
            }
            Kind::Directory => blocks::header(&place.given, entry).map(drop),
            Kind::File => {
                blocks::header(&place.given, entry)?;
                bytes += entry.bytes;
                match papers.of(&place, entry)? {
                    Some(paper) => checker.copy(&entry.path, entry, content, paper),
                    None => checker.copy(&entry.path, entry, content, &mut io::sink()),
                }
            }
        }
    })?;
    spaces.extend(papers::tablespace_map(&papers.map));
    check_spaces(&place, &spaces)?;
    for (oid, location) in &spaces {
        blocks::header(&place.given, &spaces::link(*oid, location))?;
        each_of_space(&place, *oid, location, &mut |entry, content| {
            blocks::header(&place.given, entry)?;
            bytes += entry.bytes;
            let path = spaces::listed(*oid, &entry.path);
            match entry.kind {
                Kind::File => checker.copy(&path, entry, content, &mut io::sink()),
                Kind::Directory => Ok(()),
                Kind::Link(_) => {
                    Err(Fault::damaged(&place.given, format!("{path} is a link, and no tablespace holds any")))
                }
            }
        })?;
    }
    checker.finish()?;
    if let Form::Tars { wal: Some(tar), .. } = &place.form {
        found.look_into_tar(tar)?;
    }
    found.look_at(&given)?;
    let (label, major) = (Label::read(&place.given, &papers.label)?, major(&place, &papers.version)?);
    let identity = identify(&place, &papers.control, &manifest, &found)?;
    of_one_backup(&place, &label, &manifest)?;
    let needs = found.needs(&place.given, identity.segment_bytes)?;
    let wal = found.choose(&place.given, &given)?;
    Ok(Arc::new(Survey { place, label, manifest, manifest_text, major, identity, spaces, needs, bytes, wal }))
}

fn at_of(place: &Place, name: &str) -> At {
    match place.form {
        Form::Plain => At::File(place.given.join("pg_wal").join(name)),
        Form::Tars { .. } => At::Base,
    }
}

/// The entries of the data directory.
pub(super) fn each_of_base(place: &Place, visit: &mut entries::Visit<'_>) -> Result<(), Fault> {
    match &place.form {
        Form::Plain => entries::of_directory(&place.given, visit),
        Form::Tars { base, .. } => entries::of_tar(base, visit),
    }
}

/// The entries of a tablespace, below its directory of this version of PostgreSQL.
pub(super) fn each_of_space(
    place: &Place,
    oid: u32,
    location: &str,
    visit: &mut dyn FnMut(&Entry, &mut dyn Read) -> Result<(), Fault>,
) -> Result<(), Fault> {
    match &place.form {
        Form::Plain => entries::of_directory(Path::new(location), visit),
        Form::Tars { spaces, .. } => match spaces.iter().find(|space| space.0 == oid) {
            Some((_, tar)) => entries::of_tar(tar, visit),
            None => Err(Fault::damaged(&place.given, format!("{oid}.tar is missing: the tablespace of {location}"))),
        },
    }
}

fn check_spaces(place: &Place, spaces: &BTreeMap<u32, String>) -> Result<(), Fault> {
    if let Some(location) = spaces.values().find(|location| !location.starts_with('/')) {
        let why = format!(
            "tablespace {location} lies inside the data directory, which PostgreSQL allows for its own tests only"
        );
        return Err(Fault::damaged(&place.given, why));
    }
    let Form::Tars { spaces: tars, .. } = &place.form else { return Ok(()) };
    match tars.iter().find(|(oid, _)| !spaces.contains_key(oid)) {
        Some((_, tar)) => {
            Err(Fault::damaged(tar, "the backup beside it has no such tablespace: two backups in one directory"))
        }
        None => Ok(()),
    }
}

fn major(place: &Place, version: &[u8]) -> Result<u32, Fault> {
    let text = String::from_utf8_lossy(version);
    let major = text.trim().split('.').next().and_then(|major| major.parse().ok());
    let major = major.ok_or_else(|| Fault::damaged(&place.given, "it has no good PG_VERSION"))?;
    if major < MAJOR_MIN {
        let why = format!("it is of PostgreSQL {}, and imported are 13 and newer", text.trim());
        let way_out = "restore it by hand with that version, and dump the databases: `stonewal backup dump`";
        return Err(Fault::Refused { path: place.given.clone(), why, way_out });
    }
    Ok(major)
}

/// Control file, manifest and WAL must speak of one cluster.
fn identify(place: &Place, control: &[u8], manifest: &Manifest, found: &Found) -> Result<ClusterIdentity, Fault> {
    let damaged = |why: String| Fault::damaged(&place.given, why);
    let system_identifier = papers::system_identifier(control)
        .ok_or_else(|| damaged("the checksum of global/pg_control is wrong".into()))?;
    if let Some(other) = manifest.system_identifier.filter(|other| *other != system_identifier) {
        let why = format!("its files are of cluster {system_identifier}, its backup_manifest is of {other}");
        return Err(damaged(why));
    }
    let (owner, segment_bytes, wal) = found.identity(&place.given)?;
    if owner != system_identifier {
        let why = format!("it is WAL of cluster {owner}, and the backup is of {system_identifier}");
        return Err(Fault::damaged(wal, why));
    }
    Ok(ClusterIdentity { system_identifier, segment_bytes })
}

fn of_one_backup(place: &Place, label: &Label, manifest: &Manifest) -> Result<(), Fault> {
    if (label.start, label.timeline) == (manifest.start, manifest.timeline) {
        return Ok(());
    }
    let (label, manifest) = (label.start, manifest.start);
    let why = format!("backup_label begins at {label}, backup_manifest at {manifest}: they are of two backups");
    Err(Fault::damaged(&place.given, why))
}

fn read_bounded(path: &PathBuf) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(io_fault(path))?;
    file.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(io_fault(path))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_no_paper_of_any_length_is_read_into_memory() {
        let given = PathBuf::from("old");
        let place = Place { manifest: given.join("backup_manifest"), form: Form::Plain, given };
        let mut papers = Papers::default();
        for name in ["backup_label", "tablespace_map", "PG_VERSION", "global/pg_control"] {
            let mut entry = Entry { path: name.into(), kind: Kind::File, bytes: 0, mode: 0o600, mtime: 0 };
            entry.bytes = BACKUP_PAPER_BYTES_MAX;
            assert!(papers.of(&place, &entry).unwrap().is_some(), "{name}");
            entry.bytes += 1;
            assert!(papers.of(&place, &entry).is_err(), "{name}");
        }
        let other = Entry { path: "base/1/1".into(), kind: Kind::File, bytes: u64::MAX, mode: 0o600, mtime: 0 };
        assert!(papers.of(&place, &other).unwrap().is_none());
    }
}
