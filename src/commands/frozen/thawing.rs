//! Asking archive tiers for what a restore needs, and waiting until it can be read. Nothing is remembered here: whoever is interrupted
//! asks again, and what was asked for already is found to be under way or readable.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::told::told;
use super::{Classes, Unready};
use crate::commands::repository::interruptible;
use crate::commands::{Error, Result};
use crate::limits::{FROZEN_MAX, HEADS, THAW_PAUSE_SECONDS, THAW_REPEATS_MAX, THAWS};
use crate::observe::{Phase, Progress};
use crate::store::{self, Read, Readiness, Thaw};

/// How it is done.
pub(in crate::commands) struct Thawing<'a> {
    pub(in crate::commands) store: &'a dyn Read,
    pub(in crate::commands) how: Thaw,
    pub(in crate::commands) progress: &'a Progress,
    pub(in crate::commands) cancel: &'a CancellationToken,
}

impl Classes {
    /// What must be thawed.
    pub(in crate::commands) fn to_thaw(&self) -> Result<Vec<Unready>> {
        if self.is_cut {
            return Err(Error::Usage(format!(
                "more than {FROZEN_MAX} objects that may lie in archive tiers are needed: restore from a newer base, or to an earlier moment"
            )));
        }
        Ok(self.unready.clone())
    }
}

impl Thawing<'_> {
    /// Asks for all that was not asked for yet. Doing so again is harmless.
    pub(in crate::commands) async fn request(&self, unready: &[Unready]) -> Result<()> {
        let retrieval = self.how.retrieval;
        if let Some(one) = unready.iter().find(|one| one.archive.takes(retrieval).is_none()) {
            let archive = one.archive;
            return Err(Error::Usage(format!(
                "{retrieval} retrieval is not offered for {archive}, where some of what is needed lies: use --thaw-tier standard or bulk"
            )));
        }
        if let Some(told) = told(unready) {
            tracing::info!(objects = told, retrieval = retrieval.name(), days = self.how.days, "asking archive tiers");
        }
        let new: Vec<&Unready> = unready.iter().filter(|one| !one.is_requested).collect();
        let asked = stream::iter(new).map(|one| self.ask(one)).buffer_unordered(THAWS);
        interruptible(self.cancel, asked.try_for_each(|()| async { Ok(()) })).await
    }

    async fn ask(&self, one: &Unready) -> Result<()> {
        match self.store.thaw(&one.at.key, &one.at.version, one.archive, self.how).await {
            // Thawed in between. If not, the wait will tell.
            Ok(()) | Err(store::Error::Frozen { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Until all of it can be read.
    pub(in crate::commands) async fn wait(&self, unready: Vec<Unready>) -> Result<()> {
        let total = unready.len();
        self.progress.set_phase(Phase::Thawing);
        let (mut left, mut pause, mut repeats) = (unready, THAW_PAUSE_SECONDS.0, 0);
        loop {
            let stopped = Error::StillFrozen { left: left.len(), total };
            left = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(stopped),
                left = self.look(left) => left?,
            };
            self.progress.set_objects((total - left.len()) as u64, total as u64);
            if left.is_empty() {
                self.progress.set_phase(Phase::Preparing);
                return Ok(());
            }
            repeats = if left.iter().any(|one| !one.is_requested) { repeats + 1 } else { 0 };
            if repeats > 0 {
                self.insist(&left, repeats).await?;
            }
            tracing::info!(left = left.len(), of = total, "waiting for archive tiers");
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Error::StillFrozen { left: left.len(), total }),
                () = tokio::time::sleep(Duration::from_secs(pause)) => {}
            }
            pause = (pause * 2).min(THAW_PAUSE_SECONDS.1);
        }
    }

    /// What an archive seems not to have taken is asked for again, a few times.
    async fn insist(&self, left: &[Unready], repeats: u32) -> Result<()> {
        if repeats <= THAW_REPEATS_MAX {
            return self.request(left).await;
        }
        let Some(one) = left.iter().find(|one| !one.is_requested) else { return Ok(()) };
        let code =
            format!("it was asked for {THAW_REPEATS_MAX} times, and {} does not begin to give it back", one.archive);
        Err(store::Error::Refused { action: "s3:RestoreObject", target: one.at.key.to_string(), code }.into())
    }

    /// What is still not readable. Archives give things back about as they were asked, so that nothing more is looked at once several in a
    /// row are not there.
    async fn look(&self, left: Vec<Unready>) -> Result<Vec<Unready>> {
        let (mut still, mut rest) = (Vec::new(), left.into_iter());
        loop {
            let batch: Vec<Unready> = rest.by_ref().take(HEADS).collect();
            let count = batch.len();
            let looked = stream::iter(batch).map(|one| self.look_at(one)).buffered(HEADS);
            let unready: Vec<Option<Unready>> = looked.try_collect().await?;
            let unready: Vec<Unready> = unready.into_iter().flatten().collect();
            let is_enough = unready.len() == count;
            still.extend(unready);
            if is_enough {
                still.extend(rest);
                return Ok(still);
            }
        }
    }

    async fn look_at(&self, one: Unready) -> Result<Option<Unready>> {
        match self.store.head(&one.at.key, &one.at.version).await.map(|head| head.readiness) {
            Ok(Readiness::Ready) => Ok(None),
            Ok(Readiness::Thawing(archive)) => Ok(Some(Unready { archive, is_requested: true, ..one })),
            Ok(Readiness::Frozen(archive)) => Ok(Some(Unready { archive, is_requested: false, ..one })),
            // An outage ends before an archive does.
            Err(error) if !error.is_permanent() => Ok(Some(Unready { is_requested: true, ..one })),
            Err(error) => Err(error.into()),
        }
    }
}
