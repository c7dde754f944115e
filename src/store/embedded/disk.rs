//! Files under the root, and the order in which they become durable.
//!
//! ```text
//! lock                              held by the running server
//! users.json                        the users made at first start (mode 0600)
//! buckets/<name>/bucket.json
//! buckets/<name>/meta/<file>.json   one per version or delete marker
//! buckets/<name>/data/<file>        the body
//! uploads/<id>/…                    multipart uploads in progress
//! ```
//!
//! A version exists exactly when its metadata file does. Its body is written and flushed first, so killing the process
//! at any moment leaves at most a body without metadata, which the next start sweeps away.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::model::random_id;

const TEMPORARY: &str = ".tmp-";

/// Paths of one server's root.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    /// Keeps a second server off the same root; released by the kernel when the process ends.
    _lock: File,
}

impl Disk {
    /// Takes hold of `root`, creating it if needed. `ErrorKind::WouldBlock` when another server has it.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let lock = File::options().create(true).truncate(false).write(true).open(root.join("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        let disk = Self { root: root.to_owned(), _lock: lock };
        for folder in ["buckets", "uploads"] {
            fs::create_dir_all(root.join(folder))?;
        }
        sync_dir(root)?;
        Ok(disk)
    }

    pub(super) fn users(&self) -> PathBuf {
        self.root.join("users.json")
    }

    pub(super) fn buckets(&self) -> PathBuf {
        self.root.join("buckets")
    }

    pub(super) fn bucket(&self, name: &str) -> PathBuf {
        self.buckets().join(name)
    }

    pub(super) fn bucket_record(&self, name: &str) -> PathBuf {
        self.bucket(name).join("bucket.json")
    }

    pub(super) fn meta(&self, bucket: &str) -> PathBuf {
        self.bucket(bucket).join("meta")
    }

    pub(super) fn data(&self, bucket: &str) -> PathBuf {
        self.bucket(bucket).join("data")
    }

    pub(super) fn meta_file(&self, bucket: &str, file: &str) -> PathBuf {
        self.meta(bucket).join(format!("{file}.json"))
    }

    pub(super) fn data_file(&self, bucket: &str, file: &str) -> PathBuf {
        self.data(bucket).join(file)
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(super) fn upload(&self, id: &str) -> PathBuf {
        self.uploads().join(id)
    }
}

/// Writes `value` as JSON so that `path` holds either the old or the new content, durably, whenever the machine stops.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a path without a folder"))?;
    let temporary = folder.join(format!("{TEMPORARY}{}", random_id()?));
    let mut file = private_file(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_dir(folder)
}

fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Reads what [`write_json`] wrote; `None` when there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))?;
    Ok(Some(value))
}

/// Makes the names in `folder` durable.
pub(super) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file and makes that durable; a file already gone is fine.
pub(super) fn remove_durably(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Names of the entries in `folder`, left-overs of [`write_json`] removed.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|name| io::Error::other(format!("odd name {}", name.display())))?;
        if name.starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

/// A file being written; removed when dropped unless it was kept. An interrupted upload thus leaves nothing.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: Option<PathBuf>,
}

impl Unfinished {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    /// The file belongs to a version or part now.
    pub(super) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "remove an unfinished upload");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_one_server() {
        let root = tempfile::tempdir().unwrap();
        let first = Disk::open(root.path()).unwrap();
        assert_eq!(Disk::open(root.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        Disk::open(root.path()).unwrap();
    }

    #[test]
    fn torn_json_is_named_and_left_overs_vanish() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.json");
        write_json(&path, &[1, 2]).unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![1, 2]));
        assert_eq!(read_json::<Vec<u8>>(&root.path().join("y.json")).unwrap(), None);
        fs::write(&path, "[1,").unwrap();
        assert!(read_json::<Vec<u8>>(&path).unwrap_err().to_string().contains("x.json"));
        fs::write(root.path().join(".tmp-1"), "half").unwrap();
        assert_eq!(names(root.path()).unwrap(), ["x.json"]);
        assert!(!root.path().join(".tmp-1").exists());
    }
}
