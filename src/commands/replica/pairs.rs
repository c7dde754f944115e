//! Both listings side by side: every first version here, and what lies under its key there.

use std::collections::VecDeque;

use crate::catalog::Pages;
use crate::commands::Result;
use crate::limits::REPLICA_CANDIDATES;
use crate::store::{Entry, ListQuery, Read};

/// One key.
#[derive(Debug)]
pub(super) struct Pair {
    /// The first version here (invariant I4); `None` if the key is there alone.
    pub(super) here: Option<Entry>,
    /// The oldest versions there, and the newest ones: never more than a few, whatever was planted.
    pub(super) there: Vec<Entry>,
    /// How many there are in all.
    pub(super) versions_there: u64,
}

impl Pair {
    /// The versions there that are the one here, as far as listings tell.
    pub(super) fn copies(&self) -> Vec<Entry> {
        let Some(here) = &self.here else { return Vec::new() };
        self.there.iter().filter(|there| is_copy(here, there)).cloned().collect()
    }
}

/// The same id (replication by the provider keeps it) or the same ETag (the MD5 of what a single PUT stored), and the same length.
pub(super) fn is_copy(here: &Entry, there: &Entry) -> bool {
    let same = |a: &str, b: &str| !a.is_empty() && a == b;
    let id = here.version.as_str();
    here.bytes == there.bytes && (same(&here.etag, &there.etag) || (id != "null" && same(id, there.version.as_str())))
}

/// All keys in order. Holds two pages.
pub(super) struct Pairs<'a> {
    here: Groups<'a>,
    there: Groups<'a>,
}

impl<'a> Pairs<'a> {
    pub(super) fn of(here: &'a dyn Read, there: &'a dyn Read, query: ListQuery) -> Self {
        Self { here: Groups::of(here, query.clone()), there: Groups::of(there, query) }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Pair>> {
        let keys = (self.here.key().await?, self.there.key().await?);
        let (in_ours, in_theirs) = match (&keys.0, &keys.1) {
            (None, None) => return Ok(None),
            (Some(here), Some(there)) => (here <= there, there <= here),
            (here, there) => (here.is_some(), there.is_some()),
        };
        let mut pair = Pair { here: None, there: Vec::new(), versions_there: 0 };
        if in_ours {
            pair.here = self.here.take().await?.oldest.pop_back();
        }
        if in_theirs {
            let group = self.there.take().await?;
            pair.versions_there = group.versions;
            pair.there = group.oldest.into_iter().rev().chain(group.newest.into_iter().rev()).collect();
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

    #[tokio::test]
    async fn f03_every_key_once_with_its_first_version_here_and_few_there() {
        for page in [1, 2, 7, 1000] {
            let (here, there) = (Memory::paged(page), Memory::paged(page));
            for (key, body) in [("a", &b"first"[..]), ("a", b"later"), ("b", b"bb"), ("d", b"d")] {
                put(&here, key, body).await;
            }
            here.mark_deleted(&ObjectKey::new("b"));
            for _ in 0..40 {
                put(&there, "a", b"junk").await;
            }
            put(&there, "a", b"first").await;
            put(&there, "c", b"stray").await;
            let query = ListQuery { prefix: String::new(), by_folder: false };
            let (mut pairs, mut told) = (Pairs::of(&here, &there, query), Vec::new());
            while let Some(pair) = pairs.next().await.unwrap() {
                assert!(pair.there.len() <= 2 * REPLICA_CANDIDATES);
                let copy = !pair.copies().is_empty();
                told.push((pair.here.map(|entry| (entry.key.to_string(), entry.bytes)), pair.versions_there, copy));
            }
            let here = |key: &str, bytes| Some((key.to_owned(), bytes));
            let wanted =
                [(here("a", 5), 41, true), (here("b", 2), 0, false), (None, 1, false), (here("d", 1), 0, false)];
            assert_eq!(told, wanted, "pages of {page}");
        }
    }
}
