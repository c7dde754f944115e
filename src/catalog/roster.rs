//! Finding the roster that counts, and putting a new one in its place.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::listing::{Oldest, first_version, first_versions, read_small};
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
        let (found, flooded) = search(&*self.store, &self.names, repository, &root).await?;
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
        each(&*self.store, &self.names, repository, &root, |found| rosters.push(found.roster)).await?;
        // The older of two with one number counts, and came first.
        rosters.sort_by_key(|roster| roster.generation);
        rosters.dedup_by_key(|roster| roster.generation);
        Ok(rosters)
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
    Ok(search(store, names, repository, root).await?.0)
}

/// The same, and whether some were not read.
async fn search(
    store: &dyn Read,
    names: &Names,
    repository: RepositoryId,
    root: &WriterPublic,
) -> Result<(Option<FoundRoster>, bool)> {
    let mut newest: Option<FoundRoster> = None;
    let flooded = each(store, names, repository, root, |found| {
        if newest.as_ref().is_none_or(|newest| newest.roster.generation < found.roster.generation) {
            newest = Some(found);
        }
    })
    .await?;
    Ok((newest, flooded))
}

/// Gives every genuine roster to `take`, oldest first. However many were planted, a bounded number is read: the oldest, and
/// behind the best of them those that have the next numbers. True if there are more.
async fn each(
    store: &dyn Read,
    names: &Names,
    repository: RepositoryId,
    root: &WriterPublic,
    mut take: impl FnMut(FoundRoster),
) -> Result<bool> {
    let (mut oldest, mut left, mut best) = (Oldest::new(store, names.rosters()), ROSTERS_READ_MAX, 0);
    while let Some((entries, _)) = oldest.next().await? {
        let mut fitting: Vec<Entry> = entries.into_iter().filter(|entry| fits(names, entry)).collect();
        let flooded = fitting.len() > left;
        fitting.truncate(left);
        left -= fitting.len();
        let reads = stream::iter(fitting).map(|entry| read(store, names, repository, root, entry));
        let mut reads = std::pin::pin!(reads.buffered(KEYS_IN_FLIGHT));
        while let Some(found) = reads.next().await {
            let Some(found) = found? else { continue };
            best = best.max(found.roster.generation);
            take(found);
        }
        if flooded {
            while let Some(entry) = first_version(store, &names.roster(best + 1, None)).await?.0 {
                let Some(entry) = Some(entry).filter(|entry| fits(names, entry)) else { break };
                let Some(found) = read(store, names, repository, root, entry).await? else { break };
                best = found.roster.generation;
                take(found);
            }
            return Ok(true);
        }
    }
    Ok(false)
}

fn fits(names: &Names, entry: &Entry) -> bool {
    entry.bytes <= ROSTER_BYTES_MAX && names.roster_of(entry.key.as_str()).is_some_and(|number| number < u64::MAX)
}

/// The roster in `entry`, if it is genuine. One of a later format is an error: whom it retires is not known.
async fn read(
    store: &dyn Read,
    names: &Names,
    repository: RepositoryId,
    root: &WriterPublic,
    entry: Entry,
) -> Result<Option<FoundRoster>> {
    let Some(bytes) = read_small(store, &entry).await? else { return Ok(None) };
    match Roster::decode(&bytes, repository, root) {
        Ok(roster) if names.roster_of(entry.key.as_str()) == Some(roster.generation) => {
            Ok(Some(FoundRoster { roster, bytes }))
        }
        Err(error @ format::Error::Version { .. }) => Err(error.into()),
        Ok(_) | Err(_) => Ok(None),
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
    let put = |tag| Put { key: ObjectKey::new(names.roster(roster.generation, tag)), body: body.clone(), lock };
    let version = match store.put_new(put(None)).await? {
        Creation::Stored(stored) => stored.version,
        Creation::Exists if counts(store, names, root, roster, &body).await? => return Ok(()),
        // Something that is not ours has the name.
        Creation::Exists => store.put(put(Some(tag()?))).await?.version,
    };
    if counts(store, names, root, roster, &body).await? {
        return Ok(());
    }
    Err(Error::Vanished { key: names.roster(roster.generation, None), version: version.to_string() })
}

/// Whether it is this one that counts; an error if it is another with this number or a higher one.
async fn counts(store: &dyn Read, names: &Names, root: &WriterKey, roster: &Roster, body: &Bytes) -> Result<bool> {
    match newest(store, names, roster.repository, root.public()).await? {
        Some(found) if found.bytes == *body => Ok(true),
        Some(found) if found.roster.generation >= roster.generation => Err(Error::KeysChanged { orphan: None }),
        _ => Ok(false),
    }
}
