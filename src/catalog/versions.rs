//! Every version of one name and of its alternates, oldest first, a bounded number at a time.

use jiff::Timestamp;

use super::Result;
use super::listing::each_entry;
use crate::limits::FIRST_VERSIONS_MAX;
use crate::store::{Entry, Read};

/// Where a version stands among all: by arrival; within one second of the store any order will do.
type Rank = (Timestamp, String, String);

fn rank(entry: &Entry) -> Rank {
    (entry.last_modified, entry.key.to_string(), entry.version.to_string())
}

/// Versions of keys that begin with a prefix and are `wanted`.
pub(super) struct Versions<'a, F> {
    store: &'a dyn Read,
    prefix: String,
    wanted: F,
    after: Option<Rank>,
    ended: bool,
}

impl<'a, F: Fn(&str) -> bool + Send + Sync> Versions<'a, F> {
    pub(super) fn new(store: &'a dyn Read, prefix: String, wanted: F) -> Self {
        Self { store, prefix, wanted, after: None, ended: false }
    }

    /// The next batch; `None` after the last. Lists everything again for each.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        if self.ended {
            return Ok(None);
        }
        let (after, wanted, mut found) = (self.after.take(), &self.wanted, Vec::new());
        each_entry(self.store, &self.prefix, |entry| {
            let later = after.as_ref().is_none_or(|after| rank(&entry) > *after);
            if !entry.delete_marker && later && wanted(entry.key.as_str()) {
                found.push(entry);
            }
            if found.len() > 2 * FIRST_VERSIONS_MAX {
                keep_oldest(&mut found);
            }
        })
        .await?;
        keep_oldest(&mut found);
        self.ended = found.len() < FIRST_VERSIONS_MAX;
        self.after = found.last().map(rank);
        Ok(Some(found))
    }
}

fn keep_oldest(found: &mut Vec<Entry>) {
    found.sort_by_cached_key(rank);
    found.truncate(FIRST_VERSIONS_MAX);
}
