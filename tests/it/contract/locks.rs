//! Locks hold, and are what was asked for.

use std::sync::Arc;

use jiff::SignedDuration;
use stonewal::store::LockMode::{Compliance, Governance};
use stonewal::store::{Error, Lock, Prune as _, Read as _, Result, Retain as _, VersionOf};

use super::{Case, Outcome, Target, case, ensure};

pub(super) const CASES: &[Case] = &[
    case!(a_put_locks_at_once),
    case!(a_locked_version_cannot_be_deleted),
    case!(governance_yields_to_bypass),
    case!(locks_can_be_extended),
    case!(compliance_is_never_shortened, needs ComplianceNotShortened),
    case!(governance_is_not_shortened_without_bypass, needs GovernanceNotShortened),
    case!(compliance_is_never_weakened, needs ModeNotWeakened),
    case!(a_lock_needs_a_version, needs MissingVersionNamed),
    case!(a_lock_in_the_past_is_refused, needs PastLockRefused),
    case!(locks_are_told_without_reading_the_object),
    case!(a_hold_is_set_told_and_taken_away),
    case!(a_hold_prevents_every_delete),
    case!(a_hold_needs_a_version, needs MissingVersionNamed),
];

fn denied<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Denied { .. }))
}

async fn a_put_locks_at_once(target: Arc<Target>) -> Outcome {
    for mode in [Governance, Compliance] {
        let (key, lock) = (target.key("lock"), target.lock(mode, 2));
        let version = target.put_locked(&key, lock).await?;
        let head = target.store.head(&key, &version).await?;
        ensure!(head.lock == Some(lock), "asked for {lock:?}, got {:?}", head.lock);
    }
    Ok(())
}

async fn a_locked_version_cannot_be_deleted(target: Arc<Target>) -> Outcome {
    for mode in [Governance, Compliance] {
        let key = target.key("held");
        let version = target.put_locked(&key, target.lock(mode, 2)).await?;
        let deleted = target.store.delete_version(&key, &version, false).await;
        ensure!(denied(&deleted), "{mode}: {deleted:?}");
        if mode == Compliance {
            let deleted = target.store.delete_version(&key, &version, true).await;
            ensure!(denied(&deleted), "{mode} with bypass: {deleted:?}");
        }
        ensure!(target.store.get(&key, &version, 0..6).await? == "locked", "{mode}: not there any more");
    }
    Ok(())
}

async fn governance_yields_to_bypass(target: Arc<Target>) -> Outcome {
    let key = target.key("bypass");
    let version = target.put_locked(&key, target.lock(Governance, 2)).await?;
    target.store.delete_version(&key, &version, true).await?;
    ensure!(target.store.get(&key, &version, 0..6).await.is_err(), "still there");
    Ok(())
}

async fn locks_can_be_extended(target: Arc<Target>) -> Outcome {
    for mode in [Governance, Compliance] {
        let key = target.key("extend");
        let version = target.put_locked(&key, target.lock(mode, 2)).await?;
        // A fraction of a second is rounded up by the client, never down by the store.
        let longer = Lock { mode, retain_until: target.later(5) + SignedDuration::from_millis(400) };
        target.store.set_lock(&key, &version, longer).await?;
        let lock = target.store.head(&key, &version).await?.lock;
        let until = lock.ok_or("no lock")?.retain_until;
        ensure!(until >= longer.retain_until, "asked for {longer:?}, got {lock:?}");
    }
    Ok(())
}

async fn compliance_is_never_shortened(target: Arc<Target>) -> Outcome {
    not_shortened(&target, Compliance).await
}

async fn governance_is_not_shortened_without_bypass(target: Arc<Target>) -> Outcome {
    not_shortened(&target, Governance).await
}

async fn not_shortened(target: &Target, mode: stonewal::store::LockMode) -> Outcome {
    let (key, lock) = (target.key("shorten"), target.lock(mode, 4));
    let version = target.put_locked(&key, lock).await?;
    let shortened = target.store.set_lock(&key, &version, target.lock(mode, 2)).await;
    ensure!(denied(&shortened), "shortening {mode}: {shortened:?}");
    let head = target.store.head(&key, &version).await?;
    ensure!(head.lock == Some(lock), "the lock changed to {:?}", head.lock);
    Ok(())
}

async fn compliance_is_never_weakened(target: Arc<Target>) -> Outcome {
    let (key, lock) = (target.key("weaken"), target.lock(Compliance, 3));
    let version = target.put_locked(&key, lock).await?;
    let weakened = target.store.set_lock(&key, &version, target.lock(Governance, 5)).await;
    ensure!(denied(&weakened), "weakening: {weakened:?}");
    ensure!(target.store.head(&key, &version).await?.lock == Some(lock), "the lock changed");
    Ok(())
}

async fn a_lock_needs_a_version(target: Arc<Target>) -> Outcome {
    let key = target.key("gone");
    let version = target.put(&key, "x").await?;
    let other = target.put(&key, "y").await?;
    target.store.delete_version(&key, &version, false).await?;
    let locked = target.store.set_lock(&key, &version, target.lock(Governance, 2)).await;
    ensure!(matches!(locked, Err(Error::NotFound { .. })), "{locked:?}");
    ensure!(target.store.head(&key, &other).await?.lock.is_none(), "another version was locked");
    Ok(())
}

async fn a_lock_in_the_past_is_refused(target: Arc<Target>) -> Outcome {
    let key = target.key("past");
    let put = target.put_locked(&key, target.lock(Governance, -60)).await;
    ensure!(matches!(put, Err(Error::Refused { .. })), "{put:?}");
    Ok(())
}

async fn locks_are_told_without_reading_the_object(target: Arc<Target>) -> Outcome {
    let key = target.key("told");
    let bare = target.put(&key, "bare").await?;
    ensure!(target.store.lock_of(&key, &bare).await?.is_none(), "a lock that nobody set");
    ensure!(!target.store.hold_of(&key, &bare).await?, "a hold that nobody set");
    for mode in [Governance, Compliance] {
        let lock = target.lock(mode, 2);
        let version = target.put_locked(&key, lock).await?;
        let told = target.store.lock_of(&key, &version).await?;
        ensure!(told == Some(lock), "asked for {lock:?}, told {told:?}");
        let longer = Lock { retain_until: target.later(5), ..lock };
        target.store.set_lock(&key, &version, longer).await?;
        let told = target.store.lock_of(&key, &version).await?;
        ensure!(told == Some(longer), "asked for {longer:?}, told {told:?}");
    }
    ensure!(target.store.lock_of(&key, &bare).await?.is_none(), "another version was locked");
    Ok(())
}

async fn a_hold_is_set_told_and_taken_away(target: Arc<Target>) -> Outcome {
    let key = target.key("hold");
    let (held, other) = (target.put(&key, "x").await?, target.put(&key, "y").await?);
    for on in [true, true, false, false, true] {
        target.store.set_hold(&key, &held, on).await?;
        ensure!(target.store.hold_of(&key, &held).await? == on, "not {on}");
        ensure!(!target.store.hold_of(&key, &other).await?, "another version is held");
        ensure!(target.store.lock_of(&key, &held).await?.is_none(), "a hold is no retention");
    }
    target.store.set_hold(&key, &held, false).await?;
    Ok(())
}

async fn a_hold_prevents_every_delete(target: Arc<Target>) -> Outcome {
    let key = target.key("hold-delete");
    let version = target.put(&key, "held").await?;
    target.store.set_hold(&key, &version, true).await?;
    for bypass in [false, true] {
        let deleted = target.store.delete_version(&key, &version, bypass).await;
        ensure!(denied(&deleted), "bypass {bypass}: {deleted:?}");
    }
    let doomed = VersionOf { key: key.clone(), version: version.clone() };
    let answers = target.store.delete_versions(&[doomed]).await?;
    ensure!(answers.len() == 1 && denied(&answers[0]), "{answers:?}");
    ensure!(target.store.get(&key, &version, 0..4).await? == "held", "not there any more");
    target.store.set_hold(&key, &version, false).await?;
    target.store.delete_version(&key, &version, false).await?;
    Ok(())
}

async fn a_hold_needs_a_version(target: Arc<Target>) -> Outcome {
    let key = target.key("hold-gone");
    let version = target.put(&key, "x").await?;
    target.put(&key, "y").await?;
    target.store.delete_version(&key, &version, false).await?;
    let held = target.store.set_hold(&key, &version, true).await;
    ensure!(matches!(held, Err(Error::NotFound { .. })), "{held:?}");
    let told = target.store.hold_of(&key, &version).await;
    ensure!(matches!(told, Err(Error::NotFound { .. })), "{told:?}");
    let told = target.store.lock_of(&key, &version).await;
    ensure!(matches!(told, Err(Error::NotFound { .. })), "{told:?}");
    Ok(())
}
