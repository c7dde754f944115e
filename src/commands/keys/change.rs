//! A change of the roster, from opening the bundle to the roster that counts.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::catalog::{self, Root, newest_roster, open_bundle, publish_roster, put_bundle};
use crate::commands::retention::firsts::Firsts;
use crate::commands::{Connected, Error, RepositoryOptions, Result};
use crate::format::Tag;
use crate::format::roster::{Retired, Roster, RosterBundle, RosterRecipient, is_name};
use crate::keys::{Bundle, Recipient};
use crate::limits::{RECIPIENTS_MAX, ROSTER_NAME_BYTES_MAX};
use crate::store::{Lock, Read as _};

/// A new passphrase has at least so many.
const PASSPHRASE_CHARACTERS_MIN: usize = 8;

/// Who changes the keys: the holder of a passphrase that counts.
#[derive(Debug)]
pub struct Holder {
    /// Where.
    pub repository: RepositoryOptions,
    /// Opens an identity bundle: only the root writer changes the roster.
    pub passphrase: SecretString,
    /// The one bundle to try.
    pub bundle: Option<Tag>,
}

/// A roster in the making.
pub(super) struct Change {
    pub(super) connected: Connected,
    pub(super) root: Root,
    /// What is to count next; its number is set when it is published.
    pub(super) roster: Roster,
    lock: Option<Lock>,
    /// The bundle stored for this change.
    stored: Option<Tag>,
}

impl Change {
    /// Opens the bundle. The first change of a repository first writes down what counted until then.
    pub(super) async fn begin(holder: &Holder) -> Result<Self> {
        let connected = Connected::to(&holder.repository).await?;
        connected.check_immutable().await?;
        let (store, names) = (&*connected.store, &connected.names);
        let root = open_bundle(store, names, holder.passphrase.clone(), holder.bundle, &connected.location).await?;
        let lock = connected.lock()?;
        let roster = if let Some(roster) = &root.roster {
            roster.clone()
        } else {
            let first = first(&root, store.clock().now());
            publish_roster(store, names, &root.bundle.writer, &first, lock).await?;
            first
        };
        Ok(Self { connected, root, roster, lock, stored: None })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.connected.store.clock().now()
    }

    /// Stores what another passphrase opens.
    pub(super) async fn put_bundle(&mut self, bundle: Bundle, passphrase: SecretString) -> Result<Tag> {
        let (store, names) = (&*self.connected.store, &self.connected.names);
        let print = put_bundle(store, names, &Arc::new(bundle), passphrase, self.lock).await?.1;
        self.stored = Some(print);
        Ok(print)
    }

    pub(super) fn add_recipient(&mut self, recipient: &Recipient, name: Option<String>) -> Result<()> {
        if self.roster.recipients.len() >= RECIPIENTS_MAX {
            let why = format!("there are {RECIPIENTS_MAX} recipients already, and no room for more: revoke one first");
            return Err(Error::Usage(why));
        }
        let since = self.now();
        self.roster.recipients.push(RosterRecipient { recipient: recipient.to_string(), name, since });
        Ok(())
    }

    /// The same unless it counts already. False if it did.
    pub(super) fn add_recipient_once(&mut self, recipient: &Recipient, name: Option<String>) -> Result<bool> {
        let text = recipient.to_string();
        if self.roster.recipients.iter().any(|one| one.recipient == text) {
            return Ok(false);
        }
        self.add_recipient(recipient, name).map(|()| true)
    }

    pub(super) fn add_bundle(&mut self, fingerprint: Tag, name: Option<String>) {
        let since = self.now();
        self.roster.bundles.push(RosterBundle { fingerprint, name, since });
    }

    /// From now on `recipient` counts no more.
    pub(super) fn retire_recipient(&mut self, recipient: &str) {
        let until = self.now();
        let (gone, stay) = self.roster.recipients.drain(..).partition(|one| one.recipient == recipient);
        self.roster.recipients = stay;
        let retire = |one: RosterRecipient| Retired { what: one.recipient, name: one.name, since: one.since, until };
        self.roster.retired.extend(Vec::into_iter(gone).map(retire));
    }

    /// From now on the bundles that `goes` says count no more. Their fingerprints.
    pub(super) fn retire_bundles(&mut self, goes: impl Fn(Tag) -> bool) -> Vec<String> {
        let until = self.now();
        let (gone, stay): (Vec<RosterBundle>, _) =
            self.roster.bundles.drain(..).partition(|bundle| goes(bundle.fingerprint));
        self.roster.bundles = stay;
        let retire = |bundle: &RosterBundle| Retired {
            what: bundle.fingerprint.to_string(),
            name: bundle.name.clone(),
            since: bundle.since,
            until,
        };
        self.roster.retired.extend(gone.iter().map(retire));
        gone.iter().map(|bundle| bundle.fingerprint.to_string()).collect()
    }

    /// Writes down that a bundle which never counted is one of the repository all the same: a change that was interrupted or
    /// came second left it. False if there is none, or it is known.
    pub(super) async fn retire_orphan(&mut self, print: Tag) -> Result<bool> {
        let prefix = self.connected.names.identity_copies(print);
        let mut firsts = Firsts::of(&*self.connected.store, &prefix);
        let mut is_there = false;
        while let Some(entries) = firsts.next().await? {
            is_there |= !entries.is_empty();
        }
        if !is_there || self.roster.knows_bundle(print) {
            return Ok(false);
        }
        let until = self.now();
        self.roster.retired.push(Retired { what: print.to_string(), name: None, since: until, until });
        Ok(true)
    }

    /// Makes it count. Whatever the store answers, what it lists decides; [`catalog::Error::UndecidedKeys`] if that tells
    /// nothing either.
    pub(super) async fn publish(&mut self) -> Result<()> {
        self.roster.generation += 1;
        self.roster.made_at = self.now();
        let (store, names) = (&*self.connected.store, &self.connected.names);
        let (writer, id) = (&self.root.bundle.writer, self.root.bundle.repository);
        let Err(error) = publish_roster(store, names, writer, &self.roster, self.lock).await else { return Ok(()) };
        match newest_roster(store, names, id, writer.public()).await {
            Ok(Some(now)) if now == self.roster => Ok(()),
            // One with a higher number may have been made from this one.
            Ok(now) if is_void(&error) && now.as_ref().is_none_or(|now| now.generation <= self.roster.generation) => {
                Err(match error {
                    catalog::Error::KeysChanged { .. } => catalog::Error::KeysChanged { orphan: self.stored }.into(),
                    error => error.into(),
                })
            }
            Ok(_) | Err(_) => Err(catalog::Error::UndecidedKeys { source: Box::new(error) }.into()),
        }
    }
}

/// Whether what was refused so will not count later either: a request without an answer may still arrive.
fn is_void(error: &catalog::Error) -> bool {
    match error {
        catalog::Error::Store(error) => error.is_permanent(),
        catalog::Error::Vanished { .. } => false,
        _ => true,
    }
}

/// What counts in a repository that has no roster yet: the one bundle and whom it names.
fn first(root: &Root, made_at: Timestamp) -> Roster {
    let Bundle { repository, identity, recipients, created_at: since, .. } = &root.bundle;
    let identity = identity.recipient().to_string();
    let recipients = std::iter::once(identity.clone()).chain(recipients.iter().map(ToString::to_string));
    let one = |recipient| RosterRecipient { recipient, name: None, since: *since };
    Roster {
        format: Roster::FORMAT,
        repository: *repository,
        generation: 1,
        made_at,
        recipients: recipients.map(one).collect(),
        identity,
        bundles: vec![RosterBundle { fingerprint: root.fingerprint, name: None, since: *since }],
        retired: Vec::new(),
    }
}

/// A name for people, if one was given and can be shown.
pub(super) fn checked_name(name: Option<String>) -> Result<Option<String>> {
    match name {
        Some(name) if !is_name(&name) => Err(Error::Usage(format!(
            "{name:?} is no name: 1 to {ROSTER_NAME_BYTES_MAX} bytes without control characters"
        ))),
        name => Ok(name),
    }
}

/// A new passphrase must be one, and another one.
pub(super) fn checked_passphrase(old: &SecretString, new: &SecretString) -> Result<()> {
    if new.expose_secret().is_empty() {
        return Err(Error::Usage("the new passphrase is empty".into()));
    }
    // Whoever copies the bucket tries passphrases for as long as they like, and what one of them opens is locked for years.
    if new.expose_secret().chars().count() < PASSPHRASE_CHARACTERS_MIN {
        let why = format!(
            "the new passphrase has fewer than {PASSPHRASE_CHARACTERS_MIN} characters: it would open every backup, and can be guessed"
        );
        return Err(Error::Usage(why));
    }
    if new.expose_secret() == old.expose_secret() {
        return Err(Error::Usage("the new passphrase is the old one".into()));
    }
    Ok(())
}
