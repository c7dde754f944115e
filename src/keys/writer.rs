//! Writer keys: Ed25519, the right to publish.

use std::fmt;

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Error, Result, random};
use crate::format::WriterPublic;

/// Secret half of a writer key (RFC 8032 seed). Wiped when dropped, never printed.
pub struct WriterKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: WriterPublic,
}

impl WriterKey {
    /// A fresh key.
    pub fn generate() -> Result<Self> {
        Self::from_seed(random::secret()?)
    }

    /// The key as it is kept in bundles and writer files: the seed, hexadecimal.
    pub(super) fn secret(&self) -> SecretString {
        SecretString::from(crate::format::hex(&*self.seed))
    }

    /// Reads [`WriterKey::secret`].
    pub(super) fn parse(secret: &SecretString) -> Result<Self> {
        let bad = Error::File { what: "writer key", why: "it is not 64 hexadecimal digits".into() };
        let seed = crate::format::unhex::<32>(secret.expose_secret().trim()).ok_or(bad)?;
        Self::from_seed(Zeroizing::new(seed))
    }

    fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed)
            .map_err(|e| Error::File { what: "writer key", why: e.to_string() })?;
        let mut public = [0; WriterPublic::BYTES];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { seed, pair, public: WriterPublic::new(public) })
    }

    /// The public half.
    pub fn public(&self) -> &WriterPublic {
        &self.public
    }

    /// Signs; used through `format::signed`, which adds the label.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for WriterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterKey({})", self.public.id())
    }
}
