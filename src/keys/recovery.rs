//! The recovery file: an identity kept offline that opens every backup without the passphrase.
//!
//! It is an age identity file; the repository and its root writer stand in comments, so that `age -d -i` takes the
//! same file.

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Error, Identity, Result};
use crate::format::{RepositoryId, WriterPublic};
use crate::limits::FORMER_IDENTITIES_MAX;

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
    /// Open older ones.
    pub former: Vec<Identity>,
}

impl RecoveryFile {
    /// The file's text.
    pub fn encode(&self) -> SecretString {
        let secrets = std::iter::once(&self.identity).chain(&self.former).map(Identity::secret);
        let secrets: Zeroizing<Vec<String>> =
            Zeroizing::new(secrets.map(|one| one.expose_secret().to_owned()).collect());
        SecretString::from(format!(
            "# stonewal recovery identity: opens every backup of the repository. Keep it offline.\n{REPOSITORY} {}\n{WRITER} {}\n{}\n",
            self.repository,
            self.root,
            Zeroizing::new(secrets.join("\n")).as_str()
        ))
    }

    /// Reads [`RecoveryFile::encode`].
    pub fn decode(text: &SecretString) -> Result<Self> {
        let lines = text.expose_secret().lines().map(str::trim);
        let secrets = lines.filter(|line| line.starts_with("AGE-SECRET-KEY-")).take(FORMER_IDENTITIES_MAX + 1);
        let mut identities = secrets.map(|secret| Identity::parse(&SecretString::from(secret.to_owned())));
        let none = || Error::File { what: WHAT, why: "it holds no line AGE-SECRET-KEY-…".into() };
        Ok(Self {
            repository: comment(WHAT, text, REPOSITORY)?.parse()?,
            root: comment(WHAT, text, WRITER)?.parse()?,
            identity: identities.next().ok_or_else(none)??,
            former: identities.collect::<Result<_>>()?,
        })
    }
}

/// What stands behind `label` in a key file.
pub(super) fn comment<'a>(what: &'static str, text: &'a SecretString, label: &str) -> Result<&'a str> {
    let missing = || Error::File { what, why: format!("it has no line {label:?} as stonewal writes it") };
    let mut lines = text.expose_secret().lines().map(str::trim);
    lines.find_map(|line| line.strip_prefix(label)).map(str::trim).ok_or_else(missing)
}
