//! Originals of WAL whose copies under other data keys count, and older copies: they go version by version, each only after the copy
//! was read as a whole.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Work, protection};
use crate::catalog::{self, Finding, FindingKind, Replacement};
use crate::commands::Result;
use crate::commands::retention::acting::{Scene, Target};
use crate::commands::retention::firsts::Firsts;
use crate::limits::{FINDINGS_MAX, WAL_PUSHES};
use crate::retention::{Item, Plan};
use crate::store::{self, Entry, Lock, VersionOf};

/// What is to become of what one copy took the place of.
#[derive(Default)]
struct Judged {
    /// No lock holds it, and the copy is all that it was.
    free: Vec<Entry>,
    locked: Vec<(VersionOf, Option<Lock>, bool)>,
    /// Why it stays although no lock holds it.
    doubt: Option<Finding>,
}

impl Work<'_> {
    /// Dooms them where the plan keeps that WAL. What it gives up goes in all its versions.
    pub(super) async fn replaced(&mut self) -> Result<()> {
        let scene = self.scene;
        let prefix = scene.repository.names().wal_timelines(&scene.cluster);
        let mut firsts = Firsts::genuine(&scene.repository, &prefix);
        while let Some(found) = firsts.next_replacements().await? {
            let settled: Vec<Replacement> = found
                .into_iter()
                .filter(|found| is_kept(scene, &scene.plan, &found.copy) && !self.is_new(&found.copy))
                .collect();
            let judged = stream::iter(settled).map(|found| judge(scene, found)).buffered(WAL_PUSHES);
            let judged: Vec<Judged> = judged.try_collect().await?;
            for Judged { free, locked, doubt } in judged {
                self.outcome.replaced += (free.len() + locked.len()) as u64;
                for entry in &free {
                    self.doom(entry).await?;
                }
                for (at, lock, held) in locked {
                    self.keep(&at, lock, held);
                }
                if self.outcome.findings.len() < FINDINGS_MAX {
                    self.outcome.findings.extend(doubt);
                }
            }
        }
        Ok(())
    }
}

fn is_kept(scene: &Scene, plan: &Plan, copy: &Entry) -> bool {
    let item = Item::of(scene.repository.names(), &scene.cluster, copy.key.as_str());
    plan.verdict(&item).until().is_some()
}

async fn judge(scene: &Scene, Replacement { copy, replaced }: Replacement) -> Result<Judged> {
    let mut judged = Judged::default();
    for entry in replaced {
        let at = Target::of(&entry).at;
        match protection(&scene.store, &at).await {
            Ok((None, false)) => judged.free.push(entry),
            Ok((lock, held)) => judged.locked.push((at, lock, held)),
            Err(store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !judged.free.is_empty()
        && let Some((kind, why)) = doubt(scene, &copy).await?
    {
        judged.free.clear();
        let detail = format!("its original stays: {why}");
        judged.doubt = Some(Finding::new(kind, copy.key.as_str(), Some(copy.version.as_str()), detail));
    }
    Ok(judged)
}

/// Why a copy must not be all that is left of a piece of WAL, if it must not.
async fn doubt(scene: &Scene, copy: &Entry) -> Result<Option<(FindingKind, String)>> {
    match protection(&scene.store, &Target::of(copy).at).await {
        Ok((None, false)) => {
            let why = "no lock protects the copy; `stonewal retention extend` locks it";
            return Ok(Some((FindingKind::LockShort, why.into())));
        }
        Ok(_) => {}
        Err(store::Error::NotFound { .. }) => return Ok(Some((FindingKind::Missing, "the copy is gone".into()))),
        Err(error) => return Err(error.into()),
    }
    match scene.repository.wal_version(&scene.cluster, copy).await {
        Ok(found) if found.head.header().copy_of.is_some() => Ok(None),
        Ok(_) => Ok(Some((FindingKind::ForgedWal, "it is no copy".into()))),
        Err(catalog::Error::Store(error)) if !error.is_about_the_object() => Err(catalog::Error::from(error).into()),
        Err(error) => Ok(Some((FindingKind::Opaque, crate::observe::chain(&error)))),
    }
}
