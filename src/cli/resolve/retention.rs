//! Retention settings to a policy.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use super::super::failure::{Failure, Result};
use crate::commands::RepositoryOptions;
use crate::commands::cost::Prices;
use crate::commands::parts::{Policy, S3Options};
use crate::commands::retention::hold::WalUntil;
use crate::config::{Origin, Settings, key};

/// The configured policy.
pub(in crate::cli) fn policy(settings: &Settings) -> Result<Policy> {
    let retention = &settings.retention;
    let span = |span: Duration| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    let keep = retention.keep.iter().map(|id| id.parse().map_err(crate::commands::Error::from));
    let mut policy = Policy {
        window: span(retention.bases.window.unwrap_or(retention.window)),
        keep_last_dumps: retention.keep_last_dumps,
        keep_last_bases: retention.keep_last_bases,
        daily: retention.daily,
        weekly: retention.weekly,
        monthly: retention.monthly,
        yearly: retention.yearly,
        min_redundancy: retention.min_redundancy,
        dumps: crate::commands::retention::Own::default(),
        bases: crate::commands::retention::Own::default(),
        keep: keep.collect::<Result<_, _>>()?,
        unfinished: span(retention.unfinished),
        max: span(retention.max),
        margin: span(retention.margin),
    };
    for (own, given) in [(&mut policy.dumps, &retention.dumps), (&mut policy.bases, &retention.bases)] {
        own.window = given.window.map(span);
        (own.daily, own.weekly, own.monthly, own.yearly) = (given.daily, given.weekly, given.monthly, given.yearly);
        own.min_redundancy = given.min_redundancy;
    }
    if policy.bases.window.is_some() && policy.dumps.window.is_none() {
        // A window of bases alone is none of dumps.
        policy.dumps.window = Some(span(retention.window));
    }
    Ok(policy)
}

/// What somebody said that storing costs: a price that nobody gave is none.
pub(in crate::cli) fn prices(settings: &Settings) -> Prices {
    let retention = &settings.retention;
    let given = settings.origin(&key::RETENTION_PRICE_PER_GIB_MONTH) != Origin::Default;
    Prices {
        usual: given.then_some(retention.price_per_gib_month),
        by_class: retention.price_by_class.iter().cloned().collect(),
    }
}

/// How to reach the store for changing locks and deleting: with the credentials of retention.profile and of nobody else,
/// if it is set.
pub(in crate::cli) fn acting(settings: &Settings, repository: &RepositoryOptions) -> S3Options {
    match &settings.retention.profile {
        None => repository.s3.clone(),
        Some(profile) => S3Options { profile: Some(profile.clone()), profile_only: true, ..repository.s3.clone() },
    }
}

/// A day given as a flag.
pub(in crate::cli) fn day(flag: &'static str, text: &str) -> Result<Date> {
    text.parse().map_err(|_| Failure::usage(format!("{flag} {text:?} is not a day"), "give a day such as 2027-01-05"))
}

/// How much WAL a hold takes in.
pub(in crate::cli) fn wal_until(text: &str) -> Result<WalUntil> {
    Ok(match text {
        "next-base" => WalUntil::NextBase,
        "latest" => WalUntil::Latest,
        "none" => WalUntil::None,
        text if text.parse::<DateTime>().is_ok() || text.ends_with("UTC") => {
            WalUntil::Time(super::moment("--wal-until", text)?)
        }
        _ => {
            let unknown = |_| {
                let what = format!("--wal-until {text:?} is none of next-base, latest, none, and no moment");
                let way_out = "give a time with its offset, such as 2027-01-01T00:00:00Z; `stonewal hold add --help` explains the others";
                Failure::usage(what, way_out)
            };
            WalUntil::Time(text.parse().map_err(unknown)?)
        }
    })
}
