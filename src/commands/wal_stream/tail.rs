//! The newest WAL: partials of the piece that is not complete. They are locked for a short time, because the piece follows. Where
//! it does not follow soon, they get the lock that it would have had.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::sender::{Place, Sent};
use crate::commands::Result;
use crate::format::Lsn;
use crate::limits::{WAL_HEADS, WAL_TAIL_IDLE_SECONDS};
use crate::observe::chain;
use crate::pipeline::wal_stream::CutKind;
use crate::store::{Lock, ObjectKey, Read as _, Retain as _, VersionId};

/// One stored partial.
#[derive(Clone, Debug)]
struct Part {
    start: Lsn,
    end: Lsn,
    key: ObjectKey,
    version: VersionId,
    stored: Instant,
    kept: bool,
}

/// Partials of pieces that are not stored whole yet, as this process stored them: no listing is needed to find them.
#[derive(Debug)]
pub(super) struct Tail {
    parts: Vec<Part>,
    /// When something was added last.
    grown: Instant,
    /// After so long without anything new.
    idle: Duration,
    /// No partial that is needed is left with its short lock for longer.
    age_max: Duration,
    job: JoinSet<std::result::Result<Vec<ObjectKey>, String>>,
}

impl Tail {
    /// `retain` is the short lock.
    pub(super) fn new(retain: Duration) -> Self {
        let age_max = retain / 4;
        let idle = Duration::from_secs(WAL_TAIL_IDLE_SECONDS).min(age_max);
        Self { parts: Vec::new(), grown: Instant::now(), idle, age_max, job: JoinSet::new() }
    }

    /// Something was stored.
    pub(super) fn stored(&mut self, sent: Sent) {
        match (sent.kind, sent.object) {
            (CutKind::Whole | CutKind::Tail, _) => {
                self.parts.retain(|part| part.start < sent.start || sent.end < part.end);
            }
            (CutKind::Partial | CutKind::Merged, Some((key, version))) => {
                let stored = Instant::now();
                self.parts.push(Part { start: sent.start, end: sent.end, key, version, stored, kept: false });
                if sent.kind == CutKind::Partial {
                    self.grown = stored;
                }
            }
            (CutKind::Partial | CutKind::Merged, None) => {}
        }
    }

    /// Begins to set longer locks, if it is time.
    pub(super) fn look_after(&mut self, place: &std::sync::Arc<Place>) {
        let now = Instant::now();
        let since = |then: Instant| now.saturating_duration_since(then);
        let wanted = self.needed();
        let oldest = wanted.iter().map(|part| since(part.stored)).max().unwrap_or_default();
        if !self.job.is_empty() || wanted.is_empty() || (since(self.grown) < self.idle && oldest < self.age_max) {
            return;
        }
        let place = place.clone();
        self.job.spawn(async move { lock(&place, wanted).await.map_err(|error| chain(&error)) });
    }

    /// Waits for the end of that; cancel-safe. For ever, if nothing was begun.
    pub(super) async fn looked_after(&mut self) {
        match self.job.join_next().await {
            Some(Ok(Ok(kept))) => self.mark(&kept),
            Some(Ok(Err(error))) => {
                tracing::warn!("the newest WAL keeps its short lock for now: {error}");
                self.grown = Instant::now();
                self.parts.iter_mut().for_each(|part| part.stored = part.stored.max(self.grown));
            }
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    /// Sets the longer lock on all that is needed.
    pub(super) async fn keep(&mut self, place: &Place) -> Result<()> {
        while let Some(done) = self.job.join_next().await {
            if let Ok(Ok(kept)) = done {
                self.mark(&kept);
            }
        }
        let kept = lock(place, self.needed()).await?;
        self.mark(&kept);
        Ok(())
    }

    fn mark(&mut self, kept: &[ObjectKey]) {
        self.parts.iter_mut().for_each(|part| part.kept |= kept.contains(&part.key));
    }

    /// The fewest partials that hold everything, without those that are kept already. The others repeat what these have.
    fn needed(&self) -> Vec<Part> {
        let mut needed = Vec::new();
        let Some(mut at) = self.parts.iter().map(|part| part.start).min() else { return needed };
        loop {
            let holding = self.parts.iter().filter(|part| part.start <= at && at < part.end);
            if let Some(part) = holding.max_by_key(|part| (part.end, part.kept)) {
                at = part.end;
                needed.extend((!part.kept).then(|| part.clone()));
                continue;
            }
            match self.parts.iter().map(|part| part.start).filter(|start| *start > at).min() {
                Some(next) => at = next,
                None => return needed,
            }
        }
    }
}

/// Lengthens the locks; gives the keys.
async fn lock(place: &Place, parts: Vec<Part>) -> Result<Vec<ObjectKey>> {
    let set = |part: Part| async move { lengthen(place, &part.key, &part.version).await.map(|()| part.key) };
    stream::iter(parts).map(set).buffer_unordered(WAL_HEADS).try_collect().await
}

/// Gives a partial the lock that its piece would have. One that `retention extend` locked for longer stays as it is: nobody may
/// shorten it, nor take it out of compliance mode.
pub(super) async fn lengthen(place: &Place, key: &ObjectKey, version: &VersionId) -> Result<()> {
    let Some(wanted) = place.connected.lock()? else { return Ok(()) };
    let store = &place.connected.store;
    let found = store.lock_of(key, version).await?.filter(|found| found.retain_until > store.clock().now());
    if found.is_some_and(|found| found.retain_until >= wanted.retain_until) {
        return Ok(());
    }
    let lock = Lock { mode: found.map_or(wanted.mode, |found| found.mode), ..wanted };
    Ok(store.set_lock(key, version, lock).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(kind: CutKind, start: u64, end: u64) -> Sent {
        let object = Some((ObjectKey::new(format!("{kind:?}-{start}-{end}")), VersionId::null()));
        Sent { kind, start: Lsn::new(start), end: Lsn::new(end), object }
    }

    fn needed(tail: &Tail) -> Vec<(u64, u64)> {
        tail.needed().iter().map(|part| (part.start.get(), part.end.get())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_fewest_partials_are_kept() {
        let mut tail = Tail::new(Duration::from_hours(168));
        for at in 0..40 {
            tail.stored(sent(CutKind::Partial, at, at + 1));
        }
        tail.stored(sent(CutKind::Merged, 0, 16));
        tail.stored(sent(CutKind::Merged, 16, 32));
        let want: Vec<_> = [(0, 16), (16, 32)].into_iter().chain((32..40).map(|at| (at, at + 1))).collect();
        assert_eq!(needed(&tail), want);
        let kept: Vec<_> = tail.needed().into_iter().map(|part| part.key).collect();
        tail.mark(&kept);
        assert_eq!(needed(&tail), []);
        tail.stored(sent(CutKind::Partial, 40, 42));
        assert_eq!(needed(&tail), [(40, 42)]);
        tail.stored(sent(CutKind::Whole, 0, 64));
        assert_eq!(needed(&tail), [], "the piece is there");
        // A piece whose upload was overtaken by the next one's partials.
        tail.stored(sent(CutKind::Partial, 64, 70));
        tail.stored(sent(CutKind::Partial, 128, 130));
        assert_eq!(needed(&tail), [(64, 70), (128, 130)]);
    }
}
