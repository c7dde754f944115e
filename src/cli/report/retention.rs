//! `retention plan`: a table for an auditor, and the sums.

use std::fmt::Write as _;

use super::{Report, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{count, size, table, time};
use crate::commands::parts::{BackupDecision, UnfinishedDecision, Verdict, Verified, WalDecision};
use crate::commands::retention::plan::{ClusterPlan, Outcome};

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        if self.clusters.is_empty() {
            let _ = writeln!(out, "no clusters at {}", self.location);
        }
        for (number, cluster) in self.clusters.iter().enumerate() {
            if number > 0 {
                out.push('\n');
            }
            print_cluster(out, &self.location, cluster);
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ClusterPlan { plan, diverging, .. } in &self.clusters {
            lines.extend(diverging.map(|found| format!("cluster {}: {found}; {}", plan.cluster, found.hint())));
            for decision in &plan.backups {
                if let Verified::No(why) = &decision.verified {
                    lines.push(format!(
                        "backup {} of cluster {} counts for nothing: {why}",
                        decision.backup, plan.cluster
                    ));
                }
            }
            let left = plan.unfinished.iter().filter(|folder| matches!(folder.verdict, Verdict::Leave { .. }));
            lines
                .extend(left.map(|folder| format!("backup {} is left alone: {}", folder.backup, folder.verdict.why())));
        }
        let marks = self.unknown_marks.iter();
        lines.extend(marks.map(|id| format!("{id} is marked keep (retention.keep) and is no backup here")));
        lines.extend(warnings_of(&self.findings.details));
        lines
    }

    fn exit(&self) -> Exit {
        if self.warnings().is_empty() { Exit::Done } else { Exit::Warnings }
    }
}

fn print_cluster(out: &mut String, location: &str, of: &ClusterPlan) {
    let plan = &of.plan;
    let _ = writeln!(out, "cluster {} at {location}, as of {}", plan.cluster, time(plan.at));
    let backups = plan.backups.iter().map(backup);
    let rows: Vec<_> = backups.chain(plan.unfinished.iter().map(unfinished)).collect();
    if !rows.is_empty() {
        table(out, &["BACKUP", "KIND", "ARRIVED", ">STORED", "PLAN", "UNTIL", "WHY"], &rows);
    }
    if !plan.wal.is_empty() {
        out.push('\n');
        let rows: Vec<_> = plan.wal.iter().map(wal).collect();
        table(out, &[">TIMELINE", "WAL FROM", "TO", ">SIZE", "PLAN", "UNTIL", "WHY"], &rows);
    }
    out.push('\n');
    let sum = |of: &dyn Fn(&Verdict) -> bool| {
        let those: Vec<u64> = plan.backups.iter().filter(|d| of(&d.verdict)).map(|d| d.bytes).collect();
        let wal: u64 = plan.wal.iter().filter(|d| of(&d.verdict)).map(|d| d.bytes).sum();
        let backups = count(those.len() as u64, "backup");
        format!("{backups} of {}, WAL of {} before compression", size(those.iter().sum()), size(wal))
    };
    let _ = writeln!(out, "kept:    {}", sum(&|verdict| verdict.until().is_some()));
    let _ = writeln!(out, "expires: {}", sum(&Verdict::expires));
    if of.superseded.objects > 0 {
        let superseded = count(of.superseded.objects, "partial");
        let _ = writeln!(out, "         {superseded} of {}, replaced by whole pieces", size(of.superseded.bytes));
    }
    if of.replaced.objects > 0 {
        let replaced = count(of.replaced.objects, "original");
        let _ = writeln!(out, "         {replaced} of {}, WAL that copies took the place of", size(of.replaced.bytes));
    }
    let _ = writeln!(out, "What has no end in sight is locked until {}.", time(plan.open_until));
}

fn backup(decision: &BackupDecision) -> Vec<String> {
    let mut why = vec![decision.verdict.why().to_string()];
    why.extend(decision.also.iter().map(|ground| ground.why.to_string()));
    if decision.own_end_only {
        why.push("restores to its own end only".into());
    }
    let (id, kind, arrived) = (decision.backup.to_string(), decision.kind.to_string(), time(decision.arrived_at));
    line([id, kind, arrived, size(decision.bytes)], &decision.verdict, why.join("; "))
}

fn unfinished(folder: &UnfinishedDecision) -> Vec<String> {
    let bytes = folder.bytes.map_or_else(|| "?".into(), size);
    let why = folder.verdict.why().to_string();
    line([folder.backup.to_string(), "none".into(), "never".into(), bytes], &folder.verdict, why)
}

fn wal(decision: &WalDecision) -> Vec<String> {
    let (timeline, start, end) = (decision.timeline.to_string(), decision.start.to_string(), decision.end.to_string());
    line([timeline, start, end, size(decision.bytes)], &decision.verdict, decision.verdict.why().to_string())
}

fn line(first: [String; 4], verdict: &Verdict, why: String) -> Vec<String> {
    let word = match verdict {
        Verdict::Keep { .. } => "keep",
        Verdict::Expire { .. } => "expire",
        Verdict::Leave { .. } => "leave",
    };
    let until = verdict.until().map_or_else(String::new, time);
    first.into_iter().chain([word.into(), until, why]).collect()
}
