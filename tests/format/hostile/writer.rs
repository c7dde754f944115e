//! What a trusted writer gone bad could seal: lies that authenticate.

use std::io::Write as _;

use stonewal::format::{Codec, Error};
use stonewal::limits::{FRAME_BYTES_MAX, SEALED_FRAME_BYTES_MAX};

use super::{Expected, refuses};
use crate::support::second::{FINAL_FRAME, INDEX, chunk, entry, seal};
use crate::support::set::{Set, header};
use crate::support::sql;
use crate::vectors::golden;

/// The golden stream of one frame, its chunk made anew by the second implementation: `packed` bytes in a frame and an
/// index of the writer's choice.
fn lying(codec: Codec, packed: &[u8], index: &[u8]) -> Set {
    let mut set = golden("gzip-empty");
    set.record.codec = codec;
    let head = header(&set.place, &set.record, set.key.id(), 0, 0).encode();
    set.bodies[0] = chunk(&set.key, &set.record.id, &head, packed, index);
    set
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The library reads what the second implementation writes: they agree on every byte of the seal.
#[test]
fn the_second_implementation_agrees() {
    let plain = sql(4000);
    let packed = gzip(&plain);
    let mut set = lying(Codec::Gzip, &packed, &entry(number(packed.len() + 16), 4000));
    set.record.plain_bytes = 4000;
    let (released, end) = crate::support::run(set.read());
    end.unwrap();
    assert_eq!(released, plain);
    let golden = golden("gzip-empty");
    let head = header(&golden.place, &golden.record, golden.key.id(), 0, 0).encode();
    let empty = Codec::Gzip.compress(&[], 3).unwrap();
    let index = seal(&golden.key, &golden.record.id, &head, 0, INDEX, entry(number(empty.len() + 16), 0));
    let frame = seal(&golden.key, &golden.record.id, &head, 0, FINAL_FRAME, empty);
    assert!(golden.bodies[0][head.len()..].starts_with(&[frame, index].concat()), "the golden chunk is not reproduced");
}

#[test]
fn i05_lies_that_authenticate_are_refused() {
    let bomb = gzip(&vec![0; 50 * FRAME_BYTES_MAX]);
    let small = gzip(b"granite");
    let sealed = number(small.len() + 16);
    let codec: Expected = |e| matches!(e, Error::Codec { frame: 0, codec: "gzip", .. });
    let index: Expected = |e| matches!(e, Error::Malformed { what: "frame index", .. });
    let table: Vec<(&str, Set, Expected)> = vec![
        (
            "a frame that swells",
            lying(Codec::Gzip, &bomb, &entry(number(bomb.len() + 16), number(FRAME_BYTES_MAX))),
            codec,
        ),
        ("a frame longer than recorded", lying(Codec::Gzip, &small, &entry(sealed, 6)), codec),
        ("a frame shorter than recorded", lying(Codec::Gzip, &small, &entry(sealed, 8)), codec),
        ("a frame that is not gzip", lying(Codec::Gzip, b"granite", &entry(7 + 16, 7)), codec),
        ("an absurd frame", lying(Codec::Gzip, &small, &entry(sealed, u32::MAX)), |e| {
            matches!(e, Error::Absurd { what: "frame", claimed: 0xffff_ffff, .. })
        }),
        ("an absurd sealed frame", lying(Codec::Gzip, &small, &entry(number(SEALED_FRAME_BYTES_MAX + 1), 7)), |e| {
            matches!(e, Error::Absurd { what: "sealed frame", .. })
        }),
        ("an index of half an entry", lying(Codec::Gzip, &small, &entry(sealed, 7)[..4]), index),
        ("an index too long", lying(Codec::Gzip, &small, &[entry(sealed, 7), entry(0, 0)].concat()[..12]), index),
        ("an index that claims more than there is", lying(Codec::Gzip, &small, &entry(sealed + 1, 7)), index),
        ("an index that claims less than there is", lying(Codec::Gzip, &small, &entry(sealed - 1, 7)), index),
        ("lengths that overflow 32 bits", lying(Codec::Gzip, &small, &entry(u32::MAX, 7).repeat(2)), |e| {
            matches!(e, Error::Absurd { what: "sealed frame", .. })
        }),
        (
            "a frame too short for its tag",
            lying(Codec::Gzip, &small, &[entry(8, 1), entry(sealed - 8, 7)].concat()),
            |e| matches!(e, Error::FrameForged { frame: 0 }),
        ),
    ];
    for (case, set, expected) in table {
        refuses(case, &set, 0, expected, &[7]);
    }
}

/// Frames that authenticate but do not add up to what the manifest says give no receipt.
#[test]
fn i01_counts_must_match_the_manifest() {
    for (plain_bytes, frames) in [(4477, 5), (4479, 5), (0, 5)] {
        let mut set = golden("gzip-chunks");
        (set.record.plain_bytes, set.record.frames) = (plain_bytes, frames);
        let (_, end) = crate::support::run(set.read());
        assert!(matches!(end, Err(stonewal::pipeline::Error::Incomplete { .. })), "{plain_bytes}: {end:?}");
    }
    let mut set = golden("gzip-chunks");
    set.remove(2);
    let (released, end) = crate::support::run(set.read());
    assert!(matches!(end, Err(stonewal::pipeline::Error::Incomplete { .. })), "{end:?}");
    assert_eq!(released, sql(500 + 1 + 3000 + 77));
}
