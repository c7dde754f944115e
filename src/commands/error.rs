//! The error of a whole command: what it says, what it advises, and what kind of failure it is.

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
    Catalog(#[from] catalog::Error),
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
        "{why}; but of the cluster's WAL, {classes} cannot be read before it was thawed, and may be what is missing"
    )]
    FrozenWal {
        /// What is missing.
        why: String,
        /// How much lies in which archive tier.
        classes: String,
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
            Self::Store(error) | Self::Catalog(catalog::Error::Store(error)) => !error.is_permanent(),
            Self::Keys(keys::Error::Kms(error)) | Self::Catalog(catalog::Error::Keys(keys::Error::Kms(error))) => {
                error.is_passing()
            }
            _ => false,
        }
    }

    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) => return error.hint(),
            Self::Keys(error) => return error.hint(),
            Self::Catalog(error) => return error.hint(),
            Self::Pipeline(error) => return error.hint(),
            Self::Postgres(error) => return error.hint(),
            Self::NotImmutable { .. } => "Object Lock is switched on when a bucket is created: let `stonewal init` create one, or say immutability = \"none\" in the configuration and accept that backups can be deleted".into(),
            Self::NotWorm { remedy, .. } => {
                let remedy = remedy.as_ref().map_or_else(String::new, |remedy| format!("{remedy}. "));
                format!("{remedy}`stonewal doctor` shows every check; without lock.require_worm nothing is asked of the store")
            }
            Self::OtherReplica { .. } => "nothing was written. Check the section replica.NAME; a replica has a bucket, or a prefix, of its own".into(),
            Self::SameReplica { .. } => "nothing was read or written. Name the bucket of the copy, and its endpoint, in the section replica.NAME, or leave the section out".into(),
            Self::NotReady { remedy, .. } => remedy.clone(),
            Self::NothingLeft { .. } => "create a new slot (wal.create_slot = true) and take a new base backup".into(),
            Self::Disorder(_) => "run the command again: streaming continues from what the bucket holds".into(),
            Self::NotConfirmed { variable, .. } => {
                format!("give --confirm or {variable}=true once you have checked the target")
            }
            Self::Production { .. } => "check a restored copy; for this one, give --allow-production or ALLOW_VERIFY_PROD=true. A copy carries the setting with it: ALTER DATABASE … RESET stonewal.production".into(),
            Self::Diverged { .. } => "nothing was written over. The server was set back (a snapshot of its machine, a copied data directory) and writes other WAL under positions that are taken: promote it, so that it gets a timeline of its own, or give it another cluster name, and take a new base backup".into(),
            Self::BadCopy { .. } => "the original is untouched. Check the store with `stonewal doctor`, then copy again: what is left of this copy stays until its lock has ended".into(),
            Self::NoStream { .. } => "`stonewal show` lists the streams of a backup".into(),
            Self::Newer { .. } => "import under a cluster name of its own (--cluster main-old), the oldest file first".into(),
            Self::Artifact { way_out, .. } => (*way_out).into(),
            Self::Gap { .. } => "`stonewal wal verify` names every missing segment; `stonewal wal push --from <pg_wal>` fills a gap from a server that still has them; else recover to a point before it".into(),
            Self::NoClusterRecord { .. } => "check the repository and the cluster name. If they are right, any `stonewal wal push` or `stonewal backup base` of that cluster writes it anew".into(),
            Self::Deadline { .. } => "the store is slow or does not answer; wal.deadline is how long it may take. PostgreSQL keeps the file and tries again".into(),
            Self::NoEvidence { .. } => "`stonewal drill list` shows the ids; `stonewal drill` runs one".into(),
            Self::DrillTimeout { .. } => "give it longer (drill.timeout), more workers (limits.downloads), or a faster disk (drill.dir)".into(),
            Self::Target { way_out, .. } => way_out.clone(),
            Self::NoRoom { .. } => "make room, or name a directory on a larger file system, and restore again".into(),
            Self::Unreachable(refusal) => refusal.hint(),
            Self::FrozenWal { .. } => "request it from the archive (S3 RestoreObject, for as many days as the restore may take) and plan again when the store has it, in hours to days. Let lifecycle rules move WAL to GLACIER_IR or STANDARD_IA instead".into(),
            Self::Retention(refusal) => refusal.hint(),
            Self::NotAudited { .. } => "mend what keeps records from being written (audit.profile, a writer file or the passphrase); or go on without them, deliberately: STONEWAL_AUDIT_MODE=on".into(),
            Self::Embedded(error) => return error.hint(),
            Self::Format(_) | Self::Demo(_) | Self::File { .. } | Self::OutputClosed { .. } | Self::Usage(_) | Self::NoAudit { .. } | Self::Interrupted => {
                return None;
            }
        })
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
            Self::Interrupted => Class::Interrupted,
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
            verify::Error::Catalog(error) => Self::Catalog(error),
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
