//! Every object of a timeline: its header, its lock, its content.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;

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
    Genuine(Genuine),
    Wrong(FindingKind, String),
}

/// A genuine version.
struct Genuine {
    head: Box<WalHead>,
    lock: Option<Lock>,
    /// Why the keys at hand do not open it, where that was tried.
    closed: Option<Box<catalog::Error>>,
}

/// The genuine versions of one name, as they come.
struct Group {
    name: WalName,
    /// Digest of what the first one holds.
    content: String,
    /// The one that counts so far: the first, or the root writer's copy of it under another data key.
    entry: Entry,
    counting: Genuine,
}

impl Genuine {
    fn content(&self) -> String {
        self.head.header().plain.map(|plain| plain.sha256.to_string()).unwrap_or_default()
    }

    /// Where it stands among copies; what is none comes before them.
    fn rank(&self) -> Option<(Timestamp, [u8; 32])> {
        self.head.header().copy_of.map(|copy| copy.rank(self.head.digest()))
    }
}

impl Group {
    fn of(name: WalName, entry: Entry, first: Genuine) -> Self {
        Self { name, content: first.content(), entry, counting: first }
    }

    /// Takes a later version in: a newer copy counts from then on, anything else does not belong there.
    fn join(&mut self, entry: Entry, later: Genuine) -> Option<Finding> {
        if later.rank() > self.counting.rank() {
            (self.entry, self.counting) = (entry, later);
            return None;
        }
        let what = if self.content == later.content() { "written again" } else { "the first one is used" };
        Some(Finding::new(FindingKind::LaterVersion, entry.key.as_str(), Some(entry.version.as_str()), what))
    }

    /// What is to be said of the one that counts.
    fn close(self, now: Timestamp) -> Result<Option<Finding>, Error> {
        if let Some(closed) = self.counting.closed {
            return Err((*closed).into());
        }
        // Where nothing is locked, that is what the configuration says.
        let ended = self.counting.lock.is_some_and(|lock| lock.retain_until <= now);
        let (key, version) = (self.entry.key.as_str(), Some(self.entry.version.as_str()));
        Ok(ended.then(|| Finding::new(FindingKind::LockShort, key, version, "its lock has ended")))
    }
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
    // A listing has the newest version of a key first; the oldest genuine one counts, or its copy.
    listed.reverse();
    let looks = listed.into_iter().map(|(name, entry)| look(repository, cluster, name, entry, level, progress));
    let at_once = if level == WalLevel::Full { WAL_PUSHES } else { HEADS };
    let mut looks = stream::iter(looks).buffered(at_once);
    let (mut windows, mut group) = (Vec::new(), None::<Group>);
    let close = |group: Option<Group>| {
        let now = repository.store().clock().now();
        group.map_or(Ok(None), |group| group.close(now))
    };
    while let Some(seen) = looks.next().await {
        let Seen { name, entry, state } = seen?;
        match state {
            State::Wrong(kind, why) => {
                findings.push(Finding::new(kind, entry.key.as_str(), Some(entry.version.as_str()), why));
            }
            State::Genuine(genuine) => {
                let name = name.without_tag();
                if let Some(known) = group.as_mut().filter(|known| known.name == name) {
                    findings.extend(known.join(entry, genuine));
                    continue;
                }
                if let WalContent::Range(content) = &genuine.head.header().content {
                    merge_ranges(&mut windows, content.range());
                }
                findings.extend(close(group.replace(Group::of(name, entry, genuine)))?);
            }
        }
    }
    findings.extend(close(group)?);
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
        Ok(genuine) => State::Genuine(genuine),
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
) -> Result<Genuine, Error> {
    let lock = repository.store().head(&entry.key, &entry.version).await.map_err(catalog::Error::Store)?.lock;
    if level < WalLevel::Full {
        let head = Box::new(repository.wal_version_head(cluster, entry).await?);
        return Ok(Genuine { head, lock, closed: None });
    }
    let found = repository.wal_version(cluster, entry).await?;
    let key = match repository.wal_key(&found.head).await {
        Ok(key) => key,
        // Where a copy takes its place, not everybody need open it.
        Err(error @ catalog::Error::Keys(_)) => {
            return Ok(Genuine { head: Box::new(found.head), lock, closed: Some(Box::new(error)) });
        }
        Err(error) => return Err(error.into()),
    };
    progress.add_chunk(found.object.len() as u64);
    let plain = open_wal_whole(&found.head, found.object, &key).await?;
    progress.add_plain_bytes(plain.len() as u64);
    check(&found.head, &plain)?;
    Ok(Genuine { head: Box::new(found.head), lock, closed: None })
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
