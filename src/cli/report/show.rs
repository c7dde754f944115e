//! `show`: one backup on one screen.

use std::fmt::Write as _;

use super::{Report, warnings_of};
use crate::cli::words::{between, count, facts, lock, ratio, size, table, time};
use crate::commands::parts::{BaseFacts, ClearPart, DumpFacts};
use crate::commands::show::Outcome;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        let clear = &self.clear;
        let _ = writeln!(out, "backup {} of cluster {}", clear.backup, clear.cluster);
        facts(out, &about(self));
        out.push('\n');
        let streams: Vec<_> = clear
            .streams
            .iter()
            .map(|stream| {
                vec![
                    stream.name.to_string(),
                    stream.codec.to_string(),
                    size(stream.plain_bytes),
                    size(stream.stored_bytes()),
                    stream.chunks.len().to_string(),
                ]
            })
            .collect();
        table(out, &["STREAM", "CODEC", ">SIZE", ">STORED", ">CHUNKS"], &streams);
        match &self.sealed {
            Some(sealed) => {
                sealed.dump.iter().for_each(|dump| print_dump(out, dump));
                sealed.base.iter().for_each(|base| print_base(out, base));
            }
            None => out.push_str("\nThe keys at hand do not open the sealed part: databases, tables, files.\n"),
        }
    }

    fn warnings(&self) -> Vec<String> {
        warnings_of(&self.findings)
    }
}

fn about(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let clear: &ClearPart = &outcome.clear;
    let (plain, stored) = (clear.plain_bytes(), clear.stored_bytes());
    let took = match &outcome.copy_of {
        Some(original) => format!("copied from {original} until {}", time(clear.finished_at)),
        None => format!("took {}", between(clear.started_at, clear.finished_at)),
    };
    let mut lines = vec![
        ("kind", clear.kind.to_string()),
        ("started", format!("{}, {took}", time(clear.started_at))),
        ("arrived", format!("{} by the store's clock", time(outcome.arrived_at))),
        ("size", format!("{}, stored in {} ({} : 1)", size(plain), size(stored), ratio(plain, stored))),
        ("locked", lock(outcome.lock.as_ref())),
        ("server", format!("PostgreSQL {}", clear.server_version)),
    ];
    lines.extend(clear.system_identifier.map(|id| ("system id", id.to_string())));
    if let (Some(lsn), Some(timeline)) = (&clear.lsn, clear.timeline) {
        lines.push(("position", format!("{lsn} on timeline {timeline}")));
    }
    if let Some(range) = &clear.base {
        lines.push(("replays", format!("{} to {}", range.start, range.stop)));
        lines.push(("recovers to", format!("{} or later, by the server's clock", time(range.ended_at))));
    }
    lines.push(("stonewal", clear.stonewal.clone()));
    lines.push(("writer", outcome.writer.clone()));
    lines.push(("manifest", format!("{} version {}", outcome.manifest, outcome.version)));
    lines
}

fn print_base(out: &mut String, base: &BaseFacts) {
    let files: usize = base.index.iter().map(|stream| stream.index.files.len()).sum();
    let _ = writeln!(out, "\n{}", count(files as u64, "file"));
    let mut lines = vec![("label", base.label.clone())];
    if let Some(import) = &base.imported {
        lines.push(("imported", import.file.clone()));
        lines.push(("taken", time(import.taken_at)));
        lines.push(("sha256", format!("{} (backup_manifest)", import.sha256)));
    }
    if base.standby {
        lines.push(("source", "a standby".into()));
    }
    let checksums = base.settings.iter().find(|setting| setting.name == "data_checksums");
    lines.extend(checksums.map(|setting| ("data checksums", setting.value.clone())));
    facts(out, &lines);
    if !base.tablespaces.is_empty() {
        let rows: Vec<_> =
            base.tablespaces.iter().map(|space| vec![space.oid.to_string(), space.location.clone()]).collect();
        out.push('\n');
        table(out, &[">TABLESPACE", "LOCATION"], &rows);
    }
}

fn print_dump(out: &mut String, dump: &DumpFacts) {
    let database = &dump.database;
    let _ = writeln!(out, "\ndatabase {}", database.name);
    let mut lines = match &dump.imported {
        Some(import) => {
            let host = import.host.as_ref().map_or_else(String::new, |host| format!(" on {host}"));
            vec![
                ("imported", import.file.clone()),
                ("taken", format!("{}{host}", time(import.taken_at))),
                ("sha256", import.sha256.clone()),
                ("encoding", database.encoding.clone()),
            ]
        }
        None => vec![
            ("owner", database.owner.clone()),
            ("encoding", format!("{}, {} / {}", database.encoding, database.collate, database.ctype)),
        ],
    };
    let meta = dump.imported.as_ref().and_then(|import| import.meta.clone());
    lines.extend(meta.map(|meta| ("written beside it", meta)));
    lines.extend(database.size_bytes.map(|bytes| ("size on disk", size(bytes))));
    let extensions: Vec<_> = dump.extensions.iter().map(|e| format!("{} {}", e.name, e.version)).collect();
    if !extensions.is_empty() {
        lines.push(("extensions", extensions.join(", ")));
    }
    if dump.large_objects > 0 {
        lines.push(("large objects", dump.large_objects.to_string()));
    }
    let restrict = if dump.restrict { "; needs a psql of August 2025 or later" } else { "" };
    lines.push(("pg_dump", format!("{}{restrict}", dump.pg_dump_version)));
    if !dump.options.is_empty() {
        lines.push(("options", dump.options.join(" ")));
    }
    let roles = match dump.role_passwords {
        Some(true) => "with their password hashes",
        Some(false) => "without passwords",
        None => "not included",
    };
    lines.push(("roles", roles.into()));
    facts(out, &lines);
    if let Some(digests) = &dump.digests {
        let names: Vec<_> = digests.tables.iter().map(|t| format!("{}.{}", t.schema, t.table)).collect();
        let _ = writeln!(out, "\ndigests of {}", names.join(", "));
    }
    if let Some(counts) = &dump.counts {
        let total = counts.iter().map(|table| table.rows).sum();
        let _ = writeln!(out, "\n{} in {}", count(total, "row"), count(counts.len() as u64, "table"));
        let rows: Vec<_> =
            counts.iter().map(|c| vec![c.rows.to_string(), format!("{}.{}", c.schema, c.table)]).collect();
        table(out, &[">ROWS", "TABLE"], &rows);
    }
}
