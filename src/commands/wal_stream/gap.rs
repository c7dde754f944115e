//! Writing down what is lost (invariant I9).

use super::sender::Place;
use crate::catalog::record_gap;
use crate::commands::Result;
use crate::format::wal::GapRecord;
use crate::format::{Lsn, Timeline};
use crate::store::Read as _;

/// Records that `start..end` of `timeline` is gone. Only after that does streaming go on behind it.
pub(super) async fn record(place: &Place, timeline: Timeline, start: Lsn, end: Lsn, reason: &str) -> Result<()> {
    let store = &*place.connected.store;
    let gap = GapRecord {
        repository: place.repository.id(),
        cluster: place.cluster.clone(),
        system_identifier: place.identity.system_identifier,
        timeline,
        start,
        end,
        recorded_at: store.clock().now(),
        reason: reason.to_owned(),
    };
    record_gap(store, &place.repository, &gap, place.connected.lock()?).await?;
    Ok(())
}
