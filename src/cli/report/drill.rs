//! `drill`: what came of one, and the history.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Report, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{check_word, count, facts, size, table, time};
use crate::commands::drill::{Left, Outcome};
use crate::commands::evidence::{History, Shown};
use crate::commands::parts::evidence::{ChainRecord, CheckResult, Evidence, EvidenceResult};
use crate::commands::parts::{Check, CheckStatus};
use crate::commands::schedule::Units;

/// Details printed below a check.
const DETAILS_SHOWN: usize = 5;

impl Report for Outcome {
    fn print(&self, out: &mut String) {
        checks(out, &self.checks);
        if let Some(error) = &self.error {
            let _ = writeln!(out, "error: {error}");
            if let Some(hint) = &self.hint {
                let _ = writeln!(out, "hint: {hint}");
            }
        }
        let mut lines = summary(out, &self.evidence);
        lines.extend(self.stored.iter().map(|key| ("evidence", key.clone())));
        lines.extend(self.kept.iter().map(|dir| ("kept", format!("{}, its server stopped", dir.display()))));
        if let Some(server) = &self.kept_server {
            lines.push(("start", format!("psql \"$({})\"", server.start.display())));
            lines.push(("stop", server.stop.display().to_string()));
            lines.push(("remove", format!("rm -r {}", server.directory.display())));
        }
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let lost = self.not_stored.iter().map(|why| format!("the evidence was not stored: {why}"));
        lost.chain(self.warnings.iter().cloned()).chain(warnings_of(&self.findings)).collect()
    }

    fn exit(&self) -> Exit {
        match (self.evidence.result, self.class) {
            (EvidenceResult::Error, Some(class)) => class.into(),
            (EvidenceResult::Error, None) => Exit::Failed,
            (EvidenceResult::Failed, _) => Exit::DoNotPromote,
            (EvidenceResult::Passed, _) => {
                let warned = self.checks.iter().any(|check| check.status == CheckStatus::Warn);
                if warned || !self.warnings().is_empty() { Exit::Warnings } else { Exit::Done }
            }
        }
    }
}

fn checks(out: &mut String, checks: &[Check]) {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let word = check_word(check.status);
        let _ = writeln!(out, "{word:4}  {:width$}  {}", check.name, check.detail);
        for detail in check.details.iter().take(DETAILS_SHOWN) {
            let _ = writeln!(out, "      {:width$}  {detail}", "");
        }
        if check.details.len() > DETAILS_SHOWN {
            let _ = writeln!(out, "      {:width$}  and more; --json tells", "");
        }
        if let Some(hint) = &check.hint {
            let _ = writeln!(out, "      {:width$}  hint: {hint}", "");
        }
    }
}

/// What the evidence says, but for its checks: a headline, and the lines below it, which are aligned with those that follow.
fn summary(out: &mut String, evidence: &Evidence) -> Vec<(&'static str, String)> {
    let _ = writeln!(out, "drill {}: {}", evidence.evidence, evidence.result);
    let mut lines = Vec::new();
    if let Some(backup) = &evidence.backup {
        lines.push(("backup", format!("{} {}", backup.kind, backup.id)));
    }
    lines.extend(evidence.server_version.iter().map(|version| ("server", format!("PostgreSQL {version}"))));
    if let Some(reached) = &evidence.reached {
        lines.push(("reached", format!("{} on timeline {}", reached.lsn, reached.timeline)));
    }
    if evidence.bytes > 0 {
        lines.push(("restored", size(evidence.bytes)));
    }
    let phases: Vec<String> =
        evidence.phases.iter().map(|phase| format!("{} {}", phase.name, seconds(phase.milliseconds))).collect();
    lines.push(("phases", phases.join(", ")));
    let within = |found: u64, allowed: Option<u64>| {
        let of = allowed.map(|allowed| format!(" of {}", seconds(allowed))).unwrap_or_default();
        format!("{}{of}", seconds(found))
    };
    lines.extend(evidence.rto_milliseconds.map(|rto| ("RTO", within(rto, evidence.objectives.rto_milliseconds))));
    lines.extend(evidence.rpo_milliseconds.map(|rpo| ("RPO", within(rpo, evidence.objectives.rpo_milliseconds))));
    let head = |chain: &ChainRecord| ("head", format!("{}={} ({})", chain.name, chain.head, count(chain.rows, "row")));
    lines.extend(evidence.chains.iter().map(head));
    lines
}

/// `0.3 s`, `12 min 05 s`.
fn seconds(milliseconds: u64) -> String {
    let span = Duration::from_millis(milliseconds);
    if span < Duration::from_mins(1) {
        format!("{:.1} s", span.as_secs_f64())
    } else {
        crate::cli::words::duration(span)
    }
}

impl Report for History {
    fn print(&self, out: &mut String) {
        if self.drills.is_empty() {
            let _ = writeln!(out, "cluster {} has no evidence of a drill", self.cluster);
            return;
        }
        let rows: Vec<Vec<String>> = self.drills.iter().map(row).collect();
        table(out, &["DRILL", "STARTED", "RESULT", "BACKUP", ">RTO", ">RPO", "HOST"], &rows);
    }

    fn warnings(&self) -> Vec<String> {
        warnings_of(&self.findings)
    }
}

fn row(evidence: &Evidence) -> Vec<String> {
    let maybe = |found: Option<u64>| found.map_or_else(|| "-".into(), seconds);
    let backup = evidence.backup.as_ref().map(|backup| format!("{} {}", backup.kind, backup.id));
    vec![
        evidence.evidence.to_string(),
        time(evidence.started_at),
        evidence.replica().map_or_else(|| evidence.result.to_string(), |of| format!("{} ({of})", evidence.result)),
        backup.unwrap_or_else(|| "-".into()),
        maybe(evidence.rto_milliseconds),
        maybe(evidence.rpo_milliseconds),
        evidence.host.clone(),
    ]
}

fn status(recorded: CheckResult) -> CheckStatus {
    match recorded {
        CheckResult::Ok => CheckStatus::Ok,
        CheckResult::Note => CheckStatus::Note,
        CheckResult::Warn => CheckStatus::Warn,
        CheckResult::Fail => CheckStatus::Fail,
    }
}

impl Report for Shown {
    fn print(&self, out: &mut String) {
        let evidence = &self.evidence;
        let width = evidence.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &evidence.checks {
            let word = check_word(status(check.status));
            let _ = writeln!(out, "{word:4}  {:width$}  {}", check.name, check.detail);
        }
        if let Some(error) = &evidence.error {
            let _ = writeln!(out, "error: {error}");
        }
        let mut lines = summary(out, evidence);
        lines.push(("started", time(evidence.started_at)));
        lines.push(("host", evidence.host.clone()));
        lines.push(("object", self.object.clone()));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        warnings_of(&self.findings)
    }
}

impl Report for Left {
    fn print(&self, out: &mut String) {
        for dir in &self.removed {
            let _ = writeln!(out, "removed  {}", dir.display());
        }
        for dir in &self.running {
            let _ = writeln!(out, "running  {}", dir.display());
        }
        if self.removed.is_empty() && self.running.is_empty() {
            let _ = writeln!(out, "nothing is left of any drill");
        }
    }

    fn exit(&self) -> Exit {
        if self.failed.is_empty() { Exit::Done } else { Exit::Failed }
    }

    fn warnings(&self) -> Vec<String> {
        self.failed.clone()
    }
}

impl Report for Units {
    fn print(&self, out: &mut String) {
        for (number, unit) in self.files.iter().enumerate() {
            let blank = if number == 0 { "" } else { "\n" };
            let _ = write!(out, "{blank}# {}\n{}", unit.path, unit.text);
        }
    }
}
