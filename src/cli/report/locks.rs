//! `retention extend`, `retention apply` and `hold`.

use std::fmt::Write as _;

use super::{Report, warnings_of};
use crate::cli::words::{count, facts, size, table, time};
use crate::commands::retention::{apply, extend, hold};

/// Keys told one by one.
const KEYS_SHOWN: usize = 10;

/// Less is not told.
const COST_MIN: f64 = 0.01;

impl Report for extend::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "{} of cluster {} at {}", count(self.looked_at, "lock"), self.cluster, self.location);
        let label = if self.dry_run { "to lengthen" } else { "lengthened" };
        let mut lines = vec![(label, format!("{}, {}", count(self.extended, "lock"), size(self.extended_bytes)))];
        lines.extend(self.furthest.map(|at| ("furthest until", time(at))));
        if self.cost >= COST_MIN {
            lines.push((
                "cost until then",
                format!("about {:.2}, in the currency of retention.price_per_gib_month", self.cost),
            ));
        }
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = gone(&self.missing, self.missing_count);
        if self.unacknowledged > 0 {
            let locks = count(self.unacknowledged, "compliance lock");
            let until = self.acknowledge.map_or_else(|| "DATE".into(), |day| day.to_string());
            lines.push(format!(
                "{locks} would have to be lengthened: give --acknowledge-compliance {until}, since nobody can take it back"
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
                let expires = expired.gone || (self.dry_run && !expired.locked);
                let state = if expires { "expires" } else { "stays" };
                vec![expired.backup.to_string(), state.into(), expired.why.to_string()]
            })
            .collect();
        if !rows.is_empty() {
            table(out, &["BACKUP", "", "WHY"], &rows);
        }
        let removed = &self.removed;
        let (versions, markers) = (count(removed.versions, "version"), count(removed.markers, "delete marker"));
        let _ = writeln!(out, "{verb} {versions}, {}, and {markers}", size(removed.bytes));
        if self.replaced > 0 {
            let originals = count(self.replaced, "original");
            let _ = writeln!(out, "{originals} of WAL that was copied under other keys: removed, or still locked");
        }
        self.print_locked(out);
        if self.dry_run {
            out.push_str("nothing was changed; --delete removes what no lock holds\n");
        }
    }

    fn warnings(&self) -> Vec<String> {
        warnings_of(&self.findings)
    }
}

impl apply::Outcome {
    /// That a lock has not ended yet is as it should be: every healthy archive has partials that are still locked.
    fn print_locked(&self, out: &mut String) {
        if self.locked_count == 0 {
            return;
        }
        let until = self.locked_until.map_or_else(String::new, |at| format!("; the last lock ends {}", time(at)));
        let verb = if self.dry_run { "would have" } else { "had" };
        let versions = count(self.locked_count, "version");
        let _ = writeln!(out, "{versions} {verb} to stay, locked or held{until}");
        for one in self.locked.iter().take(KEYS_SHOWN) {
            let _ = writeln!(out, "  {}", locked(one));
        }
        let more = self.locked_count.saturating_sub(self.locked.len().min(KEYS_SHOWN) as u64);
        if more > 0 {
            let _ = writeln!(out, "  and {more} more");
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parts::{LockMode, Reason};

    /// What a run says before and after: PAINS A8, E4.
    #[test]
    fn what_a_lock_keeps_is_told_with_its_mode_and_its_end() {
        let until = "2026-12-31T00:00:00Z".parse().ok();
        let kept = |key: &str, mode, retain_until, held| apply::Locked {
            key: key.into(),
            version: "v1".into(),
            mode,
            retain_until,
            held,
        };
        let mut outcome = apply::Outcome {
            location: "s3://backups/prod/".into(),
            cluster: "main".parse().unwrap(),
            dry_run: true,
            at: jiff::Timestamp::UNIX_EPOCH,
            backups: vec![apply::Expired {
                backup: "20261124T031500Z-5b0c6f2e".parse().unwrap(),
                why: Reason::NoRule,
                gone: false,
                locked: true,
            }],
            removed: apply::Removed::default(),
            locked: vec![kept("a", Some(LockMode::Compliance), until, false), kept("b", None, None, true)],
            locked_count: 2,
            locked_until: until,
            too_new: 0,
            replaced: 0,
            findings: Vec::new(),
        };
        let mut text = String::new();
        outcome.print(&mut text);
        for line in [
            "stays",
            "would remove 0 versions",
            "2 versions would have to stay, locked or held; the last lock ends 2026-12-31 00:00:00Z\n",
            "  a stays: locked in compliance mode until 2026-12-31 00:00:00Z\n",
            "  b stays: under legal hold",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        // A lock that has not ended is no fault: every archive has partials like that.
        assert!(outcome.warnings().is_empty() && !text.contains("more"), "{text}");
        (outcome.dry_run, outcome.locked_count) = (false, 40);
        let mut text = String::new();
        outcome.print(&mut text);
        assert!(text.contains("\n40 versions had to stay") && text.contains("  and 38 more\n"), "{text}");
    }
}
