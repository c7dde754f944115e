//! What backups and WAL stand on is stored in copies, each locked longer than the one before: the longest lock counts.

use super::listing::{Oldest, read_small};
use super::wal::Stone;
use super::{Repository, Result};
use crate::format::{ClusterName, Timeline};
use crate::keys::{Bundle, Keyring};
use crate::store::{Entry, Lock, ObjectKey};

/// Something that many backups stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foundation<'a> {
    /// The identity bundle.
    Bundle,
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
    /// long as `enough`. None if there is none at all, or if these keys do not tell which bundle is theirs.
    pub async fn footings(&self, of: Foundation<'_>, enough: Option<Lock>) -> Result<Vec<Footing>> {
        let Some(prefix) = self.copies(of) else { return Ok(Vec::new()) };
        let mut longest: Vec<Footing> = Vec::new();
        // Of names that can be guessed ours may be a later version.
        let guessable = matches!(of, Foundation::Record(_) | Foundation::History(..));
        let all = if guessable { Oldest::and_later } else { Oldest::new };
        let mut oldest = all(&*self.store, prefix);
        while let Some((entries, _)) = oldest.next().await? {
            // The newest copy is the one that is locked longest.
            for entry in entries.iter().rev() {
                if !self.is_copy(of, entry).await? {
                    continue;
                }
                let lock = self.store.head(&entry.key, &entry.version).await?.lock;
                let found = Footing { key: entry.key.clone(), lock };
                if lock.zip(enough).is_some_and(|(lock, enough)| lock.outlasts(enough)) {
                    return Ok(vec![found]);
                }
                found.join(&mut longest);
            }
        }
        Ok(longest)
    }

    /// What the names of its copies begin with.
    fn copies(&self, of: Foundation<'_>) -> Option<String> {
        let names = self.names();
        Some(match of {
            Foundation::Bundle => names.identity_copies(self.with_keyring(Keyring::bundle)?),
            Foundation::Certificate(writer) => names.writer_copies(writer),
            Foundation::Record(cluster) => names.cluster_record(cluster),
            Foundation::History(cluster, timeline) => Stone::History(timeline).prefix(names, cluster),
        })
    }

    async fn is_copy(&self, of: Foundation<'_>, entry: &Entry) -> Result<bool> {
        let small = || read_small(&*self.store, entry);
        Ok(match of {
            Foundation::Bundle => {
                let print = self.with_keyring(Keyring::bundle);
                small().await?.is_some_and(|bytes| Some(Bundle::fingerprint(&bytes)) == print)
            }
            Foundation::Certificate(writer) => {
                small().await?.is_some_and(|bytes| self.with_keyring(|ring| ring.vouches(&bytes, writer)))
            }
            Foundation::Record(cluster) => self.stone(cluster, Stone::Record, entry).await?.is_some(),
            Foundation::History(cluster, timeline) => {
                self.stone(cluster, Stone::History(timeline), entry).await?.is_some()
            }
        })
    }
}
