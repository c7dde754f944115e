//! Retention settings to a policy.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::failure::{Failure, Result};
use crate::commands::parts::Policy;
use crate::config::Settings;

/// The configured policy.
pub(in crate::cli) fn policy(settings: &Settings) -> Result<Policy> {
    let retention = &settings.retention;
    let span = |span: Duration| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    let keep = retention.keep.iter().map(|id| id.parse().map_err(crate::commands::Error::from));
    Ok(Policy {
        window: span(retention.window),
        keep_last_dumps: retention.keep_last_dumps,
        keep_last_bases: retention.keep_last_bases,
        daily: retention.daily,
        weekly: retention.weekly,
        monthly: retention.monthly,
        yearly: retention.yearly,
        min_redundancy: retention.min_redundancy,
        keep: keep.collect::<Result<_, _>>()?,
        unfinished: span(retention.unfinished),
        max: span(retention.max),
        margin: span(retention.margin),
    })
}

/// A moment given as a flag; its offset is part of it (PAINS B4).
pub(in crate::cli) fn moment(flag: &'static str, text: &str) -> Result<Timestamp> {
    let way_out = "give a time with its offset, such as 2027-01-01T00:00:00Z";
    text.parse().map_err(|_| Failure::usage(format!("{flag} {text:?} is not a moment"), way_out))
}
