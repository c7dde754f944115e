//! How the disposable server is started. Settings on the command line win over everything that the cluster brings along, and
//! the source's `postgresql.conf`, `pg_hba.conf` and `pg_ident.conf` are not read at all.

use std::fmt::Display;
use std::path::Path;

use super::options::Limits;
use super::room::WAL_KEPT_BYTES;
use crate::format::manifest::BaseFacts;

type Setting = (String, String);

/// `options` of our sessions: what a database or role of the cluster sets for itself must not load code.
pub(super) const SESSION_OPTIONS: &str = "-c session_preload_libraries= -c local_preload_libraries=";

/// Access rules: whoever gets at the socket, which lies in a directory of the server's own.
pub(super) const HBA: &str = "local all all trust\n";

fn set(name: &str, value: impl Display) -> Setting {
    (name.to_owned(), value.to_string())
}

/// What every server of a drill gets: little, and for itself.
pub(super) fn modest(limits: &Limits) -> Vec<Setting> {
    vec![
        set("shared_buffers", format!("{}kB", limits.shared_buffers >> 10)),
        set("max_parallel_workers_per_gather", limits.parallel),
        set("max_parallel_maintenance_workers", limits.parallel),
        set("max_wal_size", format!("{}MB", WAL_KEPT_BYTES >> 20)),
        set("min_wal_size", "80MB"),
        set("autovacuum", "off"),
        set("huge_pages", "off"),
        set("unix_socket_permissions", "0700"),
    ]
}

/// What keeps a restored cluster to itself: it archives nothing, streams to and from nobody, runs no subscription, loads no
/// library that was not named, and finds no file of its source.
pub(super) fn isolated(facts: &BaseFacts, limits: &Limits, conf: &Path) -> Vec<Setting> {
    let major = facts.server_version_num / 10_000;
    let mut all = modest(limits);
    for file in ["config_file", "hba_file", "ident_file"] {
        all.push(set(file, conf.join(file).display()));
    }
    for name in [
        "archive_command",
        "primary_conninfo",
        "primary_slot_name",
        "synchronous_standby_names",
        "session_preload_libraries",
        "local_preload_libraries",
        "external_pid_file",
    ] {
        all.push(set(name, ""));
    }
    all.push(set("shared_preload_libraries", limits.preload.join(",")));
    for name in ["archive_mode", "hot_standby", "ssl", "bonjour"] {
        all.push(set(name, "off"));
    }
    all.extend([
        set("wal_level", "replica"),
        set("max_wal_senders", 0),
        set("max_logical_replication_workers", 0),
        // Origins of logical replication are replayed, and need their places.
        set("max_replication_slots", 100),
    ]);
    all.extend(recorded(facts));
    if major >= 15 {
        all.push(set("archive_library", ""));
    } else {
        // Recovery empties it, and it may be that of a running server.
        all.push(set("stats_temp_directory", "pg_stat_tmp"));
    }
    if major >= 17 {
        all.extend(["event_triggers", "sync_replication_slots", "summarize_wal"].map(|name| set(name, "off")));
    }
    if major >= 18 {
        all.push(set("max_active_replication_origins", 100));
    }
    all
}

/// What replay needs as much of as the source had.
fn recorded(facts: &BaseFacts) -> Vec<Setting> {
    let least = [
        ("max_connections", 20),
        ("max_locks_per_transaction", 64),
        ("max_prepared_transactions", 100),
        ("max_worker_processes", 8),
    ];
    let of_source = |name: &str| facts.settings.iter().find(|setting| setting.name == name)?.value.parse::<u32>().ok();
    least.map(|(name, least)| set(name, of_source(name).unwrap_or_default().max(least))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::ParameterFact;

    fn limits() -> Limits {
        Limits {
            timeout: std::time::Duration::from_secs(1),
            shared_buffers: 64 << 20,
            parallel: 2,
            nice: 10,
            preload: vec!["timescaledb".into()],
            downloads: 3,
        }
    }

    /// Names that a version does not know would keep it from starting.
    #[test]
    fn nothing_that_reaches_out_is_left_on() {
        let facts = |version| BaseFacts {
            label: "test".into(),
            server_version_num: version,
            standby: false,
            settings: vec![
                ParameterFact { name: "max_connections".into(), value: "500".into() },
                ParameterFact { name: "shared_preload_libraries".into(), value: "pg_cron".into() },
            ],
            databases: Vec::new(),
            tablespaces: Vec::new(),
            index: Vec::new(),
            imported: None,
        };
        let old = isolated(&facts(130_011), &limits(), Path::new("/c"));
        let value = |all: &[Setting], wanted: &str| {
            let found: Vec<_> = all.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect();
            assert!(found.len() < 2, "{wanted} twice");
            found.into_iter().next()
        };
        for (name, expected) in [
            ("archive_mode", "off"),
            ("archive_command", ""),
            ("stats_temp_directory", "pg_stat_tmp"),
            ("primary_conninfo", ""),
            ("max_logical_replication_workers", "0"),
            ("shared_preload_libraries", "timescaledb"),
            ("hba_file", "/c/hba_file"),
            ("shared_buffers", "65536kB"),
            ("max_connections", "500"),
            ("max_prepared_transactions", "100"),
        ] {
            assert_eq!(value(&old, name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value(&old, "archive_library"), None);
        let new = isolated(&facts(180_001), &limits(), Path::new("/c"));
        for name in ["archive_library", "event_triggers", "max_active_replication_origins"] {
            assert!(value(&new, name).is_some(), "{name}");
        }
    }
}
