//! `verify`: one line per backup.

use std::fmt::Write as _;

use super::{Report, deserve_a_look, finding_line, summary};
use crate::cli::Exit;
use crate::cli::words::{count, size};
use crate::commands::verify::{Outcome, Sampled, Verified};

/// Findings printed below each backup.
const DETAILS_SHOWN: usize = 5;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        for backup in &self.backups {
            let (cluster, id) = (&backup.cluster, &backup.backup);
            let _ = writeln!(out, "{:9}  {cluster}  {id}  {}", word(backup), size(backup.stored_bytes));
            let damage = backup.findings.details.iter().filter(|finding| backup.whole || finding.kind.is_damage());
            let shown: Vec<_> = damage.filter(|finding| !finding.kind.is_stray()).take(DETAILS_SHOWN).collect();
            for finding in &shown {
                let _ = writeln!(out, "           {}", finding_line(finding));
            }
            if backup.findings.total() > shown.len() as u64 {
                let _ = writeln!(out, "           in all: {}", summary(&backup.findings));
            }
        }
        if self.backups.is_empty() {
            return;
        }
        if let Some(Sampled { sample, coverage }) = &self.sample {
            let (read, all) = (size(coverage.bytes_read), size(coverage.bytes));
            let objects = format!("{} of {}", coverage.objects_read, count(coverage.objects, "object"));
            let _ =
                writeln!(out, "a sample of {}, seed {}: {objects} read, {read} of {all}", sample.percent, sample.seed);
        }
        let whole = self.backups.iter().filter(|backup| backup.whole).count();
        let all = count(self.backups.len() as u64, "backup");
        let of = if self.sample.is_some() { "a sample at " } else { "" };
        let _ = writeln!(out, "{whole} of {all} whole as far as {of}level {} can tell", self.level);
    }

    fn warnings(&self) -> Vec<String> {
        let told = self.beside.details.iter().filter(|finding| !finding.kind.is_stray()).map(finding_line);
        let mut lines: Vec<String> = told.collect();
        if self.backups.is_empty() {
            lines.push("there was no backup to verify".into());
        }
        if self.beside.total() > self.beside.details.len() as u64 {
            lines.push(format!("beside the backups, in all: {}", summary(&self.beside)));
        }
        lines
    }

    fn exit(&self) -> Exit {
        if self.has_damage() {
            return Exit::Integrity;
        }
        let noise = self.backups.is_empty()
            || deserve_a_look(&self.beside)
            || self.backups.iter().any(|b| deserve_a_look(&b.findings));
        if noise { Exit::Warnings } else { Exit::Done }
    }
}

fn word(backup: &Verified) -> &'static str {
    match (backup.whole, backup.findings.has_tampering(), deserve_a_look(&backup.findings)) {
        (false, ..) => "DAMAGED",
        (true, true, _) => "tampering",
        (true, false, true) => "warn",
        (true, false, false) => "ok",
    }
}
