//! `backup dump`, `restore dump`, `demo`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Report, exit_of, read_back, told_of, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{count, facts, lock, ratio, size};
use crate::commands::{backup_dump, demo, restore_dump};

impl Report for backup_dump::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "backup {} of cluster {} is complete", self.backup, self.cluster);
        let stored = format!(
            "{} in {} of {} plain ({} : 1)",
            size(self.stored_bytes),
            count(self.chunks, "chunk"),
            size(self.plain_bytes),
            ratio(self.plain_bytes, self.stored_bytes)
        );
        let mut lines = vec![("source", self.source.clone()), ("stored", stored)];
        if let Some((tables, rows)) = self.counted {
            lines.push(("counted", format!("{} in {}", count(rows, "row"), count(tables, "table"))));
        }
        lines.extend(self.digested.map(|tables| ("digests", format!("of {}", count(tables, "table")))));
        lines.push(("locked", lock(self.lock.as_ref())));
        lines.push(("manifest", self.manifest.clone()));
        lines.extend(self.read_back.as_ref().map(|read| ("read back", read_back(read))));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let told = told_of(&self.backup, self.read_back.as_ref());
        self.warnings.iter().cloned().chain(told).collect()
    }

    fn exit(&self) -> Exit {
        exit_of(&self.warnings(), self.read_back.as_ref())
    }

    fn is_summary(&self) -> bool {
        true
    }
}

impl Report for restore_dump::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "backup {} is restored", self.backup);
        let mut lines = vec![("target", self.target.clone()), ("plain", size(self.plain_bytes))];
        for (label, roles) in [("roles created", &self.roles_created), ("roles left alone", &self.roles_left_alone)] {
            if !roles.is_empty() {
                lines.push((label, roles.join(", ")));
            }
        }
        let rows = |rows: Option<u64>| rows.map_or_else(|| "no rows in the backup".into(), |rows| count(rows, "row"));
        lines.extend(self.tables.iter().map(|table| ("table", format!("{}, {}", table.name, rows(table.rows)))));
        lines.extend(self.left_out.iter().map(|part| ("left out", part.clone())));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.iter().cloned().chain(warnings_of(&self.findings)).collect()
    }

    fn is_summary(&self) -> bool {
        true
    }
}

/// A restore whose data went to standard output.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::cli) struct ToStdout(pub(in crate::cli) restore_dump::Outcome);

impl Report for ToStdout {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "backup {} was written whole: {}", self.0.backup, size(self.0.plain_bytes));
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    fn is_summary(&self) -> bool {
        true
    }

    fn leaves_stdout_alone(&self) -> bool {
        true
    }
}

impl Report for demo::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\n{} rows in {} tables came back as they were, after {} refused and {} accepted attacks; {} traces reported; {} s",
            self.rows, self.tables, self.attacks_refused, self.attacks_accepted, self.findings, self.seconds
        );
    }
}
