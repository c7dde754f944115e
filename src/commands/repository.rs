//! Getting at a repository: connect, check the ground, open with the keys at hand.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::{Error, Result, Which};
use crate::catalog::{Access, Backup, Finding, Repository};
use crate::format::ClusterName;
use crate::format::manifest::Kind;
use crate::format::names::Names;
use crate::store::{Lock, LockMode, Read as _};
use crate::store::{S3, S3Options};

/// Whether what is stored can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Immutability {
    /// Every object is locked when it is written.
    ObjectLock {
        /// Who may still remove it.
        mode: LockMode,
        /// For how long, from the start of the backup, by the store's clock.
        retain: Duration,
    },
    /// No locks; the configuration said so in so many words.
    None,
}

/// Where a repository is.
#[derive(Clone, Debug)]
pub struct RepositoryOptions {
    /// Bucket and how to reach it.
    pub s3: S3Options,
    /// Prefix in the bucket; may be empty.
    pub prefix: String,
    /// Whether its objects are locked.
    pub immutability: Immutability,
    /// Whether the store must prove that its locks hold before a backup is put there; see `doctor`.
    pub require_worm: bool,
    /// Copies of what everything stands on are locked for longer than asked for, but no further ahead than this.
    pub lock_max: Duration,
    /// Copies elsewhere, asked for whatever the bucket does not give.
    pub replicas: Vec<Replica>,
    /// The replica that is read instead of the bucket and of all others.
    pub from_replica: Option<String>,
}

impl RepositoryOptions {
    /// The bucket that is read first, or alone: of the replica that was chosen, else of the repository.
    pub fn bucket(&self) -> &S3Options {
        let chosen = self.replicas.iter().find(|replica| Some(&replica.name) == self.from_replica.as_ref());
        chosen.map_or(&self.s3, |replica| &replica.s3)
    }
}

/// A copy of the repository in another bucket, below the same prefix.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The operator's name for it.
    pub name: String,
    /// Bucket and how to reach it.
    pub s3: S3Options,
    /// So long may something be missing there.
    pub max_lag: Duration,
}

/// A store that answers.
#[derive(Debug)]
pub struct Connected {
    /// The bucket.
    pub store: Arc<S3>,
    /// Names below the prefix.
    pub names: Names,
    /// Bucket and prefix, for people.
    pub location: String,
    immutability: Immutability,
    lock_max: Duration,
}

impl Connected {
    /// Connects; asks the bucket nothing yet.
    pub async fn to(options: &RepositoryOptions) -> Result<Self> {
        let names = Names::new(&options.prefix)?;
        let store = Arc::new(S3::connect(options.bucket().clone()).await?);
        let location = format!("s3://{}/{}", store.bucket(), names.prefix());
        Ok(Self { store, names, location, immutability: options.immutability, lock_max: options.lock_max })
    }

    /// Refuses a bucket that would not protect what is put into it (invariants I3 and I4 need versions and locks).
    pub async fn check_immutable(&self) -> Result<()> {
        let state = self.store.bucket_state().await?;
        let missing = match self.immutability {
            Immutability::ObjectLock { .. } if !state.versioning => "no versioning",
            Immutability::ObjectLock { .. } if !state.object_lock => "no Object Lock",
            Immutability::ObjectLock { .. } | Immutability::None => return Ok(()),
        };
        Err(Error::NotImmutable { bucket: self.store.bucket().to_owned(), missing })
    }

    /// The lock for objects that are written from now on, by the store's clock (invariant I11). Valid once the store has
    /// answered anything.
    pub fn lock(&self) -> Result<Option<Lock>> {
        self.lock_for(self.retain())
    }

    /// Whether what is stored is locked.
    pub fn immutability(&self) -> Immutability {
        self.immutability
    }

    /// No copy of what everything stands on is locked further ahead than this unless it must be.
    pub fn lock_max(&self) -> Duration {
        self.lock_max
    }

    /// How long objects are locked; zero where nothing is.
    pub fn retain(&self) -> Duration {
        match self.immutability {
            Immutability::ObjectLock { retain, .. } => retain,
            Immutability::None => Duration::ZERO,
        }
    }

    /// The same for objects that are locked for `retain` instead of the usual time.
    pub fn lock_for(&self, retain: Duration) -> Result<Option<Lock>> {
        let Immutability::ObjectLock { mode, .. } = self.immutability else { return Ok(None) };
        let until =
            SignedDuration::try_from(retain).ok().and_then(|retain| self.store.clock().now().checked_add(retain).ok());
        let retain_until = until.ok_or_else(|| Error::Usage("the retention ends beyond the year 9999".into()))?;
        Ok(Some(Lock { mode, retain_until }))
    }

    /// Opens the repository.
    pub async fn open(&self, access: Access) -> Result<Repository> {
        Ok(Repository::open(self.store.clone(), self.names.clone(), access, &self.location).await?)
    }
}

/// A store that protects what it is given, and keys that may publish.
pub(super) async fn prepare_to_write(options: &RepositoryOptions, access: Access) -> Result<(Connected, Repository)> {
    let connected = Connected::to(options).await?;
    connected.check_immutable().await?;
    let repository = connected.open(access).await?;
    repository.with_keyring(|ring| ring.writer().map(|_| ()))?;
    if options.require_worm {
        super::doctor::require_worm(&connected).await?;
    }
    Ok((connected, repository))
}

/// A store whose clock is far from this host's.
pub(super) fn clock_warning(connected: &Connected) -> Option<String> {
    let skew = connected.store.clock().skew();
    let far = skew.abs() >= SignedDuration::from_mins(1);
    far.then(|| format!("the store's clock is {skew:#} ahead of this host's; locks follow the store's"))
}

/// Runs what may be dropped at any moment, until it is done or `cancel` is cancelled.
pub(super) async fn interruptible<T>(cancel: &CancellationToken, job: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Interrupted),
        done = job => done,
    }
}

/// Finds the backup that is meant; the latest may be that of one kind.
pub(super) async fn find(
    repository: &Repository,
    cluster: &ClusterName,
    which: &Which,
    kind: Option<Kind>,
) -> Result<(Backup, Vec<Finding>)> {
    Ok(match which {
        Which::Latest => repository.latest_of(cluster, kind).await?,
        Which::Id(id) => repository.backup(cluster, id).await?,
    })
}
