//! What the commands about WAL have in common.

use std::cmp::Reverse;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Error, Result};
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

/// How far partials reach without a hole from the start of a piece, and what was wrong with one that may be ours and reaches
/// further: an error for whom what was reached is not enough.
pub(super) struct Reached {
    pub(super) end: Lsn,
    pub(super) doubt: Option<Error>,
}

/// Gives what partials have of `piece` to `take`, with where it starts: the longest first, each byte once. What is not ours is
/// passed over, and so is what is not `wanted`; where one cannot be read, opened or believed, others may hold the same.
pub(super) async fn each_partial(
    repository: &Repository,
    (cluster, timeline, piece): (&ClusterName, Timeline, WalRange),
    wanted: impl Fn(&WalObject) -> Result<bool>,
    mut take: impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Reached> {
    let (mut left, unread) = repository.partials(cluster, timeline, piece).await?;
    let (mut at, mut doubts) = (piece.start, Doubts::default());
    if let Some(error) = unread {
        doubts.add(piece.end, error.into());
    }
    loop {
        let usable = |partial: &Partial| partial.range.start <= at && at < partial.range.end;
        // Of those alike what arrived first: the head of ours over anything else came later.
        let rank = |i: &usize| (left[*i].range.end, Reverse(left[*i].entry.last_modified));
        let longest = (0..left.len()).filter(|i| usable(&left[*i])).max_by_key(rank);
        let Some(longest) = longest else { return Ok(Reached { end: at, doubt: doubts.beyond(at) }) };
        let Partial { range, entry } = left.swap_remove(longest);
        let found = match repository.wal_version(cluster, &entry).await {
            Ok(found) if wanted(&found)? => found,
            Ok(_) => continue,
            Err(catalog::Error::Store(error)) if !error.is_about_the_object() => return Err(error.into()),
            Err(error) if error.is_nothing_of_ours() => continue,
            Err(error) => {
                doubts.add(range.end, error.into());
                continue;
            }
        };
        match open(repository, found).await {
            Ok(plain) => {
                let known = usize::try_from(at.since(range.start)).unwrap_or(usize::MAX);
                take(at, plain.get(known..).unwrap_or_default())?;
                at = range.end;
            }
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => doubts.add(range.end, error),
        }
    }
}

/// What an object holds, or the copy of it that the keys at hand open.
pub(super) async fn open(repository: &Repository, found: WalObject) -> Result<Bytes> {
    let (found, key) = repository.openable_wal(found).await?;
    Ok(open_wal_whole(&found.head, found.object, &key).await?)
}

/// What was wrong, and up to where it would have reached: the furthest, and of those the first.
#[derive(Default)]
struct Doubts(Option<(Lsn, Error)>);

impl Doubts {
    fn add(&mut self, end: Lsn, error: Error) {
        if self.0.as_ref().is_none_or(|(known, _)| *known < end) {
            self.0 = Some((end, error));
        }
    }

    /// What others hold as well was not needed.
    fn beyond(self, at: Lsn) -> Option<Error> {
        self.0.filter(|(end, _)| *end > at).map(|(_, error)| error)
    }
}
