//! What this process holds: whom it wraps keys to, what it can open, whom it believes, and as whom it publishes.

use std::sync::Arc;

use super::{Bundle, Certificate, Error, Identity, Recipient, RecoveryFile, Result, WriterFile, WriterKey, unwrap};
use crate::format::{DataKey, KeyId, RepositoryId, Tag, WriterPublic};

/// All keys at hand. Never printed.
#[derive(Debug)]
pub struct Keyring {
    repository: RepositoryId,
    root: WriterPublic,
    bundle: Option<Tag>,
    trusted: Vec<WriterPublic>,
    writer: Option<Arc<WriterKey>>,
    certificate: Option<Vec<u8>>,
    recipients: Vec<Recipient>,
    metadata_recipients: Vec<Recipient>,
    payload_identities: Vec<Identity>,
    metadata_identities: Vec<Identity>,
}

impl Keyring {
    /// The operator's: reads, publishes, vouches. `fingerprint` is that of the stored bundle.
    pub fn from_bundle(bundle: Bundle, fingerprint: Tag) -> Self {
        let mut recipients = vec![bundle.identity.recipient()];
        recipients.extend(bundle.recipients);
        Self {
            repository: bundle.repository,
            root: *bundle.writer.public(),
            bundle: Some(fingerprint),
            trusted: vec![*bundle.writer.public()],
            writer: Some(Arc::new(bundle.writer)),
            certificate: None,
            metadata_recipients: recipients.clone(),
            recipients,
            payload_identities: vec![bundle.identity.clone()],
            metadata_identities: vec![bundle.identity],
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
            trusted: vec![file.root, *file.writer.public()],
            writer: Some(Arc::new(file.writer)),
            certificate: file.certificate,
            metadata_recipients,
            recipients: file.recipients,
            payload_identities: Vec::new(),
            metadata_identities: vec![file.metadata],
        }
    }

    /// A recovery's: reads only.
    pub fn from_recovery(file: RecoveryFile) -> Self {
        Self {
            repository: file.repository,
            root: file.root,
            bundle: None,
            trusted: vec![file.root],
            writer: None,
            certificate: None,
            recipients: Vec::new(),
            metadata_recipients: Vec::new(),
            payload_identities: vec![file.identity.clone()],
            metadata_identities: vec![file.identity],
        }
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

    /// Fingerprint of the stored identity bundle, as far as it is known here.
    pub fn bundle(&self) -> Option<Tag> {
        self.bundle
    }

    /// Whether `certificate` is the root's word for anyone.
    pub fn certifies(&self, certificate: &[u8]) -> bool {
        Certificate::decode(certificate, self.repository, &self.root).is_ok()
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
        self.writer.as_ref().ok_or(Error::Missing { what: "a writer key" })
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
        !self.payload_identities.is_empty()
    }

    /// An identity that reads all this process can read, for a process that goes on without its passphrase; `None` on a host
    /// that cannot read data.
    pub fn recovery_file(&self) -> Option<RecoveryFile> {
        let identity = self.payload_identities.first()?.clone();
        Some(RecoveryFile { repository: self.repository, root: self.root, identity })
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
