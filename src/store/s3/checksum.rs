//! Checksums of objects, computed by us and sent as a header.
//!
//! AWS requires `Content-MD5` or an `x-amz-checksum-*` header on every PUT that sets a lock (S3 API Reference, PutObject).
//! A trailer does not count and `aws-chunked` bodies break many stores, so the value is known before the request starts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, checksum};
use md5::{Digest as _, Md5};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// Which checksum goes with an object (S3 User Guide, "Checking object integrity").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// CRC-64/NVME: what AWS recommends; stores older than 2025 do not know it.
    #[default]
    Crc64Nvme,
    /// SHA-256: known to every store with additional checksums.
    Sha256,
    /// CRC-32C.
    Crc32c,
    /// `Content-MD5`: the oldest form, understood everywhere, kept by no store.
    Md5,
}

impl Checksum {
    /// Name of the request header.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Md5 => "content-md5",
        }
    }

    /// Its name in `x-amz-sdk-checksum-algorithm`, which goes with the value; `Content-MD5` goes alone.
    pub(super) fn algorithm(self) -> Option<&'static str> {
        match self {
            Self::Crc64Nvme => Some("CRC64NVME"),
            Self::Sha256 => Some("SHA256"),
            Self::Crc32c => Some("CRC32C"),
            Self::Md5 => None,
        }
    }

    /// The header value for `body`: base64 of the checksum, big-endian where it is a number.
    pub(super) fn of(self, body: &[u8]) -> String {
        match self {
            Self::Crc64Nvme => STANDARD.encode(checksum(CrcAlgorithm::Crc64Nvme, body).to_be_bytes()),
            // The 32-bit sum arrives in the low half of 64 bits.
            Self::Crc32c => STANDARD.encode(&checksum(CrcAlgorithm::Crc32Iscsi, body).to_be_bytes()[4..]),
            Self::Sha256 => STANDARD.encode(digest(&SHA256, body)),
            Self::Md5 => STANDARD.encode(Md5::digest(body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of the CRC catalogue, RFC 1321 and FIPS 180 for the ASCII digits 1 to 9.
    #[test]
    fn values_are_the_published_ones() {
        let digits = b"123456789";
        assert_eq!(Checksum::Crc64Nvme.of(digits), STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
        assert_eq!(Checksum::Crc32c.of(digits), STANDARD.encode(0xe306_9283_u32.to_be_bytes()));
        assert_eq!(Checksum::Md5.of(digits), "JfnnlDI7RTiF9RgfG2JNCw==");
        assert_eq!(Checksum::Sha256.of(digits), "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=");
    }
}
