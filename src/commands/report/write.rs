//! A file that is there as a whole: the old one until the new one is complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::commands::{Error, Result};

/// Puts `bytes` in place of what the file holds. Its rights stay; a link is followed, not replaced.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    // What does not exist yet has no other name.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write(&target, bytes).map_err(|error| Error::File { path: path.to_owned(), why: error.to_string() })
}

fn write(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let known = fs::metadata(target).ok();
    if known.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let beside = beside(target)?;
    let written = fill(&beside, bytes).and_then(|()| {
        if let Some(known) = known {
            fs::set_permissions(&beside, known.permissions())?;
        }
        fs::rename(&beside, target)
    });
    if written.is_err() {
        // What is left of a file that could not be written is of no use to anybody.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn beside(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    Ok(target.with_file_name(format!(".{name}.{:08x}", fastrand::u32(..))))
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("report.html"), dir.path().join("link.html"));
        replace(&file, b"one").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("report.html", &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_is_named_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("no/such/report.html");
        let error = replace(&missing, b"x").unwrap_err().to_string();
        assert!(error.contains("report.html"), "{error}");
        assert!(replace(dir.path(), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
