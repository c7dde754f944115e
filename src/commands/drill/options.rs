//! What a drill is asked for.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::sql::SqlCheck;
use crate::catalog::Access;
use crate::catalog::plan::Goal;
use crate::commands::RepositoryOptions;
use crate::format::manifest::Kind;
use crate::format::{BackupId, ClusterName};
use crate::postgres::programs::Search;
use crate::verify::restored::Expected;

/// Everything.
pub struct Options {
    /// Where from.
    pub repository: RepositoryOptions,
    /// Keys that read; taken when the repository is opened.
    pub access: Option<Access>,
    /// Keys that sign the evidence, if those that read cannot or should not.
    pub signer: Option<Access>,
    /// Whether evidence is stored.
    pub evidence: bool,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// Which backup.
    pub pick: Pick,
    /// Of one kind only.
    pub kind: Option<Kind>,
    /// Where a recovery ends.
    pub goal: Goal,
    /// Where the drill does its work.
    pub place: Place,
    /// What the database must have.
    pub expected: Expected,
    /// The operator's own questions.
    pub sql: Vec<SqlCheck>,
    /// Superuser of a base backup's cluster.
    pub user: String,
    /// Database of a base backup that is checked.
    pub database: Option<String>,
    /// What is allowed.
    pub objectives: Objectives,
    /// What it may take.
    pub limits: Limits,
    /// Our own program, for `restore_command` and for the guard.
    pub program: PathBuf,
    /// `AWS_*` variables, for `restore_command`.
    pub aws: Vec<(String, SecretString)>,
    /// Where programs are looked for.
    pub programs: Search,
}

/// Which backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The newest, or the one that fits the target best.
    Latest,
    /// Any, by lot.
    Random,
    /// This one.
    Id(BackupId),
}

/// Where the drill does its work.
#[derive(Clone, Debug)]
pub struct Place {
    /// In here it makes a directory of its own.
    pub dir: PathBuf,
    /// Whether that stays, with a stopped server in it.
    pub keep: bool,
}

/// What is allowed; `None` = not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Objectives {
    /// From the start until everything is checked.
    pub rto: Option<Duration>,
    /// Between the moment that was wanted and the newest commit that came back.
    pub rpo: Option<Duration>,
}

/// What it may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// All of it, before it is given up.
    pub timeout: Duration,
    /// Memory that the server shares, in bytes.
    pub shared_buffers: u64,
    /// Workers of one query.
    pub parallel: u32,
    /// Priority of the server: 0 as everybody, 19 the lowest.
    pub nice: i32,
    /// Libraries loaded at the start of a base backup's cluster.
    pub preload: Vec<String>,
    /// Chunks fetched at once.
    pub downloads: usize,
}
