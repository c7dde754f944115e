//! `verify --locks`: for every backup, what is unlocked first.

use std::fmt::Write as _;

use super::{Report, finding_line, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{count, table, time};
use crate::commands::retention::locks::{BackupLocks, Outcome, Standing};

/// Findings told of each backup.
const DETAILS_SHOWN: usize = 5;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        for cluster in self.clusters.iter().filter(|cluster| !cluster.backups.is_empty()) {
            let _ = writeln!(out, "cluster {} at {}, as of {}", cluster.cluster, self.location, time(cluster.at));
            let rows: Vec<_> = cluster.backups.iter().map(row).collect();
            table(out, &["BACKUP", "KIND", "NEEDED UNTIL", "LOCKS", "FIRST ENDS", "OF"], &rows);
        }
        let asked = self.backups().map(|backup| backup.asked).sum();
        let good = self.backups().filter(|backup| backup.standing != Standing::Short).count();
        let all = count(self.backups().count() as u64, "backup");
        let _ = writeln!(out, "{good} of {all} locked long enough, by {}", count(asked, "lock"));
        if self.backups().any(|backup| backup.standing == Standing::Due) {
            out.push_str("due: the next `stonewal retention extend` lengthens it\n");
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for backup in self.backups() {
            let (id, findings) = (&backup.backup, &backup.findings);
            let shown = findings.details.iter().take(DETAILS_SHOWN);
            lines.extend(shown.map(|finding| format!("backup {id}: {}", finding_line(finding))));
            if findings.total() > DETAILS_SHOWN as u64 {
                lines.push(format!("backup {id}: in all, {}", super::summary(findings)));
            }
        }
        if self.backups().any(|backup| backup.standing == Standing::Short) {
            lines.push(
                "`stonewal retention extend` lengthens what is too short; what is gone, `stonewal verify` names".into(),
            );
        }
        if self.backups().next().is_none() {
            lines.push("there was no backup to verify".into());
        }
        lines.extend(warnings_of(&self.beside.details));
        lines
    }

    fn exit(&self) -> Exit {
        let damaged = self.beside.has_damage() || self.backups().any(|backup| backup.findings.has_damage());
        match (damaged, self.warnings().is_empty()) {
            (true, _) => Exit::Integrity,
            (false, false) => Exit::Warnings,
            (false, true) => Exit::Done,
        }
    }
}

fn row(backup: &BackupLocks) -> Vec<String> {
    let word = match backup.standing {
        Standing::Good => "ok",
        Standing::Due => "due",
        Standing::Short => "SHORT",
    };
    let first = backup.first.as_ref();
    let ends = first.map(|first| first.until.map_or_else(|| "not locked".into(), time)).unwrap_or_default();
    let key = first.map(|first| first.key.clone()).unwrap_or_default();
    vec![backup.backup.to_string(), backup.kind.to_string(), time(backup.needed_until), word.into(), ends, key]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parts::{Finding, FindingKind, Findings};

    /// PAINS A16: what is needed and gone is damage, whatever the locks of the rest.
    #[test]
    fn a16_what_is_gone_is_damage() {
        let exit = |kind| {
            let mut beside = Findings::default();
            beside.push(Finding::new(kind, "prod/keys/x", None, "it is needed and is gone"));
            Outcome { location: "s3://backups".into(), clusters: Vec::new(), beside }.exit()
        };
        assert_eq!(exit(FindingKind::Missing), Exit::Integrity);
        assert_eq!(exit(FindingKind::LockShort), Exit::Warnings);
    }
}
