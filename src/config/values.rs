//! Text to values. Every parser says in its error what is wrong; what is allowed stands at the key.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::Span;

use super::settings::RepositoryUrl;
use crate::limits::AUDIT_TEXT_BYTES_MAX;

/// A parsed value, or what is wrong with the text.
pub(super) type Parsed<T> = std::result::Result<T, String>;

/// Cluster names that the layout of a repository uses itself.
const RESERVED_CLUSTERS: [&str; 7] = ["repository", "identities", "keys", "writers", "roster", "canary", "audit"];

pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Parsed<T> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| unknown(text))
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    choice(text, &[("true", true), ("false", false)])
}

pub(super) fn number(text: &str, min: u64, max: u64) -> Parsed<u64> {
    let number: u64 = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
    within(number, text, min..=max)
}

pub(super) fn size(text: &str, min: u64, max: u64) -> Parsed<u64> {
    let size: ByteSize = text.parse().map_err(|_| format!("{text:?} is not a size"))?;
    within(size.as_u64(), text, min..=max)
}

/// A duration of fixed length. Months and years have none, so each counts as its longest form (31 and 366 days): data
/// that must be kept for a year is then never unlocked a day early.
pub(super) fn duration(text: &str, min: Duration, max: Duration) -> Parsed<Duration> {
    let span: Span = text.parse().map_err(|_| format!("{text:?} is not a duration"))?;
    let days = i64::from(span.get_years()) * 366
        + i64::from(span.get_months()) * 31
        + i64::from(span.get_weeks()) * 7
        + i64::from(span.get_days());
    let hours = days * 24 + i64::from(span.get_hours());
    let seconds = hours.checked_mul(3600).and_then(|s| s.checked_add(span.get_minutes().checked_mul(60)?));
    let seconds =
        seconds.and_then(|s| s.checked_add(span.get_seconds())).ok_or_else(|| format!("{text:?} is too long"))?;
    let seconds = u64::try_from(seconds).map_err(|_| format!("{text:?} is negative"))?;
    if span.get_milliseconds() != 0 || span.get_microseconds() != 0 || span.get_nanoseconds() != 0 {
        return Err(format!("{text:?} is not in whole seconds"));
    }
    within(Duration::from_secs(seconds), text, min..=max)
}

/// `s3://BUCKET[/PREFIX]` (bucket names: S3 User Guide, "General purpose bucket naming rules").
pub(super) fn repository(text: &str) -> Parsed<RepositoryUrl> {
    let rest = text.strip_prefix("s3://").ok_or_else(|| format!("{text:?} does not start with s3://"))?;
    if rest.contains('@') {
        return Err("a repository holds no user or password".into());
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let edges = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = bucket.as_bytes();
    let good = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|c| edges(*c) || matches!(c, b'.' | b'-'))
        && bytes.first().is_some_and(|c| edges(*c))
        && bytes.last().is_some_and(|c| edges(*c))
        && !bucket.contains("..");
    if !good {
        return Err(format!("{bucket:?} is not a bucket name"));
    }
    let prefix = prefix.trim_end_matches('/');
    let part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(|c| c.is_ascii_graphic());
    if !prefix.is_empty() && !prefix.split('/').all(part) {
        return Err(format!("{prefix:?} is not a prefix: its parts are visible ASCII and not empty"));
    }
    if prefix.len() > 256 {
        return Err("the prefix is longer than 256 bytes".into());
    }
    if prefix.contains(['?', '#', '*', '\\']) {
        return Err(format!("{prefix:?} holds a character that tools treat specially"));
    }
    Ok(RepositoryUrl { bucket: bucket.into(), prefix: prefix.into() })
}

pub(super) fn cluster(text: &str) -> Parsed<String> {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let good = (1..=63).contains(&bytes.len())
        && bytes.first().is_some_and(|c| edge(*c))
        && bytes.iter().all(|c| edge(*c) || matches!(c, b'.' | b'_' | b'-'));
    if !good {
        return Err(format!("{text:?} is not a cluster name"));
    }
    if RESERVED_CLUSTERS.contains(&text) {
        return Err(format!("{text:?} is reserved: the repository uses it itself"));
    }
    Ok(text.into())
}

/// A replication slot (PostgreSQL docs 27.2.6: lower-case letters, digits and underscores).
pub(super) fn slot(text: &str) -> Parsed<String> {
    let good = text.len() <= 63 && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    if good { Ok(text.into()) } else { Err(format!("{text:?} is not the name of a replication slot")) }
}

/// An `application_name`: the server replaces what is not visible ASCII and cuts off what is too long.
pub(super) fn application_name(text: &str) -> Parsed<String> {
    let good = text.len() <= 63 && text.bytes().all(|c| c.is_ascii_graphic());
    if good { Ok(text.into()) } else { Err(format!("{text:?} is not an application name")) }
}

/// Scheme, host and port; credentials in an endpoint would end up in errors and logs.
pub(super) fn endpoint(text: &str) -> Parsed<String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.ok_or("an endpoint starts with http:// or https://")?.trim_end_matches('/');
    if host.contains('@') {
        return Err("an endpoint holds no user or password".into());
    }
    if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
        return Err(format!("{text:?} is not an endpoint"));
    }
    Ok(text.trim_end_matches('/').into())
}

/// A price: a plain decimal number.
pub(super) fn price(text: &str) -> Parsed<f64> {
    let plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let price: f64 = text.parse().ok().filter(|_| plain).ok_or_else(|| format!("{text:?} is not a price"))?;
    within(price, text, 0.0..=1000.0)
}

/// The price of a storage class: its name as the store lists it, and a number.
pub(super) fn class_price(text: &str) -> Parsed<(String, f64)> {
    let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let good = text.split_once('=').filter(|(class, _)| !class.is_empty() && class.chars().all(word));
    let (class, number) = good.ok_or_else(|| format!("{text:?} is not CLASS=PRICE"))?;
    Ok((class.into(), price(number)?))
}

/// Why something is done: one line.
pub(super) fn reason(text: &str) -> Parsed<String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("holds a line end or another control character".into());
    }
    if text.len() > AUDIT_TEXT_BYTES_MAX {
        return Err(format!("is {} bytes long", text.len()));
    }
    Ok(text.into())
}

/// The shape only; `format` reads it.
/// A library that PostgreSQL loads by name.
pub(super) fn library(text: &str) -> Parsed<String> {
    let good = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if good && !text.starts_with(['-', '.']) { Ok(text.into()) } else { Err(format!("{text:?} is not a library")) }
}

pub(super) fn backup_id(text: &str) -> Parsed<String> {
    let good = text.split_once('-').is_some_and(|(begun, random)| {
        begun.len() == 16 && random.len() == 8 && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    });
    if good { Ok(text.into()) } else { Err(format!("{text:?} is not the id of a backup")) }
}

/// The shape only; `format` reads it.
pub(super) fn fingerprint(text: &str) -> Parsed<String> {
    let good = text.len() == 16 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(text.into()) } else { Err(format!("{text:?} is not a fingerprint")) }
}

/// The shape only; `keys` reads it.
pub(super) fn recipient(text: &str) -> Parsed<String> {
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY") {
        return Err("this is a secret key; the public half starts with \"age1\"".into());
    }
    let good = text.starts_with("age1") && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if good { Ok(text.into()) } else { Err(format!("{text:?} is not an age recipient")) }
}

fn unknown(text: &str) -> String {
    format!("{text:?} is not allowed")
}

fn within<T: PartialOrd>(value: T, text: &str, allowed: std::ops::RangeInclusive<T>) -> Parsed<T> {
    if value < *allowed.start() {
        return Err(format!("{text:?} is too small"));
    }
    if value > *allowed.end() {
        return Err(format!("{text:?} is too large"));
    }
    Ok(value)
}

mod verify;

pub(super) use verify::{
    chain_field, chain_head, host_pattern, json_field, required_table, table, table_parts, web_address,
};

#[cfg(test)]
mod tests;
