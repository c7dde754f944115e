//! The printed reader against hostile chunks: it stops with exit code 1 and has written nothing past the fault.

use stonewal::format::manifest::KeyRecord;
use stonewal::format::{Digest, ObjectRecord, Tag};
use stonewal::keys::{Identity, RecoveryFile, WriterKey, data_key, wrap};
use stonewal::store::memory::Memory;
use stonewal::store::{Append as _, ObjectKey, Put};

use super::{Download, script};
use crate::support::backup::{clear, sign, store_wrap};
use crate::support::set::Set;
use crate::support::{place, run, sql};
use crate::vectors::golden;

/// What is bent, and how many of the five frames of 40 bytes may come out.
type Case = (&'static str, fn(&mut Set, &mut Around), usize);

/// What a case may change besides the chunks.
struct Around {
    identity: Identity,
    signer: Option<WriterKey>,
    digests: bool,
    planted_key: bool,
}

const CASES: &[Case] = &[
    ("nothing", |_, _| {}, 5),
    ("a frame's bit", |s, _| flip(s, 1, 150), 2),
    (
        "the last tag's bit",
        |s, _| {
            let end = s.bodies[2].len() - 37;
            flip(s, 2, end);
        },
        4,
    ),
    (
        "the index's bit",
        |s, _| {
            let end = s.bodies[1].len() - 20;
            flip(s, 1, end);
        },
        2,
    ),
    (
        "the trailer's bit",
        |s, _| {
            let end = s.bodies[1].len() - 9;
            flip(s, 1, end);
        },
        2,
    ),
    ("a header's bit", |s, _| flip(s, 1, 75), 2),
    (
        "a chunk that is not what was stored",
        |s, b| {
            flip(s, 1, 150);
            b.digests = false;
        },
        2,
    ),
    ("chunks swapped", |s, _| s.bodies.swap(0, 1), 0),
    ("a chunk dropped", |s, _| drop(s.remove(1)), 2),
    (
        "the end dropped and the counts adjusted",
        |s, _| {
            s.remove(2);
            (s.record.frames, s.record.plain_bytes) = (4, 160);
        },
        3,
    ),
    (
        "a chunk cut",
        |s, _| {
            let end = s.bodies[1].len() - 1;
            s.bodies[1].truncate(end);
        },
        2,
    ),
    ("another cluster's chunks", |s, _| s.place.cluster = "other".parse().unwrap(), 0),
    ("another backup's chunks", |s, _| s.place.backup = "20261124T031500Z-00000000".parse().unwrap(), 0),
    ("another writer", |_, b| b.signer = Some(WriterKey::generate().unwrap()), 0),
    ("another identity", |_, b| b.identity = Identity::generate(), 0),
    ("a planted key", |_, b| b.planted_key = true, 0),
];

fn flip(set: &mut Set, chunk: usize, at: usize) {
    set.bodies[chunk][at] ^= 1;
}

#[test]
fn i05_the_printed_reader_stops_at_the_fault() {
    let Some(script) = script() else { return };
    for (case, bend, frames) in CASES {
        let output = run(read(&script, bend));
        assert_eq!(output.status.success(), *case == "nothing", "{case}: {output:?}");
        assert_eq!(output.status.code(), Some(i32::from(*case != "nothing")), "{case}");
        assert!(output.stdout.len() <= frames * 40 && sql(200).starts_with(&output.stdout), "{case}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(*case == "nothing" || said.contains("error: "), "{case}: {said}");
        assert!(!said.contains("Traceback"), "{case}: {said}");
    }
}

/// Lays a bent golden stream out as a backup whose manifest is signed for what it now is, and lets the script read it.
async fn read(script: &str, bend: &fn(&mut Set, &mut Around)) -> std::process::Output {
    let mut set = golden("none-chunks");
    let genuine: Vec<Digest> = set.bodies.iter().map(|body| Digest::of(body)).collect();
    let (root, identity) = (WriterKey::generate().unwrap(), Identity::generate());
    let recipient = identity.recipient();
    let mut around = Around { identity, signer: None, digests: true, planted_key: false };
    bend(&mut set, &mut around);
    set.place.names = place(set.place.repository).names;

    let store = Memory::default();
    let (metadata, place) = (data_key().unwrap(), set.place.clone());
    let mut payload_key = store_wrap(&store, &place, &set.key, std::slice::from_ref(&recipient)).await;
    if around.planted_key {
        payload_key.wrap.tag = Tag::new([1; 8]);
        let body = wrap(&data_key().unwrap(), &[recipient]).unwrap().into();
        put(&store, place.names.wrap(payload_key.id, payload_key.wrap.tag), body).await;
    }
    for (number, (chunk, body)) in (0..).zip(set.record.chunks.iter_mut().zip(&set.bodies)) {
        chunk.bytes = body.len() as u64;
        chunk.sha256 = if around.digests { Digest::of(body) } else { genuine[number as usize] };
        let key = place.names.chunk(&place.cluster, &place.backup, &set.record.name, number, chunk.tag);
        put(&store, key, body.clone().into()).await;
    }
    // The library refuses to write counts that contradict each other; the chunk list may still be short.
    set.record.frames = set.record.chunks.iter().map(|chunk| chunk.frames).sum();
    let wrap = ObjectRecord { tag: Tag::new([0; 8]), version: String::new() };
    let metadata_key = KeyRecord { id: metadata.id(), wrap };
    let clear = clear(&place, payload_key, metadata_key, vec![set.record]);
    let manifest = place.names.manifest(&place.cluster, &place.backup, clear.manifest);
    put(&store, manifest.clone(), sign(&clear, &metadata, around.signer.as_ref().unwrap_or(&root)).into()).await;

    let here = Download::new(script, &store);
    let recovery = RecoveryFile {
        repository: place.repository,
        root: *root.public(),
        identity: around.identity,
        former: Vec::new(),
    };
    here.write_key(&recovery.encode());
    here.read("key", &manifest, "dump")
}

async fn put(store: &Memory, key: String, body: bytes::Bytes) {
    store.put(Put { key: ObjectKey::new(key), body, lock: None }).await.unwrap();
}
