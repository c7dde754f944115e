//! Finding a backup's data keys: the wraps its manifest pins first, then any added since.

use super::listing::Oldest;
use super::{Error, Repository, Result};
use crate::format::manifest::{KeyRecord, Manifest, SealedPart};
use crate::format::{DataKey, KeyId};
use crate::keys::{self, Keyring};
use crate::limits::SMALL_OBJECT_BYTES_MAX;
use crate::store::{self, ObjectKey, Read, VersionId, versions_of};

pub(super) type Unwrap = fn(&Keyring, &[u8], KeyId) -> keys::Result<DataKey>;

impl Repository {
    /// The key of a backup's streams.
    pub async fn payload_key(&self, record: &KeyRecord) -> Result<DataKey> {
        self.data_key(record, Keyring::unwrap_payload).await
    }

    /// The key of a backup's metadata.
    pub async fn metadata_key(&self, record: &KeyRecord) -> Result<DataKey> {
        self.data_key(record, Keyring::unwrap_metadata).await
    }

    /// The sealed part of a backup's manifest.
    pub async fn sealed_part(&self, manifest: &Manifest) -> Result<SealedPart> {
        let key = self.data_key(&manifest.clear().metadata_key, Keyring::unwrap_metadata).await?;
        Ok(manifest.open(&key)?)
    }

    /// The key in one wrap: with an identity at hand, else with the help of AWS KMS.
    pub(super) async fn open_wrap(&self, wrapped: &[u8], id: KeyId, unwrap: Unwrap) -> keys::Result<DataKey> {
        let (opened, kms) = self.with_keyring(|ring| (unwrap(ring, wrapped, id), ring.kms().cloned()));
        match (opened, kms) {
            (Err(keys::Error::NotARecipient { .. }), Some(key)) => self.door.open(&key, wrapped, id).await,
            (opened, _) => opened,
        }
    }

    async fn data_key(&self, record: &KeyRecord, unwrap: Unwrap) -> Result<DataKey> {
        let pinned = ObjectKey::new(self.names.wrap(record.id, record.wrap.tag));
        let (version, mark) = (VersionId::new(record.wrap.version.clone()), self.store.unheard());
        let mut refusal = match self.try_wrap(&pinned, &version, record, unwrap).await {
            Ok(key) => return Ok(key),
            Err(Error::Keys(error)) if error.is_of_kms() => return Err(error.into()),
            Err(error) => error,
        };
        // In a replica the same wrap has another version id; it proves by itself that it is one.
        let others = versions_of(&*self.store, &pinned, |entry| {
            entry.bytes <= SMALL_OBJECT_BYTES_MAX && entry.version != version
        });
        for entry in others.await? {
            match self.try_wrap(&entry.key, &entry.version, record, unwrap).await {
                Ok(key) => return Ok(key),
                Err(error) => refusal = told(refusal, error)?,
            }
        }
        let mut oldest = Oldest::and_later(&*self.store, self.names.wraps(record.id));
        while let Some((entries, _)) = oldest.next().await? {
            for entry in entries.iter().filter(|entry| entry.key != pinned && entry.bytes <= SMALL_OBJECT_BYTES_MAX) {
                match self.try_wrap(&entry.key, &entry.version, record, unwrap).await {
                    Ok(key) => return Ok(key),
                    Err(error) => refusal = told(refusal, error)?,
                }
            }
        }
        match refusal {
            Error::Store(store::Error::NotFound { .. }) => {
                self.store.all_heard(mark)?;
                Err(Error::LostKey { key: record.id })
            }
            refusal => Err(refusal),
        }
    }

    async fn try_wrap(
        &self,
        key: &ObjectKey,
        version: &VersionId,
        record: &KeyRecord,
        unwrap: Unwrap,
    ) -> Result<DataKey> {
        let head = self.store.head(key, version).await?;
        if head.bytes > SMALL_OBJECT_BYTES_MAX {
            let (target, what) = (key.to_string(), "it is too long for a wrapped key".to_owned());
            return Err(store::Error::Corrupt { target, what }.into());
        }
        let wrapped = Read::get(&*self.store, key, version, 0..head.bytes).await?;
        Ok(self.open_wrap(&wrapped, record.id, unwrap).await?)
    }
}

/// What was planted says nothing; a store that fails does, and so does a wrap that is there for others. Where KMS fails, no
/// other wrap will open.
fn told(refusal: Error, error: Error) -> Result<Error> {
    let gone = matches!(refusal, Error::Store(store::Error::NotFound { .. }));
    match error {
        Error::Store(error) if !error.is_about_the_object() => Ok(error.into()),
        Error::Keys(error) if error.is_of_kms() => Err(error.into()),
        Error::Keys(keys::Error::NotARecipient { .. }) if gone => Ok(error),
        _ => Ok(refusal),
    }
}
