//! Sizes, times and tables for people.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;

use crate::commands::parts::{CheckStatus, LockRecord};

/// `ok`, `FAIL`: what a line of a check begins with.
pub(super) fn check_word(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Ok => "ok",
        CheckStatus::Note => "note",
        CheckStatus::Warn => "warn",
        CheckStatus::Fail => "FAIL",
    }
}

/// `12.3 MiB`.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// `4.1`: plain bytes by stored bytes.
pub(super) fn ratio(plain_bytes: u64, stored_bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let ratio = plain_bytes as f64 / stored_bytes.max(1) as f64;
    format!("{ratio:.1}")
}

/// `2026-11-24 03:15:00Z`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `1 h 02 min`, `3 min 07 s` or `4 s`.
pub(super) fn duration(took: Duration) -> String {
    match took.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Time from one moment to a later one.
pub(super) fn between(from: Timestamp, to: Timestamp) -> String {
    duration(to.duration_since(from).try_into().unwrap_or_default())
}

/// `until 2026-12-29 03:15:00Z (governance)`.
pub(super) fn lock(lock: Option<&LockRecord>) -> String {
    lock.map_or("not locked".into(), |lock| {
        format!("until {} ({})", time(lock.retain_until), format!("{:?}", lock.mode).to_lowercase())
    })
}

/// `1 table`, `2 tables`.
pub(super) fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// `  label     value` lines with the values below each other.
pub(super) fn facts(out: &mut String, facts: &[(&str, String)]) {
    let width = facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, value) in facts {
        let _ = writeln!(out, "  {label:width$}  {value}");
    }
}

/// Rows below their headings; columns whose heading starts with `>` are aligned to the right.
pub(super) fn table(out: &mut String, headings: &[&str], rows: &[Vec<String>]) {
    let heads: Vec<String> = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&heads).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for ((cell, heading), width) in row.iter().zip(headings).zip(&widths) {
            let _ = if heading.starts_with('>') {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_times_and_durations_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(13_002_342), "12.4 MiB");
        assert_eq!(time("2026-11-24T03:15:00.9Z".parse().unwrap()), "2026-11-24 03:15:00Z");
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (187, "3 min 07 s"), (3720, "1 h 02 min")] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        let (early, late) = ("2026-11-24T03:15:00Z".parse().unwrap(), "2026-11-24T03:15:09Z".parse().unwrap());
        assert_eq!(between(early, late), "9 s");
        assert_eq!(between(late, early), "0 s", "a store whose clock was set back is no reason to fail");
        assert_eq!(ratio(0, 0), "0.0");
        assert_eq!(lock(None), "not locked");
    }

    #[test]
    fn tables_are_aligned_and_end_without_blanks() {
        let mut out = String::new();
        table(&mut out, &["NAME", ">SIZE", "X"], &[vec!["ü".into(), "10".into(), String::new()]]);
        assert_eq!(out, "NAME  SIZE  X\nü       10\n");
    }
}
