//! What stored WAL stands on stays locked for at least as long as the WAL, however long one connection lasts (invariant I11).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::sender::Place;
use crate::catalog::{Finding, Result as CatalogResult, outlive, outlive_wal};
use crate::commands::Result;
use crate::format::Timeline;
use crate::limits::{ROSTER_SECONDS, WAL_GROUND_SECONDS};
use crate::observe::chain;
use crate::store::{Lock, Read as _};

/// Looks after the locks for as long as it lives.
#[derive(Debug)]
pub(super) struct Ground {
    place: Arc<Place>,
    timelines: Arc<Mutex<BTreeSet<Timeline>>>,
    _task: JoinSet<()>,
}

impl Ground {
    pub(super) fn watch(place: Arc<Place>) -> Self {
        let timelines = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(renew_for_ever(place.clone(), Arc::clone(&timelines)));
        Self { place, timelines, _task: task }
    }

    /// WAL of these timelines is about to be stored, or is stored. Gives what is missing. After an error they are not held: they are
    /// to be given again.
    pub(super) async fn holds(&self, timelines: impl Iterator<Item = Timeline>) -> Result<Vec<Finding>> {
        let new: BTreeSet<_> = {
            let known = self.timelines.lock().unwrap_or_else(PoisonError::into_inner);
            timelines.filter(|timeline| !known.contains(timeline)).collect()
        };
        let mut gone = Vec::new();
        if !new.is_empty()
            && let Some(lock) = lock(&self.place)?
        {
            let Place { connected, repository, cluster, .. } = &*self.place;
            let lock = (lock, connected.lock_max());
            gone = outlive_wal(&*connected.store, repository, cluster, &new, lock).await?;
        }
        self.timelines.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
        Ok(gone)
    }
}

/// How often the locks are looked at.
fn period(place: &Place) -> Duration {
    Duration::from_secs(WAL_GROUND_SECONDS).min(place.connected.retain() / 4)
}

/// What is written until the next look must be outlasted, and that look may fail once.
pub(super) fn lock(place: &Place) -> Result<Option<Lock>> {
    place.connected.lock_for(place.connected.retain().saturating_add(period(place) * 2))
}

async fn renew_for_ever(place: Arc<Place>, timelines: Arc<Mutex<BTreeSet<Timeline>>>) {
    let (period, clock) = (period(&place), place.connected.store.clock());
    let mut last_roster = clock.now();
    // Locks end by the store's clock, so that is what tells when it is time: this host may have slept.
    let due = |last: Timestamp, period: Duration| {
        SignedDuration::try_from(period).is_ok_and(|period| clock.now() >= last + period)
    };
    let roster_period = Duration::from_secs(ROSTER_SECONDS);
    let pause = [period, roster_period].into_iter().filter(|period| !period.is_zero()).min().unwrap_or(roster_period);
    let mut last = clock.now();
    loop {
        tokio::time::sleep((pause / 4).min(Duration::from_mins(1))).await;
        if due(last_roster, roster_period) {
            match place.follow_roster().await {
                Ok(_) => last_roster = clock.now(),
                Err(error) => tracing::warn!("whether there is a new roster is not known: {}", chain(&error)),
            }
        }
        if period.is_zero() || !due(last, period) {
            continue;
        }
        let timelines = timelines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match renew(&place, &timelines).await {
            Ok(gone) => {
                for finding in &gone {
                    tracing::warn!("{finding}");
                }
                last = clock.now();
            }
            Err(error) => tracing::warn!("the locks of what WAL needs are not renewed yet: {error}"),
        }
    }
}

async fn renew(place: &Place, timelines: &BTreeSet<Timeline>) -> Result<Vec<Finding>, String> {
    let Some(lock) = lock(place).map_err(|error| chain(&error))? else { return Ok(Vec::new()) };
    let store = &*place.connected.store;
    let all: CatalogResult<_> = async {
        let most = place.connected.lock_max();
        let mut gone = outlive(store, &place.repository, lock, most).await?;
        gone.extend(outlive_wal(store, &place.repository, &place.cluster, timelines, (lock, most)).await?);
        Ok(gone)
    }
    .await;
    all.map_err(|error| chain(&error))
}
