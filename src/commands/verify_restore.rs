//! `stonewal verify restore`: may this restored database be promoted?

mod backend;

use serde::Serialize;

use super::{Error, RepositoryOptions, Result, Which, repository, sides};
use crate::catalog::{Access, Finding};
use crate::format::manifest::Kind;
use crate::format::{BackupId, ClusterName};
use crate::observe::Progress;
use crate::postgres::{ConnInfo, Session};
use crate::verify::chain::ChainReport;
use crate::verify::restored::{self, Check, Expected, Guard, Recorded, Status};

pub use backend::Place as BackendPlace;

/// What to check, and against what.
#[derive(Debug)]
pub struct Options {
    /// The restored database.
    pub database: ConnInfo,
    /// The backup that it was restored from, if its counts and digests are to be compared.
    pub backup: Option<Source>,
    /// Where the backend that is attached to the database tells its release.
    pub backend: Option<BackendPlace>,
    /// What must be there.
    pub expected: Expected,
    /// How production is told.
    pub guard: Guard,
}

/// Where the backup's record is.
#[derive(Debug)]
pub struct Source {
    /// The repository.
    pub repository: RepositoryOptions,
    /// Keys: any kind.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// Which backup.
    pub which: Which,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The database, without a password.
    pub database: String,
    /// `server_version_num`.
    pub server_version_num: u32,
    /// The backup whose counts were compared.
    pub backup: Option<BackupId>,
    /// Whether it may be promoted.
    pub promote: bool,
    /// In the order of looking.
    pub checks: Vec<Check>,
    /// Hash chains that could be followed to their end.
    pub chains: Vec<ChainReport>,
    /// What did not belong beside the backup and was ignored.
    pub findings: Vec<Finding>,
}

impl Outcome {
    /// The worst status.
    pub fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok)
    }
}

/// Checks. What is wrong with the database is in the outcome; an error means that we could not look. Changes nothing and may
/// be repeated, or dropped at any point.
pub async fn run(options: Options, progress: &Progress) -> Result<Outcome> {
    let target = options.database.redacted();
    let refuse = |why: restored::Production| Error::Production { target: target.clone(), why: why.to_string() };
    if let Some(why) = options.guard.by_name(&options.database) {
        return Err(refuse(why));
    }
    let mut expected = options.expected;
    let (mut backup, mut findings) = (None, Vec::new());
    if let Some(source) = options.backup {
        let (id, rows, beside) = Box::pin(recorded(source)).await?;
        (backup, expected.recorded, findings) = (Some(id), rows, beside);
    }
    let session = Session::connect(&options.database, "stonewal verify restore").await?;
    if let Some(why) = options.guard.by_setting(&session).await? {
        return Err(refuse(why));
    }
    if let Some(place) = options.backend {
        expected.backend = Some(backend::ask(place).await);
    }
    let report = restored::check(&session, &expected, progress).await?;
    Ok(Outcome {
        database: session.info().redacted(),
        server_version_num: session.version(),
        backup,
        promote: report.status() < Status::Fail,
        checks: report.checks,
        chains: report.chains,
        findings,
    })
}

/// What the manifest says of rows; a base backup says nothing.
async fn recorded(source: Source) -> Result<(BackupId, Recorded, Vec<Finding>)> {
    let opened = sides::Source::of(&source.repository).await?.open(source.access).await?;
    let kind = matches!(source.which, Which::Latest).then_some(Kind::Dump);
    let (backup, findings) = repository::find(&opened, &source.cluster, &source.which, kind).await?;
    let sealed = opened.sealed_part(&backup.manifest).await?;
    Ok((backup.clear().backup.clone(), sealed.dump.map(Recorded::from).unwrap_or_default(), findings))
}
