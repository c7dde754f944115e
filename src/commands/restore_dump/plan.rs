//! Whether a dump can be read, before the first byte of it is restored.

use std::collections::BTreeMap;

use serde::Serialize;

use super::database::{place, recorded};
use super::file::Staged;
use super::{GLOBALS_STREAM, Job, Outcome, RestoreTarget};
use crate::commands::Result;
use crate::commands::frozen::{Classes, FrozenPart, Thawing};
use crate::commands::repository::interruptible;
use crate::store::Thaw;

/// What a restore would come to.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Bytes of SQL.
    pub plain_bytes: u64,
    /// Bytes to fetch for that.
    pub stored_bytes: u64,
    /// Chunks in other storage classes than the usual one.
    pub classes: BTreeMap<String, u64>,
    /// What cannot be read before it was thawed.
    pub frozen: Vec<FrozenPart>,
}

/// Asks archive tiers for what is frozen, if that is wanted, and waits for it unless it is only planned. What cannot be read is refused.
pub(super) async fn readable(
    job: &Job<'_>,
    (target, is_whole): (&RestoreTarget, bool),
    thaw: Option<Thaw>,
) -> Result<Classes> {
    let stream = match target {
        RestoreTarget::File { globals: true, .. } | RestoreTarget::Writer { globals: true, .. } => Some(GLOBALS_STREAM),
        _ => None,
    };
    let look = || interruptible(job.cancel, Box::pin(Classes::of(job.repository, job.backup, stream)));
    let is_plan = matches!(target, RestoreTarget::Plan);
    let mut classes = look().await?;
    if let Some(how) = thaw {
        let store = &**job.repository.store();
        let thawing = Thawing { store, how, progress: job.progress, cancel: job.cancel };
        let needed = classes.to_thaw(store, None).await?;
        if !needed.is_empty() {
            interruptible(job.cancel, Box::pin(check(job, target, is_whole))).await?;
            thawing.request(&needed).await?;
            if !is_plan {
                thawing.wait(needed).await?;
            }
            classes = look().await?;
        }
    }
    if !is_plan {
        interruptible(job.cancel, classes.refuse(&**job.repository.store())).await?;
    }
    Ok(classes)
}

/// Refuses what would be refused after hours of waiting, as far as that can be told before the dump can be read.
async fn check(job: &Job<'_>, target: &RestoreTarget, is_whole: bool) -> Result<()> {
    match target {
        RestoreTarget::Plan | RestoreTarget::Writer { .. } => Ok(()),
        RestoreTarget::File { path, .. } => Staged::beside(path).map(drop),
        RestoreTarget::Database(target) => place(target, &recorded(job).await?, is_whole).await.map(drop),
    }
}

/// What is told of it.
pub(super) fn outcome(job: &Job<'_>, classes: &Classes) -> Outcome {
    let clear = job.backup.clear();
    let mut outcome = job.outcome(String::new(), 0);
    outcome.plan = Some(Plan {
        plain_bytes: clear.plain_bytes(),
        stored_bytes: clear.stored_bytes(),
        classes: classes.counts.clone(),
        frozen: classes.parts("chunk"),
    });
    outcome.warnings.extend(classes.warning("chunks of the backup lie"));
    outcome
}
