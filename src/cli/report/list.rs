//! `list`: a table.

use std::fmt::Write as _;

use super::{Report, warnings_of};
use crate::cli::words::{between, lock, size, table, time};
use crate::commands::list::{Outcome, Row};

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        if self.backups.is_empty() {
            let of = self.cluster.as_ref().map_or_else(String::new, |cluster| format!(" of cluster {cluster}"));
            let others: Vec<_> = self.others.iter().filter(|other| Some(*other) != self.cluster.as_ref()).collect();
            let there = match others.as_slice() {
                [] => String::new(),
                others => {
                    format!("; there is {}", others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
                }
            };
            let _ = writeln!(out, "no backups{of} at {}{there}", self.location);
            return;
        }
        let rows: Vec<_> = self.backups.iter().map(row).collect();
        let headings = ["CLUSTER", "BACKUP", "KIND", "ARRIVED", ">TOOK", "SERVER", ">SIZE", ">STORED", "LOCKED"];
        table(out, &headings, &rows);
    }

    fn warnings(&self) -> Vec<String> {
        warnings_of(&self.findings)
    }
}

fn row(row: &Row) -> Vec<String> {
    // Debian appends its package to the version: "15.18 (Debian 15.18-0+deb12u1)".
    let server = row.server_version.split_whitespace().next().unwrap_or_default().to_owned();
    vec![
        row.cluster.to_string(),
        row.backup.to_string(),
        row.kind.to_string(),
        time(row.arrived_at),
        between(row.started_at, row.finished_at),
        server,
        size(row.plain_bytes),
        size(row.stored_bytes),
        lock(row.lock.as_ref()),
    ]
}
