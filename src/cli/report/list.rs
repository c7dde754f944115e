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
        let mut rows: Vec<_> = self.backups.iter().map(row).collect();
        let mut headings =
            vec!["CLUSTER", "BACKUP", "KIND", "ARRIVED", ">TOOK", "SERVER", ">SIZE", ">STORED", "LOCKED"];
        let notes: Vec<_> = self.backups.iter().map(note).collect();
        if notes.iter().any(|note| !note.is_empty()) {
            headings.push("NOTE");
            rows.iter_mut().zip(notes).for_each(|(row, note)| row.push(note));
        }
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
        // The time between is none that the copy took.
        if row.copy_of.is_some() { String::new() } else { between(row.started_at, row.finished_at) },
        server,
        size(row.plain_bytes),
        size(row.stored_bytes),
        lock(row.lock.as_ref()),
    ]
}

fn note(row: &Row) -> String {
    let copy = row.copy_of.as_ref().map(|of| format!("copy of {of}"));
    let import = row.imported_from.map(|at| format!("imported, of {}", time(at)));
    copy.into_iter().chain(import).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parts::Kind;

    fn backup(id: &str) -> Row {
        let at = |text: &str| text.parse().unwrap();
        Row {
            cluster: "main".parse().unwrap(),
            backup: id.parse().unwrap(),
            kind: Kind::Dump,
            started_at: at("2026-11-24T03:15:00Z"),
            finished_at: at("2026-11-24T03:20:00Z"),
            arrived_at: at("2026-11-24T03:20:01Z"),
            copy_of: None,
            imported_from: None,
            server_version: "15.18 (Debian)".into(),
            plain_bytes: 1,
            stored_bytes: 1,
            lock: None,
        }
    }

    #[test]
    fn copies_and_imports_are_told_and_a_copy_took_no_time_since_its_original() {
        let print = |backups: Vec<Row>| {
            let mut out = String::new();
            let (cluster, others, findings) = (None, Vec::new(), Vec::new());
            Outcome { location: "s3://b/p/".into(), cluster, others, backups, findings }.print(&mut out);
            out
        };
        let original = backup("20261124T031500Z-5b0c6f2e");
        let plain = print(vec![original]);
        assert!(plain.contains("5 min") && !plain.contains("NOTE"), "{plain}");
        let mut copy = backup("20261124T031500Z-5b0c6f2f");
        copy.copy_of = Some("20261124T031500Z-5b0c6f2e".parse().unwrap());
        let mut import = backup("20261124T031500Z-5b0c6f30");
        import.imported_from = Some("2025-03-01T02:00:00Z".parse().unwrap());
        let told = print(vec![copy, import]);
        assert!(told.contains("copy of 20261124T031500Z-5b0c6f2e"), "{told}");
        assert!(told.contains("imported, of 2025-03-01 02:00:00Z") && told.matches("5 min").count() == 1, "{told}");
    }
}
