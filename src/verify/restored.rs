//! May this restored database be promoted? One check per question, all but amcheck under one snapshot, none of them
//! changes anything. For the command, and for whoever restores to test backups.

mod amcheck;
mod chains;
mod contents;
mod counts;
mod digests;
mod production;
mod recorded;
mod release;
mod shape;

use serde::Serialize;

pub use production::{Guard, Production};
pub use recorded::Recorded;
pub use release::Backend;

use super::chain::{ChainReport, Definition};
use crate::observe::{Phase, Progress, chain as error_chain};
use crate::postgres::rows::TableName;
use crate::postgres::{self, Session};

/// What the detail of a check that could not be carried out begins with.
const NOT_DONE: &str = "could not be checked";

/// Details of one check that are told.
const DETAILS_MAX: usize = 100;

/// What a restored database must have.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Tables that must exist, with the rows that they must have at least where the backup recorded no count.
    pub tables: Vec<(TableName, Option<u64>)>,
    /// What the backup recorded of its rows.
    pub recorded: Recorded,
    /// Hash chains.
    pub chains: Vec<Definition>,
    /// Whether the hashed text of the first row that does not agree with its hash is told.
    pub explain: bool,
    /// Whether amcheck runs where it is installed.
    pub amcheck: bool,
    /// Names of sequences, constraints and indexes that may be other than they should be.
    pub accept: Vec<String>,
    /// Answers which release the database belongs to.
    pub release_query: Option<String>,
    /// What the backend on the restored database answered, if one is to be asked.
    pub backend: Option<Backend>,
    /// What query and backend must answer.
    pub release: Option<String>,
    /// In a drill: how many questions of the operator's own follow.
    pub drill: Option<usize>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Should be looked at or changed.
    Warn,
    /// Not to be relied on: backups must not be trusted to it, or it must not be promoted.
    Fail,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// Each thing that is wrong, up to a hundred.
    pub details: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Check {
    /// A check that came out so.
    pub fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status, detail: detail.into(), details: Vec::new(), hint: None }
    }

    fn with(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details = details.into_iter().take(DETAILS_MAX).collect();
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn advise(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A check that could not be carried out: what it would have found is unknown, which is no reason to promote.
    pub fn not_done(name: &str, error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Self {
        Self { hint, ..Self::new(name, Status::Fail, format!("{NOT_DONE}: {}", error_chain(error))) }
    }

    /// What was found, without the words of a server, which may repeat the contents of a row.
    pub fn public_detail(&self) -> &str {
        if self.detail.starts_with(NOT_DONE) { NOT_DONE } else { &self.detail }
    }
}

/// Everything that was checked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// In the order of looking.
    pub checks: Vec<Check>,
    /// Hash chains that could be followed to their end.
    pub chains: Vec<ChainReport>,
    /// The release that the database names.
    pub release: Option<String>,
}

impl Report {
    /// The worst status.
    pub fn status(&self) -> Status {
        self.checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok)
    }
}

/// Checks. What is wrong is in the report; an error means that the server could not be asked any more. Safe to drop at any
/// point.
pub async fn check(session: &Session, expected: &Expected, progress: &Progress) -> Result<Report, postgres::Error> {
    progress.set_phase(Phase::Checking);
    let mut report = Report::default();
    session.begin_inspection().await?;
    let checks = &mut report.checks;
    checks.push(asked(session, "tables", counts::tables(session, expected)).await?);
    checks.push(asked(session, "rows", counts::rows(session, expected)).await?);
    checks.push(asked(session, "digests", digests::check(session, expected, progress)).await?);
    match session.question(contents::check(session, expected)).await {
        Err(error) if session.client().is_closed() => return Err(error),
        Err(error) => checks.push(Check::not_done("contents", &error, error.hint())),
        Ok(said) => checks.extend(said),
    }
    checks.push(asked(session, "sequences", shape::sequences(session, expected)).await?);
    checks.push(asked(session, "constraints", shape::constraints(session, expected)).await?);
    checks.push(asked(session, "indexes", shape::indexes(session, expected)).await?);
    checks.push(asked(session, "collations", shape::collations(session)).await?);
    chains::check(session, expected, progress, &mut report).await?;
    match session.question(release::ask(session, expected)).await {
        Err(error) if session.client().is_closed() => return Err(error),
        Err(error) => report.checks.push(Check::not_done(release::RELEASE, &error, error.hint())),
        Ok(found) => {
            report.checks.push(release::database(expected, found.as_deref()));
            report.release = found;
        }
    }
    let release = report.release.as_deref();
    let backend = expected.backend.as_ref().map(|backend| release::backend(expected, backend, release));
    report.checks.extend(backend);
    session.end_inspection().await?;
    report.checks.push(amcheck::check(session, expected.amcheck).await?);
    Ok(report)
}

/// One question; a refusal of the server is an answer, a lost connection is none.
async fn asked(
    session: &Session,
    name: &str,
    ask: impl Future<Output = Result<Check, postgres::Error>>,
) -> Result<Check, postgres::Error> {
    match session.question(ask).await {
        Err(error) if session.client().is_closed() => Err(error),
        Err(error) => Ok(Check::not_done(name, &error, error.hint())),
        done => done,
    }
}

/// `3 tables`, `1 table`.
fn count(number: u64, word: &str) -> String {
    let plural = match word.strip_suffix("index") {
        Some(stem) => format!("{stem}indexes"),
        None => format!("{word}s"),
    };
    format!("{number} {}", if number == 1 { word } else { &plural })
}
