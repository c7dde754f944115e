//! What is noted while a drill goes on, and what comes of it.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::choose::Chosen;
use super::judge;
use super::kept::KeptServer;
use super::options::{Objectives, Options, Pick};
use super::publish::{Desk, Published};
use crate::catalog::plan::Goal;
use crate::catalog::{Backup, Finding, Repository};
use crate::commands::restore_base::Planned;
use crate::commands::{Class, Error, Result, restore_dump};
use crate::format::evidence::{
    CheckRecord, CheckResult, Choice, DrilledBackup, Evidence, EvidenceKind, EvidenceResult, ObjectivesRecord,
    PhaseRecord, ReachedRecord, RequestRecord,
};
use crate::format::manifest::DumpFacts;
use crate::format::{Digest, EvidenceId, Lsn};
use crate::keys::backup_suffix;
use crate::limits::EVIDENCE_CHECKS_MAX;
use crate::observe::chain;
use crate::observe::clock::Stopwatch;
use crate::postgres;
use crate::verify::restored::{Check, Status};

/// What came of a drill.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What is signed and stored.
    pub evidence: Evidence,
    /// The object that holds it.
    pub stored: Option<String>,
    /// Why there is none although it was wanted.
    pub not_stored: Option<String>,
    /// Why the drill could not be carried out, in all words.
    pub error: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// The checks, with what the evidence leaves out.
    pub checks: Vec<Check>,
    /// Where the restored files were left, if that was asked for.
    pub kept: Option<PathBuf>,
    /// How to run the server that was left with them.
    pub kept_server: Option<KeptServer>,
    /// What is worth knowing although the drill was carried out.
    pub warnings: Vec<String>,
    /// What did not belong beside the backup and was ignored.
    pub findings: Vec<Finding>,
    /// What kind of failure it was, if it could not be carried out.
    #[serde(skip)]
    pub class: Option<Class>,
}

/// What a server said of its recovery.
pub(super) struct Recovered {
    pub(super) server_version: String,
    pub(super) lsn: Option<Lsn>,
    pub(super) committed_at: Option<Timestamp>,
}

/// The notes.
pub(super) struct Record {
    pub(super) evidence: Evidence,
    pub(super) warnings: Vec<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) kept: Option<PathBuf>,
    pub(super) kept_server: Option<KeptServer>,
    checks: Vec<Check>,
    phase: Option<(&'static str, Stopwatch)>,
    watch: Stopwatch,
    took: Duration,
    failure: Option<Error>,
    stored: Option<String>,
    not_stored: Option<String>,
}

impl Record {
    pub(super) fn begin(repository: &Repository, options: &Options) -> Result<Self> {
        let started_at = repository.store().clock().now();
        let (time, lsn) = match options.goal {
            Goal::Time(time) => (Some(time), None),
            Goal::Lsn(lsn) => (None, Some(lsn)),
            _ => (None, None),
        };
        // Of a position, or of a dump of whatever age, nobody can say how much it lacks; of a base, see `recovered`.
        let requested_at = match (&options.goal, &options.pick) {
            (Goal::Time(time), _) => Some(*time),
            (Goal::Latest, Pick::Latest) => Some(started_at),
            _ => None,
        };
        let choice = match options.pick {
            Pick::Latest => Choice::Latest,
            Pick::Random => Choice::Random,
            Pick::Id(_) => Choice::Id,
        };
        let evidence = Evidence {
            format: Evidence::FORMAT,
            repository: repository.id(),
            cluster: options.cluster.clone(),
            evidence: EvidenceId::new(started_at, backup_suffix()?),
            kind: EvidenceKind::Drill,
            stonewal: env!("CARGO_PKG_VERSION").into(),
            host: Evidence::text(&rustix::system::uname().nodename().to_string_lossy()),
            started_at,
            finished_at: started_at,
            request: RequestRecord { choice, time, lsn },
            backup: None,
            server_version: None,
            reached: None,
            recovery_signal: None,
            phases: Vec::new(),
            rto_milliseconds: None,
            newest_committed_at: None,
            requested_at,
            rpo_milliseconds: None,
            objectives: ObjectivesRecord {
                rto_milliseconds: options.objectives.rto.map(milliseconds),
                rpo_milliseconds: options.objectives.rpo.map(milliseconds),
            },
            bytes: 0,
            wal_bytes: 0,
            checks: Vec::new(),
            chains: Vec::new(),
            release: None,
            result: EvidenceResult::Error,
            error: None,
        };
        Ok(Self {
            evidence,
            warnings: Vec::new(),
            findings: Vec::new(),
            kept: None,
            kept_server: None,
            checks: Vec::new(),
            phase: None,
            watch: Stopwatch::start(),
            took: Duration::ZERO,
            failure: None,
            stored: None,
            not_stored: None,
        })
    }

    pub(super) fn id(&self) -> &EvidenceId {
        &self.evidence.evidence
    }

    /// Ends the phase that goes on and begins another.
    pub(super) fn enter(&mut self, phase: &'static str) {
        self.leave();
        self.phase = Some((phase, Stopwatch::start()));
    }

    pub(super) fn leave(&mut self) {
        if let Some((name, watch)) = self.phase.take() {
            self.evidence.phases.push(PhaseRecord { name: name.into(), milliseconds: milliseconds(watch.elapsed()) });
        }
    }

    /// The end of the drill, however it came.
    pub(super) fn stop(&mut self, repository: &Repository) {
        self.leave();
        self.took = self.watch.elapsed();
        self.evidence.finished_at = repository.store().clock().now().max(self.evidence.started_at);
    }

    /// A replica proves that the replica restores, which whoever reads the evidence must know.
    pub(super) fn read_from(&mut self, replica: Option<&str>) {
        let told = replica.map(|name| Check::new(Evidence::READ_FROM, Status::Note, format!("replica {name} alone")));
        self.checks.extend(told);
    }

    /// Whether the server runs with the priority that was asked for.
    pub(super) fn reniced(&mut self, done: std::io::Result<()>) {
        self.warnings.extend(
            done.err().map(|error| format!("the priority of the server could not be lowered (drill.nice): {error}")),
        );
    }

    pub(super) async fn chose(&mut self, repository: &Repository, chosen: &Chosen) -> Result<()> {
        let backup = chosen.backup();
        let entry = &backup.entry;
        let manifest = repository.store().get(&entry.key, &entry.version, 0..entry.bytes).await?;
        self.evidence.backup = Some(DrilledBackup {
            id: backup.clear().backup.clone(),
            kind: backup.clear().kind,
            manifest_sha256: Digest::of(&manifest),
        });
        Ok(())
    }

    pub(super) fn loaded(
        &mut self,
        outcome: &restore_dump::Outcome,
        (backup, recorded): (&Backup, &DumpFacts),
        server_version: &str,
    ) {
        self.evidence.bytes = outcome.plain_bytes;
        self.evidence.server_version = Some(Evidence::text(server_version));
        self.evidence.newest_committed_at = judge::newest_in(backup.clear().started_at, recorded);
        self.warnings.extend(outcome.warnings.iter().cloned());
    }

    pub(super) fn recovered(&mut self, planned: &Planned, standby: bool, recovered: &Recovered) {
        let plan = &planned.plan;
        self.evidence.server_version = Some(Evidence::text(&recovered.server_version));
        self.evidence.reached = recovered.lsn.map(|lsn| ReachedRecord { lsn, timeline: plan.timeline });
        // Whichever base it began with: all WAL was wanted.
        if plan.goal == Goal::Latest {
            self.evidence.requested_at = Some(self.evidence.started_at);
        }
        // Nothing that was committed before the base ended is missing, unless its source was behind itself.
        let by_base = (!standby).then_some(plan.base_ended_at);
        self.evidence.newest_committed_at = recovered.committed_at.max(by_base);
    }

    pub(super) fn checked(&mut self, checks: Vec<Check>) {
        self.checks.extend(checks);
    }

    pub(super) fn release(&mut self, release: Option<&str>) {
        self.evidence.release = release.map(Evidence::text);
    }

    /// It was carried out: the figures against the objectives, and the verdict.
    pub(super) fn judge(&mut self, objectives: &Objectives) {
        let rto = self.took;
        self.evidence.rto_milliseconds = Some(milliseconds(rto));
        self.checks.push(judge::objective("rto", "to a checked database", Some(rto), objectives.rto));
        let (rpo, check) = judge::rpo(&self.evidence, objectives.rpo);
        self.evidence.rpo_milliseconds = rpo.map(milliseconds);
        self.checks.push(check);
        let failed = self.checks.iter().any(|check| check.status == Status::Fail);
        self.evidence.result = if failed { EvidenceResult::Failed } else { EvidenceResult::Passed };
        self.note_checks();
    }

    /// It was not.
    pub(super) fn fail(&mut self, error: Error) {
        self.evidence.error = Some(Evidence::text(&public(&error)));
        self.failure = Some(error);
        self.note_checks();
    }

    fn note_checks(&mut self) {
        let note = |check: &Check| CheckRecord {
            name: Evidence::text(&check.name),
            status: match check.status {
                Status::Ok => CheckResult::Ok,
                Status::Note => CheckResult::Note,
                Status::Warn => CheckResult::Warn,
                Status::Fail => CheckResult::Fail,
            },
            detail: Evidence::text(check.public_detail()),
        };
        // The worst first where there are too many: a failure is never what is left out, and never what it is of.
        let mut all: Vec<&Check> = self.checks.iter().collect();
        if all.len() > EVIDENCE_CHECKS_MAX {
            all.sort_by_key(|check| (check.name != Evidence::READ_FROM, std::cmp::Reverse(check.status)));
        }
        self.evidence.checks = all.into_iter().take(EVIDENCE_CHECKS_MAX).map(note).collect();
    }

    /// Stores the evidence. That it cannot be stored changes nothing about what came of the drill.
    pub(super) async fn publish(&mut self, desk: &Desk, reader: &Repository, limit: Duration) {
        let publishing = Box::pin(desk.publish(reader, &self.evidence));
        match tokio::time::timeout(limit, publishing).await {
            Ok(Ok(Published::Under(key, gone))) => {
                self.stored = Some(key.to_string());
                self.findings.extend(gone);
            }
            Ok(Ok(Published::Not(why))) => self.not_stored = Some(why.to_owned()),
            Ok(Err(error)) => self.not_stored = Some(chain(&error)),
            Err(_) => {
                self.not_stored =
                    Some(format!("the store did not take it within {} s (drill.timeout)", limit.as_secs()));
            }
        }
    }

    pub(super) fn into_outcome(self) -> Outcome {
        Outcome {
            evidence: self.evidence,
            stored: self.stored,
            not_stored: self.not_stored,
            error: self.failure.as_ref().map(|error| chain(error)),
            hint: self.failure.as_ref().and_then(Error::hint),
            checks: self.checks,
            kept_server: self.kept_server.filter(|_| self.kept.is_some()),
            kept: self.kept,
            warnings: self.warnings,
            findings: self.findings,
            class: self.failure.as_ref().map(Error::class),
        }
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// An error in words that repeat nothing of what is in a database: servers and their programs quote rows.
fn public(error: &Error) -> String {
    use postgres::Error as Postgres;
    let Error::Postgres(error) = error else { return chain(error) };
    match error {
        Postgres::Sql { action, source, .. } => {
            let code = source.as_ref().and_then(|source| source.code()).map(|code| code.code().to_owned());
            format!("{action}: the server refused it [{}]", code.unwrap_or_default())
        }
        Postgres::LoadFailed { .. } => "the restore was rolled back: psql stopped at a statement".into(),
        Postgres::ChildFailed { program, status, .. } => format!("{program} {status}"),
        Postgres::Server { what, .. } => {
            format!("disposable PostgreSQL: {}", what.lines().next().unwrap_or_default().trim_end_matches(':'))
        }
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_quotes_is_not_in_evidence() {
        let row = "COPY people, line 1: \"SENTINEL\"";
        for error in [
            Postgres::LoadFailed { what: row.into() },
            Postgres::ChildFailed { program: "psql".into(), status: "ended".into(), stderr: row.into() },
            Postgres::Server { dir: "/x".into(), what: format!("it ended (exit status: 1):\n{row}") },
            Postgres::Sql { action: "run".into(), what: row.into(), source: None },
        ] {
            let error = Error::Postgres(error);
            assert!(chain(&error).contains("SENTINEL"), "{error}");
            let told = public(&error);
            assert!(!told.contains("SENTINEL") && !told.is_empty(), "{told}");
        }
    }

    use crate::postgres::Error as Postgres;
}
