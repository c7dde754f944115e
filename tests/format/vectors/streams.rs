//! Streams: every codec, every shape.

use std::path::Path;

use serde::{Deserialize, Serialize};
use stonewal::format::Place;
use stonewal::format::{
    BackupId, ClusterName, Codec, DataKey, Digest, RepositoryId, StreamId, StreamRecord, names::Names,
};
use stonewal::limits::FRAME_BYTES_MAX;
use zeroize::Zeroizing;

use super::{folder, updating};
use crate::support::set::Set;
use crate::support::{name, place, run, sql};

/// What stands in the descriptor beside the chunks.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Descriptor {
    what: String,
    repository: RepositoryId,
    cluster: ClusterName,
    backup: BackupId,
    data_key: String,
    record: StreamRecord,
    files: Vec<String>,
    plain_sha256: Digest,
}

/// Name, meaning, codec, frames, frames per chunk. Sizes of frames count: a stream of the real writer has full frames
/// except for its last, which may be empty.
type Shape = (&'static str, &'static str, Codec, &'static [usize], &'static [usize]);

const FULL: usize = FRAME_BYTES_MAX;
const SHAPES: &[Shape] = &[
    ("none-chunks", "frames of equal length in three chunks", Codec::None, &[40, 40, 40, 40, 40], &[2, 2, 1]),
    ("gzip-chunks", "unequal frames in three chunks", Codec::Gzip, &[500, 1, 3000, 77, 900], &[2, 2, 1]),
    ("zstd-chunks", "unequal frames in three chunks", Codec::Zstd, &[500, 1, 3000, 77, 900], &[2, 2, 1]),
    ("lz4-chunks", "unequal frames in three chunks", Codec::Lz4, &[500, 1, 3000, 77, 900], &[2, 2, 1]),
    ("gzip-empty", "a stream of no bytes: one empty final frame", Codec::Gzip, &[0], &[1]),
    ("none-empty", "a stream of no bytes, not compressed", Codec::None, &[0], &[1]),
    ("gzip-one-frame", "exactly one full frame, final", Codec::Gzip, &[FULL], &[1]),
    ("gzip-multiple", "two full frames, the second final", Codec::Gzip, &[FULL, FULL], &[2]),
    ("gzip-multiple-empty-final", "two full frames and an empty final one", Codec::Gzip, &[FULL, FULL, 0], &[2, 1]),
    ("zstd-multiple", "two full frames, the second final", Codec::Zstd, &[FULL, FULL], &[1]),
];

#[test]
fn golden_streams_are_read_for_ever() {
    for &(file, what, codec, frames, per_chunk) in SHAPES {
        if updating() {
            make(file, what, codec, frames, per_chunk);
        }
        let (set, sha256) = load(file);
        let plain = sql(frames.iter().sum());
        assert_eq!(set.record.frames, frames.len() as u64, "{file}");
        assert_eq!(set.record.codec, codec, "{file}");
        assert_eq!(sha256, Digest::of(&plain), "{file}");
        let (released, end) = run(set.read());
        end.unwrap();
        assert!(released == plain, "{file}: other bytes came out");
    }
}

#[test]
fn every_stored_vector_is_tested() {
    let names = std::fs::read_dir(folder("streams")).unwrap().map(|entry| entry.unwrap().file_name());
    for file in names.map(|name| name.to_string_lossy().into_owned()) {
        let known = SHAPES.iter().any(|shape| file.split('.').next() == Some(shape.0));
        assert!(known, "tests/vectors/streams/{file} belongs to no shape");
    }
}

/// A stored stream, ready to be bent.
pub(crate) fn golden(file: &str) -> Set {
    load(file).0
}

fn load(file: &str) -> (Set, Digest) {
    let text = std::fs::read_to_string(folder("streams").join(format!("{file}.json"))).unwrap();
    let stored: Descriptor = serde_json::from_str(&text).unwrap();
    let bodies: Vec<Vec<u8>> =
        stored.files.iter().map(|chunk| std::fs::read(folder("streams").join(chunk)).unwrap()).collect();
    for (body, chunk) in bodies.iter().zip(&stored.record.chunks) {
        assert_eq!(Digest::of(body), chunk.sha256, "{file} was changed on disk");
    }
    let key = data_key(&stored.data_key);
    let (cluster, backup, repository) = (stored.cluster, stored.backup, stored.repository);
    let place = Place { names: Names::new("").unwrap(), repository, cluster, backup };
    (Set { place, record: stored.record, key, bodies }, stored.plain_sha256)
}

fn make(file: &str, what: &str, codec: Codec, frames: &[usize], per_chunk: &[usize]) {
    let plain = sql(frames.iter().sum());
    let (mut pieces, mut rest) = (Vec::new(), &plain[..]);
    for &length in frames {
        let (piece, tail) = rest.split_at(length);
        pieces.push(piece);
        rest = tail;
    }
    let hex = Digest::of(file.as_bytes()).to_string();
    let (place, key) = (place(RepositoryId::new([0xa5; 16])), data_key(&hex));
    let id = StreamId::new([0x5a; 16]);
    let set = Set::seal(&place, &name("dump"), codec, &key, id, &pieces, per_chunk);
    let files: Vec<String> = (0..set.bodies.len()).map(|number| format!("{file}.{number}.bin")).collect();
    for (path, body) in files.iter().zip(&set.bodies) {
        write(&folder("streams").join(path), body);
    }
    let Place { repository, cluster, backup, .. } = set.place;
    let plain_sha256 = Digest::of(&plain);
    let (what, record) = (what.to_owned(), set.record);
    let descriptor = Descriptor { what, repository, cluster, backup, data_key: hex, record, files, plain_sha256 };
    let json = serde_json::to_string_pretty(&descriptor).unwrap() + "\n";
    write(&folder("streams").join(format!("{file}.json")), json.as_bytes());
}

fn data_key(hex: &str) -> DataKey {
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    DataKey::new(Zeroizing::new(key))
}

pub(super) fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
