//! Which of the configured keys a command uses.

use crate::commands;
use crate::commands::parts::{Access, KeyError, Recipient, RecoveryFile, WriterFile};
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

/// The keys for a purpose. A file that was named on the command line is used whatever the purpose, so that a wrong one
/// is reported instead of passed over.
pub(in crate::cli) fn access(settings: &Settings, purpose: Purpose) -> Result<Access> {
    let keys = &settings.keys;
    let by_flag = |key: &Key| matches!(settings.origin(key), Origin::Flag(_));
    let order: &[Kind] = match purpose {
        _ if by_flag(&key::KEYS_WRITER_FILE) => &[Kind::Writer],
        _ if by_flag(&key::KEYS_IDENTITY_FILE) => &[Kind::Recovery],
        _ if by_flag(&key::KEYS_PASSPHRASE_FILE) => &[Kind::Passphrase],
        Purpose::Write => &[Kind::Writer, Kind::Passphrase, Kind::Recovery],
        Purpose::Read => &[Kind::Recovery, Kind::Passphrase, Kind::Writer],
        Purpose::Look => &[Kind::Writer, Kind::Recovery, Kind::Passphrase],
    };
    for kind in order {
        let (unfit, access) = match kind {
            Kind::Writer => (
                (purpose == Purpose::Read).then_some("a writer file cannot read data"),
                keys.writer_file.as_ref().map(|file| decode(file, writer)).transpose()?,
            ),
            Kind::Recovery => (
                (purpose == Purpose::Write).then_some("a recovery file cannot sign a backup"),
                keys.identity_file.as_ref().map(|file| decode(file, recovery)).transpose()?,
            ),
            Kind::Passphrase => (None, keys.passphrase()?.map(Access::Passphrase)),
        };
        match (access, unfit) {
            (Some(_), Some(why)) => return Err(Failure::usage(why, ways(purpose))),
            (Some(access), None) => return Ok(access),
            (None, _) => {}
        }
    }
    Err(config::Error::Missing { what: what(purpose), ways: ways(purpose) }.into())
}

/// The keys to look with, or `None` if there are none.
pub(in crate::cli) fn access_if_any(settings: &Settings) -> Result<Option<Access>> {
    match access(settings, Purpose::Look) {
        Err(Failure::Config(config::Error::Missing { .. })) => Ok(None),
        access => access.map(Some),
    }
}

fn what(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Write => "neither a passphrase nor a writer file",
        Purpose::Read => "neither the passphrase nor a recovery file",
        Purpose::Look => "none of passphrase, writer file and recovery file",
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

fn decode(file: &SecretFile, read: fn(&secrecy::SecretString) -> Result<Access, KeyError>) -> Result<Access> {
    let text = file.read()?;
    read(&text).map_err(|source| Failure::KeyFile { path: file.path().to_owned(), source })
}

fn writer(text: &secrecy::SecretString) -> Result<Access, KeyError> {
    WriterFile::decode(text).map(|file| Access::Writer(Box::new(file)))
}

fn recovery(text: &secrecy::SecretString) -> Result<Access, KeyError> {
    RecoveryFile::decode(text).map(Access::Recovery)
}

/// Further recipients for a new repository.
pub(in crate::cli) fn recipients(settings: &Settings) -> Result<Vec<Recipient>> {
    let parsed = settings.keys.recipients.iter().map(|text| text.parse());
    Ok(parsed.collect::<Result<_, KeyError>>().map_err(commands::Error::from)?)
}
