//! The only place that draws random bytes.

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::{Error, Result};
use crate::format::{DataKey, RepositoryId, Salt, StreamId, Tag};

pub(super) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

pub(super) fn secret() -> Result<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *secret).map_err(|_| Error::Random)?;
    Ok(secret)
}

/// A fresh random part of an object name.
pub fn tag() -> Result<Tag> {
    bytes().map(Tag::new)
}

/// A fresh stream id.
pub fn stream_id() -> Result<StreamId> {
    bytes().map(StreamId::new)
}

/// A fresh salt.
pub fn salt() -> Result<Salt> {
    bytes().map(Salt::new)
}

/// A fresh repository id.
pub fn repository_id() -> Result<RepositoryId> {
    bytes().map(RepositoryId::new)
}

/// The random part of a fresh backup id.
pub fn backup_suffix() -> Result<[u8; 4]> {
    bytes()
}

/// A fresh data key.
pub fn data_key() -> Result<DataKey> {
    secret().map(DataKey::new)
}
