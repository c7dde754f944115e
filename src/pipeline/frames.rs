//! Work on frames in parallel, results in order.

use std::collections::VecDeque;

use tokio::task::{JoinHandle, spawn_blocking};

use super::{Error, Result};
use crate::limits::FRAME_WORKERS_MAX;

/// A bounded queue of jobs on the blocking threads, so that compression never starves the runtime. Results come out in
/// the order in which the jobs went in.
#[derive(Debug)]
pub(super) struct Ordered<T> {
    jobs: VecDeque<JoinHandle<T>>,
    workers: usize,
}

impl<T: Send + 'static> Ordered<T> {
    /// As many jobs at once as the host has processors, within the limit.
    pub(super) fn new() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from).min(FRAME_WORKERS_MAX);
        Self { jobs: VecDeque::new(), workers }
    }

    /// Whether another job would wait for an earlier one.
    pub(super) fn is_full(&self) -> bool {
        self.jobs.len() >= self.workers
    }

    /// Starts a job; the caller takes results out first while [`Ordered::is_full`].
    pub(super) fn push(&mut self, job: impl FnOnce() -> T + Send + 'static) {
        self.jobs.push_back(spawn_blocking(job));
    }

    /// The result of the oldest job; `None` when there is none. Cancel safe: the job stays until its result is taken.
    pub(super) async fn next(&mut self) -> Result<Option<T>> {
        let Some(job) = self.jobs.front_mut() else { return Ok(None) };
        let result = job.await.map_err(Error::Worker);
        self.jobs.pop_front();
        result.map(Some)
    }
}
