//! `stonewal restore base`: the files of a base backup into new directories, ready for PostgreSQL to recover to any moment
//! that the stored WAL covers.
//!
//! First the plan, which refuses what cannot be reached; then the targets, which refuse what is not theirs; then the files.
//! Until everything is durable there is no `global/pg_control`, so PostgreSQL cannot start on half a restore.

mod delta;
mod fetch_keys;
mod files;
mod layout;
mod local;
mod marker;
mod owner;
mod plan;
mod recovery;
mod roots;
mod thawed;
mod tree;
mod warnings;
mod work;

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use layout::Mapping;
pub use plan::Plan;
pub(in crate::commands) use plan::wal_of;
pub(super) use plan::{Planned, make as plan_with};
pub use recovery::{Action, WalSource};
pub(super) use roots::{check_outside_clusters, free_bytes};

use super::repository::interruptible;
use super::restore_dump::Confirm;
use super::sides::Source;
use super::{Error, RepositoryOptions, Result};
use crate::catalog::plan::{Goal, Request};
use crate::catalog::{Access, Finding, Repository};
use crate::format::{BackupId, ClusterName};
use crate::observe::{Phase, Progress};
use crate::postgres::programs::Search;
use crate::store::Thaw;

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
    /// How to ask for what lies in archive tiers, if it is to be asked for; where there is no target, without waiting for it.
    pub thaw: Option<Thaw>,
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
    let mut planned = if let Some(how) = options.thaw {
        let wanted = thawed::Wanted {
            cluster: &options.cluster,
            request: &options.request,
            wal: options.wal,
            target: options.target.as_ref(),
        };
        Box::pin(thawed::planned(&repository, &wanted, how, (progress, cancel))).await?
    } else {
        let planning = Box::pin(plan::make(&repository, &options.cluster, &options.request));
        interruptible(cancel, planning).await?
    };
    let mut outcome = Outcome {
        plan: planned.plan.clone(),
        restored: None,
        warnings: planned.diverging.iter().map(|found| format!("{found}; {}", found.hint())).collect(),
        findings: repository.findings().iter().cloned().chain(std::mem::take(&mut planned.findings)).collect(),
    };
    let Some(target) = options.target else {
        outcome.warnings.extend(planned.classes.warning("chunks of the backup lie"));
        outcome.warnings.extend(planned.wal_classes.warning("WAL that recovery replays lies"));
        outcome.warnings.extend(source.warnings());
        outcome.warnings.extend(options.room_at.and_then(|dir| roots::room_for(&dir, outcome.plan.plain_bytes)));
        return Ok(outcome);
    };
    let how = How {
        repository: &options.repository,
        wal: options.wal,
        action: options.action,
        archives: options.archives,
        downloads: options.downloads,
    };
    let (restored, warnings) = carry_out(&repository, &planned, &how, target, (progress, cancel)).await?;
    progress.set_phase(Phase::Done);
    outcome.restored = Some(restored);
    outcome.warnings.extend(warnings);
    outcome.warnings.extend(source.warnings());
    outcome.findings.extend(source.findings());
    Ok(outcome)
}

/// What a restore needs besides plan and target.
pub(super) struct How<'a> {
    /// For the keys of `wal fetch`.
    pub(super) repository: &'a RepositoryOptions,
    pub(super) wal: WalSource,
    pub(super) action: Action,
    pub(super) archives: bool,
    pub(super) downloads: usize,
}

/// Restores as planned, from a repository that is open.
pub(super) async fn carry_out(
    repository: &Repository,
    planned: &Planned,
    how: &How<'_>,
    target: Target,
    (progress, cancel): (&Progress, &CancellationToken),
) -> Result<(Restored, Vec<String>)> {
    interruptible(cancel, planned.classes.refuse(&**repository.store())).await?;
    if how.wal != WalSource::None {
        interruptible(cancel, planned.wal_classes.refuse(&**repository.store())).await?;
    }
    let plan = &planned.plan;
    let job = work::Job {
        repository,
        options: how.repository,
        backup: &planned.backup,
        ending: recovery::Ending {
            goal: plan.goal.clone(),
            inclusive: plan.inclusive,
            timeline: Some(plan.timeline).filter(|timeline| *timeline != plan.base_timeline),
            action: how.action,
            wal: how.wal,
            narrow: plan.gap.is_some(),
            archives: how.archives,
        },
        plan,
        downloads: how.downloads,
        progress,
        cancel,
    };
    Box::pin(job.restore(target)).await
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
