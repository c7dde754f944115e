//! `replica copy`, `replica verify` and `replica list`.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Report, warnings_of};
use crate::cli::Exit;
use crate::cli::words::{count, duration, facts, size, table, time};
use crate::commands::parts::{Finding, FindingKind};
use crate::commands::replica::{Identity, copy, list, verify};

/// Findings told one by one.
const FINDINGS_SHOWN: usize = 10;

impl Report for copy::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "replica {} at {}", self.replica, self.location);
        let label = if self.dry_run { "to copy" } else { "copied" };
        let mut lines = vec![
            (label, format!("{}, {}", count(self.copied, "object"), size(self.copied_bytes))),
            ("there already", count(self.present, "object")),
        ];
        let some = |number: u64, word: &str| (number > 0).then(|| count(number, word));
        lines.extend(some(self.locks_lengthened, "lock").map(|text| ("lengthened", text)));
        lines.extend(some(self.holds_set, "legal hold").map(|text| ("held", text)));
        lines.extend(some(self.strays, "object").map(|text| ("there alone", text)));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = self.warnings.clone();
        lines.extend(few(&self.findings));
        lines
    }

    fn is_summary(&self) -> bool {
        true
    }
}

impl Report for verify::Outcome {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "replica {} at {}", self.replica, self.location);
        let identity = match self.identity {
            Identity::Same => "of this repository",
            Identity::None => "empty",
            Identity::Other => "of another repository",
        };
        let mut lines = vec![
            ("holds", format!("{}, {}, {identity}", count(self.present, "object"), size(self.present_bytes))),
            ("missing", format!("{}, {}", count(self.missing, "object"), size(self.missing_bytes))),
        ];
        lines.extend(self.newest_here.map(|at| ("newest here", time(at))));
        lines.extend(self.newest_there.map(|at| ("newest there", time(at))));
        lines.push(("behind by", duration(Duration::from_secs(self.lag_seconds))));
        lines.push(("different", count(self.different, "object")));
        lines.extend((self.rotten > 0).then(|| ("rotten here", count(self.rotten, "object"))));
        lines.push(("short locks", count(self.locks_short, "object")));
        lines.push(("holds missing", count(self.holds_missing, "object")));
        lines.push(("there alone", count(self.strays, "object")));
        facts(out, &lines);
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.behind {
            let lag = duration(Duration::from_secs(self.lag_seconds));
            lines.push(format!("the replica is behind by {lag}, longer than --max-lag"));
        }
        if self.unproven > 0 {
            let objects = count(self.unproven, "object");
            lines.push(format!("{objects} of the right length are not proven equal: --deep compares their contents"));
        }
        if self.holds_missing > 0 {
            let objects = count(self.holds_missing, "object");
            lines.push(format!(
                "legal holds are missing there, of {objects}: `stonewal replica copy {}` sets them, with credentials that have s3:PutObjectLegalHold there",
                self.replica
            ));
        }
        // A hold lies on all objects of a backup: told once, not object by object.
        lines.extend(few(self.findings.iter().filter(|finding| finding.kind != FindingKind::HoldMissing)));
        lines
    }

    fn exit(&self) -> Exit {
        match (self.different + self.rotten > 0, self.behind, self.warnings().is_empty()) {
            (true, ..) => Exit::Integrity,
            (false, true, _) => Exit::Failed,
            (false, false, false) => Exit::Warnings,
            (false, false, true) => Exit::Done,
        }
    }
}

impl Report for list::Outcome {
    fn print(&self, out: &mut String) {
        if self.replicas.is_empty() {
            out.push_str("no replica is configured: a section [replica.NAME] names one\n");
            return;
        }
        let yes = |yes: Option<bool>| yes.map_or("?", |yes| if yes { "yes" } else { "no" }).to_owned();
        let rows: Vec<_> = self
            .replicas
            .iter()
            .map(|row| {
                let holds = row.identity.map_or("?", |identity| match identity {
                    Identity::Same => "this repository",
                    Identity::None => "nothing yet",
                    Identity::Other => "something else",
                });
                let (versions, locks) = (row.bucket.map(|b| b.versioning), row.bucket.map(|b| b.object_lock));
                let (name, place, endpoint) = (row.replica.clone(), row.location.clone(), row.endpoint.clone());
                vec![name, place, endpoint, yes(versions), yes(locks), holds.to_owned()]
            })
            .collect();
        table(out, &["REPLICA", "LOCATION", "ENDPOINT", "VERSIONS", "LOCKS", "HOLDS"], &rows);
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.replicas {
            let mut warn = |what: &str| lines.push(format!("replica {}: {what}", row.replica));
            match (&row.failure, row.bucket) {
                (Some(why), _) => warn(why),
                (None, Some(bucket)) if !bucket.versioning => warn("its bucket has no versioning"),
                (None, Some(bucket)) if !bucket.object_lock => warn("its bucket has no Object Lock"),
                (None, _) => {}
            }
            match row.identity {
                Some(Identity::Other) => warn("it holds something else than this repository"),
                Some(Identity::None) => warn("nothing was copied yet"),
                Some(Identity::Same) | None => {}
            }
        }
        lines
    }
}

/// The first few findings, and how many more there are.
fn few<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    let all = warnings_of(findings);
    let more = all.len().saturating_sub(FINDINGS_SHOWN);
    let mut shown: Vec<String> = all.into_iter().take(FINDINGS_SHOWN).collect();
    if more > 0 {
        shown.push(format!("and {more} more; --json has all"));
    }
    shown
}
