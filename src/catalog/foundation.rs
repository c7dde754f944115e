//! What every backup stands on: the repository record, the identity bundle, writer certificates. They are made once and
//! must stay locked for longer than anything that needs them (invariant I11).

use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::listing::first_versions;
use super::{Repository, Result};
use crate::format::manifest::RepositoryRecord;
use crate::format::names::Names;
use crate::keys::{Bundle, Certificate, tag};
use crate::limits::SMALL_OBJECT_BYTES_MAX;
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
    let sealing = bundle.clone();
    let sealed = spawn_blocking(move || sealing.seal(&passphrase)).await??;
    let key = ObjectKey::new(names.identity(Bundle::fingerprint(&sealed), tag()?));
    store.put(Put { key: key.clone(), body: sealed.into(), lock }).await?;
    put_record(store, names, bundle, lock).await?;
    Ok(key)
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

/// Sees to it that the identity bundle and the publisher's certificate stay locked at least until `lock` ends. An
/// object whose lock is shorter is copied under a new name with a lock twice as long: the backup role may add and may
/// not extend.
pub async fn outlive<S: Read + Append>(store: &S, repository: &Repository, lock: Lock) -> Result<()> {
    let names = repository.names();
    let writer = repository.with_keyring(|keyring| keyring.writer().map(|key| key.public().id()))?;
    let own = format!("{}{writer}-", names.writers());
    for prefix in [names.identities(), own] {
        let (entries, _) = first_versions(store, &prefix).await?;
        let genuine = entries.into_iter().filter(|entry| entry.bytes <= SMALL_OBJECT_BYTES_MAX);
        renew(store, names, genuine.map(|entry| (entry.key, entry.version)).collect(), lock).await?;
    }
    Ok(())
}

/// Copies the oldest of `objects` unless one of its copies is locked until `lock` ends.
async fn renew<S: Read + Append>(
    store: &S,
    names: &Names,
    objects: Vec<(ObjectKey, crate::store::VersionId)>,
    lock: Lock,
) -> Result<()> {
    let Some((first, first_version)) = objects.first() else { return Ok(()) };
    let (folder, stem) = stem(first);
    let copies = objects.iter().filter(|(key, _)| self::stem(key) == (folder, stem));
    for (key, version) in copies {
        let held = store.head(key, version).await?.lock;
        if held.is_some_and(|held| held.retain_until >= lock.retain_until) {
            return Ok(());
        }
    }
    let head = store.head(first, first_version).await?;
    let body: Bytes = store.get(first, first_version, 0..head.bytes).await?;
    let now = store.clock().now();
    let longer = lock.retain_until.checked_add(now.duration_until(lock.retain_until)).unwrap_or(lock.retain_until);
    let suffix = if first.as_str().starts_with(&names.identities()) { ".age" } else { "" };
    let key = ObjectKey::new(format!("{folder}/{stem}-{}{suffix}", tag()?));
    store.put(Put { key, body, lock: Some(Lock { retain_until: longer, ..lock }) }).await?;
    Ok(())
}

/// Folder and stem of `folder/stem-tag[.age]`.
fn stem(key: &ObjectKey) -> (&str, &str) {
    let (folder, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
    (folder, name.rsplit_once('-').map_or(name, |(stem, _)| stem))
}
