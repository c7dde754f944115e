//! Manifests of base backups that would write outside of their roots, read past an end, or contradict themselves, signed by a
//! trusted writer gone bad.

use stonewal::format::manifest::{
    BaseFacts, BaseRange, ClearPart, DirectoryEntry, FileEntry, KeyRecord, Kind, Manifest, SealedPart, StreamIndex,
};
use stonewal::format::{DataKey, Error, ObjectRecord, Tag};
use stonewal::keys::{WriterKey, data_key};

use crate::support::backup::{clear, sign_of};
use crate::support::{base, name};
use crate::vectors::golden;

struct Forge {
    root: WriterKey,
    metadata: DataKey,
    clear: ClearPart,
    sealed: SealedPart,
}

impl Forge {
    fn new() -> Self {
        let (streams, range, facts) = base::sample();
        let (set, metadata) = (golden("gzip-chunks"), data_key().unwrap());
        let record = |id| KeyRecord { id, wrap: ObjectRecord { tag: Tag::new([0; 8]), version: "v".into() } };
        let mut clear = clear(&set.place, record(set.key.id()), record(metadata.id()), Vec::new());
        for (i, (stream, bytes)) in (1..).zip(&streams) {
            let mut record = set.record.clone();
            let frames = bytes.len().div_ceil(1 << 20) as u64;
            (record.name, record.plain_bytes, record.frames) = (name(stream), bytes.len() as u64, frames);
            record.id = stonewal::format::StreamId::new([i; 16]);
            record.chunks.truncate(1);
            record.chunks[0].frames = frames;
            clear.streams.push(record);
        }
        (clear.kind, clear.base) = (Kind::Base, Some(range));
        let sealed = SealedPart { dump: None, base: Some(facts) };
        Self { root: WriterKey::generate().unwrap(), metadata, clear, sealed }
    }

    fn written(&self) -> Result<SealedPart, Error> {
        let bytes = sign_of(&self.clear, &self.sealed, &self.metadata, &self.root)?;
        Manifest::decode(&bytes, &[*self.root.public()])?.open(&self.metadata)
    }

    fn facts(&mut self) -> &mut BaseFacts {
        self.sealed.base.as_mut().unwrap()
    }

    fn base(&mut self) -> &mut StreamIndex {
        &mut self.facts().index[1].index
    }

    fn range(&mut self) -> &mut BaseRange {
        self.clear.base.as_mut().unwrap()
    }
}

#[test]
fn a_good_base_is_read() {
    let forge = Forge::new();
    assert_eq!(forge.written().unwrap(), forge.sealed);
}

/// Name, what is bent, and words of the refusal.
type Bent = (&'static str, fn(&mut Forge), &'static str);

#[test]
fn signed_nonsense_about_files_is_refused() {
    let table: &[Bent] = &[
        ("a way up", |f| f.base().files[0].0 = "../up".into(), "relative path"),
        ("a way up inside", |f| f.base().files[0].0 = "base/../../up".into(), "relative path"),
        ("a root", |f| f.base().files[0].0 = "/etc/passwd".into(), "relative path"),
        ("nothing", |f| f.base().files[0].0 = String::new(), "relative path"),
        ("a dot", |f| f.base().directories[0].0 = "./base".into(), "relative path"),
        ("a line break", |f| f.base().files[0].0 = "a\nb".into(), "relative path"),
        ("a name that is too long", |f| f.base().files[0].0 = "x".repeat(1025), "relative path"),
        ("a file twice", |f| f.base().files[0].0 = "base/1/1259".into(), "twice"),
        ("a file and a directory", |f| f.base().directories[0].0 = "backup_label".into(), "twice"),
        ("a file below a file", |f| f.base().files[0].0 = "base/1/1259/x".into(), "no directory"),
        ("a file below a link", |f| f.base().files[0].0 = "pg_tblspc/16400/x".into(), "no directory"),
        ("a directory below a link", |f| f.base().directories[0].0 = "pg_tblspc/16400/x".into(), "no directory"),
        ("past the end", |f| f.base().files[0].2 = 1 << 40, "beyond the end"),
        ("an overflow", |f| f.base().files[0].1 = u64::MAX, "beyond the end"),
        ("an overlap", |f| f.base().files[0].2 = 100_000, "overlap"),
        ("a link elsewhere", |f| f.base().links[0].0 = "base/link".into(), "not that of a tablespace"),
        (
            "a link in a tablespace",
            |f| f.facts().index[0].index.links = f.facts().index[1].index.links.clone(),
            "tablespace",
        ),
        ("a stream that is not there", |f| f.facts().index[0].stream = name("tablespace-1"), "indexed and not there"),
        ("a stream without index", |f| drop(f.facts().index.remove(0)), "there and not indexed"),
        ("a tablespace without stream", |f| f.facts().tablespaces[0].oid = 1, "no stream of its own"),
        ("a tablespace without link", |f| f.base().links.clear(), "no link of its own"),
        ("a link without tablespace", |f| f.facts().tablespaces.clear(), "belongs to no tablespace"),
        ("a relative tablespace", |f| f.facts().tablespaces[0].location = "fast".into(), "no link of its own"),
        ("facts of nothing", |f| f.sealed.base = None, "not that of a base"),
        ("no range", |f| f.clear.base = None, "not that of a base"),
        ("a range of a dump", |f| f.clear.kind = Kind::Dump, "not that of a dump"),
        ("an end before the start", |f| f.range().stop = "0/1".parse().unwrap(), "ends before it starts"),
        (
            "an end before the beginning",
            |f| f.range().ended_at = f.range().begun_at - jiff::SignedDuration::from_secs(1),
            "ended before it began",
        ),
        ("no stream base", |f| drop(f.clear.streams.remove(1)), "no stream base"),
        ("no stream backup_manifest", |f| drop(f.clear.streams.remove(2)), "no stream backup_manifest"),
        ("frames that are not full", |f| f.clear.streams[1].plain_bytes = 1 << 20, "beyond the end"),
        ("a frame in the middle that is not full", |f| f.clear.streams[1].plain_bytes = (1 << 20) - 1, "is not full"),
    ];
    for (case, bend, words) in table {
        let mut forge = Forge::new();
        bend(&mut forge);
        let error = forge.written().expect_err(case).to_string();
        assert!(error.contains(words), "{case}: {error}");
    }
}

/// A directory may be named although its parent is not, and many files make many entries of little length.
#[test]
fn a_million_files_fit() {
    let mut forge = Forge::new();
    let many = (0..50_000u32).map(|i| FileEntry(format!("base/16384/{}", 100_000 + i), 0, 0, 0o600));
    forge.base().files.extend(many);
    forge.base().directories.push(DirectoryEntry("pg_wal/archive_status".into(), 0o700));
    let json = serde_json::to_vec(&forge.sealed).unwrap().len();
    assert!(json * 20 < stonewal::limits::MANIFEST_PART_BYTES_MAX, "{json} bytes for 50,000 files");
    assert_eq!(forge.written().unwrap(), forge.sealed);
}
