//! Recording that WAL is missing (invariant I9).

use crate::catalog::{Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::GapRecord;
use crate::keys::tag;
use crate::store::{Append, Lock, ObjectKey, Put};

/// Stores a gap record; returns its key.
pub async fn record_gap(
    store: &dyn Append,
    repository: &Repository,
    gap: &GapRecord,
    lock: Option<Lock>,
) -> Result<ObjectKey> {
    let body = repository.with_keyring(|ring| -> Result<Vec<u8>> {
        let writer = ring.writer()?;
        Ok(gap.encode(writer.public(), |message| writer.sign(message))?)
    })?;
    let name = WalName::Gap { timeline: gap.timeline, range: gap.range(), tag: tag()? };
    let key = ObjectKey::new(repository.names().wal(&gap.cluster, &name));
    store.put(Put { key: key.clone(), body: body.into(), lock }).await?;
    Ok(key)
}
