//! `stonewal wal fetch`: one WAL file out of the bucket; a restore_command that never lies (invariant I10).
//!
//! PostgreSQL takes exit code 1 for "there is no such file" and goes on without it, up to promoting a server that lacks its
//! last transactions. So absence is said only when it is proven; whatever else is in the way is an error, after which
//! PostgreSQL stops.

mod ahead;
mod assemble;
mod output;
mod spool;
mod target;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::sides::Source;
use super::{Error, RepositoryOptions, Result};
use crate::catalog::{Access, Repository};
use crate::format::names::WalName;
use crate::format::wal::{ClusterRecord, finished_bytes};
use crate::format::{ClusterName, Lsn, SegmentName, WalFileName};
use crate::limits::{WAL_FETCH_PAUSE_SECONDS_MAX, WAL_FETCH_TRIES};
use assemble::Found;
use output::Output;
use spool::{Spool, Stamp};

/// What to fetch and where to.
#[derive(Debug)]
pub struct Options {
    /// Where from.
    pub repository: RepositoryOptions,
    /// Keys that read.
    pub access: Access,
    /// The cluster.
    pub cluster: ClusterName,
    /// Name of the file, as PostgreSQL gives it (`%f`).
    pub name: String,
    /// Where it goes (`%p`): relative to the data directory, which is the working directory.
    pub to: PathBuf,
    /// Segments fetched ahead.
    pub ahead: usize,
    /// After this long it has failed.
    pub deadline: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The file is there, whole and durable.
    Written,
    /// It is there as far as it was ever written; the rest is zeros. Nothing follows it on its timeline.
    Unfinished,
    /// It is there up to a gap; the rest is zeros. The recovery has a target, without which PostgreSQL does not end it there.
    BeforeGap,
    /// It was fetched by an earlier call.
    Spooled,
    /// There is no such file: proven.
    Absent,
    /// It is missing in the bucket, but `pg_wal` has it whole: PostgreSQL uses that one if told that there is none.
    Local,
}

impl Outcome {
    /// Whether PostgreSQL is to be told that there is no such file.
    pub fn is_absent(self) -> bool {
        matches!(self, Self::Absent | Self::Local)
    }
}

/// Fetches; tries again until the deadline whatever may pass.
pub async fn run(mut options: Options) -> Result<Outcome> {
    let (started, deadline) = (Instant::now(), options.deadline);
    let RepositoryOptions { s3, replicas, .. } = &mut options.repository;
    for s3 in replicas.iter_mut().map(|replica| &mut replica.s3).chain([s3]) {
        s3.deadline = s3.deadline.min(deadline);
    }
    let name: WalFileName = options.name.parse()?;
    let spool = Spool::beside(&options.to, &options.repository, &options.cluster);
    if let WalFileName::Segment(segment) = name
        && spool.take(segment, &options.to)?
    {
        return Ok(Outcome::Spooled);
    }
    let what = options.name.clone();
    let fetched = tokio::time::timeout(deadline, fetch(options, name, spool, started));
    fetched.await.map_err(|_| Error::Deadline { what, seconds: deadline.as_secs() })?
}

async fn fetch(options: Options, name: WalFileName, spool: Spool, started: Instant) -> Result<Outcome> {
    let deadline = options.deadline;
    let mut fetch = Fetch::open(options, spool).await?;
    let mut tries = 0;
    loop {
        let error = match fetch.attempt(name).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        tries += 1;
        let pause = Duration::from_secs((1 << tries.min(10)).min(WAL_FETCH_PAUSE_SECONDS_MAX));
        // Even a hole may be one for a moment only: uploads overtake each other.
        let hopeless = !error.is_passing() && tries >= WAL_FETCH_TRIES;
        if hopeless && matches!(error, Error::Gap { .. }) && !fetch.up_to_gap && target::stops_recovery(&fetch.to) {
            fetch.up_to_gap = true;
            continue;
        }
        if hopeless || started.elapsed() + pause >= deadline {
            return Err(error);
        }
        tracing::warn!(file = %name, error = crate::observe::chain(&error), ?pause, "trying again");
        sleep(pause).await;
    }
}

/// One file being fetched.
struct Fetch {
    repository: Arc<Repository>,
    cluster: ClusterName,
    to: PathBuf,
    ahead: usize,
    spool: Spool,
    record: Option<ClusterRecord>,
    /// Whether the beginning of a segment is enough, although WAL goes on behind a gap.
    up_to_gap: bool,
}

impl Fetch {
    async fn open(options: Options, spool: Spool) -> Result<Self> {
        let repository =
            Source::within(&options.repository, options.deadline).await?.open_lightly(options.access).await?;
        let (repository, cluster) = (Arc::new(repository), options.cluster);
        Ok(Self { repository, cluster, to: options.to, ahead: options.ahead, spool, record: None, up_to_gap: false })
    }

    async fn attempt(&mut self, name: WalFileName) -> Result<Outcome> {
        match name {
            WalFileName::Segment(segment) => self.segment(segment).await,
            WalFileName::History(timeline) => self.file(WalName::File { timeline, name, tag: None }).await,
            WalFileName::BackupHistory(SegmentName { timeline, .. }, _) => {
                self.file(WalName::File { timeline, name, tag: None }).await
            }
            WalFileName::Partial(_) => Err(Error::Usage(format!("{name}: PostgreSQL never asks for a .partial"))),
        }
    }

    /// A history or backup history file.
    async fn file(&self, name: WalName) -> Result<Outcome> {
        let Some(found) = self.repository.wal_object(&self.cluster, &name).await? else {
            // The last thing that PostgreSQL asks for before it promotes.
            self.spool.clear();
            return Ok(Outcome::Absent);
        };
        let output = Output::create(directory(&self.to))?;
        output.write(&self.repository, found, 0).await?;
        output.persist(&self.to).await?;
        Ok(Outcome::Written)
    }

    async fn segment(&mut self, segment: SegmentName) -> Result<Outcome> {
        let stamp = self.stamp().await?;
        let start = segment.start(stamp.segment_bytes).ok_or_else(|| {
            Error::Usage(format!("there is no {segment} with segments of {} bytes", stamp.segment_bytes.bytes()))
        })?;
        let looked_ahead = self.look_ahead(segment, &stamp);
        let output = Output::create(self.spool.folder().unwrap_or(directory(&self.to)))?;
        let found = assemble::segment(&self.repository, &self.cluster, segment.timeline, start, &stamp, &output).await;
        let outcome = match found {
            Ok(Found::Whole) => Outcome::Written,
            // PostgreSQL puts what it is given over what it has, which may be longer.
            Ok(Found::Unfinished(bytes)) if output.is_beginning_of(self.local(segment, &stamp).as_deref(), bytes) => {
                Outcome::Local
            }
            Ok(Found::BeforeGap { bytes, .. })
                if self.up_to_gap && output.is_beginning_of(self.local(segment, &stamp).as_deref(), bytes) =>
            {
                Outcome::Local
            }
            Ok(Found::Unfinished(_)) => Outcome::Unfinished,
            Ok(Found::BeforeGap { .. }) if self.holds_to_the_end(segment, &stamp, start) => Outcome::Local,
            Ok(Found::BeforeGap { bytes, .. }) if self.up_to_gap && bytes > 0 => Outcome::BeforeGap,
            Ok(Found::BeforeGap { gap, .. }) => return Err(gap),
            Ok(Found::Nothing) if self.local(segment, &stamp).is_some() => Outcome::Local,
            Ok(Found::Nothing) => Outcome::Absent,
            Err(error) => return Err(error),
        };
        if outcome.is_absent() {
            self.spool.alone(&stamp, true);
            return Ok(outcome);
        }
        if let Err(error) = output.persist(&self.to).await {
            // What was fetched ahead may be what fills the disk.
            self.spool.clear();
            return Err(error);
        }
        if let Some(looked_ahead) = looked_ahead {
            looked_ahead.settle(&self.spool, &stamp).await;
        } else {
            self.spool.alone(&stamp, false);
        }
        Ok(outcome)
    }

    /// What is known of the cluster: from an earlier call, else from the cluster record. Without one, the cluster or the prefix
    /// is another than was meant, or the record was lost; neither proves that there is no WAL.
    async fn stamp(&mut self) -> Result<Stamp> {
        if let Some(stamp) = self.spool.stamp() {
            return Ok(stamp);
        }
        if self.record.is_none() {
            self.record = self.repository.cluster_record(&self.cluster).await?;
        }
        let missing = || Error::NoClusterRecord { cluster: self.cluster.to_string() };
        self.record.as_ref().map(|record| self.spool.stamp_of(record)).ok_or_else(missing)
    }

    fn look_ahead(&self, segment: SegmentName, stamp: &Stamp) -> Option<ahead::Ahead> {
        if self.ahead == 0 || stamp.alone {
            return None;
        }
        let missing = self.spool.missing(segment, self.ahead, stamp)?;
        Some(ahead::Ahead::start(&self.repository, &self.cluster, stamp, missing, &self.spool))
    }

    /// The segment as `pg_wal` itself has it, if it is the right one; how far it was ever filled, that does not say.
    fn local(&self, segment: SegmentName, stamp: &Stamp) -> Option<PathBuf> {
        let path = directory(&self.to).join(segment.to_string());
        spool::is_whole(&path, segment, stamp).then_some(path)
    }

    /// Whether `pg_wal` has the segment with every page written. One that was filled half, as a standby leaves it that began to
    /// stream in the next one, would be read to its torn end and taken for the end of all WAL.
    fn holds_to_the_end(&self, segment: SegmentName, stamp: &Stamp, start: Lsn) -> bool {
        let file = self.local(segment, stamp).and_then(|path| std::fs::File::open(path).ok());
        let pages = file.and_then(|file| finished_bytes(start, BufReader::with_capacity(1 << 20, file)).ok());
        pages == Some(stamp.segment_bytes.bytes())
    }
}

/// The directory of a file; a bare name lies in the working directory.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
