//! What the commands about WAL have in common.

use jiff::Timestamp;

use super::Result;
use crate::catalog::Repository;
use crate::format::ClusterName;
use crate::pipeline::{Encoding, Signer, WalPlace, WalRun};

/// A run that writes WAL of `cluster` from now on, with the keys at hand.
pub(super) fn begin_run(
    repository: &Repository,
    cluster: &ClusterName,
    system_identifier: u64,
    encoding: Encoding,
    now: Timestamp,
) -> Result<WalRun> {
    let (names, cluster) = (repository.names().clone(), cluster.clone());
    let place = WalPlace { names, repository: repository.id(), cluster, system_identifier };
    let (signer, recipients) = repository.with_keyring(|ring| -> Result<_> {
        let certificate = ring.certificate().map(<[u8]>::to_vec);
        Ok((Signer { writer: ring.writer()?.clone(), certificate }, ring.recipients().to_vec()))
    })?;
    Ok(WalRun::begin(place, &recipients, signer, encoding, now)?)
}
