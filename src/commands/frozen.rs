//! Objects in archive tiers: they are listed, and cannot be read before they were thawed, which takes hours (PAINS B14).

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::Result;
use super::retention::pinned;
use crate::catalog::{Backup, Repository, each_entry};
use crate::format::ClusterName;
use crate::format::names::WalName;
use crate::limits::{FROZEN_MAX, HEADS, REPLICA_CANDIDATES};
use crate::store::{self, Archive, Entry, ObjectKey, Read, Readiness, VersionId, VersionOf, versions_of};

mod doubts;
mod thawing;
mod told;
mod wal;

use doubts::{Doubtful, Doubts};
pub(super) use thawing::Thawing;
pub use told::FrozenPart;

/// Storage classes whose objects must be restored before they can be read (API GetObject, `InvalidObjectState`).
pub(super) const FROZEN: [&str; 2] = ["DEEP_ARCHIVE", "GLACIER"];
/// A class with archive tiers in it, of which a listing says nothing.
const TIERING: &str = "INTELLIGENT_TIERING";

/// In which storage classes something lies, the usual one left out, and what of it cannot be read.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) counts: BTreeMap<String, u64>,
    /// What the listing leaves in doubt.
    doubtful: Doubts,
    /// What is frozen of pieces of WAL that seem to lie ready as well, and are too many to look whether they do.
    beyond: Doubts,
    /// What HEAD says cannot be read now.
    pub(super) unready: Vec<Unready>,
}

/// A version that cannot be read now.
#[derive(Clone, Debug)]
pub(super) struct Unready {
    pub(super) at: VersionOf,
    /// When it came to the store.
    pub(super) arrived: Timestamp,
    /// Where it lies.
    pub(super) archive: Archive,
    /// Whether it was asked for already.
    pub(super) is_requested: bool,
}

impl Classes {
    /// Leaves out what came since: a recovery reads past it.
    pub(super) fn pass_since(&mut self, begun: Timestamp) {
        self.unready.retain(|one| one.arrived <= begun);
    }

    /// Of the chunks of a backup, or of one of its streams: looks into one listing, and asks what that leaves in doubt.
    pub(super) async fn of(repository: &Repository, backup: &Backup, stream: Option<&str>) -> Result<Self> {
        let (store, clear) = (&**repository.store(), backup.clear());
        let mut folder = repository.names().backup(&clear.cluster, &clear.backup);
        if let Some(stream) = stream {
            folder.push_str(stream);
            folder.push('/');
        }
        let pinned =
            pinned(repository, backup).into_iter().map(|target| (target.at.key, (target.at.version, target.bytes)));
        let wanted: HashMap<ObjectKey, (VersionId, u64)> = pinned.collect();
        let (mut found, mut last) = (Self::default(), Vec::<Entry>::new());
        each_entry(store, &folder, |entry| {
            if last.first().is_some_and(|known| known.key != entry.key) {
                found.chunk(&std::mem::take(&mut last), &wanted);
            }
            let Some((version, bytes)) = wanted.get(&entry.key) else { return };
            if entry.delete_marker || entry.bytes != *bytes {
                return;
            }
            last.push(entry);
            if last.len() > REPLICA_CANDIDATES
                && let Some(newest) = last.iter().position(|known| known.version != *version)
            {
                last.remove(newest);
            }
        })
        .await?;
        found.chunk(&last, &wanted);
        found.ask(store).await?;
        Ok(found)
    }

    /// Counts one chunk, which has these versions of the right length. The one that its manifest names decides; where that is not, as in a
    /// replica that is read alone, the oldest, since anything may have been laid over it. What lies ready on another side is read there.
    fn chunk(&mut self, entries: &[Entry], wanted: &HashMap<ObjectKey, (VersionId, u64)>) {
        let named = |entry: &&Entry| wanted.get(&entry.key).is_some_and(|(version, _)| entry.version == *version);
        let Some(decisive) = entries.iter().find(named).or(entries.last()) else { return };
        let ready = |entry: &&Entry| entry.version.side() != decisive.version.side() && !may_be_frozen(entry);
        match entries.iter().find(ready).filter(|_| may_be_frozen(decisive)) {
            Some(elsewhere) => self.count(elsewhere),
            None => self.count(decisive),
        }
    }

    fn count(&mut self, entry: &Entry) {
        let Some(class) = &entry.class else { return };
        *self.counts.entry(class.clone()).or_default() += 1;
        self.doubt(entry);
    }

    /// Has it asked whether this one can be read.
    fn doubt(&mut self, entry: &Entry) {
        if may_be_frozen(entry) {
            self.doubtful.push(Doubtful::of(entry), FROZEN_MAX);
        }
    }

    /// Finds out what of the doubtful cannot be read.
    async fn ask(&mut self, store: &dyn Read) -> Result<()> {
        self.unready = unready(store, &self.doubtful).await?;
        self.doubtful.forget();
        // A store may have a class of that name from which it reads.
        for archive in [Archive::Glacier, Archive::DeepArchive] {
            let first = self.unready.iter().find(|one| one.archive == archive && !one.is_requested);
            let Some(Unready { at, .. }) = first else { continue };
            if store.get(&at.key, &at.version, 0..1).await.is_ok() {
                self.unready.retain(|one| one.archive != archive);
            }
        }
        Ok(())
    }

    /// Refuses what cannot be read, before the first byte is restored.
    pub(super) async fn refuse(&self, store: &dyn Read) -> Result<()> {
        // One that was thawed or removed in between says nothing of the others.
        let mut asked = stream::iter(&self.unready).map(|one| refusal(store, one)).buffered(HEADS);
        while let Some(refused) = asked.next().await {
            if let Some((Unready { at, archive, .. }, error)) = refused {
                tracing::warn!(class = archive.name(), key = %at.key, "an object lies in an archive tier");
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// How the store refuses to read this one because of where it lies. Whatever else is the matter, the restore will tell.
async fn refusal<'u>(store: &dyn Read, one: &'u Unready) -> Option<(&'u Unready, store::Error)> {
    let answer = store.get(&one.at.key, &one.at.version, 0..1).await;
    answer.err().filter(|error| matches!(error, store::Error::Frozen { .. })).map(|error| (one, error))
}

/// Which of them cannot be read.
async fn unready(store: &dyn Read, doubts: &Doubts) -> Result<Vec<Unready>> {
    let asked = stream::iter(doubts.in_order()).map(|doubt| look(store, doubt)).buffered(HEADS);
    asked.try_filter_map(|found| async move { Ok(found) }).try_collect().await
}

/// Whether a version can be read; nothing if it can, or if something else is the matter with it.
async fn look(store: &dyn Read, doubt: Doubtful) -> Result<Option<Unready>> {
    let Doubtful { at, arrived } = doubt;
    let readiness = match store.head(&at.key, &at.version).await {
        Ok(head) => head.readiness,
        Err(error) if error.is_about_the_object() => Readiness::Ready,
        Err(error) => return Err(error.into()),
    };
    let is_requested = matches!(readiness, Readiness::Thawing(_));
    Ok(readiness.archive().map(|archive| Unready { at, arrived, archive, is_requested }))
}

/// Whether a version is listed as one that cannot be read; it may have been thawed.
pub(super) fn is_frozen(entry: &Entry) -> bool {
    entry.class.as_deref().is_some_and(|class| FROZEN.contains(&class))
}

/// The same, or listed under a class of which some lies in archive tiers.
fn may_be_frozen(entry: &Entry) -> bool {
    is_frozen(entry) || entry.class.as_deref() == Some(TIERING)
}

/// Whether the store refuses to read a version because of where it lies, whatever the listing says. One that is in the usual class is
/// not asked.
pub(super) async fn is_unreadable(store: &dyn Read, entry: &Entry) -> Result<bool> {
    if entry.class.is_none() || entry.bytes == 0 {
        return Ok(false);
    }
    match store.get(&entry.key, &entry.version, 0..1).await {
        Err(store::Error::Frozen { .. }) => Ok(true),
        Err(error) if !error.is_about_the_object() => Err(error.into()),
        _ => Ok(false),
    }
}

/// The oldest version of an object of WAL that the store refuses to read because of where it lies.
pub(super) async fn first_unreadable(
    repository: &Repository,
    cluster: &ClusterName,
    name: &WalName,
) -> Result<Option<Entry>> {
    let (store, key) = (&**repository.store(), ObjectKey::new(repository.names().wal(cluster, name)));
    for entry in versions_of(store, &key, may_be_frozen).await? {
        if is_unreadable(store, &entry).await? {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}
