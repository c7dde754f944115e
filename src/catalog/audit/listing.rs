//! All audit records there are, in the order of their names, page by page.

use jiff::Timestamp;

use crate::catalog::listing::overlays;
use crate::catalog::{Finding, Pages, Repository, Result};
use crate::format::AuditId;
use crate::store::{Entry, ListQuery};

/// The first version of one object among the audit records, and what was laid over it.
#[derive(Clone, Debug)]
pub struct AuditSeen {
    /// The first version.
    pub entry: Entry,
    /// Later versions and delete markers.
    pub overlays: Vec<Finding>,
}

/// One key while its versions and markers pass by, newest first.
struct Passing {
    last: Entry,
    first: Option<Entry>,
    versions: u64,
    markers: u64,
}

/// The objects among the audit records: never more than a page of them in memory.
pub struct AuditListing<'a> {
    pages: Pages<'a>,
    passing: Option<Passing>,
}

impl<'a> AuditListing<'a> {
    /// From the records of a moment on, or from the first.
    pub fn of(repository: &'a Repository, since: Option<Timestamp>) -> Self {
        let prefix = repository.names().audit();
        let after = since.map(|since| format!("{prefix}{}", AuditId::stamp(since)));
        let query = ListQuery { prefix, by_folder: false };
        Self { pages: Pages::after(&**repository.store(), query, after), passing: None }
    }

    /// The next ones; `None` behind the last. May be empty.
    pub async fn next(&mut self) -> Result<Option<Vec<AuditSeen>>> {
        let Some(page) = self.pages.next().await? else { return Ok(self.passing.take().map(close)) };
        let mut seen = Vec::new();
        for entry in page.entries {
            if self.passing.as_ref().is_some_and(|passing| passing.last.key != entry.key) {
                seen.extend(self.passing.take().map(close).unwrap_or_default());
            }
            let fresh = || Passing { last: entry.clone(), first: None, versions: 0, markers: 0 };
            let passing = self.passing.get_or_insert_with(fresh);
            if entry.delete_marker {
                passing.markers += 1;
            } else {
                passing.versions += 1;
                passing.first = Some(entry);
            }
        }
        Ok(Some(seen))
    }
}

fn close(passed: Passing) -> Vec<AuditSeen> {
    let overlays = overlays(&passed.last.key, passed.versions, passed.markers);
    passed.first.map(|entry| AuditSeen { entry, overlays }).into_iter().collect()
}
