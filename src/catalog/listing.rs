//! Listings that stay bounded whatever was planted.

use std::ops::ControlFlow;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Finding, FindingKind, Result};
use crate::limits::{FINDINGS_MAX, FIRST_VERSIONS_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::store::{self, Entry, ListQuery, ObjectKey, Page, PageToken, Read};

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

/// A version listing, page by page: never all of it in memory.
pub struct Pages<'a> {
    store: &'a dyn Read,
    query: ListQuery,
    token: Option<PageToken>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// From the first page on.
    pub fn of(store: &'a dyn Read, query: ListQuery) -> Self {
        Self { store, query, token: None, ended: false }
    }

    /// From the first key behind `after` on, if that is given.
    pub fn after(store: &'a dyn Read, query: ListQuery, after: Option<String>) -> Self {
        Self { token: after.map(|key| PageToken { key, version: None }), ..Self::of(store, query) }
    }

    /// The next page; `None` behind the last. A store that gives the same page again would keep us for ever.
    ///
    /// # Errors
    /// What the store answers, and [`store::Error::Corrupt`] where it does not move on.
    pub async fn next(&mut self) -> store::Result<Option<Page>> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.list_page(&self.query, self.token.as_ref()).await?;
        let stays = |last: &PageToken, next: &PageToken| last.key == next.key && last.version == next.version;
        if self.token.as_ref().zip(page.next.as_ref()).is_some_and(|(last, next)| stays(last, next)) {
            let target = format!("listing of {}", self.query.prefix);
            return Err(store::Error::Corrupt { target, what: "it gives the same page again".into() });
        }
        self.ended = page.next.is_none();
        self.token.clone_from(&page.next);
        Ok(Some(page))
    }
}

/// One key while its versions and markers pass by, newest first.
struct Passing {
    key: ObjectKey,
    first: Option<Entry>,
    versions: u64,
    markers: u64,
}

/// Where an entry stands among all: by arrival, then by name.
type Rank = (Timestamp, ObjectKey);

fn rank(entry: &Entry) -> Rank {
    (entry.last_modified, entry.key.clone())
}

/// What was collected so far: never more than the oldest few behind `after`, whatever was planted.
#[derive(Default)]
struct Collected {
    after: Option<Rank>,
    first: Vec<Entry>,
    findings: Vec<Finding>,
}

impl Collected {
    fn close(&mut self, passed: Option<Passing>) {
        let Some(Passing { key, first, versions, markers }) = passed else { return };
        if self.findings.len() < FINDINGS_MAX {
            self.findings.extend(overlays(&key, versions, markers));
        }
        let after = self.after.as_ref();
        self.first.extend(first.filter(|entry| after.is_none_or(|after| rank(entry) > *after)));
        if self.first.len() > 2 * FIRST_VERSIONS_MAX {
            self.keep_oldest();
        }
    }

    fn keep_oldest(&mut self) {
        self.first.sort_by_cached_key(rank);
        self.first.truncate(FIRST_VERSIONS_MAX);
    }
}

/// The first versions of the objects below a prefix, oldest first, a bounded number at a time: ours came first, but what is
/// written last (a manifest, a renewed copy) may have been preceded by any number of planted ones.
pub(super) struct Oldest<'a> {
    store: &'a dyn Read,
    prefix: String,
    after: Option<Rank>,
    ended: bool,
}

impl<'a> Oldest<'a> {
    pub(super) fn new(store: &'a dyn Read, prefix: String) -> Self {
        Self { store, prefix, after: None, ended: false }
    }

    /// The next batch, and with the first one what was laid over the objects since. Lists everything again for each.
    pub(super) async fn next(&mut self) -> Result<Option<(Vec<Entry>, Vec<Finding>)>> {
        if self.ended {
            return Ok(None);
        }
        let is_first = self.after.is_none();
        let (entries, findings) = batch(self.store, &self.prefix, self.after.take()).await?;
        self.ended = entries.len() < FIRST_VERSIONS_MAX;
        self.after = entries.last().map(rank);
        Ok(Some((entries, if is_first { findings } else { Vec::new() })))
    }
}

/// The oldest batch.
pub(super) async fn first_versions(store: &dyn Read, prefix: &str) -> Result<(Vec<Entry>, Vec<Finding>)> {
    batch(store, prefix, None).await
}

async fn batch(store: &dyn Read, prefix: &str, after: Option<Rank>) -> Result<(Vec<Entry>, Vec<Finding>)> {
    let (mut all, mut passing) = (Collected { after, ..Collected::default() }, None::<Passing>);
    each_entry(store, prefix, |entry| {
        if passing.as_ref().is_none_or(|now| now.key != entry.key) {
            all.close(passing.take());
        }
        let fresh = || Passing { key: entry.key.clone(), first: None, versions: 0, markers: 0 };
        let now = passing.get_or_insert_with(fresh);
        if entry.delete_marker {
            now.markers += 1;
        } else {
            // A listing gives the newest version of a key first, so the last one seen is the oldest.
            now.versions += 1;
            now.first = Some(entry);
        }
    })
    .await?;
    all.close(passing);
    all.keep_oldest();
    Ok((all.first, all.findings))
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
    let (mut first, mut versions, mut markers) = (None, 0, 0);
    entries_after(store, &query, None, |entry| {
        if entry.key.as_str() != key {
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
