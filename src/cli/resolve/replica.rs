//! Rates, durations and days for `replica`.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::failure::{Failure, Result};
use crate::config::{self, Immutability, Settings};

const MONTH: Duration = Duration::from_hours(31 * 24);

/// Bytes per second: a size, with or without "/s" behind it.
pub(in crate::cli) fn bytes_per_second(text: &str) -> Result<u64> {
    let size = text.strip_suffix("/s").unwrap_or(text).trim().parse::<bytesize::ByteSize>();
    let bytes = size.ok().map(|size| size.as_u64()).filter(|bytes| *bytes >= 1024);
    let way_out = "give 1KiB/s or more, such as 50MiB/s";
    bytes.ok_or_else(|| Failure::usage(format!("--limit {text:?} is no such rate"), way_out))
}

/// A duration as the configuration writes them.
pub(in crate::cli) fn duration(flag: &'static str, text: &str) -> Result<Duration> {
    let way_out = "give a duration from 1s to 31d, such as 15m or 1h";
    config::duration(text, Duration::from_secs(1), MONTH)
        .map_err(|problem| Failure::usage(format!("{flag}: {problem}"), way_out))
}

/// How far ahead anything of ours is ever locked: as `retention.max` says; what a streamer's WAL stands on for up to half as long again
/// as WAL, which may be locked for all of that, and copies of it for an eighth more.
pub(in crate::cli) fn lock_max(settings: &Settings) -> Duration {
    let retain = match settings.immutability {
        Immutability::ObjectLock { retain, .. } => retain,
        Immutability::None => Duration::ZERO,
    };
    settings.retention.max.max(retain.saturating_add(retain / 4 * 3))
}

/// The end of a day that was given as a flag (UTC).
pub(in crate::cli) fn acknowledged(flag: &'static str, text: &str) -> Result<Timestamp> {
    let end = TimeZone::UTC.to_timestamp(super::day(flag, text)?.at(23, 59, 59, 0));
    end.map_err(|error| Failure::usage(format!("{flag} {text:?}: {error}"), "give a day such as 2027-01-05"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_durations_and_days() {
        assert_eq!(bytes_per_second("50MiB/s").unwrap(), 50 << 20);
        assert_eq!(bytes_per_second("2 MB").unwrap(), 2_000_000);
        for bad in ["", "0", "fast", "1B/s", "-1MiB/s"] {
            assert!(bytes_per_second(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("--max-lag", "15m").unwrap(), Duration::from_mins(15));
        assert!(duration("--max-lag", "0s").is_err() && duration("--max-lag", "soon").is_err());
        assert_eq!(acknowledged("--x", "2027-01-05").unwrap(), "2027-01-05T23:59:59Z".parse().unwrap());
    }
}
