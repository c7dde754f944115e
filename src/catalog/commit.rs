//! Making a backup visible: the only way is to hand over every receipt.

use std::collections::HashMap;

use jiff::Timestamp;

use super::listing::each_entry;
use super::{Error, Repository, Result};
use crate::format::manifest::{BaseRange, ClearPart, CopyOf, KeyRecord, Kind, Manifest, SealedPart};
use crate::format::{DataKey, LockModeRecord, LockRecord, ObjectRecord, Place, StreamRecord};
use crate::keys::{self, Recipient, data_key, tag};
use crate::pipeline::stage::{SealReceipt, SourceReceipt, StoreReceipt};
use crate::store::{Append, Lock, LockMode, ObjectKey, Put, Read, VersionId};

/// The data keys of one backup, their wraps already in the bucket.
#[derive(Debug)]
pub struct BackupKeys {
    payload: DataKey,
    payload_record: KeyRecord,
    metadata: DataKey,
    metadata_record: KeyRecord,
}

impl BackupKeys {
    /// Fresh keys, wrapped and stored. These are the first objects of a backup, so they also prove, before a byte of
    /// data is read, that the store accepts locked objects and that it really locked them.
    pub async fn store<S: Read + Append>(store: &S, repository: &Repository, lock: Option<Lock>) -> Result<Self> {
        let (payload, metadata) = (data_key()?, data_key()?);
        let (recipients, metadata_recipients) =
            repository.with_keyring(|ring| (ring.recipients().to_vec(), ring.metadata_recipients().to_vec()));
        let payload_record = store_wrap(store, repository, &payload, &recipients, lock).await?;
        let metadata_record = store_wrap(store, repository, &metadata, &metadata_recipients, lock).await?;
        let keys = Self { payload, payload_record, metadata, metadata_record };
        keys.prove(repository).await?;
        Ok(keys)
    }

    /// Key of the streams.
    pub fn payload(&self) -> &DataKey {
        &self.payload
    }

    /// Key of what even a host that cannot read data may read: the sealed part, and PostgreSQL's own manifest.
    pub fn metadata(&self) -> &DataKey {
        &self.metadata
    }

    /// Reads the wraps back from the bucket and opens what this host can open.
    async fn prove(&self, repository: &Repository) -> Result<()> {
        if repository.with_keyring(keys::Keyring::can_read_data) {
            repository.payload_key(&self.payload_record).await?;
        }
        Ok(())
    }
}

async fn store_wrap<S: Read + Append>(
    store: &S,
    repository: &Repository,
    key: &DataKey,
    recipients: &[Recipient],
    lock: Option<Lock>,
) -> Result<KeyRecord> {
    let (body, tag) = (keys::wrap(key, recipients)?.into(), repository.with_keyring(|ring| ring.wrap_tag(key)));
    let object = ObjectKey::new(repository.names().wrap(key.id(), tag));
    let stored = store.put(Put { key: object.clone(), body, lock }).await?;
    check_locked(store, &object, &stored.version, lock).await?;
    Ok(KeyRecord { id: key.id(), wrap: ObjectRecord { tag, version: stored.version.as_str().to_owned() } })
}

/// Reads back whether the store did what it acknowledged.
async fn check_locked(store: &dyn Read, key: &ObjectKey, version: &VersionId, lock: Option<Lock>) -> Result<()> {
    let Some(asked) = lock else { return Ok(()) };
    let unlocked = |why: String| Err(Error::Unlocked { key: key.to_string(), why });
    if *version == VersionId::null() {
        return unlocked("it has no version id".into());
    }
    match store.head(key, version).await?.lock {
        None => unlocked("it has no lock".into()),
        Some(found) if found.outlasts(asked) => Ok(()),
        Some(found) => unlocked(format!(
            "{} until {} was asked for, {} until {} is set",
            asked.mode, asked.retain_until, found.mode, found.retain_until
        )),
    }
}

/// A stream that was read to its end, sealed to its end and stored to its end.
#[derive(Debug)]
#[must_use]
pub struct FinishedStream {
    record: StreamRecord,
}

impl FinishedStream {
    /// Takes the three receipts; they must agree.
    pub fn new(source: SourceReceipt, sealed: SealReceipt, stored: StoreReceipt) -> Result<Self> {
        let (source_bytes, (sealed_bytes, frames), record) =
            (source.into_bytes(), sealed.into_counts(), stored.into_record());
        let stored_bytes = record.plain_bytes;
        if source_bytes != sealed_bytes || sealed_bytes != stored_bytes || frames != record.frames {
            return Err(Error::Receipts { stream: record.name, source_bytes, sealed_bytes, stored_bytes });
        }
        Ok(Self { record })
    }
}

/// What the manifest will say besides streams and keys.
#[derive(Debug)]
pub struct Draft {
    /// The backup's place.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
    /// PostgreSQL's system identifier.
    pub system_identifier: Option<u64>,
    /// When it began (store time).
    pub started_at: Timestamp,
    /// Version of the server.
    pub server_version: String,
    /// Timeline.
    pub timeline: Option<u32>,
    /// Position in the WAL.
    pub lsn: Option<String>,
    /// Where a base backup stands in the WAL.
    pub base: Option<BaseRange>,
    /// What it is a copy of.
    pub copy_of: Option<CopyOf>,
    /// Retention of every object.
    pub lock: Option<Lock>,
    /// What only key holders may read.
    pub sealed: SealedPart,
}

/// A backup that now exists.
#[derive(Debug)]
pub struct Committed {
    /// Clear part of its manifest.
    pub clear: ClearPart,
    /// The manifest's object.
    pub key: ObjectKey,
    /// Its version.
    pub version: VersionId,
}

/// Writes the manifest, the last object of a backup and the one that makes it exist (invariant I2). Before that it
/// lists what the store holds and finds every chunk in the version acknowledged.
pub async fn commit<S: Read + Append>(
    store: &S,
    repository: &Repository,
    keys: BackupKeys,
    draft: Draft,
    streams: Vec<FinishedStream>,
) -> Result<Committed> {
    let place = draft.place;
    let clear = ClearPart {
        repository: place.repository,
        cluster: place.cluster.clone(),
        system_identifier: draft.system_identifier,
        backup: place.backup.clone(),
        manifest: tag()?,
        kind: draft.kind,
        started_at: draft.started_at,
        finished_at: store.clock().now(),
        stonewal: env!("CARGO_PKG_VERSION").to_owned(),
        server_version: draft.server_version,
        timeline: draft.timeline,
        lsn: draft.lsn,
        base: draft.base,
        copy_of: draft.copy_of,
        lock: draft.lock.map(lock_record),
        payload_key: keys.payload_record,
        metadata_key: keys.metadata_record,
        streams: streams.into_iter().map(|stream| stream.record).collect(),
    };
    check_listed(store, &place, &clear).await?;
    // Some stores lock small objects and lose the lock of large ones.
    for stream in &clear.streams {
        if let Some(chunk) = stream.chunks.first() {
            let key = ObjectKey::new(place.chunk(&stream.name, 0, chunk.tag));
            check_locked(store, &key, &VersionId::new(chunk.version.clone()), draft.lock).await?;
        }
    }
    let body = repository.with_keyring(|ring| -> Result<Vec<u8>> {
        let writer = ring.writer()?;
        let sign = |message: &[u8]| writer.sign(message);
        Ok(Manifest::encode(&clear, &draft.sealed, &keys.metadata, writer.public(), sign)?)
    })?;
    let key = ObjectKey::new(place.manifest(clear.manifest));
    let stored = store.put(Put { key: key.clone(), body: body.into(), lock: draft.lock }).await.map_err(|source| {
        if source.is_about_the_object() { source.into() } else { Error::Undecided { key: key.to_string(), source } }
    })?;
    Ok(Committed { clear, key, version: stored.version })
}

/// Finds every chunk of the manifest in a listing of the backup's folder.
async fn check_listed(store: &dyn Read, place: &Place, clear: &ClearPart) -> Result<()> {
    let mut wanted = HashMap::new();
    for stream in &clear.streams {
        for (number, chunk) in (0..).zip(&stream.chunks) {
            let key = place.chunk(&stream.name, number, chunk.tag);
            wanted.insert(key, (chunk.version.as_str(), chunk.bytes));
        }
    }
    each_entry(store, &place.folder(), |entry| {
        let found = (entry.version.as_str(), entry.bytes);
        if !entry.delete_marker && wanted.get(entry.key.as_str()) == Some(&found) {
            wanted.remove(entry.key.as_str());
        }
    })
    .await?;
    match wanted.into_iter().next() {
        Some((key, (version, _))) => Err(Error::Vanished { key, version: version.to_owned() }),
        None => Ok(()),
    }
}

/// A lock as it is recorded.
pub fn lock_record(lock: Lock) -> LockRecord {
    let mode = match lock.mode {
        LockMode::Governance => LockModeRecord::Governance,
        LockMode::Compliance => LockModeRecord::Compliance,
    };
    LockRecord { mode, retain_until: lock.retain_until }
}
