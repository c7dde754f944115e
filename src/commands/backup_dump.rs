//! `stonewal backup dump`: one database and the cluster's globals, through compression and encryption into the bucket.

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::begun::{Begun, warnings};
use super::read_back::{ReadBack, read_back};
use super::repository::{interruptible, prepare_to_write};
use super::{Connected, RepositoryOptions, Result, facts};
use crate::catalog::{Access, Committed, Draft, Finding, FinishedStream, Repository, commit};
use crate::format::manifest::{Kind, SealedPart};
use crate::format::{BackupId, ClusterName, LockRecord, StreamName};
use crate::observe::{Phase, Progress};
use crate::pipeline::stage::SourceReceipt;
use crate::pipeline::{Encoding, StreamWriter, Target, pump};
use crate::postgres::ConnInfo;
use crate::postgres::dump::{Dump, DumpOptions, DumpReceipt};
use crate::postgres::globals::{Globals, GlobalsMode};
use crate::postgres::programs::Search;

/// Name of the stream that holds pg_dump's output.
pub const DUMP_STREAM: &str = "dump";
/// Name of the stream that holds pg_dumpall's.
pub const GLOBALS_STREAM: &str = "globals";

/// What to back up and how.
#[derive(Debug)]
pub struct Options {
    /// Where to.
    pub repository: RepositoryOptions,
    /// Keys: the passphrase or a writer file.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// The database.
    pub source: ConnInfo,
    /// Where pg_dump and pg_dumpall are looked for.
    pub programs: Search,
    /// What pg_dump is asked for.
    pub dump: DumpOptions,
    /// How much of the globals is recorded.
    pub globals: GlobalsMode,
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
    /// The database, without password.
    pub source: String,
    /// Plain bytes of all streams.
    pub plain_bytes: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Chunks stored.
    pub chunks: u64,
    /// Tables counted, and rows in them.
    pub counted: Option<(u64, u64)>,
    /// Tables whose rows got a digest.
    pub digested: Option<u64>,
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

/// Backs up. On any failure, and when `cancel` is cancelled, pg_dump and its sessions are ended and no manifest exists.
pub async fn run(options: Options, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome> {
    let preparing = Box::pin(prepare_to_write(&options.repository, options.access));
    let (connected, repository) = interruptible(cancel, preparing).await?;

    // The source proves itself before anything is written to the bucket.
    let stop = cancel.child_token();
    let mut dump = Dump::start(&options.source, options.dump.clone(), &options.programs, &stop).await?;
    progress.expect_plain_bytes(dump.facts().database.size_bytes.unwrap_or(0));
    let globals = start_globals(&options.source, options.globals, &options.programs, &dump);
    let mut globals = match interruptible(cancel, globals).await {
        Ok(globals) => globals,
        Err(error) => {
            dump.abort().await;
            return Err(error);
        }
    };
    let job = Job {
        connected: &connected,
        repository: &repository,
        cluster: options.cluster,
        encoding: options.encoding,
        chunk_bytes: options.chunk_bytes,
        uploads: options.uploads,
        progress,
        cancel,
    };
    let moving = Box::pin(job.move_streams(&mut dump, globals.as_mut()));
    let moved = match interruptible(cancel, moving).await {
        Ok(moved) => moved,
        Err(error) => {
            dump.abort().await;
            if let Some(globals) = globals {
                globals.abort().await;
            }
            return Err(error);
        }
    };
    progress.set_phase(Phase::Finishing);
    // Counting may take longer than the dump; a store that refuses the last chunks must not keep the transaction open.
    let failed = moved.dump.failed();
    let mut finishing = Box::pin(dump.finish());
    let receipt = tokio::select! {
        biased;
        receipt = &mut finishing => receipt?,
        () = failed.cancelled() => {
            stop.cancel();
            let _ = finishing.await;
            return Err(moved.dump.failure().await.into());
        }
    };
    let globals = globals.map(Globals::finish).transpose()?;
    let source = options.source.redacted();
    let description = facts::describe(&options.dump);
    let mut made = job.publish(moved, receipt, globals, (options.globals, description), source).await?;
    if let Some(downloads) = options.read_back {
        let (stored, warnings) = ((&made.cluster, &made.backup), &mut made.warnings);
        made.read_back = read_back(&repository, stored, downloads, cancel, warnings).await;
    }
    Ok(made)
}

async fn start_globals(
    source: &ConnInfo,
    mode: GlobalsMode,
    programs: &Search,
    dump: &Dump,
) -> Result<Option<Globals>> {
    if mode == GlobalsMode::Off {
        return Ok(None);
    }
    let major = dump.facts().server_version_num / 10_000;
    let program = programs.find("pg_dumpall", major, &format!("the server is PostgreSQL {major}")).await?;
    Ok(Globals::start(source, mode, &program).await?)
}

/// What both halves of a backup need.
struct Job<'a> {
    connected: &'a Connected,
    repository: &'a Repository,
    cluster: ClusterName,
    encoding: Encoding,
    chunk_bytes: usize,
    uploads: usize,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

/// Streams read to their end; the sources have yet to say that it was the end.
struct Moved {
    begun: Begun,
    dump: StreamWriter,
    globals: Option<StreamWriter>,
}

impl Job<'_> {
    async fn move_streams(&self, dump: &mut Dump, globals: Option<&mut Globals>) -> Result<Moved> {
        let begun = Begun::now(self.connected, self.repository, &self.cluster, self.connected.lock()?).await?;
        let target = Arc::new(Target {
            store: self.connected.store.clone(),
            place: begun.place.clone(),
            lock: begun.lock,
            chunk_bytes: self.chunk_bytes,
            uploads: self.uploads,
            progress: self.progress.clone(),
        });
        let writer = |name: &str| -> Result<StreamWriter> {
            let name: StreamName = name.parse()?;
            Ok(StreamWriter::new(target.clone(), name, self.encoding, begun.keys.payload())?)
        };
        self.progress.set_phase(Phase::Streaming);
        let globals = match globals {
            Some(source) => Some(pump(source, writer(GLOBALS_STREAM)?, self.cancel).await?),
            None => None,
        };
        let dump = pump(dump, writer(DUMP_STREAM)?, self.cancel).await?;
        Ok(Moved { begun, dump, globals })
    }

    async fn publish(
        &self,
        moved: Moved,
        receipt: DumpReceipt,
        globals: Option<SourceReceipt>,
        asked: (GlobalsMode, Vec<String>),
        source: String,
    ) -> Result<Outcome> {
        let sealed = SealedPart { dump: Some(facts::record(&receipt, asked.0, asked.1)), base: None };
        let mut streams = Vec::new();
        if let (Some(writer), Some(receipt)) = (moved.globals, globals) {
            streams.push(self.finish(writer, receipt).await?);
        }
        streams.push(self.finish(moved.dump, receipt.source).await?);
        let (facts, begun) = (receipt.facts, moved.begun);
        let draft = Draft {
            place: begun.place,
            kind: Kind::Dump,
            system_identifier: facts.system_identifier,
            started_at: begun.started_at,
            server_version: facts.server_version,
            timeline: facts.timeline,
            lsn: facts.lsn,
            base: None,
            copy_of: None,
            lock: begun.lock,
            sealed,
        };
        let store = &*self.connected.store;
        let committed = commit(store, self.repository, begun.keys, draft, streams).await?;
        self.progress.set_phase(Phase::Done);
        let counted = receipt.counts.map(|counts| (counts.len() as u64, counts.iter().map(|count| count.rows).sum()));
        let digested = receipt.digests.map(|digests| digests.tables.len() as u64);
        Ok(Outcome { digested, ..self.outcome(committed, source, counted, &begun.gone) })
    }

    /// Waits for the last acknowledgements. This is the last moment at which an interruption still prevents the backup.
    async fn finish(&self, writer: StreamWriter, source: SourceReceipt) -> Result<FinishedStream> {
        let (sealed, stored) = interruptible(self.cancel, async { Ok(writer.finish().await?) }).await?;
        Ok(FinishedStream::new(source, sealed, stored)?)
    }

    fn outcome(&self, committed: Committed, source: String, counted: Option<(u64, u64)>, gone: &[Finding]) -> Outcome {
        let clear = committed.clear;
        Outcome {
            plain_bytes: clear.plain_bytes(),
            stored_bytes: clear.stored_bytes(),
            chunks: clear.streams.iter().map(|stream| stream.chunks.len() as u64).sum(),
            backup: clear.backup,
            cluster: clear.cluster,
            source,
            counted,
            digested: None,
            lock: clear.lock,
            manifest: committed.key.to_string(),
            read_back: None,
            warnings: warnings(self.connected, self.repository, gone),
        }
    }
}
