//! An archive tier to try clients on: what lies there is listed under its storage class, and refused until it was asked for and the
//! time for that has passed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::clock::http_date;
use crate::store::Archive;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Which objects are frozen.
#[derive(Debug, Default)]
pub(super) struct Frost(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Keys that contain this text, and whose versions lie where.
    keys: Option<(String, Archive)>,
    /// Single versions, by key and id.
    versions: BTreeMap<(String, String), Archive>,
    /// How long an archive takes.
    delay: SignedDuration,
    /// What was asked for.
    thaws: BTreeMap<(String, String), Thawing>,
}

#[derive(Clone, Copy, Debug)]
struct Thawing {
    ready: Timestamp,
    /// `None`: the object itself moves, for good.
    ends: Option<Timestamp>,
}

/// What S3 says of a frozen version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) class: &'static str,
    /// `x-amz-archive-status`.
    pub(super) tier: Option<&'static str>,
    /// `x-amz-restore`.
    pub(super) restore: Option<String>,
    pub(super) readable: bool,
}

/// What a request for a thaw comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is taken, or an earlier one lasts longer by it.
    Taken,
    /// One is under way.
    UnderWay,
    /// Nothing is frozen there.
    NotFrozen,
    /// A number of days is missing, or is not for this class.
    BadDays,
    /// Not from a deep archive.
    NotOffered,
}

impl Frost {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, part: Option<&str>, archive: Archive) {
        let mut state = self.state();
        state.keys = part.map(|part| (part.to_owned(), archive));
        state.thaws.clear();
        if part.is_none() {
            state.versions.clear();
        }
    }

    pub(super) fn set_version(&self, key: &str, id: &str, archive: Archive) {
        self.state().versions.insert((key.to_owned(), id.to_owned()), archive);
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.state().delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    }

    /// What is to be said of a version at `now`; `None` if it never was in an archive.
    pub(super) fn told(&self, key: &str, id: &str, now: Timestamp) -> Option<Told> {
        let state = self.state();
        let archive = state.archive(key, id)?;
        let class = if archive.takes_days() { archive.name() } else { "INTELLIGENT_TIERING" };
        let tier = (!archive.takes_days()).then(|| archive.name());
        let frozen = Told { class, tier, restore: None, readable: false };
        Some(match state.thaw(key, id, now) {
            None => frozen,
            Some(thaw) if thaw.ready > now => Told { restore: Some("ongoing-request=\"true\"".into()), ..frozen },
            Some(Thawing { ends: Some(ends), .. }) => {
                let restore = format!("ongoing-request=\"false\", expiry-date=\"{}\"", http_date(ends));
                Told { restore: Some(restore), readable: true, ..frozen }
            }
            Some(Thawing { ends: None, .. }) => Told { tier: None, readable: true, ..frozen },
        })
    }

    /// `RestoreObject`.
    pub(super) fn thaw(&self, key: &str, id: &str, days: Option<i32>, tier: &str, now: Timestamp) -> Answer {
        let mut state = self.state();
        let Some(archive) = state.archive(key, id) else { return Answer::NotFrozen };
        let days = days.map(i64::from);
        if days.is_some() != archive.takes_days() || days.is_some_and(|days| days < 1) {
            return Answer::BadDays;
        }
        if tier == "Expedited" && matches!(archive, Archive::DeepArchive | Archive::DeepArchiveAccess) {
            return Answer::NotOffered;
        }
        let known = state.thaw(key, id, now);
        if known.is_some_and(|thaw| thaw.ready > now) {
            return Answer::UnderWay;
        }
        let ready = known.map_or_else(|| now.checked_add(state.delay).unwrap_or(now), |thaw| thaw.ready);
        let ends = days.map(|days| {
            let lasts = DAY.checked_mul(i32::try_from(days).unwrap_or(i32::MAX)).unwrap_or(SignedDuration::MAX);
            ready.max(now).checked_add(lasts).unwrap_or(Timestamp::MAX)
        });
        state.thaws.insert((key.to_owned(), id.to_owned()), Thawing { ready, ends });
        Answer::Taken
    }
}

impl State {
    fn archive(&self, key: &str, id: &str) -> Option<Archive> {
        let by_key = || self.keys.as_ref().filter(|(part, _)| key.contains(part.as_str())).map(|(_, archive)| *archive);
        self.versions.get(&(key.to_owned(), id.to_owned())).copied().or_else(by_key)
    }

    /// A thaw that has not ended.
    fn thaw(&self, key: &str, id: &str, now: Timestamp) -> Option<Thawing> {
        let thaw = self.thaws.get(&(key.to_owned(), id.to_owned())).copied();
        thaw.filter(|thaw| thaw.ends.is_none_or(|ends| ends > now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_thaw_begins_lasts_and_ends() {
        let frost = Frost::default();
        frost.set(Some("/base/"), Archive::Glacier);
        frost.set_delay(Duration::from_secs(10));
        assert_eq!(frost.told("a/dump/0", "v", at(0)), None);
        assert_eq!(frost.thaw("a/dump/0", "v", Some(1), "Bulk", at(0)), Answer::NotFrozen);
        let told = |second| frost.told("a/base/0", "v", at(second)).unwrap();
        assert_eq!(told(0), Told { class: "GLACIER", tier: None, restore: None, readable: false });
        assert_eq!(frost.thaw("a/base/0", "v", None, "Bulk", at(0)), Answer::BadDays);
        assert_eq!(frost.thaw("a/base/0", "v", Some(2), "Bulk", at(0)), Answer::Taken);
        assert_eq!(frost.thaw("a/base/0", "v", Some(2), "Bulk", at(9)), Answer::UnderWay);
        assert_eq!(told(9).restore.as_deref(), Some("ongoing-request=\"true\""));
        assert!(!told(9).readable && told(10).readable && !told(10 + 2 * 86_400).readable);
        assert_eq!(frost.thaw("a/base/0", "v", Some(4), "Bulk", at(20)), Answer::Taken, "for longer");
        assert!(told(10 + 2 * 86_400).readable);
    }

    #[test]
    fn tiers_within_a_class_take_no_days_and_thaw_for_good() {
        let frost = Frost::default();
        frost.set_version("k", "old", Archive::DeepArchiveAccess);
        assert_eq!(frost.told("k", "new", at(0)), None);
        let told = |second| frost.told("k", "old", at(second)).unwrap();
        assert_eq!((told(0).class, told(0).tier), ("INTELLIGENT_TIERING", Some("DEEP_ARCHIVE_ACCESS")));
        assert_eq!(frost.thaw("k", "old", Some(1), "Bulk", at(0)), Answer::BadDays);
        assert_eq!(frost.thaw("k", "old", None, "Expedited", at(0)), Answer::NotOffered);
        assert_eq!(frost.thaw("k", "old", None, "Standard", at(0)), Answer::Taken);
        let ready = Told { class: "INTELLIGENT_TIERING", tier: None, restore: None, readable: true };
        assert_eq!(told(1_000_000), ready);
    }
}
