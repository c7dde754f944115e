//! Finding the identity bundle that a passphrase opens.

use bytes::Bytes;
use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::error::believed;
use super::listing::{Oldest, first_versions};
use super::roster::{hinted_bundles, newest};
use super::{Error, Finding, FindingKind, Result};
use crate::format::Tag;
use crate::format::names::Names;
use crate::format::roster::Roster;
use crate::keys::{Bundle, Recipient};
use crate::limits::{FINDINGS_MAX, IDENTITY_BUNDLES_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::store::{self, Entry, Read};

/// The root: what only the holder of a passphrase that counts can do is done with it.
#[derive(Debug)]
pub struct Root {
    /// The bundle; its recipients are those of the roster, where there is one.
    pub bundle: Bundle,
    /// Its fingerprint.
    pub fingerprint: Tag,
    /// The roster that counts.
    pub roster: Option<Roster>,
}

/// Opens the identity bundle of a repository, or the one that is `wanted`, for what only the root writer may do. A
/// passphrase that counts no more is refused.
pub async fn open_bundle(
    store: &dyn Read,
    names: &Names,
    passphrase: SecretString,
    wanted: Option<Tag>,
    location: &str,
) -> Result<Root> {
    let Found { mut bundle, fingerprint, .. } = find_bundle(store, names, passphrase, wanted, location).await?;
    let roster = newest(store, names, bundle.repository, bundle.writer.public()).await?.map(|found| found.roster);
    if let Some(roster) = &roster {
        if !roster.has_bundle(fingerprint) {
            let since = roster.retired_at(&fingerprint.to_string()).unwrap_or(roster.made_at);
            return Err(crate::keys::Error::Retired { since }.into());
        }
        let others = roster.recipients.iter().filter(|one| one.recipient != roster.identity);
        bundle.recipients = others.map(|one| one.recipient.parse::<Recipient>()).collect::<Result<_, _>>()?;
    }
    Ok(Root { bundle, fingerprint, roster })
}

/// A bundle that opened, and what was found beside it.
pub(super) struct Found {
    pub(super) bundle: Bundle,
    pub(super) fingerprint: Tag,
    pub(super) beside: Vec<Finding>,
    /// Other bundles: forged, unless the roster knows them.
    pub(super) strangers: Vec<(Tag, Finding)>,
}

/// The identity bundle that opens under the passphrase: one of the few newest that the roster names, else the oldest one
/// that does. Copies of one bundle cost one attempt.
pub(super) async fn find_bundle(
    store: &dyn Read,
    names: &Names,
    passphrase: SecretString,
    wanted: Option<Tag>,
    location: &str,
) -> Result<Found> {
    if wanted.is_none() {
        for hinted in hinted_bundles(store, names).await? {
            // What one side keeps to itself must not keep another passphrase from its own bundle.
            if let Some(found) = believed(search(store, names, passphrase.clone(), Some(hinted), location).await)? {
                return with_strangers(store, names, found).await;
            }
        }
    }
    search(store, names, passphrase, wanted, location).await
}

/// What lies beside a bundle that was found at once.
async fn with_strangers(store: &dyn Read, names: &Names, mut found: Found) -> Result<Found> {
    let (entries, beside) = first_versions(store, &names.identities()).await?;
    found.beside.extend(beside);
    found.sort(names, &entries);
    Ok(found)
}

/// The oldest identity bundle that opens, or the one that is `wanted`.
async fn search(
    store: &dyn Read,
    names: &Names,
    passphrase: SecretString,
    wanted: Option<Tag>,
    location: &str,
) -> Result<Found> {
    let prefix = wanted.map_or_else(|| names.identities(), |fingerprint| names.identity_copies(fingerprint));
    let (mut findings, mut tried, mut refusal) = (Vec::new(), Vec::new(), None);
    let (mut strangers, mut unread) = (Vec::new(), None);
    let mark = store.unheard();
    let mut oldest = Oldest::and_later(store, prefix);
    while let Some((entries, beside)) = oldest.next().await? {
        findings.extend(beside);
        for entry in &entries {
            let (fingerprint, bytes) = match candidate(store, names, entry, &tried).await? {
                Candidate::Bundle(fingerprint, bytes) if tried.len() < IDENTITY_BUNDLES_MAX => (fingerprint, bytes),
                Candidate::Unread(error) => {
                    if findings.len() < FINDINGS_MAX {
                        findings.push(forged(entry, "it cannot be read"));
                    }
                    unread.get_or_insert(error);
                    continue;
                }
                Candidate::Forged(why) if findings.len() < FINDINGS_MAX => {
                    findings.push(forged(entry, why));
                    continue;
                }
                Candidate::Tried | Candidate::Forged(_) | Candidate::Bundle(..) => continue,
            };
            tried.push(fingerprint);
            let passphrase = passphrase.clone();
            match spawn_blocking(move || Bundle::open(&bytes, &passphrase)).await? {
                Ok(bundle) => {
                    let mut found = Found { bundle, fingerprint, beside: findings, strangers };
                    // Those before it were told.
                    let later =
                        entries.iter().position(|entry| names.fingerprint_of(entry.key.as_str()) == Some(fingerprint));
                    found.sort(names, &entries[later.unwrap_or(0)..]);
                    return Ok(found);
                }
                Err(error) => {
                    strangers.push((fingerprint, forged(entry, "it does not open under the passphrase")));
                    // The oldest bundle is the genuine one, so its refusal is the one to tell.
                    refusal.get_or_insert(error);
                }
            }
        }
    }
    store.all_heard(mark)?;
    Err(match (refusal, unread) {
        (Some(error), _) => Error::Keys(error),
        // PAINS D9: what these credentials may not read is there.
        (None, Some(error)) => Error::Store(error),
        (None, None) => Error::NoRepository { location: location.to_owned() },
    })
}

impl Found {
    /// Takes in what lies among the bundles and is neither the one that opened nor named like a copy of it.
    fn sort(&mut self, names: &Names, entries: &[Entry]) {
        for entry in entries {
            let room = self.beside.len() + self.strangers.len() < FINDINGS_MAX;
            match names.fingerprint_of(entry.key.as_str()) {
                _ if !room => {}
                None => self.beside.push(forged(entry, "it is not named like an identity bundle")),
                Some(print) if print == self.fingerprint => {}
                Some(print) => self.strangers.push((print, forged(entry, "it is not a copy of the identity bundle"))),
            }
        }
    }
}

/// What an object among the bundles is.
enum Candidate {
    Tried,
    Forged(&'static str),
    Unread(store::Error),
    Bundle(Tag, Bytes),
}

async fn candidate(store: &dyn Read, names: &Names, entry: &Entry, tried: &[Tag]) -> Result<Candidate> {
    let Some(fingerprint) = names.fingerprint_of(entry.key.as_str()) else {
        return Ok(Candidate::Forged("it is not named like an identity bundle"));
    };
    if tried.contains(&fingerprint) {
        return Ok(Candidate::Tried);
    }
    if entry.bytes > SMALL_OBJECT_BYTES_MAX {
        return Ok(Candidate::Forged("it is too long for an identity bundle"));
    }
    match store.get(&entry.key, &entry.version, 0..entry.bytes).await {
        Ok(bytes) if Bundle::fingerprint(&bytes) != fingerprint => {
            Ok(Candidate::Forged("its content is not what its name says"))
        }
        Ok(bytes) => Ok(Candidate::Bundle(fingerprint, bytes)),
        Err(error) if error.is_about_the_object() => Ok(Candidate::Unread(error)),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn forged(entry: &Entry, why: &str) -> Finding {
    Finding::new(FindingKind::ForgedKey, entry.key.as_str(), Some(entry.version.as_str()), why)
}
