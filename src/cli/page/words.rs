//! Times and spans in sentences.

use jiff::Timestamp;

pub(super) use crate::cli::words::{count, size};

/// `2026-11-24 03:15 UTC`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `2026-11-24 03:15`, where the zone is said elsewhere.
pub(super) fn short(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// The two largest units: `35 d 2 h`, `3 min 7 s`.
pub(super) fn span(seconds: u64) -> String {
    const UNITS: [(&str, u64, u64); 4] = [("d", 86_400, u64::MAX), ("h", 3600, 24), ("min", 60, 60), ("s", 1, 60)];
    let parts = UNITS.iter().map(|(unit, length, wrap)| (seconds / length % wrap, unit));
    let shown: Vec<String> = parts
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() { "0 s".into() } else { shown.join(" ") }
}

/// Seconds from one moment to a later one.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    to.duration_since(from).as_secs().try_into().unwrap_or(0)
}

/// `3 d 4 h ago`, `in 2 h`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}", span(seconds(now, at))) } else { format!("{} ago", span(seconds(at, now))) }
}

/// PostgreSQL's own version, without what a distribution appends to it.
pub(super) fn version(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_moments_read_well() {
        for (seconds, text) in [(0, "0 s"), (187, "3 min 7 s"), (7200, "2 h"), (35 * 86_400 + 7300, "35 d 2 h")] {
            assert_eq!(span(seconds), text);
        }
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-11-24T03:15:00Z"), at("2026-11-24T05:20:00Z"));
        assert_eq!(relative(early, late), "2 h 5 min ago");
        assert_eq!(relative(late, early), "in 2 h 5 min");
        assert_eq!(time(early), "2026-11-24 03:15 UTC");
        assert_eq!(version("15.18 (Debian 15.18-0+deb12u1)"), "15.18");
    }
}
