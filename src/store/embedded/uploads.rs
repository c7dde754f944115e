//! Multipart uploads in progress: acknowledged parts survive a restart.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::{Algorithm, Checksum};
use super::disk::{self, Disk};
use super::model::Headers;
use crate::store::Lock;

/// What was said when the upload was created.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadRecord {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) initiated: Timestamp,
    /// Asked for by the client; otherwise parts may use any, and the whole gets CRC64NVME.
    pub(super) algorithm: Option<Algorithm>,
    /// Checksum of part checksums instead of one over all bytes.
    pub(super) composite: bool,
    pub(super) retention: Option<Lock>,
    pub(super) legal_hold: Option<bool>,
    pub(super) headers: Headers,
}

/// One part that was acknowledged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartRecord {
    pub(super) number: i32,
    pub(super) file: String,
    pub(super) bytes: u64,
    /// Hexadecimal MD5.
    pub(super) etag: String,
    pub(super) checksum: Checksum,
    pub(super) last_modified: Timestamp,
}

/// An upload and its parts by number.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) record: UploadRecord,
    pub(super) parts: BTreeMap<i32, PartRecord>,
}

/// Uploads by id.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<HashMap<String, Arc<Mutex<Upload>>>>);

impl Table {
    pub(super) fn insert(&self, id: String, upload: Arc<Mutex<Upload>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, upload);
    }

    /// The upload, when it is one of this key.
    pub(super) fn get(&self, id: &str, bucket: &str, key: &str) -> Option<Arc<Mutex<Upload>>> {
        let upload = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id)?.clone();
        let same = with(&upload, |upload| upload.record.bucket == bucket && upload.record.key == key);
        same.then_some(upload)
    }

    /// Takes the upload out: completing and aborting happen once.
    pub(super) fn take(&self, id: &str, bucket: &str, key: &str) -> Option<Arc<Mutex<Upload>>> {
        self.get(id, bucket, key)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// Key, id and beginning of the uploads of a bucket below a prefix, in order.
    pub(super) fn of(&self, bucket: &str, prefix: &str) -> Vec<(String, String, Timestamp)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<(String, String, Timestamp)> = Vec::new();
        for (id, upload) in all.iter() {
            let record = with(upload, |upload| upload.record.clone());
            if record.bucket == bucket && record.key.starts_with(prefix) {
                found.push((record.key, id.clone(), record.initiated));
            }
        }
        found.sort();
        found
    }

    /// Reads the uploads that the last run left.
    pub(super) fn load(&self, disk: &Disk) -> io::Result<()> {
        for id in disk::names(&disk.uploads())? {
            match read(&disk.upload(&id))? {
                Some(upload) => self.insert(id, Arc::new(Mutex::new(upload))),
                None => fs::remove_dir_all(disk.upload(&id))?,
            }
        }
        Ok(())
    }
}

/// Runs `look` with the upload locked.
pub(super) fn with<T>(upload: &Mutex<Upload>, look: impl FnOnce(&mut Upload) -> T) -> T {
    look(&mut upload.lock().unwrap_or_else(PoisonError::into_inner))
}

const RECORD: &str = "upload.json";

/// Makes a new upload durable.
pub(super) fn create(disk: &Disk, id: &str, record: &UploadRecord) -> io::Result<()> {
    fs::create_dir(disk.upload(id))?;
    disk::write_json(&disk.upload(id).join(RECORD), record)?;
    disk::sync_dir(&disk.uploads())
}

/// Makes a part count, in place of an earlier one of its number.
pub(super) fn add_part(folder: &Path, upload: &mut Upload, part: PartRecord) -> io::Result<()> {
    disk::write_json(&folder.join(format!("{}.json", part.number)), &part)?;
    if let Some(old) = upload.parts.insert(part.number, part) {
        fs::remove_file(folder.join(old.file))?;
    }
    Ok(())
}

/// Forgets an upload: first its record, without which it does not exist.
pub(super) fn remove(disk: &Disk, id: &str) -> io::Result<()> {
    disk::remove_durably(&disk.upload(id).join(RECORD))?;
    fs::remove_dir_all(disk.upload(id))
}

fn is_record(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}

fn read(folder: &Path) -> io::Result<Option<Upload>> {
    let Some(record) = disk::read_json(&folder.join(RECORD))? else { return Ok(None) };
    let mut parts = BTreeMap::new();
    let names = disk::names(folder)?;
    for name in names.iter().filter(|name| is_record(name) && *name != RECORD) {
        if let Some(part) = disk::read_json::<PartRecord>(&folder.join(name))? {
            parts.insert(part.number, part);
        }
    }
    let counts = |name: &String| is_record(name) || parts.values().any(|part| part.file == *name);
    for orphan in names.iter().filter(|name| !counts(name)) {
        fs::remove_file(folder.join(orphan))?;
    }
    Ok(Some(Upload { record, parts }))
}
