//! `stonewal wal push`: finished WAL files into the bucket; an archive_command, or the repair of a gap.
//!
//! Success is said only of what the store has acknowledged, locked. With an empty backlog that takes three requests: the
//! cluster record, a look for a new roster, and the PUT.

mod backlog;
mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::wal::begin_run;
use super::{Connected, Error, RepositoryOptions, Result};
use crate::catalog::{Access, ClusterIdentity, Kept, Repository, WalCatalog, cluster_record, keep_wal};
use crate::format::wal::ClusterRecord;
use crate::format::{ClusterName, WalFileName};
use crate::limits::WAL_PUSHES;
use crate::pipeline::{Encoding, WalRun};
use crate::store::{Lock, Read as _};
pub(super) use file::header_of;
use file::{Part, WalFile};

/// What to push and how.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys that publish.
    pub access: Access,
    /// The cluster.
    pub cluster: ClusterName,
    /// Compression.
    pub encoding: Encoding,
    /// What.
    pub what: What,
    /// Further files of the backlog to push in the same call.
    pub ahead: usize,
    /// After this long it has failed.
    pub deadline: Duration,
}

/// Which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One file, as archive_command gives it: relative to the data directory, which is the working directory.
    File(PathBuf),
    /// Everything finished in a directory that the bucket lacks.
    Directory(PathBuf),
}

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Whether a directory was asked for.
    pub directory: bool,
    /// Files now stored that were not before, by name.
    pub stored: Vec<String>,
    /// Files that were stored already, with the same content.
    pub already: Vec<String>,
    /// Files of the backlog, or of the directory, that could not be stored, with the reason.
    pub failed: Vec<(String, String)>,
}

impl Outcome {
    fn add(&mut self, name: WalFileName, pushed: Result<bool>) {
        match pushed {
            Ok(true) => self.stored.push(name.to_string()),
            Ok(false) => self.already.push(name.to_string()),
            Err(error) => self.failed.push((name.to_string(), crate::observe::chain(&error))),
        }
    }
}

/// Pushes; gives up after the deadline, whatever hangs.
pub async fn run(mut options: Options) -> Result<Outcome> {
    let deadline = options.deadline;
    options.repository.s3.deadline = options.repository.s3.deadline.min(deadline);
    match options.what.clone() {
        // How long a whole directory takes, nobody knows; every request has its deadline.
        What::Directory(directory) => push_directory(options, &directory).await,
        What::File(path) => {
            let pushed = tokio::time::timeout(deadline, push_file(options, &path)).await;
            let what = || path.display().to_string();
            pushed.map_err(|_| Error::Deadline { what: what(), seconds: deadline.as_secs() })?
        }
    }
}

async fn push_file(options: Options, path: &Path) -> Result<Outcome> {
    let wanted = WalFile::open(path)?;
    let backlog = backlog::ready(path, options.ahead);
    let push = Push::open(options).await?;
    let mut outcome = Outcome::default();
    // An earlier call may have been ahead of PostgreSQL; and partials have no name under which they would meet.
    let may_be_there = backlog::has_waited(path) || wanted.is_partial();
    if may_be_there && push.has(&wanted).await? {
        outcome.add(wanted.name, Ok(false));
        return Ok(outcome);
    }
    let ready = push.begin(&wanted).await?;
    let mut files = vec![wanted];
    for path in backlog {
        files.extend(WalFile::open(&path).ok().filter(|file| file.belongs_with(&files[0])));
    }
    let mut results = ready.push_all(files).await.into_iter();
    if let Some((name, asked)) = results.next() {
        outcome.add(name, Ok(asked?));
    }
    for (name, pushed) in results {
        if let Err(error) = &pushed {
            tracing::warn!(file = %name, error = crate::observe::chain(error), "pushing ahead failed");
        }
        outcome.add(name, pushed);
    }
    Ok(outcome)
}

async fn push_directory(options: Options, directory: &Path) -> Result<Outcome> {
    let found = backlog::finished(directory)?;
    let Some(first) = found.first() else {
        return Err(Error::Usage(format!("{} holds no finished WAL", directory.display())));
    };
    let push = Push::open(options).await?;
    let ready = push.begin(first).await?;
    let stored = push.repository.wal(&push.cluster).await?;
    let mut outcome = Outcome { directory: true, ..Outcome::default() };
    push.settle(&ready, &stored, found, &mut outcome).await;
    Ok(outcome)
}

/// Hands out finished files a few at a time. What was handed out before has been dealt with when more is asked for.
pub(super) trait Supply: Send {
    /// The next files; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<PathBuf>>>> + Send;
}

/// Pushes files of old that are all finished, whatever their names. The first must be one that says whose it is, or the
/// cluster be known.
pub(super) async fn push_supply(push: &Push, supply: &mut impl Supply) -> Result<Outcome> {
    let mut outcome = Outcome { directory: true, ..Outcome::default() };
    let mut begun = None;
    while let Some(paths) = supply.next().await? {
        let files = paths.iter().map(|path| WalFile::open(path)).collect::<Result<Vec<_>>>()?;
        let Some(first) = files.first() else { continue };
        if begun.is_none() {
            begun = Some((push.begin(first).await?, push.repository.wal(&push.cluster).await?));
        }
        if let Some((ready, stored)) = &begun {
            push.settle(ready, stored, files, &mut outcome).await;
        }
    }
    Ok(outcome)
}

/// A repository that answers, before it is known that the cluster is the right one.
pub(super) struct Push {
    pub(super) connected: Arc<Connected>,
    pub(super) repository: Arc<Repository>,
    pub(super) cluster: ClusterName,
    pub(super) encoding: Encoding,
}

/// May write: the cluster is the one it should be.
struct Ready {
    store: Arc<crate::store::S3>,
    repository: Arc<Repository>,
    run: WalRun,
    record: ClusterRecord,
    lock: Option<Lock>,
    room: Semaphore,
}

impl Push {
    async fn open(options: Options) -> Result<Self> {
        let connected = Connected::to(&options.repository).await?;
        let (store, names) = (connected.store.clone(), connected.names.clone());
        let repository = Repository::open_lightly(store, names, options.access, &connected.location).await?;
        let (connected, repository) = (Arc::new(connected), Arc::new(repository));
        Ok(Self { connected, repository, cluster: options.cluster, encoding: options.encoding })
    }

    /// Whether all of the file is seen to be stored by one small request for each piece of it.
    async fn has(&self, file: &WalFile) -> Result<bool> {
        for part in file.parts()? {
            if !file.is_stored(&self.repository, &self.cluster, &part).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Compares what is stored by name, and pushes the rest.
    async fn settle(&self, ready: &Ready, stored: &WalCatalog, found: Vec<WalFile>, outcome: &mut Outcome) {
        let (named, mut missing): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|file| file.is_in(stored) || file.is_partial());
        // A name is no proof: the content is compared, and what differs is told.
        let comparing = stream::iter(named).map(|file| async { (self.has(&file).await, file) });
        let compared: Vec<_> = comparing.buffered(WAL_PUSHES).collect().await;
        for (there, file) in compared {
            match there {
                Ok(false) => missing.push(file),
                there => outcome.add(file.name, there.map(|_| false)),
            }
        }
        for (name, pushed) in ready.push_all(missing).await {
            outcome.add(name, pushed);
        }
    }

    async fn begin(&self, file: &WalFile) -> Result<Ready> {
        let store = &self.connected.store;
        let identity = match file.identity {
            Some(identity) => identity,
            None => self.known_identity(file).await?,
        };
        // The store's clock is exact once it has answered; a lock there is in any case.
        let first = self.connected.lock()?;
        let lock = || self.connected.lock().unwrap_or(first);
        let record = cluster_record(&**store, &self.repository, &self.cluster, identity, lock).await?;
        self.repository.follow_roster().await?;
        let now = store.clock().now();
        let run = begin_run(&self.repository, &self.cluster, identity.system_identifier, self.encoding, now)?;
        Ok(Ready {
            store: store.clone(),
            repository: self.repository.clone(),
            run,
            record,
            lock: self.connected.lock()?,
            room: Semaphore::new(WAL_PUSHES),
        })
    }

    /// Of a history file that lies where there is no segment: it belongs to the cluster of this name or to none.
    async fn known_identity(&self, file: &WalFile) -> Result<ClusterIdentity> {
        let record = self.repository.cluster_record(&self.cluster).await?.ok_or_else(|| {
            Error::Usage(format!("{} says nothing of its cluster, and no segment lies beside it", file.name))
        })?;
        Ok(ClusterIdentity { system_identifier: record.system_identifier, segment_bytes: record.segment_bytes })
    }
}

impl Ready {
    /// Pushes all files, several pieces at once; true of those that were not stored before. In the order given.
    async fn push_all(&self, files: Vec<WalFile>) -> Vec<(WalFileName, Result<bool>)> {
        let pushing = stream::iter(files).map(|file| async move { (file.name, self.push(&file).await) });
        pushing.buffered(WAL_PUSHES).collect().await
    }

    async fn push(&self, file: &WalFile) -> Result<bool> {
        file.check(&self.record)?;
        let parts = stream::iter(file.parts()?).map(|part| self.push_part(file, part));
        let kept: Vec<Result<bool>> = parts.buffered(WAL_PUSHES).collect().await;
        kept.into_iter().try_fold(false, |any, one| Ok(any | one?))
    }

    async fn push_part(&self, file: &WalFile, part: Part) -> Result<bool> {
        let _room = self.room.acquire().await;
        let (plain, content, commits) = file.read(&part).await?;
        let now = self.store.clock().now();
        let sealed = self.run.seal(content, plain.clone(), commits, now).await?;
        let kept = keep_wal(&*self.store, &self.repository, &sealed.header, sealed.object, &plain, self.lock).await?;
        Ok(matches!(kept, Kept::Stored { .. }))
    }
}

/// What an I/O error says of a file.
fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::File { path: path.to_owned(), why: error.to_string() }
}
