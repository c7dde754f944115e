//! The report as Markdown, for a wiki or a ticket.

use std::fmt::{self, Display, Write as _};

use super::escape::{Piece, misleads, pieces};
use super::words::{count, short, size, span, time};
use super::{backups, coverage, drills, locks, verdict};
use crate::commands::parts::{Findings, Verified};
use crate::commands::report::{BackupRow, ClusterReport, Outcome};

/// Findings told one by one.
const FINDINGS_SHOWN: usize = 20;

/// The report.
pub(in crate::cli) fn markdown(outcome: &Outcome) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "# Backup report\n\n{} as of {}, made by stonewal {}. Times are UTC.\n",
        Plain(&outcome.location),
        time(outcome.at),
        Plain(&outcome.stonewal)
    );
    if outcome.clusters.is_empty() {
        out.push_str("\nNo clusters: nothing has been backed up into this repository yet.\n");
    }
    for cluster in &outcome.clusters {
        article(&mut out, outcome, cluster);
    }
    findings(&mut out, &outcome.findings);
    out
}

fn article(out: &mut String, outcome: &Outcome, cluster: &ClusterReport) {
    let _ = write!(out, "\n## Cluster {}: {}\n\n", Plain(&cluster.cluster), verdict::line(outcome, cluster));
    for figure in verdict::figures(outcome, cluster) {
        let below = if figure.below.is_empty() { String::new() } else { format!(" ({})", Plain(&figure.below)) };
        let _ = writeln!(out, "- {}: **{}**{below}", figure.label, Plain(figure.value));
    }
    if let Some(why) = &cluster.no_plan {
        let _ = writeln!(out, "- There is no retention plan: {}", Plain(why));
    }
    if !cluster.reasons.is_empty() {
        out.push('\n');
    }
    for reason in &cluster.reasons {
        let (_, word) = verdict::word(reason.health);
        let (name, text, hint) = (Plain(reason.name), Plain(&reason.text), Prose(&reason.hint));
        let _ = writeln!(out, "- **{word}** {name}: {text}. {hint}");
    }
    out.push_str("\n### Checklist\n\n");
    ticks(out, cluster);
    if !cluster.backups.is_empty() {
        out.push_str("\n### Backups\n\n");
        let headings = ["Backup", "Kind", "Arrived", "Took", "Stored", "Whole", "Needed until", "Locked until", "Lock"];
        table(out, &headings, backups::newest(cluster).map(row));
        if let Some(more) = backups::hidden(cluster) {
            let _ = writeln!(out, "\nand {more} before");
        }
    }
    for line in locks::dependencies(cluster) {
        let _ = write!(out, "\n{}\n", Plain(line));
    }
    if !cluster.drills.is_empty() {
        out.push_str("\n### Drills\n\n");
        table(out, &["Drill", "Result", "Time to recover", "Data lost", "Checks", "Backup"], drills::rows(cluster));
        if let Some(more) = drills::hidden(cluster) {
            let _ = writeln!(out, "\nand {more} before");
        }
    }
    let (rows, more) = coverage::rows(cluster);
    if !rows.is_empty() {
        out.push_str("\n### Write-ahead log\n\n");
        let rows = rows.into_iter().map(|row| {
            vec![row.timeline, row.missing.unwrap_or("stored").to_owned(), row.start, row.end, row.size, row.when]
        });
        table(out, &["Timeline", "WAL", "From", "To", "Size", "Arrived"], rows);
    }
    if more > 0 {
        let _ = writeln!(out, "\nand {} before", count(more as u64, "line"));
    }
}

/// The checklists alone.
pub(in crate::cli) fn checklists(outcome: &Outcome) -> String {
    let mut out = String::new();
    for cluster in &outcome.clusters {
        let (name, sum) = (Plain(&cluster.cluster), super::checklist::sum(&cluster.checklist));
        let archive = if cluster.archive { ", an archive of imported backups" } else { "" };
        let _ = write!(out, "# Checklist of cluster {name}{archive}: {sum}, as of {}\n\n", time(outcome.at));
        ticks(&mut out, cluster);
    }
    out
}

fn ticks(out: &mut String, cluster: &ClusterReport) {
    for point in &cluster.checklist {
        let tick = if point.ticked { 'x' } else { ' ' };
        let _ = writeln!(out, "- [{tick}] **{}**: {}", Plain(point.title), Plain(&point.evidence));
        if let Some(hint) = point.hint {
            let _ = writeln!(out, "  - {}", Prose(hint));
        }
    }
}

fn row(row: &BackupRow) -> Vec<String> {
    let (_, words) = locks::word(row.lock);
    let hold = if row.held { ", under legal hold" } else { "" };
    vec![
        row.backup.to_string(),
        row.kind.to_string(),
        short(row.arrived_at),
        span(row.took_seconds),
        size(row.stored_bytes),
        match &row.whole {
            Verified::Yes => "yes".into(),
            Verified::No(why) => format!("no: {why}"),
        },
        backups::needed(row),
        row.locked_until.map_or_else(|| "–".into(), short),
        format!("{words}{hold}"),
    ]
}

fn findings(out: &mut String, findings: &Findings) {
    out.push_str("\n## Tampering and other findings\n\n");
    if findings.counts.is_empty() {
        out.push_str("Nothing lies in the repository that does not belong there.\n");
        return;
    }
    for (kind, number) in &findings.counts {
        let tampering = if kind.is_tampering() { " (tampering)" } else { "" };
        let _ = writeln!(out, "- {number} {kind}{tampering}");
    }
    for finding in findings.details.iter().filter(|finding| !finding.kind.is_stray()).take(FINDINGS_SHOWN) {
        let _ = writeln!(out, "- {}: {}", Plain(&finding.key), Plain(&finding.detail));
    }
}

pub(super) fn table(out: &mut String, headings: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(out, "| {} |\n|{}", headings.join(" | "), " --- |".repeat(headings.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| Plain(cell).to_string()).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

/// Text in which nothing is markup.
pub(super) struct Plain<T>(pub(super) T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '\n' | '\t' => f.write_str(" ")?,
                '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => write!(f, "\\{c}")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                c if misleads(c) => write!(f, "(U+{:04X})", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Prose of ours: nothing in it is markup but what stands between backticks, which is code here as well.
struct Prose<'a>(&'a str);

impl Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pieces(self.0).into_iter().try_for_each(|piece| match piece {
            Piece::Words(words) => write!(f, "{}", Plain(words)),
            // Not everything that shows Markdown leaves markup in code alone.
            Piece::Code(code) if code.contains(|c: char| misleads(c) || "<>&|\\[]()".contains(c)) => {
                write!(f, "{}", Plain(format_args!("`{code}`")))
            }
            Piece::Code(code) => write!(f, "`{code}`"),
        })
    }
}
