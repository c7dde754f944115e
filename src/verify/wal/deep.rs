//! Every object of a timeline: its header, its lock, its content.

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::{Error, Findings, WalLevel};
use crate::catalog::{self, Finding, FindingKind, Repository, each_entry, merge_ranges};
use crate::format::names::WalName;
use crate::format::wal::{WalContent, WalHead, WalRange, begins_with_page_at};
use crate::format::{self, ClusterName, Timeline};
use crate::limits::{HEADS, WAL_PUSHES};
use crate::observe::Progress;
use crate::pipeline::{self, open_wal_whole};
use crate::store::{Entry, Lock};

/// What is to be said of one version.
struct Seen {
    name: WalName,
    entry: Entry,
    state: State,
}

enum State {
    Genuine { head: Box<WalHead>, lock: Option<Lock> },
    Wrong(FindingKind, String),
}

/// The windows of a timeline, of genuine objects alone.
pub(super) async fn windows(
    repository: &Repository,
    cluster: &ClusterName,
    timeline: Timeline,
    level: WalLevel,
    progress: &Progress,
    findings: &mut Findings,
) -> Result<Vec<WalRange>, Error> {
    let mut listed = Vec::new();
    each_entry(&**repository.store(), &repository.names().wal_timeline(cluster, timeline), |entry| {
        match repository.names().wal_of(cluster, entry.key.as_str()) {
            Some(WalName::Gap { .. }) | None => {}
            Some(name) if !entry.delete_marker => listed.push((name, entry)),
            Some(_) => {
                let what = "a delete marker was laid over it; it is ignored";
                findings.push(Finding::new(FindingKind::DeleteMarker, entry.key.as_str(), None, what));
            }
        }
    })
    .await?;
    // A listing has the newest version of a key first; the oldest genuine one counts.
    listed.reverse();
    let looks = listed.into_iter().map(|(name, entry)| look(repository, cluster, name, entry, level, progress));
    let at_once = if level == WalLevel::Full { WAL_PUSHES } else { HEADS };
    let mut looks = stream::iter(looks).buffered(at_once);
    let (mut windows, mut last) = (Vec::new(), None::<(WalName, String)>);
    while let Some(seen) = looks.next().await {
        let Seen { name, entry, state } = seen?;
        let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
        match state {
            State::Wrong(kind, why) => findings.push(Finding::new(kind, key, version, why)),
            State::Genuine { head, lock } => {
                let content = head.header().plain.map(|plain| plain.sha256.to_string()).unwrap_or_default();
                if let Some((_, first)) = last.as_ref().filter(|(known, _)| *known == name.without_tag()) {
                    let what = if *first == content { "written again" } else { "the first one is used" };
                    findings.push(Finding::new(FindingKind::LaterVersion, key, version, what));
                    continue;
                }
                let now = repository.store().clock().now();
                // Where nothing is locked, that is what the configuration says.
                if lock.is_some_and(|lock| lock.retain_until <= now) {
                    let what = "its lock has ended";
                    findings.push(Finding::new(FindingKind::LockShort, key, version, what));
                }
                if let WalContent::Range(content) = &head.header().content {
                    merge_ranges(&mut windows, content.range());
                }
                last = Some((name.without_tag(), content));
            }
        }
    }
    Ok(windows)
}

async fn look(
    repository: &Repository,
    cluster: &ClusterName,
    name: WalName,
    entry: Entry,
    level: WalLevel,
    progress: &Progress,
) -> Result<Seen, Error> {
    let state = match examine(repository, cluster, &entry, level, progress).await {
        Ok((head, lock)) => State::Genuine { head: Box::new(head), lock },
        Err(error) => match wrong(&error) {
            Some(kind) => State::Wrong(kind, crate::observe::chain(&error)),
            None => return Err(error),
        },
    };
    Ok(Seen { name, entry, state })
}

async fn examine(
    repository: &Repository,
    cluster: &ClusterName,
    entry: &Entry,
    level: WalLevel,
    progress: &Progress,
) -> Result<(WalHead, Option<Lock>), Error> {
    let lock = repository.store().head(&entry.key, &entry.version).await.map_err(catalog::Error::Store)?.lock;
    if level < WalLevel::Full {
        return Ok((repository.wal_version_head(cluster, entry).await?, lock));
    }
    let found = repository.wal_version(cluster, entry).await?;
    let key = repository.wal_key(&found.head).await?;
    progress.add_chunk(found.object.len() as u64);
    let plain = open_wal_whole(&found.head, found.object, &key).await?;
    progress.add_plain_bytes(plain.len() as u64);
    check(&found.head, &plain)?;
    Ok((found.head, lock))
}

/// The content must be the WAL of its position, and the one whose digest was signed.
fn check(head: &WalHead, plain: &Bytes) -> Result<(), Error> {
    let header = head.header();
    let malformed = |why: &str| {
        let source = format::Error::Malformed { what: "WAL", why: why.into() };
        Err(pipeline::Error::Wal { object: header.content.to_string(), source }.into())
    };
    if header.plain.is_some_and(|digest| !digest.is_of(plain)) {
        return malformed("its content is not the one whose digest was signed");
    }
    match &header.content {
        WalContent::Range(content) if content.is_piece() && !begins_with_page_at(plain, content.start) => {
            malformed("its first page is not of this position")
        }
        _ => Ok(()),
    }
}

/// What a failure to read one version means; `None` if it says nothing about the version.
fn wrong(error: &Error) -> Option<FindingKind> {
    match error {
        Error::Catalog(catalog::Error::Format(_)) => Some(FindingKind::ForgedWal),
        Error::Catalog(catalog::Error::Store(error)) if error.is_about_the_object() => Some(FindingKind::Opaque),
        Error::Pipeline(error) if error.is_integrity() => Some(FindingKind::Unreadable),
        _ => None,
    }
}
