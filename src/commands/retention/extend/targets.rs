//! Until when locks are set. Pure.

use jiff::{SignedDuration, Timestamp};

/// Until when locks are set, in one run.
#[derive(Clone, Copy)]
pub(super) struct Targets {
    open_until: Timestamp,
    /// Where what has no end in sight is locked to.
    step_end: Timestamp,
    /// No lock is ever set further ahead (PAINS E4).
    limit: Timestamp,
}

impl Targets {
    /// What has no end in sight at `now` is needed until `open_until`, and locked in whole steps; nothing for longer than `max`.
    pub(super) fn new(now: Timestamp, open_until: Timestamp, step: SignedDuration, max: SignedDuration) -> Self {
        let limit = now.checked_add(max).unwrap_or(Timestamp::MAX);
        Self { open_until, step_end: step_end(open_until, step), limit }
    }

    /// For what is needed until then. What is needed for longer is never locked for less (invariant I11).
    pub(super) fn of(self, until: Timestamp) -> Timestamp {
        let until = if until >= self.open_until { until.max(self.step_end) } else { until };
        rounded(until.min(self.limit))
    }
}

/// The next whole multiple of `step` since 1970: the same moment for every run until it has passed.
fn step_end(at: Timestamp, step: SignedDuration) -> Timestamp {
    let (second, step) = (rounded(at).as_second(), step.as_secs().max(1));
    let behind = second.rem_euclid(step);
    if behind == 0 {
        return rounded(at);
    }
    Timestamp::from_second(second.saturating_add(step - behind)).unwrap_or(at)
}

/// Whole seconds, upwards: that is what stores keep.
fn rounded(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() + i64::from(at.subsec_nanosecond() > 0)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// 1,800,000,000 is a multiple of 100.
    fn targets(now: i64) -> Targets {
        let seconds = SignedDuration::from_secs;
        Targets::new(at(now), at(now + 1000), seconds(100), seconds(2000))
    }

    #[test]
    fn what_has_no_end_is_locked_in_steps_and_what_has_one_exactly() {
        for (now, until, target) in [
            (0, 1000, 1000),
            (1, 1001, 1100),
            (99, 1099, 1100),
            (100, 1100, 1100),
            (1, 500, 500),   // It ends, before that.
            (1, 1050, 1100), // It ends, but what has no end may stand on it.
            (1, 1500, 1500),
            (1, 9999, 2001), // retention.max
        ] {
            assert_eq!(targets(now).of(at(until)), at(target), "{until} at {now}");
        }
        let exact = Targets::new(at(7), at(50), SignedDuration::ZERO, SignedDuration::from_secs(2000));
        assert_eq!(exact.of(at(50)), at(50), "without a margin there are no steps");
    }

    #[test]
    fn i11_what_is_needed_for_longer_is_never_locked_for_less() {
        for now in 0..250 {
            let targets = targets(now);
            for until in now..now + 2500 {
                assert!(targets.of(at(until)) <= targets.of(at(until + 1)), "{until} at {now}");
                assert!(targets.of(at(until)) >= at(until.min(now + 2000)), "{until} at {now}");
            }
        }
    }
}
