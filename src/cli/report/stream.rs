//! `wal stream`.

use std::fmt::Write as _;

use super::Report;
use crate::cli::words::{count, facts, size};
use crate::commands::wal_stream;

impl Report for wal_stream::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "WAL of cluster {} is durable up to {} on timeline {}",
            self.cluster, self.durable, self.timeline
        );
        let stored = format!(
            "{} in {} of {} plain",
            size(self.stored_bytes),
            count(self.objects, "object"),
            size(self.plain_bytes)
        );
        let mut lines = vec![("stored", stored)];
        if self.gaps > 0 {
            lines.push(("gaps", format!("{} recorded: take a new base backup", self.gaps)));
        }
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if self.gaps > 0 {
            warnings.push(format!("{} recorded", count(self.gaps, "gap")));
        }
        warnings
    }

    fn is_summary(&self) -> bool {
        true
    }
}
