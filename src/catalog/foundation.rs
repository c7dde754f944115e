//! What every backup stands on: the repository record, the identity bundle, writer certificates. They are made once and
//! must stay locked for longer than anything that needs them (invariant I11).

use bytes::Bytes;
use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::listing::first_versions;
use super::{Repository, Result};
use crate::format::RepositoryId;
use crate::format::manifest::RepositoryRecord;
use crate::format::names::Names;
use crate::keys::{self, Bundle, Certificate, Recipient, tag};
use crate::limits::SMALL_OBJECT_BYTES_MAX;
use crate::store::{Append, Lock, ObjectKey, Put, Read};

/// A repository just made.
#[derive(Debug)]
pub struct Founded {
    /// Its keys.
    pub bundle: Bundle,
    /// Object of the identity bundle.
    pub bundle_key: ObjectKey,
}

/// Makes a repository below `names`, which must be empty of one: first the identity bundle, then the record.
pub async fn found<S: Read + Append>(
    store: &S,
    names: &Names,
    passphrase: SecretString,
    recipients: Vec<Recipient>,
    lock: Option<Lock>,
) -> Result<Founded> {
    let created_at = store.clock().now();
    let repository: RepositoryId = keys::repository_id()?;
    let bundle = Bundle::generate(repository, recipients, created_at)?;
    let (bundle, sealed) = spawn_blocking(move || bundle.seal(&passphrase).map(|sealed| (bundle, sealed))).await??;
    let bundle_key = ObjectKey::new(names.identity(Bundle::fingerprint(&sealed), tag()?));
    store.put(Put { key: bundle_key.clone(), body: sealed.into(), lock }).await?;
    let record = RepositoryRecord { format: RepositoryRecord::FORMAT, repository, created_at };
    let record = record.encode(bundle.writer.public(), |message| bundle.writer.sign(message))?;
    store.put(Put { key: ObjectKey::new(names.repository()), body: record.into(), lock }).await?;
    Ok(Founded { bundle, bundle_key })
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
