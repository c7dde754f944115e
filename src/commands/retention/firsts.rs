//! Of every object below a prefix the version that counts.

use std::collections::VecDeque;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::catalog::{Pages, Repository};
use crate::commands::Result;
use crate::format::ClusterName;
use crate::limits::{GUESSED_VERSIONS, RETENTION_IN_FLIGHT};
use crate::store::{Entry, ListQuery, Read};

/// The first version of every object (invariant I4), page by page. Where everybody can guess a name, something else may have been
/// there before ours: then it is the oldest genuine one, which is what restores read.
pub(in crate::commands) struct Firsts<'a> {
    pages: Pages<'a>,
    /// Who tells what is genuine.
    repository: Option<&'a Repository>,
    passing: Option<Passing>,
}

impl<'a> Firsts<'a> {
    /// Of names that nobody can guess: whoever wrote one first made it.
    pub(in crate::commands) fn of(store: &'a dyn Read, prefix: &str) -> Self {
        let pages = Pages::of(store, ListQuery { prefix: prefix.to_owned(), by_folder: false });
        Self { pages, repository: None, passing: None }
    }

    /// Of names of every kind.
    pub(in crate::commands) fn genuine(repository: &'a Repository, prefix: &str) -> Self {
        Self { repository: Some(repository), ..Self::of(&**repository.store(), prefix) }
    }

    pub(in crate::commands) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
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
        let repository = self.repository;
        let chosen = stream::iter(passed).map(|passing| passing.choose(repository)).buffered(RETENTION_IN_FLIGHT);
        let chosen: Vec<Option<Entry>> = chosen.try_collect().await?;
        Ok(Some(chosen.into_iter().flatten().collect()))
    }

    /// Takes one more version in; gives back the key that is complete by that.
    fn pass(&mut self, entry: Entry) -> Option<Passing> {
        if let Some(passing) = self.passing.as_mut().filter(|passing| passing.is_of(&entry)) {
            passing.take(entry);
            return None;
        }
        let cluster = self.repository.and_then(|repository| repository.names().guessable(entry.key.as_str()));
        self.passing.replace(Passing { oldest: VecDeque::from([entry]), versions: 1, cluster })
    }
}

/// One key while its versions pass by; a listing gives the newest first.
struct Passing {
    /// The oldest few, newest first.
    oldest: VecDeque<Entry>,
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
        self.oldest.push_back(entry);
        if self.oldest.len() > if self.cluster.is_some() { GUESSED_VERSIONS } else { 1 } {
            self.oldest.pop_front();
        }
    }

    /// The first version, or else the oldest genuine one, if there is one.
    async fn choose(mut self, repository: Option<&Repository>) -> Result<Option<Entry>> {
        let (Some(repository), Some(cluster), true) = (repository, &self.cluster, self.versions > 1) else {
            return Ok(self.oldest.pop_back());
        };
        let mut found = repository.genuine_of(cluster, self.oldest.iter().rev().cloned()).await?;
        if let Some(first) = self.oldest.back().filter(|_| found.is_none() && self.versions > GUESSED_VERSIONS as u64) {
            let key = first.key.as_str();
            found = repository.first_genuine(cluster, key.to_owned(), |other| other == key).await?;
        }
        Ok(found.or_else(|| self.oldest.pop_back()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{Append as _, ObjectKey, Put};

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
}
