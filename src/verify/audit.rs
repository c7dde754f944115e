//! Is the audit log whole: every record genuine, every record that another names there, and as it was?
//!
//! One pass over the names. Records name earlier ones, so that most links are settled when they are met. Of the newest records that
//! were met an id and a digest are kept; should a link name an older one, that is read again (invariant I12).

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::{Error, Findings};
use crate::catalog::{AuditFound, AuditListing, AuditSeen, Repository};
use crate::format::{self, AuditId, Digest};
use crate::limits::{AUDIT_READS, AUDIT_RECORD_BYTES_MAX};
use crate::store::{Entry, Lock, ObjectKey, versions_of};
pub(crate) use pass::Bounds;
use pass::{Pass, Pending};

mod pass;

/// What is known of an audit log.
#[derive(Debug, Default, Serialize)]
pub struct AuditReport {
    /// Genuine records.
    pub records: u64,
    /// When the first one was written (store time).
    pub first: Option<Timestamp>,
    /// When the last one was written.
    pub last: Option<Timestamp>,
    /// Where the chain is broken: somebody removed or replaced a record. The first ones.
    pub breaks: Vec<Break>,
    /// In how many places.
    pub break_count: u64,
    /// Records named by the oldest ones and gone since their locks ended.
    pub expired: u64,
    /// Records that name none before them, besides the oldest: what was there before cannot be told from them.
    pub roots: Vec<AuditId>,
    /// Records that none names yet; should they be removed, nothing would tell.
    pub ends: u64,
    /// Whether there may be more of them: too many to remember all.
    pub ends_at_least: bool,
    /// What began and has no end: it died, is still under way, or its end could not be recorded. The first ones.
    pub unfinished: Vec<Unfinished>,
    /// How many of them there are.
    pub unfinished_count: u64,
    /// Whether there may be more of them: too many to remember all.
    pub unfinished_at_least: bool,
    /// Records whose lock has ended.
    pub unlocked: u64,
    /// Records whose lock ends soon.
    pub unlocking: u64,
    /// What does not belong there, or is not as it should be.
    pub findings: Findings,
}

/// A record that is not what another says of it.
#[derive(Debug, Serialize)]
pub struct Break {
    /// The record.
    pub record: AuditId,
    /// What became of it.
    pub what: BreakKind,
    /// A record that names it.
    pub named_by: AuditId,
    /// Until when it was locked.
    pub locked_until: Option<Timestamp>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakKind {
    /// It is gone.
    Missing,
    /// Something else is there under its name.
    Replaced,
}

/// A beginning without an end.
#[derive(Debug, Serialize)]
pub struct Unfinished {
    /// Its record.
    pub record: AuditId,
    /// When it began.
    pub at: Timestamp,
    /// What.
    pub deed: String,
    /// Who.
    pub who: String,
    /// Where.
    pub host: String,
}

/// Verifies the whole log. What is wrong with it is in the report; an error means that the store did not let us look.
pub async fn verify_audit(repository: &Repository, soon: Duration) -> Result<AuditReport, Error> {
    verify_within(repository, soon, Bounds::default()).await
}

/// The same in so much memory.
pub(crate) async fn verify_within(
    repository: &Repository,
    soon: Duration,
    bounds: Bounds,
) -> Result<AuditReport, Error> {
    let mut pass = Pass::new(bounds);
    let mut listing = AuditListing::of(repository, None);
    while let Some(seen) = listing.next().await? {
        let names = repository.names();
        let last = seen.iter().filter_map(|one| names.audit_of(one.entry.key.as_str())).max();
        let reads = seen.into_iter().map(|one| read(repository, one));
        let found: Vec<_> = stream::iter(reads).buffered(AUDIT_READS).try_collect().await?;
        let now = repository.store().clock().now();
        for one in found {
            pass.take(one, now, soon);
        }
        pass.give_up(last.as_ref(), now);
        read_older(repository, &mut pass).await?;
    }
    pass.give_up(None, repository.store().clock().now());
    read_older(repository, &mut pass).await?;
    Ok(pass.finish())
}

/// Settles the links to records that are no longer known.
async fn read_older(repository: &Repository, pass: &mut Pass) -> Result<(), Error> {
    let again = pass.older().into_iter().map(|link| read_again(repository, link));
    let again: Vec<_> = stream::iter(again).buffered(AUDIT_READS).try_collect().await?;
    let now = repository.store().clock().now();
    for (link, digest) in again {
        pass.compare(link, digest, now);
    }
    Ok(())
}

struct Read {
    seen: AuditSeen,
    found: Result<AuditFound, format::Error>,
    lock: Option<Lock>,
}

async fn read(repository: &Repository, seen: AuditSeen) -> Result<Read, Error> {
    let entry = &seen.entry;
    let found = repository.audit_record(entry, true).await?;
    let lock = match &found {
        Ok(_) => repository.store().head(&entry.key, &entry.version).await.map_err(crate::catalog::Error::from)?.lock,
        Err(_) => None,
    };
    Ok(Read { seen, found, lock })
}

/// The digest of the record that a link names, if it is there.
async fn read_again(repository: &Repository, pending: Pending) -> Result<(Pending, Option<Digest>), Error> {
    let key = ObjectKey::new(repository.names().audit_record(&pending.link.record));
    let small = |entry: &Entry| entry.bytes <= AUDIT_RECORD_BYTES_MAX as u64;
    let versions = versions_of(&**repository.store(), &key, small).await.map_err(crate::catalog::Error::from)?;
    let digest = match versions.first() {
        Some(first) => repository.audit_record(first, true).await?.ok().map(|found| Digest::of(&found.body)),
        None => None,
    };
    Ok((pending, digest))
}
