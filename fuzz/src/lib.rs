//! What the targets share: one place in one repository, and keys.

use std::sync::OnceLock;

use stonewal::format::signed::{self, Purpose};
use stonewal::format::{ChunkHeader, Codec, DataKey, KeyId, RepositoryId, StreamId, StreamName};
use stonewal::keys::WriterKey;
use zeroize::Zeroizing;

/// The key of everything that is sealed here.
pub fn data_key() -> DataKey {
    DataKey::new(Zeroizing::new([7; 32]))
}

/// Where the chunk under test must stand.
pub fn place(codec: Codec, key: KeyId) -> ChunkHeader {
    let name: StreamName = "dump".parse().unwrap();
    ChunkHeader {
        codec,
        number: 0,
        first_frame: 0,
        repository: RepositoryId::new([1; 16]),
        key,
        stream: StreamId::new([2; 16]),
        cluster: "main".parse().unwrap(),
        backup: "20261124T031500Z-5b0c6f2e".parse().unwrap(),
        name,
    }
}

/// A codec out of two bits.
pub fn codec(byte: u8) -> Codec {
    [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Lz4][usize::from(byte % 4)]
}

/// The writer that is trusted.
pub fn writer() -> &'static WriterKey {
    static WRITER: OnceLock<WriterKey> = OnceLock::new();
    WRITER.get_or_init(|| WriterKey::generate().unwrap())
}

/// `payload` as the trusted writer would publish it.
pub fn signed(purpose: Purpose, payload: &[u8]) -> Vec<u8> {
    signed::seal(purpose, payload.to_vec(), writer().public(), |message| writer().sign(message))
}

/// The payload of a genuine signed record with a piece of it replaced: the first three bytes of `input` say where and how much, the
/// others by what.
pub fn changed(genuine: &[u8], input: &[u8]) -> Vec<u8> {
    let envelope = signed(Purpose::Audit, &[]).len();
    let payload = &genuine[..genuine.len() - envelope];
    let [high, low, length, new @ ..] = input else { return payload.to_vec() };
    let at = usize::from(u16::from_be_bytes([*high, *low])) % payload.len();
    let end = (at + usize::from(*length)).min(payload.len());
    [&payload[..at], new, &payload[end..]].concat()
}
