//! `audit log` and `audit verify`.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::{Report, deserve_a_look, summary, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{between, count, facts, table, time};
use crate::commands::audit::{log, verify};
use crate::commands::parts::{AuditBreak, AuditBreakKind, AuditId, AuditObject, AuditPhase, AuditRecord};

/// Breaks and unfinished deeds told one by one.
const SHOWN: usize = 20;
/// Characters of a cell that people read; the documents hold all.
const CELL_MAX: usize = 60;

impl Report for log::Outcome {
    fn print(&self, out: &mut String) {
        let begun: HashMap<&AuditId, &AuditRecord> =
            self.records.iter().map(|row| (&row.record.record, &row.record)).collect();
        let ended: HashSet<&AuditId> = self.records.iter().filter_map(|row| row.record.begun.as_ref()).collect();
        // A beginning is told by its end, if that is there.
        let told = self.records.iter().map(|row| &row.record).filter(|record| !ended.contains(&record.record));
        let rows: Vec<_> =
            told.map(|record| line(record, record.begun.as_ref().and_then(|id| begun.get(id)).copied())).collect();
        if rows.is_empty() {
            let _ = writeln!(out, "no such records at {}", self.location);
            return;
        }
        table(out, &["RECORD", "WHEN", ">TOOK", "DEED", "CLUSTER", "WHO", "HOST", ">EXIT", "REASON", "WHAT"], &rows);
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = warnings_of(&self.findings.details);
        if self.cut {
            let next = self.records.last().map_or_else(String::new, |row| format!(" --since {}", row.record.at));
            let told = count(self.records.len() as u64, "record");
            lines.push(format!("only the first {told} are told: for those that follow, ask again with{next}"));
        }
        lines
    }
}

fn line(record: &AuditRecord, begun: Option<&AuditRecord>) -> Vec<String> {
    let at = begun.map_or(record.at, |begun| begun.at);
    let took = begun.map_or_else(String::new, |begun| between(begun.at, record.at));
    let exit = record.outcome.as_ref().map_or_else(|| "not ended".to_owned(), |outcome| outcome.exit.to_string());
    let cluster = record.cluster.as_ref().map(ToString::to_string).unwrap_or_default();
    let (who, host, deed) = (record.who.clone(), record.host.clone(), record.deed.clone());
    let reason = record.reason.clone().unwrap_or_default();
    // By the record that it began with, which is the one that restores print.
    let id = record.begun.as_ref().unwrap_or(&record.record).to_string();
    vec![id, time(at), took, deed, cluster, who, host, exit, shortened(&reason), named(record)]
}

/// The objects for people: ids of backups whole, since notes are made of them and commands take them; of the rest what there is
/// room for.
fn named(record: &AuditRecord) -> String {
    let (backups, others): (Vec<_>, Vec<_>) = record.objects.iter().partition(|one| one.kind == "backup");
    let words =
        |some: Vec<&AuditObject>| some.iter().map(|one| format!("{} {}", one.kind, one.name)).collect::<Vec<_>>();
    let mut cells = words(backups);
    cells.extend(Some(shortened(&words(others).join("; "))).filter(|rest| !rest.is_empty()));
    cells.join("; ")
}

fn objects(record: &AuditRecord) -> String {
    let named: Vec<_> = record.objects.iter().map(|one| format!("{} {}", one.kind, one.name)).collect();
    named.join("; ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CELL_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The log as comma-separated values (RFC 4180).
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::cli) struct AuditCsv(pub(in crate::cli) log::Outcome);

const COLUMNS: [&str; 17] = [
    "record",
    "at",
    "arrived_at",
    "phase",
    "deed",
    "begun",
    "cluster",
    "objects",
    "who",
    "host",
    "version",
    "writer",
    "reason",
    "exit",
    "error",
    "numbers",
    "locked_until",
];

impl Report for AuditCsv {
    fn print(&self, out: &mut String) {
        csv_line(out, &COLUMNS.map(str::to_owned));
        for log::Row { record, arrived_at, writer } in &self.0.records {
            let text = |value: Option<String>| value.unwrap_or_default();
            let outcome = record.outcome.as_ref();
            let numbers = outcome.map(|outcome| {
                let numbers: Vec<_> = outcome.numbers.iter().map(|(name, number)| format!("{name} {number}")).collect();
                numbers.join("; ")
            });
            let phase = match record.phase {
                AuditPhase::Begun => "begun",
                AuditPhase::Ended => "ended",
            };
            csv_line(
                out,
                &[
                    record.record.to_string(),
                    record.at.to_string(),
                    arrived_at.to_string(),
                    phase.to_owned(),
                    record.deed.clone(),
                    text(record.begun.as_ref().map(ToString::to_string)),
                    text(record.cluster.as_ref().map(ToString::to_string)),
                    objects(record),
                    record.who.clone(),
                    record.host.clone(),
                    record.version.clone(),
                    writer.clone(),
                    text(record.reason.clone()),
                    text(outcome.map(|outcome| outcome.exit.to_string())),
                    text(outcome.and_then(|outcome| outcome.error.clone())),
                    text(numbers),
                    text(record.locked_until.map(|at| at.to_string())),
                ],
            );
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }
}

fn csv_line(out: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
    let _ = write!(out, "{}\r\n", cells.join(","));
}

/// A cell that a spreadsheet would take for a formula gets an apostrophe, which makes it a text.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '|', '%']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\r', '\n', '\'']) || cell.starts_with(' ') || cell.ends_with(' ') {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

impl Report for verify::Outcome {
    fn print(&self, out: &mut String) {
        let report = &self.report;
        let span = report.first.zip(report.last).map(|(first, last)| format!(", {} to {}", time(first), time(last)));
        let _ =
            writeln!(out, "{} at {}{}", count(report.records, "audit record"), self.location, span.unwrap_or_default());
        for one in report.breaks.iter().take(SHOWN) {
            let _ = writeln!(out, "  BROKEN  {}", broken(one));
        }
        let least = |number: u64, is_least| if is_least { format!("at least {number}") } else { number.to_string() };
        let mut lines = vec![
            ("breaks", report.break_count.to_string()),
            ("named by none yet", least(report.ends, report.ends_at_least)),
        ];
        if report.unfinished_count > 0 {
            lines.push(("begun and not ended", least(report.unfinished_count, report.unfinished_at_least)));
        }
        let numbers = [
            ("gone since their locks ended", report.expired),
            ("no longer locked", report.unlocked),
            ("locked for a short time only", report.unlocking),
        ];
        lines.extend(
            numbers.into_iter().filter(|(_, number)| *number > 0).map(|(label, number)| (label, number.to_string())),
        );
        if report.findings.total() > 0 {
            lines.push(("found", summary(&report.findings)));
        }
        facts(out, &lines);
        for one in report.unfinished.iter().take(SHOWN) {
            let (at, deed, who, host) = (time(one.at), &one.deed, &one.who, &one.host);
            let _ = writeln!(out, "  not ended: {deed} by {who} on {host}, begun {at} ({})", one.record);
        }
    }

    fn warnings(&self) -> Vec<String> {
        let report = &self.report;
        let mut lines = warnings_of(&report.findings.details);
        let root = |id: &AuditId| {
            format!("record {id} names none before it: whether records before it are gone cannot be told from it")
        };
        lines.extend(report.roots.iter().map(root));
        if report.records == 0 {
            lines.push("there was no audit record to verify".into());
        }
        lines
    }

    fn exit(&self) -> Exit {
        if self.report.break_count > 0 {
            return Exit::Integrity;
        }
        let noise = deserve_a_look(&self.report.findings) || !self.warnings().is_empty();
        if noise { Exit::Warnings } else { Exit::Done }
    }
}

fn broken(one: &AuditBreak) -> String {
    let what = match one.what {
        AuditBreakKind::Missing => "is missing",
        AuditBreakKind::Replaced => "is not the one that was written",
    };
    let lock = one.locked_until.map(|until| format!("; it was locked until {}", time(until)));
    format!("record {} {what}, named by {}{}", one.record, one.named_by, lock.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_taken_for_a_formula_or_for_two() {
        for (cell, want) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("@SUM(1)", "\"'@SUM(1)\""),
            ("-1", "\"'-1\""),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), want);
        }
        let mut out = String::new();
        csv_line(&mut out, &["a".into(), String::new(), "b;c".into()]);
        assert_eq!(out, "a,,b;c\r\n");
    }
}
