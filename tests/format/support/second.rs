//! A second implementation of the seal, written from docs/FORMAT.md over `ring` alone: it can say what a trusted but
//! hostile writer would say, which the library refuses to.

use ring::{aead, hkdf};
use stonewal::format::{DataKey, StreamId};

/// Last byte of a nonce.
pub(crate) const FINAL_FRAME: u8 = 1;
pub(crate) const INDEX: u8 = 2;

fn derive(key: &DataKey, salt: &[u8], label: &[u8]) -> aead::LessSafeKey {
    let info = [label];
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.expose());
    aead::LessSafeKey::new(aead::UnboundKey::from(pseudorandom.expand(&info, &aead::AES_256_GCM).unwrap()))
}

/// Seals one piece of a stream.
pub(crate) fn seal(
    key: &DataKey,
    stream: &StreamId,
    header: &[u8],
    counter: u64,
    flag: u8,
    mut plain: Vec<u8>,
) -> Vec<u8> {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = flag;
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    derive(key, stream.as_bytes(), b"stonewal/v1/stream")
        .seal_in_place_append_tag(nonce, aead::Aad::from(header), &mut plain)
        .unwrap();
    plain
}

/// A whole chunk of one frame whose index says `index`.
pub(crate) fn chunk(key: &DataKey, stream: &StreamId, header: &[u8], packed: &[u8], index: &[u8]) -> Vec<u8> {
    let mut chunk = header.to_vec();
    chunk.extend(seal(key, stream, header, 0, FINAL_FRAME, packed.to_vec()));
    let sealed = seal(key, stream, header, 0, INDEX, index.to_vec());
    let length = u32::try_from(sealed.len()).unwrap();
    chunk.extend(sealed);
    chunk.extend(length.to_be_bytes());
    chunk.extend(b"stonewal");
    chunk
}

/// One entry of an index.
pub(crate) fn entry(sealed_bytes: u32, plain_bytes: u32) -> Vec<u8> {
    [sealed_bytes.to_be_bytes(), plain_bytes.to_be_bytes()].concat()
}
