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
use crate::limits::{FORMER_IDENTITIES_MAX, SCRYPT_LOG_N, SCRYPT_LOG_N_MAX};

const BUNDLE: &str = "the identity bundle";
const FORMAT: u32 = 1;
/// With former identities, which readers of the first format do not know.
const FORMAT_WITH_FORMER: u32 = 2;

/// Everything needed to read a repository and to decide whom to believe in it.
#[derive(Debug)]
pub struct Bundle {
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Opens data keys.
    pub identity: Identity,
    /// Identities that new data keys are no longer wrapped to, newest first: they open old ones.
    pub former: Vec<Identity>,
    /// Further recipients of every data key, kept offline (recovery); the roster, where there is one, knows better.
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<String>,
    recipients: Vec<String>,
    writer: String,
}

impl Drop for Record {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.identity);
        zeroize::Zeroize::zeroize(&mut self.former);
        zeroize::Zeroize::zeroize(&mut self.writer);
    }
}

impl Bundle {
    /// A new repository's bundle.
    pub fn generate(repository: RepositoryId, recipients: Vec<Recipient>, created_at: Timestamp) -> Result<Self> {
        let (identity, writer) = (Identity::generate(), WriterKey::generate()?);
        Ok(Self { repository, identity, former: Vec::new(), recipients, writer, created_at })
    }

    /// The age file that is stored: JSON sealed under `passphrase` with scrypt. Takes about half a second and
    /// 128 MiB; call it off the runtime's threads.
    pub fn seal(&self, passphrase: &SecretString) -> Result<Vec<u8>> {
        let record = Record {
            format: if self.former.is_empty() { FORMAT } else { FORMAT_WITH_FORMER },
            repository: self.repository,
            created_at: self.created_at,
            identity: self.identity.secret().expose_secret().to_owned(),
            former: self.former.iter().map(|one| one.secret().expose_secret().to_owned()).collect(),
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
        let known = if record.former.is_empty() { FORMAT } else { FORMAT_WITH_FORMER };
        if record.format != known || record.former.len() > FORMER_IDENTITIES_MAX {
            return Err(Error::File { what: BUNDLE, why: format!("format {} is not known here", record.format) });
        }
        let identity = |text: &String| Identity::parse(&SecretString::from(text.clone()));
        Ok(Self {
            repository: record.repository,
            identity: identity(&record.identity)?,
            former: record.former.iter().map(identity).collect::<Result<_>>()?,
            recipients: record.recipients.iter().map(|text| text.parse()).collect::<Result<_>>()?,
            writer: WriterKey::parse(&SecretString::from(record.writer.clone()))?,
            created_at: record.created_at,
        })
    }

    /// What another passphrase is to open: the same repository and root writer, this identity or, with `replace`, a fresh one
    /// that this one becomes a former of.
    pub fn successor(&self, replace: bool, recipients: Vec<Recipient>, created_at: Timestamp) -> Result<Self> {
        let (mut identity, mut former) = (self.identity.clone(), self.former.clone());
        if replace {
            former.insert(0, std::mem::replace(&mut identity, Identity::generate()));
        }
        if former.len() > FORMER_IDENTITIES_MAX {
            let why = format!("more than {FORMER_IDENTITIES_MAX} former identities find no room in it");
            return Err(Error::File { what: BUNDLE, why });
        }
        let writer = WriterKey::parse(&self.writer.secret())?;
        Ok(Self { repository: self.repository, identity, former, recipients, writer, created_at })
    }

    /// The identity and the former ones.
    pub fn identities(&self) -> Vec<Identity> {
        std::iter::once(&self.identity).chain(&self.former).cloned().collect()
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

    /// PAINS B5: what was readable stays readable.
    #[test]
    fn a_successor_keeps_the_identities_it_replaces() {
        let made = Bundle::generate(RepositoryId::new([3; 16]), Vec::new(), Timestamp::UNIX_EPOCH).unwrap();
        let next = made.successor(true, Vec::new(), Timestamp::UNIX_EPOCH).unwrap();
        let next = next.successor(true, Vec::new(), Timestamp::UNIX_EPOCH).unwrap();
        let file = next.seal(&SecretString::from("right".to_owned())).unwrap();
        let opened = Bundle::open(&file, &SecretString::from("right".to_owned())).unwrap();
        assert_eq!((opened.writer.public(), opened.former.len()), (made.writer.public(), 2));
        let recipients: Vec<_> = opened.identities().iter().map(Identity::recipient).collect();
        assert_ne!(recipients[0], made.identity.recipient());
        assert_eq!(recipients[2], made.identity.recipient());
    }

    #[test]
    fn absurd_scrypt_work_is_refused_before_it_is_done() {
        let file = "age-encryption.org/v1\n-> scrypt bHVja3lsdWNreWx1Y2t5bA 30\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789abcdef";
        let refused = Bundle::open(file.as_bytes(), &SecretString::from("x".to_owned())).unwrap_err();
        assert!(matches!(refused, Error::ExcessiveWork { log_n: 30, .. }), "{refused}");
    }
}
