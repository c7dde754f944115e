//! Of every object below a prefix the version that counts: of WAL that was copied under another data key, the copy.

use std::collections::VecDeque;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::acting::pages;
use crate::catalog::{Pages, Replacement, Repository};
use crate::commands::Result;
use crate::commands::frozen::{is_frozen, is_unreadable};
use crate::format::ClusterName;
use crate::limits::{GUESSED_VERSIONS, RETENTION_IN_FLIGHT};
use crate::store::{Entry, Read};

/// The first version of every object (invariant I4), page by page. Where everybody can guess a name, something else may have been
/// there before ours: then it is the oldest genuine one, which is what restores read, and whatever lies frozen before that, which may be
/// it. Where the root writer made a copy of that, it is the copy.
pub(in crate::commands) struct Firsts<'a> {
    pages: Pages<'a>,
    /// Who tells what is genuine.
    repository: Option<&'a Repository>,
    /// Whether what copies took the place of is wanted as well.
    replaced_too: bool,
    passing: Option<Passing>,
}

impl<'a> Firsts<'a> {
    /// Of names that nobody can guess: whoever wrote one first made it.
    pub(in crate::commands) fn of(store: &'a dyn Read, prefix: &str) -> Self {
        Self { pages: pages(store, prefix), repository: None, replaced_too: false, passing: None }
    }

    /// Of names of every kind.
    pub(in crate::commands) fn genuine(repository: &'a Repository, prefix: &str) -> Self {
        Self { repository: Some(repository), ..Self::of(&**repository.store(), prefix) }
    }

    /// The same, and beside the copies what they took the place of.
    pub(in crate::commands) fn and_replaced(self, replaced_too: bool) -> Self {
        Self { replaced_too, ..self }
    }

    pub(in crate::commands) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        let Some(passed) = self.passed().await? else { return Ok(None) };
        let (repository, replaced_too) = (self.repository, self.replaced_too);
        let chosen = stream::iter(passed).map(|passing| passing.choose(repository, replaced_too));
        let chosen: Vec<Vec<Entry>> = chosen.buffered(RETENTION_IN_FLIGHT).try_collect().await?;
        Ok(Some(chosen.into_iter().flatten().collect()))
    }

    /// Instead of the versions that count: the copies among them, with what they took the place of.
    pub(in crate::commands) async fn next_replacements(&mut self) -> Result<Option<Vec<Replacement>>> {
        let Some(passed) = self.passed().await? else { return Ok(None) };
        let repository = self.repository;
        let found = stream::iter(passed).map(|passing| async move { passing.replacement(repository).await });
        let found: Vec<Option<Replacement>> = found.buffered(RETENTION_IN_FLIGHT).try_collect().await?;
        Ok(Some(found.into_iter().flatten().collect()))
    }

    /// The keys that the next page completes.
    async fn passed(&mut self) -> Result<Option<Vec<Passing>>> {
        let mut passed = Vec::new();
        match self.pages.next().await? {
            Some(page) => {
                for entry in page.entries.into_iter().filter(|entry| !entry.delete_marker) {
                    passed.extend(self.pass(entry));
                }
            }
            None => match self.passing.take() {
                Some(last) => passed.push(last),
                None => return Ok(None),
            },
        }
        Ok(Some(passed))
    }

    /// Takes one more version in; gives back the key that is complete by that.
    fn pass(&mut self, entry: Entry) -> Option<Passing> {
        if let Some(passing) = self.passing.as_mut().filter(|passing| passing.is_of(&entry)) {
            passing.take(entry);
            return None;
        }
        let cluster = self.repository.and_then(|repository| repository.names().guessable(entry.key.as_str()));
        let mut passing = Passing { cluster, ..Passing::default() };
        passing.take(entry);
        self.passing.replace(passing)
    }
}

/// One key while its versions pass by; a listing gives the newest first.
#[derive(Default)]
struct Passing {
    /// The oldest few, newest first.
    oldest: VecDeque<Entry>,
    /// The newest few that are not among these, newest first; of names that can be guessed.
    newest: Vec<Entry>,
    /// The oldest few that lie in an archive tier, newest first; of names that can be guessed.
    frozen: VecDeque<Entry>,
    /// The same of those whose class leaves that open.
    doubtful: VecDeque<Entry>,
    versions: u64,
    /// Of names that can be guessed: whose.
    cluster: Option<ClusterName>,
}

impl Passing {
    fn is_of(&self, entry: &Entry) -> bool {
        self.oldest.front().is_some_and(|known| known.key == entry.key)
    }

    fn take(&mut self, entry: Entry) {
        self.versions += 1;
        if self.cluster.is_some() && entry.class.is_some() {
            let place = if is_frozen(&entry) { &mut self.frozen } else { &mut self.doubtful };
            place.push_back(entry.clone());
            if place.len() > GUESSED_VERSIONS {
                place.pop_front();
            }
        }
        self.oldest.push_back(entry);
        if self.oldest.len() > if self.cluster.is_some() { GUESSED_VERSIONS } else { 1 } {
            let passed = self.oldest.pop_front().filter(|_| self.cluster.is_some());
            self.newest.extend(passed.filter(|_| self.newest.len() < GUESSED_VERSIONS));
        }
    }

    /// Tiers within a class are told by answers only.
    async fn ask_doubtful(&mut self, repository: Option<&Repository>) -> Result<()> {
        let Some(repository) = repository.filter(|_| self.versions > 1) else { return Ok(()) };
        for entry in std::mem::take(&mut self.doubtful) {
            if is_unreadable(&**repository.store(), &entry).await? {
                self.frozen.push_back(entry);
            }
        }
        Ok(())
    }

    /// The copy that counts, if there is one.
    async fn replacement(&self, repository: Option<&Repository>) -> Result<Option<Replacement>> {
        let (Some(repository), Some(cluster), true) = (repository, &self.cluster, self.versions > 1) else {
            return Ok(None);
        };
        if self.oldest.front().is_some_and(|entry| repository.names().is_cluster_record(cluster, entry.key.as_str())) {
            return Ok(None);
        }
        let versions = self.oldest.iter().rev().chain(self.newest.iter().rev()).cloned().collect();
        let left_out = self.versions > 2 * GUESSED_VERSIONS as u64;
        Ok(repository.replacement(cluster, versions, left_out).await?)
    }

    /// The copy that counts, or the first version, or else the oldest genuine one, if there is one, with what may be it in its place.
    async fn choose(mut self, repository: Option<&Repository>, replaced_too: bool) -> Result<Vec<Entry>> {
        self.ask_doubtful(repository).await?;
        if let Some(Replacement { copy, replaced }) = self.replacement(repository).await? {
            let mut counting = self.counting(Some(copy));
            let known = |entry: &Entry| counting.iter().any(|one| one.version == entry.version);
            let more: Vec<Entry> = replaced.into_iter().filter(|entry| replaced_too && !known(entry)).collect();
            counting.extend(more);
            return Ok(counting);
        }
        let (Some(repository), Some(cluster), true) = (repository, &self.cluster, self.versions > 1) else {
            return Ok(self.oldest.pop_back().into_iter().collect());
        };
        let mut found = repository.genuine_of(cluster, self.oldest.iter().rev().cloned()).await?;
        if let Some(first) = self.oldest.back().filter(|_| found.is_none() && self.versions > GUESSED_VERSIONS as u64) {
            let key = first.key.as_str();
            found = repository.first_genuine(cluster, key.to_owned(), |other| other == key).await?;
        }
        Ok(self.counting(found))
    }

    /// What counts where `found` is the oldest one that seems genuine. A frozen one cannot be read, and a header alone proves little:
    /// whoever read ours before it froze can store that header again, with anything behind it. So what lies frozen before counts too.
    fn counting(mut self, found: Option<Entry>) -> Vec<Entry> {
        let is_before = |entry: &Entry| {
            found
                .as_ref()
                .is_none_or(|found| entry.version != found.version && entry.last_modified <= found.last_modified)
        };
        let mut counting: Vec<Entry> = self.frozen.into_iter().filter(is_before).collect();
        counting.extend(found);
        if counting.is_empty() {
            counting.extend(self.oldest.pop_back());
        }
        counting
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{Append as _, ObjectKey, Put, VersionId};

    #[tokio::test]
    async fn i04_every_object_once_over_any_pages() {
        for page in [1, 2, 3, 1000] {
            let store = Memory::paged(page);
            for (key, body) in [("p/b", &b"first"[..]), ("p/a", b"1"), ("p/b", b"later!"), ("q", b""), ("p/b", b"")] {
                let put = Put { key: ObjectKey::new(key), body: Bytes::from_static(body), lock: None };
                store.put(put).await.unwrap();
                store.mark_deleted(&ObjectKey::new("p/b"));
            }
            let (mut firsts, mut found) = (Firsts::of(&store, "p/"), Vec::new());
            while let Some(entries) = firsts.next().await.unwrap() {
                found.extend(entries.into_iter().map(|entry| (entry.key.to_string(), entry.bytes)));
            }
            assert_eq!(found, [("p/a".to_owned(), 1), ("p/b".to_owned(), 5)], "pages of {page}");
        }
    }

    /// PAINS D8: 5,000 objects, each written over, in pages of seven.
    #[tokio::test]
    async fn d08_five_thousand_objects_in_pages_of_seven() {
        let store = Memory::paged(7);
        for number in 0..5000 {
            for body in [&b"first"[..], b"later!"] {
                let key = ObjectKey::new(format!("p/{number:05}"));
                store.put(Put { key, body: Bytes::from_static(body), lock: None }).await.unwrap();
            }
        }
        let (mut firsts, mut found) = (Firsts::of(&store, "p/"), Vec::new());
        while let Some(entries) = firsts.next().await.unwrap() {
            assert!(entries.iter().all(|entry| entry.bytes == 5));
            found.extend(entries.into_iter().map(|entry| entry.key.to_string()));
        }
        let all: Vec<String> = (0..5000).map(|number| format!("p/{number:05}")).collect();
        assert!(found == all, "{} objects", found.len());
    }

    /// One key whose versions are listed like this, newest first: when each arrived, and whether it is frozen.
    fn passing(listed: &[(i64, bool)]) -> Passing {
        let cluster = Some("main".parse().unwrap());
        let mut passing = Passing { cluster, ..Passing::default() };
        for (second, is_frozen) in listed {
            passing.take(Entry {
                key: ObjectKey::new("p/main/wal/a"),
                version: VersionId::new(format!("v{second}")),
                last_modified: jiff::Timestamp::from_second(*second).unwrap(),
                bytes: 1,
                etag: String::new(),
                delete_marker: false,
                is_latest: false,
                class: is_frozen.then(|| "GLACIER".to_owned()),
            });
        }
        passing
    }

    /// PAINS B14: what seems genuine may repeat what lies frozen before it, and junk before that is not taken for it.
    #[test]
    fn i11_what_lies_frozen_before_a_replay_counts() {
        let check = |listed: &[(i64, bool)], found: Option<i64>, counting: &[i64]| {
            let found = found.map(|second| passing(&[(second, false)]).oldest.pop_back().unwrap());
            let chosen = passing(listed).counting(found);
            let chosen: Vec<i64> = chosen.iter().map(|entry| entry.last_modified.as_second()).collect();
            assert_eq!(chosen, counting, "{listed:?}");
        };
        check(&[(2, false), (1, false)], Some(2), &[2]);
        check(&[(2, false), (1, false)], None, &[1]);
        check(&[(2, false), (1, true)], Some(2), &[1, 2]);
        check(&[(3, true), (2, true), (1, false)], None, &[3, 2]);
        check(&[(3, true), (2, false), (1, false)], Some(2), &[2]);
        // Thawed: listed as frozen, and read.
        check(&[(2, true), (1, true)], Some(1), &[1]);
        let flood: Vec<(i64, bool)> = (0..30).rev().map(|second| (second, second >= 15)).collect();
        check(&flood, None, &[22, 21, 20, 19, 18, 17, 16, 15]);
    }
}
