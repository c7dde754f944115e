//! `stonewal import base`: what `pg_basebackup` wrote, with its WAL, as a base backup like any other.
//!
//! It is read twice: once to see that all of it is there and whole, before anything is written to the bucket, and once to be
//! stored, checked again on its way. The WAL goes first: a base without it would be none.

mod blocks;
mod build;
mod carry;
mod check;
mod copies;
mod entries;
mod fault;
mod papers;
mod place;
mod spaces;
mod supply;
mod survey;
mod unpack;
mod wal;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::begun::{self, Begun};
use super::repository::{interruptible, prepare_to_write};
use super::{Connected, Error, RepositoryOptions, Result, wal_push};
use crate::catalog::{self, Access, Committed, Draft, FinishedStream, Repository, cluster_record, commit};
use crate::format::manifest::{
    BACKUP_MANIFEST_STREAM, BASE_STREAM, BaseFacts, BaseRange, ImportFact, IndexedStream, Kind, SealedPart,
    TablespaceFact, tablespace_stream,
};
use crate::format::{BackupId, ClusterName, LockRecord, StreamName};
use crate::observe::{Phase, Progress};
use crate::pipeline::stage::SourceReceipt;
use crate::pipeline::{Encoding, StreamWriter, Target};
use crate::store::Read as _;
use carry::{Build, carry};
use supply::Unpacked;
use survey::Survey;

/// What to import and how.
#[derive(Debug)]
pub struct Options {
    /// Where to.
    pub repository: RepositoryOptions,
    /// Keys: the passphrase or a writer file.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// What pg_basebackup wrote.
    pub from: PathBuf,
    /// A directory of WAL.
    pub wal: Option<PathBuf>,
    /// When the backup had ended; `None` = when its manifest was written, as the file system has it.
    pub taken_at: Option<Timestamp>,
    /// Compression of the base.
    pub encoding: Encoding,
    /// Compression of WAL.
    pub wal_encoding: Encoding,
    /// Bytes of one chunk.
    pub chunk_bytes: usize,
    /// Chunks sent at once.
    pub uploads: usize,
}

/// A base backup that now exists.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What was imported.
    pub file: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// SHA-256 of its `backup_manifest`.
    pub sha256: String,
    /// Its id.
    pub backup: BackupId,
    /// Its cluster.
    pub cluster: ClusterName,
    /// PostgreSQL's identifier of that.
    pub system_identifier: u64,
    /// Where it stands in the WAL.
    pub range: BaseRange,
    /// Files in it, each compared with its manifest.
    pub files: u64,
    /// Tablespaces besides the data directory.
    pub tablespaces: u64,
    /// Files of the WAL directory that are stored now.
    pub wal_stored: u64,
    /// Files of the WAL directory that were stored already.
    pub wal_already: u64,
    /// Plain bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes stored, without WAL.
    pub stored_bytes: u64,
    /// Retention of all its objects.
    pub lock: Option<LockRecord>,
    /// What is worth knowing although all is well.
    pub warnings: Vec<String>,
}

/// Imports. On any failure no base exists; WAL that was stored by then is genuine and stays.
pub async fn run(options: Options, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome> {
    let (from, wal) = (options.from.clone(), options.wal.clone());
    let reading = async {
        let survey = spawn_blocking(move || survey::survey(&from, wal.as_deref())).await;
        Ok(survey.map_err(catalog::Error::Worker)??)
    };
    let survey = interruptible(cancel, reading).await?;
    let preparing = Box::pin(prepare_to_write(&options.repository, options.access));
    let (connected, repository) = interruptible(cancel, preparing).await?;
    let (connected, repository) = (Arc::new(connected), Arc::new(repository));
    let range = range(&survey, options.taken_at, connected.store.clock().now())?;
    // Another cluster of this name is found out before anything is stored.
    let lock = connected.lock()?;
    let cluster = options.cluster;
    let joining = cluster_record(&*connected.store, &repository, &cluster, survey.identity, || lock);
    interruptible(cancel, async { Ok(joining.await?) }).await?;
    let target = wal_push::Push {
        connected: connected.clone(),
        repository: repository.clone(),
        cluster: cluster.clone(),
        encoding: options.wal_encoding,
    };
    let pushed = interruptible(cancel, Box::pin(push(&target, options.wal.unwrap_or_default(), &survey))).await?;
    let (encoding, sizes) = (options.encoding, (options.chunk_bytes, options.uploads));
    let job = Job { connected, repository, cluster, encoding, sizes, survey, range, progress, cancel };
    job.store(&pushed).await
}

/// Stores what lies in the WAL directory; all of it or an error.
async fn push(target: &wal_push::Push, directory: PathBuf, survey: &Survey) -> Result<wal_push::Outcome> {
    if survey.wal.items.is_empty() {
        return Ok(wal_push::Outcome::default());
    }
    let mut supply = Unpacked::new(survey.wal.items.clone(), survey.identity.segment_bytes);
    let outcome = wal_push::push_supply(target, &mut supply).await?;
    match outcome.failed.first() {
        None => Ok(outcome),
        Some((name, why)) => Err(Error::Artifact {
            path: directory.join(name),
            why: why.clone(),
            way_out: "no base was stored; WAL that was is genuine and stays. Where the repository holds other WAL of the same name, import under a cluster name of its own (--cluster main-old)",
        }),
    }
}

/// Where it stands, and when that was.
fn range(survey: &Survey, taken_at: Option<Timestamp>, now: Timestamp) -> Result<BaseRange> {
    let (place, manifest) = (&survey.place, &survey.manifest);
    let label = manifest.files.get("backup_label").and_then(papers::Listed::modified);
    let last = manifest.files.values().filter_map(papers::Listed::modified).max();
    let (Some(begun_at), Some(last)) = (label, last) else {
        return Err(fault::Fault::damaged(&place.manifest, "it does not say when backup_label was written").into());
    };
    let written = std::fs::metadata(&place.manifest).and_then(|metadata| metadata.modified());
    let written = written.ok().and_then(|time| Timestamp::try_from(time).ok());
    // Too late costs moments at the beginning, too early would promise some that cannot be reached.
    let ended_at = taken_at.or(written).unwrap_or(now).max(last).max(begun_at);
    if ended_at > now {
        return Err(Error::Usage(format!(
            "{ended_at} lies in the future of the store's clock ({now}): give --taken-at"
        )));
    }
    Ok(BaseRange {
        start: manifest.start,
        stop: manifest.stop,
        timeline: manifest.timeline,
        segment_bytes: survey.identity.segment_bytes,
        begun_at,
        ended_at,
    })
}

/// What every step needs.
struct Job<'a> {
    connected: Arc<Connected>,
    repository: Arc<Repository>,
    cluster: ClusterName,
    encoding: Encoding,
    /// Bytes of a chunk, and how many are sent at once.
    sizes: (usize, usize),
    survey: Arc<Survey>,
    range: BaseRange,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

impl Job<'_> {
    async fn store(self, pushed: &wal_push::Outcome) -> Result<Outcome> {
        let Self { connected, repository, cancel, .. } = &self;
        let beginning = Begun::now(connected, repository, &self.cluster, connected.lock()?);
        let begun = interruptible(cancel, beginning).await?;
        self.progress.expect_plain_bytes(self.survey.bytes);
        self.progress.set_phase(Phase::Streaming);
        let (streams, index) = self.streams(&begun).await?;
        self.progress.set_phase(Phase::Finishing);
        let facts = self.facts(index)?;
        let files = facts.index.iter().map(|stream| stream.index.files.len() as u64).sum();
        let draft = Draft {
            place: begun.place,
            kind: Kind::Base,
            system_identifier: Some(self.survey.identity.system_identifier),
            started_at: begun.started_at,
            server_version: self.survey.major.to_string(),
            timeline: Some(self.range.timeline.get()),
            lsn: Some(self.range.stop.to_string()),
            base: Some(self.range.clone()),
            copy_of: None,
            lock: begun.lock,
            sealed: SealedPart { dump: None, base: Some(facts) },
        };
        let committed = commit(&*connected.store, repository, begun.keys, draft, streams).await?;
        self.progress.set_phase(Phase::Done);
        let mut warnings = begun::warnings(connected, repository, &begun.gone);
        warnings.extend(self.survey.wal.warnings.iter().cloned());
        warnings.extend(self.unchecked());
        let Committed { clear, .. } = committed;
        Ok(Outcome {
            file: self.file(),
            taken_at: self.range.ended_at,
            sha256: self.survey.manifest.sha256.clone(),
            system_identifier: self.survey.identity.system_identifier,
            files,
            tablespaces: self.survey.spaces.len() as u64,
            wal_stored: pushed.stored.len() as u64,
            wal_already: pushed.already.len() as u64,
            plain_bytes: clear.plain_bytes(),
            stored_bytes: clear.stored_bytes(),
            backup: clear.backup,
            cluster: clear.cluster,
            lock: clear.lock,
            range: self.range,
            warnings,
        })
    }

    async fn streams(&self, begun: &Begun) -> Result<(Vec<FinishedStream>, Vec<IndexedStream>)> {
        let target = Arc::new(Target {
            store: self.connected.store.clone(),
            place: begun.place.clone(),
            lock: begun.lock,
            chunk_bytes: self.sizes.0,
            uploads: self.sizes.1,
            progress: self.progress.clone(),
        });
        let mut builds: Vec<(StreamName, Build)> = Vec::new();
        for (oid, location) in self.survey.spaces.clone() {
            let build: Build = Box::new(move |survey, out| build::space(survey, oid, &location, out));
            builds.push((tablespace_stream(oid)?, build));
        }
        builds.push((BASE_STREAM.parse()?, Box::new(build::base)));
        let (mut streams, mut index) = (Vec::new(), Vec::new());
        for (name, build) in builds {
            let key = begun.keys.payload();
            let writer = StreamWriter::new(target.clone(), name.clone(), self.encoding, key)?;
            let (stream, indexed) = carry(&self.survey, name, build, writer, self.cancel).await?;
            streams.push(stream);
            index.push(indexed);
        }
        let (name, key) = (BACKUP_MANIFEST_STREAM.parse()?, begun.keys.metadata());
        let mut writer = StreamWriter::new(target, name, self.encoding, key)?;
        let text = &self.survey.manifest_text;
        let writing = async {
            writer.write(text).await?;
            Ok(writer.finish().await?)
        };
        let (sealed, stored) = interruptible(self.cancel, writing).await?;
        streams.push(FinishedStream::new(SourceReceipt::earned(text.len() as u64), sealed, stored)?);
        Ok((streams, index))
    }

    fn facts(&self, index: Vec<IndexedStream>) -> Result<BaseFacts> {
        let survey = &self.survey;
        let tablespaces = survey.spaces.iter().map(|(oid, location)| {
            Ok(TablespaceFact { oid: *oid, location: location.clone(), stream: tablespace_stream(*oid)? })
        });
        Ok(BaseFacts {
            label: survey.label.name.clone(),
            server_version_num: survey.major * 10_000,
            standby: survey.label.standby,
            settings: Vec::new(),
            databases: Vec::new(),
            tablespaces: tablespaces.collect::<Result<_>>()?,
            index,
            imported: Some(ImportFact {
                file: self.file(),
                taken_at: self.range.ended_at,
                sha256: survey.manifest.sha256.clone(),
                host: None,
                meta: None,
            }),
        })
    }

    fn file(&self) -> String {
        let given = &self.survey.place.given;
        let name = given.canonicalize().unwrap_or_else(|_| given.clone());
        name.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What the manifest has no checksums for that are known here.
    fn unchecked(&self) -> Option<String> {
        let known = |algorithm: &str| matches!(algorithm, "CRC32C" | "SHA256" | "SHA384" | "SHA512");
        let files = self.survey.manifest.files.values();
        let bare = files.filter(|file| !file.algorithm.as_deref().is_some_and(known)).count();
        (bare > 0).then(|| {
            format!("backup_manifest has no checksums (or SHA224) of {bare} files: that they are there and their lengths was all that could be checked. Prove the backup by `stonewal drill`")
        })
    }
}
