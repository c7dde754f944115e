//! The writer file: what a host gets that backs up and must not decrypt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::{Bundle, Certificate, Error, Identity, Recipient, Result, WriterKey};
use crate::format::{RepositoryId, Tag, WriterPublic};

const WHAT: &str = "writer file";

/// Recipients, a writer key, and an identity for metadata keys.
#[derive(Debug)]
pub struct WriterFile {
    /// Name of the host, for people.
    pub name: String,
    /// Id of the repository.
    pub repository: RepositoryId,
    /// The root writer, through which other writers are trusted.
    pub root: WriterPublic,
    /// Fingerprint of the stored identity bundle, which this host must see to outlive what it writes.
    pub bundle: Tag,
    /// Who can read what this host writes.
    pub recipients: Vec<Recipient>,
    /// Signs what this host publishes.
    pub writer: WriterKey,
    /// Opens metadata keys only.
    pub metadata: Identity,
    /// The root's certificate for the writer key; `None` in files made before they carried it.
    pub certificate: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    name: String,
    repository: RepositoryId,
    root: WriterPublic,
    bundle: Tag,
    recipients: Vec<String>,
    writer_secret: String,
    metadata_identity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.writer_secret.zeroize();
        self.metadata_identity.zeroize();
    }
}

impl WriterFile {
    /// Fresh keys for a new host, and the certificate that makes the repository trust them. `fingerprint` is that of
    /// the stored bundle.
    pub fn generate(bundle: &Bundle, fingerprint: Tag, name: &str) -> Result<(Self, Certificate)> {
        let (writer, metadata) = (WriterKey::generate()?, Identity::generate());
        let certificate =
            Certificate { repository: bundle.repository, name: name.to_owned(), writer: *writer.public() };
        let mut recipients = vec![bundle.identity.recipient()];
        recipients.extend(bundle.recipients.iter().cloned());
        let root = *bundle.writer.public();
        let (name, repository) = (name.to_owned(), bundle.repository);
        let encoded = Some(certificate.encode(&bundle.writer)?);
        let file =
            Self { name, repository, root, bundle: fingerprint, recipients, writer, metadata, certificate: encoded };
        Ok((file, certificate))
    }

    /// The file's text (TOML).
    pub fn encode(&self) -> Result<SecretString> {
        let record = Record {
            format: 1,
            name: self.name.clone(),
            repository: self.repository,
            root: self.root,
            bundle: self.bundle,
            recipients: self.recipients.iter().map(ToString::to_string).collect(),
            writer_secret: self.writer.secret().expose_secret().to_owned(),
            metadata_identity: self.metadata.secret().expose_secret().to_owned(),
            certificate: self.certificate.as_deref().map(|bytes| STANDARD.encode(bytes)),
        };
        let toml = toml::to_string(&record).map_err(|e| Error::File { what: WHAT, why: e.to_string() })?;
        let note =
            "# stonewal writer file: lets a host publish backups, not read them. Keep it readable by its owner only.\n";
        Ok(SecretString::from(format!("{note}{toml}")))
    }

    /// Reads [`WriterFile::encode`].
    pub fn decode(text: &SecretString) -> Result<Self> {
        // toml's message would quote the line; a line of this file may be a secret.
        let record: Record = toml::from_str(text.expose_secret())
            .map_err(|e| Error::File { what: WHAT, why: e.message().to_owned() })?;
        if record.format != 1 {
            return Err(Error::File { what: WHAT, why: format!("format {} is not known here", record.format) });
        }
        Ok(Self {
            name: record.name.clone(),
            repository: record.repository,
            root: record.root,
            bundle: record.bundle,
            recipients: record.recipients.iter().map(|text| text.parse()).collect::<Result<_>>()?,
            writer: WriterKey::parse(&SecretString::from(record.writer_secret.clone()))?,
            metadata: Identity::parse(&SecretString::from(record.metadata_identity.clone()))?,
            certificate: record
                .certificate
                .as_ref()
                .map(|text| STANDARD.decode(text))
                .transpose()
                .map_err(|_| Error::File { what: WHAT, why: "its certificate is not base64 text".into() })?,
        })
    }
}
