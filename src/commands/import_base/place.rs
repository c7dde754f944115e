//! Where the parts of an old base backup lie: what `pg_basebackup -Ft` or `-Fp` left behind.

use std::path::{Path, PathBuf};

use super::fault::{Fault, io_fault};
use super::unpack::plain_name;

pub(super) const MANIFEST: &str = "backup_manifest";

/// The parts of a backup.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What was given.
    pub(super) given: PathBuf,
    pub(super) form: Form,
    /// PostgreSQL's manifest.
    pub(super) manifest: PathBuf,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Tars: data directory, tablespaces by OID, WAL.
    Tars { base: PathBuf, spaces: Vec<(u32, PathBuf)>, wal: Option<PathBuf> },
    /// A data directory.
    Plain,
}

const WAY_OUT: &str = "give the directory that pg_basebackup wrote: with base.tar and backup_manifest (-Ft), or a data directory with backup_label (-Fp); or base.tar itself, with the rest beside it";

impl Place {
    /// Looks what `given` is.
    pub(super) fn find(given: &Path) -> Result<Self, Fault> {
        let refused = |why: String| Fault::Refused { path: given.to_owned(), why, way_out: WAY_OUT };
        let metadata = std::fs::metadata(given).map_err(io_fault(given))?;
        let name = given.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if metadata.is_file() && plain_name(&name) != "base.tar" {
            if given.extension().is_some_and(|end| end.eq_ignore_ascii_case("enc")) {
                super::unpack::open(given)?;
            }
            return Err(refused("it is neither a directory nor base.tar".into()));
        }
        let directory = if metadata.is_file() {
            given.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."))
        } else {
            given
        };
        let form = if metadata.is_dir() && directory.join("PG_VERSION").exists() {
            plain(directory)?
        } else {
            tars(directory)?.ok_or_else(|| refused("it is no base backup".into()))?
        };
        let manifest = directory.join(MANIFEST);
        if !manifest.is_file() {
            let why = "it has no backup_manifest, so nothing could tell whether its files are whole".into();
            let way_out = "copy backup_manifest beside it; without one, restore the backup by hand into a server (PostgreSQL 13 and newer write it unless told not to) and take a new base of that: `stonewal backup base`";
            return Err(Fault::Refused { path: given.to_owned(), why, way_out });
        }
        let given = if metadata.is_dir() { given.to_owned() } else { directory.to_owned() };
        Ok(Self { given, form, manifest })
    }
}

/// A data directory must be one that nobody works in.
fn plain(directory: &Path) -> Result<Form, Fault> {
    let refused = |why: &str| {
        let way_out = "a data directory is no backup: take one with `stonewal backup base`, or give what pg_basebackup wrote, untouched";
        Err(Fault::Refused { path: directory.to_owned(), why: why.into(), way_out })
    };
    if directory.join("postmaster.pid").exists() {
        return refused("it is the data directory of a server that runs or has run in it: postmaster.pid is there");
    }
    if !directory.join("backup_label").exists() {
        return refused("it is a data directory without backup_label: no backup, or a server has started in it");
    }
    Ok(Form::Plain)
}

fn tars(directory: &Path) -> Result<Option<Form>, Fault> {
    let (mut base, mut spaces, mut wal) = (None, Vec::new(), None);
    for entry in std::fs::read_dir(directory).map_err(io_fault(directory))? {
        let path = entry.map_err(io_fault(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".tar.enc") || name.ends_with(".gz.enc") {
            super::unpack::open(&path)?;
        }
        let Some(stem) = plain_name(&name).strip_suffix(".tar") else { continue };
        let twice = match (stem, stem.parse::<u32>()) {
            ("base", _) => base.replace(path.clone()).is_some(),
            ("pg_wal", _) => wal.replace(path.clone()).is_some(),
            (_, Ok(oid)) => {
                spaces.push((oid, path.clone()));
                spaces.iter().filter(|space| space.0 == oid).count() > 1
            }
            _ => false,
        };
        if twice {
            return Err(Fault::damaged(
                &path,
                format!("there is another {stem}.tar beside it: two backups in one directory"),
            ));
        }
    }
    spaces.sort();
    Ok(base.map(|base| Form::Tars { base, spaces, wal }))
}
