//! Finding the roster that counts, and putting a new one in its place.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::copies::ends;
use super::listing::{Oldest, first_version, first_versions, rank, read_small};
use super::{Error, Finding, FindingKind, Repository, Result};
use crate::format::manifest::RepositoryRecord;
use crate::format::names::Names;
use crate::format::roster::Roster;
use crate::format::{self, RepositoryId, Tag, WriterPublic, signed};
use crate::keys::{WriterKey, tag};
use crate::limits::{KEYS_IN_FLIGHT, ROSTER_BUNDLES_MAX, ROSTER_BYTES_MAX, ROSTERS_READ_MAX};
use crate::store::{Append, Creation, Entry, Lock, ObjectKey, Put, Read};

/// A genuine roster as it is stored.
#[derive(Debug)]
pub(super) struct FoundRoster {
    pub(super) roster: Roster,
    pub(super) bytes: Bytes,
}

impl Repository {
    /// Looks for a roster newer than the one that is followed, and follows it. True if there was one.
    pub async fn follow_roster(&self) -> Result<bool> {
        Ok(self.look_for_roster().await?.0)
    }

    /// The same, and whether there are more names of rosters than anybody would read.
    pub(super) async fn look_for_roster(&self) -> Result<(bool, Option<Finding>)> {
        let (repository, root) = self.with_keyring(|ring| (ring.repository(), *ring.root()));
        let (found, flooded) = self.search(repository, &root).newest().await?;
        let flood = flooded.then(|| {
            let why = format!("more than {ROSTERS_READ_MAX} objects are named like rosters; only the oldest were read");
            Finding::new(FindingKind::ForgedKey, self.names.rosters(), None, why)
        });
        let Some(found) = found else { return Ok((false, flood)) };
        let followed = self.keyring.write().unwrap_or_else(PoisonError::into_inner).follow(&found.roster)?;
        if followed {
            *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(found));
        }
        Ok((followed, flood))
    }

    /// The roster that is followed; `None` before there was one.
    pub fn roster(&self) -> Option<Roster> {
        self.found_roster().map(|found| found.roster.clone())
    }

    pub(super) fn found_roster(&self) -> Option<Arc<FoundRoster>> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every genuine roster there is, by number.
    pub async fn rosters(&self) -> Result<Vec<Roster>> {
        let (repository, root) = self.with_keyring(|ring| (ring.repository(), *ring.root()));
        let mut rosters: Vec<Roster> = Vec::new();
        self.search(repository, &root).each(|found| rosters.push(found.roster)).await?;
        // The older of two with one number counts, and came first.
        rosters.sort_by_key(|roster| roster.generation);
        rosters.dedup_by_key(|roster| roster.generation);
        Ok(rosters)
    }

    fn search<'a>(&'a self, repository: RepositoryId, root: &'a WriterPublic) -> Search<'a> {
        Search { store: &*self.store, names: &self.names, repository, root, deep: false }
    }

    /// Whether the bundle with this fingerprint is or was one of the repository, by the roster.
    pub(super) fn knows_bundle(&self, fingerprint: Tag) -> bool {
        self.found_roster().is_some_and(|found| found.roster.knows_bundle(fingerprint))
    }

    /// Whether `key` is an identity bundle whose passphrase counts no more.
    pub fn is_retired_bundle(&self, key: &str) -> bool {
        let Some(print) = self.names.fingerprint_of(key) else { return false };
        let retired = |found: Arc<FoundRoster>| found.roster.knows_bundle(print) && !found.roster.has_bundle(print);
        self.found_roster().is_some_and(retired)
    }

    /// That the way in which was taken counts no more.
    pub(super) fn retirement(&self) -> Option<Finding> {
        let (since, bundle) = self.with_keyring(|ring| (ring.retired(), ring.bundle()));
        let since = since?;
        let (key, what) = match bundle {
            Some(print) => (self.names.identity_copies(print), "this passphrase counts no more"),
            None => (self.names.rosters(), "new backups are not wrapped to this recovery file any more"),
        };
        Some(Finding::new(FindingKind::Retired, key, None, format!("{what}, since {since}")))
    }
}

/// The roster that counts as of now.
pub async fn newest_roster(
    store: &dyn Read,
    names: &Names,
    repository: RepositoryId,
    root: &WriterPublic,
) -> Result<Option<Roster>> {
    Ok(newest(store, names, repository, root).await?.map(|found| found.roster))
}

/// The roster with the highest number that `root` signed for `repository`; of two with one number the older counts.
pub(super) async fn newest(
    store: &dyn Read,
    names: &Names,
    repository: RepositoryId,
    root: &WriterPublic,
) -> Result<Option<FoundRoster>> {
    Ok(Search { store, names, repository, root, deep: false }.newest().await?.0)
}

/// Looking for rosters among whatever was planted.
#[derive(Clone, Copy)]
struct Search<'a> {
    store: &'a dyn Read,
    names: &'a Names,
    repository: RepositoryId,
    root: &'a WriterPublic,
    /// Whether the next number is looked for among any number of planted ones: by whoever changes the keys, not by every host.
    deep: bool,
}

impl Search<'_> {
    /// The one that counts, and whether some were not read.
    async fn newest(self) -> Result<(Option<FoundRoster>, bool)> {
        let mut newest: Option<FoundRoster> = None;
        let flooded = self
            .each(|found| {
                if newest.as_ref().is_none_or(|newest| newest.roster.generation < found.roster.generation) {
                    newest = Some(found);
                }
            })
            .await?;
        Ok((newest, flooded))
    }

    /// Gives every genuine roster to `take`, oldest first. However many were planted, a bounded number is read: the oldest, and
    /// behind the best of them those that have the next numbers. True if there are more.
    async fn each(self, mut take: impl FnMut(FoundRoster)) -> Result<bool> {
        let (mut oldest, mut left) = (Oldest::new(self.store, self.names.rosters()), ROSTERS_READ_MAX);
        let mut best = 0;
        while let Some((entries, _)) = oldest.next().await? {
            let mut fitting: Vec<Entry> = entries.into_iter().filter(|entry| self.number(entry).is_some()).collect();
            let flooded = fitting.len() > left;
            fitting.truncate(left);
            left -= fitting.len();
            let reads = stream::iter(fitting).map(|entry| self.read(entry));
            let mut reads = std::pin::pin!(reads.buffered(KEYS_IN_FLIGHT));
            while let Some(found) = reads.next().await {
                let Some((_, found)) = found? else { continue };
                best = best.max(found.roster.generation);
                take(found);
            }
            if flooded {
                while let Some(found) = self.numbered(best + 1).await? {
                    best = found.roster.generation;
                    take(found);
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The roster with this number: most often under its name. Where that was somebody else's first, it has a random part, and is
    /// among the newest, or among the oldest.
    async fn numbered(self, number: u64) -> Result<Option<FoundRoster>> {
        let (name, fits) = (self.names.roster(number, None), |entry: &Entry| self.number(entry) == Some(number));
        if let Some(entry) = first_version(self.store, &name).await?.0.filter(fits)
            && let Some((_, found)) = self.read(entry).await?
        {
            return Ok(Some(found));
        }
        let (coming, between) = ends(self.store, &name, false, fits).await?;
        let found = self.oldest_of(coming.into()).await?;
        let Some((from, to)) = between.filter(|_| self.deep && found.is_none()) else { return Ok(found) };
        let mut oldest = Oldest::new(self.store, name);
        while let Some((entries, _)) = oldest.next().await? {
            let between = |entry: &Entry| fits(entry) && from < rank(entry) && rank(entry) < to;
            if let Some(found) = self.oldest_of(entries.into_iter().filter(between).collect()).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The oldest genuine one of `entries`.
    async fn oldest_of(self, entries: Vec<Entry>) -> Result<Option<FoundRoster>> {
        let mut oldest: Option<(Entry, FoundRoster)> = None;
        let reads = stream::iter(entries).map(|entry| self.read(entry));
        let mut reads = std::pin::pin!(reads.buffered(KEYS_IN_FLIGHT));
        while let Some(read) = reads.next().await {
            let Some((entry, found)) = read? else { continue };
            if oldest.as_ref().is_none_or(|(oldest, _)| rank(&entry) < rank(oldest)) {
                oldest = Some((entry, found));
            }
        }
        Ok(oldest.map(|(_, found)| found))
    }

    /// The number of one that is listed and may be a roster.
    fn number(self, entry: &Entry) -> Option<u64> {
        let number = self.names.roster_of(entry.key.as_str()).filter(|_| entry.bytes <= ROSTER_BYTES_MAX);
        number.filter(|number| *number < u64::MAX)
    }

    /// The roster in `entry`, if it is genuine. One of a later format is an error: whom it retires is not known.
    async fn read(self, entry: Entry) -> Result<Option<(Entry, FoundRoster)>> {
        let Some(bytes) = read_small(self.store, &entry).await? else { return Ok(None) };
        match Roster::decode(&bytes, self.repository, self.root) {
            Ok(roster) if self.names.roster_of(entry.key.as_str()) == Some(roster.generation) => {
                Ok(Some((entry, FoundRoster { roster, bytes })))
            }
            Err(error @ format::Error::Version { .. }) => Err(error.into()),
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

/// The bundles that the roster names, for whoever has only a passphrase and therefore no root to believe in: the first
/// version of the repository record tells one. Nothing but the order of attempts depends on it.
pub(super) async fn hinted_bundles(store: &dyn Read, names: &Names) -> Result<Vec<Tag>> {
    if first_versions(store, &names.rosters()).await?.0.is_empty() {
        return Ok(Vec::new());
    }
    let Some(entry) = first_version(store, &names.repository()).await?.0 else { return Ok(Vec::new()) };
    let Some(bytes) = read_small(store, &entry).await? else { return Ok(Vec::new()) };
    let Some(root) = signed::signer(&bytes) else { return Ok(Vec::new()) };
    let Ok(record) = RepositoryRecord::decode(&bytes, std::slice::from_ref(&root)) else { return Ok(Vec::new()) };
    let roster = newest(store, names, record.repository, &root).await?;
    let bundles = roster.map(|found| found.roster.bundles).unwrap_or_default();
    Ok(bundles.iter().rev().take(ROSTER_BUNDLES_MAX).map(|bundle| bundle.fingerprint).collect())
}

/// Stores a roster, which must be one higher than the one that counts. [`Error::KeysChanged`] if somebody else's has the
/// number by now.
pub async fn publish_roster<S: Read + Append>(
    store: &S,
    names: &Names,
    root: &WriterKey,
    roster: &Roster,
    lock: Option<Lock>,
) -> Result<()> {
    let body: Bytes = roster.encode(root.public(), |message| root.sign(message))?.into();
    let mut last = (String::new(), String::new());
    // What lies under its name may not be ours; where that was hidden, ours is a later version, which nobody follows.
    for tag in [None, Some(tag()?)] {
        let key = ObjectKey::new(names.roster(roster.generation, tag));
        if let Creation::Stored(stored) = store.put_new(Put { key: key.clone(), body: body.clone(), lock }).await? {
            last = (key.to_string(), stored.version.to_string());
        }
        if counts(store, names, root, roster, &body).await? {
            return Ok(());
        }
    }
    let (key, version) = last;
    Err(Error::Vanished { key, version })
}

/// Whether it is this one that counts; an error if it is another with this number or a higher one.
async fn counts(store: &dyn Read, names: &Names, root: &WriterKey, roster: &Roster, body: &Bytes) -> Result<bool> {
    let search = Search { store, names, repository: roster.repository, root: root.public(), deep: true };
    match search.newest().await?.0 {
        Some(found) if found.bytes == *body => Ok(true),
        Some(found) if found.roster.generation >= roster.generation => Err(Error::KeysChanged { orphan: None }),
        _ => Ok(false),
    }
}
