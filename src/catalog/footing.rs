//! What backups and WAL stand on is stored in copies, each locked longer than the one before: the longest lock counts.

use bytes::Bytes;

use super::copies::Copies;
use super::error::believed;
use super::listing::read_small;
use super::{Repository, Result};
use crate::format::names::WalName;
use crate::format::{ClusterName, Tag, Timeline, WalFileName};
use crate::keys::{Bundle, tag};
use crate::limits::{SMALL_OBJECT_BYTES_MAX, WAL_FILE_BYTES_MAX};
use crate::store::{Entry, Lock, ObjectKey, Read};

/// Something that many backups stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foundation<'a> {
    /// The identity bundle with this fingerprint.
    Bundle(Tag),
    /// The roster with this number, which is the one that is followed.
    Roster(u64),
    /// The certificate of a writer, by its short id. The root writer has none.
    Certificate(&'a str),
    /// The record of a cluster.
    Record(&'a ClusterName),
    /// The history of a timeline.
    History(&'a ClusterName, Timeline),
}

/// A genuine copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footing {
    /// Its object.
    pub key: ObjectKey,
    /// Its lock.
    pub lock: Option<Lock>,
}

impl Footing {
    /// Takes the place of the one in its mode that is locked for less.
    fn join(self, longest: &mut Vec<Self>) {
        let mode = |footing: &Self| footing.lock.map(|lock| lock.mode);
        let until = |footing: &Self| footing.lock.map(|lock| lock.retain_until);
        match longest.iter_mut().find(|known| mode(known) == mode(&self)) {
            Some(known) if until(known) < until(&self) => *known = self,
            Some(_) => {}
            None => longest.push(self),
        }
    }

    /// The one that counts for something with the lock `promised`: one that outlasts it, else the one that lasts longest.
    pub fn best(all: &[Self], promised: Option<Lock>) -> Option<&Self> {
        let outlasts = |footing: &&Self| footing.lock.zip(promised).is_some_and(|(lock, other)| lock.outlasts(other));
        let last = || all.iter().max_by_key(|footing| footing.lock.map(|lock| lock.retain_until));
        all.iter().find(outlasts).or_else(last)
    }
}

impl Repository {
    /// Of the genuine copies, in each mode the one that is locked longest; or only the first one found that is locked for as
    /// long as `enough`. None if there is none at all. Among any number of planted ones some hundred are read, and further ones only
    /// until one is genuine.
    pub async fn footings(&self, of: Foundation<'_>, enough: Option<Lock>) -> Result<Vec<Footing>> {
        let mut longest: Vec<Footing> = Vec::new();
        let mut copies = Copies::list(&*self.store, self, of, true).await?;
        while let Some((entry, _)) = copies.next().await? {
            let lock = self.store.head(&entry.key, &entry.version).await?.lock;
            let found = Footing { key: entry.key, lock };
            if lock.zip(enough).is_some_and(|(lock, enough)| lock.outlasts(enough)) {
                return Ok(vec![found]);
            }
            found.join(&mut longest);
        }
        Ok(longest)
    }

    /// Whether ours may be a later version of its name: something may have been planted there before.
    pub(super) fn is_guessable(&self, of: Foundation<'_>) -> bool {
        self.names().guessable(&self.copies(of)).is_some()
    }

    /// What the names of its copies begin with.
    pub(super) fn copies(&self, of: Foundation<'_>) -> String {
        let names = self.names();
        match of {
            Foundation::Bundle(print) => names.identity_copies(print),
            Foundation::Roster(generation) => names.roster(generation, None),
            Foundation::Certificate(writer) => names.writer_copies(writer),
            Foundation::Record(cluster) => names.cluster_record(cluster),
            Foundation::History(cluster, timeline) => names.wal(cluster, &history(timeline, None)),
        }
    }

    /// The name of another copy.
    pub(super) fn fresh_copy(&self, of: Foundation<'_>) -> Result<String> {
        let (names, tag) = (self.names(), tag()?);
        Ok(match of {
            Foundation::Bundle(print) => names.identity(print, tag),
            Foundation::Roster(generation) => names.roster(generation, Some(tag)),
            Foundation::Certificate(writer) => names.writer(writer, tag),
            Foundation::Record(cluster) => names.cluster_record_alternate(cluster, tag),
            Foundation::History(cluster, timeline) => names.wal(cluster, &history(timeline, Some(tag))),
        })
    }

    /// What all its copies hold, where that is known without reading one.
    pub(super) fn content(&self, of: Foundation<'_>) -> Option<Bytes> {
        let Foundation::Roster(generation) = of else { return None };
        let found = self.found_roster().filter(|found| found.roster.generation == generation);
        found.map(|found| found.bytes.clone())
    }

    /// Whether one that is listed is worth reading: the names of others, and of whatever was planted, may begin alike.
    pub(super) fn may_be_copy(&self, of: Foundation<'_>, entry: &Entry) -> bool {
        let (names, key) = (self.names(), entry.key.as_str());
        let longest = match of {
            Foundation::History(..) => 2 * WAL_FILE_BYTES_MAX as u64,
            _ => SMALL_OBJECT_BYTES_MAX,
        };
        if entry.bytes > longest {
            return false;
        }
        match of {
            Foundation::Bundle(print) => names.fingerprint_of(key) == Some(print),
            Foundation::Roster(generation) => {
                let length = self.content(of).map(|bytes| bytes.len() as u64);
                names.roster_of(key) == Some(generation) && length == Some(entry.bytes)
            }
            Foundation::Certificate(_) => names.is_writer(key),
            Foundation::Record(cluster) => names.is_cluster_record(cluster, key),
            Foundation::History(cluster, timeline) => {
                let name = names.wal_of(cluster, key).map(WalName::without_tag);
                name == Some(history(timeline, None))
            }
        }
    }

    /// The bytes of one that is listed in `store`, if it is genuine.
    pub(super) async fn copy(&self, store: &dyn Read, of: Foundation<'_>, entry: &Entry) -> Result<Option<Bytes>> {
        if let Foundation::History(cluster, _) = of {
            return believed(self.wal_version(cluster, entry).await.map(|found| found.object));
        }
        let Some(bytes) = read_small(store, entry).await? else { return Ok(None) };
        let is_genuine = match of {
            Foundation::Bundle(print) => Bundle::fingerprint(&bytes) == print,
            Foundation::Roster(_) => self.content(of).is_some_and(|content| content == bytes),
            Foundation::Certificate(writer) => self.with_keyring(|ring| ring.vouches(&bytes, writer)),
            Foundation::Record(cluster) => believed(self.decode_record(cluster, &bytes).await)?.is_some(),
            Foundation::History(..) => false,
        };
        Ok(is_genuine.then_some(bytes))
    }
}

fn history(timeline: Timeline, tag: Option<Tag>) -> WalName {
    WalName::File { timeline, name: WalFileName::History(timeline), tag }
}
