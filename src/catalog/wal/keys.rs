//! Data keys of WAL runs: wrapped in every object; wraps added since are found by listing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalog::listing::{Oldest, read_small};
use crate::catalog::{Error, Repository, Result};
use crate::format::wal::WalHead;
use crate::format::{DataKey, KeyId};
use crate::keys::Keyring;
use crate::limits::WAL_KEYS_MAX;

/// Keys opened so far: one for thousands of objects.
#[derive(Debug, Default)]
pub(in crate::catalog) struct WalKeys(Mutex<HashMap<KeyId, Arc<DataKey>>>);

impl WalKeys {
    fn get(&self, id: KeyId) -> Option<Arc<DataKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn keep(&self, key: DataKey) -> Arc<DataKey> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= WAL_KEYS_MAX {
            keys.clear();
        }
        let key = Arc::new(key);
        keys.insert(key.id(), key.clone());
        key
    }
}

impl Repository {
    /// The key that opens the body of the object that begins with `head`.
    pub async fn wal_key(&self, head: &WalHead) -> Result<Arc<DataKey>> {
        let (id, wrap) = (head.header().key, &head.header().wrap.0);
        if let Some(key) = self.wal_keys.get(id) {
            return Ok(key);
        }
        let mut refusal = match self.open_wrap(wrap, id, Keyring::unwrap_payload).await {
            Ok(key) => return Ok(self.wal_keys.keep(key)),
            Err(refusal) if refusal.is_of_kms() => return Err(refusal.into()),
            Err(refusal) => Error::from(refusal),
        };
        if !self.with_keyring(Keyring::can_read_data) {
            return Err(refusal);
        }
        let mut oldest = Oldest::new(&*self.store, self.names.wraps(id));
        while let Some((entries, _)) = oldest.next().await? {
            for entry in &entries {
                match read_small(&*self.store, entry).await {
                    Ok(Some(wrap)) => match self.open_wrap(&wrap, id, Keyring::unwrap_payload).await {
                        Ok(key) => return Ok(self.wal_keys.keep(key)),
                        Err(error) if error.is_of_kms() => return Err(error.into()),
                        // What was planted says nothing; a store that fails does.
                        Err(_) => {}
                    },
                    Ok(None) => {}
                    Err(error) => refusal = error,
                }
            }
        }
        Err(refusal)
    }
}
