//! Copies of WAL under other data keys: later versions under the name of what they are copies of, signed by the root writer.
//!
//! Of all copies the one made last counts, of equal bytes the oldest version, so that a replay is nothing. What it takes the place of
//! is told by digest, and not by name: nobody can have anything else removed by planting it.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::WalObject;
use crate::catalog::error::believed;
use crate::catalog::listing::entries_after;
use crate::catalog::versions::Versions;
use crate::catalog::{Error, Repository, Result};
use crate::format::names::WalName;
use crate::format::wal::{WalCopy, WalHead};
use crate::format::{ClusterName, DataKey, Digest};
use crate::limits::{GUESSED_VERSIONS, WAL_PUSHES};
use crate::store::{Entry, ListQuery};

/// Whole objects that are read at once, whoever looks through many names at the same time.
static WHOLE: Semaphore = Semaphore::const_new(WAL_PUSHES);

/// A copy that counts.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// Its version.
    pub copy: Entry,
    /// What it takes the place of: its original and older copies of that, as far as they are there.
    pub replaced: Vec<Entry>,
}

/// The oldest and the newest few versions of one name, whatever was planted between them.
#[derive(Debug, Default)]
struct Few {
    /// Newest first, as a listing gives them.
    newest: Vec<Entry>,
    /// Newest first.
    oldest: VecDeque<Entry>,
}

impl Few {
    /// Takes in the next version of a listing, which gives the newest first.
    fn take(&mut self, entry: Entry) {
        self.oldest.push_back(entry);
        if self.oldest.len() > GUESSED_VERSIONS {
            let passed = self.oldest.pop_front();
            self.newest.extend(passed.filter(|_| self.newest.len() < GUESSED_VERSIONS));
        }
    }

    /// All of them.
    fn oldest_first(self) -> Vec<Entry> {
        self.oldest.into_iter().rev().chain(self.newest.into_iter().rev()).collect()
    }
}

/// What tells a version from the others of its name.
#[derive(Clone, Copy, Debug)]
struct Mark {
    digest: Digest,
    copy_of: Option<WalCopy>,
}

impl Mark {
    fn of(head: &WalHead) -> Self {
        Self { digest: head.digest(), copy_of: head.header().copy_of }
    }

    fn rank(&self) -> Option<(Timestamp, [u8; 32])> {
        self.copy_of.map(|copy| copy.rank(self.digest))
    }
}

impl Repository {
    /// Of `versions` of one name of WAL, oldest first, the copy that counts. Reads the head of each. Where others were left out, a
    /// copy may lie among these while its head lies here once more, over anything: then copies are read as a whole.
    pub async fn replacement(
        &self,
        cluster: &ClusterName,
        versions: Vec<Entry>,
        left_out: bool,
    ) -> Result<Option<Replacement>> {
        let mut read = Vec::new();
        for entry in versions {
            let Some(head) = believed(self.wal_version_head(cluster, &entry).await)? else { continue };
            let mark = Mark::of(&head);
            let in_doubt = left_out && mark.copy_of.is_some();
            if !in_doubt || self.is_whole(cluster, &entry).await? {
                read.push((mark, entry));
            }
        }
        Ok(choose(read))
    }

    async fn is_whole(&self, cluster: &ClusterName, entry: &Entry) -> Result<bool> {
        let _room = WHOLE.acquire().await;
        Ok(believed(self.wal_version(cluster, entry).await)?.is_some())
    }

    /// The same of what is stored under `name`, among the oldest and the newest few of its versions.
    pub async fn replacement_of(&self, cluster: &ClusterName, name: &WalName) -> Result<Option<Replacement>> {
        let key = self.names.wal(cluster, name);
        let (mut few, mut versions) = (Few::default(), 0_u64);
        let query = ListQuery { prefix: key.clone(), by_folder: false };
        entries_after(&*self.store, &query, None, |entry| {
            // Names that begin alike follow, and may be many.
            if entry.key.as_str() != key {
                return ControlFlow::Break(());
            }
            if !entry.delete_marker {
                versions += 1;
                few.take(entry);
            }
            ControlFlow::Continue(())
        })
        .await?;
        if versions < 2 {
            return Ok(None);
        }
        self.replacement(cluster, few.oldest_first(), versions > 2 * GUESSED_VERSIONS as u64).await
    }

    /// The version of `name` that counts, if one is genuine: the copy, or else the oldest, under its name or an alternate.
    pub async fn counting_wal(&self, cluster: &ClusterName, name: WalName) -> Result<Option<Entry>> {
        match self.replacement_of(cluster, &name).await? {
            Some(found) => Ok(Some(found.copy)),
            None => self.first_genuine_wal(cluster, name).await,
        }
    }

    /// What was found, with the key that opens it. Who joined since may open a copy alone: where a replay of the original lies over it,
    /// or junk, that is looked for.
    pub async fn openable_wal(&self, found: WalObject) -> Result<(WalObject, Arc<DataKey>)> {
        let refusal = match self.wal_key(&found.head).await {
            Ok(key) => return Ok((found, key)),
            Err(error @ Error::Store(_)) => return Err(error),
            Err(refusal) => refusal,
        };
        let header = found.head.header();
        let (cluster, name) = (&header.cluster, WalName::of(&header.content, None));
        if !header.content.is_canonical() {
            return Err(refusal);
        }
        self.openable_copy(cluster, &name).await?.ok_or(refusal)
    }

    /// The oldest copy of `name` that is whole and that the keys at hand open. Around it may lie any number of heads of copies, over
    /// anything.
    async fn openable_copy(&self, cluster: &ClusterName, name: &WalName) -> Result<Option<(WalObject, Arc<DataKey>)>> {
        let wanted = self.names.wal(cluster, name);
        let mut versions = Versions::new(&*self.store, wanted.clone(), |key: &str| key == wanted);
        while let Some(entries) = versions.next().await? {
            for entry in &entries {
                let head = believed(self.wal_version_head(cluster, entry).await)?;
                let Some(head) = head.filter(|head| head.header().copy_of.is_some()) else { continue };
                let Some(key) = believed(self.wal_key(&head).await)? else { continue };
                if let Some(copy) = believed(self.wal_version(cluster, entry).await)? {
                    return Ok(Some((copy, key)));
                }
            }
        }
        Ok(None)
    }
}

/// Among versions in order of arrival.
fn choose(read: Vec<(Mark, Entry)>) -> Option<Replacement> {
    let mut counting: Option<(Mark, usize)> = None;
    for (number, (mark, _)) in read.iter().enumerate() {
        if mark.rank().is_some() && counting.is_none_or(|(known, _)| known.rank() < mark.rank()) {
            counting = Some((*mark, number));
        }
    }
    let (chosen, number) = counting?;
    let original = chosen.copy_of?.original;
    let is_replaced = |mark: &Mark| {
        let is_older_copy = mark.copy_of.is_some_and(|copy| copy.original == original) && mark.digest != chosen.digest;
        mark.digest == original || is_older_copy
    };
    let copy = read.get(number)?.1.clone();
    let replaced = read.into_iter().filter(|(mark, _)| is_replaced(mark)).map(|(_, entry)| entry).collect();
    Some(Replacement { copy, replaced })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ObjectKey, VersionId};

    /// A version: its number, and of a copy the original and the second in which it was made.
    fn version(number: u8, digest: u8, copy_of: Option<(u8, i64)>) -> (Mark, Entry) {
        let copy_of = copy_of.map(|(original, second)| WalCopy {
            original: Digest::of(&[original]),
            made_at: Timestamp::from_second(second).unwrap(),
        });
        let entry = Entry {
            key: ObjectKey::new("p/main/wal/a"),
            version: VersionId::new(format!("v{number}")),
            last_modified: Timestamp::from_second(i64::from(number)).unwrap(),
            bytes: 1,
            etag: String::new(),
            delete_marker: false,
            is_latest: false,
            class: None,
        };
        (Mark { digest: Digest::of(&[digest]), copy_of }, entry)
    }

    fn chosen(read: Vec<(Mark, Entry)>) -> Option<(String, Vec<String>)> {
        let version = |entry: Entry| entry.version.to_string();
        choose(read).map(|found| (version(found.copy), found.replaced.into_iter().map(version).collect()))
    }

    fn told(copy: &str, replaced: &[&str]) -> (String, Vec<String>) {
        (copy.into(), replaced.iter().map(|version| (*version).to_owned()).collect())
    }

    /// PAINS B5, A17.
    #[test]
    fn i04_the_newest_copy_counts_and_replays_are_nothing() {
        let original = || version(1, 10, None);
        assert_eq!(chosen(vec![original(), version(2, 11, None)]), None, "without a copy the first one counts");
        let copied = || vec![original(), version(2, 20, Some((10, 100)))];
        assert_eq!(chosen(copied()), Some(told("v2", &["v1"])));
        let with = |more: (Mark, Entry)| copied().into_iter().chain([more]).collect::<Vec<_>>();
        assert_eq!(chosen(with(version(3, 10, None))), Some(told("v2", &["v1", "v3"])), "the original once more");
        assert_eq!(chosen(with(version(3, 20, Some((10, 100))))), Some(told("v2", &["v1"])), "the copy once more");
        assert_eq!(
            chosen(with(version(3, 12, None))),
            Some(told("v2", &["v1"])),
            "what is genuine and no original of it"
        );
        let newer = version(3, 30, Some((10, 200)));
        assert_eq!(chosen(with(newer.clone())), Some(told("v3", &["v1", "v2"])));
        let replayed = with(newer).into_iter().chain([version(4, 20, Some((10, 100)))]).collect();
        assert_eq!(chosen(replayed), Some(told("v3", &["v1", "v2", "v4"])), "an older copy once more");
        assert_eq!(chosen(vec![version(2, 20, Some((10, 100)))]), Some(told("v2", &[])), "the original is gone");
        let other = version(3, 40, Some((13, 50)));
        assert_eq!(chosen(with(other)), Some(told("v2", &["v1"])), "what is a copy of something else stays");
        // At the same moment: the same one, whatever the order of arrival.
        let (a, b) = (version(2, 20, Some((10, 100))), version(3, 21, Some((10, 100))));
        let digest = |pair: Vec<(Mark, Entry)>| chosen(pair).unwrap().0;
        assert_eq!(digest(vec![a.clone(), b.clone()]), digest(vec![b, a]));
    }

    #[test]
    fn i12_of_a_flood_the_oldest_and_the_newest_are_looked_at() {
        let mut few = Few::default();
        for number in (0..100).rev() {
            few.take(version(number, 1, None).1);
        }
        let left: Vec<String> = few.oldest_first().iter().map(|entry| entry.version.to_string()).collect();
        let wanted: Vec<String> = (0..8).chain(92..100).map(|number| format!("v{number}")).collect();
        assert_eq!(left, wanted);
    }
}
