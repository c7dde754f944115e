//! Listings that stay bounded whatever was planted.

use super::{Finding, FindingKind, Result};
use crate::limits::{FINDINGS_MAX, FIRST_VERSIONS_MAX};
use crate::store::{Entry, ListQuery, ObjectKey, Read};

/// Gives every version and delete marker below `prefix` to `take`, page by page.
pub async fn each_entry(store: &dyn Read, prefix: &str, mut take: impl FnMut(Entry) + Send) -> Result<()> {
    let query = ListQuery { prefix: prefix.to_owned(), by_folder: false };
    let mut token = None;
    loop {
        let page = store.list_page(&query, token.as_ref()).await?;
        page.entries.into_iter().for_each(&mut take);
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(()),
        }
    }
}

/// The folders directly below `prefix`.
pub(super) async fn folders(store: &dyn Read, prefix: &str) -> Result<Vec<String>> {
    let query = ListQuery { prefix: prefix.to_owned(), by_folder: true };
    let (mut folders, mut token) = (Vec::new(), None);
    loop {
        let page = store.list_page(&query, token.as_ref()).await?;
        folders.extend(page.prefixes);
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(folders),
        }
    }
}

/// One key while its versions and markers pass by, newest first.
struct Passing {
    key: ObjectKey,
    first: Option<Entry>,
    versions: u64,
    markers: u64,
}

/// What was collected so far: never more than the oldest few, whatever was planted.
#[derive(Default)]
struct Collected {
    first: Vec<Entry>,
    findings: Vec<Finding>,
}

impl Collected {
    fn close(&mut self, passed: Option<Passing>) {
        let Some(Passing { key, first, versions, markers }) = passed else { return };
        if self.findings.len() < FINDINGS_MAX {
            self.findings.extend(overlays(&key, versions, markers));
        }
        self.first.extend(first);
        if self.first.len() > 2 * FIRST_VERSIONS_MAX {
            self.keep_oldest();
        }
    }

    fn keep_oldest(&mut self) {
        self.first.sort_by_key(|entry| entry.last_modified);
        self.first.truncate(FIRST_VERSIONS_MAX);
    }
}

/// The first version of every object below `prefix`, oldest first, and what was laid over them since. Of more objects than
/// we ever put there, the oldest count: ours came first.
pub(super) async fn first_versions(store: &dyn Read, prefix: &str) -> Result<(Vec<Entry>, Vec<Finding>)> {
    let (mut all, mut passing) = (Collected::default(), None::<Passing>);
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

/// The first version of the object called `key` and of no other. Names that begin with `key` follow it in a listing and may be
/// millions, so it ends at the first of them.
pub(super) async fn first_version(store: &dyn Read, key: &str) -> Result<Option<Entry>> {
    let query = ListQuery { prefix: key.to_owned(), by_folder: false };
    let (mut first, mut token) = (None, None);
    loop {
        let page = store.list_page(&query, token.as_ref()).await?;
        for entry in page.entries {
            if entry.key.as_str() != key {
                return Ok(first);
            }
            if !entry.delete_marker {
                first = Some(entry);
            }
        }
        match page.next {
            Some(next) => token = Some(next),
            None => return Ok(first),
        }
    }
}

/// Findings about one key with so many versions and markers.
fn overlays(key: &ObjectKey, versions: u64, markers: u64) -> Vec<Finding> {
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
            assert_eq!(first_version(&store, "p/a").await.unwrap().unwrap().bytes, 1);
            assert_eq!(first_version(&store, "p/b").await.unwrap().unwrap().bytes, 5);
            assert!(first_version(&store, "p/").await.unwrap().is_none());
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
