//! `import base`.

use std::fmt::Write as _;

use super::Report;
use crate::cli::words::{count, facts, lock, ratio, size, time};
use crate::commands::import_base::Outcome;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        let range = &self.range;
        let _ = writeln!(out, "{} is base backup {} of cluster {}", self.file, self.backup, self.cluster);
        let (plain, stored) = (self.plain_bytes, self.stored_bytes);
        let spaces = match self.tablespaces {
            0 => String::new(),
            number => format!(", {}", count(number, "tablespace")),
        };
        let lines = [
            ("files", format!("{}{spaces}, as backup_manifest has them", self.files)),
            ("stored", format!("{} of {} plain ({} : 1)", size(stored), size(plain), ratio(plain, stored))),
            ("wal", format!("{} stored, {} stored before", count(self.wal_stored, "file"), self.wal_already)),
            ("replays", format!("{} to {} on timeline {}", range.start, range.stop, range.timeline)),
            ("recovers to", format!("{} or later, by the server's clock", time(range.ended_at))),
            ("locked", lock(self.lock.as_ref())),
            ("sha256", format!("{} (backup_manifest)", self.sha256)),
        ];
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn is_summary(&self) -> bool {
        true
    }
}
