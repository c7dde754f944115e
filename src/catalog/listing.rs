//! Listings that stay bounded whatever was planted.

use std::collections::BTreeMap;

use super::{Finding, FindingKind, Result};
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

/// The first version of every object below `prefix`, oldest first, and what was laid over them since.
pub(super) async fn first_versions(store: &dyn Read, prefix: &str) -> Result<(Vec<Entry>, Vec<Finding>)> {
    let mut first: BTreeMap<ObjectKey, Entry> = BTreeMap::new();
    let mut over: BTreeMap<ObjectKey, (u64, u64)> = BTreeMap::new();
    // A listing gives the newest version of a key first, so the last one seen is the oldest.
    each_entry(store, prefix, |entry| {
        let counts = over.entry(entry.key.clone()).or_default();
        if entry.delete_marker {
            counts.1 += 1;
        } else {
            counts.0 += 1;
            first.insert(entry.key.clone(), entry);
        }
    })
    .await?;
    let findings = over.iter().flat_map(|(key, &(versions, markers))| overlays(key, versions, markers)).collect();
    let mut first: Vec<Entry> = first.into_values().collect();
    first.sort_by_key(|entry| entry.last_modified);
    Ok((first, findings))
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
