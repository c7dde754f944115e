//! Signing and storing the evidence.

use super::options::Options;
use crate::catalog::{Finding, Repository, outlive, publish_evidence};
use crate::commands::sides::hasty;
use crate::commands::{Class, Connected, Error, RepositoryOptions, Result};
use crate::format::evidence::Evidence;
use crate::keys::Keyring;
use crate::observe::chain;
use crate::store::ObjectKey;

/// Where the evidence goes, and who signs it there: always the repository, whatever was read.
pub(super) enum Desk {
    /// There, signed by whoever this is opened as; `None` means as the reader.
    At(Box<Connected>, Option<Box<Repository>>),
    /// A replica is read, and the repository could not be opened when the drill began.
    Away(String),
    /// None is wanted.
    Closed,
}

/// What became of it.
pub(super) enum Published<'a> {
    /// Its key, and what is gone of what it needs.
    Under(ObjectKey, Vec<Finding>),
    /// It could not be, for this reason.
    Not(&'a str),
}

/// Opens the repository as whoever signs, where that is not the reader. That nobody can sign is found out now, not after an hour
/// of restoring.
pub(super) async fn desk(connected: Connected, options: &mut Options, reader: &Repository) -> Result<Desk> {
    if !options.evidence {
        return Ok(Desk::Closed);
    }
    if options.repository.from_replica.is_some() {
        return beside_a_replica(options, reader).await;
    }
    let signer = match options.signer.take() {
        None => None,
        Some(access) => Some(Box::new(connected.open(access).await?)),
    };
    check(signer.as_deref().unwrap_or(reader), reader)?;
    connected.check_immutable().await?;
    Ok(Desk::At(Box::new(connected), signer))
}

/// The repository may be what was lost: that is no reason not to try whether its replica restores.
async fn beside_a_replica(options: &mut Options, reader: &Repository) -> Result<Desk> {
    let all = &options.repository;
    let home = RepositoryOptions { s3: hasty(&all.s3), from_replica: None, ..all.clone() };
    let access = options.signer.take().ok_or_else(unsigned)?;
    let opening = async {
        let connected = Connected::to(&home).await?;
        let signer = connected.open(access).await?;
        check(&signer, reader)?;
        connected.check_immutable().await?;
        Ok::<_, Error>((connected, signer))
    };
    match Box::pin(opening).await {
        Ok((connected, signer)) => Ok(Desk::At(Box::new(connected), Some(Box::new(signer)))),
        Err(error) if error.class() == Class::Failed || matches!(error, Error::Store(_)) => {
            Ok(Desk::Away(chain(&error)))
        }
        Err(error) => Err(error),
    }
}

fn check(signer: &Repository, reader: &Repository) -> Result<()> {
    if signer.id() != reader.id() {
        return Err(Error::Usage("the keys that sign are of another repository than those that read".into()));
    }
    let can_sign = signer.with_keyring(|ring: &Keyring| ring.writer().is_ok());
    if can_sign { Ok(()) } else { Err(unsigned()) }
}

fn unsigned() -> Error {
    let what = "nothing here can sign evidence: give a writer file (keys.writer_file; `stonewal keys writer` makes one) or the passphrase besides the recovery file, or --no-evidence";
    Error::Usage(what.into())
}

impl Desk {
    /// Why there will be no evidence, if that is known beforehand.
    pub(super) fn away(&self) -> Option<String> {
        match self {
            Self::Away(why) => Some(format!("the evidence will not be stored: {why}")),
            Self::At(..) | Self::Closed => None,
        }
    }

    /// Stores it.
    pub(super) async fn publish(&self, reader: &Repository, evidence: &Evidence) -> Result<Published<'_>> {
        let (connected, signer) = match self {
            Self::At(connected, signer) => (connected, signer.as_deref().unwrap_or(reader)),
            Self::Away(why) => return Ok(Published::Not(why)),
            Self::Closed => return Ok(Published::Not("it is not wanted")),
        };
        let lock = connected.lock()?;
        let gone = match lock {
            Some(lock) => outlive(&*connected.store, signer, lock, connected.lock_max()).await?,
            None => Vec::new(),
        };
        Ok(Published::Under(publish_evidence(&*connected.store, signer, evidence, lock).await?, gone))
    }
}
