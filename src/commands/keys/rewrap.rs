//! `stonewal keys rewrap --all`: every stored data key for every recipient that counts. It adds wraps and changes none, and
//! may be interrupted and run again: the name of a wrap says whether it is there.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::every::{Use, each};
use crate::catalog::{self, Access, Finding, Repository};
use crate::commands::retention::firsts::Firsts;
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::keys::{self, Keyring};
use crate::limits::{FINDINGS_MAX, KEYS_IN_FLIGHT, SMALL_OBJECT_BYTES_MAX};
use crate::store::{Append, Creation, Entry, Lock, ObjectKey, Put, Read};

/// Whose keys.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys that read.
    pub access: Access,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// Recipients that count.
    pub recipients: usize,
    /// Data keys looked at.
    pub keys: u64,
    /// Wraps added.
    pub added: u64,
    /// Data keys that were wrapped to all of them already.
    pub already: u64,
    /// Data keys that could not be opened, and why; the first ones.
    pub closed: Vec<Closed>,
    /// How many could not be opened.
    pub closed_count: u64,
    /// How many of these are lost or were tampered with, rather than wrapped to others.
    pub damaged_count: u64,
    /// What cannot be read.
    pub findings: Vec<Finding>,
}

/// A data key that did not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// Id of the key.
    pub key: String,
    /// What it is a key of.
    pub of: String,
    /// Why it did not open.
    pub why: String,
    /// Whether the key is lost or was tampered with, rather than wrapped to others.
    pub damaged: bool,
}

impl Closed {
    /// Of an error of opening; what the store or KMS alone is to blame for is an error of the run.
    pub(super) fn of(key: &Use, error: catalog::Error) -> Result<Self> {
        match &error {
            catalog::Error::Store(store) if !store.is_about_the_object() => return Err(error.into()),
            catalog::Error::Keys(keys) if keys.is_of_kms() => return Err(error.into()),
            _ => {}
        }
        let damaged = !matches!(error, catalog::Error::Keys(keys::Error::NotARecipient { .. }));
        let why = crate::observe::chain(&error);
        Ok(Self { key: key.key().to_string(), of: key.to_string(), why, damaged })
    }
}

enum Step {
    Added,
    Already,
    Closed(Closed),
}

/// Wraps.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    connected.check_immutable().await?;
    let repository = connected.open(options.access).await?;
    let recipients = repository.with_keyring(|ring| ring.recipients().len());
    if recipients == 0 || !repository.with_keyring(Keyring::can_read_data) {
        let why = "data keys are wrapped by whoever can open them: give the passphrase";
        return Err(Error::Usage(why.into()));
    }
    let mut outcome = Outcome {
        location: connected.location.clone(),
        recipients,
        keys: 0,
        added: 0,
        already: 0,
        closed: Vec::new(),
        closed_count: 0,
        damaged_count: 0,
        findings: Vec::new(),
    };
    let (connected, repository) = (&connected, &repository);
    let found = each(repository, async |batch: Vec<Use>| {
        let steps = stream::iter(batch).map(|key| async move { one(connected, repository, &key).await });
        let steps: Vec<Step> = steps.buffer_unordered(KEYS_IN_FLIGHT).try_collect().await?;
        for step in steps {
            outcome.take(step);
        }
        Ok(())
    });
    let findings = found.await?;
    outcome.findings = findings;
    Ok(outcome)
}

impl Outcome {
    fn take(&mut self, step: Step) {
        self.keys += 1;
        match step {
            Step::Added => self.added += 1,
            Step::Already => self.already += 1,
            Step::Closed(closed) => {
                self.closed_count += 1;
                self.damaged_count += u64::from(closed.damaged);
                if self.closed.len() < FINDINGS_MAX {
                    self.closed.push(closed);
                }
            }
        }
    }
}

async fn one(connected: &Connected, repository: &Repository, of: &Use) -> Result<Step> {
    let key = match of.open(repository).await {
        Ok(key) => key,
        Err(error) => return Closed::of(of, error).map(Step::Closed),
    };
    let (tag, wrapped) = repository.with_keyring(|ring| (ring.wrap_tag(&key), keys::wrap(&key, ring.recipients())));
    if of.was_wrapped_as(tag) {
        return Ok(Step::Already);
    }
    let lock = lock(connected, repository, of).await?;
    let name = ObjectKey::new(repository.names().wrap(key.id(), tag));
    let put = Put { key: name, body: wrapped?.into(), lock: lock.map(|(_, lock)| lock) };
    Ok(match connected.store.put_new(put.clone()).await? {
        Creation::Stored(_) => Step::Added,
        // The name cannot be told without the key: it is ours. Its lock may be from long ago.
        Creation::Exists => match lock {
            Some((enough, _)) if renew(connected, &repository.names().wraps(key.id()), put, enough).await? => {
                Step::Added
            }
            _ => Step::Already,
        },
    })
}

/// Sees to it that one copy of a wrap stays locked as long as `enough`. True if one was added; `fresh` is what is stored
/// then, under another name.
async fn renew(connected: &Connected, wraps: &str, fresh: Put, enough: Lock) -> Result<bool> {
    let store = &*connected.store;
    let Some(ours) = first(store, fresh.key.as_str()).await? else { return put_copy(store, wraps, fresh).await };
    if outlasts(store, &ours, enough).await? {
        return Ok(false);
    }
    let Some(body) = body(store, &ours).await? else { return put_copy(store, wraps, fresh).await };
    let mut firsts = Firsts::of(store, wraps);
    while let Some(entries) = firsts.next().await? {
        for entry in entries.iter().filter(|entry| entry.bytes == ours.bytes && entry.key != ours.key) {
            if outlasts(store, entry, enough).await? && self::body(store, entry).await?.is_some_and(|it| it == body) {
                return Ok(false);
            }
        }
    }
    put_copy(store, wraps, Put { body, ..fresh }).await
}

async fn first(store: &dyn Read, key: &str) -> Result<Option<Entry>> {
    let mut firsts = Firsts::of(store, key);
    while let Some(entries) = firsts.next().await? {
        if let Some(found) = entries.into_iter().find(|entry| entry.key.as_str() == key) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn outlasts(store: &dyn Read, entry: &Entry, enough: Lock) -> Result<bool> {
    match store.head(&entry.key, &entry.version).await {
        Ok(head) => Ok(head.lock.is_some_and(|lock| lock.outlasts(enough))),
        Err(error) if error.is_about_the_object() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn body(store: &dyn Read, entry: &Entry) -> Result<Option<Bytes>> {
    if entry.bytes > SMALL_OBJECT_BYTES_MAX {
        return Ok(None);
    }
    match store.get(&entry.key, &entry.version, 0..entry.bytes).await {
        Ok(body) => Ok(Some(body)),
        Err(error) if error.is_about_the_object() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn put_copy<S: Append>(store: &S, wraps: &str, fresh: Put) -> Result<bool> {
    let key = ObjectKey::new(format!("{wraps}{}.age", keys::tag()?));
    store.put(Put { key, ..fresh }).await?;
    Ok(true)
}

/// How long a wrap must last: as long as what the key belongs to (invariant I11). And how long a new one is locked: at
/// least as long as anything written now, so that a wrap that lasts for half of that is not copied with every run.
async fn lock(connected: &Connected, repository: &Repository, of: &Use) -> Result<Option<(Lock, Lock)>> {
    let Some(now) = connected.lock()? else { return Ok(None) };
    let (key, version) = of.object(repository);
    let held = match connected.store.head(&key, &version).await {
        Ok(head) => head.lock,
        Err(error) if error.is_about_the_object() => None,
        Err(error) => return Err(error.into()),
    };
    let at_least = |least: Timestamp| {
        let retain_until = held.map_or(least, |held| held.retain_until.max(least));
        Lock { retain_until, ..now }
    };
    let at = connected.store.clock().now();
    let half = at.checked_add(at.duration_until(now.retain_until) / 2).unwrap_or(now.retain_until);
    Ok(Some((at_least(half), at_least(now.retain_until))))
}
