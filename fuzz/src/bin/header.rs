//! Bytes as a chunk header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonewal::format::ChunkHeader;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, length)) = ChunkHeader::decode(bytes) {
        assert_eq!(header.encode(), &bytes[..length], "two spellings of one header");
    }
});
