//! Counters. Pure.

use jiff::Timestamp;
use serde::Serialize;

use crate::commands::retention::price::gib_months;

/// Versions and their bytes; delete markers are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.versions += 1;
        self.bytes += bytes;
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.versions += other.versions;
        self.bytes += other.bytes;
    }
}

/// What keeps a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    /// When its lock ends, if it has one.
    pub(super) until: Option<Timestamp>,
    /// Whether only a legal hold keeps it.
    pub(super) held: bool,
}

/// What shares a fate, and for how long locks hold it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// All of it.
    #[serde(flatten)]
    pub all: Amount,
    /// What of it is locked.
    pub locked: Amount,
    /// When the first of these locks ends.
    pub first_ends: Option<Timestamp>,
    /// When the last one does.
    pub last_ends: Option<Timestamp>,
    /// What of it only a legal hold keeps; 0 unless that was asked for.
    pub held: Amount,
    /// What storing what is locked costs until its locks end; `None` without prices.
    pub cost_until_then: Option<f64>,
}

impl Share {
    /// One version more. `price` is that of its class; `None` adds no money.
    pub(super) fn take(&mut self, bytes: u64, by: Protection, now: Timestamp, price: Option<f64>) {
        self.all.add(bytes);
        if by.held {
            self.held.add(bytes);
        }
        let Some(until) = by.until.filter(|until| *until > now) else { return };
        self.locked.add(bytes);
        self.first_ends = Some(self.first_ends.map_or(until, |first| first.min(until)));
        self.last_ends = self.last_ends.max(Some(until));
        if let (Some(sum), Some(price)) = (&mut self.cost_until_then, price) {
            *sum += gib_months(bytes, now, until) * price;
        }
    }
}

/// What becomes of what is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shares {
    /// The plan keeps it.
    pub kept: Share,
    /// The plan expires it: `retention apply` removes it once no lock holds it.
    pub expires: Share,
    /// No plan has a say: audit records and evidence, which have locks of their own, and what came after the plan was made.
    pub left: Share,
    /// It is not ours.
    pub foreign: Share,
}

impl Shares {
    /// Without anything yet; with money where there are prices.
    pub(super) fn new(priced: bool) -> Self {
        let none = || Share { cost_until_then: priced.then_some(0.0), ..Share::default() };
        Self { kept: none(), expires: none(), left: none(), foreign: none() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
    }

    #[test]
    fn locks_that_ended_hold_nothing_and_cost_nothing() {
        let mut share = Shares::new(true).expires;
        let by = |hour| Protection { until: Some(at(hour)), held: false };
        share.take(1 << 30, by(-1), at(0), Some(1.0));
        share.take(1 << 30, by(0), at(0), Some(1.0));
        assert_eq!((share.all.versions, share.locked, share.first_ends), (2, Amount::default(), None));
        share.take(5, by(9), at(0), None);
        share.take(1 << 30, by(3), at(0), Some(2.0));
        share.take(7, Protection { until: None, held: true }, at(0), Some(1.0));
        assert_eq!(share.locked, Amount { versions: 2, bytes: 5 + (1 << 30) });
        assert_eq!((share.first_ends, share.last_ends), (Some(at(3)), Some(at(9))));
        assert_eq!(share.held, Amount { versions: 1, bytes: 7 });
        let month = 365.25 / 12.0 * 24.0;
        assert!((share.cost_until_then.unwrap() - 2.0 * 3.0 / month).abs() < 1e-9, "{share:?}");
        assert_eq!(Shares::new(false).kept.cost_until_then, None);
    }
}
