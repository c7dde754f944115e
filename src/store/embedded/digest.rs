//! Checksums of bodies, computed while they arrive and compared with what the client announced.
//!
//! S3 User Guide, "Checking object integrity": `x-amz-checksum-*` values are base64 of the big-endian digest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use ring::digest;
use serde::{Deserialize, Serialize};

/// The algorithms whose values the server verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64nvme, Self::Sha1, Self::Sha256];

    /// As the API spells it (`CRC64NVME`).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Finds an algorithm by its API name, in any case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The algorithm of an `x-amz-checksum-…` header name.
    pub(super) fn from_header(name: &str) -> Option<Self> {
        name.strip_prefix("x-amz-checksum-").and_then(Self::from_name)
    }

    /// Only CRCs of parts combine into the CRC of the whole object.
    pub(super) fn is_crc(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64nvme)
    }

    /// Length of the digest in bytes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// A checksum as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    /// Base64; with `-<parts>` after it when it is a checksum of part checksums.
    pub(super) value: String,
}

impl Checksum {
    /// Whether this is a checksum of part checksums (type `COMPOSITE`).
    pub(super) fn is_composite(&self) -> bool {
        self.value.contains('-')
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), self.value)
    }
}

/// One running checksum.
pub(super) enum Hasher {
    Crc(Algorithm, crc_fast::Digest),
    Sha(Algorithm, digest::Context),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let crc = |kind| Self::Crc(algorithm, crc_fast::Digest::new(kind));
        match algorithm {
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 => Self::Sha(algorithm, digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => Self::Sha(algorithm, digest::Context::new(&digest::SHA256)),
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        match self {
            Self::Crc(_, crc) => crc.update(data),
            Self::Sha(_, sha) => sha.update(data),
        }
    }

    pub(super) fn finish(self) -> Checksum {
        let (algorithm, bytes) = match self {
            Self::Crc(algorithm, crc) => {
                let all = crc.finalize().to_be_bytes();
                (algorithm, all[all.len() - algorithm.bytes()..].to_vec())
            }
            Self::Sha(algorithm, sha) => (algorithm, sha.finish().as_ref().to_vec()),
        };
        Checksum { algorithm, value: STANDARD.encode(bytes) }
    }
}

/// MD5 (the ETag, and `Content-MD5`) and one checksum, over the same bytes.
pub(super) struct Digests {
    md5: Md5,
    sum: Hasher,
}

impl Digests {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self { md5: Md5::new(), sum: Hasher::new(algorithm) }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        self.sum.update(data);
    }

    pub(super) fn finish(self) -> (Vec<u8>, Checksum) {
        (self.md5.finalize().to_vec(), self.sum.finish())
    }
}

/// Decodes a base64 digest of exactly `bytes` length.
pub(super) fn decode(value: &str, bytes: usize) -> Option<Vec<u8>> {
    STANDARD.decode(value).ok().filter(|digest| digest.len() == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::types::hex;

    #[test]
    fn published_check_values() {
        // The check input of the CRC catalogue (reveng) and of RFC 1321 / FIPS 180.
        let table = [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ];
        for (algorithm, expected) in table {
            let mut digests = Digests::new(algorithm);
            digests.update(b"1234");
            digests.update(b"56789");
            let (md5, sum) = digests.finish();
            assert_eq!(hex(&md5), "25f9e794323b453885f5181f1b624d0b");
            let raw = decode(&sum.value, algorithm.bytes()).unwrap();
            assert_eq!(hex(&raw), expected, "{}", algorithm.name());
            assert_eq!(
                Algorithm::from_header(&format!("x-amz-checksum-{}", algorithm.name().to_lowercase())),
                Some(algorithm)
            );
        }
    }

    #[test]
    fn malformed_digests_are_not_decoded() {
        assert_eq!(decode("not base64!", 4), None);
        assert_eq!(decode("AAAA", 4), None, "three bytes");
        assert_eq!(decode("AAAAAA==", 4), Some(vec![0; 4]));
        assert_eq!(Algorithm::from_name("xxhash64"), None);
    }
}
