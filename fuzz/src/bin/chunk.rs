//! Bytes as a chunk: raw, and as the index and the frame that a hostile writer seals.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stonewal::format::chunk::Chunk;
use stonewal::format::seal::StreamKey;
use stonewal::format::{ChunkHeader, DataKey};
use stonewal::limits::FRAME_BYTES_MAX;
use stonewal_fuzz::{codec, data_key, place};

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../../../tests/format/support/second.rs"]
mod second;

fn read(bytes: &Bytes, expected: &ChunkHeader, key: &DataKey) -> bool {
    let stream_key = StreamKey::new(key, &expected.stream).unwrap();
    let Ok(chunk) = Chunk::read(bytes, expected, &stream_key) else { return false };
    let claimed = chunk.plain_bytes();
    let mut released = 0;
    for frame in chunk.into_frames() {
        let Ok(plain) = frame.open(&stream_key, true) else { break };
        assert!(plain.len() <= FRAME_BYTES_MAX);
        released += plain.len() as u64;
    }
    assert!(released <= claimed, "more came out than the index says");
    true
}

fuzz_target!(|input: &[u8]| {
    let key = data_key();
    if let Ok((header, _)) = ChunkHeader::decode(input) {
        let opened = read(&Bytes::copy_from_slice(input), &header, &key);
        assert!(!opened, "a chunk was forged");
    }
    // The first bytes choose codec and length of the index, the rest is index and frame.
    let Some((&[kind, length], rest)) = input.split_first_chunk::<2>() else { return };
    let (index, packed) = rest.split_at(usize::from(length).min(rest.len()));
    let expected = place(codec(kind), key.id());
    let mut index = index.to_vec();
    if kind & 128 != 0 && index.len() >= 8 {
        // Half of the inputs have a first length that fits, so that frames are reached.
        let sealed = u32::try_from(packed.len() + 16).unwrap();
        index.truncate(8);
        index[..4].copy_from_slice(&sealed.to_be_bytes());
    }
    let chunk = second::chunk(&key, &expected.stream, &expected.encode(), packed, &index);
    read(&Bytes::from(chunk), &expected, &key);
});
