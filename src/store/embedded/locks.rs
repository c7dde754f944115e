//! The rules of Object Lock as pure functions of a version's state, the store's time and the caller's rights.
//!
//! Sources: S3 User Guide, "Locking objects with Object Lock" (retention modes, legal holds) and "Object Lock
//! considerations" (bypassing governance mode); S3 API, PutObjectRetention and PutObjectLockConfiguration.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::store::{Lock, LockMode};

/// Longest default retention that S3 accepts (API DefaultRetention: days up to 36,500, years up to 100).
const DEFAULT_DAYS_MAX: i32 = 36_500;
/// See [`DEFAULT_DAYS_MAX`].
const DEFAULT_YEARS_MAX: i32 = 100;

/// Why a lock forbids what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A legal hold has no end and nobody may override it.
    #[error("Access Denied because object protected by object lock: legal hold")]
    LegalHold,
    /// Compliance retention cannot be shortened, weakened or overridden by anyone.
    #[error("Access Denied because object protected by object lock: compliance until {0}")]
    Compliance(Timestamp),
    /// Governance retention needs the bypass header and the bypass permission.
    #[error("Access Denied because object protected by object lock: governance until {0}")]
    Governance(Timestamp),
    /// A new retention must end in the future.
    #[error("The retain until date must be in the future!")]
    Past,
}

/// May this version be removed? `bypass` = the header was sent *and* the caller holds `s3:BypassGovernanceRetention`.
///
/// - A legal hold prevents deletion as long as it is on, whatever the retention ("Legal holds").
/// - Compliance: nobody, root included, until the date has passed ("Compliance mode").
/// - Governance: only with header and permission ("Governance mode", "Bypassing governance mode").
/// - After the retain-until date the version can be deleted like any other ("Retention periods").
pub(super) fn may_delete(
    retention: Option<Lock>,
    legal_hold: bool,
    now: Timestamp,
    bypass: bool,
) -> Result<(), Refusal> {
    if legal_hold {
        return Err(Refusal::LegalHold);
    }
    match active(retention, now) {
        Some(Lock { mode: LockMode::Compliance, retain_until }) => Err(Refusal::Compliance(retain_until)),
        Some(Lock { mode: LockMode::Governance, retain_until }) if !bypass => Err(Refusal::Governance(retain_until)),
        _ => Ok(()),
    }
}

/// May `wanted` replace `current`? `None` for `wanted` removes the retention (an empty `Retention` element).
///
/// - The new date must be in the future (API PutObjectRetention).
/// - Compliance: the mode cannot be changed and the period cannot be shortened ("Compliance mode").
/// - Governance: extending is open to everyone with `s3:PutObjectRetention`; shortening, removing or changing the
///   settings otherwise needs the bypass ("Governance mode"). Turning governance into compliance is a change of
///   settings, so it needs the bypass too.
pub(super) fn may_set_retention(
    current: Option<Lock>,
    wanted: Option<Lock>,
    now: Timestamp,
    bypass: bool,
) -> Result<(), Refusal> {
    if wanted.is_some_and(|lock| lock.retain_until <= now) {
        return Err(Refusal::Past);
    }
    let Some(current) = active(current, now) else { return Ok(()) };
    let extends = wanted.is_some_and(|lock| lock.mode == current.mode && lock.retain_until >= current.retain_until);
    match current.mode {
        _ if extends => Ok(()),
        LockMode::Compliance => Err(Refusal::Compliance(current.retain_until)),
        LockMode::Governance if bypass => Ok(()),
        LockMode::Governance => Err(Refusal::Governance(current.retain_until)),
    }
}

/// The retention while it still binds: it ends when the store's time reaches retain-until.
fn active(retention: Option<Lock>, now: Timestamp) -> Option<Lock> {
    retention.filter(|lock| lock.retain_until > now)
}

/// A bucket's default retention: applied to new versions that bring none of their own ("Default retention").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DefaultRetention {
    /// Mode that new versions get.
    pub(super) mode: LockMode,
    /// Length of the period.
    pub(super) period: Period,
}

/// S3 takes days or years, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Period {
    /// Days of 24 hours.
    Days(i32),
    /// Years of 365 days.
    Years(i32),
}

impl DefaultRetention {
    /// Checks the bounds that S3 sets; `None` when they are broken.
    pub(super) fn new(mode: LockMode, days: Option<i32>, years: Option<i32>) -> Option<Self> {
        let period = match (days, years) {
            (Some(days @ 1..=DEFAULT_DAYS_MAX), None) => Period::Days(days),
            (None, Some(years @ 1..=DEFAULT_YEARS_MAX)) => Period::Years(years),
            _ => return None,
        };
        Some(Self { mode, period })
    }

    /// The retention of a version created at `now`.
    pub(super) fn lock(self, now: Timestamp) -> Lock {
        let days = match self.period {
            Period::Days(days) => i64::from(days),
            Period::Years(years) => i64::from(years) * 365,
        };
        let retain_until = now.checked_add(SignedDuration::from_hours(days * 24)).unwrap_or(Timestamp::MAX);
        Lock { mode: self.mode, retain_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Compliance, Governance};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "the tables want an option")]
    fn lock(mode: LockMode, until: i64) -> Option<Lock> {
        Some(Lock { mode, retain_until: at(until) })
    }

    #[test]
    fn deletion_table() {
        let now = at(1000);
        // (retention, legal hold, bypass, expected)
        let table = [
            (None, false, false, Ok(())),
            (None, true, false, Err(Refusal::LegalHold)),
            (None, true, true, Err(Refusal::LegalHold)),
            (lock(Governance, 1001), false, false, Err(Refusal::Governance(at(1001)))),
            (lock(Governance, 1001), false, true, Ok(())),
            (lock(Governance, 1001), true, true, Err(Refusal::LegalHold)),
            (lock(Governance, 1000), false, false, Ok(())),
            (lock(Governance, 999), false, false, Ok(())),
            (lock(Governance, 999), true, true, Err(Refusal::LegalHold)),
            (lock(Compliance, 1001), false, false, Err(Refusal::Compliance(at(1001)))),
            (lock(Compliance, 1001), false, true, Err(Refusal::Compliance(at(1001)))),
            (lock(Compliance, 1000), false, false, Ok(())),
            (lock(Compliance, 999), true, false, Err(Refusal::LegalHold)),
        ];
        for (row, (retention, hold, bypass, expected)) in table.into_iter().enumerate() {
            assert_eq!(may_delete(retention, hold, now, bypass), expected, "row {row}");
        }
    }

    #[test]
    fn retention_table() {
        let now = at(1000);
        let (governed, complied) = (Err(Refusal::Governance(at(2000))), Err(Refusal::Compliance(at(2000))));
        // (current, wanted, without bypass, with bypass)
        let table = [
            (None, None, Ok(()), Ok(())),
            (None, lock(Governance, 2000), Ok(()), Ok(())),
            (None, lock(Compliance, 2000), Ok(()), Ok(())),
            (None, lock(Governance, 1000), Err(Refusal::Past), Err(Refusal::Past)),
            (None, lock(Compliance, 999), Err(Refusal::Past), Err(Refusal::Past)),
            // Governance: same or later is an extension, everything else needs the bypass.
            (lock(Governance, 2000), lock(Governance, 2000), Ok(()), Ok(())),
            (lock(Governance, 2000), lock(Governance, 2001), Ok(()), Ok(())),
            (lock(Governance, 2000), lock(Governance, 1999), governed, Ok(())),
            (lock(Governance, 2000), lock(Compliance, 1999), governed, Ok(())),
            (lock(Governance, 2000), lock(Compliance, 3000), governed, Ok(())),
            (lock(Governance, 2000), None, governed, Ok(())),
            (lock(Governance, 2000), lock(Governance, 1000), Err(Refusal::Past), Err(Refusal::Past)),
            // Compliance: extension only; the bypass changes nothing.
            (lock(Compliance, 2000), lock(Compliance, 2000), Ok(()), Ok(())),
            (lock(Compliance, 2000), lock(Compliance, 9000), Ok(()), Ok(())),
            (lock(Compliance, 2000), lock(Compliance, 1999), complied, complied),
            (lock(Compliance, 2000), lock(Governance, 9000), complied, complied),
            (lock(Compliance, 2000), None, complied, complied),
            // Expired retention binds nobody.
            (lock(Compliance, 1000), lock(Governance, 1001), Ok(()), Ok(())),
            (lock(Compliance, 999), None, Ok(()), Ok(())),
            (lock(Governance, 999), lock(Compliance, 1001), Ok(()), Ok(())),
            (lock(Governance, 999), lock(Governance, 999), Err(Refusal::Past), Err(Refusal::Past)),
        ];
        for (row, (current, wanted, plain, bypassed)) in table.into_iter().enumerate() {
            assert_eq!(may_set_retention(current, wanted, now, false), plain, "row {row} without bypass");
            assert_eq!(may_set_retention(current, wanted, now, true), bypassed, "row {row} with bypass");
        }
    }

    #[test]
    fn default_retention_bounds() {
        let ok = |days, years| DefaultRetention::new(Governance, days, years).is_some();
        assert!(ok(Some(1), None) && ok(Some(36_500), None) && ok(None, Some(1)) && ok(None, Some(100)));
        assert!(!ok(None, None) && !ok(Some(1), Some(1)) && !ok(Some(0), None) && !ok(Some(-1), None));
        assert!(!ok(Some(36_501), None) && !ok(None, Some(0)) && !ok(None, Some(101)));
        let lock = DefaultRetention::new(Compliance, None, Some(1)).unwrap().lock(at(0));
        assert_eq!(lock, Lock { mode: Compliance, retain_until: at(365 * 86_400) });
    }
}
