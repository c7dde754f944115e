//! `stonewal keys list`: passphrases, recipients and writers, and what is known of who can read what.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::every::{Use, each};
use crate::catalog::{Access, Finding, Repository, each_entry};
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::format::roster::Roster;
use crate::format::{KeyId, RepositoryId, Tag};
use crate::keys::Keyring;
use crate::limits::KEYS_IN_FLIGHT;
use crate::store::{Entry, Read as _};

/// What to list.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys of any kind; those that read, if data keys are to be counted.
    pub access: Access,
    /// Count data keys by recipient.
    pub data_keys: bool,
}

/// A passphrase's bundle, or a recipient.
#[derive(Debug, Serialize)]
pub struct Key {
    /// Fingerprint, or `age1…`.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// Since when it has counted, where that is written down.
    pub since: Option<Timestamp>,
    /// Since when it counts no more.
    pub until: Option<Timestamp>,
    /// When the last lock of its copies ends: bundles only.
    pub locked_until: Option<Timestamp>,
    /// Data keys known to be wrapped to it, if they were counted: recipients only.
    pub data_keys: Option<u64>,
    /// Whether it is the one behind the passphrases.
    pub is_identity: bool,
}

/// A host that may publish.
#[derive(Debug, Serialize)]
pub struct Writer {
    /// Short id of its key.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When its first certificate arrived.
    pub since: Timestamp,
    /// When the last lock of its certificates ends.
    pub locked_until: Option<Timestamp>,
}

/// Data keys, as far as it can be known to whom they are wrapped.
#[derive(Debug, Default, Serialize)]
pub struct DataKeys {
    /// All.
    pub total: u64,
    /// Those of which it is known.
    pub known: u64,
    /// Those that these keys do not open.
    pub closed: u64,
}

/// Everything.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Bucket and prefix.
    pub location: String,
    /// Id of the repository.
    pub repository: RepositoryId,
    /// Number of the roster; `None` before the first change of keys.
    pub generation: Option<u64>,
    /// Bundles that passphrases open.
    pub passphrases: Vec<Key>,
    /// Recipients of data keys.
    pub recipients: Vec<Key>,
    /// Hosts with writer files; the passphrases publish as the root writer.
    pub writers: Vec<Writer>,
    /// Short id of the root writer.
    pub root_writer: String,
    /// Counts, if they were asked for.
    pub data_keys: Option<DataKeys>,
    /// What does not belong there.
    pub findings: Vec<Finding>,
}

/// Lists.
pub async fn run(options: Options) -> Result<Outcome> {
    let connected = Connected::to(&options.repository).await?;
    let repository = connected.open(options.access).await?;
    if options.data_keys && !repository.with_keyring(Keyring::can_read_data) {
        return Err(Error::Usage("--data-keys needs keys that read: the passphrase or a recovery file".into()));
    }
    let roster = repository.roster();
    let (mut passphrases, mut recipients) = match &roster {
        Some(roster) => rows(roster),
        None => unwritten(&repository),
    };
    for row in &mut passphrases {
        if let Ok(print) = row.id.parse::<Tag>() {
            row.locked_until = last_lock(&connected, &repository.names().identity_copies(print)).await?;
        }
    }
    let mut writers = Vec::new();
    for (certificate, Entry { last_modified, .. }) in repository.certificates().await? {
        let id = certificate.writer.id();
        let locked_until = last_lock(&connected, &repository.names().writer_copies(&id)).await?;
        writers.push(Writer { id, name: certificate.name, since: last_modified, locked_until });
    }
    let data_keys = if options.data_keys {
        let (counts, by_recipient) = count(&repository).await?;
        for row in &mut recipients {
            row.data_keys = Some(by_recipient.get(&row.id).copied().unwrap_or(0));
        }
        Some(counts)
    } else {
        None
    };
    Ok(Outcome {
        location: connected.location,
        repository: repository.id(),
        generation: roster.map(|roster| roster.generation),
        passphrases,
        recipients,
        writers,
        root_writer: repository.with_keyring(|ring| ring.root().id()),
        data_keys,
        findings: repository.findings().to_vec(),
    })
}

fn row(id: String, name: Option<String>, since: Option<Timestamp>, until: Option<Timestamp>) -> Key {
    Key { id, name, since, until, locked_until: None, data_keys: None, is_identity: false }
}

/// Passphrases and recipients, those that count first.
fn rows(roster: &Roster) -> (Vec<Key>, Vec<Key>) {
    let bundles = roster.bundles.iter();
    let bundles = bundles.map(|one| row(one.fingerprint.to_string(), one.name.clone(), Some(one.since), None));
    let recipients = roster.recipients.iter().map(|one| Key {
        is_identity: one.recipient == roster.identity,
        ..row(one.recipient.clone(), one.name.clone(), Some(one.since), None)
    });
    let (mut bundles, mut recipients): (Vec<_>, Vec<_>) = (bundles.collect(), recipients.collect());
    for one in &roster.retired {
        let retired = row(one.what.clone(), one.name.clone(), Some(one.since), Some(one.until));
        if one.what.parse::<Tag>().is_ok() { bundles.push(retired) } else { recipients.push(retired) }
    }
    (bundles, recipients)
}

/// What the keys at hand know before the first change.
fn unwritten(repository: &Repository) -> (Vec<Key>, Vec<Key>) {
    repository.with_keyring(|ring| {
        let bundles = ring.bundles().iter().map(|print| row(print.to_string(), None, None, None)).collect();
        let recipients = ring
            .recipients()
            .iter()
            .enumerate()
            .map(|(place, recipient)| Key { is_identity: place == 0, ..row(recipient.to_string(), None, None, None) });
        (bundles, recipients.collect())
    })
}

/// The end of the longest lock below a prefix.
async fn last_lock(connected: &Connected, prefix: &str) -> Result<Option<Timestamp>> {
    let mut entries = Vec::new();
    each_entry(&*connected.store, prefix, |entry| {
        if !entry.delete_marker && entries.len() < KEYS_IN_FLIGHT {
            entries.push(entry);
        }
    })
    .await?;
    let mut last = None;
    for entry in entries {
        let held = connected.store.head(&entry.key, &entry.version).await?.lock;
        last = last.max(held.map(|lock| lock.retain_until));
    }
    Ok(last)
}

/// Whom data keys are wrapped to. An age file does not say; the name of a wrap does to whoever can open the key, if it was
/// wrapped to the recipients of a roster that is still there.
async fn count(repository: &Repository) -> Result<(DataKeys, BTreeMap<String, u64>)> {
    let mut sets: Vec<Vec<String>> = Vec::new();
    let now = repository.with_keyring(|ring| ring.recipients().iter().map(ToString::to_string).collect::<Vec<_>>());
    sets.push(now);
    for roster in repository.rosters().await? {
        sets.push(roster.recipients.into_iter().map(|one| one.recipient).collect());
    }
    let (mut counts, mut by_recipient) = (DataKeys::default(), BTreeMap::new());
    let sets = &sets;
    each(repository, async |batch: Vec<Use>| {
        let asked = stream::iter(batch).map(|key| async move { holders(repository, &key, sets).await });
        let asked: Vec<Option<Vec<&String>>> = asked.buffer_unordered(KEYS_IN_FLIGHT).try_collect().await?;
        for holders in asked {
            counts.total += 1;
            let Some(holders) = holders else {
                counts.closed += 1;
                continue;
            };
            counts.known += u64::from(!holders.is_empty());
            for holder in holders {
                *by_recipient.entry(holder.clone()).or_insert(0) += 1;
            }
        }
        Ok(())
    })
    .await?;
    Ok((counts, by_recipient))
}

/// The recipients that a key is known to be wrapped to; `None` if it does not open here.
async fn holders<'a>(repository: &Repository, of: &Use, sets: &'a [Vec<String>]) -> Result<Option<Vec<&'a String>>> {
    let key = match of.open(repository).await {
        Ok(key) => key,
        Err(error) => return super::rewrap::Closed::of(of, error).map(|_| None),
    };
    let added = added(repository, of.key()).await?;
    let mut holders = Vec::new();
    for set in sets {
        let tag = key.wrap_tag(set.iter().map(String::as_str));
        if of.was_wrapped_as(tag) || added.contains(&repository.names().wrap(of.key(), tag)) {
            holders.extend(set);
        }
    }
    holders.sort_unstable();
    holders.dedup();
    Ok(Some(holders))
}

/// Names of the wraps of one key.
async fn added(repository: &Repository, key: KeyId) -> Result<Vec<String>> {
    let mut names = Vec::new();
    each_entry(&**repository.store(), &repository.names().wraps(key), |entry| {
        if names.len() < crate::limits::FIRST_VERSIONS_MAX {
            names.push(entry.key.to_string());
        }
    })
    .await?;
    Ok(names)
}
