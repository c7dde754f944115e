//! How far replicas are behind: a few requests to each, since what is copied in order is missing from some point on.

use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;

use super::bucket::Look;
use super::lag::age;
use crate::commands::replica::is_copy;
use crate::commands::sides::{check_other, hasty};
use crate::commands::{Replica, RepositoryOptions, Result};
use crate::format::names::WalName;
use crate::format::wal::{WalRange, piece_bytes};
use crate::format::{Lsn, Timeline};
use crate::observe::chain;
use crate::store::{Entry, ObjectKey, Read as _, S3, versions_of};

/// One replica.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaFacts {
    /// The operator's name for it.
    pub replica: String,
    /// Why it could not be asked.
    pub failure: Option<String>,
    /// Whole WAL that it lacks of the newest window, in bytes.
    pub missing_wal_bytes: u64,
    /// Whether it lacks the newest base backup.
    pub lacks_newest_base: bool,
    /// Whether it lacks the newest dump.
    pub lacks_newest_dump: bool,
    /// For how long what it lacks has been here; seconds.
    pub lag_seconds: u64,
    /// What is acceptable.
    pub max_lag_seconds: u64,
}

/// All replicas, by name.
pub(super) async fn look(options: &RepositoryOptions, look: &Look<'_>) -> Vec<ReplicaFacts> {
    join_all(options.replicas.iter().map(|replica| facts(replica, look))).await
}

async fn facts(replica: &Replica, look: &Look<'_>) -> ReplicaFacts {
    let mut facts = ReplicaFacts {
        replica: replica.name.clone(),
        failure: None,
        missing_wal_bytes: 0,
        lacks_newest_base: false,
        lacks_newest_dump: false,
        lag_seconds: 0,
        max_lag_seconds: replica.max_lag.as_secs(),
    };
    if let Err(error) = compare(replica, look, &mut facts).await {
        facts.failure = Some(chain(&error));
    }
    facts
}

async fn compare(replica: &Replica, look: &Look<'_>, facts: &mut ReplicaFacts) -> Result<()> {
    let there = S3::connect(hasty(&replica.s3)).await?;
    check_other(&look.store, &there, replica)?;
    let now = look.store.clock().now();
    let mut lag = Duration::ZERO;
    let newest_base = look.backups.bases.last().map(|base| &base.objects.manifest);
    let newest_dump = look.backups.newest_dump.as_ref().map(|dump| &dump.objects.manifest);
    for (manifest, lacks) in [(newest_base, &mut facts.lacks_newest_base), (newest_dump, &mut facts.lacks_newest_dump)]
    {
        let Some(manifest) = manifest else { continue };
        *lacks = !has(&there, look, manifest).await?;
        lag = if *lacks { lag.max(age(manifest.last_modified, now)) } else { lag };
    }
    if let Some((name, bytes)) = first_missing(&there, look).await? {
        facts.missing_wal_bytes = bytes;
        let head = look.repository.wal_head_of(look.cluster, &name).await?;
        lag = lag.max(head.map_or(Duration::ZERO, |head| age(head.header().written_at, now)));
    }
    facts.lag_seconds = lag.as_secs();
    Ok(())
}

/// Whether a manifest lies there: itself, and not something that was planted under its name. Where listings do not tell, as under
/// KMS keys, its bytes do.
async fn has(there: &S3, look: &Look<'_>, manifest: &Entry) -> Result<bool> {
    let same_length = versions_of(there, &manifest.key, |entry| entry.bytes == manifest.bytes).await?;
    if same_length.is_empty() || same_length.iter().any(|copy| is_copy(manifest, copy)) {
        return Ok(!same_length.is_empty());
    }
    let ours = look.store.get(&manifest.key, &manifest.version, 0..manifest.bytes).await?;
    for copy in &same_length {
        match there.get(&copy.key, &copy.version, 0..copy.bytes).await {
            Ok(theirs) if theirs == ours => return Ok(true),
            Ok(_) => {}
            Err(error) if error.is_about_the_object() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// The first piece of the newest window that the replica lacks, and how much from there on; a search by halves.
async fn first_missing(there: &S3, look: &Look<'_>) -> Result<Option<(WalName, u64)>> {
    let newest = look.wal.latest_timeline().and_then(|timeline| look.wal.timelines.get(&timeline));
    let Some((coverage, segment)) = newest.zip(look.segment()) else { return Ok(None) };
    let Some(window) = coverage.pieces.last() else { return Ok(None) };
    let bytes = piece_bytes(segment);
    let piece = |number: u64| name(coverage.timeline, window.start.plus(number * bytes), bytes);
    let count = window.bytes() / bytes;
    let (mut from, mut to) = (0, count);
    // Nearly always the last one is there.
    let mut probe = count.saturating_sub(1);
    while from < to {
        let key = ObjectKey::new(look.repository.names().wal(look.cluster, &piece(probe)));
        match there.newest(&key, 1).await? {
            Some(_) => from = probe + 1,
            None => to = probe,
        }
        probe = u64::midpoint(from, to);
    }
    Ok((from < count).then(|| (piece(from), (count - from) * bytes)))
}

fn name(timeline: Timeline, start: Lsn, bytes: u64) -> WalName {
    WalName::Piece { timeline, range: WalRange { start, end: start.plus(bytes) }, tag: None }
}
