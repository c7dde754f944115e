//! One object of WAL: opened, sealed under the key of this run, opened again, stored, read back.

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{Left, Todo, made_after};
use crate::catalog::{self, WalObject};
use crate::commands::reencrypt::Job;
use crate::commands::{Error, Result};
use crate::format;
use crate::format::wal::WalHead;
use crate::pipeline::{self, WalRun, open_wal, open_wal_whole};
use crate::store::{Append as _, Entry, Lock, LockMode, Put, Read as _};

/// A copy that is stored.
pub(super) struct Done {
    pub(super) plain_bytes: u64,
    pub(super) stored_bytes: u64,
}

/// Copies one version that is genuine by its head. What is wrong with it is no failure of the run; what is wrong with the copy is.
pub(super) async fn one(job: &Job<'_>, run: &WalRun, todo: Todo) -> Result<std::result::Result<Done, Left>> {
    let Todo { entry, last } = todo;
    let (head, plain) = match opened(job, &entry).await {
        Ok(opened) => opened,
        Err(error) => return left(&entry, error).map(Err),
    };
    let lock = lock(job, &entry).await?;
    let now = made_after(last, job.connected.store.clock().now());
    let sealed = run.seal_again(&head, plain.clone(), now).await?;
    let Some(key) = sealed.canonical() else { return Err(bad(&head, "it has no name of its own")) };
    if !opens_to(job, &sealed.object, &plain).await? {
        return Err(bad(&head, "it does not open to what was sealed"));
    }
    let put = Put { key: key.clone(), body: sealed.object.clone(), lock };
    let version = job.connected.store.put(put).await?.version;
    let stored_bytes = sealed.object.len() as u64;
    // The object is what every reader finds from now on, and one day all that is left.
    let stored = job.connected.store.get(&key, &version, 0..stored_bytes).await?;
    if stored != sealed.object {
        return Err(bad(&head, "the store gives back other bytes than it was given"));
    }
    Ok(Ok(Done { plain_bytes: plain.len() as u64, stored_bytes }))
}

/// What is told of an original that cannot be opened, unless that ends the run.
fn left(entry: &Entry, error: Error) -> Result<Left> {
    let damaged = match &error {
        Error::Store(error) if error.is_about_the_object() => false,
        Error::Catalog(catalog::Error::Keys(_)) => false,
        Error::Catalog(catalog::Error::Format(_)) => true,
        Error::Pipeline(error) if error.is_integrity() => true,
        _ => return Err(error),
    };
    Ok(Left::of(entry, &error, damaged))
}

/// The head and the content, which is the one whose digest was signed.
async fn opened(job: &Job<'_>, entry: &Entry) -> Result<(WalHead, Bytes)> {
    let found = job.repository.wal_version(job.cluster, entry).await?;
    let WalObject { head, object, .. } = found;
    let key = job.repository.wal_key(&head).await?;
    let plain = open_wal_whole(&head, object, &key).await?;
    let (digest, hashed) = (head.header().plain, plain.clone());
    let same = spawn_blocking(move || digest.is_some_and(|digest| digest.is_of(&hashed))).await;
    if !same.map_err(catalog::Error::Worker)? {
        return Err(fault(&head, "its content is not the one whose digest was signed"));
    }
    Ok((head, plain))
}

/// Whether an object opens to `plain` by the key that it carries, as any reader would open it.
async fn opens_to(job: &Job<'_>, object: &Bytes, plain: &Bytes) -> Result<bool> {
    let head = WalHead::read(object, &[job.repository.trusted_root()])?;
    let key = job.repository.wal_key(&head).await?;
    let mut at = 0;
    let opened = open_wal(&head, object.clone(), &key, |frame| {
        let same = plain.get(at..at + frame.len()).is_some_and(|part| part == frame);
        at += frame.len();
        if same { Ok(()) } else { Err(()) }
    });
    let same = opened.await?.is_ok();
    Ok(same && at == plain.len())
}

/// For as long as the original, and as what is stored now; no further ahead than anything is locked (PAINS E4): whoever may lengthen locks
/// may have done that to the original.
async fn lock(job: &Job<'_>, original: &Entry) -> Result<Option<Lock>> {
    let store = &job.connected.store;
    let found = job.repository.store().head(&original.key, &original.version).await?.lock;
    let Some(rule) = job.connected.lock()? else { return Ok(None) };
    let now = store.clock().now();
    let Some(found) = found.filter(|found| found.retain_until > now) else { return Ok(Some(rule)) };
    let most =
        jiff::SignedDuration::try_from(job.connected.lock_max()).ok().and_then(|most| now.checked_add(most).ok());
    let longest = most.map_or(found.retain_until, |most| found.retain_until.min(most));
    let mode = if found.mode == LockMode::Compliance { found.mode } else { rule.mode };
    Ok(Some(Lock { mode, retain_until: rule.retain_until.max(longest) }))
}

fn bad(head: &WalHead, why: &str) -> Error {
    fault(head, &format!("its copy is not good: {why}"))
}

fn fault(head: &WalHead, why: &str) -> Error {
    let source = format::Error::Malformed { what: "WAL object", why: why.to_owned() };
    pipeline::Error::Wal { object: head.header().content.to_string(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, ObjectKey, VersionId};

    /// One object that is gone or damaged is told, and the others are copied; where the store fails, the run ends.
    #[test]
    fn b05_one_object_that_cannot_be_read_does_not_end_the_run() {
        let entry = Entry {
            key: ObjectKey::new("p/main/wal/a"),
            version: VersionId::new("v"),
            last_modified: jiff::Timestamp::UNIX_EPOCH,
            bytes: 1,
            etag: String::new(),
            delete_marker: false,
            is_latest: true,
            class: None,
        };
        let told = |error: catalog::Error| left(&entry, error.into()).map(|left| (left.key, left.damaged)).ok();
        let target = || "p/main/wal/a".to_owned();
        let gone = store::Error::NotFound { key: entry.key.clone(), version: None };
        let rotten = store::Error::Corrupt { target: target(), what: "the checksum differs".into() };
        let silent = store::Error::NoBucket { bucket: "b".into(), endpoint: "e".into() };
        let bent = format::Error::Malformed { what: "WAL object", why: "bent".into() };
        assert_eq!(told(gone.into()), Some((target(), false)));
        assert_eq!(told(rotten.into()), Some((target(), false)));
        assert_eq!(told(bent.into()), Some((target(), true)));
        assert_eq!(told(silent.into()), None);
    }
}
