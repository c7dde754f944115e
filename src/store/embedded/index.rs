//! The index in memory: every version of every key, and listings over it.
//!
//! Key order is the order of UTF-8 bytes (API ListObjectsV2: "lexicographical order"), which is how Rust orders `str`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::model::{BucketRecord, Version};

/// All buckets.
pub(super) type Index = BTreeMap<String, Bucket>;

/// One bucket: its settings and its versions.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) record: BucketRecord,
    objects: BTreeMap<String, Vec<Arc<Version>>>,
}

impl Bucket {
    pub(super) fn new(record: BucketRecord) -> Self {
        Self { record, objects: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Adds a version, or replaces the one stored in the same file.
    pub(super) fn put(&mut self, version: Arc<Version>) {
        let versions = self.objects.entry(version.key.clone()).or_default();
        versions.retain(|old| old.file != version.file);
        let at = versions.partition_point(|old| old.sequence < version.sequence);
        versions.insert(at, version);
    }

    pub(super) fn remove(&mut self, version: &Version) {
        if let Some(versions) = self.objects.get_mut(&version.key) {
            versions.retain(|old| old.file != version.file);
            if versions.is_empty() {
                self.objects.remove(&version.key);
            }
        }
    }

    /// The newest version, delete markers included.
    pub(super) fn latest(&self, key: &str) -> Option<&Arc<Version>> {
        self.objects.get(key)?.last()
    }

    /// The version with this id.
    pub(super) fn version(&self, key: &str, id: &str) -> Option<&Arc<Version>> {
        self.objects.get(key)?.iter().rev().find(|version| version.id == id)
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.objects.values().flatten()
    }

    /// One page of a listing.
    pub(super) fn scan(&self, scan: &Scan) -> Page {
        let mut page = Page::default();
        let mut after = scan.after.clone();
        loop {
            let Some((key, versions)) = self.next_key(&scan.prefix, &after) else { return page };
            if let Some(prefix) = scan.common_prefix(key) {
                if after.key() != Some(prefix) && scan.sees(self, prefix) {
                    if page.items.len() >= scan.limit {
                        page.next = Some(after);
                        return page;
                    }
                    page.items.push(Item::Prefix(prefix.to_owned()));
                }
                after = After::Prefix(prefix.to_owned());
                continue;
            }
            let older_than = after.sequence_in(key);
            let newest_first = versions.iter().rev().enumerate();
            for (place, version) in newest_first {
                if older_than.is_some_and(|sequence| version.sequence >= sequence) || !scan.wants(place, version) {
                    continue;
                }
                if page.items.len() >= scan.limit {
                    page.next = Some(after);
                    return page;
                }
                page.items.push(Item::Version { version: version.clone(), latest: place == 0 });
                after = After::Version(key.to_owned(), version.sequence);
            }
            after = After::Key(key.to_owned());
        }
    }

    fn next_key(&self, prefix: &str, after: &After) -> Option<(&str, &[Arc<Version>])> {
        let lower = match after {
            After::Start => Bound::Included(prefix.to_owned()),
            After::Key(key) => Bound::Excluded(key.clone()),
            After::Version(key, _) => Bound::Included(key.clone()),
            After::Prefix(common) => Bound::Included(successor(common)?),
        };
        let lower = match lower {
            Bound::Included(key) | Bound::Excluded(key) if key.as_str() < prefix => Bound::Included(prefix.to_owned()),
            lower => lower,
        };
        let (key, versions) = self.objects.range((lower, Bound::Unbounded)).next()?;
        key.starts_with(prefix).then_some((key.as_str(), versions.as_slice()))
    }
}

/// The first string after all strings that start with `prefix`; `None` when there is none.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The step skips the surrogates by itself: `char` ranges know them.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// What a listing asks for.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    pub(super) after: After,
    pub(super) limit: usize,
    /// Only the newest version of each key, and no delete markers (ListObjectsV2).
    pub(super) current_only: bool,
}

impl Scan {
    /// The part of `key` up to and including the first delimiter after the prefix.
    fn common_prefix<'a>(&self, key: &'a str) -> Option<&'a str> {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
        let rest = key.get(self.prefix.len()..)?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        key.get(..end)
    }

    fn wants(&self, place: usize, version: &Version) -> bool {
        !self.current_only || (place == 0 && !version.is_marker())
    }

    /// A common prefix whose keys are all hidden by delete markers is no prefix of a current listing.
    fn sees(&self, bucket: &Bucket, common: &str) -> bool {
        if !self.current_only {
            return true;
        }
        let under = bucket.objects.range::<str, _>((Bound::Included(common), Bound::Unbounded));
        under
            .take_while(|(key, _)| key.starts_with(common))
            .any(|(_, versions)| versions.last().is_some_and(|version| !version.is_marker()))
    }
}

/// Where a listing goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum After {
    #[default]
    Start,
    /// After every version of this key.
    Key(String),
    /// Within this key, after (that is older than) this commit.
    Version(String, u64),
    /// After every key with this common prefix.
    Prefix(String),
}

impl After {
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Start => None,
            Self::Key(key) | Self::Version(key, _) | Self::Prefix(key) => Some(key),
        }
    }

    fn sequence_in(&self, key: &str) -> Option<u64> {
        match self {
            Self::Version(marked, sequence) if marked == key => Some(*sequence),
            _ => None,
        }
    }
}

/// One page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<After>,
}

/// One line of a page.
#[derive(Debug)]
pub(super) enum Item {
    Prefix(String),
    Version { version: Arc<Version>, latest: bool },
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::embedded::digest::{Algorithm, Checksum};
    use crate::store::embedded::model::{Body, Headers, Versioning};

    fn bucket(keys: &[(&str, bool)]) -> Bucket {
        let record = BucketRecord::new(Timestamp::UNIX_EPOCH, Versioning::Enabled, false);
        let mut bucket = Bucket::new(record);
        for (sequence, (key, marker)) in keys.iter().enumerate() {
            let checksum = Checksum { algorithm: Algorithm::Crc32, value: String::new() };
            let body = Body { bytes: 1, etag: String::new(), checksum, headers: Headers::default() };
            bucket.put(Arc::new(Version {
                key: (*key).into(),
                id: format!("v{sequence}"),
                file: format!("f{sequence}"),
                sequence: sequence as u64,
                last_modified: Timestamp::UNIX_EPOCH,
                body: (!marker).then_some(body),
                retention: None,
                legal_hold: None,
            }));
        }
        bucket
    }

    fn read(bucket: &Bucket, mut scan: Scan) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..1000 {
            let page = bucket.scan(&scan);
            assert!(page.items.len() <= scan.limit);
            assert!(page.next.is_none() || page.items.len() == scan.limit, "short page that is not the last");
            lines.extend(page.items.iter().map(|item| match item {
                Item::Prefix(prefix) => prefix.clone(),
                Item::Version { version, latest } => {
                    format!("{}@{}{}", version.key, version.sequence, if *latest { "!" } else { "" })
                }
            }));
            match page.next {
                Some(after) => scan.after = after,
                None => return lines,
            }
        }
        panic!("the listing does not end");
    }

    fn scan(prefix: &str, delimiter: Option<&str>, limit: usize, current_only: bool) -> Scan {
        Scan { prefix: prefix.into(), delimiter: delimiter.map(Into::into), after: After::Start, limit, current_only }
    }

    #[test]
    fn pages_of_any_size_read_the_same() {
        let bucket = bucket(&[
            ("a/1", false),
            ("a/1", false),
            ("b", false),
            ("a/2", true),
            ("b", true),
            ("ä/ö", false),
            ("a/1", false),
            ("c/x/y", false),
            ("\u{10ffff}/z", false),
        ]);
        let all = ["a/1@6!", "a/1@1", "a/1@0", "a/2@3!", "b@4!", "b@2", "c/x/y@7!", "ä/ö@5!", "\u{10ffff}/z@8!"];
        let folders = ["a/", "b@4!", "b@2", "c/", "ä/", "\u{10ffff}/"];
        for limit in 1..=10 {
            assert_eq!(read(&bucket, scan("", None, limit, false)), all, "limit {limit}");
            assert_eq!(read(&bucket, scan("", Some("/"), limit, false)), folders, "limit {limit}");
            assert_eq!(read(&bucket, scan("a/", Some("/"), limit, false)), all[..4], "limit {limit}");
            assert_eq!(read(&bucket, scan("c/", Some("/"), limit, false)), ["c/x/"], "limit {limit}");
            assert_eq!(
                read(&bucket, scan("", None, limit, true)),
                ["a/1@6!", "c/x/y@7!", "ä/ö@5!", "\u{10ffff}/z@8!"],
                "limit {limit}"
            );
            assert_eq!(read(&bucket, scan("zz", None, limit, false)), [""; 0]);
        }
    }

    #[test]
    fn a_folder_of_deleted_objects_is_not_a_current_prefix() {
        let bucket = bucket(&[("gone/1", false), ("gone/1", true), ("here/1", false)]);
        assert_eq!(read(&bucket, scan("", Some("/"), 10, true)), ["here/"]);
        assert_eq!(read(&bucket, scan("", Some("/"), 10, false)), ["gone/", "here/"]);
    }

    #[test]
    fn markers_work_after_their_version_is_gone() {
        let mut bucket = bucket(&[("k", false), ("k", false), ("k", false), ("l", false)]);
        let first = bucket.scan(&scan("", None, 2, false));
        let marked = bucket.version("k", "v1").unwrap().clone();
        bucket.remove(&marked);
        let rest = Scan { after: first.next.unwrap(), ..scan("", None, 10, false) };
        assert_eq!(read(&bucket, rest), ["k@0", "l@3!"]);
    }

    #[test]
    fn successors() {
        assert_eq!(successor("a/").as_deref(), Some("a0"));
        assert_eq!(successor("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(successor("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(successor("\u{10ffff}"), None);
    }
}
