//! A small base backup: two tars as PostgreSQL sends them, and what a manifest says of them.

use stonewal::format::manifest::{
    BaseFacts, BaseRange, CollationFact, IndexedStream, ParameterFact, StreamIndex, TablespaceFact,
};
use stonewal::format::tar::TarIndexer;
use stonewal::format::{SegmentSize, Timeline};
use tar::{Builder, EntryType, Header};

use super::{name, sql};

/// Streams with their names, range and facts.
pub(crate) type Sample = (Vec<(&'static str, Vec<u8>)>, BaseRange, BaseFacts);

fn add(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(if kind == EntryType::Directory { 0o700 } else { 0o600 });
    if kind == EntryType::Symlink {
        header.set_link_name("/srv/fast").unwrap();
    }
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

fn indexed(tar: &[u8]) -> StreamIndex {
    let mut indexer = TarIndexer::new();
    indexer.push(tar).unwrap();
    indexer.finish().unwrap()
}

pub(crate) fn sample() -> Sample {
    let mut base = Builder::new(Vec::new());
    add(&mut base, "backup_label", EntryType::Regular, b"START WAL LOCATION: 0/2000028\n");
    add(&mut base, "base/", EntryType::Directory, b"");
    add(&mut base, "base/1/", EntryType::Directory, b"");
    add(&mut base, "base/1/1259", EntryType::Regular, &sql(1_300_000));
    add(&mut base, "pg_tblspc/16400", EntryType::Symlink, b"");
    add(&mut base, "global/pg_control", EntryType::Regular, &[7; 8192]);
    let mut space = Builder::new(Vec::new());
    add(&mut space, "PG_15_202209061/5/16401", EntryType::Regular, &sql(20_000));
    let (base, space) = (base.into_inner().unwrap(), space.into_inner().unwrap());
    let range = BaseRange {
        start: "0/2000028".parse().unwrap(),
        stop: "0/2000100".parse().unwrap(),
        timeline: Timeline::new(1).unwrap(),
        segment_bytes: SegmentSize::DEFAULT,
        begun_at: "2026-11-24T03:15:01Z".parse().unwrap(),
        ended_at: "2026-11-24T03:15:06.5Z".parse().unwrap(),
    };
    let stream = |stream: &str, tar: &[u8]| IndexedStream { stream: name(stream), index: indexed(tar) };
    let facts = BaseFacts {
        label: "stonewal 20261124T031500Z-5b0c6f2e".into(),
        server_version_num: 150_014,
        standby: false,
        settings: vec![ParameterFact { name: "data_checksums".into(), value: "on".into() }],
        databases: vec![CollationFact {
            database: "app".into(),
            collate: "de_DE.UTF-8".into(),
            provider: "c".into(),
            version: Some("2.36".into()),
        }],
        tablespaces: vec![TablespaceFact {
            oid: 16400,
            location: "/srv/fast".into(),
            stream: name("tablespace-16400"),
        }],
        index: vec![stream("tablespace-16400", &space), stream("base", &base)],
        imported: None,
    };
    let manifest = b"{ \"PostgreSQL-Backup-Manifest-Version\": 1, \"Files\": [] }\n".to_vec();
    (vec![("tablespace-16400", space), ("base", base), ("backup_manifest", manifest)], range, facts)
}
