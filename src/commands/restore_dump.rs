//! `stonewal restore dump`: a stream back out of the bucket, into psql, a file, or standard output.

use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::backup_dump::{DUMP_STREAM, GLOBALS_STREAM};
use super::repository::interruptible;
use super::sides::Source;
use super::{Error, RepositoryOptions, Result, Which, repository};
use crate::catalog::{Access, Backup, Finding, Repository};
use crate::format::manifest::Kind;
use crate::format::{BackupId, ClusterName, DataKey, StreamName};
use crate::observe::{Phase, Progress};
use crate::pipeline::StreamReader;
use crate::pipeline::stage::OpenReceipt;
use crate::postgres::Session;
use crate::store::{Read, Thaw};

mod database;
mod file;
mod plan;
mod tables;

pub use database::{Confirm, DatabaseTarget};
pub(super) use database::{LOCKS_IMPORTS, commit, psql};
pub use plan::Plan;
pub use tables::Tables;

/// What to restore and where to.
pub struct Options {
    /// Where from.
    pub repository: RepositoryOptions,
    /// Keys: the passphrase or a recovery file.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// Which backup.
    pub which: Which,
    /// Where to.
    pub target: RestoreTarget,
    /// Only these tables, if any are given.
    pub tables: Option<Tables>,
    /// Chunks fetched ahead.
    pub downloads: usize,
    /// How to ask for what lies in archive tiers, if it is to be asked for; for a plan, without waiting for it.
    pub thaw: Option<Thaw>,
}

/// Where a dump goes.
pub enum RestoreTarget {
    /// Nowhere: it is only looked at.
    Plan,
    /// Into an empty database, in one transaction.
    Database(Box<DatabaseTarget>),
    /// Into a new file, which appears under its name only when it is complete.
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The globals instead of the dump.
        globals: bool,
    },
    /// To a writer, as far as it is authentic; success tells that it was complete.
    Writer {
        /// Takes the SQL.
        writer: Box<dyn AsyncWrite + Send + Unpin>,
        /// The globals instead of the dump.
        globals: bool,
    },
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The backup.
    pub backup: BackupId,
    /// Database (without password), file, or `-`.
    pub target: String,
    /// Bytes of SQL.
    pub plain_bytes: u64,
    /// Roles created in the target.
    pub roles_created: Vec<String>,
    /// Roles that the target had and that were left as they are.
    pub roles_left_alone: Vec<String>,
    /// Tables that were picked out, with their names in the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<RestoredTable>,
    /// What does not belong to a table on its own, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What is worth knowing although the restore is whole.
    pub warnings: Vec<String>,
    /// What did not belong beside the backup and was ignored.
    pub findings: Vec<Finding>,
    /// What it would come to, where nothing was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// A table that was picked out.
#[derive(Debug, Serialize)]
pub struct RestoredTable {
    /// Its name in the target.
    pub name: String,
    /// Its rows; `None` if the dump holds none of it.
    pub rows: Option<u64>,
}

/// Restores. On any failure the target is as it was before.
pub async fn run(options: Options, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome> {
    let finding = Box::pin(find_readable(&options.repository, options.access, &options.cluster, &options.which));
    let (source, repository, backup, key, findings) = interruptible(cancel, finding).await?;
    let job = Job { repository: &repository, backup: &backup, key, downloads: options.downloads, progress, cancel };
    let classes = plan::readable(&job, (&options.target, options.tables.is_none()), options.thaw).await?;
    let mut outcome = match options.target {
        RestoreTarget::Plan => plan::outcome(&job, &classes),
        target if options.tables.is_some() => {
            let tables = options.tables.unwrap_or_default();
            Box::pin(tables::restore(&job, tables, target)).await?
        }
        RestoreTarget::Database(target) => database::restore(&job, *target).await?,
        RestoreTarget::File { path, globals } => file::restore(&job, &path, globals).await?,
        RestoreTarget::Writer { mut writer, globals } => {
            let bytes = job.copy(stream_name(globals), &mut writer).await?.plain_bytes();
            job.outcome("-".into(), bytes)
        }
    };
    progress.set_phase(Phase::Done);
    outcome.findings = findings;
    outcome.findings.extend(source.findings());
    outcome.warnings.extend(source.warnings());
    Ok(outcome)
}

/// Into a database, from a repository that is open.
pub(super) async fn load(
    (repository, backup): (&Repository, &Backup),
    target: DatabaseTarget,
    downloads: usize,
    (progress, cancel): (&Progress, &CancellationToken),
) -> Result<Outcome> {
    let key = repository.payload_key(&backup.clear().payload_key).await?;
    let job = Job { repository, backup, key, downloads, progress, cancel };
    database::restore(&job, target).await
}

/// Names of the tablespaces that the globals of a backup have and the server lacks.
pub(super) async fn missing_tablespaces(
    (repository, backup): (&Repository, &Backup),
    session: &Session,
    (progress, cancel): (&Progress, &CancellationToken),
) -> Result<Vec<String>> {
    let key = repository.payload_key(&backup.clear().payload_key).await?;
    let job = Job { repository, backup, key, downloads: 1, progress, cancel };
    Ok(database::globals(&job, session).await?.tablespace_names())
}

/// The backup that is meant, and the key of its streams.
async fn find_readable(
    options: &RepositoryOptions,
    access: Access,
    cluster: &ClusterName,
    which: &Which,
) -> Result<(Source, Repository, Backup, DataKey, Vec<Finding>)> {
    let source = Source::of(options).await?;
    let repository = source.open(access).await?;
    let (backup, mut findings) = repository::find(&repository, cluster, which, Some(Kind::Dump)).await?;
    if backup.clear().kind != Kind::Dump {
        let id = &backup.clear().backup;
        return Err(Error::Usage(format!(
            "backup {id} is a base: `stonewal restore base {id} --dir DIR` restores it; docs/RUNBOOK.md, \"One table back from a base backup\", is how one table comes out of it"
        )));
    }
    findings.extend(repository.findings().iter().cloned());
    let key = repository.payload_key(&backup.clear().payload_key).await?;
    Ok((source, repository, backup, key, findings))
}

fn stream_name(globals: bool) -> &'static str {
    if globals { GLOBALS_STREAM } else { DUMP_STREAM }
}

/// What an error of the output means.
fn write_failed(bytes: u64, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Error::OutputClosed { bytes },
        _ => Error::File { path: "output".into(), why: error.to_string() },
    }
}

/// What every kind of target needs.
struct Job<'a> {
    repository: &'a Repository,
    backup: &'a Backup,
    key: DataKey,
    downloads: usize,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

impl Job<'_> {
    /// A reader of the stream called `name`.
    fn reader(&self, name: &'static str) -> Result<StreamReader> {
        self.reader_seen_by(name, self.progress)
    }

    /// The same, with its progress told to somebody else.
    fn reader_seen_by(&self, name: &'static str, progress: &Progress) -> Result<StreamReader> {
        let clear = self.backup.clear();
        let stream: StreamName = name.parse()?;
        let no_stream = || Error::NoStream { backup: clear.backup.to_string(), stream: name };
        let record = clear.stream(&stream).ok_or_else(no_stream)?.clone();
        let store: Arc<dyn Read> = self.repository.store().clone();
        let place = self.repository.place(self.backup);
        progress.expect_plain_bytes(record.plain_bytes);
        Ok(StreamReader::new(store, place, record, &self.key, self.downloads, progress.clone())?)
    }

    /// The next plain bytes of a stream, unless we are told to stop.
    async fn next(&self, reader: &mut StreamReader) -> Result<Option<Vec<u8>>> {
        interruptible(self.cancel, async { Ok(reader.next().await?) }).await
    }

    /// Copies a whole stream.
    async fn copy(&self, name: &'static str, writer: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<OpenReceipt> {
        self.progress.set_phase(Phase::Streaming);
        let mut reader = self.reader(name)?;
        let mut bytes = 0;
        while let Some(plain) = self.next(&mut reader).await? {
            writer.write_all(&plain).await.map_err(|error| write_failed(bytes, &error))?;
            bytes += plain.len() as u64;
        }
        writer.flush().await.map_err(|error| write_failed(bytes, &error))?;
        Ok(reader.finish()?)
    }

    fn outcome(&self, target: String, plain_bytes: u64) -> Outcome {
        Outcome {
            backup: self.backup.clear().backup.clone(),
            target,
            plain_bytes,
            roles_created: Vec::new(),
            roles_left_alone: Vec::new(),
            tables: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            findings: Vec::new(),
            plan: None,
        }
    }
}
