//! Wrapping of data keys: an `age` file that holds the 32 bytes of one key, for all its recipients.
//!
//! The format is age v1 (age-encryption.org/v1), so that `age -d -i identity.txt` opens a wrap where no stonewal is.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::str::FromStr;

use age::DecryptError;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::kms::{self, KmsKey};
use super::{Error, Result};
use crate::format::{DataKey, KeyId};

pub(super) const WRAP: &str = "the wrap of a data key";

/// Public half: may wrap keys, opens nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    X25519(age::x25519::Recipient),
    Kms(Box<KmsKey>),
}

impl Recipient {
    /// The key in AWS KMS that it is, if it is one.
    pub fn kms(&self) -> Option<&KmsKey> {
        match &self.0 {
            Kind::X25519(_) => None,
            Kind::Kms(key) => Some(key),
        }
    }

    pub(super) fn as_age(&self) -> &dyn age::Recipient {
        match &self.0 {
            Kind::X25519(recipient) => recipient,
            Kind::Kms(key) => &**key,
        }
    }
}

impl From<KmsKey> for Recipient {
    fn from(key: KmsKey) -> Self {
        Self(Kind::Kms(Box::new(key)))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::X25519(recipient) => recipient.fmt(f),
            Kind::Kms(key) => key.fmt(f),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Recipient {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.starts_with(kms::PREFIX) {
            return text.parse::<KmsKey>().map(Self::from);
        }
        let parsed = text.parse().map(|recipient| Self(Kind::X25519(recipient)));
        parsed.map_err(|_| Error::BadRecipient { text: text.to_owned() })
    }
}

/// Secret half: opens what is wrapped to its recipient. Never printed.
#[derive(Clone)]
pub struct Identity(age::x25519::Identity);

impl Identity {
    /// A fresh identity.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(Kind::X25519(self.0.to_public()))
    }

    /// As `age-keygen` writes it: `AGE-SECRET-KEY-1…`.
    pub(super) fn secret(&self) -> SecretString {
        self.0.to_string()
    }

    /// Reads [`Identity::secret`].
    pub(super) fn parse(secret: &SecretString) -> Result<Self> {
        secret
            .expose_secret()
            .trim()
            .parse()
            .map(Self)
            .map_err(|why: &str| Error::File { what: "identity", why: why.into() })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

/// Wraps `key` to all of `recipients`; any one of their identities opens it.
pub fn wrap(key: &DataKey, recipients: &[Recipient]) -> Result<Vec<u8>> {
    encrypt(recipients.iter().map(Recipient::as_age), key.expose(), WRAP)
}

/// The key that `wrapped` holds, if one of `identities` opens it and it is the key named `expected`.
pub fn unwrap(wrapped: &[u8], identities: &[Identity], expected: KeyId) -> Result<DataKey> {
    unwrap_with(wrapped, identities.iter().map(|identity| &identity.0 as &dyn age::Identity), expected)
}

/// The same with identities of any kind.
pub(super) fn unwrap_with<'a>(
    wrapped: &[u8],
    identities: impl Iterator<Item = &'a dyn age::Identity>,
    expected: KeyId,
) -> Result<DataKey> {
    let plain = decrypt(wrapped, identities, WRAP).map_err(|fault| match fault {
        Fault::NoMatch => Error::NotARecipient { key: expected },
        Fault::Other(error) => error,
    })?;
    let bytes: [u8; 32] = plain.as_slice().try_into().map_err(|_| Error::WrongKey { key: expected })?;
    let key = DataKey::new(Zeroizing::new(bytes));
    if key.id() == expected { Ok(key) } else { Err(Error::WrongKey { key: expected }) }
}

/// Why an age file did not open.
pub(super) enum Fault {
    /// None of the identities, or not the passphrase.
    NoMatch,
    /// Anything else.
    Other(Error),
}

/// One whole age file in memory.
pub(super) fn encrypt<'a>(
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
    plain: &[u8],
    what: &'static str,
) -> Result<Vec<u8>> {
    let fault = |why: String| Error::Age { what, why };
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|e| fault(e.to_string()))?;
    let mut out = Vec::new();
    let mut writer = encryptor.wrap_output(&mut out).map_err(|e| fault(e.to_string()))?;
    writer.write_all(plain).map_err(|e| fault(e.to_string()))?;
    writer.finish().map_err(|e| fault(e.to_string()))?;
    Ok(out)
}

/// The reverse of [`encrypt`]; the plaintext is wiped when dropped.
pub(super) fn decrypt<'a>(
    file: &[u8],
    identities: impl Iterator<Item = &'a dyn age::Identity>,
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let other = |why: String| Fault::Other(Error::Age { what, why });
    let decryptor = age::Decryptor::new_buffered(file).map_err(|e| other(e.to_string()))?;
    let mut reader = decryptor.decrypt(identities).map_err(|error| match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            Fault::NoMatch
        }
        DecryptError::ExcessiveWork { required, target } => {
            Fault::Other(Error::ExcessiveWork { log_n: required, max: target })
        }
        error => other(error.to_string()),
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(file.len()));
    reader.read_to_end(&mut plain).map_err(|e| other(e.to_string()))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::data_key;

    #[test]
    fn a_key_opens_for_each_recipient_and_no_one_else() {
        let (operator, offline, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
        let key = data_key().unwrap();
        let wrapped = wrap(&key, &[operator.recipient(), offline.recipient()]).unwrap();
        for identity in [&operator, &offline] {
            assert_eq!(unwrap(&wrapped, std::slice::from_ref(identity), key.id()).unwrap().expose(), key.expose());
        }
        let refused = unwrap(&wrapped, &[stranger], key.id()).unwrap_err();
        assert!(matches!(refused, Error::NotARecipient { .. }), "{refused}");
    }

    #[test]
    fn a_planted_wrap_is_found_out() {
        let operator = Identity::generate();
        let (ours, planted) = (data_key().unwrap(), data_key().unwrap());
        let wrapped = wrap(&planted, &[operator.recipient()]).unwrap();
        let refused = unwrap(&wrapped, std::slice::from_ref(&operator), ours.id()).unwrap_err();
        assert!(matches!(refused, Error::WrongKey { .. }), "{refused}");
        let short = encrypt(std::iter::once(operator.recipient().as_age()), b"short", WRAP).unwrap();
        assert!(matches!(unwrap(&short, &[operator], ours.id()), Err(Error::WrongKey { .. })));
    }

    #[test]
    fn damaged_wraps_are_refused() {
        let operator = [Identity::generate()];
        let key = data_key().unwrap();
        let wrapped = wrap(&key, &[operator[0].recipient()]).unwrap();
        for i in 0..wrapped.len() {
            let mut bent = wrapped.clone();
            bent[i] ^= 1;
            assert!(unwrap(&bent, &operator, key.id()).is_err(), "bit flip at {i}");
            assert!(unwrap(&wrapped[..i], &operator, key.id()).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn i13_identities_do_not_print() {
        assert!(!format!("{:?}", Identity::generate()).contains("SECRET"));
    }
}
