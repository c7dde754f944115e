//! `wal push`, `wal fetch`, `wal verify`.

use std::fmt::Write as _;

use super::{Report, deserve_a_look, finding_line, summary, warnings_of};
use crate::cli::Exit;
use crate::cli::words::count;
use crate::commands::parts::{TimelineReport, WalReport};
use crate::commands::{wal_fetch, wal_push, wal_verify};

/// Missing segments named below each timeline.
const MISSING_SHOWN: usize = 50;

impl Report for wal_push::Outcome {
    /// An archive_command that succeeds is silent: every line would end up in the server's log.
    fn print(&self, out: &mut String) {
        if self.directory {
            let (stored, already) = (self.stored.len() as u64, self.already.len() as u64);
            let _ = writeln!(out, "{} stored, {} there already", count(stored, "file"), already);
            for name in &self.stored {
                let _ = writeln!(out, "  {name}");
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let told = self.failed.iter().filter(|_| self.directory);
        told.map(|(name, why)| format!("{name} was not stored: {why}")).collect()
    }

    fn is_summary(&self) -> bool {
        true
    }

    fn exit(&self) -> Exit {
        // What was asked for is stored; that a file of the backlog was not will be seen when PostgreSQL asks for it.
        if self.directory && !self.failed.is_empty() { Exit::Failed } else { Exit::Done }
    }
}

impl Report for wal_fetch::Outcome {
    fn print(&self, _: &mut String) {}

    fn exit(&self) -> Exit {
        if self.is_absent() { Exit::Absent } else { Exit::Done }
    }
}

impl Report for wal_verify::Outcome {
    fn print(&self, out: &mut String) {
        for report in &self.clusters {
            let identifier = report.system_identifier.as_deref().unwrap_or("none");
            let _ = writeln!(out, "cluster {} (system identifier {identifier})", report.cluster);
            report.timelines.iter().for_each(|timeline| print_timeline(out, timeline));
            for finding in report.findings.details.iter().filter(|finding| finding.kind.is_damage()) {
                let _ = writeln!(out, "  {}", finding_line(finding));
            }
            if report.findings.total() > 0 {
                let _ = writeln!(out, "  found: {}", summary(&report.findings));
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = warnings_of(&self.beside);
        for report in &self.clusters {
            lines.extend(warnings_of(report.findings.details.iter().filter(|finding| !finding.kind.is_damage())));
        }
        if self.clusters.iter().all(|report| report.timelines.is_empty()) {
            lines.push("there was no WAL to verify".into());
        }
        lines
    }

    fn exit(&self) -> Exit {
        if self.clusters.iter().any(WalReport::has_damage) {
            return Exit::Integrity;
        }
        let gaps = |report: &WalReport| report.timelines.iter().any(|t| t.missing_count > 0);
        let noise = self.clusters.iter().any(|report| gaps(report) || deserve_a_look(&report.findings));
        if noise || !self.warnings().is_empty() { Exit::Warnings } else { Exit::Done }
    }
}

fn print_timeline(out: &mut String, timeline: &TimelineReport) {
    let parent = timeline.parent.map(|parent| format!(", from timeline {} at {}", parent.timeline, parent.switch));
    let _ = writeln!(out, "  timeline {}{}", timeline.timeline, parent.unwrap_or_default());
    for window in &timeline.windows {
        let _ = writeln!(out, "    {} to {}", window.start, window.end);
    }
    if let Some(tail) = &timeline.tail {
        let _ = writeln!(out, "    of these, not yet whole: {} to {}", tail.start, tail.end);
    }
    for gap in timeline.gaps.iter().filter(|gap| !gap.filled) {
        let (start, end, at, reason) = (gap.start, gap.end, gap.recorded_at, &gap.reason);
        let _ = writeln!(out, "    recorded gap {start} to {end}, noticed {at:.0}: {reason}");
    }
    for name in timeline.missing.iter().take(MISSING_SHOWN) {
        let _ = writeln!(out, "    MISSING {name}");
    }
    if timeline.missing_count > MISSING_SHOWN as u64 {
        let _ = writeln!(out, "    in all {} missing; --json names them", count(timeline.missing_count, "segment"));
    }
}
