//! `stonewal doctor`: is the ground good? Everything is tried for real, on small objects made for the purpose.

use std::time::Duration;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Connected, Error, Immutability, RepositoryOptions, Result};
use crate::catalog::{Access, Repository};
use crate::observe::chain;
use crate::postgres::ConnInfo;
use crate::postgres::programs::Search;
use crate::verify::Findings;
pub use crate::verify::restored::Status;
pub(super) use worm::require as require_worm;

mod capabilities;
mod contents;
mod ground;
mod replicas;
mod rights;
mod settings;
mod source;
mod streaming;
mod worm;

/// What to examine.
#[derive(Debug)]
pub struct Options {
    /// Where.
    pub repository: RepositoryOptions,
    /// Keys, if there are any.
    pub access: Option<Access>,
    /// The database that would be backed up, if one is configured.
    pub source: Option<ConnInfo>,
    /// Where pg_dump is looked for.
    pub programs: Search,
    /// The slot that WAL is streamed from.
    pub slot: String,
    /// For how long at least the retention policy keeps backups.
    pub kept: Duration,
    /// By this name `synchronous_standby_names` knows the streamer.
    pub application_name: String,
    /// Whether canaries may be written: they stay until their lock of one minute has expired and someone removes them.
    pub probe: bool,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Everything found.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// In the order in which it was examined.
    pub checks: Vec<Check>,
    /// Locked objects that were stored to try things on; `retention apply` removes them once their lock of a minute has ended.
    pub canaries: u64,
    /// What this store does with unusual requests, by name.
    pub capabilities: BTreeMap<&'static str, bool>,
    /// What does not belong in the repository.
    pub findings: Findings,
}

impl Outcome {
    /// The worst status.
    pub fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok)
    }

    fn add(&mut self, name: &'static str, status: Status, detail: impl Into<String>) {
        self.checks.push(Check { name, status, detail: detail.into(), hint: None });
    }

    fn advise(&mut self, name: &'static str, status: Status, detail: impl Into<String>, hint: impl Into<String>) {
        self.checks.push(Check { name, status, detail: detail.into(), hint: Some(hint.into()) });
    }

    /// Notes a failed examination; goes on with the others.
    fn fail(&mut self, name: &'static str, error: &Error) {
        self.checks.push(Check { name, status: Status::Fail, detail: chain(error), hint: error.hint() });
    }
}

/// Examines. What is wrong is in the outcome; an error means that the options themselves are.
pub async fn run(options: Options) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let connected = Connected::to(&options.repository).await?;
    let immutability = options.repository.immutability;
    if !ground::check(&connected, immutability, options.kept, &mut outcome).await {
        return Ok(outcome);
    }
    if let Some(access) = options.access {
        match connected.open(access).await {
            Ok(repository) => keys_and_contents(&repository, &mut outcome).await,
            Err(error) => outcome.fail("repository", &error),
        }
    } else {
        outcome.advise(
            "repository",
            Status::Note,
            "no key is configured, so its contents were not examined",
            "set BACKUP_PASSPHRASE or keys.writer_file",
        );
    }
    replicas::check(&options.repository, &mut outcome).await;
    if options.probe {
        if let Immutability::ObjectLock { mode, .. } = immutability {
            worm::check(&connected, mode, &mut outcome).await;
            rights::check(&connected, &mut outcome).await;
        }
        capabilities::check(&connected, immutability, &mut outcome).await;
    }
    if let Some(info) = options.source {
        source::check(&info, &options.programs, (&options.slot, &options.application_name), &mut outcome).await;
    }
    Ok(outcome)
}

async fn keys_and_contents(repository: &Repository, outcome: &mut Outcome) {
    let (recipients, in_kms, reads) = repository.with_keyring(|ring| {
        let in_kms = ring.recipients().iter().filter(|recipient| recipient.kms().is_some()).count();
        (ring.recipients().len(), in_kms, ring.can_read_data())
    });
    let what = if reads { "can read backups" } else { "can write backups and not read them" };
    outcome.add("repository", Status::Ok, format!("{} opens; these keys {what}", repository.id()));
    if recipients == 1 {
        let detail = "data keys are wrapped to one recipient only";
        outcome.advise("recipients", Status::Warn, detail, "a lost passphrase would lose every backup: `stonewal keys add --recovery-file FILE --past` makes another; keep that file offline");
    } else if recipients > 1 {
        let in_kms = if in_kms == 0 { String::new() } else { format!(", {in_kms} of them in AWS KMS") };
        outcome.add("recipients", Status::Ok, format!("data keys are wrapped to {recipients} recipients{in_kms}"));
    }
    contents::check(repository, outcome).await;
}
