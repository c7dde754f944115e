//! What is to be kept: `retention.*` of the configuration, resolved.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Error, Period, Result};
use crate::format::BackupId;
use crate::format::manifest::Kind;

/// What one kind of backup has of its own; `None` is the common rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Of dumps: so far back every one is kept. Of bases [`Policy::window`] is their window; this says that it is theirs alone.
    pub window: Option<SignedDuration>,
    /// Days that keep their first backup.
    pub daily: Option<u32>,
    /// ISO weeks.
    pub weekly: Option<u32>,
    /// Months.
    pub monthly: Option<u32>,
    /// Years.
    pub yearly: Option<u32>,
    /// Verified backups that never expire.
    pub min_redundancy: Option<u32>,
}

/// The rules. Counts are of backups of one kind in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// So far back every moment that can be recovered stays recoverable, and every dump is kept unless dumps have a window of
    /// their own.
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
    /// What dumps have of their own.
    pub dumps: Own,
    /// What base backups have of their own.
    pub bases: Own,
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

const KINDS: [Kind; 2] = [Kind::Dump, Kind::Base];

impl Policy {
    /// Refuses rules that would need locks beyond [`Policy::max`]: next month's plan must not fail where today's did not.
    pub fn check(&self) -> Result<()> {
        let mut spans = KINDS.into_iter().flat_map(|kind| self.spans(kind));
        match spans.find(|(_, span)| *span > self.max) {
            None => Ok(()),
            Some((key, span)) => Err(Error::BeyondMax {
                key,
                needed_days: (span.as_secs() + DAY_SECONDS - 1) / DAY_SECONDS,
                max_days: self.max.as_secs() / DAY_SECONDS,
            }),
        }
    }

    /// How long the rules of a kind need at most, each with the key that says so.
    fn spans(&self, kind: Kind) -> Vec<(&'static str, SignedDuration)> {
        let own = self.own(kind);
        let given = [
            own.window.is_some(),
            own.daily.is_some(),
            own.weekly.is_some(),
            own.monthly.is_some(),
            own.yearly.is_some(),
        ];
        let keys = keys(kind).into_iter().zip(given).map(|([common, own], given)| if given { own } else { common });
        let periods = self.periods(kind).map(|(period, count)| period.longest(count));
        keys.zip(std::iter::once(self.window_of(kind)).chain(periods)).collect()
    }

    fn own(&self, kind: Kind) -> &Own {
        match kind {
            Kind::Dump => &self.dumps,
            Kind::Base => &self.bases,
        }
    }

    /// The window of a kind.
    pub fn window_of(&self, kind: Kind) -> SignedDuration {
        match kind {
            Kind::Dump => self.dumps.window.unwrap_or(self.window),
            Kind::Base => self.window,
        }
    }

    /// So many verified backups of a kind never expire.
    pub fn redundancy(&self, kind: Kind) -> u32 {
        self.own(kind).min_redundancy.unwrap_or(self.min_redundancy)
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
        let spans = KINDS.into_iter().flat_map(|kind| self.spans(kind));
        let longest = spans.fold(self.window, |longest, (_, span)| longest.max(span));
        longest.try_into().unwrap_or_default()
    }

    /// How many newest backups of a kind never expire.
    pub fn keep_last(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Dump => self.keep_last_dumps,
            Kind::Base => self.keep_last_bases,
        }
    }

    /// How many periods keep their first backup of a kind.
    pub fn periods(&self, kind: Kind) -> [(Period, u32); 4] {
        let own = self.own(kind);
        [
            (Period::Day, own.daily.unwrap_or(self.daily)),
            (Period::Week, own.weekly.unwrap_or(self.weekly)),
            (Period::Month, own.monthly.unwrap_or(self.monthly)),
            (Period::Year, own.yearly.unwrap_or(self.yearly)),
        ]
    }
}

/// The common key and that of the kind, in the order of [`Policy::spans`].
fn keys(kind: Kind) -> [[&'static str; 2]; 5] {
    let [window, daily, weekly, monthly, yearly] = match kind {
        Kind::Dump => [
            "retention.dump.window",
            "retention.dump.daily",
            "retention.dump.weekly",
            "retention.dump.monthly",
            "retention.dump.yearly",
        ],
        Kind::Base => [
            "retention.base.window",
            "retention.base.daily",
            "retention.base.weekly",
            "retention.base.monthly",
            "retention.base.yearly",
        ],
    };
    [
        ["retention.window", window],
        ["retention.daily", daily],
        ["retention.weekly", weekly],
        ["retention.monthly", monthly],
        ["retention.yearly", yearly],
    ]
}

/// `span` after `at`, or the end of time.
pub(super) fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// `span` before `at`, or the beginning of time.
pub(super) fn before(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}
