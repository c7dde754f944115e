//! What every backup stands on: the repository record, the identity bundle, writer certificates. They are made once and
//! must stay locked for longer than anything that needs them (invariant I11).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::listing::{Oldest, read_small};
use super::{Finding, FindingKind, Repository, Result};
use crate::format::Tag;
use crate::format::manifest::RepositoryRecord;
use crate::format::names::Names;
use crate::keys::{Bundle, Certificate, Keyring, tag};
use crate::limits::COPIES_READ_MAX;
use crate::store::{Append, Entry, Lock, ObjectKey, Put, Read};

/// Makes a repository below `names`, which must be empty of one: first the identity bundle, then the record. Returns the
/// bundle's object.
pub async fn found<S: Read + Append>(
    store: &S,
    names: &Names,
    bundle: &Arc<Bundle>,
    passphrase: SecretString,
    lock: Option<Lock>,
) -> Result<ObjectKey> {
    let (key, _) = put_bundle(store, names, bundle, passphrase, lock).await?;
    put_record(store, names, bundle, lock).await?;
    Ok(key)
}

/// Seals a bundle under a passphrase and stores it. Returns its object and its fingerprint.
pub async fn put_bundle<S: Append>(
    store: &S,
    names: &Names,
    bundle: &Arc<Bundle>,
    passphrase: SecretString,
    lock: Option<Lock>,
) -> Result<(ObjectKey, Tag)> {
    let sealing = bundle.clone();
    let sealed = spawn_blocking(move || sealing.seal(&passphrase)).await??;
    let fingerprint = Bundle::fingerprint(&sealed);
    let key = ObjectKey::new(names.identity(fingerprint, tag()?));
    store.put(Put { key: key.clone(), body: sealed.into(), lock }).await?;
    Ok((key, fingerprint))
}

/// Writes the repository record: the second half of [`found`], also on its own when that was interrupted.
pub async fn put_record<S: Read + Append>(store: &S, names: &Names, bundle: &Bundle, lock: Option<Lock>) -> Result<()> {
    let (repository, created_at) = (bundle.repository, bundle.created_at);
    let record = RepositoryRecord { format: RepositoryRecord::FORMAT, repository, created_at };
    let body = record.encode(bundle.writer.public(), |message| bundle.writer.sign(message))?.into();
    store.put(Put { key: ObjectKey::new(names.repository()), body, lock }).await?;
    Ok(())
}

/// Stores the certificate by which the repository trusts a new host.
pub async fn publish_certificate(
    store: &dyn Append,
    names: &Names,
    bundle: &Bundle,
    certificate: &Certificate,
    lock: Option<Lock>,
) -> Result<()> {
    let body = certificate.encode(&bundle.writer)?.into();
    let key = ObjectKey::new(names.writer(&certificate.writer.id(), tag()?));
    store.put(Put { key, body, lock }).await?;
    Ok(())
}

/// Sees to it that the identity bundles, the roster and the publisher's certificate stay locked at least until `lock` ends (invariant
/// I11). One whose locks are all shorter is copied under a new name with a lock twice as long, but no further ahead than `most`
/// unless that was asked for: the backup role may add and may not extend. Only what is genuine counts, whatever an attacker planted under the same name; what is gone
/// altogether is returned.
pub async fn outlive<S: Read + Append>(
    store: &S,
    repository: &Repository,
    lock: Lock,
    most: Duration,
) -> Result<Vec<Finding>> {
    let names = repository.names();
    let mut gone = Vec::new();
    let mut lost = |prefix: String, what: &str| gone.push(Finding::new(FindingKind::Missing, prefix, None, what));
    for print in repository.with_keyring(Keyring::bundles) {
        let prefix = names.identity_copies(print);
        let sought = Sought {
            may_be: |_: &Entry| true,
            genuine: |bytes: &[u8]| Bundle::fingerprint(bytes) == print,
            known: None,
        };
        if !renew(store, &prefix, sought, || Ok(names.identity(print, tag()?)), (lock, most)).await? {
            lost(prefix, "the identity bundle is gone: the passphrase opens nothing without a copy of it");
        }
    }
    if let Some(found) = repository.found_roster() {
        let prefix = names.roster(found.roster.generation, None);
        let fresh = || Ok(names.roster(found.roster.generation, Some(tag()?)));
        // The prefix is also that of other numbers, and of whatever was planted.
        let (generation, length) = (Some(found.roster.generation), found.bytes.len() as u64);
        let sought = Sought {
            may_be: |entry: &Entry| entry.bytes == length && names.roster_of(entry.key.as_str()) == generation,
            genuine: |bytes: &[u8]| bytes == found.bytes,
            known: Some(found.bytes.clone()),
        };
        if !renew(store, &prefix, sought, fresh, (lock, most)).await? {
            lost(prefix, "the roster is gone: hosts wrap data keys to whom their writer files name");
        }
    }
    let (writer, is_root) =
        repository.with_keyring(|ring| ring.writer().map(|key| (key.public().id(), key.public() == ring.root())))?;
    let prefix = names.writer_copies(&writer);
    let sought = Sought {
        may_be: |_: &Entry| true,
        genuine: |bytes: &[u8]| repository.with_keyring(|ring| ring.vouches(bytes, &writer)),
        known: None,
    };
    if !renew(store, &prefix, sought, || Ok(names.writer(&writer, tag()?)), (lock, most)).await? && !is_root {
        lost(prefix, "the certificate of this host is gone: others do not trust what it writes");
    }
    Ok(gone)
}

/// An object and its copies.
struct Sought<M, G> {
    /// Whether a listed one is worth reading.
    may_be: M,
    /// Whether one that was read is genuine.
    genuine: G,
    /// What they hold, where that is known without reading one.
    known: Option<Bytes>,
}

/// Copies a genuine object below `prefix` to a `fresh` name, unless one is locked until `lock` ends. False if there is none.
/// Among any number of planted ones no more than some hundred are read once the content is known: then a further copy costs less.
async fn renew<S: Read + Append>(
    store: &S,
    prefix: &str,
    sought: Sought<impl Fn(&Entry) -> bool, impl Fn(&[u8]) -> bool>,
    fresh: impl Fn() -> Result<String>,
    (lock, most): (Lock, Duration),
) -> Result<bool> {
    let (mut found, mut reads) = (None, 0);
    let mut oldest = Oldest::new(store, prefix.to_owned());
    'search: while let Some((entries, _)) = oldest.next().await? {
        // The newest copy is the one that is locked longest, and spares us the others.
        for entry in entries.iter().rev().filter(|entry| (sought.may_be)(entry)) {
            let known = found.as_ref().or(sought.known.as_ref());
            if reads >= COPIES_READ_MAX && known.is_some() {
                found = known.cloned();
                break 'search;
            }
            reads += 1;
            let Some(body) = read_small(store, entry).await?.filter(|body| (sought.genuine)(body)) else { continue };
            let held = store.head(&entry.key, &entry.version).await?.lock;
            if held.is_some_and(|held| held.outlasts(lock)) {
                return Ok(true);
            }
            found.get_or_insert(body);
        }
    }
    let Some(body) = found else { return Ok(false) };
    let longer = longer(lock, store.clock().now(), most);
    store.put(Put { key: ObjectKey::new(fresh()?), body, lock: Some(longer) }).await?;
    Ok(true)
}

/// Twice as long, so that copies stay few; no further ahead than `most`, since nobody can take a lock back (PAINS E4), and in any
/// case for as long as was asked.
pub(super) fn longer(lock: Lock, now: Timestamp, most: Duration) -> Lock {
    let twice = lock.retain_until.checked_add(now.duration_until(lock.retain_until)).unwrap_or(lock.retain_until);
    let most = SignedDuration::try_from(most).ok().and_then(|most| now.checked_add(most).ok()).unwrap_or(twice);
    Lock { retain_until: twice.min(most).max(lock.retain_until), ..lock }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LockMode;

    #[test]
    fn e04_copies_are_locked_no_further_ahead_than_anything() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let days = |days: i64| now + SignedDuration::from_hours(24 * days);
        let most = |days: u64| Duration::from_hours(24 * days);
        for (asked, max, until) in
            [(35, 400, 70), (300, 400, 400), (400, 400, 400), (410, 400, 410), (35, 36_500_000, 70)]
        {
            let lock = Lock { mode: LockMode::Compliance, retain_until: days(asked) };
            let longer = longer(lock, now, most(max));
            assert_eq!((longer.mode, longer.retain_until), (lock.mode, days(until)), "{asked} of {max}");
        }
    }
}
