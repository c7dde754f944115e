//! The stanza of an age file that is for a key in AWS KMS.

use std::cell::Cell;
use std::collections::HashSet;

use age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt, hkdf};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest;
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use secrecy::ExposeSecret as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Agreed, KmsKey, Point};
use crate::format::{DataKey, KeyId};
use crate::keys::Result;
use crate::keys::wrap::{Fault, WRAP, decrypt, unwrap_with};

/// Kind of the stanza.
const KIND: &str = "aws-kms-p256";
const LABEL: &[u8] = b"stonewal/v1/aws-kms-p256";
const TAG_BYTES: usize = 4;

impl KmsKey {
    /// What KMS must be asked to open `wrapped`; `None` if it is not wrapped to this key.
    pub(super) fn question(&self, wrapped: &[u8]) -> Result<Option<Point>> {
        let seeker = Seeker { key: self, found: Cell::new(None) };
        match decrypt(wrapped, std::iter::once(&seeker as &dyn age::Identity), WRAP) {
            Err(Fault::Other(error)) => Err(error),
            Ok(_) | Err(Fault::NoMatch) => Ok(seeker.found.get()),
        }
    }

    /// The key that `wrapped` holds, by the answer to the question about `point`.
    pub(super) fn unwrap(&self, wrapped: &[u8], point: &Point, agreed: &Agreed, expected: KeyId) -> Result<DataKey> {
        let opener = Opener { key: self, point, agreed };
        unwrap_with(wrapped, std::iter::once(&opener as &dyn age::Identity), expected)
    }

    /// The point in a stanza that is for this key.
    fn point_in(&self, stanza: &Stanza) -> Option<Point> {
        let [tag, point] = stanza.args.as_slice() else { return None };
        if stanza.tag != KIND {
            return None;
        }
        let point = STANDARD_NO_PAD.decode(point).ok().and_then(|point| Point::try_from(point).ok())?;
        (*tag == self.tag(&point)).then_some(point)
    }

    /// Tells whoever has the public half which stanza is meant for it, and nobody else anything.
    fn tag(&self, point: &Point) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [LABEL, point, &self.point] {
            hash.update(part);
        }
        STANDARD_NO_PAD.encode(&hash.finish().as_ref()[..TAG_BYTES])
    }

    fn stanza_key(&self, point: &Point, secret: &[u8]) -> Zeroizing<[u8; 32]> {
        let salt = [point.as_slice(), &self.point].concat();
        Zeroizing::new(hkdf(&salt, LABEL, secret))
    }

    fn seal(&self, file_key: &FileKey) -> Result<Stanza, Unspecified> {
        let ours = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())?;
        let point = Point::try_from(ours.compute_public_key()?.as_ref()).map_err(|_| Unspecified)?;
        let theirs = UnparsedPublicKey::new(&ECDH_P256, &self.point);
        let body = agree_ephemeral(ours, &theirs, |secret| {
            aead_encrypt(&self.stanza_key(&point, secret), file_key.expose_secret())
        })?;
        Ok(Stanza { tag: KIND.into(), args: vec![self.tag(&point), STANDARD_NO_PAD.encode(point)], body })
    }
}

impl age::Recipient for KmsKey {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let failed = |_| EncryptError::Io(std::io::Error::other("the agreement with the public half failed"));
        Ok((vec![self.seal(file_key).map_err(failed)?], HashSet::new()))
    }
}

/// Opens nothing: finds out what to ask.
struct Seeker<'a> {
    key: &'a KmsKey,
    found: Cell<Option<Point>>,
}

impl age::Identity for Seeker<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if self.found.get().is_none() {
            self.found.set(self.key.point_in(stanza));
        }
        None
    }
}

/// Opens what was asked about.
struct Opener<'a> {
    key: &'a KmsKey,
    point: &'a Point,
    agreed: &'a Agreed,
}

impl age::Identity for Opener<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.key.point_in(stanza).filter(|point| point == self.point)?;
        let key = self.key.stanza_key(self.point, self.agreed.expose());
        let mut plain = aead_decrypt(&key, FILE_KEY_BYTES, &stanza.body).ok()?;
        let file_key = FileKey::init_with_mut(|file_key| file_key.copy_from_slice(&plain));
        plain.zeroize();
        Some(Ok(file_key))
    }
}
