//! `stonewal keys rewrap --all`: every stored data key for every recipient that counts. It adds wraps and changes none, and
//! may be interrupted and run again: the name of a wrap says whether it is there.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::every::{Use, each};
use crate::catalog::{self, Access, Finding, Repository};
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::keys::{self, Keyring};
use crate::limits::{FINDINGS_MAX, KEYS_IN_FLIGHT};
use crate::store::{Append as _, Creation, Lock, ObjectKey, Put, Read as _};

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
    /// Of an error of opening; what the store alone is to blame for is an error of the run.
    pub(super) fn of(key: &Use, error: catalog::Error) -> Result<Self> {
        if matches!(&error, catalog::Error::Store(error) if !error.is_about_the_object()) {
            return Err(error.into());
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
    let put = Put { key: ObjectKey::new(repository.names().wrap(key.id(), tag)), body: wrapped?.into(), lock };
    Ok(match connected.store.put_new(put).await? {
        Creation::Stored(_) => Step::Added,
        // The name cannot be told without the key: it is ours.
        Creation::Exists => Step::Already,
    })
}

/// As long as anything written now, and as long as what the key belongs to (invariant I11).
async fn lock(connected: &Connected, repository: &Repository, of: &Use) -> Result<Option<Lock>> {
    let Some(now) = connected.lock()? else { return Ok(None) };
    let (key, version) = of.object(repository);
    let held = match connected.store.head(&key, &version).await {
        Ok(head) => head.lock,
        Err(error) if error.is_about_the_object() => None,
        Err(error) => return Err(error.into()),
    };
    let retain_until = held.map_or(now.retain_until, |held| held.retain_until.max(now.retain_until));
    Ok(Some(Lock { retain_until, ..now }))
}
