//! A plan whose backup and WAL can be read: what lies in archive tiers is asked for first.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::plan::{Attempt, Blocked, Planned, attempt};
use super::{Target, WalSource, roots, work};
use crate::catalog::Repository;
use crate::catalog::plan::{Goal, Request};
use crate::commands::frozen::{Thawing, Unready};
use crate::commands::repository::interruptible;
use crate::commands::{Error, Result};
use crate::format::ClusterName;
use crate::observe::Progress;
use crate::store::{Read, Thaw, VersionOf};

/// WAL of a moment is stored this soon after it, or later only when archiving had stopped.
const ARCHIVED_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// What is planned.
pub(super) struct Wanted<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) request: &'a Request,
    pub(super) wal: WalSource,
    /// Where to; `None`: nobody waits until all of it can be read.
    pub(super) target: Option<&'a Target>,
}

/// Plans, asks for what the plan needs and waits for it, and plans again, since what could not be read may have hidden something. Where
/// only a plan is wanted, nobody waits.
pub(super) async fn planned(
    repository: &Repository,
    wanted: &Wanted<'_>,
    how: Thaw,
    (progress, cancel): (&Progress, &CancellationToken),
) -> Result<Planned> {
    let store = &**repository.store();
    let thawing = Thawing { store, how, progress, cancel };
    let (mut asked_for, begun) = (HashSet::new(), store.clock().now());
    loop {
        let mut found = plan(repository, wanted, cancel).await?;
        let mut needed = interruptible(cancel, needed(store, &found, wanted)).await?;
        // Whoever may write could else keep it waiting for ever.
        needed.retain(|one| one.arrived <= begun);
        if needed.is_empty() {
            if let Attempt::Planned(planned) = &mut found {
                planned.wal_classes.pass_since(begun);
            }
            return found.settled();
        }
        check_lasting(&asked_for, &needed, how)?;
        if let Some(target) = wanted.target {
            interruptible(cancel, check_target(repository, &found, target)).await?;
        }
        thawing.request(&needed).await?;
        if wanted.target.is_some() {
            asked_for.extend(needed.iter().map(|one| one.at.clone()));
            thawing.wait(needed).await?;
            continue;
        }
        return match plan(repository, wanted, cancel).await? {
            Attempt::Blocked(blocked) => Err(blocked.requested()),
            found @ Attempt::Planned(_) => found.settled(),
        };
    }
}

async fn plan(repository: &Repository, wanted: &Wanted<'_>, cancel: &CancellationToken) -> Result<Attempt> {
    interruptible(cancel, Box::pin(attempt(repository, wanted.cluster, wanted.request))).await
}

/// Refuses what would be refused after hours of waiting. As long as there is no plan, that is a directory which is not free.
async fn check_target(repository: &Repository, found: &Attempt, target: &Target) -> Result<()> {
    match found {
        Attempt::Planned(planned) => work::check(repository, &planned.backup, target).await,
        Attempt::Blocked(_) if target.delta => Ok(()),
        Attempt::Blocked(_) => roots::check_free(&roots::resolve(&target.dir)?),
    }
}

/// Refuses to ask again for what this run has waited for already: that would go on for ever, and cost each time.
fn check_lasting(waited: &HashSet<VersionOf>, needed: &[Unready], how: Thaw) -> Result<()> {
    let Some(again) = needed.iter().find(|one| waited.contains(&one.at)) else { return Ok(()) };
    Err(Error::Usage(format!(
        "{} froze again before the rest was readable: give a longer --thaw-days than {}",
        again.at.key, how.days
    )))
}

/// The chunks, and the WAL if the restore has to do with it; where there is no plan, that behind the base.
async fn needed(store: &dyn Read, found: &Attempt, wanted: &Wanted<'_>) -> Result<Vec<Unready>> {
    let until = until(&wanted.request.goal);
    match found {
        Attempt::Planned(planned) => {
            let mut needed = planned.classes.to_thaw(store, None).await?;
            if wanted.wal != WalSource::None {
                needed.extend(planned.wal_classes.to_thaw(store, until).await?);
            }
            Ok(needed)
        }
        Attempt::Blocked(blocked) if blocked.classes.is_readable() => Ok(Vec::new()),
        Attempt::Blocked(blocked) => blocked.needed.to_thaw(store, until).await,
    }
}

/// Of WAL that cannot be read it is not known when it was written. For a moment, what was stored until a day later is thawed first: the
/// next plan then knows where recovery ends, and years of later WAL stay where they are.
fn until(goal: &Goal) -> Option<Timestamp> {
    let Goal::Time(time) = goal else { return None };
    time.checked_add(ARCHIVED_WITHIN).ok()
}

impl Attempt {
    /// The plan, or why there is none.
    pub(super) fn settled(self) -> Result<Planned> {
        match self {
            Self::Planned(planned) => Ok(*planned),
            Self::Blocked(blocked) => Err(blocked.error()),
        }
    }
}

impl Blocked {
    fn error(self) -> Error {
        // What is frozen in front of the base is not what is missing.
        if self.needed.unready.is_empty() {
            return self.refusal.into();
        }
        match self.classes.frozen() {
            None => self.refusal.into(),
            Some(classes) => Error::FrozenWal { why: self.refusal.to_string(), classes, is_requested: false },
        }
    }

    fn requested(self) -> Error {
        match self.needed.frozen() {
            None => self.error(),
            Some(classes) => Error::FrozenWal { why: self.refusal.to_string(), classes, is_requested: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::plan::Refusal;
    use crate::commands::frozen::Classes;
    use crate::store::{Archive, ObjectKey, Retrieval, VersionId};

    fn one(day: &str) -> Unready {
        Unready {
            at: VersionOf { key: ObjectKey::new(day), version: VersionId::null() },
            arrived: day.parse().unwrap(),
            archive: Archive::Glacier,
            is_requested: false,
        }
    }

    /// PAINS B14: what lies frozen in front of the base has nothing to do with what is missing.
    #[test]
    fn b14_only_frozen_wal_that_is_needed_is_blamed() {
        let blocked = |needed: &[Unready]| {
            let (mut classes, mut behind) = (Classes::default(), Classes::default());
            classes.unready.push(one("2026-01-01T00:00:00Z"));
            behind.unready.extend_from_slice(needed);
            Blocked { refusal: Refusal::NoBase, classes, needed: behind }.error()
        };
        assert!(!matches!(blocked(&[]), Error::FrozenWal { .. }));
        assert!(matches!(blocked(&[one("2026-01-01T00:00:00Z")]), Error::FrozenWal { .. }));
    }

    /// PAINS B14: what freezes again during the wait is not thawed over and over.
    #[test]
    fn b14_what_was_waited_for_is_not_asked_for_again() {
        let (first, second) = (one("2026-01-01T00:00:00Z"), one("2026-01-02T00:00:00Z"));
        let waited = HashSet::from([first.at.clone()]);
        let how = Thaw { days: 1, retrieval: Retrieval::Bulk };
        check_lasting(&waited, std::slice::from_ref(&second), how).unwrap();
        let refused = check_lasting(&waited, &[second, first], how).unwrap_err().to_string();
        assert!(refused.contains("2026-01-01") && refused.contains("longer --thaw-days than 1"), "{refused}");
    }
}
