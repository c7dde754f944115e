//! What every backup stands on: the repository record, the identity bundle, writer certificates. They are made once and
//! must stay locked for longer than anything that needs them (invariant I11).

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::footing::Foundation;
use super::renew::renew;
use super::{Finding, FindingKind, Repository, Result};
use crate::format::Tag;
use crate::format::manifest::RepositoryRecord;
use crate::format::names::Names;
use crate::keys::{Bundle, Certificate, Keyring, tag};
use crate::store::{Append, Lock, ObjectKey, Put, Read};

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
/// I11). One whose locks are all shorter is copied under a new name with a lock twice as long, but hardly further ahead than `most`:
/// the backup role may add and may not extend. Only what is genuine counts, whatever an attacker planted under the same name; what is
/// gone altogether is returned.
pub async fn outlive<S: Read + Append>(
    store: &S,
    repository: &Repository,
    lock: Lock,
    most: Duration,
) -> Result<Vec<Finding>> {
    let lock = (lock, most);
    let mut gone = Vec::new();
    let mut lost = |of: Foundation<'_>, what: &str| {
        gone.push(Finding::new(FindingKind::Missing, repository.copies(of), None, what));
    };
    for print in repository.with_keyring(Keyring::bundles) {
        let bundle = Foundation::Bundle(print);
        if !renew(store, repository, bundle, lock).await? {
            lost(bundle, "the identity bundle is gone: the passphrase opens nothing without a copy of it");
        }
    }
    if let Some(found) = repository.found_roster() {
        let roster = Foundation::Roster(found.roster.generation);
        if !renew(store, repository, roster, lock).await? {
            lost(roster, "the roster is gone: hosts wrap data keys to whom their writer files name");
        }
    }
    let (writer, is_root) =
        repository.with_keyring(|ring| ring.writer().map(|key| (key.public().id(), key.public() == ring.root())))?;
    let certificate = Foundation::Certificate(&writer);
    if !renew(store, repository, certificate, lock).await? && !is_root {
        lost(certificate, "the certificate of this host is gone: others do not trust what it writes");
    }
    Ok(gone)
}
