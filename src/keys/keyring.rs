//! What this process holds: whom it wraps keys to, what it can open, whom it believes, and as whom it publishes.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    Bundle, Certificate, Error, Identity, KmsFile, KmsKey, Recipient, RecoveryFile, Result, WriterFile, WriterKey,
    unwrap,
};
use crate::format::roster::Roster;
use crate::format::{DataKey, KeyId, RepositoryId, Tag, WriterPublic};

/// All keys at hand. Never printed.
#[derive(Debug)]
pub struct Keyring {
    repository: RepositoryId,
    root: WriterPublic,
    /// The bundle that was opened, or that the writer file names.
    bundle: Option<Tag>,
    /// Number of the roster that counts here; 0 before there is one.
    generation: u64,
    /// Bundles whose passphrases count, by the roster.
    bundles: Vec<Tag>,
    /// Since when the way in that was taken counts no more.
    retired: Option<Timestamp>,
    trusted: Vec<WriterPublic>,
    writer: Option<Arc<WriterKey>>,
    certificate: Option<Vec<u8>>,
    recipients: Vec<Recipient>,
    metadata_recipients: Vec<Recipient>,
    payload_identities: Vec<Identity>,
    metadata_identities: Vec<Identity>,
    /// Opens both kinds of keys, with the help of AWS KMS.
    kms: Option<KmsKey>,
}

impl Keyring {
    /// The operator's: reads, publishes, vouches. `fingerprint` is that of the stored bundle.
    pub fn from_bundle(bundle: Bundle, fingerprint: Tag) -> Self {
        let mut recipients = vec![bundle.identity.recipient()];
        let identities = bundle.identities();
        recipients.extend(bundle.recipients);
        Self {
            repository: bundle.repository,
            root: *bundle.writer.public(),
            bundle: Some(fingerprint),
            generation: 0,
            bundles: Vec::new(),
            retired: None,
            trusted: vec![*bundle.writer.public()],
            certificate: None,
            metadata_recipients: recipients.clone(),
            recipients,
            payload_identities: identities.clone(),
            metadata_identities: identities,
            kms: None,
            writer: Some(Arc::new(bundle.writer)),
        }
    }

    /// A backup host's: publishes, and reads metadata only (invariant I7).
    pub fn from_writer_file(file: WriterFile) -> Self {
        let mut metadata_recipients = file.recipients.clone();
        metadata_recipients.push(file.metadata.recipient());
        Self {
            repository: file.repository,
            root: file.root,
            bundle: Some(file.bundle),
            generation: 0,
            bundles: Vec::new(),
            retired: None,
            trusted: vec![file.root, *file.writer.public()],
            writer: Some(Arc::new(file.writer)),
            certificate: file.certificate,
            metadata_recipients,
            recipients: file.recipients,
            payload_identities: Vec::new(),
            metadata_identities: vec![file.metadata],
            kms: None,
        }
    }

    /// A recovery's: reads only.
    pub fn from_recovery(file: RecoveryFile) -> Self {
        let identities = std::iter::once(file.identity).chain(file.former).collect();
        Self::reader(file.repository, file.root, identities, None)
    }

    /// The same for whoever may use a key in AWS KMS.
    pub fn from_kms(file: KmsFile) -> Self {
        Self::reader(file.repository, file.root, Vec::new(), Some(file.key))
    }

    fn reader(repository: RepositoryId, root: WriterPublic, identities: Vec<Identity>, kms: Option<KmsKey>) -> Self {
        Self {
            repository,
            root,
            bundle: None,
            generation: 0,
            bundles: Vec::new(),
            retired: None,
            trusted: vec![root],
            writer: None,
            certificate: None,
            recipients: Vec::new(),
            metadata_recipients: Vec::new(),
            payload_identities: identities.clone(),
            metadata_identities: identities,
            kms,
        }
    }

    /// Follows a roster that the root signed, unless a newer one is followed already: new data keys are wrapped to whom it
    /// names. If it does not name the way in that was taken, nothing can be published with it any more.
    pub fn follow(&mut self, roster: &Roster) -> Result<bool> {
        if roster.generation <= self.generation {
            return Ok(false);
        }
        let recipients =
            roster.recipients.iter().map(|one| one.recipient.parse()).collect::<Result<Vec<Recipient>>>()?;
        let is_host = !self.can_read_data();
        self.retired = match self.bundle {
            Some(opened) if !is_host && !roster.has_bundle(opened) => {
                Some(roster.retired_at(&opened.to_string()).unwrap_or(roster.made_at))
            }
            Some(_) => None,
            None => self.reads_as().first().and_then(|one| roster.retired_at(&one.to_string())),
        };
        self.metadata_recipients.clone_from(&recipients);
        if is_host {
            self.metadata_recipients.extend(self.metadata_identities.iter().map(Identity::recipient));
        }
        self.recipients = recipients;
        self.bundles = roster.bundles.iter().map(|bundle| bundle.fingerprint).collect();
        self.generation = roster.generation;
        Ok(true)
    }

    /// Since when the passphrase or recovery file that these keys come from counts no more.
    pub fn retired(&self) -> Option<Timestamp> {
        self.retired
    }

    /// Believes one more writer, if the root writer signed the certificate.
    pub fn trust(&mut self, certificate: &[u8]) -> Result<Certificate> {
        let certificate = Certificate::decode(certificate, self.repository, &self.root)?;
        if !self.trusted.contains(&certificate.writer) {
            self.trusted.push(certificate.writer);
        }
        Ok(certificate)
    }

    /// Id of the repository these keys are for.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The root writer.
    pub fn root(&self) -> &WriterPublic {
        &self.root
    }

    /// Fingerprint of the identity bundle that was opened, or that the writer file names.
    pub fn bundle(&self) -> Option<Tag> {
        self.bundle
    }

    /// Fingerprints of the bundles whose passphrases count, as far as they are known here.
    pub fn bundles(&self) -> Vec<Tag> {
        if self.bundles.is_empty() { self.bundle.into_iter().collect() } else { self.bundles.clone() }
    }

    /// Whether `certificate` is the root's word for anyone.
    pub fn certifies(&self, certificate: &[u8]) -> bool {
        self.certificate_in(certificate).is_some()
    }

    /// The root's word that `bytes` are, if they are.
    pub fn certificate_in(&self, bytes: &[u8]) -> Option<Certificate> {
        Certificate::decode(bytes, self.repository, &self.root).ok()
    }

    /// Whether `certificate` is the root's word for the writer with this short id.
    pub fn vouches(&self, certificate: &[u8], writer: &str) -> bool {
        let certificate = Certificate::decode(certificate, self.repository, &self.root);
        certificate.is_ok_and(|certificate| certificate.writer.id() == writer)
    }

    /// Writers whose signatures count.
    pub fn trusted(&self) -> &[WriterPublic] {
        &self.trusted
    }

    /// The key this process publishes with.
    pub fn writer(&self) -> Result<&Arc<WriterKey>> {
        match self.retired {
            Some(since) if self.writer.is_some() => Err(Error::Retired { since }),
            _ => self.writer.as_ref().ok_or(Error::Missing { what: "a writer key" }),
        }
    }

    /// The root's certificate for that key, to publish beside what it signs; the root needs none.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Recipients of payload keys.
    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// Recipients of metadata keys.
    pub fn metadata_recipients(&self) -> &[Recipient] {
        &self.metadata_recipients
    }

    /// Whether payload keys can be opened at all.
    pub fn can_read_data(&self) -> bool {
        !self.payload_identities.is_empty() || self.kms.is_some()
    }

    /// The recipients of the identities that read data here, the newest first.
    pub fn reads_as(&self) -> Vec<Recipient> {
        let kms = self.kms.iter().cloned().map(Recipient::from);
        self.payload_identities.iter().map(Identity::recipient).chain(kms).collect()
    }

    /// The name of a wrap of `key` to the recipients of payload keys.
    pub fn wrap_tag(&self, key: &DataKey) -> Tag {
        let recipients: Vec<String> = self.recipients.iter().map(ToString::to_string).collect();
        key.wrap_tag(recipients.iter().map(String::as_str))
    }

    /// The key in AWS KMS that opens what [`Keyring::unwrap_payload`] and [`Keyring::unwrap_metadata`] do not.
    pub fn kms(&self) -> Option<&KmsKey> {
        self.kms.as_ref()
    }

    /// A key file that reads all this process can read, for a process that goes on without its passphrase; `None` on a host
    /// that cannot read data.
    pub fn reading_file(&self) -> Option<SecretString> {
        let (repository, root) = (self.repository, self.root);
        if let Some(key) = &self.kms {
            return Some(KmsFile { repository, root, key: key.clone() }.encode());
        }
        let (identity, former) = self.payload_identities.split_first()?;
        let (identity, former) = (identity.clone(), former.to_vec());
        Some(RecoveryFile { repository, root, identity, former }.encode())
    }

    /// Unwraps a payload key.
    pub fn unwrap_payload(&self, wrapped: &[u8], key: KeyId) -> Result<DataKey> {
        unwrap(wrapped, &self.payload_identities, key)
    }

    /// Unwraps a metadata key.
    pub fn unwrap_metadata(&self, wrapped: &[u8], key: KeyId) -> Result<DataKey> {
        unwrap(wrapped, &self.metadata_identities, key)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::keys::{data_key, wrap};

    const PRINT: Tag = Tag::new([9; 8]);

    fn bundle() -> Bundle {
        Bundle::generate(RepositoryId::new([3; 16]), Vec::new(), Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn i07_a_writer_file_opens_metadata_and_no_data() {
        let bundle = bundle();
        let (file, certificate) = WriterFile::generate(&bundle, PRINT, "db1").unwrap();
        let certificate = certificate.encode(&bundle.writer).unwrap();
        let text = file.encode().unwrap();
        let mut host = Keyring::from_writer_file(WriterFile::decode(&text).unwrap());
        let mut operator = Keyring::from_bundle(bundle, PRINT);
        operator.trust(&certificate).unwrap();
        host.trust(&certificate).unwrap();

        let (payload, metadata) = (data_key().unwrap(), data_key().unwrap());
        let payload_wrap = wrap(&payload, host.recipients()).unwrap();
        let metadata_wrap = wrap(&metadata, host.metadata_recipients()).unwrap();
        assert!(matches!(host.unwrap_payload(&payload_wrap, payload.id()), Err(Error::NotARecipient { .. })));
        assert!(matches!(host.unwrap_metadata(&payload_wrap, payload.id()), Err(Error::NotARecipient { .. })));
        host.unwrap_metadata(&metadata_wrap, metadata.id()).unwrap();
        operator.unwrap_payload(&payload_wrap, payload.id()).unwrap();
        operator.unwrap_metadata(&metadata_wrap, metadata.id()).unwrap();
        assert!(operator.trusted().contains(host.writer().unwrap().public()));
    }

    #[test]
    fn i06_only_the_root_vouches() {
        let (ours, theirs) = (bundle(), bundle());
        let (_, certificate) = WriterFile::generate(&ours, PRINT, "db1").unwrap();
        let forged = certificate.encode(&theirs.writer).unwrap();
        let mut ring = Keyring::from_bundle(ours, PRINT);
        assert!(matches!(ring.trust(&forged), Err(Error::Format(crate::format::Error::UntrustedWriter { .. }))));
        assert_eq!(ring.trusted().len(), 1);
    }
}
