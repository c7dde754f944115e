//! The live proof that what is locked stays: a canary with a lock of one minute, attacked with these credentials.
//!
//! A store that accepts lock headers proves nothing (PAINS A15): some keep them and delete all the same.

use std::time::Duration;

use bytes::Bytes;
use jiff::SignedDuration;

use super::{Outcome, Status};
use crate::commands::{Connected, Error, Immutability, Result};
use crate::keys::tag;
use crate::store::{self, Lock, LockMode, ObjectKey, Prune as _, Put, Read as _, Retain as _, VersionId};
use crate::store::{Append as _, S3};

const CANARY: &[u8] = b"stonewal canary: locked for a minute";
const LOCKED_FOR: Duration = Duration::from_mins(1);

/// Name of the check where no canary could be planted or attacked.
const NOT_TRIED: &str = "worm";

const PROVEN: &str = "denied, and an unlocked version could be deleted: the lock holds";
const NOT_PROVEN: &str = "denied, as any deletion is to these credentials; run doctor once with ones that may delete, to put the lock itself to the test";

/// One locked object.
struct Canary {
    key: ObjectKey,
    version: VersionId,
    lock: Lock,
}

pub(super) async fn check(connected: &Connected, mode: LockMode, outcome: &mut Outcome) {
    let canary = match plant(connected, mode).await {
        Ok(canary) => canary,
        Err(Error::Store(store::Error::Denied { action, .. })) => {
            let detail = format!("these credentials may not write ({action}), so nothing was tried");
            outcome.add(NOT_TRIED, Status::Note, detail);
            return;
        }
        Err(error) => return outcome.fail(NOT_TRIED, &error),
    };
    outcome.canaries += 1;
    if let Err(error) = attack(&connected.store, &canary, outcome).await {
        outcome.fail(NOT_TRIED, &error);
    }
}

/// Refuses a store that was not seen to hold what it locks: one that loses locks, lets them be shortened or removed, or gives out
/// what was written over a locked version instead of it; and credentials that may remove what they lock.
pub(in crate::commands) async fn require(connected: &Connected) -> Result<()> {
    let Immutability::ObjectLock { mode, .. } = connected.immutability() else {
        return Err(Error::Usage("lock.require_worm asks for locks that hold, and immutability is \"none\"".into()));
    };
    let mut outcome = Outcome::default();
    check(connected, mode, &mut outcome).await;
    let unproven = outcome.checks.into_iter().find(|check| check.status == Status::Fail || check.name == NOT_TRIED);
    match unproven {
        None => Ok(()),
        Some(check) => Err(Error::NotWorm { check: check.name, detail: check.detail, remedy: check.hint }),
    }
}

async fn plant(connected: &Connected, mode: LockMode) -> Result<Canary> {
    let store = &connected.store;
    let locked_for = SignedDuration::try_from(LOCKED_FOR).unwrap_or_default();
    let retain_until = store.clock().now().checked_add(locked_for).map_err(|e| Error::Usage(e.to_string()))?;
    let lock = Lock { mode, retain_until };
    let key = ObjectKey::new(connected.names.canary(tag()?));
    let put = Put { key: key.clone(), body: Bytes::from_static(CANARY), lock: Some(lock) };
    let version = store.put(put).await?.version;
    Ok(Canary { key, version, lock })
}

async fn attack(store: &S3, canary: &Canary, outcome: &mut Outcome) -> Result<()> {
    let Canary { key, version, lock } = canary;
    match store.head(key, version).await?.lock {
        Some(found) if found.mode == lock.mode && found.retain_until.as_second() >= lock.retain_until.as_second() => {
            outcome.add("worm: lock", Status::Ok, format!("a PUT with a lock is locked ({})", found.mode));
        }
        found => {
            let detail = format!("a lock was asked for and acknowledged; the store has {found:?}");
            outcome.advise(
                "worm: lock",
                Status::Fail,
                detail,
                "this store loses locks; do not call backups in it immutable",
            );
        }
    }
    let sooner = SignedDuration::from_secs(30);
    let shorter = Lock { retain_until: lock.retain_until.checked_sub(sooner).unwrap_or(lock.retain_until), ..*lock };
    let word = if deletes_unlocked(store, key).await? { PROVEN } else { NOT_PROVEN };
    let shortened = store.set_lock(key, version, shorter).await;
    denied(outcome, "worm: shorten", shortened, "denied", "its lock was shortened");
    if lock.mode == LockMode::Compliance {
        let weaker = Lock { mode: LockMode::Governance, ..*lock };
        let weakened = store.set_lock(key, version, weaker).await;
        denied(outcome, "worm: weaken", weakened, "denied", "its lock was changed from compliance to governance mode");
    }
    let deleted = store.delete_version(key, version, false).await;
    denied(outcome, "worm: delete", deleted, word, "the locked version was deleted");
    let bypassed = store.delete_version(key, version, true).await;
    let gone = bypassed.is_ok();
    bypass(outcome, lock.mode, bypassed);
    // What was deleted cannot show that it outlives being written over.
    if gone { Ok(()) } else { overwrite(store, canary, outcome).await }
}

/// Whether these credentials can delete what is not locked: only then does a denial come from the lock.
async fn deletes_unlocked(store: &S3, beside: &ObjectKey) -> Result<bool> {
    let key = ObjectKey::new(format!("{beside}-unlocked"));
    let control = Put { key: key.clone(), body: Bytes::from_static(b"stonewal canary: not locked"), lock: None };
    let version = store.put(control).await?.version;
    match store.delete_version(&key, &version, false).await {
        Ok(()) => Ok(true),
        Err(store::Error::Denied { .. } | store::Error::Refused { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// An attack that must be refused.
fn denied(outcome: &mut Outcome, name: &'static str, attacked: store::Result<()>, word: &str, harm: &str) {
    match attacked {
        Ok(()) => outcome.advise(
            name,
            Status::Fail,
            harm,
            "this store does not enforce Object Lock; do not call backups in it immutable",
        ),
        Err(store::Error::Denied { .. } | store::Error::Refused { .. }) => outcome.add(name, Status::Ok, word),
        Err(error) => outcome.fail(name, &Error::from(error)),
    }
}

fn bypass(outcome: &mut Outcome, mode: LockMode, attacked: store::Result<()>) {
    let name = "worm: bypass";
    match (mode, attacked) {
        (LockMode::Governance, Ok(())) => outcome.advise(
            name,
            Status::Fail,
            "these credentials removed a locked version by bypassing governance",
            "take s3:BypassGovernanceRetention away from them, or lock in compliance mode",
        ),
        (_, attacked) => denied(outcome, name, attacked, "denied", "a version under compliance was deleted"),
    }
}

/// Writing over and hiding are allowed by S3 and must not matter.
async fn overwrite(store: &S3, canary: &Canary, outcome: &mut Outcome) -> Result<()> {
    let junk = Put { key: canary.key.clone(), body: Bytes::from_static(b"junk"), lock: None };
    let overwritten = store.put(junk).await.is_ok();
    match store.hide(&canary.key).await {
        Ok(()) => outcome.advise(
            "worm: hide",
            Status::Warn,
            "these credentials may lay delete markers (s3:DeleteObject)",
            "a backup role does not need it: take it away. Restores ignore delete markers",
        ),
        Err(store::Error::Denied { .. } | store::Error::Refused { .. }) => {
            outcome.add("worm: hide", Status::Ok, "these credentials may not lay delete markers");
        }
        Err(error) => return Err(error.into()),
    }
    let how = if overwritten { "overwritten" } else { "attacked" };
    match store.get(&canary.key, &canary.version, 0..CANARY.len() as u64).await {
        Ok(bytes) if bytes == CANARY => {
            outcome.add("worm: original", Status::Ok, format!("the first version reads the same after it was {how}"));
        }
        Ok(_) => outcome.add("worm: original", Status::Fail, "the first version reads differently now"),
        Err(error) => outcome.fail("worm: original", &Error::from(error)),
    }
    Ok(())
}
