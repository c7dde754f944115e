//! A recipient whose secret half is a key in AWS KMS: ECDH over P-256, so that wrapping needs the public half alone.
//!
//! A wrap for it is a stanza of the age file like any other (docs/FORMAT.md, section 5). Opening it needs one answer of KMS,
//! `DeriveSharedSecret`; nothing of it happens here but what goes before and comes after that answer.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::rand::SystemRandom;

use super::{Error, Result};
use crate::limits::KMS_ARN_BYTES_MAX;

mod door;
mod error;
mod file;
mod stanza;

pub use door::{Agreed, Agreement, Door};
pub use error::KmsError;
pub use file::{KmsAccess, KmsFile};

/// What a recipient's text begins with.
pub(super) const PREFIX: &str = "aws-kms:";

/// A point of the curve, uncompressed: 4, x, y.
pub type Point = [u8; 65];

/// A key in AWS KMS: its public half, and where the other one is.
#[derive(Clone, PartialEq, Eq)]
pub struct KmsKey {
    point: Point,
    arn: String,
}

impl KmsKey {
    /// The key with this ARN, whose public half is `point`.
    pub fn new(arn: &str, point: &[u8]) -> Result<Self> {
        let bad = || Error::BadRecipient { text: arn.to_owned() };
        if !is_key_arn(arn) {
            return Err(bad());
        }
        let point = Point::try_from(point).ok().filter(is_on_curve).ok_or_else(bad)?;
        Ok(Self { point, arn: arn.to_owned() })
    }

    /// The ARN of the key.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The region in its ARN.
    pub fn region(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }

    /// The ARN of its replica in another region: multi-Region keys have the same halves in each.
    pub fn arn_in(&self, region: &str) -> String {
        let parts = self.arn.split(':').enumerate().map(|(i, part)| if i == 3 { region } else { part });
        parts.collect::<Vec<_>>().join(":")
    }
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`. An alias could point to another key tomorrow.
fn is_key_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let id = parts.get(5).and_then(|rest| rest.strip_prefix("key/"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    text.len() <= KMS_ARN_BYTES_MAX
        && parts.len() == 6
        && (parts[0], parts[2]) == ("arn", "kms")
        && [parts[1], parts[3], parts[4]].into_iter().all(plain)
        && id.is_some_and(plain)
}

/// Whether an agreement with it is possible: ring takes no other points.
fn is_on_curve(point: &Point) -> bool {
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new());
    ours.is_ok_and(|ours| agree_ephemeral(ours, &UnparsedPublicKey::new(&ECDH_P256, point), |_| ()).is_ok())
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", URL_SAFE_NO_PAD.encode(self.point), self.arn)
    }
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KmsKey {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::BadRecipient { text: text.to_owned() };
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':'));
        let (point, arn) = rest.ok_or_else(bad)?;
        let point = URL_SAFE_NO_PAD.decode(point).map_err(|_| bad())?;
        Self::new(arn, &point).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests;
