//! Asking archive tiers for what a restore needs, and waiting until it can be read. Nothing is remembered here: whoever is interrupted
//! asks again, and what was asked for already is found to be under way or readable.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
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
    /// Whether nothing is known to be frozen, or seems to.
    pub(in crate::commands) fn is_readable(&self) -> bool {
        self.unready.is_empty() && self.beyond.is_empty()
    }

    /// What must be thawed, or what of it came until then, if anything did.
    pub(in crate::commands) async fn to_thaw(
        &self,
        store: &dyn Read,
        until: Option<Timestamp>,
    ) -> Result<Vec<Unready>> {
        let mut all = self.unready.clone();
        all.extend(super::unready(store, &self.beyond).await?);
        soonest(all, self.doubtful.cut, until)
    }
}

/// Of those which came until then, where any did; else all. What came since the `cut` is not among them.
fn soonest(all: Vec<Unready>, cut: Option<Timestamp>, until: Option<Timestamp>) -> Result<Vec<Unready>> {
    if let Some(until) = until.filter(|until| cut.is_none_or(|cut| *until < cut)) {
        let first: Vec<Unready> = all.iter().filter(|one| one.arrived <= until).cloned().collect();
        if !first.is_empty() {
            return Ok(first);
        }
    }
    // Beyond what came until then nothing is asked for, unless none of it is there.
    if cut.is_some_and(|cut| until.is_none_or(|until| until >= cut)) {
        return Err(Error::Usage(format!(
            "more than {FROZEN_MAX} objects that may lie in archive tiers are needed: restore from a newer base, or to an earlier moment"
        )));
    }
    Ok(all)
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
            // Thawed or gone in between. If not, the wait will tell.
            Ok(()) | Err(store::Error::Frozen { .. } | store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Until all of it can be read.
    pub(in crate::commands) async fn wait(&self, unready: Vec<Unready>) -> Result<()> {
        let total = unready.len();
        self.progress.set_phase(Phase::Thawing);
        let (mut left, mut pause, mut repeats) = (requested(unready), THAW_PAUSE_SECONDS.0, 0);
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
                left = requested(left);
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

    /// What is gone is not waited for: whoever planted it may have removed it. What its absence means is for the next plan to say.
    async fn look_at(&self, one: Unready) -> Result<Option<Unready>> {
        match self.store.head(&one.at.key, &one.at.version).await.map(|head| head.readiness) {
            Ok(Readiness::Ready) | Err(store::Error::NotFound { .. }) => Ok(None),
            Ok(Readiness::Thawing(archive)) => Ok(Some(Unready { archive, is_requested: true, ..one })),
            Ok(Readiness::Frozen(archive)) => Ok(Some(Unready { archive, is_requested: false, ..one })),
            // An outage ends before an archive does.
            Err(error) if !error.is_permanent() => Ok(Some(Unready { is_requested: true, ..one })),
            Err(error) => Err(error.into()),
        }
    }
}

/// All of it counts as asked for until a look finds it as frozen as before: not all of it is looked at each time.
fn requested(unready: Vec<Unready>) -> Vec<Unready> {
    unready.into_iter().map(|one| Unready { is_requested: true, ..one }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::ops::Range;
    use std::sync::Mutex;

    use bytes::Bytes;
    use tokio::time::Instant;

    use super::super::doubts::Doubtful;
    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{
        Archive, Head, ListQuery, Newest, ObjectKey, Page, PageToken, Retrieval, StoreClock, VersionId, VersionOf,
    };

    const DELAY: Duration = Duration::from_hours(4);

    /// An archive: when what was asked for, and how often, by key.
    struct Slow {
        inner: Memory,
        asked: Mutex<HashMap<String, (Instant, u32)>>,
    }

    #[async_trait::async_trait]
    impl Read for Slow {
        /// Only the one called `frozen` is refused for where it lies.
        async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> store::Result<Bytes> {
            if key.as_str() == "frozen" {
                return Err(store::Error::Frozen { target: key.to_string(), code: String::new() });
            }
            self.inner.get(key, version, range).await
        }

        async fn newest(&self, key: &ObjectKey, most: u64) -> store::Result<Option<Newest>> {
            self.inner.newest(key, most).await
        }

        /// The one called `lost` is not given back before it was asked for twice; the one called `gone` was removed.
        async fn head(&self, key: &ObjectKey, version: &VersionId) -> store::Result<Head> {
            if key.as_str() == "gone" {
                return Err(store::Error::NotFound { key: key.clone(), version: Some(version.clone()) });
            }
            let asked = self.asked.lock().unwrap().get(key.as_str()).copied();
            let readiness = match asked.filter(|(_, times)| *times > 1 || key.as_str() != "lost") {
                None => Readiness::Frozen(Archive::Glacier),
                Some((at, _)) if at.elapsed() < DELAY => Readiness::Thawing(Archive::Glacier),
                Some(_) => Readiness::Ready,
            };
            Ok(Head { bytes: 1, last_modified: self.clock().now(), lock: None, held: false, readiness })
        }

        async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> store::Result<Page> {
            self.inner.list_page(query, token).await
        }

        async fn thaw(&self, key: &ObjectKey, version: &VersionId, _: Archive, _: Thaw) -> store::Result<()> {
            if key.as_str() == "gone" {
                return Err(store::Error::NotFound { key: key.clone(), version: Some(version.clone()) });
            }
            let mut asked = self.asked.lock().unwrap();
            asked.entry(key.to_string()).or_insert((Instant::now(), 0)).1 += 1;
            Ok(())
        }

        fn clock(&self) -> &StoreClock {
            self.inner.clock()
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn unready(name: &str, arrived: Timestamp) -> Unready {
        let at = VersionOf { key: ObjectKey::new(name), version: VersionId::null() };
        Unready { at, arrived, archive: Archive::Glacier, is_requested: false }
    }

    /// PAINS B14: recovery to a moment long ago does not thaw everything since, and what was planted since does not prevent it.
    #[test]
    fn b14_what_came_soon_is_thawed_first() {
        let days = ["2026-01-01T00:00:00Z", "2026-01-02T11:00:00Z", "2026-01-03T00:00:00Z"];
        let all = || days.map(|day| unready(day, at(day))).to_vec();
        let chosen = |cut: Option<&str>, until: Option<&str>| soonest(all(), cut.map(at), until.map(at));
        let (soon, planted) = (Some("2026-01-02T12:00:00Z"), Some("2026-02-01T00:00:00Z"));
        assert_eq!(chosen(None, soon).unwrap().len(), 2);
        assert_eq!(chosen(planted, soon).unwrap().len(), 2);
        assert_eq!(chosen(None, Some("2025-01-01T12:00:00Z")).unwrap().len(), 3, "a copy arrives later");
        assert_eq!(chosen(None, None).unwrap().len(), 3);
        assert_eq!(
            chosen(planted, Some("2025-01-01T12:00:00Z")).unwrap().len(),
            3,
            "what came first was thawed before"
        );
        for (cut, until) in [(planted, None), (planted, planted), (soon, soon), (planted, Some(days[0]))] {
            let known = cut == planted && until == Some(days[0]);
            assert_eq!(chosen(cut, until).is_ok(), known, "{cut:?} {until:?}");
        }
    }

    /// PAINS B14: what was thawed or removed since the plan does not hide what is still frozen.
    #[tokio::test]
    async fn b14_any_that_is_frozen_is_refused() {
        let store = Slow { inner: Memory::default(), asked: Mutex::default() };
        let (mut classes, arrived) = (Classes::default(), at("2026-01-01T00:00:00Z"));
        classes.unready.extend((0..2 * HEADS).map(|nth| unready(&nth.to_string(), arrived)));
        classes.refuse(&store).await.unwrap();
        classes.unready.push(unready("frozen", arrived));
        let refused = classes.refuse(&store).await;
        assert!(matches!(refused, Err(Error::Store(store::Error::Frozen { .. }))), "{refused:?}");
    }

    /// PAINS B14: where too much seems to lie ready as well, a restore is not refused for it, and a thaw takes it in.
    #[tokio::test]
    async fn b14_what_was_not_looked_into_is_thawed_with_the_rest() {
        let store = Slow { inner: Memory::default(), asked: Mutex::default() };
        let (mut classes, arrived) = (Classes::default(), at("2026-01-01T00:00:00Z"));
        assert!(classes.is_readable());
        let frozen = unready("beyond", arrived).at;
        classes.beyond.push(Doubtful { at: frozen.clone(), arrived }, 1);
        assert!(classes.unready.is_empty() && !classes.is_readable());
        let asked = classes.to_thaw(&store, None).await.unwrap();
        assert_eq!(asked.iter().map(|one| &one.at).collect::<Vec<_>>(), [&frozen]);
    }

    /// PAINS B14: more than is looked at together, one request that was lost, and one object that was removed meanwhile.
    #[tokio::test(start_paused = true)]
    async fn b14_much_is_asked_for_once_and_waited_for_as_long_as_it_takes() {
        let store = Slow { inner: Memory::default(), asked: Mutex::default() };
        let how = Thaw { days: 7, retrieval: Retrieval::Standard };
        let (progress, cancel) = (Progress::new(), CancellationToken::new());
        let thawing = Thawing { store: &store, how, progress: &progress, cancel: &cancel };
        let names = (0..3 * HEADS).map(|nth| nth.to_string()).chain(["lost".into(), "gone".into()]);
        let unready: Vec<Unready> = names.map(|name| unready(&name, store.clock().now())).collect();
        let begun = Instant::now();
        thawing.request(&unready).await.unwrap();
        thawing.wait(unready).await.unwrap();
        assert!(begun.elapsed() >= DELAY);
        let asked = store.asked.lock().unwrap();
        let times = |name: &str| asked.get(name).map(|(_, times)| *times);
        assert_eq!((times("lost"), times("gone")), (Some(2), None));
        assert!((0..3 * HEADS).all(|nth| times(&nth.to_string()) == Some(1)), "{asked:?}");
    }
}
