//! Start-up: the index from the metadata files, and the sweeping away of what never became a version.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::{self, Disk};
use super::index::{Bucket, Index};
use super::model::{BucketRecord, NULL_VERSION, Version};

/// Reads every bucket. A version whose body is missing or cut is an error: it was acknowledged, so the disk lost it.
pub(super) fn index(disk: &Disk) -> io::Result<Index> {
    let mut index = Index::new();
    for name in disk::names(&disk.buckets())? {
        // A bucket without its record was being created or deleted when the process ended.
        let Some(record) = disk::read_json::<BucketRecord>(&disk.bucket_record(&name))? else {
            fs::remove_dir_all(disk.bucket(&name))?;
            continue;
        };
        disk::names(&disk.bucket(&name))?;
        index.insert(name.clone(), bucket(disk, &name, record)?);
    }
    Ok(index)
}

fn bucket(disk: &Disk, name: &str, record: BucketRecord) -> io::Result<Bucket> {
    let mut versions = Vec::new();
    for file in disk::names(&disk.meta(name))? {
        let path = disk.meta(name).join(&file);
        if let Some(version) = disk::read_json::<Version>(&path)? {
            versions.push(version);
        }
    }
    drop_replaced_nulls(disk, name, &mut versions)?;
    let mut bucket = Bucket::new(record);
    let mut bodies = HashSet::new();
    for version in versions {
        if let Some(body) = &version.body {
            whole(&disk.data_file(name, &version.file), body.bytes, &version)?;
            bodies.insert(version.file.clone());
        }
        bucket.put(Arc::new(version));
    }
    for file in disk::names(&disk.data(name))? {
        if !bodies.contains(&file) {
            fs::remove_file(disk.data_file(name, &file))?;
        }
    }
    Ok(bucket)
}

/// A kill between writing a `null` version and removing the one it replaces leaves two: the newer counts.
fn drop_replaced_nulls(disk: &Disk, bucket: &str, versions: &mut Vec<Version>) -> io::Result<()> {
    let mut newest: HashMap<String, u64> = HashMap::new();
    for version in versions.iter().filter(|version| version.id == NULL_VERSION) {
        let sequence = newest.entry(version.key.clone()).or_default();
        *sequence = version.sequence.max(*sequence);
    }
    let replaced = |version: &Version| {
        version.id == NULL_VERSION && newest.get(&version.key).is_some_and(|newest| version.sequence < *newest)
    };
    for old in versions.iter().filter(|version| replaced(version)) {
        disk::remove_durably(&disk.meta_file(bucket, &old.file))?;
    }
    versions.retain(|version| !replaced(version));
    Ok(())
}

fn whole(path: &Path, bytes: u64, version: &Version) -> io::Result<()> {
    let found = fs::metadata(path).map(|metadata| metadata.len());
    match found {
        Ok(found) if found == bytes => Ok(()),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the body of {} version {} is damaged: {bytes} bytes expected, found {other:?}",
                version.key, version.id
            ),
        )),
    }
}
