//! `stonewal init`: makes a repository, or checks the one that is there.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{Connected, Error, Immutability, RepositoryOptions, Result, lifecycle};
use crate::catalog::{self, Access, Foundation, Repository, found, open_bundle, put_record};
use crate::format::{RepositoryId, WriterPublic};
use crate::keys::{self, Bundle, Identity, Keyring, Recipient, RecoveryFile};
use crate::store::{self, Lock, LockMode, ObjectKey, Read as _};

/// What to make.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Seals the identity bundle.
    pub passphrase: SecretString,
    /// Further recipients of every data key, kept offline.
    pub recipients: Vec<Recipient>,
    /// Makes one more recipient and writes its secret half here.
    pub recovery_file: Option<PathBuf>,
    /// Installs the lifecycle rule that removes leftovers; for so long the retention plan keeps backups at least.
    pub lifecycle: Option<Duration>,
}

/// What is there now.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Whether the bucket was created.
    pub created_bucket: bool,
    /// Whether the repository was created; otherwise it was there and opens under the passphrase.
    pub created_repository: bool,
    /// Object of the identity bundle, worth a copy elsewhere; `None` when nothing was created.
    pub bundle: Option<String>,
    /// Who can read backups, the passphrase's own identity first.
    pub recipients: Vec<String>,
    /// Short id of the root writer.
    pub root_writer: String,
    /// The recovery file written.
    pub recovery_file: Option<PathBuf>,
    /// The lifecycle rule, where one was asked for.
    pub lifecycle: Option<lifecycle::Installed>,
    /// Until when what was made now is locked in compliance mode, which nobody can shorten; `None` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compliance_until: Option<Timestamp>,
}

/// Creates the bucket if it is missing, and the repository if it is; an existing one is opened and left as it is.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let created_bucket = ensure_bucket(&connected, options.repository.immutability).await?;
    connected.check_immutable().await?;
    // Before anything is made: where rules of others would break the plan, there is no repository to begin with.
    let installed = match options.lifecycle {
        Some(kept) => Some(lifecycle::install(&connected, kept).await?),
        None => None,
    };
    let outcome = match connected.open(Access::Passphrase(options.passphrase.clone())).await {
        Ok(repository) => check(connected, &repository, options, created_bucket).await,
        Err(Error::Catalog(catalog::Error::NoRepository { .. })) => create(connected, options, created_bucket).await,
        Err(error) => Err(error),
    };
    Ok(Outcome { lifecycle: installed, ..outcome? })
}

/// A repository that exists: nothing about it is changed, except that an interrupted `init` is completed.
async fn check(
    connected: Connected,
    repository: &Repository,
    options: Options,
    created_bucket: bool,
) -> Result<Outcome> {
    if options.recovery_file.is_some() || !options.recipients.is_empty() {
        let why = "the repository exists already; `stonewal keys add` adds recipients to it. Without --recovery-file and recipients, `init` checks it and completes what was interrupted";
        return Err(Error::Usage(why.into()));
    }
    if let Some(lock) = connected.lock()? {
        check_lasting(repository, lock).await?;
    }
    if repository.lacks_record() {
        let (store, names) = (&connected.store, &connected.names);
        let root = open_bundle(&**store, names, options.passphrase, None, &connected.location).await?;
        put_record(&**store, names, &root.bundle, connected.lock()?).await?;
    }
    Ok(Outcome {
        location: connected.location,
        repository: repository.id(),
        created_bucket,
        created_repository: false,
        bundle: None,
        recipients: repository.with_keyring(|ring| ring.recipients().iter().map(ToString::to_string).collect()),
        root_writer: repository.trusted().first().map(WriterPublic::id).unwrap_or_default(),
        recovery_file: None,
        lifecycle: None,
        compliance_until: None,
    })
}

async fn ensure_bucket(connected: &Connected, immutability: Immutability) -> Result<bool> {
    match connected.store.bucket_state().await {
        Ok(_) => Ok(false),
        Err(store::Error::NoBucket { .. }) => {
            connected.store.create_bucket(matches!(immutability, Immutability::ObjectLock { .. })).await?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

async fn create(connected: Connected, options: Options, created_bucket: bool) -> Result<Outcome> {
    let mut recipients = options.recipients;
    let recovery = options.recovery_file.map(|path| (path, Identity::generate()));
    recipients.extend(recovery.as_ref().map(|(_, identity)| identity.recipient()));
    let created_at = connected.store.clock().now();
    let bundle = Arc::new(Bundle::generate(keys::repository_id()?, recipients, created_at)?);
    let (repository, root) = (bundle.repository, *bundle.writer.public());
    // Before anything is stored: a file that cannot be written must not leave a repository without its recovery.
    let mut recovery_file = None;
    if let Some((path, identity)) = recovery {
        write_secret(&path, &RecoveryFile { repository, root, identity, former: Vec::new() }.encode())?;
        recovery_file = Some(path);
    }
    let lock = connected.lock()?;
    let passphrase = options.passphrase;
    let key = found(&*connected.store, &connected.names, &bundle, passphrase.clone(), lock).await?;
    let first = connected.open(Access::Passphrase(passphrase)).await?.id();
    if first != repository {
        // Nothing was wrapped to our recovery identity, and nothing will be.
        if let Some(path) = &recovery_file {
            let _ = std::fs::remove_file(path);
        }
        let why = format!("another `stonewal init` was there at the same time: repository {first} is the one to use");
        return Err(Error::Usage(why));
    }
    if let Some(lock) = lock {
        check_locked(&connected, &key, lock).await?;
    }
    let everyone = std::iter::once(bundle.identity.recipient()).chain(bundle.recipients.iter().cloned());
    Ok(Outcome {
        location: connected.location,
        repository,
        created_bucket,
        created_repository: true,
        bundle: Some(key.to_string()),
        recipients: everyone.map(|recipient| recipient.to_string()).collect(),
        root_writer: root.id(),
        recovery_file,
        lifecycle: None,
        compliance_until: lock.filter(|lock| lock.mode == LockMode::Compliance).map(|lock| lock.retain_until),
    })
}

/// A store that takes locks and forgets them is noticed before anybody relies on it.
async fn check_locked(connected: &Connected, bundle: &ObjectKey, lock: Lock) -> Result<()> {
    let found = match connected.store.newest(bundle, 1).await? {
        Some(newest) => connected.store.head(bundle, &newest.version).await?.lock,
        None => None,
    };
    if found.is_some_and(|found| found.outlasts(lock)) {
        return Ok(());
    }
    let why = format!("{lock:?} was asked for, {found:?} is there");
    Err(catalog::Error::Unlocked { key: bundle.to_string(), why }.into())
}

/// The same of a repository that was there: the first `init` told it once, and left everything in place. Where any copy of the bundle
/// has a lock, also one that has ended, the store keeps locks.
async fn check_lasting(repository: &Repository, lock: Lock) -> Result<()> {
    let Some(print) = repository.with_keyring(Keyring::bundle) else { return Ok(()) };
    let found = repository.footings(Foundation::Bundle(print), None).await?;
    if found.iter().any(|footing| footing.lock.is_some()) {
        return Ok(());
    }
    let key =
        found.first().map_or_else(|| repository.names().identity_copies(print), |footing| footing.key.to_string());
    let why = format!(
        "{lock:?} was asked for, no copy has any. If it was made under immutability = \"none\", the next backup locks a copy"
    );
    Err(catalog::Error::Unlocked { key, why }.into())
}

/// Writes a new file that only its owner may read, and makes it durable. An existing file is never overwritten.
pub(super) fn write_secret(path: &Path, text: &SecretString) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let write = |mut file: std::fs::File| {
        file.write_all(text.expose_secret().as_bytes())?;
        file.sync_all()
    };
    file.and_then(write).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::Usage(format!(
            "{} exists already, and nothing is written over: name another file, or move that one away",
            path.display()
        )),
        _ => file_error(path, &error),
    })
}

pub(super) fn file_error(path: &Path, error: &std::io::Error) -> Error {
    Error::File { path: path.to_owned(), why: error.to_string() }
}
