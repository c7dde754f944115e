//! Whether there is room, said before anything is fetched.

use std::path::Path;

use super::Listener;
use crate::commands::restore_base::free_bytes;
use crate::commands::{Error, Result};
use crate::format::manifest::{BaseFacts, DumpFacts};

/// The block of most file systems.
const BLOCK_BYTES: u64 = 4096;
/// A new cluster, and what a server writes by itself.
const SERVER_BYTES: u64 = 128 << 20;
/// WAL that a server of a drill keeps before it makes a checkpoint; see the settings.
pub(super) const WAL_KEPT_BYTES: u64 = 512 << 20;
/// How much WAL is on the disk while it is replayed: what is kept, and what was fetched in advance.
const WAL_ON_DISK_BYTES_MAX: u64 = 2 * WAL_KEPT_BYTES;

/// What a base takes for sure: its files in whole blocks, and the part of the WAL that lies beside them while it is replayed.
/// Growth is not in it: WAL is full of zeros and of rows that replace others, or all of it is new.
pub(super) fn of_base(facts: &BaseFacts, wal_bytes: u64) -> u64 {
    let files = facts.index.iter().flat_map(|indexed| &indexed.index.files);
    let files: u64 = files.map(|file| file.bytes().next_multiple_of(BLOCK_BYTES)).sum();
    files.saturating_add(wal_bytes.min(WAL_ON_DISK_BYTES_MAX) + SERVER_BYTES)
}

/// What to say of growth that the file system might not have room for.
pub(super) fn doubt(dir: &Path, needed: u64, wal_bytes: u64) -> Option<String> {
    let most = needed.saturating_add(wal_bytes);
    free_bytes(dir).filter(|free| *free < most).map(|free| {
        let (dir, wal) = (dir.display(), size(wal_bytes));
        format!("if all {wal} of WAL are new rows, the drill needs {} in {dir}; {} are free", size(most), size(free))
    })
}

/// What a dump takes once it is loaded: as much as the source took, or else twice its text.
pub(super) fn of_dump(facts: &DumpFacts, plain_bytes: u64) -> u64 {
    let loaded = facts.database.size_bytes.unwrap_or_else(|| plain_bytes.saturating_mul(2));
    loaded.saturating_add(WAL_KEPT_BYTES + SERVER_BYTES)
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

/// Says what is needed, and refuses a file system that does not have it.
pub(super) fn check(dir: &Path, needed: u64, tell: Listener<'_>) -> Result<()> {
    let free = free_bytes(dir);
    let there = free.map_or("unknown".into(), size);
    tell(format!("the drill needs {} in {}, {there} are free", size(needed), dir.display()));
    if free.is_some_and(|free| free < needed) {
        let why = format!("the drill needs {} there, {there} are free", size(needed));
        let way_out = "make room, or name a directory on a larger file system (drill.dir)".into();
        return Err(Error::Target { path: dir.to_owned(), why, way_out });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::{BASE_STREAM, FileEntry, IndexedStream, StreamIndex};

    /// Files of 5,000 bytes in all.
    #[test]
    fn growth_is_told_and_not_refused() {
        let file = |bytes| FileEntry(format!("base/1/{bytes}"), 0, bytes, 0o600);
        let index = StreamIndex { files: vec![file(1), file(4999)], directories: Vec::new(), links: Vec::new() };
        let facts = BaseFacts {
            label: "test".into(),
            server_version_num: 150_018,
            standby: false,
            settings: Vec::new(),
            databases: Vec::new(),
            tablespaces: Vec::new(),
            index: vec![IndexedStream { stream: BASE_STREAM.parse().unwrap(), index }],
            imported: None,
        };
        let files = 3 * BLOCK_BYTES;
        assert_eq!(of_base(&facts, 0), files + SERVER_BYTES);
        assert_eq!(of_base(&facts, 1 << 20), files + SERVER_BYTES + (1 << 20));
        assert_eq!(
            of_base(&facts, u64::MAX),
            files + SERVER_BYTES + WAL_ON_DISK_BYTES_MAX,
            "zeros behind switches, most of it"
        );
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(doubt(dir.path(), 1, 1), None);
        let told = doubt(dir.path(), 1, u64::MAX).unwrap();
        assert!(told.contains("all 16.0 EiB of WAL") && told.ends_with("are free"), "{told}");
    }

    #[test]
    fn too_little_room_is_said_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let said = std::sync::Mutex::new(Vec::new());
        let tell = |line: String| said.lock().unwrap().push(line);
        check(dir.path(), 1, &tell).unwrap();
        let error = check(dir.path(), u64::MAX, &tell).unwrap_err();
        assert!(error.to_string().contains("needs 16.0 EiB there"), "{error}");
        assert!(error.hint().unwrap().contains("drill.dir"));
        assert!(said.lock().unwrap()[1].contains("the drill needs 16.0 EiB"), "{said:?}");
    }
}
