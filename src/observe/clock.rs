//! The host's clock, for what has nothing to do with locks: how long something took, and stamps for people.
//!
//! Anything stored or locked uses the store's clock instead (invariant I11).

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The host's idea of now, in UTC. It may be wrong by days.
#[expect(clippy::disallowed_methods, reason = "the clock seam: the one place outside the store that reads the clock")]
pub fn host_now() -> Timestamp {
    Timestamp::now()
}

/// Measures how long something takes, unmoved by clock changes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
