//! Opening a repository with the keys at hand.

use std::fmt;
use std::sync::{Arc, RwLock};

use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::listing::{first_version, first_versions};
use super::{Error, Finding, FindingKind, Result};
use crate::format::manifest::{Manifest, RepositoryRecord};
use crate::format::names::Names;
use crate::format::{self, RepositoryId, Tag, WriterPublic};
use crate::keys::{Bundle, Keyring, RecoveryFile, WriterFile};
use crate::limits::{DISCOVERIES, IDENTITY_BUNDLES_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::store::{Entry, Read};

/// How the caller proves who it is.
#[derive(Debug)]
pub enum Access {
    /// The passphrase of the identity bundle in the bucket.
    Passphrase(SecretString),
    /// The same, with the fingerprint of the bundle, as `init` names it: however many bundles were planted, only this
    /// one is tried.
    Bundle {
        /// The passphrase.
        passphrase: SecretString,
        /// The fingerprint.
        fingerprint: Tag,
    },
    /// A host that may publish and not read.
    Writer(Box<WriterFile>),
    /// An offline identity that may read.
    Recovery(RecoveryFile),
}

/// A repository that was found and whose keys are open.
pub struct Repository {
    pub(super) store: Arc<dyn Read>,
    pub(super) names: Names,
    keyring: RwLock<Keyring>,
    findings: Vec<Finding>,
    pub(super) manifest_room: Semaphore,
}

impl Repository {
    /// Opens the repository below `names`; `location` names it in errors.
    pub async fn open(store: Arc<dyn Read>, names: Names, access: Access, location: &str) -> Result<Self> {
        let mut findings = Vec::new();
        let publishes_only = matches!(access, Access::Writer(_));
        let keyring = match access {
            Access::Passphrase(passphrase) => {
                let found = find_bundle(&*store, &names, passphrase, None, location).await?;
                findings.extend(found.beside);
                Keyring::from_bundle(found.bundle, found.fingerprint)
            }
            Access::Bundle { passphrase, fingerprint } => {
                let found = find_bundle(&*store, &names, passphrase, Some(fingerprint), location).await?;
                Keyring::from_bundle(found.bundle, found.fingerprint)
            }
            Access::Writer(file) => Keyring::from_writer_file(*file),
            Access::Recovery(file) => Keyring::from_recovery(file),
        };
        let (doubt, keys) = (check_record(&*store, &names, &keyring, location).await?, keyring.repository());
        let mut repository =
            Self { store, names, keyring: RwLock::new(keyring), findings, manifest_room: Semaphore::new(DISCOVERIES) };
        match doubt {
            None => {}
            // A host that is given the wrong writer file must not publish where no one will look for it.
            Some(finding) if publishes_only && !repository.is_vouched_for().await? => {
                return Err(Error::OtherRepository { keys, found: finding.detail });
            }
            Some(finding) => repository.findings.push(finding),
        }
        Ok(repository)
    }

    /// Whether the root writer's certificate of this very host lies here. The record's lock ends one day and its name is
    /// fixed; certificates are renewed with every backup that needs it, and prove the same.
    async fn is_vouched_for(&self) -> Result<bool> {
        let own = self.with_keyring(|keyring| keyring.writer().map(|key| key.public().id()))?;
        self.find_certificate(&own).await
    }

    /// Where things lie.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Id of the repository.
    pub fn id(&self) -> RepositoryId {
        self.with_keyring(Keyring::repository)
    }

    /// Whether the repository record is missing: an interrupted `init`, or worse.
    pub fn lacks_record(&self) -> bool {
        self.findings.iter().any(|finding| finding.kind == FindingKind::Missing)
    }

    /// What did not belong among the keys and records.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The bucket.
    pub fn store(&self) -> &Arc<dyn Read> {
        &self.store
    }

    /// Lends the keys.
    pub fn with_keyring<T>(&self, use_keys: impl FnOnce(&Keyring) -> T) -> T {
        use_keys(&self.keyring.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Reads a manifest, looking for the certificate of its writer if that writer is not known yet.
    pub(super) async fn decode_manifest(&self, bytes: &[u8]) -> Result<Manifest> {
        let decode = || self.with_keyring(|keyring| Manifest::decode(bytes, keyring.trusted()));
        match decode() {
            Err(format::Error::UntrustedWriter { writer, .. }) if self.find_certificate(&writer).await? => {
                Ok(decode()?)
            }
            other => Ok(other?),
        }
    }

    /// Looks for a genuine certificate of `writer` (its short id) and trusts it.
    async fn find_certificate(&self, writer: &str) -> Result<bool> {
        let prefix = format!("{}{writer}-", self.names.writers());
        let (entries, _) = first_versions(&*self.store, &prefix).await?;
        for entry in entries.iter().filter(|entry| entry.bytes <= SMALL_OBJECT_BYTES_MAX) {
            let bytes = self.store.get(&entry.key, &entry.version, 0..entry.bytes).await?;
            let mut keyring = self.keyring.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            if keyring.trust(&bytes).is_ok_and(|certificate| certificate.writer.id() == writer) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writers trusted so far.
    pub fn trusted(&self) -> Vec<WriterPublic> {
        self.with_keyring(|keyring| keyring.trusted().to_vec())
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The identity bundle of a repository with its fingerprint, for what only the root writer may do.
pub async fn open_bundle(
    store: &dyn Read,
    names: &Names,
    passphrase: SecretString,
    location: &str,
) -> Result<(Bundle, Tag)> {
    let found = find_bundle(store, names, passphrase, None, location).await?;
    Ok((found.bundle, found.fingerprint))
}

/// A bundle that opened, and what was found before it.
struct Found {
    bundle: Bundle,
    fingerprint: Tag,
    beside: Vec<Finding>,
}

/// The oldest identity bundle that opens under the passphrase, or the one that is `wanted`. Copies of one bundle cost one
/// attempt.
async fn find_bundle(
    store: &dyn Read,
    names: &Names,
    passphrase: SecretString,
    wanted: Option<Tag>,
    location: &str,
) -> Result<Found> {
    let prefix = wanted.map_or_else(|| names.identities(), |fingerprint| names.identity_copies(fingerprint));
    let (entries, mut findings) = first_versions(store, &prefix).await?;
    let (mut tried, mut refusal) = (Vec::new(), None);
    for entry in &entries {
        let genuine_name = names.fingerprint_of(entry.key.as_str()).filter(|_| entry.bytes <= SMALL_OBJECT_BYTES_MAX);
        let Some(fingerprint) = genuine_name else {
            findings.push(forged(entry, "it is not named or sized like an identity bundle"));
            continue;
        };
        if tried.contains(&fingerprint) || tried.len() >= IDENTITY_BUNDLES_MAX {
            continue;
        }
        let bytes = store.get(&entry.key, &entry.version, 0..entry.bytes).await?;
        if Bundle::fingerprint(&bytes) != fingerprint {
            findings.push(forged(entry, "its content is not what its name says"));
            continue;
        }
        tried.push(fingerprint);
        let passphrase = passphrase.clone();
        match spawn_blocking(move || Bundle::open(&bytes, &passphrase)).await? {
            Ok(bundle) => return Ok(Found { bundle, fingerprint, beside: findings }),
            Err(error) => {
                findings.push(forged(entry, "it does not open under the passphrase"));
                // The oldest bundle is the genuine one, so its refusal is the one to tell.
                refusal.get_or_insert(error);
            }
        }
    }
    Err(match refusal {
        Some(error) => Error::Keys(error),
        None => Error::NoRepository { location: location.to_owned() },
    })
}

/// The repository record must be genuine and name the repository of the keys. A reader is told and goes on: nothing
/// that is restored depends on the record.
async fn check_record(store: &dyn Read, names: &Names, keyring: &Keyring, location: &str) -> Result<Option<Finding>> {
    let Some(entry) = first_version(store, &names.repository()).await? else {
        if first_versions(store, &names.identities()).await?.0.is_empty() {
            return Err(Error::NoRepository { location: location.to_owned() });
        }
        let gone = "the repository record is gone";
        return Ok(Some(Finding::new(FindingKind::Missing, names.repository(), None, gone)));
    };
    let bytes = store.get(&entry.key, &entry.version, 0..entry.bytes.min(SMALL_OBJECT_BYTES_MAX)).await?;
    match RepositoryRecord::decode(&bytes, std::slice::from_ref(keyring.root())) {
        Ok(record) if record.repository == keyring.repository() => Ok(None),
        Ok(record) => Ok(Some(forged(&entry, &format!("repository {}", record.repository)))),
        Err(error @ format::Error::Version { .. }) => Err(error.into()),
        Err(error) => Ok(Some(forged(&entry, &error.to_string()))),
    }
}

fn forged(entry: &Entry, why: &str) -> Finding {
    Finding::new(FindingKind::ForgedKey, entry.key.as_str(), Some(entry.version.as_str()), why)
}
