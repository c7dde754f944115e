//! `retention extend`, `retention apply` and `hold`.

use std::fmt::Write as _;

use super::{Report, warnings_of};
use crate::cli::words::{count, facts, size, table, time};
use crate::commands::retention::{apply, extend, hold};

/// Keys told one by one.
const KEYS_SHOWN: usize = 10;

impl Report for extend::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "{} of cluster {} at {}", count(self.looked_at, "lock"), self.cluster, self.location);
        let label = if self.dry_run { "to lengthen" } else { "lengthened" };
        let mut lines = vec![(label, format!("{}, {}", count(self.extended, "lock"), size(self.extended_bytes)))];
        lines.extend(self.furthest.map(|at| ("furthest until", time(at))));
        lines.push(("cost until then", format!("about {:.2}", self.cost)));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = gone(&self.missing, self.missing_count);
        if self.unacknowledged > 0 {
            let locks = count(self.unacknowledged, "compliance lock");
            lines.push(format!(
                "{locks} would have to be lengthened: give --acknowledge-compliance DATE, since nobody can take it back"
            ));
        }
        if self.weaker_mode > 0 {
            let locks = count(self.weaker_mode, "object");
            lines.push(format!(
                "{locks} are locked in governance mode, lock.mode is compliance: a mode is never changed"
            ));
        }
        lines.extend(warnings_of(&self.findings));
        lines
    }
}

impl Report for apply::Outcome {
    fn print(&self, out: &mut String) {
        let verb = if self.dry_run { "would remove" } else { "removed" };
        let _ = writeln!(out, "cluster {} at {}, as of {}", self.cluster, self.location, time(self.at));
        let rows: Vec<_> = self
            .backups
            .iter()
            .map(|expired| {
                let state = if expired.gone || self.dry_run { "expires" } else { "stays" };
                vec![expired.backup.to_string(), state.into(), expired.why.to_string()]
            })
            .collect();
        if !rows.is_empty() {
            table(out, &["BACKUP", "", "WHY"], &rows);
        }
        let removed = &self.removed;
        let (versions, markers) = (count(removed.versions, "version"), count(removed.markers, "delete marker"));
        let _ = writeln!(out, "{verb} {versions}, {}, and {markers}", size(removed.bytes));
        if self.dry_run {
            out.push_str("nothing was changed; --delete removes what no lock holds\n");
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.locked.iter().map(locked).collect();
        if self.locked_count > 0 {
            let until = self.locked_until.map_or_else(String::new, |at| format!("; the last lock ends {}", time(at)));
            lines.push(format!("{} had to stay, locked or held{until}", count(self.locked_count, "version")));
        }
        lines.extend(warnings_of(&self.findings));
        lines
    }
}

fn locked(one: &apply::Locked) -> String {
    let why = match (one.mode, one.retain_until) {
        (Some(mode), Some(until)) => format!("locked in {mode} mode until {}", time(until)),
        _ => "under legal hold: `stonewal hold list` tells which backups are held".into(),
    };
    format!("{} stays: {why}", one.key)
}

impl Report for hold::Outcome {
    fn print(&self, out: &mut String) {
        let state = if self.held { "held" } else { "no longer held" };
        let _ = writeln!(out, "backup {} of cluster {} is {state}", self.backup, self.cluster);
        let mut lines =
            vec![("changed", count(self.changed, "object")), ("so already", count(self.unchanged, "object"))];
        if self.kept_for_others > 0 {
            lines.push((
                "still held",
                format!("{} that other held backups need", count(self.kept_for_others, "object")),
            ));
        }
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        gone(&self.missing, self.missing.len() as u64)
    }
}

impl Report for hold::List {
    fn print(&self, out: &mut String) {
        if self.held.is_empty() {
            let _ = writeln!(out, "no backup of cluster {} is held", self.cluster);
            return;
        }
        let row = |held: &hold::Held| vec![held.backup.to_string(), held.kind.to_string(), time(held.arrived_at)];
        table(out, &["BACKUP", "KIND", "ARRIVED"], &self.held.iter().map(row).collect::<Vec<_>>());
    }
}

fn gone(keys: &[String], all: u64) -> Vec<String> {
    let mut lines: Vec<String> =
        keys.iter().take(KEYS_SHOWN).map(|key| format!("{key} is needed and gone: run `stonewal verify`")).collect();
    if all > KEYS_SHOWN as u64 {
        lines.push(format!("in all, {} are needed and gone", count(all, "object")));
    }
    lines
}
