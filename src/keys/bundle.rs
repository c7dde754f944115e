//! The identity bundle: what the passphrase protects.

use jiff::Timestamp;
use ring::digest;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

mod memory;

use super::wrap::{Fault, decrypt, encrypt};
use super::{Error, Identity, Recipient, Result, WriterKey};
use crate::format::{RepositoryId, Tag};
use crate::limits::{SCRYPT_LOG_N, SCRYPT_LOG_N_MAX};

const BUNDLE: &str = "the identity bundle";
const FORMAT: u32 = 1;

/// Everything needed to read a repository and to decide whom to believe in it.
#[derive(Debug)]
pub struct Bundle {
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Opens data keys.
    pub identity: Identity,
    /// Further recipients of every data key, kept offline (recovery).
    pub recipients: Vec<Recipient>,
    /// The root writer: publishes, and vouches for other writers.
    pub writer: WriterKey,
    /// When it was made.
    pub created_at: Timestamp,
}

/// As stored inside the age file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    repository: RepositoryId,
    created_at: Timestamp,
    identity: String,
    recipients: Vec<String>,
    writer: String,
}

impl Drop for Record {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.identity);
        zeroize::Zeroize::zeroize(&mut self.writer);
    }
}

impl Bundle {
    /// A new repository's bundle.
    pub fn generate(repository: RepositoryId, recipients: Vec<Recipient>, created_at: Timestamp) -> Result<Self> {
        let (identity, writer) = (Identity::generate(), WriterKey::generate()?);
        Ok(Self { repository, identity, recipients, writer, created_at })
    }

    /// The age file that is stored: JSON sealed under `passphrase` with scrypt. Takes about half a second and
    /// 128 MiB; call it off the runtime's threads.
    pub fn seal(&self, passphrase: &SecretString) -> Result<Vec<u8>> {
        let record = Record {
            format: FORMAT,
            repository: self.repository,
            created_at: self.created_at,
            identity: self.identity.secret().expose_secret().to_owned(),
            recipients: self.recipients.iter().map(ToString::to_string).collect(),
            writer: self.writer.secret().expose_secret().to_owned(),
        };
        let json = Zeroizing::new(serde_json::to_vec(&record).map_err(|e| malformed(&e))?);
        let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
        recipient.set_work_factor(SCRYPT_LOG_N);
        encrypt(std::iter::once(&recipient as &dyn age::Recipient), &json, BUNDLE)
    }

    /// Opens a stored bundle. As costly as [`Bundle::seal`]; a file that asks for more than the limit is refused.
    pub fn open(file: &[u8], passphrase: &SecretString) -> Result<Self> {
        let json = memory::recall(file, passphrase, || unseal(file, passphrase))?;
        let record: Record = serde_json::from_slice(&json).map_err(|e| malformed(&e))?;
        if record.format != FORMAT {
            return Err(Error::File { what: BUNDLE, why: format!("format {} is not known here", record.format) });
        }
        Ok(Self {
            repository: record.repository,
            identity: Identity::parse(&SecretString::from(record.identity.clone()))?,
            recipients: record.recipients.iter().map(|text| text.parse()).collect::<Result<_>>()?,
            writer: WriterKey::parse(&SecretString::from(record.writer.clone()))?,
            created_at: record.created_at,
        })
    }

    /// Names a stored bundle by its content: the first 8 bytes of its SHA-256.
    pub fn fingerprint(file: &[u8]) -> Tag {
        let mut print = [0; Tag::BYTES];
        print.copy_from_slice(&digest::digest(&digest::SHA256, file).as_ref()[..Tag::BYTES]);
        Tag::new(print)
    }
}

fn unseal(file: &[u8], passphrase: &SecretString) -> Result<Zeroizing<Vec<u8>>> {
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(SCRYPT_LOG_N_MAX);
    let opened = decrypt(file, std::iter::once(&identity as &dyn age::Identity), BUNDLE);
    opened.map_err(|fault| match fault {
        Fault::NoMatch => Error::WrongPassphrase,
        Fault::Other(Error::ExcessiveWork { log_n, .. }) => Error::ExcessiveWork { log_n, max: SCRYPT_LOG_N_MAX },
        Fault::Other(error) => error,
    })
}

/// serde_json quotes what it could not read; a bundle is all secrets, so only the place is told.
fn malformed(error: &serde_json::Error) -> Error {
    Error::File { what: BUNDLE, why: format!("malformed at line {} column {}", error.line(), error.column()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i13_a_bundle_opens_only_under_its_passphrase_and_does_not_print() {
        let made =
            Bundle::generate(RepositoryId::new([3; 16]), vec![Identity::generate().recipient()], Timestamp::UNIX_EPOCH)
                .unwrap();
        let file = made.seal(&SecretString::from("right".to_owned())).unwrap();
        let opened = Bundle::open(&file, &SecretString::from("right".to_owned())).unwrap();
        assert_eq!(opened.identity.recipient(), made.identity.recipient());
        assert_eq!(opened.writer.public(), made.writer.public());
        assert_eq!(opened.recipients, made.recipients);
        let refused = Bundle::open(&file, &SecretString::from("wrong".to_owned())).unwrap_err();
        assert!(matches!(refused, Error::WrongPassphrase), "{refused}");
        let shown = format!("{opened:?}");
        assert!(!shown.contains("SECRET") && !shown.contains(made.writer.secret().expose_secret()), "{shown}");
    }

    #[test]
    fn absurd_scrypt_work_is_refused_before_it_is_done() {
        let file = "age-encryption.org/v1\n-> scrypt bHVja3lsdWNreWx1Y2t5bA 30\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789abcdef";
        let refused = Bundle::open(file.as_bytes(), &SecretString::from("x".to_owned())).unwrap_err();
        assert!(matches!(refused, Error::ExcessiveWork { log_n: 30, .. }), "{refused}");
    }
}
