//! The error of a whole command: what it says, what it advises, and what kind of failure it is.

mod hints;

use std::path::PathBuf;

use crate::{catalog, format, keys, pipeline, postgres, retention, store, verify};

/// Result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something failed; nothing was published or committed.
    Failed,
    /// The command or the configuration is wrong.
    Usage,
    /// Stored data, a signature or a key is at fault.
    Integrity,
    /// The operator or the system asked us to stop.
    Interrupted,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A key was missing or wrong.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// A name is malformed.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// The repository could not be opened, searched or added to.
    #[error(transparent)]
    Catalog(catalog::Error),
    /// A stream did not reach its end.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// PostgreSQL, or one of its programs, failed.
    #[error(transparent)]
    Postgres(postgres::Error),
    /// The embedded store failed.
    #[error(transparent)]
    Embedded(store::embedded::Error),
    /// The demonstration came out wrong.
    #[error("{0}")]
    Demo(String),
    /// The bucket does not protect what is put into it.
    #[error("bucket {bucket} has {missing}")]
    NotImmutable {
        /// The bucket.
        bucket: String,
        /// What it lacks.
        missing: &'static str,
    },
    /// The store was asked to prove its locks (`lock.require_worm`), and did not.
    #[error("nothing was backed up, since locks were not seen to hold here ({check}): {detail}")]
    NotWorm {
        /// What of the doctor's checks went wrong.
        check: &'static str,
        /// How.
        detail: String,
        /// What to do about it.
        remedy: Option<String>,
    },
    /// The bucket of a replica holds something else.
    #[error("replica {name} at {location} holds the record of another repository")]
    OtherReplica {
        /// Its name.
        name: String,
        /// Bucket and prefix.
        location: String,
    },
    /// A replica that is no copy.
    #[error("replica {name} is the repository itself: bucket {bucket} at {endpoint}")]
    SameReplica {
        /// Its name.
        name: String,
        /// The bucket.
        bucket: String,
        /// Where requests go.
        endpoint: String,
    },
    /// A restore was not confirmed.
    #[error("restoring into {target} was not confirmed")]
    NotConfirmed {
        /// The database or directory.
        target: String,
        /// The variable that confirms.
        variable: &'static str,
    },
    /// A database that is not to be burdened with checks.
    #[error("{target} is production: {why}")]
    Production {
        /// The database.
        target: String,
        /// By what it is known.
        why: String,
    },
    /// A copy does not open as it was written.
    #[error("the copy {backup} is not whole: {why}")]
    BadCopy {
        /// The copy.
        backup: crate::format::BackupId,
        /// What is wrong with it.
        why: String,
    },
    /// The backup has no stream of this name.
    #[error("backup {backup} has no {stream} stream")]
    NoStream {
        /// The backup.
        backup: String,
        /// The stream.
        stream: &'static str,
    },
    /// The server is not set up for what is asked of it.
    #[error("{what}")]
    NotReady {
        /// What it lacks.
        what: String,
        /// How to mend it.
        remedy: String,
    },
    /// The server sent something else than the continuation of its WAL.
    #[error(transparent)]
    Disorder(#[from] pipeline::wal_stream::Disorder),
    /// The server is an earlier state of the one whose WAL is stored, or went its own way since.
    #[error("{what}")]
    Diverged {
        /// Where it shows.
        what: String,
    },
    /// WAL is gone and there is nothing to go on with.
    #[error("WAL from {at} on is gone from the server, and so is everything after it")]
    NothingLeft {
        /// What was asked for.
        at: format::Lsn,
    },
    /// A local file cannot be read or written.
    #[error("{path}: {why}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A file that is to be imported is not what it should be, or does not open.
    #[error("{path}: {why}", path = path.display())]
    Artifact {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do.
        way_out: &'static str,
    },
    /// An import would be the latest backup, and hide one that shows a later state.
    #[error(
        "cluster {cluster} has backup {backup}, which shows {shows:.0}; the import shows {taken_at:.0} and would be its latest"
    )]
    Newer {
        /// The cluster.
        cluster: String,
        /// Its latest dump.
        backup: String,
        /// When that was taken.
        shows: jiff::Timestamp,
        /// When the import was.
        taken_at: jiff::Timestamp,
    },
    /// A directory cannot be restored into.
    #[error("{path}: {why}", path = path.display())]
    Target {
        /// The directory.
        path: PathBuf,
        /// What it holds, or why it cannot be used.
        why: String,
        /// What to do instead.
        way_out: String,
    },
    /// A recovery target that cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] catalog::plan::Refusal),
    /// A file system is full.
    #[error("no room is left for {}: the restore needs {needed_bytes} bytes", .path.display())]
    NoRoom {
        /// What could not be written.
        path: PathBuf,
        /// What all of it needs.
        needed_bytes: u64,
    },
    /// The reader of our output went away.
    #[error("the reader of standard output closed it after {bytes} bytes; what follows was not written")]
    OutputClosed {
        /// Bytes it took.
        bytes: u64,
    },
    /// WAL is missing and there is later WAL: recovery would have to jump.
    #[error("WAL {missing} of timeline {timeline} is missing, and there is WAL behind it")]
    Gap {
        /// The timeline.
        timeline: u32,
        /// Positions.
        missing: String,
    },
    /// The record of a cluster is gone, so the size of its segments is not known.
    #[error("there is no record of a cluster {cluster}, so what WAL it has cannot be said")]
    NoClusterRecord {
        /// The cluster.
        cluster: String,
    },
    /// WAL is missing as far as it can be read, and some cannot be.
    #[error(
        "{why}; but of the cluster's WAL, {classes} cannot be read before it was thawed, and may be what is missing{}",
        if *is_requested { "; it was requested" } else { "" }
    )]
    FrozenWal {
        /// What is missing.
        why: String,
        /// How much lies in which archive tier.
        classes: String,
        /// Whether the archive was asked for it.
        is_requested: bool,
    },
    /// We were told to stop while archive tiers were at work.
    #[error(
        "interrupted while {left} of {total} objects still lie in archive tiers; nothing was restored, and what was requested goes on"
    )]
    StillFrozen {
        /// How many cannot be read yet.
        left: usize,
        /// How many could not.
        total: usize,
    },
    /// What was asked for took too long.
    #[error("{what} did not finish within {seconds} s")]
    Deadline {
        /// What.
        what: String,
        /// The deadline.
        seconds: u64,
    },
    /// A record of what is done cannot be written.
    #[error("no audit record: {why}")]
    NoAudit {
        /// Why not.
        why: String,
    },
    /// A record must be written before anything is done, and cannot.
    #[error("nothing was done, since audit.mode is \"required\" and no audit record could be written: {why}")]
    NotAudited {
        /// Why not.
        why: String,
    },
    /// There is no evidence of this drill, or of any.
    #[error("cluster {cluster} has no evidence {}", id.as_deref().map_or_else(|| "of any drill".into(), |id| format!("called {id}")))]
    NoEvidence {
        /// The cluster.
        cluster: String,
        /// The id asked for.
        id: Option<String>,
    },
    /// A drill took too long.
    #[error("the drill did not end within {seconds} s; it was given up and everything it made was removed")]
    DrillTimeout {
        /// The limit.
        seconds: u64,
    },
    /// A retention policy that must not be followed.
    #[error(transparent)]
    Retention(#[from] retention::Error),
    /// An option contradicts another or the repository.
    #[error("{0}")]
    Usage(String),
    /// We were told to stop.
    #[error("interrupted; nothing was published or committed")]
    Interrupted,
}

impl Error {
    /// Whether this is an outage of the store, which ends by itself.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_permanent(),
            Self::Keys(keys::Error::Kms(error)) | Self::Catalog(catalog::Error::Keys(keys::Error::Kms(error))) => {
                error.is_passing()
            }
            _ => false,
        }
    }

    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Catalog(error) if error.is_integrity() => Class::Integrity,
            Self::Pipeline(error) if error.is_integrity() => Class::Integrity,
            Self::Postgres(error) if error.is_refusal() => Class::Usage,
            Self::Gap { .. }
            | Self::BadCopy { .. }
            | Self::Diverged { .. }
            | Self::Artifact { .. }
            | Self::Store(store::Error::Corrupt { .. })
            | Self::Keys(keys::Error::WrongPassphrase) => Class::Integrity,
            Self::Interrupted | Self::StillFrozen { .. } => Class::Interrupted,
            Self::Format(_)
            | Self::Usage(_)
            | Self::Retention(_)
            | Self::NotConfirmed { .. }
            | Self::Production { .. }
            | Self::NotReady { .. }
            | Self::OtherReplica { .. }
            | Self::SameReplica { .. }
            | Self::Newer { .. }
            | Self::Store(store::Error::Setup(_))
            | Self::Postgres(postgres::Error::Setting { .. })
            | Self::Keys(
                keys::Error::Missing { .. }
                | keys::Error::BadRecipient { .. }
                | keys::Error::Retired { .. }
                | keys::Error::NoKms
                | keys::Error::File { .. },
            )
            | Self::Catalog(catalog::Error::Keys(
                keys::Error::Missing { .. } | keys::Error::Retired { .. } | keys::Error::NoKms,
            )) => Class::Usage,
            _ => Class::Failed,
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        match error {
            // Whoever asked the store, its failure is the same.
            catalog::Error::Store(error) => Self::Store(error),
            error => Self::Catalog(error),
        }
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        match error {
            // Whoever noticed first, the operator reads the same.
            postgres::Error::Cancelled => Self::Interrupted,
            error => Self::Postgres(error),
        }
    }
}

impl From<verify::Error> for Error {
    fn from(error: verify::Error) -> Self {
        match error {
            verify::Error::Catalog(error) => error.into(),
            verify::Error::Pipeline(error) => Self::Pipeline(error),
        }
    }
}

impl<E: Into<Error>> From<pipeline::PumpError<E>> for Error {
    fn from(error: pipeline::PumpError<E>) -> Self {
        match error {
            pipeline::PumpError::Source(error) => error.into(),
            pipeline::PumpError::Stream(error) => Self::Pipeline(error),
            pipeline::PumpError::Interrupted => Self::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests;
