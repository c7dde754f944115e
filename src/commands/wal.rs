//! What the commands about WAL have in common.

use jiff::Timestamp;

use super::Result;
use crate::catalog::{self, Partial, Repository, WalObject};
use crate::format::wal::WalRange;
use crate::format::{ClusterName, Lsn, Timeline};
use crate::pipeline::{Encoding, Signer, WalPlace, WalRun, open_wal_whole};

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

/// How far partials reach without a hole from the start of a piece, and what was wrong with one that may be ours: an error
/// for whom what was reached is not enough.
pub(super) struct Reached {
    pub(super) end: Lsn,
    pub(super) doubt: Option<catalog::Error>,
}

/// Gives what partials have of `piece` to `take`, with where it starts: the longest first, each byte once. What is not ours is
/// passed over, and so is what is not `wanted`.
pub(super) async fn each_partial(
    repository: &Repository,
    (cluster, timeline, piece): (&ClusterName, Timeline, WalRange),
    wanted: impl Fn(&WalObject) -> Result<bool>,
    mut take: impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Reached> {
    let (mut left, doubt) = repository.partials(cluster, timeline, piece).await?;
    let mut reached = Reached { end: piece.start, doubt };
    loop {
        let at = reached.end;
        let usable = |partial: &Partial| partial.range.start <= at && at < partial.range.end;
        let longest = (0..left.len()).filter(|i| usable(&left[*i])).max_by_key(|i| left[*i].range.end);
        let Some(longest) = longest else { return Ok(reached) };
        let partial = left.swap_remove(longest);
        match repository.wal_version(cluster, &partial.entry).await {
            Ok(found) if wanted(&found)? => {
                let key = repository.wal_key(&found.head).await?;
                let plain = open_wal_whole(&found.head, found.object, &key).await?;
                let known = usize::try_from(at.since(partial.range.start)).unwrap_or(usize::MAX);
                take(at, plain.get(known..).unwrap_or_default())?;
                reached.end = partial.range.end;
            }
            Ok(_) => {}
            Err(catalog::Error::Store(error)) if !error.is_about_the_object() => return Err(error.into()),
            Err(error) if error.is_nothing_of_ours() => {}
            Err(error) => reached.doubt = Some(error),
        }
    }
}
