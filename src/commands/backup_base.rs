//! `stonewal backup base`: the files of a whole cluster, with the WAL that makes them consistent, over the replication protocol
//! into the bucket.
//!
//! Two connections: one carries the copy, the other holds a temporary slot, so that the server keeps the WAL of the copy, and
//! is watched. If either is lost there is no backup, and no slot is left behind.

mod archives;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use archives::{Archives, Stored};

use super::begun::{self, Begun};
use super::read_back::{ReadBack, read_back};
use super::repository::interruptible;
use super::{Connected, Error, RepositoryOptions, Result};
use crate::catalog::{
    Access, ClusterIdentity, Committed, Draft, Finding, FinishedStream, Repository, cluster_record, commit,
};
use crate::format::manifest::{
    BaseFacts, BaseRange, CollationFact, IndexedStream, Kind, ParameterFact, SealedPart, TablespaceFact,
    tablespace_stream,
};
use crate::format::{BackupId, ClusterName, LockRecord, Lsn, SegmentSize, StreamName, Timeline};
use crate::observe::{Phase, Progress};
use crate::pipeline::{Encoding, StreamWriter, Target};
use crate::postgres::control::{Control, ServerFacts};
use crate::postgres::replication::{BaseBackup, BaseBackupOptions, BaseEnd, Client, System, Tablespace};
use crate::postgres::{self, ConnInfo};

/// Name that both connections bear in `pg_stat_activity` and `pg_stat_replication`.
const APPLICATION_NAME: &str = "stonewal base";

/// What to back up and how.
#[derive(Debug)]
pub struct Options {
    /// Where to.
    pub repository: RepositoryOptions,
    /// Keys: the passphrase or a writer file.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// The server.
    pub source: ConnInfo,
    /// Its label; `None` = the backup's id.
    pub label: Option<String>,
    /// Whether to checkpoint at once instead of spreading it over minutes.
    pub fast_checkpoint: bool,
    /// Most KiB per second.
    pub max_rate_kib: Option<u32>,
    /// Whether the server checks its pages as it reads them.
    pub verify_checksums: bool,
    /// Compression.
    pub encoding: Encoding,
    /// Bytes of one chunk.
    pub chunk_bytes: usize,
    /// Chunks sent at once.
    pub uploads: usize,
    /// Reads back what was stored, so many chunks at once; `None` = it is not read.
    pub read_back: Option<usize>,
}

/// A backup that now exists.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Its id.
    pub backup: BackupId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// The server, without password.
    pub source: String,
    /// Where it stands in the WAL.
    pub range: BaseRange,
    /// Files in it.
    pub files: u64,
    /// Tablespaces besides the data directory.
    pub tablespaces: u64,
    /// Plain bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Chunks stored.
    pub chunks: u64,
    /// Retention of all its objects.
    pub lock: Option<LockRecord>,
    /// Key of its manifest.
    pub manifest: String,
    /// What came of reading it back, where that was asked for and possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_back: Option<ReadBack>,
    /// What is worth knowing although the backup is whole.
    pub warnings: Vec<String>,
}

/// Backs up. On any failure, and when `cancel` is cancelled, no manifest exists and the server gives up the copy.
pub async fn run(options: Options, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome> {
    let Options { access, ref source, .. } = options;
    let preparing = Box::pin(super::repository::prepare_to_write(&options.repository, access));
    let (connected, repository) = interruptible(cancel, preparing).await?;
    // The server proves itself before anything is written to the bucket.
    let (mut control, client, server) = interruptible(cancel, Box::pin(meet(source))).await?;
    let job = Job {
        connected: &connected,
        repository: &repository,
        server: &server,
        cluster: options.cluster,
        label: options.label,
        encoding: options.encoding,
        target: (options.chunk_bytes, options.uploads),
        progress,
        cancel,
    };
    let command = BaseBackupOptions {
        fast_checkpoint: options.fast_checkpoint,
        max_rate_kib: options.max_rate_kib,
        verify_checksums: options.verify_checksums,
        // The WAL comes along, so there is no need to wait until the server has archived it too.
        wait: false,
        ..BaseBackupOptions::new("")
    };
    let copying = Box::pin(job.copy(client, command));
    let copied = tokio::select! {
        biased;
        copied = copying => copied?,
        lost = control.lost() => return Err(lost.into()),
    };
    let ended_at = interruptible(cancel, async { Ok(control.now().await?) }).await?;
    progress.set_phase(Phase::Finishing);
    let mut made = job.publish(copied, ended_at, source.redacted()).await?;
    if let Some(downloads) = options.read_back {
        let (stored, warnings) = ((&made.cluster, &made.backup), &mut made.warnings);
        made.read_back = read_back(&repository, stored, downloads, cancel, warnings).await;
    }
    Ok(made)
}

/// What is known of the server before the copy.
struct Server {
    system: System,
    facts: ServerFacts,
    segment: SegmentSize,
    begun_at: Timestamp,
}

/// Both connections, to one and the same server, ready and with the WAL held.
async fn meet(source: &ConnInfo) -> Result<(Control, Client, Server)> {
    let control = Control::connect(source, APPLICATION_NAME).await?;
    control.check_ready().await?;
    let mut client = Client::connect(control.info(), APPLICATION_NAME).await?;
    let system = client.identify_system().await?;
    let segment = client.segment_size().await?;
    let facts = control.facts().await?;
    control.hold_wal().await?;
    let begun_at = control.now().await?;
    Ok((control, client, Server { system, facts, segment, begun_at }))
}

/// What every step of a backup needs.
struct Job<'a> {
    connected: &'a Connected,
    repository: &'a Repository,
    server: &'a Server,
    cluster: ClusterName,
    label: Option<String>,
    encoding: Encoding,
    /// Bytes of a chunk, and how many are sent at once.
    target: (usize, usize),
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

/// Everything that the server sent, and its word that this was all.
struct Copied {
    begun: Begun,
    label: String,
    start: (Lsn, Timeline),
    tablespaces: Vec<Tablespace>,
    streams: Vec<Stored>,
    end: BaseEnd,
}

impl Job<'_> {
    async fn copy(&self, client: Client, command: BaseBackupOptions) -> Result<Copied> {
        let lock = self.connected.lock()?;
        let identity = ClusterIdentity {
            system_identifier: self.server.system.system_identifier,
            segment_bytes: self.server.segment,
        };
        cluster_record(&*self.connected.store, self.repository, &self.cluster, identity, || lock).await?;
        let begun = Begun::now(self.connected, self.repository, &self.cluster, lock).await?;
        let label = self.label.clone().unwrap_or_else(|| format!("stonewal {}", begun.place.backup));
        let command = BaseBackupOptions { label: label.clone(), ..command };
        let asking = async { Ok(client.base_backup(&command).await.map_err(postgres::Error::from)?) };
        let mut backup = interruptible(self.cancel, Box::pin(asking)).await?;
        let (start, tablespaces) = ((backup.start_lsn(), backup.timeline()?), backup.tablespaces().to_vec());
        if let Some(space) = tablespaces.iter().find(|space| space.oid.is_some() && !space.location.starts_with('/')) {
            let what = format!(
                "tablespace {} lies inside the data directory, which PostgreSQL allows for its own tests only",
                space.location
            );
            return Err(Error::Postgres(postgres::Error::Unsupported { what }));
        }
        self.progress.expect_plain_bytes(tablespaces.iter().filter_map(|space| space.size_bytes).sum());
        self.progress.set_phase(Phase::Streaming);
        let streams = self.store(&mut backup, &begun).await?;
        let end = backup.finish()?;
        Ok(Copied { begun, label, start, tablespaces, streams, end })
    }

    async fn store(&self, backup: &mut BaseBackup, begun: &Begun) -> Result<Vec<Stored>> {
        let target = Arc::new(Target {
            store: self.connected.store.clone(),
            place: begun.place.clone(),
            lock: begun.lock,
            chunk_bytes: self.target.0,
            uploads: self.target.1,
            progress: self.progress.clone(),
        });
        let open = |name: &StreamName, is_manifest: bool| -> Result<StreamWriter> {
            let key = if is_manifest { begun.keys.metadata() } else { begun.keys.payload() };
            Ok(StreamWriter::new(target.clone(), name.clone(), self.encoding, key)?)
        };
        Archives { backup, open, cancel: self.cancel }.store().await
    }

    async fn publish(&self, copied: Copied, ended_at: Timestamp, source: String) -> Result<Outcome> {
        let (server, begun) = (self.server, copied.begun);
        let (start, timeline) = copied.start;
        if copied.end.timeline != timeline {
            let what = format!("the server went from timeline {timeline} to {} during the copy", copied.end.timeline);
            return Err(Error::Postgres(postgres::Error::Unsupported { what }));
        }
        let range = BaseRange {
            start,
            stop: copied.end.stop_lsn,
            timeline,
            segment_bytes: server.segment,
            begun_at: server.begun_at,
            ended_at: ended_at.max(server.begun_at),
        };
        let (streams, index) = finish(copied.streams, copied.end, &copied.tablespaces)?;
        let files = index.iter().map(|stream| stream.index.files.len() as u64).sum();
        let facts = self.facts(copied.label, &copied.tablespaces, index)?;
        let warnings = self.warnings(&facts, &begun.gone);
        let tablespaces = facts.tablespaces.len() as u64;
        let draft = Draft {
            place: begun.place,
            kind: Kind::Base,
            system_identifier: Some(server.system.system_identifier),
            started_at: begun.started_at,
            server_version: server.facts.server_version.clone(),
            timeline: Some(timeline.get()),
            lsn: Some(range.stop.to_string()),
            base: Some(range.clone()),
            copy_of: None,
            lock: begun.lock,
            sealed: SealedPart { dump: None, base: Some(facts) },
        };
        let committing = commit(&*self.connected.store, self.repository, begun.keys, draft, streams);
        let Committed { clear, key, .. } = committing.await?;
        self.progress.set_phase(Phase::Done);
        Ok(Outcome {
            plain_bytes: clear.plain_bytes(),
            stored_bytes: clear.stored_bytes(),
            chunks: clear.streams.iter().map(|stream| stream.chunks.len() as u64).sum(),
            backup: clear.backup,
            cluster: clear.cluster,
            source,
            range,
            files,
            tablespaces,
            lock: clear.lock,
            manifest: key.to_string(),
            read_back: None,
            warnings,
        })
    }

    fn facts(&self, label: String, tablespaces: &[Tablespace], index: Vec<IndexedStream>) -> Result<BaseFacts> {
        let facts = &self.server.facts;
        let parameter = |(name, value): &(String, String)| ParameterFact { name: name.clone(), value: value.clone() };
        let outside = tablespaces.iter().filter_map(|space| Some((space.oid?, &space.location)));
        let tablespaces = outside.map(|(oid, location)| {
            Ok(TablespaceFact { oid, location: location.clone(), stream: tablespace_stream(oid)? })
        });
        Ok(BaseFacts {
            label,
            server_version_num: facts.server_version_num,
            standby: facts.standby,
            settings: facts.settings.iter().map(parameter).collect(),
            databases: facts
                .databases
                .iter()
                .map(|database| CollationFact {
                    database: database.name.clone(),
                    collate: database.collate.clone(),
                    provider: database.provider.clone(),
                    version: database.version.clone(),
                })
                .collect(),
            tablespaces: tablespaces.collect::<Result<_>>()?,
            index,
            imported: None,
        })
    }

    fn warnings(&self, facts: &BaseFacts, gone: &[Finding]) -> Vec<String> {
        let mut warnings = begun::warnings(self.connected, self.repository, gone);
        let setting = |name: &str| facts.settings.iter().find(|setting| setting.name == name).map(|s| s.value.as_str());
        if setting("data_checksums") == Some("off") {
            warnings.push(
                "the cluster has no data checksums, so damaged pages are backed up as they are (pg_checksums --enable)"
                    .into(),
            );
        }
        if let (Some(data), Some(config)) = (setting("data_directory"), setting("config_file"))
            && !std::path::Path::new(config).starts_with(data)
        {
            warnings.push(format!(
                "{config} lies outside of the data directory and is not in the backup: keep a copy elsewhere"
            ));
        }
        warnings
    }
}

/// Hands every stream the server's word for it.
fn finish(
    streams: Vec<Stored>,
    end: BaseEnd,
    tablespaces: &[Tablespace],
) -> Result<(Vec<FinishedStream>, Vec<IndexedStream>)> {
    let mut receipts: Vec<_> = tablespaces.iter().map(|space| space.oid).zip(end.archives).collect();
    let mut manifest = end.manifest;
    let (mut finished, mut index) = (Vec::new(), Vec::new());
    for stream in streams {
        let receipt = if stream.is_manifest {
            manifest.take()
        } else {
            let at = receipts.iter().position(|(oid, _)| *oid == stream.oid);
            at.map(|at| receipts.swap_remove(at).1)
        };
        let unproven =
            || Error::Postgres(postgres::Error::Unsupported { what: "the server sent more than it names".into() });
        let (stream, indexed) = stream.finish(receipt.ok_or_else(unproven)?)?;
        finished.push(stream);
        index.extend(indexed);
    }
    Ok((finished, index))
}
