//! Stored WAL: one object of each kind, signed by a host whose certificate travels with it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use stonewal::format::names::Names;
use stonewal::format::wal::{Base64, ClusterRecord, Commits, GapRecord, WalContent, WalHead, WalRange};
use stonewal::format::{ClusterName, Codec, Lsn, SegmentSize, Tag, Timeline, WriterPublic};
use stonewal::keys::{Bundle, Certificate, Identity, RecoveryFile, WriterFile, repository_id, unwrap};
use stonewal::pipeline::{Encoding, Signer, WalPlace, WalRun, open_wal_whole};

use super::{folder, updating};
use crate::support::{run, sql};

/// Name, what it holds, how it is compressed.
type Shape = (&'static str, fn() -> (WalContent, Vec<u8>), Codec, bool);

const SEGMENT: u32 = 1 << 20;
const HISTORY: &[u8] = b"1\t0/2000000\tno recovery target specified\n2\t0/3000060\tbefore 2026-11-24 03:15:00+00\n";

fn timeline(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn range(start: u64, end: u64) -> WalContent {
    let range = WalRange { start: Lsn::new(start), end: Lsn::new(end) };
    WalContent::range(timeline(2), range, SegmentSize::new(SEGMENT).unwrap())
}

const SHAPES: &[Shape] = &[
    ("piece", || (range(0x30_0000, 0x40_0000), sql(SEGMENT as usize)), Codec::Zstd, true),
    ("piece-without-commits", || (range(0x40_0000, 0x50_0000), sql(SEGMENT as usize)), Codec::Gzip, false),
    ("partial", || (range(0x50_0100, 0x50_0400), sql(0x300)), Codec::Lz4, true),
    (
        "history",
        || (WalContent::file("00000003.history".parse().unwrap(), HISTORY).unwrap().unwrap(), HISTORY.to_vec()),
        Codec::None,
        false,
    ),
    (
        "backup-history",
        || {
            let name = "000000020000000000000003.00000028.backup".parse().unwrap();
            (WalContent::file(name, b"START WAL LOCATION").unwrap().unwrap(), b"START WAL LOCATION".to_vec())
        },
        Codec::Gzip,
        false,
    ),
];

fn path(name: &str) -> PathBuf {
    folder("wal").join(name)
}

fn commits() -> Commits {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    Commits { first: at("2026-11-24T03:15:00.000001Z"), last: at("2026-11-24T03:15:07.25Z") }
}

/// A stored WAL object, and the root whose word makes its writer trusted.
pub(crate) struct GoldenWal {
    pub(crate) object: Vec<u8>,
    pub(crate) trusted: Vec<WriterPublic>,
    pub(crate) identity: Identity,
}

pub(crate) fn golden_wal(name: &str) -> GoldenWal {
    let recovery = RecoveryFile::decode(&SecretString::from(std::fs::read_to_string(path("recovery.txt")).unwrap()));
    let recovery = recovery.unwrap();
    let object = std::fs::read(path(&format!("{name}.bin"))).unwrap();
    let certificate = WalHead::certificate(&object).unwrap();
    let certificate = Certificate::decode(&certificate, recovery.repository, &recovery.root).unwrap();
    GoldenWal { object, trusted: vec![recovery.root, certificate.writer], identity: recovery.identity }
}

/// Whether `plain` is what the stored object holds.
pub(crate) fn is_golden_plain(name: &str, plain: &[u8]) -> bool {
    SHAPES.iter().any(|(shape, holds, ..)| *shape == name && holds().1 == plain)
}

#[test]
fn golden_wal_is_read_for_ever() {
    if updating() {
        run(make());
    }
    for (name, holds, codec, has_commits) in SHAPES {
        let golden = golden_wal(name);
        let (content, plain) = holds();
        let head = WalHead::read(&golden.object, &golden.trusted).unwrap();
        let header = head.header();
        assert_eq!((&header.content, header.codec), (&content, *codec), "{name}");
        assert_eq!(header.commits, has_commits.then(commits), "{name}");
        assert_eq!(header.plain.is_some(), header.content.is_canonical(), "{name}");
        assert_eq!(head.object_bytes(), golden.object.len() as u64, "{name}");
        let key = unwrap(&header.wrap.0, std::slice::from_ref(&golden.identity), header.key).unwrap();
        let opened = run(open_wal_whole(&head, Bytes::from(golden.object.clone()), &key)).unwrap();
        assert!(opened == plain, "{name}: other bytes came out");
        assert!(header.plain.is_none_or(|digest| digest.is_of(&plain)));
        let named = header.object_name(&Names::new("pg").unwrap(), Some(Tag::new([1; 8])));
        assert!(named.starts_with("pg/main/wal/0000000") && named.ends_with("-0101010101010101"), "{named}");
    }
    let golden = golden_wal("piece");
    let read = |name: &str| std::fs::read(path(name)).unwrap();
    let record = ClusterRecord::decode(&read("cluster.bin"), &golden.trusted).unwrap();
    assert_eq!((record.system_identifier, record.segment_bytes.bytes()), (7_432_109_876_543_210_987, 1 << 20));
    let gap = GapRecord::decode(&read("gap.bin"), &golden.trusted).unwrap();
    assert_eq!(gap.range(), WalRange { start: Lsn::new(0x10_0000), end: Lsn::new(0x30_0000) });
    // One kind of record is never another.
    assert!(ClusterRecord::decode(&read("gap.bin"), &golden.trusted).is_err());
    assert!(GapRecord::decode(&read("cluster.bin"), &golden.trusted).is_err());
}

/// Made by hand from FORMAT.md, and never anew: a history, and its copy under another key, both signed by the root.
#[test]
fn golden_copies_of_wal_are_read_for_ever() {
    let read = |name: &str| std::fs::read(path("copy").join(name)).unwrap();
    let recovery = String::from_utf8(read("recovery.txt")).unwrap();
    let recovery = RecoveryFile::decode(&SecretString::from(recovery)).unwrap();
    let (original, copy) = (read("original.bin"), read("copy.bin"));
    let head = |object: &[u8]| WalHead::read(object, &[recovery.root]).unwrap();
    let (first, second) = (head(&original), head(&copy));
    assert_eq!(first.header().copy_of, None);
    let of = second.header().copy_of.unwrap();
    assert_eq!((of.original, of.made_at), (first.digest(), "2026-12-24T03:15:00Z".parse().unwrap()));
    assert_eq!(second.header().plain, first.header().plain);
    assert_ne!(second.header().key, first.header().key);
    for (head, object) in [(first, original), (second, copy)] {
        let key = unwrap(&head.header().wrap.0, std::slice::from_ref(&recovery.identity), head.header().key).unwrap();
        let plain = run(open_wal_whole(&head, Bytes::from(object), &key)).unwrap();
        assert!(plain == HISTORY && head.header().plain.unwrap().is_of(&plain));
    }
}

async fn make() {
    std::fs::create_dir_all(folder("wal")).unwrap();
    let offline = Identity::generate();
    let bundle = Bundle::generate(repository_id().unwrap(), vec![offline.recipient()], Timestamp::UNIX_EPOCH).unwrap();
    let (host, _) = WriterFile::generate(&bundle, Tag::new([9; 8]), "db1").unwrap();
    let (repository, cluster) = (bundle.repository, "main".parse::<ClusterName>().unwrap());
    let recovery = RecoveryFile { repository, root: *bundle.writer.public(), identity: offline, former: Vec::new() };
    std::fs::write(path("recovery.txt"), recovery.encode().expose_secret()).unwrap();
    let signer = Signer { writer: Arc::new(host.writer), certificate: host.certificate };
    let at: Timestamp = "2026-11-24T03:15:00Z".parse().unwrap();
    for (name, holds, codec, has_commits) in SHAPES {
        let names = Names::new("pg").unwrap();
        let place =
            WalPlace { names, repository, cluster: cluster.clone(), system_identifier: 7_432_109_876_543_210_987 };
        let encoding = Encoding { codec: *codec, level: codec.default_level() };
        let run = WalRun::begin(place.clone(), &host.recipients, signer.clone(), encoding, at).unwrap();
        let (content, plain) = holds();
        let sealed = run.seal(content, plain.into(), has_commits.then(commits), at).await.unwrap();
        std::fs::write(path(&format!("{name}.bin")), sealed.object).unwrap();
    }
    let certificate = signer.certificate.clone().map(Base64);
    let sign = |message: &[u8]| signer.writer.sign(message);
    let system_identifier = 7_432_109_876_543_210_987;
    let segment_bytes = SegmentSize::new(SEGMENT).unwrap();
    let record = ClusterRecord { repository, cluster, system_identifier, segment_bytes, created_at: at, certificate };
    std::fs::write(path("cluster.bin"), record.encode(signer.writer.public(), sign).unwrap()).unwrap();
    let gap = GapRecord {
        repository,
        cluster: record.cluster,
        system_identifier,
        timeline: timeline(2),
        start: Lsn::new(0x10_0000),
        end: Lsn::new(0x30_0000),
        recorded_at: at,
        reason: "the slot was dropped".into(),
    };
    std::fs::write(path("gap.bin"), gap.encode(signer.writer.public(), sign).unwrap()).unwrap();
}
