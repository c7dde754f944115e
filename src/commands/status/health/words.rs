//! Sizes and spans in sentences.

use std::time::Duration;

use bytesize::ByteSize;

/// `1 file`, `2 files`.
pub(super) fn things(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// `12.4 MiB`.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// The two largest units: `9 d 4 h`, `2 h 5 min`, `3 min 7 s`, `4 s`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", 86_400, u64::MAX), ("h", 3600, 24), ("min", 60, 60), ("s", 1, 60)];
    let parts = units.iter().map(|(unit, length, wrap)| (seconds / length % wrap, unit));
    let shown: Vec<_> = parts.skip_while(|(count, _)| *count == 0).take(2).collect();
    match shown
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect::<Vec<_>>()
    {
        parts if parts.is_empty() => "0 s".into(),
        parts => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_counts_read_well() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (187, "3 min 7 s"),
            (3600, "1 h"),
            (7500, "2 h 5 min"),
            (86_400 * 9 + 4 * 3600 + 61, "9 d 4 h"),
            (86_400 * 40 + 59, "40 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!((things(1, "file").as_str(), things(2, "file").as_str()), ("1 file", "2 files"));
        assert_eq!(size(13_002_342), "12.4 MiB");
    }
}
