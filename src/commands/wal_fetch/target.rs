//! Whether the recovery that asks has a target, and so may be given what ends before a gap.
//!
//! PostgreSQL takes the end of what it is given for the end of all WAL. Without a target it then opens for writing: what the
//! bucket holds behind the gap would be passed over in silence. With a target that it has not met it stops instead ("recovery
//! ended before configured recovery target was reached", since PostgreSQL 13). So what is stored of the last segment before a
//! gap is handed out to a recovery with a target, and to no other.

use std::path::Path;

use super::directory;

/// The settings of which one is the target (PostgreSQL docs, 20.5.6 "Recovery Target").
const TARGETS: [&str; 5] =
    ["recovery_target", "recovery_target_time", "recovery_target_lsn", "recovery_target_xid", "recovery_target_name"];

/// Whether the server for which a file goes to `to` certainly has a target. It is where `restore base` and `ALTER SYSTEM` put it; one that
/// is set elsewhere is not looked for.
pub(super) fn stops_recovery(to: &Path) -> bool {
    let wal = directory(to);
    if !wal.ends_with("pg_wal") {
        return false;
    }
    let data = match wal.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let read = |name: &str| std::fs::read_to_string(data.join(name)).ok();
    let major = read("PG_VERSION").and_then(|text| text.trim().parse::<u32>().ok());
    // What stands on the command line wins over every file.
    let overridden = read("postmaster.opts").is_none_or(|line| line.contains("recovery_target"));
    let set = read("postgresql.auto.conf").is_some_and(|text| is_set(&text));
    major.is_some_and(|major| major >= 13) && !overridden && set
}

/// Whether a configuration file leaves any target set: the last line about each counts.
fn is_set(text: &str) -> bool {
    let mut set = [false; TARGETS.len()];
    for line in text.lines() {
        let line = line.trim_start();
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(line.len());
        let (name, value) = line.split_at(end);
        if let Some(at) = TARGETS.iter().position(|target| name.eq_ignore_ascii_case(target)) {
            let value = value.trim_start().trim_start_matches('=').trim();
            set[at] = !(value.is_empty() || value.starts_with('#') || value == "''" || value.starts_with("'' "));
        }
    }
    set.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_about_a_target_counts() {
        for (text, set) in [
            ("", false),
            ("recovery_target_time = '2026-11-24 03:45:00+00'\n", true),
            ("recovery_target_time = ''\n", false),
            ("#recovery_target_time = '2026-11-24 03:45:00+00'\n", false),
            ("recovery_target_action = 'pause'\nrecovery_target_inclusive = 'on'\n", false),
            ("recovery_target_name = 'x'\nrecovery_target_name = ''\n", false),
            ("recovery_target_name = ''\nRecovery_Target_LSN '0/1'\n", true),
            ("recovery_target_name = 'x'\nrecovery_target_time = ''\n", true),
            ("recovery_target = '' # none\n", false),
            ("recovery_target = immediate", true),
        ] {
            assert_eq!(is_set(text), set, "{text}");
        }
    }

    #[test]
    fn a_target_counts_only_where_it_is_certain() {
        let data = tempfile::tempdir().unwrap();
        let (put, wal) = (|name: &str, text: &str| std::fs::write(data.path().join(name), text).unwrap(), data.path());
        let stops = || stops_recovery(&wal.join("pg_wal/RECOVERYXLOG"));
        put("postgresql.auto.conf", "recovery_target_xid = '7'\n");
        put("postmaster.opts", "/usr/bin/postgres \"-D\" \"/data\"\n");
        put("PG_VERSION", "15\n");
        assert!(stops());
        assert!(!stops_recovery(&wal.join("elsewhere/RECOVERYXLOG")));
        put("PG_VERSION", "12\n");
        assert!(!stops(), "it would promote");
        put("PG_VERSION", "15\n");
        put("postmaster.opts", "/usr/bin/postgres \"-c\" \"recovery_target_xid=\"\n");
        assert!(!stops(), "the command line wins");
    }
}
