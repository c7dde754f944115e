//! Retries of one request under one deadline.
//!
//! Every request we make may be sent again: bodies are in memory, PUT keys are fresh, retention only grows, deletes name
//! a version. A PUT whose answer was lost and that is repeated leaves two versions with the same bytes; the one
//! acknowledged to us is the one a manifest pins, the other is harmless until its lock ends.
//!
//! Pauses grow exponentially with full jitter, so that many hosts do not come back together. The SDK's own retry is off:
//! its quota is shared by all requests of the process and an outage would use it up, and it knows no overall deadline.

use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::super::{Error, ObjectKey, Result, VersionId};
use super::S3;
use crate::limits::{STORE_BACKOFF_MILLIS, STORE_BACKOFF_MILLIS_MAX, STORE_FIRST_CONTACT_ATTEMPTS};
use crate::observe::chain;

/// What is asked of the store: for error texts and for the meaning of answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// Action as IAM spells it.
    pub(super) action: &'static str,
    /// Object, unless the call is about the bucket.
    pub(super) key: Option<&'a ObjectKey>,
    /// Version of the object, if one is named.
    pub(super) version: Option<&'a VersionId>,
}

impl<'a> Call<'a> {
    pub(super) fn bucket(action: &'static str) -> Self {
        Self { action, key: None, version: None }
    }

    pub(super) fn key(action: &'static str, key: &'a ObjectKey) -> Self {
        Self { action, key: Some(key), version: None }
    }

    pub(super) fn version(action: &'static str, key: &'a ObjectKey, version: &'a VersionId) -> Self {
        Self { action, key: Some(key), version: Some(version) }
    }
}

/// Whether the same request may succeed if sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// It will fail again.
    Never,
    /// After a pause.
    Backoff,
    /// After a longer pause, and not before the store's own `Retry-After`.
    SlowDown(Option<Duration>),
    /// At once and only once: the clock has just been corrected.
    NewTime,
}

/// One failed try.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) retry: Retry,
}

impl Failure {
    pub(super) fn permanent(error: Error) -> Self {
        Self { error, retry: Retry::Never }
    }

    pub(super) fn passing(error: Error) -> Self {
        Self { error, retry: Retry::Backoff }
    }
}

/// Tries and time left for one request.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    store: &'a S3,
    call: Call<'a>,
    started: Instant,
    deadline: Instant,
    /// Failures in a row without progress.
    failures: u32,
    clock_corrected: bool,
    last: String,
}

impl S3 {
    pub(super) fn budget<'a>(&'a self, call: Call<'a>) -> Budget<'a> {
        let started = Instant::now();
        let deadline = started + self.deadline;
        Budget { store: self, call, started, deadline, failures: 0, clock_corrected: false, last: String::new() }
    }

    /// Runs `attempt` until it succeeds, fails for good, or tries or time are used up.
    pub(super) async fn call<T, A, F>(&self, call: Call<'_>, attempt: A) -> Result<T>
    where
        A: Fn() -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let mut budget = self.budget(call);
        loop {
            match budget.within(attempt()).await? {
                Ok(value) => return Ok(value),
                Err(failure) => budget.pause(failure).await?,
            }
        }
    }

    /// For requests without a body of their own: no answer within [`S3Options::stall`](super::S3Options::stall) counts as a stall. Boxed, because the
    /// SDK's futures are large and every caller would carry them.
    pub(super) fn patiently<'f, T: 'f>(
        &'f self,
        call: Call<'f>,
        request: impl Future<Output = Result<T, Failure>> + Send + 'f,
    ) -> BoxFuture<'f, Result<T, Failure>> {
        let answer = timeout(self.stall, Box::pin(request));
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(self.stalled(call))) })
    }

    pub(super) fn stalled(&self, call: Call<'_>) -> Failure {
        let source = format!("no progress for {:?}", self.stall).into();
        tracing::debug!(action = call.action, target = self.target(call), "request stalled");
        Failure::passing(Error::Unreachable { endpoint: self.endpoint.clone(), source })
    }

    /// Key or bucket, for error texts.
    pub(super) fn target(&self, call: Call<'_>) -> String {
        call.key.map_or_else(|| format!("bucket {}", self.bucket), ToString::to_string)
    }
}

impl Budget<'_> {
    /// Runs one try; past the deadline it is dropped.
    pub(super) async fn within<T>(&self, attempt: impl Future<Output = T>) -> Result<T> {
        timeout_at(self.deadline, attempt).await.map_err(|_| self.expired())
    }

    /// Something was achieved: failures count anew. The deadline stays.
    pub(super) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next try, or returns the error that ends the request.
    pub(super) async fn pause(&mut self, failure: Failure) -> Result<()> {
        let Failure { error, retry } = failure;
        self.failures += 1;
        let pause = match retry {
            Retry::Never => return Err(error),
            Retry::NewTime if self.clock_corrected => return Err(error),
            Retry::NewTime => {
                self.clock_corrected = true;
                return Ok(());
            }
            Retry::Backoff => backoff(self.failures, Duration::ZERO),
            Retry::SlowDown(at_least) => backoff(self.failures + 2, at_least.unwrap_or_default()),
        };
        self.last = chain(&error);
        let failed = (Instant::now(), self.last.clone());
        *self.store.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
        if self.failures >= self.attempts(&error) {
            return Err(self.with_effort(error));
        }
        if Instant::now() + pause >= self.deadline {
            return Err(self.expired());
        }
        tracing::debug!(action = self.call.action, failures = self.failures, ?pause, error = self.last, "retrying");
        sleep(pause).await;
        Ok(())
    }

    fn attempts(&self, error: &Error) -> u32 {
        let most = match error {
            _ if self.store.contact.made() => self.store.attempts,
            Error::Unreachable { .. } => STORE_FIRST_CONTACT_ATTEMPTS,
            // The providers behind it have tries of their own, of seconds each.
            Error::NoCredentials { .. } => STORE_FIRST_CONTACT_ATTEMPTS / 2,
            _ => self.store.attempts,
        };
        most.min(self.store.attempts)
    }

    fn expired(&self) -> Error {
        Error::Deadline {
            action: self.call.action,
            target: self.store.target(self.call),
            seconds: self.store.deadline.as_secs(),
            last: match self.failures {
                0 => String::new(),
                _ => format!("{} failed attempts, the last one: {}", self.failures, self.last),
            },
        }
    }

    /// Adds to the text how hard we tried.
    fn with_effort(&self, error: Error) -> Error {
        let effort = format!("{} attempts in {:.1} s", self.failures, self.started.elapsed().as_secs_f32());
        match error {
            Error::Busy { action, target, code } => Error::Busy { action, target, code: format!("{code} ({effort})") },
            Error::Corrupt { target, what } => Error::Corrupt { target, what: format!("{what} ({effort})") },
            Error::Unreachable { endpoint, source } => {
                Error::Unreachable { endpoint, source: Box::new(Effort { effort, source }) }
            }
            other => other,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{effort}")]
struct Effort {
    effort: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Full jitter: anything between nothing and the doubled pause, but not less than the store asked for.
fn backoff(failures: u32, at_least: Duration) -> Duration {
    let cap = Duration::from_millis(STORE_BACKOFF_MILLIS_MAX);
    let ceiling =
        STORE_BACKOFF_MILLIS.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(STORE_BACKOFF_MILLIS_MAX);
    let jittered = Duration::from_millis(fastrand::u64(0..=ceiling));
    jittered.max(at_least.min(cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_respect_the_store() {
        for failures in 1..200 {
            let ceiling = (STORE_BACKOFF_MILLIS << (failures - 1).min(20)).min(STORE_BACKOFF_MILLIS_MAX);
            assert!(backoff(failures, Duration::ZERO) <= Duration::from_millis(ceiling));
        }
        assert!(backoff(1, Duration::from_secs(3)) >= Duration::from_secs(3));
        assert_eq!(backoff(1, Duration::from_hours(1)), Duration::from_millis(STORE_BACKOFF_MILLIS_MAX));
        let long = (0..100).map(|_| backoff(12, Duration::ZERO)).max().unwrap();
        assert!(long > Duration::from_secs(5), "jitter uses the whole interval, got at most {long:?}");
    }
}
