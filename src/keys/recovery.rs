//! The recovery file: an identity kept offline that opens every backup without the passphrase.
//!
//! It is an age identity file; the repository and its root writer stand in comments, so that `age -d -i` takes the
//! same file.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Error, Identity, Result};
use crate::format::{RepositoryId, WriterPublic};

const WHAT: &str = "recovery file";
const REPOSITORY: &str = "# repository:";
const WRITER: &str = "# writer:";

/// An offline identity with what it is to be trusted for.
#[derive(Debug)]
pub struct RecoveryFile {
    /// Id of the repository.
    pub repository: RepositoryId,
    /// The root writer.
    pub root: WriterPublic,
    /// Opens data keys.
    pub identity: Identity,
}

impl RecoveryFile {
    /// The file's text.
    pub fn encode(&self) -> SecretString {
        let secret = self.identity.secret();
        SecretString::from(format!(
            "# stonewal recovery identity: opens every backup of the repository. Keep it offline.\n{REPOSITORY} {}\n{WRITER} {}\n{}\n",
            self.repository,
            self.root,
            secret.expose_secret()
        ))
    }

    /// Reads [`RecoveryFile::encode`].
    pub fn decode(text: &SecretString) -> Result<Self> {
        let lines = || text.expose_secret().lines().map(str::trim);
        let comment = |label: &str| {
            let missing =
                || Error::File { what: WHAT, why: format!("it has no line {label:?} as `stonewal init` writes it") };
            lines().find_map(|line| line.strip_prefix(label)).map(str::trim).ok_or_else(missing)
        };
        let secret = lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-"))
            .ok_or(Error::File { what: WHAT, why: "it holds no line AGE-SECRET-KEY-…".into() })?;
        Ok(Self {
            repository: comment(REPOSITORY)?.parse()?,
            root: comment(WRITER)?.parse()?,
            identity: Identity::parse(&SecretString::from(secret.to_owned()))?,
        })
    }
}
