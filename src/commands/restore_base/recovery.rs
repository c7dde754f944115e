//! What PostgreSQL reads when it starts the restored cluster: where recovery ends, and where its WAL comes from.

use std::fmt::Write as _;

use serde::Serialize;

use crate::catalog::plan::Goal;
use crate::commands::{Error, Result};
use crate::format::Timeline;

/// Below the data directory: script, configuration and identity for `wal fetch`.
pub(super) const KEYS_DIR: &str = "pg_wal/stonewal.recovery";
/// Below the data directory: WAL that was fetched in advance.
pub(super) const LOCAL_WAL_DIR: &str = "pg_wal/stonewal.wal";
/// What `wal fetch` fetches ahead of PostgreSQL.
const AHEAD_DIR: &str = "pg_wal/stonewal.ahead";

/// What PostgreSQL does at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Opens for writing on a new timeline.
    Promote,
    /// Stays readable and waits for `pg_wal_replay_resume()`.
    Pause,
    /// Stops, so that one can look and set another target.
    Shutdown,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Shutdown => "shutdown",
        })
    }
}

/// Where recovery gets its WAL from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WalSource {
    /// From the repository, by `stonewal wal fetch`.
    Repository,
    /// From a directory that the restore fills.
    Local,
    /// From the base backup alone.
    None,
}

/// How a recovery ends.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) goal: Goal,
    pub(super) inclusive: bool,
    /// `None` = that of the base, which has no history file that PostgreSQL would look for.
    pub(super) timeline: Option<Timeline>,
    pub(super) action: Action,
    pub(super) wal: WalSource,
    /// Whether PostgreSQL must not look ahead of what it replays: it would meet a gap behind the target and stop.
    pub(super) narrow: bool,
    /// Whether the cluster may archive once it is promoted, as its source did.
    pub(super) archives: bool,
}

/// The lines for `postgresql.auto.conf`. All parameters of recovery are in them, since the source may have had its own.
pub(super) fn settings(ending: &Ending, server_version: u32, note: &str) -> Result<String> {
    let mut text = format!("\n# {note}\n");
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"));
    };
    let (restore, end) = match ending.wal {
        WalSource::Repository => (repository_command(), format!("rm -rf {KEYS_DIR} {AHEAD_DIR}")),
        WalSource::Local => (local_command(), format!("rm -rf {LOCAL_WAL_DIR}")),
        WalSource::None => ("false".into(), String::new()),
    };
    set("restore_command", &restore);
    set("recovery_end_command", &end);
    set("archive_cleanup_command", "");
    set("recovery_min_apply_delay", "0");
    if ending.narrow && server_version >= 150_000 {
        set("recovery_prefetch", "off");
    }
    if !ending.archives {
        set("archive_mode", "off");
    }
    let target = match &ending.goal {
        Goal::Latest => None,
        Goal::Immediate => Some(("recovery_target", "immediate".to_owned())),
        Goal::Time(time) => Some(("recovery_target_time", time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string())),
        Goal::Lsn(lsn) => Some(("recovery_target_lsn", lsn.to_string())),
        Goal::Xid(xid) => Some(("recovery_target_xid", xid.to_string())),
        Goal::Name(name) => Some(("recovery_target_name", name.clone())),
    };
    // PostgreSQL takes one target; what is emptied must be emptied before it is given.
    let names = ["", "_time", "_lsn", "_xid", "_name"].map(|suffix| format!("recovery_target{suffix}"));
    for name in names.iter().filter(|name| target.as_ref().is_none_or(|(target, _)| target != name)) {
        set(name, "");
    }
    if let Some((name, value)) = target {
        if value.chars().any(char::is_control) || value.len() > 1000 {
            return Err(Error::Usage(format!("{value:?} cannot be a recovery target")));
        }
        set(name, &value);
    }
    set("recovery_target_inclusive", if ending.inclusive { "on" } else { "off" });
    set("recovery_target_timeline", &ending.timeline.map_or("current".into(), |timeline| timeline.to_string()));
    set("recovery_target_action", &ending.action.to_string());
    Ok(text)
}

/// PostgreSQL takes an exit code up to 125 for "there is no such file" and ends recovery there, and a shell says 2 of a script
/// that it cannot open: we look first, and say 126, at which PostgreSQL stops.
fn repository_command() -> String {
    let script = format!("{KEYS_DIR}/fetch");
    format!("if [ -f {script} ] && [ -r {script} ]; then exec sh {script} \"%f\" \"%p\"; else exit 126; fi")
}

/// Absent is only what a directory that can be looked into does not have.
fn local_command() -> String {
    let dir = LOCAL_WAL_DIR;
    format!(
        "if [ -f {dir}/%f ]; then cp {dir}/%f \"%p\" || exit 126; elif [ -d {dir} ] && [ -x {dir} ]; then exit 1; else exit 126; fi"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(goal: Goal, wal: WalSource) -> Ending {
        let timeline = Some(Timeline::new(3).unwrap());
        Ending { goal, inclusive: false, timeline, action: Action::Pause, wal, narrow: true, archives: false }
    }

    #[test]
    fn the_target_comes_last_and_the_others_are_emptied() {
        let time = Goal::Time("2026-11-24T04:45:00.5+01:00".parse().unwrap());
        let text = settings(&ending(time, WalSource::Repository), 150_000, "note").unwrap();
        let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} is not in {text}"));
        let set = at("recovery_target_time = '2026-11-24 03:45:00.500000+00'");
        for name in ["", "_lsn", "_xid", "_name"] {
            assert!(at(&format!("recovery_target{name} = ''")) < set);
        }
        at("then exec sh pg_wal/stonewal.recovery/fetch \"%f\" \"%p\"; else exit 126; fi'");
        at("recovery_target_inclusive = 'off'");
        at("recovery_prefetch = 'off'");
        at("archive_mode = 'off'");
        at("recovery_target_timeline = '3'");
        at("recovery_target_action = 'pause'");
    }

    #[test]
    fn names_are_quoted() {
        let name = Goal::Name("it's \\ here".into());
        let text = settings(&ending(name, WalSource::None), 140_000, "note").unwrap();
        assert!(
            text.contains("recovery_target_name = 'it''s \\\\ here'") && text.contains("restore_command = 'false'")
        );
        assert!(settings(&ending(Goal::Name("a\nb".into()), WalSource::None), 140_000, "note").is_err());
    }
}
