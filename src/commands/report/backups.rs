//! The rows of backups: manifest, listing, plan and lock of each, side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::facts::{BackupRow, LockState};
use crate::catalog::{Backup, Repository};
use crate::commands::{Connected, Immutability, Result};
use crate::format::{BackupId, ClusterName, WriterPublic};
use crate::limits::HEADS;
use crate::retention::{BackupDecision, BackupFact, Facts, Plan, Verdict, Verified};
use crate::store::{Lock, ObjectKey, Read as _, VersionId};

/// What a manifest says, without its lists of chunks.
struct Manifest {
    row: BackupRow,
    object: (ObjectKey, VersionId),
}

/// Every backup, by arrival. The lock is asked of the manifest: all objects of a backup are locked alike.
pub(super) async fn rows(
    connected: &Connected,
    repository: &Repository,
    cluster: &ClusterName,
    (facts, plan): (&Facts, Option<&Plan>),
    min_lock: Duration,
) -> Result<Vec<BackupRow>> {
    let mut manifests = Vec::new();
    // What lies beside them was found when the facts were gathered.
    let root = repository.trusted_root();
    repository.each_backup(cluster, |backup| manifests.push(manifest(&backup, &root))).await?;
    let known: BTreeMap<&BackupId, &BackupFact> = facts.backups.iter().map(|fact| (&fact.id, fact)).collect();
    let decisions: BTreeMap<&BackupId, &BackupDecision> =
        plan.iter().flat_map(|plan| &plan.backups).map(|decision| (&decision.backup, decision)).collect();
    let locked = matches!(connected.immutability(), Immutability::ObjectLock { .. });
    let rows = stream::iter(manifests).map(|Manifest { mut row, object }| {
        let (fact, decision) = (known.get(&row.backup).copied(), decisions.get(&row.backup).copied());
        async move {
            describe(&mut row, fact, decision);
            let lock = if locked { lock(connected, &object).await? } else { None };
            (row.locked_until, row.lock_mode) = (lock.map(|lock| lock.retain_until), lock.map(|lock| lock.mode));
            let now = connected.store.clock().now();
            row.lock = if locked { state(&row, now, min_lock) } else { LockState::NoLocks };
            Result::<_>::Ok(row)
        }
    });
    let mut rows: Vec<BackupRow> = rows.buffered(HEADS).try_collect().await?;
    rows.sort_by_key(|row| row.arrived_at);
    Ok(rows)
}

fn manifest(backup: &Backup, root: &WriterPublic) -> Manifest {
    let clear = backup.clear();
    let took = clear.finished_at.duration_since(clear.started_at).as_secs();
    let row = BackupRow {
        backup: clear.backup.clone(),
        kind: clear.kind,
        arrived_at: backup.arrived_at(root),
        took_seconds: took.try_into().unwrap_or(0),
        server_version: clear.server_version.clone(),
        plain_bytes: clear.plain_bytes(),
        stored_bytes: clear.stored_bytes(),
        writer: backup.manifest.writer().id(),
        whole: Verified::No("it arrived while the report was made".into()),
        held: false,
        plan: None,
        needed_until: None,
        why: Vec::new(),
        locked_until: None,
        lock_mode: None,
        lock: LockState::NoLocks,
    };
    Manifest { row, object: (backup.entry.key.clone(), backup.entry.version.clone()) }
}

fn describe(row: &mut BackupRow, fact: Option<&BackupFact>, decision: Option<&BackupDecision>) {
    if let Some(fact) = fact {
        row.whole = fact.verified.clone();
        row.held = fact.held;
    }
    if let Some(decision) = decision {
        row.plan = Some(match decision.verdict {
            Verdict::Keep { .. } => "keep",
            Verdict::Expire { .. } => "expire",
            Verdict::Leave { .. } => "leave",
        });
        row.needed_until = decision.verdict.until();
        let also = decision.also.iter().map(|ground| &ground.why);
        row.why = [decision.verdict.why()].into_iter().chain(also).map(ToString::to_string).collect();
    }
}

/// `None` as well where the store does not tell of this object.
async fn lock(connected: &Connected, (key, version): &(ObjectKey, VersionId)) -> Result<Option<Lock>> {
    match connected.store.head(key, version).await {
        Ok(head) => Ok(head.lock),
        Err(error) if error.is_about_the_object() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn state(row: &BackupRow, now: Timestamp, min_lock: Duration) -> LockState {
    let needed = row.needed_until;
    if row.plan == Some("expire") {
        return LockState::NotNeeded;
    }
    let Some(until) = row.locked_until else { return LockState::Unlocked };
    let soon = now.checked_add(min_lock).is_ok_and(|soon| until < soon);
    match needed {
        Some(needed) if needed <= until => LockState::Enough,
        _ if soon => LockState::EndsSoon,
        Some(_) => LockState::ToExtend,
        None => LockState::Enough,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::Kind;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
    }

    fn row(plan: &'static str, needed: Option<i64>, locked: Option<i64>) -> BackupRow {
        BackupRow {
            backup: "20270115T070000Z-5b0c6f2e".parse().unwrap(),
            kind: Kind::Dump,
            arrived_at: at(-1),
            took_seconds: 1,
            server_version: String::new(),
            plain_bytes: 1,
            stored_bytes: 1,
            writer: String::new(),
            whole: Verified::Yes,
            held: false,
            plan: Some(plan),
            needed_until: needed.map(at),
            why: Vec::new(),
            locked_until: locked.map(at),
            lock_mode: None,
            lock: LockState::NoLocks,
        }
    }

    /// PAINS A16: a lock that ends before its backup is needed no more is told in time.
    #[test]
    fn i11_a_lock_is_measured_by_what_needs_it() {
        let week = Duration::from_hours(7 * 24);
        for (plan, needed, locked, want) in [
            ("keep", Some(42), Some(50), LockState::Enough),
            ("keep", Some(5), Some(5), LockState::Enough),
            ("keep", Some(42), Some(35), LockState::ToExtend),
            ("keep", Some(42), Some(6), LockState::EndsSoon),
            ("keep", Some(42), Some(-1), LockState::EndsSoon),
            ("keep", Some(42), None, LockState::Unlocked),
            ("expire", None, Some(-1), LockState::NotNeeded),
            ("leave", None, Some(3), LockState::EndsSoon),
            ("leave", None, Some(9), LockState::Enough),
        ] {
            assert_eq!(state(&row(plan, needed, locked), at(0), week), want, "{plan} {needed:?} {locked:?}");
        }
    }
}
