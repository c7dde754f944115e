//! Bringing over what other tools stored.

use secrecy::SecretString;

use super::super::{Result, SecretFile};

/// Under what files of other tools are encrypted.
#[derive(Clone, Debug)]
pub struct ImportSettings {
    pub(in crate::config) passphrase: Option<SecretString>,
    /// File with the passphrase.
    pub passphrase_file: Option<SecretFile>,
    /// Rounds of PBKDF2 that are tried first.
    pub iterations: Option<u32>,
}

impl ImportSettings {
    /// `IMPORT_PASSPHRASE`, else the file, else `None`.
    ///
    /// # Errors
    /// When the file cannot be read or may be read by others.
    pub fn passphrase(&self) -> Result<Option<SecretString>> {
        match &self.passphrase {
            Some(passphrase) => Ok(Some(passphrase.clone())),
            None => self.passphrase_file.as_ref().map(SecretFile::read).transpose(),
        }
    }
}
