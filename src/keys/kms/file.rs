//! The KMS file: whom a reader is to believe, and which key in AWS KMS opens data keys. It holds no secret.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Agreement, KmsKey, PREFIX};
use crate::format::{RepositoryId, WriterPublic};
use crate::keys::recovery::comment;
use crate::keys::{Error, Result};

const WHAT: &str = "KMS file";

/// A key in KMS with what it is to be trusted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsFile {
    /// Id of the repository.
    pub repository: RepositoryId,
    /// The root writer.
    pub root: WriterPublic,
    /// Opens data keys, with the help of KMS.
    pub key: KmsKey,
}

/// A KMS file, and who asks KMS: nobody in a build without it.
#[derive(Debug)]
pub struct KmsAccess {
    /// The file.
    pub file: KmsFile,
    /// Asks.
    pub service: Option<Arc<dyn Agreement>>,
}

impl KmsFile {
    /// The file's text.
    pub fn encode(&self) -> SecretString {
        SecretString::from(format!(
            "# stonewal KMS file: who may use this key in AWS KMS opens every backup that is wrapped to it.\n# repository: {}\n# writer: {}\n{}\n",
            self.repository, self.root, self.key
        ))
    }

    /// Whether `text` is one, rather than a recovery file.
    pub fn is_one(text: &SecretString) -> bool {
        line(text).is_some()
    }

    /// Reads [`KmsFile::encode`].
    pub fn decode(text: &SecretString) -> Result<Self> {
        let none = || Error::File { what: WHAT, why: format!("it holds no line {PREFIX}…") };
        Ok(Self {
            repository: comment(WHAT, text, "# repository:")?.parse()?,
            root: comment(WHAT, text, "# writer:")?.parse()?,
            key: line(text).ok_or_else(none)?.parse()?,
        })
    }
}

fn line(text: &SecretString) -> Option<&str> {
    text.expose_secret().lines().map(str::trim).find(|line| line.starts_with(PREFIX))
}
