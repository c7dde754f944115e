//! `backup base` and `restore base`.

use std::fmt::Write as _;

use super::{Report, exit_of, read_back, told_of, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{between, count, facts, lock, ratio, size, table, time};
use crate::commands::parts::Goal;
use crate::commands::{backup_base, restore_base};

impl Report for backup_base::Outcome {
    fn print(&self, out: &mut String) {
        let range = &self.range;
        let _ = writeln!(out, "base backup {} of cluster {} is complete", self.backup, self.cluster);
        let stored = format!(
            "{} in {} of {} plain ({} : 1)",
            size(self.stored_bytes),
            count(self.chunks, "chunk"),
            size(self.plain_bytes),
            ratio(self.plain_bytes, self.stored_bytes)
        );
        let spaces = match self.tablespaces {
            0 => String::new(),
            number => format!(", {}", count(number, "tablespace")),
        };
        let mut lines = vec![
            ("source", self.source.clone()),
            ("files", format!("{}{spaces}, copied in {}", self.files, between(range.begun_at, range.ended_at))),
            ("stored", stored),
            ("replays", format!("{} to {} on timeline {}", range.start, range.stop, range.timeline)),
            ("recovers to", format!("{} or later, by the server's clock", time(range.ended_at))),
            ("locked", lock(self.lock.as_ref())),
            ("manifest", self.manifest.clone()),
        ];
        lines.extend(self.read_back.as_ref().map(|read| ("read back", read_back(read))));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let told = told_of(&self.backup, self.read_back.as_ref());
        self.warnings.iter().cloned().chain(told).collect()
    }

    fn exit(&self) -> Exit {
        exit_of(&self.warnings(), self.read_back.as_ref())
    }

    fn is_summary(&self) -> bool {
        true
    }
}

impl Report for restore_base::Outcome {
    fn print(&self, out: &mut String) {
        let plan = &self.plan;
        if let Some(restored) = &self.restored {
            let _ = writeln!(out, "backup {} is restored; start PostgreSQL to recover", restored.backup);
            let mut lines = vec![
                ("directory", restored.dir.display().to_string()),
                ("written", format!("{} in {}", size(restored.bytes), count(restored.files, "file"))),
            ];
            if restored.files_kept > 0 || restored.removed > 0 {
                let kept = format!("{} in {}", size(restored.bytes_kept), count(restored.files_kept, "file"));
                lines.push(("kept", kept));
                lines.push(("removed", count(restored.removed, "entry").replace("entrys", "entries")));
            }
            lines.push(("recovers to", goal(plan)));
            facts(out, &lines);
            return;
        }
        let _ = writeln!(out, "plan of a recovery to {}", goal(plan));
        let latest = plan.latest.map_or_else(|| "the end of the base".into(), time);
        let mut lines = vec![
            ("base", format!("{}, ended {} at {}", plan.backup, time(plan.base_ended_at), plan.base_stop)),
            ("because", plan.reason.to_owned()),
            ("restores", format!("{}, fetching {}", size(plan.plain_bytes), size(plan.stored_bytes))),
            ("replays", format!("up to {} of WAL", size(plan.wal_bytes))),
            ("window", format!("{} to {}, by the server's clock", time(plan.earliest), latest)),
        ];
        let class =
            |what: &'static str| move |(class, number): (&String, &u64)| format!("{} in {class}", count(*number, what));
        let classes = plan.classes.iter().map(class("chunk")).chain(plan.wal_classes.iter().map(class("WAL object")));
        let classes: Vec<String> = classes.collect();
        lines.extend((!classes.is_empty()).then(|| ("stored in", classes.join(", "))));
        facts(out, &lines);
        out.push('\n');
        let leg = |leg: &crate::commands::parts::Leg| {
            vec![leg.timeline.to_string(), leg.start.to_string(), leg.end.to_string()]
        };
        table(out, &[">TIMELINE", "FROM", "TO"], &plan.wal.iter().map(leg).collect::<Vec<_>>());
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.iter().cloned().chain(warnings_of(&self.findings)).collect()
    }

    fn is_summary(&self) -> bool {
        self.restored.is_some()
    }
}

fn goal(plan: &restore_base::Plan) -> String {
    let edge = if plan.inclusive { "" } else { ", exclusive" };
    let goal = match &plan.goal {
        Goal::Latest => "the end of the stored WAL".to_owned(),
        Goal::Immediate => "the end of the base".to_owned(),
        Goal::Time(at) => at.to_string(),
        Goal::Lsn(lsn) => lsn.to_string(),
        Goal::Xid(xid) => format!("the end of transaction {xid}"),
        Goal::Name(name) => format!("the restore point {name:?}"),
    };
    format!("{goal}{edge} on timeline {}", plan.timeline)
}
