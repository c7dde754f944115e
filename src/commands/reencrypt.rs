//! `stonewal reencrypt`: backups and WAL again under fresh data keys, after a key was in wrong hands.
//!
//! Every frame is opened, authenticated and sealed anew; nothing is kept on disk. The copy says what it is a copy of, keeps
//! the times of the original, and takes its place in the retention plan, so that the original goes when its locks have ended.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

mod present;
mod wal;

use super::begun::warnings;
use super::repository::{interruptible, prepare_to_write};
use super::{Class, Connected, Error, RepositoryOptions, Result};
use crate::catalog::{Access, Backup, BackupKeys, Draft, Finding, FinishedStream, Repository, commit, outlive};
use crate::format::manifest::{ClearPart, CopyOf};
use crate::format::{BackupId, ClusterName, DataKey, Place, StreamRecord};
use crate::keys::{self, Keyring};
use crate::observe::{Phase, Progress};
use crate::pipeline::stage::SourceReceipt;
use crate::pipeline::{Encoding, StreamReader, StreamWriter, Target};
pub use wal::{Left, WalCopies};

/// What to copy.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// The passphrase: it reads, and only the root writer may put a copy in the place of a backup.
    pub access: Access,
    /// The cluster.
    pub cluster: ClusterName,
    /// The backups.
    pub backups: Vec<BackupId>,
    /// Whether the WAL is copied as well.
    pub wal: bool,
    /// Length of a chunk.
    pub chunk_bytes: usize,
    /// Chunks sent at once.
    pub uploads: usize,
    /// Chunks fetched at once.
    pub downloads: usize,
}

/// One backup and its copy.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// The original.
    pub from: BackupId,
    /// Its copy.
    pub to: BackupId,
    /// Whether the copy was there already, wrapped to the recipients that count now.
    pub already: bool,
    /// Plain bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes stored for the copy.
    pub stored_bytes: u64,
}

/// What was copied.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// In the order asked for.
    pub backups: Vec<Copied>,
    /// Of the WAL, where that was asked for.
    pub wal: Option<WalCopies>,
    /// What is worth knowing although all went well.
    pub warnings: Vec<String>,
}

/// Copies, one backup after the other. What was copied stays copied: run it again after an interruption.
pub async fn run(options: Options, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome> {
    let preparing = Box::pin(prepare_to_write(&options.repository, options.access));
    let (connected, repository) = interruptible(cancel, preparing).await?;
    let is_root = repository.with_keyring(|ring| ring.writer().is_ok_and(|key| key.public() == ring.root()));
    if !is_root || !repository.with_keyring(Keyring::can_read_data) {
        let why = "a copy takes the place of a backup, which only the passphrase may decide: set BACKUP_PASSPHRASE";
        return Err(Error::Usage(why.into()));
    }
    let job = Job {
        connected: &connected,
        repository: &repository,
        cluster: &options.cluster,
        chunk_bytes: options.chunk_bytes,
        uploads: options.uploads,
        downloads: options.downloads,
        progress,
    };
    let mut plain_bytes = 0;
    for id in &options.backups {
        // Whether all exist is known before the first is copied; manifests may be long, and none is kept (invariant I12).
        plain_bytes += interruptible(cancel, job.original(id)).await?.clear().plain_bytes();
    }
    // How much of the WAL there is to copy is known when it is copied.
    if !options.wal {
        progress.expect_plain_bytes(plain_bytes);
    }
    let (mut backups, mut beside) = (Vec::new(), Vec::<String>::new());
    for id in &options.backups {
        let original = interruptible(cancel, job.original(id)).await?;
        let (copied, gone) = interruptible(cancel, Box::pin(job.copy(&original))).await?;
        beside.extend(gone);
        if !copied.already {
            // It exists: what fails from here on, an interruption too, leaves something to be looked at.
            let seen = interruptible(cancel, Box::pin(job.look_at(&original, &copied))).await;
            match seen {
                Ok(line) => beside.extend(line),
                Err(error) if error.class() == Class::Integrity => return Err(error),
                Err(error) => beside.push(unseen(&copied, &error)),
            }
        }
        backups.push(copied);
    }
    let mut wal = None;
    if options.wal {
        let (copies, gone) = interruptible(cancel, Box::pin(wal::copy_all(&job))).await?;
        beside.extend(gone);
        wal = Some(copies);
    }
    // Everything stands on the same ground.
    let mut said = HashSet::new();
    beside.retain(|line| said.insert(line.clone()));
    progress.set_phase(Phase::Done);
    let mut warnings = warnings(&connected, &repository, &[]);
    warnings.extend(beside);
    Ok(Outcome { location: connected.location, cluster: options.cluster, backups, wal, warnings })
}

struct Job<'a> {
    connected: &'a Connected,
    repository: &'a Repository,
    cluster: &'a ClusterName,
    chunk_bytes: usize,
    uploads: usize,
    downloads: usize,
    progress: &'a Progress,
}

impl Job<'_> {
    async fn original(&self, id: &BackupId) -> Result<Backup> {
        Ok(self.repository.backup(self.cluster, id).await?.0)
    }

    /// Copies, unless there is a copy. Beside it, what was missing of what it stands on. Nothing can fail behind the commit.
    async fn copy(&self, original: &Backup) -> Result<(Copied, Vec<String>)> {
        if let Some(present) = self.present(original).await?.pop() {
            return Ok((present.copied, Vec::new()));
        }
        let sealed = self.repository.sealed_part(&original.manifest).await?;
        let lock = self.connected.lock()?;
        let gone = match lock {
            Some(lock) => outlive(&*self.connected.store, self.repository, lock, self.connected.lock_max()).await?,
            None => Vec::new(),
        };
        let fresh = BackupKeys::store(&*self.connected.store, self.repository, lock).await?;
        let clear = original.clear();
        let backup = BackupId::new(clear.started_at, keys::backup_suffix()?);
        let place = Place { backup, ..self.repository.place(original) };
        let target = Arc::new(Target {
            store: self.connected.store.clone(),
            place: place.clone(),
            lock,
            chunk_bytes: self.chunk_bytes,
            uploads: self.uploads,
            progress: self.progress.clone(),
        });
        let payload = self.repository.payload_key(&clear.payload_key).await?;
        let metadata = self.repository.metadata_key(&clear.metadata_key).await?;
        self.progress.set_phase(Phase::Streaming);
        let mut streams = Vec::new();
        for record in &clear.streams {
            let is_payload = *clear.key_of(&record.name) == clear.payload_key;
            let (from, to) = if is_payload { (&payload, fresh.payload()) } else { (&metadata, fresh.metadata()) };
            streams.push(self.stream(original, record, from, &target, to).await?);
        }
        let draft = Draft {
            place,
            kind: clear.kind,
            system_identifier: clear.system_identifier,
            started_at: clear.started_at,
            server_version: clear.server_version.clone(),
            timeline: clear.timeline,
            lsn: clear.lsn.clone(),
            base: clear.base.clone(),
            copy_of: Some(origin(self.repository, original)),
            lock,
            sealed,
        };
        let committed = commit(&*self.connected.store, self.repository, fresh, draft, streams).await?;
        Ok((copied(original, &committed.clear, false), gone.iter().map(Finding::to_string).collect()))
    }

    /// Whether a copy that was made is found and opens, and whether somebody else made one at the same time.
    async fn look_at(&self, original: &Backup, copied: &Copied) -> Result<Option<String>> {
        let (copy, _) = self.repository.backup(self.cluster, &copied.to).await?;
        self.repository.sealed_part(&copy.manifest).await?;
        Ok(present::rivals(copied, &self.present(original).await?))
    }

    async fn stream(
        &self,
        original: &Backup,
        record: &StreamRecord,
        from: &DataKey,
        target: &Arc<Target>,
        to: &DataKey,
    ) -> Result<FinishedStream> {
        let (store, place) = (self.repository.store().clone(), self.repository.place(original));
        // What goes through is counted once, by the writer.
        let mut reader = StreamReader::new(store, place, record.clone(), from, self.downloads, Progress::new())?;
        let encoding = Encoding { codec: record.codec, level: record.codec.default_level() };
        let mut writer = StreamWriter::new(target.clone(), record.name.clone(), encoding, to)?;
        while let Some(plain) = reader.next().await? {
            writer.write(&plain).await?;
        }
        let source = SourceReceipt::earned(reader.finish()?.plain_bytes());
        let (sealed, stored) = writer.finish().await?;
        self.read_back(&target.place, stored.record(), to).await?;
        Ok(FinishedStream::new(source, sealed, stored)?)
    }

    /// Opens every frame of a stream of the copy, before there is a copy: retention gives up originals for what is published.
    async fn read_back(&self, place: &Place, record: &StreamRecord, key: &DataKey) -> Result<()> {
        let read = async {
            let (store, progress) = (self.repository.store().clone(), Progress::new());
            let mut reader = StreamReader::new(store, place.clone(), record.clone(), key, self.downloads, progress)?;
            while reader.next().await?.is_some() {}
            reader.finish().map(drop)
        };
        read.await.map_err(|error| match error {
            error if error.is_integrity() => {
                Error::BadCopy { backup: place.backup.clone(), why: crate::observe::chain(&error) }
            }
            error => error.into(),
        })
    }
}

/// What a copy of `original` says it is a copy of: of a copy, the first original, so that what is known of that (its age, a
/// mark in `retention.keep`) is still known when the copies between are gone.
fn origin(repository: &Repository, original: &Backup) -> CopyOf {
    let own = || CopyOf { backup: original.clear().backup.clone(), arrived_at: original.entry.last_modified };
    original.copy_of(&repository.trusted_root()).cloned().unwrap_or_else(own)
}

fn copied(original: &Backup, copy: &ClearPart, already: bool) -> Copied {
    Copied {
        from: original.clear().backup.clone(),
        to: copy.backup.clone(),
        already,
        plain_bytes: copy.plain_bytes(),
        stored_bytes: copy.stored_bytes(),
    }
}

/// What is left to do where a copy could not be looked at.
fn unseen(Copied { from, to, .. }: &Copied, error: &Error) -> String {
    let why = crate::observe::chain(error);
    format!(
        "backup {from} was copied as {to}, and that could not be looked at again ({why}): `stonewal verify {to} --level decrypt`"
    )
}
