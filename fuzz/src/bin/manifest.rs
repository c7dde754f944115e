//! Bytes as a manifest: raw, as a signed payload, and as a signed clear part.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonewal::format::manifest::Manifest;
use stonewal::format::signed::Purpose;
use stonewal_fuzz::{data_key, signed, writer};

fn read(bytes: &[u8]) -> bool {
    let Ok(manifest) = Manifest::decode(bytes, &[*writer().public()]) else { return false };
    let clear = manifest.clear();
    // What was accepted adds up.
    assert!(clear.plain_bytes() <= clear.streams.iter().map(|stream| stream.frames << 20).sum());
    let _ = clear.stored_bytes();
    let _ = manifest.open(&data_key());
    true
}

fuzz_target!(|input: &[u8]| {
    assert!(!read(input), "a manifest was forged");
    read(&signed(Purpose::Manifest, input));
    let mut framed = b"stwlmnft\0\0\0\x01".to_vec();
    framed.extend(u32::try_from(input.len()).unwrap().to_be_bytes());
    framed.extend(input);
    framed.extend([0, 0, 0, 0]);
    read(&signed(Purpose::Manifest, &framed));
});
