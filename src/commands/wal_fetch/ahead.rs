//! Looking ahead: the next segments while PostgreSQL waits for this one anyway.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::output::Output;
use super::spool::{Spool, Stamp};
use super::{Error, Result};
use crate::catalog::Repository;
use crate::format::names::WalName;
use crate::format::wal::{WalRange, piece_bytes};
use crate::format::{ClusterName, Lsn, SegmentName};
use crate::limits::{WAL_AHEAD_BYTES_MAX, WAL_AHEAD_SECONDS_MIN};

/// Segments on their way into the spool.
pub(super) struct Ahead {
    tasks: JoinSet<(u64, bool)>,
    started: Instant,
    asked: usize,
}

/// What fetching one segment ahead needs.
#[derive(Clone)]
struct Job {
    repository: Arc<Repository>,
    cluster: ClusterName,
    stamp: Stamp,
    spool: Spool,
}

impl Ahead {
    /// Begins with the segments in order, several at once; each worker ends at the first one that is not there.
    pub(super) fn start(
        repository: &Arc<Repository>,
        cluster: &ClusterName,
        stamp: &Stamp,
        segments: Vec<SegmentName>,
        spool: &Spool,
    ) -> Self {
        let (repository, cluster) = (repository.clone(), cluster.clone());
        let job = Job { repository, cluster, stamp: stamp.clone(), spool: spool.clone() };
        let (mut tasks, asked) = (JoinSet::new(), segments.len());
        let queue = Arc::new(std::sync::Mutex::new(segments.into_iter()));
        let at_once = WAL_AHEAD_BYTES_MAX as u64 / piece_bytes(stamp.segment_bytes);
        for _ in 0..usize::try_from(at_once).unwrap_or(usize::MAX).min(asked) {
            let (job, queue) = (job.clone(), queue.clone());
            tasks.spawn(async move {
                let mut done = 0;
                loop {
                    let next = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some(segment) = next else { return (done, true) };
                    match job.fetch(segment).await {
                        Ok(true) => done += 1,
                        Ok(false) => return (done, false),
                        Err(error) => {
                            tracing::debug!(%segment, error = crate::observe::chain(&error), "not fetched ahead");
                            return (done, true);
                        }
                    }
                }
            });
        }
        Self { tasks, started: Instant::now(), asked }
    }

    /// Waits for what is on its way, but not much longer than the segment itself took: PostgreSQL is waiting. What is not
    /// done by then is given up.
    pub(super) async fn settle(mut self, spool: &Spool, stamp: &Stamp) {
        let patience = (self.started.elapsed() * 3).max(Duration::from_secs(WAL_AHEAD_SECONDS_MIN));
        let until = self.started + patience;
        let (mut fetched, mut ended) = (0, false);
        while let Ok(Some(done)) = timeout_at(until, self.tasks.join_next()).await {
            if let Ok((segments, all_there)) = done {
                fetched += segments;
                ended |= !all_there;
            }
        }
        self.tasks.shutdown().await;
        tracing::debug!(fetched, asked = self.asked, "looked ahead");
        spool.alone(stamp, ended);
    }
}

impl Job {
    /// Fetches one segment; false if it is not there as a whole at the first glance.
    async fn fetch(&self, segment: SegmentName) -> Result<bool> {
        let size = self.stamp.segment_bytes;
        let (Some(start), Some(to)) = (segment.start(size), self.spool.path(segment)) else { return Ok(false) };
        let folder = super::directory(&to);
        let mut output = None;
        for number in 0..size.bytes() / piece_bytes(size) {
            let piece = WalRange::piece(Lsn::new(start.get() + number * piece_bytes(size)), size);
            let name = WalName::Piece { timeline: segment.timeline, range: piece, tag: None };
            let Some(found) = self.repository.wal_at_once(&self.cluster, &name).await else { return Ok(false) };
            if found.head.header().system_identifier != self.stamp.system_identifier {
                return Ok(false);
            }
            let output = match &mut output {
                Some(output) => output,
                none => none.insert(Output::create(folder)?),
            };
            output.write(&self.repository, found, piece.start.since(start)).await?;
        }
        let output = output.ok_or_else(|| Error::Usage("a segment without pieces".into()))?;
        output.persist(&to).await?;
        Ok(true)
    }
}
