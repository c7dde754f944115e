//! Compression of one frame on its own.
//!
//! gzip members and zstd and lz4 frames concatenate, so the decrypted frames of a stream in order are a plain `.gz`,
//! `.zst` or `.lz4` file.

use std::fmt;
use std::str::FromStr;

use async_compression::Level;
use async_compression::tokio::bufread::{GzipDecoder, GzipEncoder, Lz4Decoder, Lz4Encoder, ZstdDecoder, ZstdEncoder};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Error, Result};
use crate::limits::FRAME_BYTES_MAX;

/// How the frames of a stream are compressed; recorded with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Stored as they are.
    None,
    /// RFC 1952; the default, readable everywhere.
    Gzip,
    /// RFC 8878; the fast choice.
    Zstd,
    /// LZ4 frame format; for hosts poor in processors.
    Lz4,
}

impl Codec {
    /// Name in configuration and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// The level used when none is asked for: the fastest one that still compresses SQL text well.
    pub fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Lz4 => 1,
            Self::Gzip | Self::Zstd => 3,
        }
    }

    /// Levels that may be asked for.
    pub fn levels(self) -> std::ops::RangeInclusive<i32> {
        match self {
            Self::None => 1..=1,
            Self::Gzip => 1..=9,
            Self::Zstd => 1..=19,
            Self::Lz4 => 1..=12,
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Zstd => 2,
            Self::Lz4 => 3,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Result<Self> {
        Ok(match byte {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Zstd,
            3 => Self::Lz4,
            _ => return Err(Error::Malformed { what: "codec", why: format!("{byte} is not a codec number") }),
        })
    }

    /// Compresses one frame of at most [`FRAME_BYTES_MAX`] bytes into a complete gzip member, zstd or lz4 frame.
    pub fn compress(self, plain: &[u8], level: i32) -> Result<Vec<u8>> {
        let packed = self.encode(plain, Level::Precise(level))?;
        // zlib-rs at level 1 grows noise by a twentieth; stored blocks grow by a header each.
        if self == Self::Gzip && packed.len() > plain.len() {
            return self.encode(plain, Level::Precise(0));
        }
        Ok(packed)
    }

    fn encode(self, plain: &[u8], level: Level) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(plain.len() / 2 + 128);
        let coded = match self {
            Self::None => drain(plain, &mut out),
            Self::Gzip => drain(GzipEncoder::with_quality(plain, level), &mut out),
            Self::Zstd => drain(ZstdEncoder::with_quality(plain, level), &mut out),
            Self::Lz4 => drain(Lz4Encoder::with_quality(plain, level), &mut out),
        };
        coded.map_err(|why| self.fault(0, why))?;
        Ok(out)
    }

    /// Decompresses frame number `frame` of a stream, which must give exactly `plain_bytes`. Reads no further than
    /// one byte past that, so a frame that would swell costs nothing.
    pub fn decompress(self, packed: &[u8], plain_bytes: usize, frame: u64) -> Result<Vec<u8>> {
        if plain_bytes > FRAME_BYTES_MAX {
            return Err(Error::Absurd { what: "frame", claimed: plain_bytes as u64, max: FRAME_BYTES_MAX as u64 });
        }
        let mut out = Vec::with_capacity(plain_bytes + 1);
        let bound = plain_bytes as u64 + 1;
        let coded = match self {
            Self::None => drain(packed.take(bound), &mut out),
            Self::Gzip => drain(GzipDecoder::new(packed).take(bound), &mut out),
            Self::Zstd => drain(ZstdDecoder::new(packed).take(bound), &mut out),
            Self::Lz4 => drain(Lz4Decoder::new(packed).take(bound), &mut out),
        };
        coded.map_err(|why| self.fault(frame, why))?;
        if out.len() != plain_bytes {
            return Err(self.fault(frame, format!("{} bytes came out where {plain_bytes} were recorded", out.len())));
        }
        Ok(out)
    }

    fn fault(self, frame: u64, why: impl fmt::Display) -> Error {
        Error::Codec { frame, codec: self.name(), why: why.to_string() }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        [Self::None, Self::Gzip, Self::Zstd, Self::Lz4].into_iter().find(|codec| codec.name() == text).ok_or_else(
            || Error::Malformed { what: "codec", why: format!("{text:?} is none of gzip, zstd, lz4, none") },
        )
    }
}

/// Runs an in-memory coder to its end. Its input is a slice, so it is never pending and needs no runtime.
fn drain(coder: impl AsyncRead + Unpin, out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut coder = coder;
    match coder.read_to_end(out).now_or_never() {
        Some(result) => result.map(|_| ()),
        None => Err(std::io::Error::other("the coder waited for input that is all there")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{SEALED_FRAME_BYTES_MAX, TAG_BYTES};

    const ALL: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Lz4];

    proptest! {
        #[test]
        fn any_bytes_come_back(plain in prop::collection::vec(any::<u8>(), 0..5000), pick in 0..4usize) {
            let codec = ALL[pick];
            let packed = codec.compress(&plain, codec.default_level()).unwrap();
            prop_assert_eq!(codec.decompress(&packed, plain.len(), 0).unwrap(), plain);
        }
    }

    #[test]
    fn incompressible_frames_stay_within_the_limit() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[1]
        })
        .take(FRAME_BYTES_MAX)
        .collect();
        for codec in ALL {
            for level in [*codec.levels().start(), codec.default_level()] {
                let packed = codec.compress(&noise, level).unwrap();
                assert!(packed.len() + TAG_BYTES <= SEALED_FRAME_BYTES_MAX, "{codec} {level}: {}", packed.len());
            }
        }
    }

    #[test]
    fn a_bomb_and_a_short_frame_are_refused() {
        for codec in ALL {
            let packed = codec.compress(&vec![0; 100_000], codec.default_level()).unwrap();
            for wrong in [10, 99_999, 100_001] {
                let fault = codec.decompress(&packed, wrong, 7).unwrap_err();
                assert!(matches!(fault, Error::Codec { frame: 7, .. }), "{codec}: {fault}");
            }
            assert!(matches!(codec.decompress(&packed, FRAME_BYTES_MAX + 1, 0), Err(Error::Absurd { .. })));
        }
    }

    #[test]
    fn cut_frames_are_refused() {
        for codec in [Codec::Gzip, Codec::Zstd, Codec::Lz4] {
            let packed = codec.compress(b"stone on stone on stone on stone", 1).unwrap();
            for end in 0..packed.len() {
                // What is lost may be a checksum only: then the bytes are whole and the tag of the seal vouches for them.
                let _ = codec.decompress(&packed[..end], 32, 0).map(|plain| assert_eq!(plain.len(), 32));
            }
            assert!(codec.decompress(&packed[..packed.len() / 2], 32, 0).is_err());
        }
    }
}
