//! Authenticated encryption of frames: AES-256-GCM under a key that belongs to one stream alone.
//!
//! Nonces are counters, never random: the key is fresh for every stream, so a counter cannot repeat under it. The
//! construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): frame number and final flag in the nonce, so
//! that no frame can be dropped, repeated, reordered or cut off unnoticed.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{digest, hkdf, hmac};
use zeroize::Zeroizing;

use super::{Error, KeyId, Result, StreamId, Tag};
use crate::limits::TAG_BYTES;

const KEY_ID_LABEL: &[u8] = b"stonewal/v1/key-id";
const WRAP_LABEL: &[u8] = b"stonewal/v1/wrap";
const STREAM_KEY_LABEL: &[u8] = b"stonewal/v1/stream";
const MANIFEST_KEY_LABEL: &[u8] = b"stonewal/v1/manifest";

/// Last byte of the nonce: what is sealed.
const FLAG_FRAME: u8 = 0;
const FLAG_FINAL_FRAME: u8 = 1;
const FLAG_INDEX: u8 = 2;

/// Random 256-bit key of one backup; stored only wrapped. Wiped when dropped, never printed.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// Takes key bytes; the source is wiped with its owner.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The id that commits to this key.
    pub fn id(&self) -> KeyId {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(KEY_ID_LABEL);
        context.update(&*self.0);
        let mut id = [0; KeyId::BYTES];
        id.copy_from_slice(&context.finish().as_ref()[..KeyId::BYTES]);
        KeyId::new(id)
    }

    /// The name of this key's wrap to exactly these recipients (`age1…`, in any order). Whoever holds the key can tell by
    /// it to whom the key was wrapped, which an age file does not say; whoever does not can neither tell nor foretell it.
    pub fn wrap_tag<'a>(&self, recipients: impl IntoIterator<Item = &'a str>) -> Tag {
        let mut recipients: Vec<&str> = recipients.into_iter().collect();
        recipients.sort_unstable();
        recipients.dedup();
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0));
        context.update(WRAP_LABEL);
        for recipient in recipients {
            context.update(recipient.as_bytes());
            context.update(b"\n");
        }
        let mut tag = [0; Tag::BYTES];
        tag.copy_from_slice(&context.sign().as_ref()[..Tag::BYTES]);
        Tag::new(tag)
    }

    /// The key itself, for wrapping.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn derive(&self, salt: &[u8], label: &[u8]) -> Result<LessSafeKey> {
        let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&*self.0);
        let info = [label];
        let key = pseudorandom.expand(&info, &AES_256_GCM).map_err(|_| Error::TooLong)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id())
    }
}

/// What a sealed piece is, and where it stands in its stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Frame { number: u64, last: bool },
    Index { chunk: u32 },
}

impl Place {
    /// Bytes 0 to 7: counter, big-endian; 8 to 10: zero; 11: flag.
    fn nonce(self) -> Nonce {
        let (counter, flag) = match self {
            Self::Frame { number, last: false } => (number, FLAG_FRAME),
            Self::Frame { number, last: true } => (number, FLAG_FINAL_FRAME),
            Self::Index { chunk } => (u64::from(chunk), FLAG_INDEX),
        };
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&counter.to_be_bytes());
        nonce[11] = flag;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Key of one stream: HKDF-SHA256 of the data key with the stream id as salt (RFC 5869).
pub struct StreamKey(LessSafeKey);

impl StreamKey {
    /// Derives the key; cheap.
    pub fn new(key: &DataKey, stream: &StreamId) -> Result<Self> {
        key.derive(stream.as_bytes(), STREAM_KEY_LABEL).map(Self)
    }

    /// Seals `buffer[start..]` where it lies and appends the tag.
    pub(super) fn seal(&self, place: Place, header: &[u8], buffer: &mut Vec<u8>, start: usize) -> Result<()> {
        let tag = self
            .0
            .seal_in_place_separate_tag(place.nonce(), Aad::from(header), &mut buffer[start..])
            .map_err(|_| Error::TooLong)?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens `sealed` where it lies; `None` if it does not authenticate.
    pub(super) fn open<'a>(&self, place: Place, header: &[u8], sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.0.open_in_place(place.nonce(), Aad::from(header), sealed).ok()
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey")
    }
}

/// Seals the sealed part of a manifest. The metadata key is fresh for every backup and seals one manifest, hence the
/// fixed nonce. The clear part is the associated data, so neither part can be paired with another.
pub(super) fn seal_manifest(key: &DataKey, clear: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>> {
    let key = key.derive(&[], MANIFEST_KEY_LABEL)?;
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(clear), &mut sealed)
        .map_err(|_| Error::TooLong)?;
    Ok(sealed)
}

/// The reverse of [`seal_manifest`].
pub(super) fn open_manifest(key: &DataKey, clear: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let key = key.derive(&[], MANIFEST_KEY_LABEL)?;
    let mut buffer = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.open_in_place(nonce, Aad::from(clear), &mut buffer).map_err(|_| Error::ManifestForged)?;
    buffer.truncate(buffer.len() - TAG_BYTES);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> DataKey {
        DataKey::new(Zeroizing::new([byte; 32]))
    }

    /// Computed by another implementation of HMAC.
    #[test]
    fn the_name_of_a_wrap_tells_the_recipients_in_any_order() {
        let key = DataKey::new(Zeroizing::new([7; 32]));
        let tag = key.wrap_tag(["age1b", "age1a", "age1b"]);
        assert_eq!(tag.to_string(), "c27bfa222f9ee3ac");
        assert_eq!(key.wrap_tag(["age1a", "age1b"]), tag);
        for other in [&["age1a"][..], &["age1ab"], &[]] {
            assert_ne!(key.wrap_tag(other.iter().copied()), tag);
        }
        assert_ne!(DataKey::new(Zeroizing::new([8; 32])).wrap_tag(["age1a", "age1b"]), tag);
    }

    #[test]
    fn i13_keys_do_not_print() {
        let shown = format!("{:?} {:?}", key(0x41), StreamKey::new(&key(0x41), &StreamId::new([0; 16])).unwrap());
        assert!(!shown.contains("4141") && !shown.contains("65, 65") && !shown.contains("AAAA"), "{shown}");
    }

    #[test]
    fn ids_commit_to_keys() {
        assert_eq!(key(1).id(), key(1).id());
        assert_ne!(key(1).id(), key(2).id());
    }

    #[test]
    fn a_piece_opens_only_in_its_place() {
        let places = [
            Place::Frame { number: 0, last: false },
            Place::Frame { number: 0, last: true },
            Place::Frame { number: 1, last: false },
            Place::Index { chunk: 0 },
            Place::Index { chunk: 1 },
        ];
        let stream = StreamKey::new(&key(1), &StreamId::new([7; 16])).unwrap();
        for (i, sealed_at) in places.iter().enumerate() {
            let mut sealed = b"granite".to_vec();
            stream.seal(*sealed_at, b"header", &mut sealed, 0).unwrap();
            for (j, opened_at) in places.iter().enumerate() {
                let opened = stream.open(*opened_at, b"header", &mut sealed.clone()).is_some();
                assert_eq!(opened, i == j, "{sealed_at:?} opened as {opened_at:?}");
            }
            assert!(stream.open(*sealed_at, b"headex", &mut sealed.clone()).is_none());
            let other = StreamKey::new(&key(1), &StreamId::new([8; 16])).unwrap();
            assert!(other.open(*sealed_at, b"header", &mut sealed.clone()).is_none());
        }
    }
}
