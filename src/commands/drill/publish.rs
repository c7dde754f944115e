//! Signing and storing the evidence.

use super::options::Options;
use crate::catalog::{Finding, Repository, outlive, publish_evidence};
use crate::commands::{Connected, Error, Result};
use crate::format::evidence::Evidence;
use crate::keys::Keyring;
use crate::store::ObjectKey;

/// The repository as whoever signs opens it, where that is not the reader. That nobody can sign is found out now, not after
/// an hour of restoring.
pub(super) async fn signer(
    connected: &Connected,
    options: &mut Options,
    reader: &Repository,
) -> Result<Option<Repository>> {
    if !options.evidence {
        return Ok(None);
    }
    let signer = match options.signer.take() {
        None => None,
        Some(access) => Some(connected.open(access).await?),
    };
    let keys = signer.as_ref().unwrap_or(reader);
    if keys.id() != reader.id() {
        return Err(Error::Usage("the keys that sign are of another repository than those that read".into()));
    }
    let can_sign = keys.with_keyring(|ring: &Keyring| ring.writer().is_ok());
    if !can_sign {
        let what = "nothing here can sign evidence: give a writer file (keys.writer_file; `stonewal keys writer` makes one) or the passphrase besides the recovery file, or --no-evidence";
        return Err(Error::Usage(what.into()));
    }
    connected.check_immutable().await?;
    Ok(signer)
}

/// Stores it; returns its key and what is gone of what it needs.
pub(super) async fn publish(
    connected: &Connected,
    signer: &Repository,
    evidence: &Evidence,
) -> Result<(ObjectKey, Vec<Finding>)> {
    let lock = connected.lock()?;
    let gone = match lock {
        Some(lock) => outlive(&*connected.store, signer, lock, connected.lock_max()).await?,
        None => Vec::new(),
    };
    Ok((publish_evidence(&*connected.store, signer, evidence, lock).await?, gone))
}
