//! WAL that no server has any more is written down (invariant I9), and streaming goes on behind it.

use super::life::Life;
use super::sender::Place;
use super::stored;
use super::way::Way;
use crate::catalog::record_gap;
use crate::commands::{Error, Result};
use crate::format::wal::GapRecord;
use crate::format::{Lsn, Timeline};
use crate::pipeline::wal_stream::{Start, plan_skip};
use crate::postgres::replication::System;
use crate::store::Read as _;

impl Life<'_> {
    /// Goes on behind WAL that is gone. What there is before it stays for good, the rest is recorded as missing.
    pub(super) async fn skip(&mut self, way: &Way, system: &System, slot: Option<Lsn>) -> Result<()> {
        let Some(streaming) = &self.streaming else { return Ok(()) };
        let (timeline, continues) = (streaming.timeline, streaming.has_stored());
        let received = streaming.flow.received();
        if received > streaming.first {
            self.finish_timeline().await?;
        }
        // An earlier process may have stored more of the piece than we were sent.
        let at = stored::keep_partials(&self.place, timeline, received).await?;
        let known = stored::stored(&self.place, &way.legs).await?;
        let from = Start { timeline, at, continues: continues || at > received };
        let skip = plan_skip(&way.legs, &known.done, from, slot, system.flush_lsn, self.segment());
        let skip = skip.ok_or(Error::NothingLeft { at })?;
        if let Some((start, end)) = skip.gap {
            record(&self.place, timeline, start, end, "no server had it any more when it was asked for").await?;
            self.gaps += 1;
            self.warn(format!(
                "WAL {start} to {end} of timeline {timeline} is gone from the server: the gap is recorded, take a new base backup"
            ));
        }
        self.start(skip.start);
        Ok(())
    }
}

/// Records that `start..end` of `timeline` is gone. Only after that does streaming go on behind it.
async fn record(place: &Place, timeline: Timeline, start: Lsn, end: Lsn, reason: &str) -> Result<()> {
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
