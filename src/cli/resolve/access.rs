//! Which of the configured keys a command uses.

use secrecy::SecretString;

use crate::commands;
use crate::commands::parts::{
    Access, KeyError, KmsAccess, KmsFile, KmsOptions, Recipient, RecoveryFile, Tag, WriterFile, kms_service,
};
use crate::config::key::{self, Key};
use crate::config::{self, Origin, SecretFile, Settings};

use super::super::failure::{Failure, Result};

/// What the keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Purpose {
    /// Publishing: a writer file, else the passphrase.
    Write,
    /// Reading data: a recovery file, else the passphrase.
    Read,
    /// Telling which backups are genuine: whatever is there, the least powerful first.
    Look,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Writer,
    Recovery,
    Passphrase,
}

/// The keys for a purpose.
pub(in crate::cli) fn access(settings: &Settings, purpose: Purpose) -> Result<Access> {
    access_if_any(settings, purpose)?.ok_or_else(|| Failure::usage(missing(purpose), ways(purpose)))
}

/// The keys for a purpose, or `None` if there are none. A file that was named on the command line is used whatever the
/// purpose, so that a wrong one is reported instead of passed over.
pub(in crate::cli) fn access_if_any(settings: &Settings, purpose: Purpose) -> Result<Option<Access>> {
    let keys = &settings.keys;
    let by_flag = |key: &Key| matches!(settings.origin(key), Origin::Flag(_));
    let order: &[Kind] = match purpose {
        _ if by_flag(&key::KEYS_WRITER_FILE) => &[Kind::Writer],
        _ if by_flag(&key::KEYS_IDENTITY_FILE) => &[Kind::Recovery],
        Purpose::Write => &[Kind::Writer, Kind::Passphrase, Kind::Recovery],
        Purpose::Read => &[Kind::Recovery, Kind::Passphrase, Kind::Writer],
        Purpose::Look => &[Kind::Writer, Kind::Recovery, Kind::Passphrase],
    };
    for kind in order {
        match (kind, &keys.writer_file, &keys.identity_file) {
            (Kind::Writer, Some(_), _) if purpose == Purpose::Read => {
                return Err(Failure::usage("a writer file cannot read data", ways(purpose)));
            }
            (Kind::Recovery, _, Some(_)) if purpose == Purpose::Write => {
                return Err(Failure::usage("a recovery file cannot sign a backup", ways(purpose)));
            }
            (Kind::Writer, Some(file), _) => return decode(file, writer).map(Some),
            (Kind::Recovery, _, Some(file)) => return decode(file, |text| recovery(settings, text)).map(Some),
            (Kind::Passphrase, ..) => {
                if let Some(passphrase) = keys.passphrase()? {
                    return by_passphrase(settings, passphrase).map(Some);
                }
            }
            (Kind::Writer | Kind::Recovery, ..) => {}
        }
    }
    Ok(None)
}

/// Keys that can sign, whatever is named for reading: a writer file, else the passphrase.
pub(in crate::cli) fn signer(settings: &Settings) -> Result<Option<Access>> {
    match &settings.keys.writer_file {
        Some(file) => decode(file, writer).map(Some),
        None => settings.keys.passphrase()?.map(|passphrase| by_passphrase(settings, passphrase)).transpose(),
    }
}

/// Any bundle that opens, or the one that the configuration names.
fn by_passphrase(settings: &Settings, passphrase: SecretString) -> Result<Access> {
    Ok(match bundle(settings)? {
        None => Access::Passphrase(passphrase),
        Some(fingerprint) => Access::Bundle { passphrase, fingerprint },
    })
}

/// The one bundle to try, if the configuration names it.
pub(in crate::cli) fn bundle(settings: &Settings) -> Result<Option<Tag>> {
    let bundle = settings.keys.bundle.as_ref().map(|text| text.parse()).transpose();
    Ok(bundle.map_err(commands::Error::Format)?)
}

fn missing(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Write => "there is neither a passphrase nor a writer file",
        Purpose::Read => "there is neither a passphrase nor a recovery file",
        Purpose::Look => "there is no passphrase, writer file or recovery file",
    }
}

fn ways(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Write => {
            "set BACKUP_PASSPHRASE, or keys.passphrase_file or keys.writer_file to a file that only you may read"
        }
        Purpose::Read => {
            "set BACKUP_PASSPHRASE, or keys.passphrase_file or keys.identity_file to a file that only you may read"
        }
        Purpose::Look => {
            "set BACKUP_PASSPHRASE, or keys.passphrase_file, keys.writer_file or keys.identity_file to a file that only you may read"
        }
    }
}

fn decode(file: &SecretFile, read: impl Fn(&SecretString) -> Result<Access, KeyError>) -> Result<Access> {
    let text = file.read()?;
    read(&text).map_err(|source| Failure::KeyFile { path: file.path().to_owned(), source })
}

fn writer(text: &SecretString) -> Result<Access, KeyError> {
    WriterFile::decode(text).map(|file| Access::Writer(Box::new(file)))
}

fn recovery(settings: &Settings, text: &SecretString) -> Result<Access, KeyError> {
    if KmsFile::is_one(text) {
        let (file, service) = (KmsFile::decode(text)?, kms_service(kms(settings)));
        return Ok(Access::Kms(Box::new(KmsAccess { file, service })));
    }
    RecoveryFile::decode(text).map(Access::Recovery)
}

/// How to reach AWS KMS.
pub(in crate::cli) fn kms(settings: &Settings) -> KmsOptions {
    let config::KmsSettings { endpoint, region, profile } = settings.kms.clone();
    KmsOptions { endpoint, region, profile, ca_file: settings.s3.ca_file.clone(), credentials: None }
}

/// Further recipients for a new repository.
pub(in crate::cli) fn recipients(settings: &Settings) -> Result<Vec<Recipient>> {
    let parsed = settings.keys.recipients.iter().map(|text| text.parse());
    Ok(parsed.collect::<Result<_, KeyError>>().map_err(commands::Error::from)?)
}
