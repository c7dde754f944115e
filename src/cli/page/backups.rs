//! The table of backups.

use std::fmt::Write as _;

use super::locks;
use super::table::{Cell, table};
use super::words::{count, short, size, span, version};
use crate::commands::parts::Verified;
use crate::commands::report::{BackupRow, ClusterReport};

/// Backups shown: the newest.
const SHOWN: usize = 60;

pub(super) fn section(out: &mut String, cluster: &ClusterReport, number: usize) {
    let _ = writeln!(out, "<section id=\"c{number}-backups\" class=\"card\"><h2>Backups</h2>");
    if cluster.backups.is_empty() {
        out.push_str("<p>There is none.</p>\n");
    } else {
        let headings = ["Backup", "Arrived (UTC)", ">Took", ">Stored", "Whole", "Needed until, why", "Locked until"];
        let rows: Vec<_> = newest(cluster).map(row).collect();
        table(out, "Backups, the newest first", &headings, &rows);
    }
    if let Some(more) = hidden(cluster) {
        let _ = writeln!(out, "<p class=\"more\">and {more} before; --json tells all</p>");
    }
    if cluster.unfinished > 0 {
        let folders = count(cluster.unfinished, "folder");
        let _ = writeln!(
            out,
            "<p class=\"note\">Beside them: {folders} of backups that never finished, or whose manifest is not believed. \
             They are no backups.</p>"
        );
    }
    out.push_str("</section>\n");
}

/// The newest backups, newest first.
pub(super) fn newest(cluster: &ClusterReport) -> impl Iterator<Item = &BackupRow> {
    cluster.backups.iter().rev().take(SHOWN)
}

/// How many are not shown.
pub(super) fn hidden(cluster: &ClusterReport) -> Option<String> {
    let more = cluster.backups.len().saturating_sub(SHOWN);
    (more > 0).then(|| count(more as u64, "backup"))
}

/// Until when a backup is needed, in words.
pub(super) fn needed(row: &BackupRow) -> String {
    match (row.plan, row.needed_until) {
        (_, Some(until)) => short(until),
        (Some("expire"), None) => "expires".into(),
        (Some(_), None) => "left alone".into(),
        (None, None) => "no plan".into(),
    }
}

fn row(row: &BackupRow) -> Vec<Cell> {
    let (class, words) = locks::word(row.lock);
    let whole = match &row.whole {
        Verified::Yes => Cell::judged("good", "✓ whole"),
        Verified::No(why) => Cell::judged("bad", "✗ not whole").with(why),
    };
    let hold = if row.held { "; under legal hold" } else { "" };
    let locked = row.locked_until.map_or_else(|| "–".into(), short);
    let mode = row.lock_mode.map_or_else(String::new, |mode| format!("{mode}, "));
    vec![
        Cell::code(row.backup.as_str()).with(format!("{}, PostgreSQL {}", row.kind, version(&row.server_version))),
        Cell::text(short(row.arrived_at)),
        Cell::number(span(row.took_seconds)),
        Cell::number(size(row.stored_bytes)).with(format!("of {}", size(row.plain_bytes))),
        whole,
        Cell::text(needed(row)).with(row.why.first().cloned().unwrap_or_default()),
        Cell::judged(class, locked).with(format!("{mode}{words}{hold}")),
    ]
}
