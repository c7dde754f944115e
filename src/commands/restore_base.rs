//! `stonewal restore base`: the files of a base backup into new directories, ready for PostgreSQL to recover to any moment
//! that the stored WAL covers.
//!
//! First the plan, which refuses what cannot be reached; then the targets, which refuse what is not theirs; then the files.
//! Until everything is durable there is no `global/pg_control`, so PostgreSQL cannot start on half a restore.

mod delta;
mod files;
mod layout;
mod local;
mod marker;
mod owner;
mod plan;
mod recovery;
mod roots;
mod tree;
mod warnings;
mod work;

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use layout::Mapping;
pub use plan::Plan;
pub use recovery::{Action, WalSource};

use super::repository::interruptible;
use super::restore_dump::Confirm;
use super::sides::Source;
use super::{Error, RepositoryOptions, Result};
use crate::catalog::plan::{Goal, Request};
use crate::catalog::{Access, Finding};
use crate::format::{BackupId, ClusterName};
use crate::observe::{Phase, Progress};
use crate::postgres::programs::Search;

/// What to restore and where to.
pub struct Options {
    /// Where from.
    pub repository: RepositoryOptions,
    /// Keys: the passphrase or a recovery file.
    pub access: Access,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// To which moment, from which base.
    pub request: Request,
    /// Where to; `None` = only plan.
    pub target: Option<Target>,
    /// Where a plan looks whether there is room.
    pub room_at: Option<PathBuf>,
    /// Where recovery gets its WAL from.
    pub wal: WalSource,
    /// What PostgreSQL does at the target.
    pub action: Action,
    /// Whether the cluster may archive once it is promoted: a rehearsal that does becomes the newest timeline.
    pub archives: bool,
    /// Chunks fetched at once.
    pub downloads: usize,
}

/// The directories and what concerns this host.
pub struct Target {
    /// The data directory.
    pub dir: PathBuf,
    /// A new place for every tablespace.
    pub tablespaces: Vec<Mapping>,
    /// Whether to keep what is there already and fits.
    pub delta: bool,
    /// Whether the operator means it.
    pub confirm: Confirm,
    /// Our own program, for `restore_command`.
    pub program: PathBuf,
    /// `AWS_*` variables, for the same.
    pub aws: Vec<(String, SecretString)>,
    /// Where the server's programs are looked for.
    pub programs: Search,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What was decided.
    pub plan: Plan,
    /// What was done; `None` if only a plan was asked for.
    pub restored: Option<Restored>,
    /// What is worth knowing although the restore is whole.
    pub warnings: Vec<String>,
    /// What did not belong beside the backup and was ignored.
    pub findings: Vec<Finding>,
}

/// A cluster ready to be started.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The data directory.
    pub dir: PathBuf,
    /// The base.
    pub backup: BackupId,
    /// Files written.
    pub files: u64,
    /// Bytes written to them.
    pub bytes: u64,
    /// Files that were right already.
    pub files_kept: u64,
    /// Their bytes.
    pub bytes_kept: u64,
    /// What did not belong there and was removed.
    pub removed: u64,
}

/// Plans, and restores unless only a plan was asked for. On failure the targets are as they were; with `delta`, they are
/// something that PostgreSQL does not start and that the next run continues.
pub async fn run(options: Options, progress: &Progress, cancel: &CancellationToken) -> Result<Outcome> {
    check_ending(&options)?;
    let connecting = Box::pin(Source::of(&options.repository));
    let source = interruptible(cancel, connecting).await?;
    let repository = interruptible(cancel, Box::pin(source.open(options.access))).await?;
    let planning = Box::pin(plan::make(&repository, &options.cluster, &options.request));
    let planned = interruptible(cancel, planning).await?;
    let mut outcome = Outcome {
        plan: planned.plan,
        restored: None,
        warnings: Vec::new(),
        findings: repository.findings().iter().cloned().chain(planned.findings).collect(),
    };
    let Some(target) = options.target else {
        outcome.warnings.extend(source.warnings());
        outcome.warnings.extend(options.room_at.and_then(|dir| roots::room_for(&dir, outcome.plan.plain_bytes)));
        return Ok(outcome);
    };
    let job = work::Job {
        repository: &repository,
        options: &options.repository,
        backup: &planned.backup,
        ending: recovery::Ending {
            goal: options.request.goal,
            inclusive: options.request.inclusive,
            timeline: Some(outcome.plan.timeline).filter(|timeline| *timeline != outcome.plan.base_timeline),
            action: options.action,
            wal: options.wal,
            narrow: outcome.plan.gap.is_some(),
            archives: options.archives,
        },
        plan: &outcome.plan,
        downloads: options.downloads,
        progress,
        cancel,
    };
    let (restored, warnings) = Box::pin(job.restore(target)).await?;
    progress.set_phase(Phase::Done);
    outcome.restored = Some(restored);
    outcome.warnings = warnings;
    outcome.warnings.extend(source.warnings());
    outcome.findings.extend(source.findings());
    Ok(outcome)
}

/// What PostgreSQL would ignore or refuse later.
fn check_ending(options: &Options) -> Result<()> {
    let usage = |what: &str| Err(Error::Usage(what.into()));
    if options.request.goal == Goal::Latest && options.action != Action::Promote {
        return usage("--action pause and shutdown need a target: at the end of the WAL PostgreSQL always promotes");
    }
    if options.wal == WalSource::None && options.request.goal != Goal::Immediate {
        return usage("--wal none restores the base alone: use it with --target-immediate");
    }
    Ok(())
}
