//! Who reads and who acts, by which policy, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use stonewal::commands::Result;
use stonewal::commands::retention::hold::WalUntil;
use stonewal::commands::retention::{Scope, apply, extend, hold};
use stonewal::format::BackupId;
use stonewal::retention::{Own, Policy};
use stonewal::store::roles::Role;
use stonewal::store::{Lock, Read as _, Retain as _};

use crate::flow::stage::{Stage, cluster};

pub(in crate::flow) fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// What has no end in sight is locked to the next whole multiple of this: half of the margin of [`policy`].
pub(in crate::flow) const STEP: SignedDuration = SignedDuration::from_hours(84);

/// Whether a lock ends when it must, or up to a step later.
pub(in crate::flow) fn is_due(until: Timestamp, due: Timestamp) -> bool {
    let late = due.duration_until(until);
    (-SignedDuration::from_mins(2)..STEP + days(1)).contains(&late)
}

pub(in crate::flow) fn policy() -> Policy {
    Policy {
        window: days(35),
        keep_last_dumps: 7,
        keep_last_bases: 2,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        min_redundancy: 1,
        dumps: Own::default(),
        bases: Own::default(),
        keep: BTreeSet::new(),
        unfinished: days(7),
        max: days(400),
        margin: days(7),
    }
}

pub(in crate::flow) fn extend(options: extend::Options) -> BoxFuture<'static, Result<extend::Outcome>> {
    Box::pin(extend::run(options))
}

pub(in crate::flow) fn apply(options: apply::Options) -> BoxFuture<'static, Result<apply::Outcome>> {
    Box::pin(apply::run(options))
}

pub(in crate::flow) fn hold(options: hold::Options) -> BoxFuture<'static, Result<hold::Outcome>> {
    Box::pin(hold::run(options))
}

/// Keeps the newest one and nothing else.
pub(in crate::flow) fn newest_only() -> Policy {
    Policy { window: SignedDuration::from_mins(1), keep_last_dumps: 1, ..policy() }
}

impl Stage {
    /// The usual credentials read, another role acts.
    pub(in crate::flow) fn scope(&self, acting: Role, policy: Policy) -> Scope {
        Scope {
            repository: self.repository(Role::Reader),
            acting: self.repository(acting).s3,
            access: Self::passphrase(),
            cluster: cluster(),
            policy,
        }
    }

    pub(in crate::flow) fn extension(&self, policy: Policy) -> extend::Options {
        let scope = self.scope(Role::Retainer, policy);
        extend::Options { scope, acknowledged: None, dry_run: false, price_per_gib_month: 0.023 }
    }

    pub(in crate::flow) async fn extended(&self, policy: Policy) -> extend::Outcome {
        extend(self.extension(policy)).await.unwrap()
    }

    pub(in crate::flow) async fn applied(&self, policy: Policy, delete: bool) -> apply::Outcome {
        apply(apply::Options { scope: self.scope(Role::Pruner, policy), delete }).await.unwrap()
    }

    pub(in crate::flow) fn holding(&self, backup: &BackupId, on: bool) -> hold::Options {
        let scope = self.scope(Role::Retainer, policy());
        hold::Options { scope, backup: backup.clone(), on, wal_until: WalUntil::NextBase }
    }

    /// Lock and hold of every version, by key and version.
    pub(in crate::flow) async fn locks(&self) -> BTreeMap<(String, String), (Option<Lock>, bool)> {
        let store = self.connected(Role::Admin).await.store;
        let mut locks = BTreeMap::new();
        for entry in self.entries().await.into_iter().filter(|entry| !entry.delete_marker) {
            let lock = store.lock_of(&entry.key, &entry.version).await.unwrap();
            let held = store.hold_of(&entry.key, &entry.version).await.unwrap();
            locks.insert((entry.key.to_string(), entry.version.to_string()), (lock, held));
        }
        locks
    }

    pub(in crate::flow) async fn versions(&self) -> BTreeSet<(String, String)> {
        self.entries().await.into_iter().map(|entry| (entry.key.to_string(), entry.version.to_string())).collect()
    }

    pub(in crate::flow) async fn now(&self) -> Timestamp {
        let store = self.connected(Role::Admin).await.store;
        store.bucket_state().await.unwrap();
        store.clock().now()
    }
}
