//! Where keys come from.

use secrecy::SecretString;

use crate::config::error::{Error, Result};
use crate::config::secret_file::SecretFile;

/// How to reach AWS KMS. What is `None` is left to the AWS configuration files and variables.
#[derive(Clone, Debug)]
pub struct KmsSettings {
    /// Base URL of a service other than AWS.
    pub endpoint: Option<String>,
    /// Region; `None` = that of the key.
    pub region: Option<String>,
    /// Profile of the AWS configuration files, whose credentials count alone.
    pub profile: Option<String>,
}

/// Where keys come from.
#[derive(Clone, Debug)]
pub struct KeySettings {
    pub(in crate::config) passphrase: Option<SecretString>,
    /// File with the passphrase.
    pub passphrase_file: Option<SecretFile>,
    pub(in crate::config) new_passphrase: Option<SecretString>,
    /// File with the passphrase that is to be added, or to take the place of the other.
    pub new_passphrase_file: Option<SecretFile>,
    /// Writer file of a host that must not decrypt.
    pub writer_file: Option<SecretFile>,
    /// Recovery file or KMS file.
    pub identity_file: Option<SecretFile>,
    /// Fingerprint of the identity bundle: no other is tried with the passphrase.
    pub bundle: Option<String>,
    /// Further recipients (`age1…`) to which `init` wraps data keys.
    pub recipients: Vec<String>,
}

impl KeySettings {
    /// The passphrase: `BACKUP_PASSPHRASE`, else the file, else `None`. The variable is deliberately the only way to
    /// pass the passphrase itself: a flag would show it to every user of the host.
    ///
    /// # Errors
    /// When the file cannot be read or may be read by others.
    pub fn passphrase(&self) -> Result<Option<SecretString>> {
        match &self.passphrase {
            Some(passphrase) => Ok(Some(passphrase.clone())),
            None => self.passphrase_file.as_ref().map(SecretFile::read).transpose(),
        }
    }

    /// The passphrase, for the commands that cannot do without.
    ///
    /// # Errors
    /// [`Error::Missing`], and those of [`KeySettings::passphrase`].
    pub fn require_passphrase(&self) -> Result<SecretString> {
        self.passphrase()?.ok_or(Error::Missing {
            what: "passphrase",
            ways: "set BACKUP_PASSPHRASE, or keys.passphrase_file to a file that only you may read",
        })
    }

    /// The passphrase that is to be added, or to take the place of the other: `BACKUP_PASSPHRASE_NEW`, else the file.
    ///
    /// # Errors
    /// [`Error::Missing`], and when the file cannot be read or may be read by others.
    pub fn require_new_passphrase(&self) -> Result<SecretString> {
        let given = match &self.new_passphrase {
            Some(passphrase) => Some(passphrase.clone()),
            None => self.new_passphrase_file.as_ref().map(SecretFile::read).transpose()?,
        };
        given.ok_or(Error::Missing {
            what: "new passphrase",
            ways: "set BACKUP_PASSPHRASE_NEW, or keys.new_passphrase_file to a file that only you may read",
        })
    }
}
