//! A side that fails again and again is passed over for a while: a restore of many objects must not wait for each of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::SIDE_REST_SECONDS;

const REST: Duration = Duration::from_secs(SIDE_REST_SECONDS);

#[derive(Debug, Default)]
struct State {
    /// Failures since the last answer.
    failures: u32,
    rests_until: Option<Instant>,
    last: String,
}

/// Whether a side may be asked.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    /// Failures in a row after which it rests.
    most: u32,
}

impl Breaker {
    pub(super) fn after(most: u32) -> Self {
        Self { state: Mutex::default(), most }
    }

    /// Nothing if the side may be asked, else what its last failure was. Once it has rested, one caller finds out for all.
    pub(super) fn refusal(&self) -> Option<String> {
        self.locked(|state| {
            let until = state.rests_until?;
            let now = Instant::now();
            if now < until {
                return Some(state.last.clone());
            }
            state.rests_until = Some(now + REST);
            None
        })
    }

    /// It has answered.
    pub(super) fn answered(&self) {
        self.locked(|state| *state = State::default());
    }

    /// It has failed.
    pub(super) fn failed(&self, why: &dyn std::fmt::Display) {
        self.locked(|state| {
            state.failures += 1;
            state.last = why.to_string();
            if state.failures >= self.most {
                state.rests_until = Some(Instant::now() + REST);
            }
        });
    }

    fn locked<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SIDE_FAILURES_MAX;

    #[tokio::test(start_paused = true)]
    async fn a_side_rests_after_failures_and_is_tried_by_one() {
        let breaker = Breaker::after(SIDE_FAILURES_MAX);
        for _ in 1..SIDE_FAILURES_MAX {
            breaker.failed(&"no route");
            assert_eq!(breaker.refusal(), None);
        }
        breaker.answered();
        for _ in 0..SIDE_FAILURES_MAX {
            assert_eq!(breaker.refusal(), None, "an answer counts anew");
            breaker.failed(&"no route");
        }
        assert_eq!(breaker.refusal().as_deref(), Some("no route"));
        tokio::time::advance(REST).await;
        assert_eq!(breaker.refusal(), None, "one finds out");
        assert!(breaker.refusal().is_some(), "the others wait for the answer");
        breaker.answered();
        assert_eq!(breaker.refusal(), None);
    }
}
