//! What can be wrong with keys, by what the operator can do about it.

use super::KmsError;
use crate::format::{self, KeyId};

/// Result of a key operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed key operation. Never holds or prints a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No identity bundle opens under the passphrase.
    #[error("the passphrase does not open the identity bundle")]
    WrongPassphrase,
    /// A stored bundle asks for more key-derivation work than any genuine one.
    #[error("the identity bundle demands scrypt work factor 2^{log_n}, more than the limit of 2^{max}")]
    ExcessiveWork {
        /// Asked for.
        log_n: u8,
        /// Limit.
        max: u8,
    },
    /// No identity at hand opens the wrap of a data key.
    #[error("data key {key} is not wrapped to any identity at hand")]
    NotARecipient {
        /// The key.
        key: KeyId,
    },
    /// A wrap opened, but what it holds is not the key it is named after.
    #[error("a wrap of data key {key} holds another key")]
    WrongKey {
        /// The key named.
        key: KeyId,
    },
    /// The bytes are not a whole age file.
    #[error("{what} is not a readable age file: {why}")]
    Age {
        /// Which object.
        what: &'static str,
        /// What age said.
        why: String,
    },
    /// A recipient is neither X25519 nor a key in KMS.
    #[error("{text:?} is not an age recipient")]
    BadRecipient {
        /// As configured; recipients are public.
        text: String,
    },
    /// A key file cannot be used.
    #[error("{what}: {why}")]
    File {
        /// Writer file, recovery file, or bundle.
        what: &'static str,
        /// The rule it breaks.
        why: String,
    },
    /// This process has no key for what was asked.
    #[error("this needs {what}, which is not at hand")]
    Missing {
        /// The key, in words.
        what: &'static str,
    },
    /// The passphrase opens a bundle that was retired: it reads what was wrapped to it and publishes nothing.
    #[error("this passphrase counts no more since {since}: nothing new is written with it")]
    Retired {
        /// Since when.
        since: jiff::Timestamp,
    },
    /// A stored structure around a key is malformed or not signed by whom it must be.
    #[error(transparent)]
    Format(#[from] format::Error),
    /// AWS KMS gave no secret.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// Only AWS KMS would open it, and this build cannot ask.
    #[error("this needs AWS KMS, and this stonewal was built without the feature `kms`")]
    NoKms,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

impl Error {
    /// Whether AWS KMS, or the way to it, is to blame and nothing that is stored.
    pub fn is_of_kms(&self) -> bool {
        matches!(self, Self::Kms(_) | Self::NoKms)
    }

    /// What the operator should do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::WrongPassphrase => {
                "check BACKUP_PASSPHRASE (a trailing newline counts); the recovery file made by `stonewal init` opens every backup without it".into()
            }
            Self::ExcessiveWork { .. } => "the object was not written by stonewal; `stonewal doctor` reports who else writes to the bucket".into(),
            Self::NotARecipient { .. } => "give the passphrase or the recovery file of the repository that made this backup; a writer file cannot read data. A KMS file opens what was wrapped since its key was added, or before with `keys rewrap --all`".into(),
            Self::WrongKey { .. } => "someone planted it; `stonewal verify` reports it".into(),
            Self::BadRecipient { .. } => "recipients look like age1… (`age-keygen` prints one), or like aws-kms:… as `keys list --json` shows them".into(),
            Self::Missing { .. } => "set BACKUP_PASSPHRASE, or keys.passphrase_file, keys.writer_file or keys.identity_file in the configuration".into(),
            Self::Retired { .. } => "use the passphrase that replaced it; `stonewal keys list` shows which count. Old backups are still read with this one".into(),
            Self::Kms(error) => return error.hint(),
            Self::NoKms => "use a build with it (cargo build --features kms), or the passphrase or a recovery file, which open backups without KMS".into(),
            Self::Age { .. } | Self::File { .. } | Self::Format(_) | Self::Random => return None,
        })
    }
}
