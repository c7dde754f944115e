//! `retention.*`, and that nothing is ever locked further ahead than `retention.max`.

use std::time::Duration;

use super::{HOUR, MINUTE, RETAIN_MAX, Reader, any};
use crate::config::error::{Error, Origin, Result};
use crate::config::key::{self, Key};
use crate::config::settings::{KindRetention, RetentionSettings};
use crate::config::values;

const DAY: Duration = Duration::from_hours(24);
/// Bound of what may be asked for at all.
const CENTURY: Duration = Duration::from_hours(100 * 366 * 24);
const COUNT_MAX: u64 = 100_000;
const DAYS_MAX: u64 = 36_600;
const WEEKS_MAX: u64 = 5200;
const MONTHS_MAX: u64 = 1200;
const YEARS_MAX: u64 = 100;

/// The window, the counts of days, weeks, months and years, and the redundancy of one kind.
type KindKeys = [&'static Key; 6];

const DUMP_KEYS: KindKeys = [
    &key::RETENTION_DUMP_WINDOW,
    &key::RETENTION_DUMP_DAILY,
    &key::RETENTION_DUMP_WEEKLY,
    &key::RETENTION_DUMP_MONTHLY,
    &key::RETENTION_DUMP_YEARLY,
    &key::RETENTION_DUMP_MIN_REDUNDANCY,
];

const BASE_KEYS: KindKeys = [
    &key::RETENTION_BASE_WINDOW,
    &key::RETENTION_BASE_DAILY,
    &key::RETENTION_BASE_WEEKLY,
    &key::RETENTION_BASE_MONTHLY,
    &key::RETENTION_BASE_YEARLY,
    &key::RETENTION_BASE_MIN_REDUNDANCY,
];

pub(super) fn settings(read: &Reader<'_>) -> Result<RetentionSettings> {
    let span = |key, min, max| read.required(key, |text| values::duration(text, min, max));
    let count = |key, most| {
        let number = read.required(key, |text| values::number(text, 0, most))?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    };
    let settings = RetentionSettings {
        window: span(&key::RETENTION_WINDOW, MINUTE, CENTURY)?,
        keep_last_dumps: count(&key::RETENTION_KEEP_LAST_DUMPS, COUNT_MAX)?,
        keep_last_bases: count(&key::RETENTION_KEEP_LAST_BASES, COUNT_MAX)?,
        daily: count(&key::RETENTION_DAILY, DAYS_MAX)?,
        weekly: count(&key::RETENTION_WEEKLY, WEEKS_MAX)?,
        monthly: count(&key::RETENTION_MONTHLY, MONTHS_MAX)?,
        yearly: count(&key::RETENTION_YEARLY, YEARS_MAX)?,
        min_redundancy: count(&key::RETENTION_MIN_REDUNDANCY, COUNT_MAX)?,
        dumps: of_kind(read, DUMP_KEYS)?,
        bases: of_kind(read, BASE_KEYS)?,
        keep: read.list(&key::RETENTION_KEEP, values::backup_id)?,
        unfinished: span(&key::RETENTION_UNFINISHED, DAY, RETAIN_MAX)?,
        max: span(&key::RETENTION_MAX, MINUTE, CENTURY)?,
        margin: span(&key::RETENTION_MARGIN, Duration::ZERO, 366 * 24 * HOUR)?,
        profile: read.optional(&key::RETENTION_PROFILE, any)?,
        price_per_gib_month: read.required(&key::RETENTION_PRICE_PER_GIB_MONTH, values::price)?,
        price_by_class: read.parsed_list(&key::RETENTION_PRICE_BY_CLASS, values::class_price)?,
    };
    if read.choice(&key::IMMUTABILITY, &[("object-lock", true), ("none", false)])? {
        for key in [&key::LOCK_RETAIN, &key::WAL_PARTIAL_RETAIN] {
            within_max(read, key, settings.max)?;
        }
        if read.layers.get(&key::AUDIT_RETAIN).is_some() {
            within_max(read, &key::AUDIT_RETAIN, settings.max)?;
        }
    }
    Ok(settings)
}

fn of_kind(
    read: &Reader<'_>,
    [window, daily, weekly, monthly, yearly, min_redundancy]: KindKeys,
) -> Result<KindRetention> {
    let count = |key, most| {
        let number = read.optional(key, |text| values::number(text, 0, most))?;
        Ok(number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
    };
    Ok(KindRetention {
        window: read.optional(window, |text| values::duration(text, MINUTE, CENTURY))?,
        daily: count(daily, DAYS_MAX)?,
        weekly: count(weekly, WEEKS_MAX)?,
        monthly: count(monthly, MONTHS_MAX)?,
        yearly: count(yearly, YEARS_MAX)?,
        min_redundancy: count(min_redundancy, COUNT_MAX)?,
    })
}

/// A lock cannot be taken back: a typo must not set one for a century (PAINS E4).
fn within_max(read: &Reader<'_>, key: &'static Key, max: Duration) -> Result<()> {
    let retain = read.required(key, |text| values::duration(text, MINUTE, RETAIN_MAX))?;
    if retain <= max {
        return Ok(());
    }
    let days = |span: Duration| span.as_secs().div_ceil(DAY.as_secs());
    let at = read.layers.get(key).map_or(Origin::Default, |given| given.origin);
    let problem = format!(
        "{} of {} days is longer than retention.max, which is {} days",
        key.path,
        days(retain),
        max.as_secs() / DAY.as_secs()
    );
    let way_out = format!("if that is meant, set retention.max = \"{}d\" as well", days(retain));
    Err(Error::Conflict { at, problem, way_out })
}
