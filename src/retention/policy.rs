//! What is to be kept: `retention.*` of the configuration, resolved.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Error, Period, Result};
use crate::format::BackupId;
use crate::format::manifest::Kind;

/// The rules. Counts are of backups of one kind in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So far back every moment that can be recovered stays recoverable.
    pub window: SignedDuration,
    /// So many newest dumps never expire.
    pub keep_last_dumps: u32,
    /// So many newest base backups never expire.
    pub keep_last_bases: u32,
    /// So many calendar days (UTC) keep their first backup of each kind.
    pub daily: u32,
    /// The same of ISO weeks.
    pub weekly: u32,
    /// The same of months.
    pub monthly: u32,
    /// The same of years.
    pub yearly: u32,
    /// So many verified backups of each kind in use never expire, whatever else the policy says.
    pub min_redundancy: u32,
    /// Backups that never expire.
    pub keep: BTreeSet<BackupId>,
    /// Age at which the leftovers of a backup that never finished count as abandoned.
    pub unfinished: SignedDuration,
    /// Nothing is ever locked further ahead than this, but what a streamer's WAL stands on: a little longer than WAL may be.
    pub max: SignedDuration,
    /// What has no end yet is locked so much longer than it is needed today.
    pub margin: SignedDuration,
}

const DAY_SECONDS: i64 = 24 * 3600;

impl Policy {
    /// Refuses rules that would need locks beyond [`Policy::max`]: next month's plan must not fail where today's did not.
    pub fn check(&self) -> Result<()> {
        let spans = [
            ("retention.window", self.window),
            ("retention.daily", Period::Day.longest(self.daily)),
            ("retention.weekly", Period::Week.longest(self.weekly)),
            ("retention.monthly", Period::Month.longest(self.monthly)),
            ("retention.yearly", Period::Year.longest(self.yearly)),
        ];
        match spans.into_iter().find(|(_, span)| *span > self.max) {
            None => Ok(()),
            Some((key, span)) => Err(Error::BeyondMax {
                key,
                needed_days: (span.as_secs() + DAY_SECONDS - 1) / DAY_SECONDS,
                max_days: self.max.as_secs() / DAY_SECONDS,
            }),
        }
    }

    /// Until when something without an end in sight is locked: everything that can be recovered now is needed for a
    /// window's length, and the margin leaves time to look again. Never further than [`Policy::max`].
    pub fn open_until(&self, now: Timestamp) -> Timestamp {
        after(now, self.window.saturating_add(self.margin).min(self.max))
    }

    /// Locks without an end in sight are set to the next whole multiple of this, at most a tenth of the window ahead: whoever runs
    /// `retention extend` more often than that writes them once per step, and not with every run. Half of the margin is left in
    /// any case.
    pub fn step(&self) -> SignedDuration {
        (self.window / 10).min(self.margin / 2)
    }

    /// How long it keeps a backup at least, and a backup of a longer period at most: what deletes by age alone must not be
    /// sooner.
    pub fn keeps_at_least(&self) -> std::time::Duration {
        let periods = self.periods().map(|(period, count)| period.longest(count));
        let longest = periods.into_iter().fold(self.window, SignedDuration::max);
        longest.try_into().unwrap_or_default()
    }

    /// How many newest backups of a kind never expire.
    pub fn keep_last(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Dump => self.keep_last_dumps,
            Kind::Base => self.keep_last_bases,
        }
    }

    /// How many periods keep their first backup.
    pub fn periods(&self) -> [(Period, u32); 4] {
        [
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ]
    }
}

/// `span` after `at`, or the end of time.
pub(super) fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// `span` before `at`, or the beginning of time.
pub(super) fn before(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}
