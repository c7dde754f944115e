//! Opening a repository with the keys at hand.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::bundle::{find_bundle, forged};
use super::listing::{Oldest, first_version, first_versions, read_small};
use super::roster::FoundRoster;
use super::wal::WalKeys;
use super::{Error, Finding, FindingKind, Result};
use crate::format::manifest::{Manifest, RepositoryRecord};
use crate::format::names::Names;
use crate::format::{self, RepositoryId, Tag, WriterPublic};
use crate::keys::{Certificate, Door, Keyring, KmsAccess, RecoveryFile, WriterFile};
use crate::limits::{DISCOVERIES, FINDINGS_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::store::{self, Entry, Read};

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
    /// Whoever may use a key in AWS KMS.
    Kms(Box<KmsAccess>),
}

/// A repository that was found and whose keys are open.
pub struct Repository {
    pub(super) store: Arc<dyn Read>,
    pub(super) names: Names,
    pub(super) keyring: RwLock<Keyring>,
    pub(super) roster: RwLock<Option<Arc<FoundRoster>>>,
    findings: Vec<Finding>,
    /// Bundles beside the one that was opened, until the roster tells which of them are ours.
    strangers: Vec<(Tag, Finding)>,
    pub(super) manifest_room: Semaphore,
    pub(super) wal_keys: WalKeys,
    pub(super) door: Door,
}

impl Repository {
    /// Opens the repository below `names`; `location` names it in errors.
    pub async fn open(store: Arc<dyn Read>, names: Names, access: Access, location: &str) -> Result<Self> {
        let publishes_only = matches!(access, Access::Writer(_));
        let mut repository = Self::open_lightly(store, names, access, location).await?;
        let keys = repository.id();
        let mut findings = std::mem::take(&mut repository.findings);
        let keyring = repository.keyring.get_mut().unwrap_or_else(PoisonError::into_inner);
        let doubt = check_record(&*repository.store, &repository.names, keyring, location, &mut findings).await?;
        repository.findings = findings;
        match doubt {
            None => {}
            // A host that is given the wrong writer file must not publish where no one will look for it.
            Some(finding) if publishes_only && !repository.is_vouched_for().await? => {
                return Err(Error::OtherRepository { keys, found: finding.detail });
            }
            Some(finding) => repository.findings.push(finding),
        }
        let (_, flood) = repository.look_for_roster().await?;
        repository.findings.extend(flood);
        let strangers = std::mem::take(&mut repository.strangers);
        let strangers = strangers.into_iter().filter(|(print, _)| !repository.knows_bundle(*print));
        let strangers: Vec<_> = strangers.map(|(_, finding)| finding).collect();
        repository.findings.extend(strangers);
        repository.findings.extend(repository.retirement());
        Ok(repository)
    }

    /// The same without looking whether the keys belong to what lies below `names`: for whoever reads and writes only what
    /// proves by itself that it does, many times a minute. With key files this asks the store nothing.
    pub async fn open_lightly(store: Arc<dyn Read>, names: Names, access: Access, location: &str) -> Result<Self> {
        let (mut findings, mut strangers, mut service) = (Vec::new(), Vec::new(), None);
        let keyring = match access {
            Access::Passphrase(passphrase) => {
                let found = find_bundle(&*store, &names, passphrase, None, location).await?;
                findings.extend(found.beside);
                strangers.extend(found.strangers);
                Keyring::from_bundle(found.bundle, found.fingerprint)
            }
            Access::Bundle { passphrase, fingerprint } => {
                let found = find_bundle(&*store, &names, passphrase, Some(fingerprint), location).await?;
                Keyring::from_bundle(found.bundle, found.fingerprint)
            }
            Access::Writer(file) => Keyring::from_writer_file(*file),
            Access::Recovery(file) => Keyring::from_recovery(file),
            Access::Kms(access) => {
                service = access.service;
                Keyring::from_kms(access.file)
            }
        };
        let (keyring, manifest_room) = (RwLock::new(keyring), Semaphore::new(DISCOVERIES));
        let (roster, wal_keys, door) = (RwLock::default(), WalKeys::default(), Door::new(service));
        Ok(Self { store, names, keyring, roster, findings, strangers, manifest_room, wal_keys, door })
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
        use_keys(&self.keyring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads a manifest, looking for the certificate of its writer if that writer is not known yet.
    pub(super) async fn decode_manifest(&self, bytes: &[u8]) -> Result<Manifest> {
        self.decode_signed(|| None, |trusted| Manifest::decode(bytes, trusted)).await
    }

    /// Reads something signed: with the writers trusted so far, else with the certificate that it carries, else with one that
    /// is found in the repository.
    pub(super) async fn decode_signed<T>(
        &self,
        carried: impl FnOnce() -> Option<Vec<u8>>,
        decode: impl Fn(&[WriterPublic]) -> format::Result<T>,
    ) -> Result<T> {
        match self.decode_carried(carried, &decode) {
            Err(format::Error::UntrustedWriter { ref writer, .. }) if self.find_certificate(writer).await? => {
                Ok(self.with_keyring(|keyring| decode(keyring.trusted()))?)
            }
            decoded => Ok(decoded?),
        }
    }

    /// The same without looking for a certificate anywhere: asks the store nothing.
    pub(super) fn decode_carried<T>(
        &self,
        carried: impl FnOnce() -> Option<Vec<u8>>,
        decode: impl Fn(&[WriterPublic]) -> format::Result<T>,
    ) -> format::Result<T> {
        let attempt = || self.with_keyring(|keyring| decode(keyring.trusted()));
        match attempt() {
            Err(refusal @ format::Error::UntrustedWriter { .. }) => {
                let trusted = carried().is_some_and(|certificate| self.trust(&certificate));
                if trusted && let Ok(decoded) = attempt() { Ok(decoded) } else { Err(refusal) }
            }
            decoded => decoded,
        }
    }

    fn trust(&self, certificate: &[u8]) -> bool {
        self.keyring.write().unwrap_or_else(PoisonError::into_inner).trust(certificate).is_ok()
    }

    /// Looks for a genuine certificate of `writer` (its short id) and trusts it.
    async fn find_certificate(&self, writer: &str) -> Result<bool> {
        let (prefix, mark) = (self.names.writer_copies(writer), self.store.unheard());
        let mut oldest = Oldest::and_later(&*self.store, prefix);
        while let Some((entries, _)) = oldest.next().await? {
            for entry in &entries {
                let Some(bytes) = read_small(&*self.store, entry).await? else { continue };
                let mut keyring = self.keyring.write().unwrap_or_else(PoisonError::into_inner);
                if keyring.vouches(&bytes, writer) && keyring.trust(&bytes).is_ok() {
                    return Ok(true);
                }
            }
        }
        self.store.all_heard(mark)?;
        Ok(false)
    }

    /// The writers that the root vouches for, each with its oldest certificate, oldest first.
    pub async fn certificates(&self) -> Result<Vec<(Certificate, Entry)>> {
        let mut found: Vec<(Certificate, Entry)> = Vec::new();
        let mut oldest = Oldest::new(&*self.store, self.names.writers());
        while let Some((entries, _)) = oldest.next().await? {
            for entry in entries {
                let Some(bytes) = read_small(&*self.store, &entry).await? else { continue };
                let Some(certificate) = self.with_keyring(|ring| ring.certificate_in(&bytes)) else { continue };
                if found.iter().all(|(other, _)| *other != certificate) {
                    found.push((certificate, entry));
                }
            }
        }
        Ok(found)
    }

    /// What lies among the certificates and is not one: for whoever examines the repository as a whole.
    pub async fn examine_certificates(&self) -> Result<Vec<Finding>> {
        let (entries, mut findings) = first_versions(&*self.store, &self.names.writers()).await?;
        for entry in &entries {
            let genuine = match read_small(&*self.store, entry).await? {
                Some(bytes) => self.with_keyring(|ring| ring.certifies(&bytes)),
                None => false,
            };
            if !genuine && findings.len() < FINDINGS_MAX {
                findings.push(forged(entry, "it is not a certificate that the root writer signed"));
            }
        }
        Ok(findings)
    }

    /// The root writer.
    pub fn trusted_root(&self) -> WriterPublic {
        self.with_keyring(|keyring| *keyring.root())
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

/// The repository record must be genuine and name the repository of the keys. A reader is told and goes on: nothing
/// that is restored depends on the record.
async fn check_record(
    store: &dyn Read,
    names: &Names,
    keyring: &Keyring,
    location: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<Finding>> {
    let mark = store.unheard();
    let (first, overlays) = first_version(store, &names.repository()).await?;
    findings.extend(overlays);
    let Some(entry) = first else {
        if first_versions(store, &names.identities()).await?.0.is_empty() {
            store.all_heard(mark)?;
            return Err(Error::NoRepository { location: location.to_owned() });
        }
        let gone = "the repository record is gone";
        return Ok(Some(Finding::new(FindingKind::Missing, names.repository(), None, gone)));
    };
    let bytes = match store.get(&entry.key, &entry.version, 0..entry.bytes.min(SMALL_OBJECT_BYTES_MAX)).await {
        Ok(bytes) => bytes,
        // Who may not read this may read nothing else either, and is to be told so.
        Err(error) if !error.is_about_the_object() || matches!(error, store::Error::Denied { .. }) => {
            return Err(error.into());
        }
        Err(error) => {
            let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
            return Ok(Some(Finding::new(FindingKind::Opaque, key, version, error.to_string())));
        }
    };
    match RepositoryRecord::decode(&bytes, std::slice::from_ref(keyring.root())) {
        Ok(record) if record.repository == keyring.repository() => Ok(None),
        Ok(record) => Ok(Some(forged(&entry, &format!("repository {}", record.repository)))),
        Err(error @ format::Error::Version { .. }) => Err(error.into()),
        Err(error) => Ok(Some(forged(&entry, &error.to_string()))),
    }
}
