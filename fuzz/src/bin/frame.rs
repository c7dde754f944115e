//! Bytes to the decompressors, and any bytes through them and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonewal_fuzz::codec;

fuzz_target!(|input: &[u8]| {
    let Some((&[kind, high, low], packed)) = input.split_first_chunk::<3>() else { return };
    let (codec, claimed) = (codec(kind), usize::from(high) << 8 | usize::from(low));
    if let Ok(plain) = codec.decompress(packed, claimed, 0) {
        assert_eq!(plain.len(), claimed);
    }
    let coded = codec.compress(packed, codec.default_level()).unwrap();
    assert_eq!(codec.decompress(&coded, packed.len(), 0).unwrap(), packed);
});
