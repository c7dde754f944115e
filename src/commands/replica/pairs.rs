//! Both listings side by side: what counts of every key here, and what lies under it there.

use std::collections::VecDeque;

use crate::catalog::Pages;
use crate::commands::Result;
use crate::format::names::Names;
use crate::limits::REPLICA_CANDIDATES;
use crate::store::{Entry, ListQuery, Read};

/// One key.
#[derive(Debug)]
pub(super) struct Pair {
    /// What counts here, oldest first: the first version (invariant I4); nothing if the key is there alone. Of a name that everybody
    /// can guess any version may be ours, and only keys tell which: the oldest and the newest ones, never more than a few.
    pub(super) here: Vec<Entry>,
    /// How many versions of such a name are left out.
    pub(super) passed_over: u64,
    /// The oldest versions there, and the newest ones: never more than a few, whatever was planted.
    pub(super) there: Vec<Entry>,
    /// How many there are in all.
    pub(super) versions_there: u64,
}

impl Pair {
    /// The versions there that are this one here, as far as listings tell.
    pub(super) fn copies(&self, here: &Entry) -> Vec<Entry> {
        self.there.iter().filter(|there| is_copy(here, there)).cloned().collect()
    }

    /// Whether all that lies there is a copy of something here.
    pub(super) fn has_nothing_else(&self) -> bool {
        self.there.iter().all(|there| self.here.iter().any(|here| is_copy(here, there)))
    }

    /// Those that may be it.
    pub(super) fn same_length(&self, here: &Entry) -> Vec<Entry> {
        self.there.iter().filter(|there| there.bytes == here.bytes).cloned().collect()
    }
}

/// The same id (replication by the provider keeps it) or the same ETag (the MD5 of what a single PUT stored), and the same length.
pub(in crate::commands) fn is_copy(here: &Entry, there: &Entry) -> bool {
    let same = |a: &str, b: &str| !a.is_empty() && a == b;
    let id = here.version.as_str();
    here.bytes == there.bytes && (same(&here.etag, &there.etag) || (id != "null" && same(id, there.version.as_str())))
}

/// All keys in order. Holds two pages.
pub(super) struct Pairs<'a> {
    here: Groups<'a>,
    there: Groups<'a>,
    names: &'a Names,
}

impl<'a> Pairs<'a> {
    /// Of everything below the prefix of a repository.
    pub(super) fn of(here: &'a dyn Read, there: &'a dyn Read, names: &'a Names) -> Self {
        let query = ListQuery { prefix: names.prefix().to_owned(), by_folder: false };
        Self { here: Groups::of(here, query.clone()), there: Groups::of(there, query), names }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Pair>> {
        let keys = (self.here.key().await?, self.there.key().await?);
        let (in_ours, in_theirs) = match (&keys.0, &keys.1) {
            (None, None) => return Ok(None),
            (Some(here), Some(there)) => (here <= there, there <= here),
            (here, there) => (here.is_some(), there.is_some()),
        };
        let mut pair = Pair { here: Vec::new(), passed_over: 0, there: Vec::new(), versions_there: 0 };
        if in_ours {
            let group = self.here.take().await?;
            let is_guessable = keys.0.is_some_and(|key| self.names.guessable(&key).is_some());
            let versions = group.versions;
            pair.here = group.oldest_first();
            pair.here.truncate(if is_guessable { usize::MAX } else { 1 });
            pair.passed_over = if is_guessable { versions - pair.here.len() as u64 } else { 0 };
        }
        if in_theirs {
            let group = self.there.take().await?;
            pair.versions_there = group.versions;
            pair.there = group.oldest_first();
        }
        Ok(Some(pair))
    }
}

/// Versions of one key; delete markers are none.
#[derive(Default)]
struct Group {
    /// The newest few, newest first.
    newest: Vec<Entry>,
    /// The oldest few, newest first; the last is the first version.
    oldest: VecDeque<Entry>,
    versions: u64,
}

impl Group {
    fn oldest_first(self) -> Vec<Entry> {
        self.oldest.into_iter().rev().chain(self.newest.into_iter().rev()).collect()
    }
}

struct Groups<'a> {
    pages: Pages<'a>,
    entries: VecDeque<Entry>,
    ended: bool,
}

impl<'a> Groups<'a> {
    fn of(store: &'a dyn Read, query: ListQuery) -> Self {
        Self { pages: Pages::of(store, query), entries: VecDeque::new(), ended: false }
    }

    /// Key of the next version.
    async fn key(&mut self) -> Result<Option<String>> {
        while self.entries.is_empty() && !self.ended {
            match self.pages.next().await? {
                Some(page) => self.entries.extend(page.entries.into_iter().filter(|entry| !entry.delete_marker)),
                None => self.ended = true,
            }
        }
        Ok(self.entries.front().map(|entry| entry.key.to_string()))
    }

    /// All versions of the next key.
    async fn take(&mut self) -> Result<Group> {
        let mut group = Group::default();
        let Some(key) = self.key().await? else { return Ok(group) };
        while self.key().await?.as_ref() == Some(&key) {
            let Some(entry) = self.entries.pop_front() else { break };
            group.versions += 1;
            group.oldest.push_back(entry);
            if group.oldest.len() > REPLICA_CANDIDATES {
                let passed = group.oldest.pop_front();
                group.newest.extend(passed.filter(|_| group.newest.len() < REPLICA_CANDIDATES));
            }
        }
        Ok(group)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{Append as _, ObjectKey, Put};

    async fn put(store: &Memory, key: &str, body: &'static [u8]) {
        store.put(Put { key: ObjectKey::new(key), body: Bytes::from_static(body), lock: None }).await.unwrap();
    }

    /// The name of a piece, which something was planted under before the piece was stored.
    const GUESSED: &str = "main/wal/00000001/0000000001000000-0000000002000000";

    /// Of a flood over such a name the oldest and the newest are left.
    #[tokio::test]
    async fn i12_of_a_flood_a_few_versions_are_held() {
        let (here, there) = (Memory::paged(7), Memory::default());
        for _ in 0..5 * REPLICA_CANDIDATES {
            put(&here, GUESSED, b"planted").await;
        }
        put(&here, GUESSED, b"ours").await;
        let names = Names::new("").unwrap();
        let pair = Pairs::of(&here, &there, &names).next().await.unwrap().unwrap();
        assert_eq!((pair.here.len(), pair.passed_over), (2 * REPLICA_CANDIDATES, 3 * REPLICA_CANDIDATES as u64 + 1));
        assert_eq!(pair.here.last().unwrap().bytes, 4);
    }

    #[tokio::test]
    async fn f03_every_key_once_with_its_first_version_here_and_few_there() {
        for page in [1, 2, 7, 1000] {
            let (here, there) = (Memory::paged(page), Memory::paged(page));
            for (key, body) in [("a", &b"first"[..]), ("a", b"later"), ("b", b"bb"), ("d", b"d"), (GUESSED, b"planted")]
            {
                put(&here, key, body).await;
            }
            here.mark_deleted(&ObjectKey::new("b"));
            for _ in 0..40 {
                put(&there, "a", b"junk").await;
            }
            put(&there, "a", b"first").await;
            put(&there, "c", b"stray").await;
            here.mark_deleted(&ObjectKey::new(GUESSED));
            put(&here, GUESSED, b"ours").await;
            let names = Names::new("").unwrap();
            let (mut pairs, mut told) = (Pairs::of(&here, &there, &names), Vec::new());
            while let Some(pair) = pairs.next().await.unwrap() {
                assert!(pair.there.len() <= 2 * REPLICA_CANDIDATES);
                let copy = pair.here.first().is_some_and(|here| !pair.copies(here).is_empty());
                let here: Vec<_> = pair.here.iter().map(|entry| (entry.key.to_string(), entry.bytes)).collect();
                told.push((here, pair.versions_there, copy));
            }
            let here =
                |key: &str, bytes: &[u64]| bytes.iter().map(|bytes| (key.to_owned(), *bytes)).collect::<Vec<_>>();
            let wanted = [
                (here("a", &[5]), 41, true),
                (here("b", &[2]), 0, false),
                (Vec::new(), 1, false),
                (here("d", &[1]), 0, false),
                (here(GUESSED, &[7, 4]), 0, false),
            ];
            assert_eq!(told, wanted, "pages of {page}");
        }
    }
}
