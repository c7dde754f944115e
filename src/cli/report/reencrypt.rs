//! `reencrypt`: what was copied, and what was left.

use std::fmt::Write as _;

use super::Report;
use crate::cli::Exit;
use crate::cli::words::{count, size};
use crate::commands::reencrypt;

/// WAL that could not be copied, told one by one.
const LEFT_SHOWN: usize = 10;

impl Report for reencrypt::Outcome {
    fn print(&self, out: &mut String) {
        for one in &self.backups {
            let done = if one.already { "was copied already, as" } else { "copied to" };
            let _ = writeln!(out, "backup {} {done} {} ({} stored)", one.from, one.to, size(one.stored_bytes));
        }
        if let Some(wal) = &self.wal {
            let (copied, already) = (count(wal.copied, "object"), count(wal.already, "object"));
            let stored = size(wal.stored_bytes);
            let _ = writeln!(
                out,
                "WAL of cluster {}: {copied} copied ({stored} stored), {already} so already",
                self.cluster
            );
        }
        let _ = writeln!(
            out,
            "The copies count from now on. The originals stay until their locks have ended, and open for the old keys until then; `stonewal retention apply` removes them."
        );
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = self.warnings.clone();
        let Some(wal) = &self.wal else { return lines };
        lines.extend(wal.left.iter().take(LEFT_SHOWN).map(|left| format!("{} was not copied: {}", left.key, left.why)));
        if wal.left_count > LEFT_SHOWN as u64 {
            lines.push(format!("in all, {} were not copied", count(wal.left_count, "object")));
        }
        if wal.partials > 0 {
            lines.push(format!(
                "{} of unfinished pieces still open for former recipients: restart `stonewal wal stream`, and run this again once their pieces are whole",
                count(wal.partials, "partial")
            ));
        }
        lines
    }

    fn exit(&self) -> Exit {
        match (self.wal.iter().any(|wal| wal.left.iter().any(|left| left.damaged)), self.warnings().is_empty()) {
            (true, _) => Exit::Integrity,
            (false, false) => Exit::Warnings,
            (false, true) => Exit::Done,
        }
    }
}
