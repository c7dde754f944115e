//! The genuine copies of something among any number of planted ones.
//!
//! Both ends of a listing are read. The newest copy is the one that is locked longest; what nobody could guess came first. What lies
//! between is read only where neither end holds a genuine one, up to the first that does. Each candidate costs one small read.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::footing::Foundation;
use super::listing::{Oldest, Rank, each_entry, rank};
use super::{Repository, Result};
use crate::limits::{COPIES_READ_MAX, KEYS_IN_FLIGHT};
use crate::store::{Entry, Read};

/// So many are read at either end.
const END: usize = COPIES_READ_MAX / 2;

/// Genuine copies, the likeliest first.
pub(super) struct Copies<'a> {
    repository: &'a Repository,
    store: &'a dyn Read,
    of: Foundation<'a>,
    coming: VecDeque<Entry>,
    ready: VecDeque<(Entry, Bytes)>,
    /// So many are read at once: the first one is most often enough.
    step: usize,
    /// What lies between the ends.
    middle: Option<(Rank, Rank)>,
    /// Whether the middle counts.
    deep: bool,
    oldest: Option<Oldest<'a>>,
    found: bool,
}

impl<'a> Copies<'a> {
    /// Lists them: the first version of each name, since later ones are of others (invariant I4); where ours may be a later one,
    /// every version. With `deep` the middle counts as well.
    pub(super) async fn list(
        store: &'a dyn Read,
        repository: &'a Repository,
        of: Foundation<'a>,
        deep: bool,
    ) -> Result<Self> {
        let (may_be, later) = (|entry: &Entry| repository.may_be_copy(of, entry), repository.is_guessable(of));
        let (coming, middle) = ends(store, &repository.copies(of), later, may_be).await?;
        let ready = VecDeque::new();
        Ok(Self { repository, store, of, coming, ready, step: 1, middle, deep, oldest: None, found: false })
    }

    /// Whether there are more than were read.
    pub(super) fn left_out(&self) -> bool {
        self.middle.is_some() && self.oldest.is_none()
    }

    /// The next genuine one.
    pub(super) async fn next(&mut self) -> Result<Option<(Entry, Bytes)>> {
        loop {
            if let Some(found) = self.ready.pop_front() {
                return Ok(Some(found));
            }
            if self.coming.is_empty() && !self.go_between().await? {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// Reads some of those that are coming.
    async fn read(&mut self) -> Result<()> {
        let (repository, store, of) = (self.repository, self.store, self.of);
        let some: Vec<Entry> = self.coming.drain(..self.step.min(self.coming.len())).collect();
        self.step = (2 * self.step).min(KEYS_IN_FLIGHT);
        let reads = stream::iter(some).map(|entry| async move {
            let body = repository.copy(store, of, &entry).await?;
            Ok::<_, super::Error>(body.map(|body| (entry, body)))
        });
        let read: Vec<Option<(Entry, Bytes)>> = reads.buffered(KEYS_IN_FLIGHT).try_collect().await?;
        self.ready.extend(read.into_iter().flatten());
        self.found |= !self.ready.is_empty();
        if self.found && self.oldest.is_some() {
            self.coming.clear();
        }
        Ok(())
    }

    /// Turns to the middle, oldest first, as long as nothing genuine was found.
    async fn go_between(&mut self) -> Result<bool> {
        let Some((from, to)) = self.middle.as_ref().filter(|_| self.deep && !self.found) else { return Ok(false) };
        let (store, repository, of) = (self.store, self.repository, self.of);
        let all = if repository.is_guessable(of) { Oldest::and_later } else { Oldest::new };
        let oldest = self.oldest.get_or_insert_with(|| all(store, repository.copies(of)));
        let Some((entries, _)) = oldest.next().await? else { return Ok(false) };
        let between = |entry: &Entry| {
            let rank = rank(entry);
            *from < rank && rank < *to && repository.may_be_copy(of, entry)
        };
        self.coming.extend(entries.into_iter().filter(between));
        Ok(true)
    }
}

/// The newest and the oldest of what a listing has below `prefix`, first versions only or `later` ones as well, in the order in which
/// they are to be read; and what is left out between them.
pub(super) async fn ends(
    store: &dyn Read,
    prefix: &str,
    later: bool,
    may_be: impl Fn(&Entry) -> bool + Send + Sync,
) -> Result<(VecDeque<Entry>, Option<(Rank, Rank)>)> {
    let (mut ends, mut last) = (Ends::default(), None::<Entry>);
    let mut take = |entry: Option<Entry>| entry.filter(&may_be).into_iter().for_each(|entry| ends.take(entry));
    each_entry(store, prefix, |entry| {
        if entry.delete_marker {
            return;
        }
        // A listing gives the newest version of a key first, so the last one seen is the oldest.
        let is_first = last.as_ref().is_none_or(|last| !last.is_beside(&entry));
        let passed = last.replace(entry);
        take(passed.filter(|_| later || is_first));
    })
    .await?;
    take(last);
    Ok(ends.close())
}

/// The newest and the oldest entries of a listing while it goes by.
#[derive(Default)]
struct Ends {
    newest: Vec<Entry>,
    oldest: Vec<Entry>,
    all: usize,
}

impl Ends {
    fn take(&mut self, entry: Entry) {
        self.all += 1;
        self.oldest.push(entry.clone());
        self.newest.push(entry);
        if self.oldest.len() > 2 * END {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.oldest.sort_by_cached_key(rank);
        self.oldest.truncate(END);
        self.newest.sort_by_cached_key(|entry| std::cmp::Reverse(rank(entry)));
        self.newest.truncate(END);
    }

    /// In the order in which they are to be read, and what is left out between them.
    fn close(mut self) -> (VecDeque<Entry>, Option<(Rank, Rank)>) {
        self.cut();
        if let Some(from) = self.newest.last().map(rank) {
            self.oldest.retain(|entry| rank(entry) < from);
        }
        let left_out = self.all > self.newest.len() + self.oldest.len();
        let edges = self.oldest.last().map(rank).zip(self.newest.last().map(rank));
        (self.newest.into_iter().chain(self.oldest).collect(), edges.filter(|_| left_out))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::{ObjectKey, VersionId};

    /// Invariant I12: of any number both ends are held, each entry once.
    #[test]
    fn i12_both_ends_of_any_number_are_held() {
        for all in [0, 1, END, END + 1, 2 * END, 2 * END + 1, 7 * END] {
            let mut ends = Ends::default();
            // In the order of names, which has nothing to do with that of arrival.
            for number in 0..all {
                let arrival = i64::try_from(number * 7919 % all).unwrap();
                ends.take(Entry {
                    key: ObjectKey::new(format!("{number:06}")),
                    version: VersionId::new("v"),
                    last_modified: Timestamp::from_second(arrival).unwrap(),
                    bytes: 1,
                    etag: String::new(),
                    delete_marker: false,
                    is_latest: true,
                    class: None,
                });
                assert!(ends.newest.len() <= 2 * END && ends.oldest.len() <= 2 * END);
            }
            let (coming, middle) = ends.close();
            let mut arrivals: Vec<i64> = coming.iter().map(|entry| entry.last_modified.as_second()).collect();
            assert!(arrivals[..all.min(END)].is_sorted_by(|a, b| a > b), "{all}: the newest first");
            arrivals.sort_unstable();
            let (total, end) = (i64::try_from(all).unwrap(), i64::try_from(END).unwrap());
            let expected: Vec<i64> =
                (0..total).filter(|at| all <= 2 * END || *at < end || *at >= total - end).collect();
            assert_eq!((arrivals, middle.is_some()), (expected, all > 2 * END), "{all}");
        }
    }
}
