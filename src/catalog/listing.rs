//! Listings that stay bounded whatever was planted.

use std::ops::ControlFlow;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Finding, FindingKind, Result};
use crate::limits::{FINDINGS_MAX, FIRST_VERSIONS_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::store::{Entry, ListQuery, ObjectKey, Pages, Read};

/// Gives every version and delete marker below `prefix` to `take`, page by page.
pub async fn each_entry(store: &dyn Read, prefix: &str, mut take: impl FnMut(Entry) + Send) -> Result<()> {
    let query = ListQuery { prefix: prefix.to_owned(), by_folder: false };
    let all = |entry| {
        take(entry);
        ControlFlow::Continue(())
    };
    entries_after(store, &query, None, all).await
}

/// Gives the versions and delete markers that a listing has behind the key `after` to `take`, until that has enough.
pub(super) async fn entries_after(
    store: &dyn Read,
    query: &ListQuery,
    after: Option<String>,
    mut take: impl FnMut(Entry) -> ControlFlow<()> + Send,
) -> Result<()> {
    let mut pages = Pages::after(store, query.clone(), after);
    while let Some(page) = pages.next().await? {
        if page.entries.into_iter().try_for_each(&mut take).is_break() {
            break;
        }
    }
    Ok(())
}

/// The folders directly below `prefix`.
pub(super) async fn folders(store: &dyn Read, prefix: &str) -> Result<Vec<String>> {
    let mut folders = Vec::new();
    let mut pages = Pages::of(store, ListQuery { prefix: prefix.to_owned(), by_folder: true });
    while let Some(page) = pages.next().await? {
        folders.extend(page.prefixes);
    }
    Ok(folders)
}

/// One key on one side while its versions and markers pass by, newest first.
struct Passing {
    key: ObjectKey,
    side: usize,
    first: Option<Entry>,
    versions: u64,
    markers: u64,
}

impl Passing {
    fn of(entry: &Entry) -> Self {
        Self { key: entry.key.clone(), side: entry.version.side(), first: None, versions: 0, markers: 0 }
    }

    fn is_of(&self, entry: &Entry) -> bool {
        self.key == entry.key && self.side == entry.version.side()
    }
}

/// Where an entry stands among all: by arrival, then by name.
pub(super) type Rank = (Timestamp, ObjectKey, usize, String);

pub(super) fn rank(entry: &Entry) -> Rank {
    (entry.last_modified, entry.key.clone(), entry.version.side(), entry.version.to_string())
}

/// Which versions of a key are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    /// The first one.
    #[default]
    First,
    /// Those written over it.
    Later,
}

/// What was collected so far: never more than the oldest few behind `after`, whatever was planted.
#[derive(Default)]
struct Collected {
    turn: Turn,
    after: Option<Rank>,
    entries: Vec<Entry>,
    findings: Vec<Finding>,
    /// Whether anything was written over a first version.
    overlaid: bool,
}

impl Collected {
    fn close(&mut self, passed: Option<Passing>) {
        let Some(Passing { key, first, versions, markers, .. }) = passed else { return };
        self.overlaid |= versions > 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.extend(overlays(&key, versions, markers));
        }
        if self.turn == Turn::First {
            self.take(first);
        }
    }

    fn take(&mut self, entry: Option<Entry>) {
        let after = self.after.as_ref();
        self.entries.extend(entry.filter(|entry| after.is_none_or(|after| rank(entry) > *after)));
        if self.entries.len() > 2 * FIRST_VERSIONS_MAX {
            self.keep_oldest();
        }
    }

    fn keep_oldest(&mut self) {
        self.entries.sort_by_cached_key(rank);
        self.entries.truncate(FIRST_VERSIONS_MAX);
    }
}

/// The first versions of the objects below a prefix, oldest first, a bounded number at a time: ours came first, but what is
/// written last (a manifest, a renewed copy) may have been preceded by any number of planted ones.
pub(super) struct Oldest<'a> {
    store: &'a dyn Read,
    prefix: String,
    turn: Turn,
    later: bool,
    after: Option<Rank>,
    ended: bool,
}

impl<'a> Oldest<'a> {
    pub(super) fn new(store: &'a dyn Read, prefix: String) -> Self {
        Self { store, prefix, turn: Turn::First, later: false, after: None, ended: false }
    }

    /// The same, and behind the first versions those that were written over them: in a replica, someone who may write there can be
    /// faster than the copy. For whoever stops at the first one that is genuine.
    pub(super) fn and_later(store: &'a dyn Read, prefix: String) -> Self {
        Self { later: true, ..Self::new(store, prefix) }
    }

    /// The next batch, and with the first one what was laid over the objects since. Lists everything again for each.
    pub(super) async fn next(&mut self) -> Result<Option<(Vec<Entry>, Vec<Finding>)>> {
        if self.ended {
            return Ok(None);
        }
        let is_first = self.turn == Turn::First && self.after.is_none();
        let found = batch(self.store, &self.prefix, self.turn, self.after.take()).await?;
        let is_last = found.entries.len() < FIRST_VERSIONS_MAX;
        self.after = found.entries.last().map(rank).filter(|_| !is_last);
        self.ended = is_last && (self.turn == Turn::Later || !self.later || !found.overlaid);
        self.turn = if is_last { Turn::Later } else { self.turn };
        Ok(Some((found.entries, if is_first { found.findings } else { Vec::new() })))
    }
}

/// The oldest batch.
pub(super) async fn first_versions(store: &dyn Read, prefix: &str) -> Result<(Vec<Entry>, Vec<Finding>)> {
    let found = batch(store, prefix, Turn::First, None).await?;
    Ok((found.entries, found.findings))
}

async fn batch(store: &dyn Read, prefix: &str, turn: Turn, after: Option<Rank>) -> Result<Collected> {
    let (mut all, mut passing) = (Collected { turn, after, ..Collected::default() }, None::<Passing>);
    each_entry(store, prefix, |entry| {
        if passing.as_ref().is_none_or(|now| !now.is_of(&entry)) {
            all.close(passing.take());
        }
        let now = passing.get_or_insert_with(|| Passing::of(&entry));
        if entry.delete_marker {
            now.markers += 1;
            return;
        }
        // A listing gives the newest version of a key first, so the last one seen is the oldest.
        now.versions += 1;
        let later = now.first.replace(entry);
        if turn == Turn::Later {
            all.take(later);
        }
    })
    .await?;
    all.close(passing);
    all.keep_oldest();
    Ok(all)
}

/// A small object; `None` if it is not small, or the store does not hand this one out.
pub(super) async fn read_small(store: &dyn Read, entry: &Entry) -> Result<Option<Bytes>> {
    if entry.bytes > SMALL_OBJECT_BYTES_MAX {
        return Ok(None);
    }
    match store.get(&entry.key, &entry.version, 0..entry.bytes).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_about_the_object() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The first version of the object called `key` and of no other, and what was laid over it. Names that begin with `key`
/// follow it in a listing and may be millions, so it ends at the first of them.
pub(super) async fn first_version(store: &dyn Read, key: &str) -> Result<(Option<Entry>, Vec<Finding>)> {
    let query = ListQuery { prefix: key.to_owned(), by_folder: false };
    let (mut first, mut versions, mut markers) = (None::<Entry>, 0, 0);
    entries_after(store, &query, None, |entry| {
        // Another side has the same, under ids of its own.
        let elsewhere = |first: &Entry| first.version.side() != entry.version.side();
        if entry.key.as_str() != key || first.as_ref().is_some_and(elsewhere) {
            return ControlFlow::Break(());
        }
        if entry.delete_marker {
            markers += 1;
        } else {
            versions += 1;
            first = Some(entry);
        }
        ControlFlow::Continue(())
    })
    .await?;
    Ok((first, overlays(&ObjectKey::new(key), versions, markers)))
}

/// Findings about one key with so many versions and markers.
pub(super) fn overlays(key: &ObjectKey, versions: u64, markers: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    if versions > 1 {
        let detail = format!("{} versions were written over the first; the first one is used", versions - 1);
        found.push(Finding::new(FindingKind::LaterVersion, key.as_str(), None, detail));
    }
    if markers > 0 {
        let detail = format!("{markers} delete markers were laid over it; they are ignored");
        found.push(Finding::new(FindingKind::DeleteMarker, key.as_str(), None, detail));
    }
    found
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{Append as _, Put};

    async fn put(store: &Memory, key: &str, body: &'static [u8]) {
        store.put(Put { key: ObjectKey::new(key), body: Bytes::from_static(body), lock: None }).await.unwrap();
    }

    #[tokio::test]
    async fn i04_the_first_version_over_any_pages() {
        for page in [1, 2, 3, 1000] {
            let store = Memory::paged(page);
            for (key, body) in [("p/b", &b"first"[..]), ("p/a", b"1"), ("p/b", b"later!"), ("p/a/x", b"22"), ("q", b"")]
            {
                put(&store, key, body).await;
                store.mark_deleted(&ObjectKey::new("p/b"));
            }
            let (entries, findings) = first_versions(&store, "p/").await.unwrap();
            let found: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.bytes)).collect();
            assert_eq!(found, [("p/b", 5), ("p/a", 1), ("p/a/x", 2)], "oldest first");
            let kinds: Vec<_> = findings.iter().map(|f| (f.key.as_str(), f.kind)).collect();
            assert_eq!(kinds, [("p/b", FindingKind::LaterVersion), ("p/b", FindingKind::DeleteMarker)]);
            assert_eq!(first_version(&store, "p/a").await.unwrap().0.unwrap().bytes, 1);
            assert_eq!(first_version(&store, "p/b").await.unwrap().0.unwrap().bytes, 5);
            assert_eq!(first_version(&store, "p/b").await.unwrap().1.len(), 2);
            assert!(first_version(&store, "p/").await.unwrap().0.is_none());
        }
    }

    /// A flood of names costs neither memory nor the genuine object.
    #[tokio::test]
    async fn i12_of_a_flood_only_the_oldest_are_held() {
        let store = Memory::default();
        put(&store, "p/zzz", b"genuine").await;
        for i in 0..3 * FIRST_VERSIONS_MAX {
            put(&store, &format!("p/{i:06}"), b"junk").await;
        }
        let (entries, _) = first_versions(&store, "p/").await.unwrap();
        assert_eq!((entries.len(), entries[0].key.as_str()), (FIRST_VERSIONS_MAX, "p/zzz"));
    }
}
