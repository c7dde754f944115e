//! What anyone who can write to the bucket could do to chunks, if digests and version pins did not stop it first.

use stonewal::format::chunk::ChunkBuilder;
use stonewal::format::seal::StreamKey;
use stonewal::format::{BackupId, ChunkHeader, ClusterName, Codec, DataKey, Error, KeyId, RepositoryId, StreamId};
use zeroize::Zeroizing;

use super::{Expected, refuses};
use crate::support::name;
use crate::support::set::Set;
use crate::vectors::golden;

/// Frames of the golden stream `none-chunks`: equal, so that whole frames can change places.
const LENGTHS: [usize; 5] = [40; 5];
const SEALED: usize = 40 + 16;

fn header_bytes(body: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([body[10], body[11]]))
}

/// Region, offset, bit, frames that may come out, and what the fault is called.
type Flip = (&'static str, usize, u8, usize, Box<dyn Fn(&Error) -> bool>);

/// Bits flipped in every region of the second chunk.
#[test]
fn i05_a_flipped_bit_in_any_region_is_named() {
    let good = golden("none-chunks");
    let body = &good.bodies[1];
    let (header, length) = (header_bytes(body), body.len());
    let index = header + 2 * SEALED;
    let misplaced =
        |field| move |error: &Error| matches!(error, Error::Misplaced { number: 1, field: f } if *f == field);
    let table: Vec<Flip> = vec![
        ("magic", 0, 1, 2, Box::new(|e| *e == Error::NotOurs("chunk"))),
        ("version", 8, 2, 2, Box::new(|e| *e == Error::Version { what: "chunk", version: 3 })),
        ("codec, another", 9, 1, 2, Box::new(misplaced("codec"))),
        ("codec, none known", 9, 64, 2, Box::new(|e| matches!(e, Error::Malformed { what: "codec", .. }))),
        (
            "header length, absurd",
            10,
            128,
            2,
            Box::new(|e| matches!(e, Error::Absurd { what: "chunk header length", .. })),
        ),
        ("header length, longer", 11, 128, 2, Box::new(|e| matches!(e, Error::Short(_) | Error::Malformed { .. }))),
        ("header length, shorter", 11, 8, 2, Box::new(|e| *e == Error::Short("chunk header"))),
        ("chunk number", 15, 2, 2, Box::new(misplaced("chunk number"))),
        ("first frame", 23, 4, 2, Box::new(misplaced("first frame"))),
        ("repository", 24, 1, 2, Box::new(misplaced("repository"))),
        ("data key", 40, 1, 2, Box::new(misplaced("data key"))),
        ("stream id", 56, 1, 2, Box::new(misplaced("stream"))),
        ("cluster length", 72, 1, 2, Box::new(|e| matches!(e, Error::Malformed { .. } | Error::Short(_)))),
        ("cluster", 73, 2, 2, Box::new(misplaced("cluster"))),
        (
            "cluster, not in the grammar",
            73,
            32,
            2,
            Box::new(|e| matches!(e, Error::Malformed { what: "cluster name", .. })),
        ),
        ("cluster, not UTF-8", 73, 128, 2, Box::new(|e| matches!(e, Error::Malformed { what: "chunk header", .. }))),
        ("backup", 78, 1, 2, Box::new(misplaced("backup"))),
        ("stream name", header - 1, 1, 2, Box::new(misplaced("stream"))),
        ("first frame's bytes", header, 1, 2, Box::new(|e| *e == Error::FrameForged { frame: 2 })),
        ("first frame's tag", header + SEALED - 1, 1, 2, Box::new(|e| *e == Error::FrameForged { frame: 2 })),
        ("second frame's bytes", header + SEALED, 1, 3, Box::new(|e| *e == Error::FrameForged { frame: 3 })),
        ("second frame's tag", index - 1, 128, 3, Box::new(|e| *e == Error::FrameForged { frame: 3 })),
        ("index", index, 1, 2, Box::new(|e| *e == Error::IndexForged { chunk: 1 })),
        ("index tag", length - 13, 1, 2, Box::new(|e| *e == Error::IndexForged { chunk: 1 })),
        ("index length, other", length - 9, 8, 2, Box::new(|e| *e == Error::IndexForged { chunk: 1 })),
        (
            "index length, absurd",
            length - 12,
            128,
            2,
            Box::new(|e| matches!(e, Error::Absurd { what: "frame index", .. })),
        ),
        ("index length, past the start", length - 11, 1, 2, Box::new(|e| *e == Error::Short("chunk"))),
        ("closing magic", length - 1, 1, 2, Box::new(|e| *e == Error::Short("chunk"))),
    ];
    for (case, at, bit, before, expected) in table {
        let mut bent = good.clone();
        bent.bodies[1][at] ^= bit;
        let (released, end) = crate::support::run(bent.read());
        assert!(released.len() <= before * 40, "{case}: {} bytes released", released.len());
        match end {
            Err(stonewal::pipeline::Error::Format { source, .. }) => assert!(expected(&source), "{case}: {source:?}"),
            other => panic!("{case}: {other:?}"),
        }
    }
}

/// No bit of a chunk is without meaning.
#[test]
fn i05_every_bit_counts() {
    let good = golden("gzip-chunks");
    for at in 0..good.bodies[2].len() {
        for bit in 0..8 {
            let mut bent = good.clone();
            bent.bodies[2][at] ^= 1 << bit;
            refuses(&format!("byte {at} bit {bit}"), &bent, 4, |_| true, &[500, 1, 3000, 77, 900]);
        }
    }
}

type Bend = fn(&mut Set);

/// Pieces moved, dropped and repeated.
#[test]
fn i05_frames_and_chunks_keep_their_places() {
    let table: &[(&str, Bend, usize, Expected)] = &[
        ("frames swapped", swap_frames, 2, |e| *e == Error::FrameForged { frame: 2 }),
        ("a frame repeated over the next", repeat_frame, 3, |e| *e == Error::FrameForged { frame: 3 }),
        ("a frame dropped", drop_frame, 2, |e| matches!(e, Error::Malformed { what: "frame index", .. })),
        ("a frame of another chunk", foreign_frame, 2, |e| *e == Error::FrameForged { frame: 2 }),
        ("index of another chunk", foreign_index, 2, |e| *e == Error::IndexForged { chunk: 1 }),
        (
            "chunks swapped",
            |s| s.bodies.swap(0, 1),
            0,
            |e| matches!(e, Error::Misplaced { number: 0, field: "chunk number" }),
        ),
        (
            "a chunk repeated",
            |s| s.bodies[1] = s.bodies[0].clone(),
            2,
            |e| matches!(e, Error::Misplaced { number: 1, field: "chunk number" }),
        ),
        (
            "a chunk dropped from the middle",
            |s| drop(s.remove(1)),
            2,
            |e| matches!(e, Error::Misplaced { number: 1, .. }),
        ),
        ("the end dropped and the count adjusted", drop_end, 3, |e| *e == Error::Truncated { frames: 4 }),
        ("more frames promised", |s| s.record.frames = 6, 4, |e| *e == Error::Trailing { frame: 4 }),
        ("a chunk of nothing", |s| s.bodies[1].clear(), 2, |e| *e == Error::NotOurs("chunk")),
        (
            "bytes before the trailer",
            |s| s.bodies[1].insert(200, 0),
            2,
            |e| matches!(e, Error::Malformed { .. } | Error::IndexForged { .. }),
        ),
        ("bytes after the trailer", |s| s.bodies[1].push(0), 2, |e| *e == Error::Short("chunk")),
    ];
    for (case, bend, before, expected) in table {
        let mut set = golden("none-chunks");
        bend(&mut set);
        refuses(case, &set, *before, *expected, &LENGTHS);
    }
}

fn swap_frames(set: &mut Set) {
    let at = header_bytes(&set.bodies[1]);
    let (first, second) = set.bodies[1][at..at + 2 * SEALED].split_at_mut(SEALED);
    first.swap_with_slice(second);
}

fn repeat_frame(set: &mut Set) {
    let at = header_bytes(&set.bodies[1]);
    set.bodies[1].copy_within(at..at + SEALED, at + SEALED);
}

fn drop_frame(set: &mut Set) {
    let at = header_bytes(&set.bodies[1]);
    set.bodies[1].drain(at..at + SEALED);
}

fn foreign_frame(set: &mut Set) {
    let at = header_bytes(&set.bodies[1]);
    let (other, chunk) = set.bodies.split_at_mut(1);
    chunk[0][at..at + SEALED].copy_from_slice(&other[0][at..at + SEALED]);
}

fn foreign_index(set: &mut Set) {
    let at = header_bytes(&set.bodies[1]) + 2 * SEALED;
    let (other, chunk) = set.bodies.split_at_mut(1);
    chunk[0][at..].copy_from_slice(&other[0][at..]);
}

fn drop_end(set: &mut Set) {
    set.remove(2);
    set.record.frames = 4;
    set.record.plain_bytes = 160;
}

/// A chunk cut at every byte, the ends of its parts among them.
#[test]
fn i05_a_chunk_cut_anywhere_is_refused() {
    let good = golden("none-chunks");
    for end in 0..good.bodies[2].len() {
        let mut cut = good.clone();
        cut.bodies[2].truncate(end);
        let expected: Expected = |e| matches!(e, Error::NotOurs("chunk") | Error::Short("chunk" | "chunk header"));
        refuses(&format!("cut at {end}"), &cut, 4, expected, &LENGTHS);
    }
}

/// Where the chunk is from, the field that tells, and how its header differs.
type Splice = (&'static str, &'static str, fn(&mut ChunkHeader));

/// A genuine chunk of the same key and place number, from elsewhere.
#[test]
fn i05_splices_are_refused() {
    let good = golden("none-chunks");
    let table: &[Splice] = &[
        ("another repository", "repository", |h| h.repository = RepositoryId::new([1; 16])),
        ("another cluster", "cluster", |h| h.cluster = "other".parse::<ClusterName>().unwrap()),
        ("another backup", "backup", |h| h.backup = "20261123T031500Z-00000000".parse::<BackupId>().unwrap()),
        ("another stream of the backup", "stream", |h| h.name = name("globals")),
        ("a stream of the same name", "stream", |h| h.stream = StreamId::new([9; 16])),
        ("another codec", "codec", |h| h.codec = Codec::Gzip),
        ("another data key", "data key", |h| h.key = KeyId::new([2; 16])),
    ];
    for (case, field, change) in table {
        let (mut header, _) = ChunkHeader::decode(&good.bodies[1]).unwrap();
        let genuine = header.encode();
        change(&mut header);
        let key = StreamKey::new(&good.key, &header.stream).unwrap();
        let mut builder = ChunkBuilder::new(header, 0);
        for _ in 0..2 {
            builder.push(&key, &[b'x'; 40], 40, false).unwrap();
        }
        let mut spliced = good.clone();
        spliced.bodies[1] = builder.finish(&key).unwrap().to_vec();
        let (_, end) = crate::support::run(spliced.read());
        let shown = format!("{:?}", end.unwrap_err());
        assert!(shown.contains("Misplaced") && shown.contains(&format!("field: {field:?}")), "{case}: {shown}");
        // The same with the header made to fit: then the seal is the one that refuses.
        let rest = spliced.bodies[1][header_bytes(&spliced.bodies[1])..].to_vec();
        spliced.bodies[1] = [genuine, rest].concat();
        refuses(case, &spliced, 2, |e| *e == Error::IndexForged { chunk: 1 }, &LENGTHS);
    }
}

#[test]
fn i05_another_key_opens_nothing() {
    let mut set = golden("gzip-chunks");
    set.key = DataKey::new(Zeroizing::new([7; 32]));
    let lengths = [500, 1, 3000, 77, 900];
    refuses("another key", &set, 0, |e| matches!(e, Error::Misplaced { number: 0, field: "data key" }), &lengths);
    // With the key's name forged into the header as well.
    let id = set.key.id();
    for body in &mut set.bodies {
        body[40..56].copy_from_slice(id.as_bytes());
    }
    refuses("another key, its name forged", &set, 0, |e| *e == Error::IndexForged { chunk: 0 }, &lengths);
}
