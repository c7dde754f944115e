//! A bucket in memory, for tests: versions, delete markers and locks as S3 has them, without HTTP.
//!
//! A lock holds against [`Prune`] as Object Lock does; everything else an attacker may do (write over a key, lay a delete
//! marker on it, remove what is not locked) works. Versions of one key keep the order in which they were written.
//!
//! Nothing outside tests may name this module.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ring::digest;

use super::{
    Append, Creation, Entry, Error, Head, ListQuery, Lock, LockMode, Newest, ObjectKey, Page, PageToken, Prune, Put,
    Read, Readiness, Result, Retain, StoreClock, Stored, VersionId, VersionOf,
};

/// One version, or a delete marker if it has no body.
#[derive(Clone, Debug)]
struct Version {
    id: VersionId,
    body: Option<Bytes>,
    at: Timestamp,
    lock: Option<Lock>,
    held: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Versions of each key, oldest first.
    objects: BTreeMap<String, Vec<Version>>,
    written: u64,
    last: Timestamp,
    /// Locks that end later are denied.
    locks_until: Option<Timestamp>,
}

impl State {
    fn add(&mut self, now: Timestamp, key: &ObjectKey, body: Option<Bytes>, lock: Option<Lock>) -> VersionId {
        self.written += 1;
        self.last = now.max(self.last.checked_add(SignedDuration::from_nanos(1)).unwrap_or(now));
        // Opaque, as every store's: neither a number nor in an order.
        let id = VersionId::new(format!("{:016x}.v", self.written.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let version = Version { id: id.clone(), body, at: self.last, lock, held: false };
        self.objects.entry(key.as_str().to_owned()).or_default().push(version);
        id
    }
}

#[derive(Debug, Default)]
struct Bucket {
    state: Mutex<State>,
    clock: StoreClock,
    page: usize,
    reads: AtomicU64,
}

/// The bucket; clones are the same one.
#[derive(Clone, Debug)]
pub struct Memory {
    bucket: Arc<Bucket>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::paged(1000)
    }
}

impl Memory {
    /// A bucket whose listings have at most `page` entries a page.
    pub fn paged(page: usize) -> Self {
        Self { bucket: Arc::new(Bucket { page: page.max(1), ..Bucket::default() }) }
    }

    /// Lays a delete marker on `key`, as a plain DELETE does.
    pub fn mark_deleted(&self, key: &ObjectKey) {
        self.add(key, None, None);
    }

    /// Every key with versions, in order.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.locked(|state| state.objects.keys().map(ObjectKey::new).collect())
    }

    /// The oldest body of `key` with its lock: what a reader that believes first versions sees.
    pub fn first(&self, key: &ObjectKey) -> Option<(Bytes, Option<Lock>)> {
        self.locked(|state| {
            let versions = state.objects.get(key.as_str())?;
            versions.iter().find_map(|version| Some((version.body.clone()?, version.lock)))
        })
    }

    /// Every body in the order in which it was written.
    pub fn dump(&self) -> Vec<(ObjectKey, VersionId, Bytes)> {
        let mut all = self.locked(|state| {
            let each = state.objects.iter().flat_map(|(key, versions)| versions.iter().map(move |v| (key, v)));
            let bodies = each.filter_map(|(key, v)| Some((v.at, ObjectKey::new(key), v.id.clone(), v.body.clone()?)));
            bodies.collect::<Vec<_>>()
        });
        all.sort_by_key(|(at, ..)| *at);
        all.into_iter().map(|(_, key, version, body)| (key, version, body)).collect()
    }

    /// Puts back one entry of a [`Memory::dump`], its version id included.
    pub fn load(&self, key: &ObjectKey, version: VersionId, body: Bytes) {
        let fresh = self.add(key, Some(body), None);
        let _ = self.version(key, &fresh, |found| {
            found.id = version;
            Ok(())
        });
    }

    /// Replaces the bytes of every version of `key`, which no S3 API can do: broken storage, or a hostile operator.
    pub fn alter(&self, key: &ObjectKey, change: impl Fn(&[u8]) -> Vec<u8>) {
        self.locked(|state| {
            for version in state.objects.get_mut(key.as_str()).into_iter().flatten() {
                version.body = version.body.as_deref().map(|body| change(body).into());
            }
        });
    }

    /// From here on denies objects with locks that end later, as the policy of a bucket may.
    pub fn deny_locks_beyond(&self, end: Timestamp) {
        self.locked(|state| state.locks_until = Some(end));
    }

    /// How many objects were read so far.
    pub fn reads(&self) -> u64 {
        self.bucket.reads.load(Ordering::Relaxed)
    }

    fn locked<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.bucket.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, key: &ObjectKey, body: Option<Bytes>, lock: Option<Lock>) -> VersionId {
        let now = self.bucket.clock.now();
        self.locked(|state| state.add(now, key, body, lock))
    }

    fn version<T>(
        &self,
        key: &ObjectKey,
        version: &VersionId,
        take: impl FnOnce(&mut Version) -> Result<T>,
    ) -> Result<T> {
        self.locked(|state| {
            let versions = state.objects.get_mut(key.as_str()).into_iter().flatten();
            let found = versions.into_iter().find(|found| found.id == *version);
            take(found.ok_or_else(|| Error::NotFound { key: key.clone(), version: Some(version.clone()) })?)
        })
    }
}

#[async_trait]
impl Read for Memory {
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> Result<Bytes> {
        self.bucket.reads.fetch_add(1, Ordering::Relaxed);
        let body = self.version(key, version, |found| Ok(found.body.clone()))?;
        let missing = || Error::NotFound { key: key.clone(), version: Some(version.clone()) };
        let body = body.ok_or_else(missing)?;
        let short = |_| Error::Corrupt { target: key.to_string(), what: "the range is absurd".into() };
        let (start, end) = (usize::try_from(range.start).map_err(short)?, usize::try_from(range.end).map_err(short)?);
        if end > body.len() || start > end {
            let what = format!("it has {} bytes, {start} to {end} were asked for", body.len());
            return Err(Error::Corrupt { target: key.to_string(), what });
        }
        Ok(body.slice(start..end))
    }

    async fn newest(&self, key: &ObjectKey, most: u64) -> Result<Option<Newest>> {
        let newest = self.locked(|state| state.objects.get(key.as_str())?.last().cloned());
        Ok(newest.and_then(|Version { id, body, .. }| {
            let body = body?;
            let taken = usize::try_from(most).unwrap_or(usize::MAX).min(body.len());
            Some(Newest { version: id, bytes: body.len() as u64, body: body.slice(..taken) })
        }))
    }

    async fn head(&self, key: &ObjectKey, version: &VersionId) -> Result<Head> {
        self.version(key, version, |found| {
            let missing = || Error::NotFound { key: key.clone(), version: Some(version.clone()) };
            let bytes = found.body.as_ref().ok_or_else(missing)?.len() as u64;
            Ok(Head { bytes, last_modified: found.at, lock: found.lock, held: found.held, readiness: Readiness::Ready })
        })
    }

    async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
        let all = self.locked(|state| entries(state, &query.prefix));
        let (mut page, mut folders) = (Page::default(), BTreeSet::new());
        let mut rest = all.into_iter().peekable();
        if let Some(token) = token {
            let seen = |entry: &Entry| {
                entry.key.as_str() == token.key && Some(entry.version.as_str()) == token.version.as_deref()
            };
            while rest.next_if(|entry| entry.key.as_str() <= token.key.as_str() && !seen(entry)).is_some() {}
            rest.next_if(seen);
        }
        let mut last = None;
        while page.entries.len() + folders.len() < self.bucket.page {
            let Some(entry) = rest.next() else { break };
            last = Some(token_of(&entry));
            let below = &entry.key.as_str()[query.prefix.len()..];
            match below.split_once('/').filter(|_| query.by_folder) {
                Some((folder, _)) => {
                    let folder = format!("{}{folder}/", query.prefix);
                    while let Some(entry) = rest.next_if(|entry| entry.key.as_str().starts_with(&folder)) {
                        last = Some(token_of(&entry));
                    }
                    folders.insert(folder);
                }
                None => page.entries.push(entry),
            }
        }
        page.prefixes = folders.into_iter().collect();
        page.next = last.filter(|_| rest.peek().is_some());
        Ok(page)
    }

    fn clock(&self) -> &StoreClock {
        &self.bucket.clock
    }
}

fn token_of(entry: &Entry) -> PageToken {
    PageToken { key: entry.key.to_string(), version: Some(entry.version.to_string()) }
}

/// As good as any store's: equal bodies have equal ones.
fn etag(body: &Bytes) -> String {
    format!("{:?}", digest::digest(&digest::SHA256, body))
}

/// Versions and markers below `prefix` in key order, newest of a key first.
fn entries(state: &State, prefix: &str) -> Vec<Entry> {
    let below = state.objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
    let versions = below.flat_map(|(key, versions)| {
        versions.iter().rev().enumerate().map(move |(age, version)| Entry {
            key: ObjectKey::new(key),
            version: version.id.clone(),
            last_modified: version.at,
            bytes: version.body.as_ref().map_or(0, |body| body.len() as u64),
            etag: version.body.as_ref().map_or_else(String::new, etag),
            delete_marker: version.body.is_none(),
            is_latest: age == 0,
            class: None,
        })
    });
    versions.collect()
}

#[async_trait]
impl Append for Memory {
    async fn put(&self, put: Put) -> Result<Stored> {
        let end = self.locked(|state| state.locks_until);
        if put.lock.zip(end).is_some_and(|(lock, end)| lock.retain_until > end) {
            return Err(denied("s3:PutObject", &put.key));
        }
        Ok(Stored { version: self.add(&put.key, Some(put.body), put.lock) })
    }

    async fn put_hashed(&self, put: Put, sha256: [u8; 32]) -> Result<Stored> {
        if digest::digest(&digest::SHA256, &put.body).as_ref() != sha256 {
            let what = "it has another SHA-256 than announced".into();
            return Err(Error::Corrupt { target: put.key.to_string(), what });
        }
        self.put(put).await
    }

    async fn put_new(&self, put: Put) -> Result<Creation> {
        let now = self.bucket.clock.now();
        Ok(self.locked(|state| {
            let newest = state.objects.get(put.key.as_str()).and_then(|versions| versions.last());
            if newest.is_some_and(|newest| newest.body.is_some()) {
                return Creation::Exists;
            }
            Creation::Stored(Stored { version: state.add(now, &put.key, Some(put.body), put.lock) })
        }))
    }
}

#[async_trait]
impl Retain for Memory {
    async fn lock_of(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Lock>> {
        self.version(key, version, |found| Ok(found.lock))
    }

    async fn set_lock(&self, key: &ObjectKey, version: &VersionId, lock: Lock) -> Result<()> {
        let now = self.bucket.clock.now();
        self.version(key, version, |found| match found.lock.filter(|held| held.retain_until > now) {
            Some(held) if held.retain_until > lock.retain_until || held.mode != lock.mode => {
                Err(denied("s3:PutObjectRetention", key))
            }
            _ => {
                found.lock = Some(lock);
                Ok(())
            }
        })
    }

    async fn hold_of(&self, key: &ObjectKey, version: &VersionId) -> Result<bool> {
        self.version(key, version, |found| Ok(found.held))
    }

    async fn set_hold(&self, key: &ObjectKey, version: &VersionId, on: bool) -> Result<()> {
        self.version(key, version, |found| {
            found.held = on;
            Ok(())
        })
    }
}

#[async_trait]
impl Prune for Memory {
    async fn delete_version(&self, key: &ObjectKey, version: &VersionId, bypass: bool) -> Result<()> {
        let now = self.bucket.clock.now();
        self.version(key, version, |found| match found.lock.filter(|lock| lock.retain_until > now) {
            _ if found.held => Err(denied("s3:DeleteObjectVersion", key)),
            Some(Lock { mode: LockMode::Governance, .. }) if bypass => Ok(()),
            Some(_) => Err(denied("s3:DeleteObjectVersion", key)),
            None => Ok(()),
        })?;
        self.locked(|state| {
            if let Some(versions) = state.objects.get_mut(key.as_str()) {
                versions.retain(|found| found.id != *version);
            }
            state.objects.retain(|_, versions| !versions.is_empty());
        });
        Ok(())
    }

    async fn delete_versions(&self, doomed: &[VersionOf]) -> Result<Vec<Result<()>>> {
        let mut answers = Vec::new();
        for VersionOf { key, version } in doomed {
            answers.push(match self.delete_version(key, version, false).await {
                Err(Error::NotFound { .. }) => Ok(()),
                answer => answer,
            });
        }
        Ok(answers)
    }
}

fn denied(action: &'static str, key: &ObjectKey) -> Error {
    Error::Denied { action, target: key.to_string(), code: "AccessDenied: the object is locked".into() }
}
