//! WAL again under a fresh data key: every whole piece and every history file that is not wrapped to the recipients that count now,
//! as a later version under its own name, where every reader finds it.
//!
//! Partials are not copied: whole pieces take their place, and what no piece holds yet, a restarted streamer stores again.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Job;
use crate::catalog::{self, Finding, Repository, TimelineCoverage, outlive, outlive_wal};
use crate::commands::Error;
use crate::commands::Result;
use crate::commands::retention::firsts::Firsts;
use crate::commands::wal::begin_run;
use crate::format::names::WalName;
use crate::format::wal::{WalHead, WalRange};
use crate::format::{ClusterName, Codec, KeyId, Timeline};
use crate::limits::{FINDINGS_MAX, HEADS, MEMORY_BUDGET_DEFAULT, WAL_KEYS_MAX, WAL_PIECE_BYTES_MAX};
use crate::observe::{Phase, chain};
use crate::pipeline::{Encoding, WalRun, wal_suffix};
use crate::store::{Entry, Read as _};

mod copy;

/// Pieces under way at once: each holds its content, its frames, its object twice while it is signed, and what is read back.
const AT_ONCE: usize = 2;
const _: () = assert!(AT_ONCE * 5 * WAL_PIECE_BYTES_MAX <= MEMORY_BUDGET_DEFAULT);
/// Copies that are read at once, while no piece is under way.
const READ_AT_ONCE: usize = AT_ONCE * 5;

/// What was copied of the WAL.
#[derive(Debug, Default, Serialize)]
pub struct WalCopies {
    /// Objects copied.
    pub copied: u64,
    /// Objects that the recipients that count now are the only ones to open.
    pub already: u64,
    /// Plain bytes of what was copied.
    pub plain_bytes: u64,
    /// Bytes stored for the copies.
    pub stored_bytes: u64,
    /// Partials that former recipients open and that no whole piece holds: they are not copied.
    pub partials: u64,
    /// What could not be copied; the first ones.
    pub left: Vec<Left>,
    /// How much that is.
    pub left_count: u64,
}

/// An object that could not be copied.
#[derive(Debug, Serialize)]
pub struct Left {
    /// Its key.
    pub key: String,
    /// Why.
    pub why: String,
    /// Whether it is damaged, or not to be believed.
    pub damaged: bool,
}

/// One version that counts, or of which there is a copy.
struct Found {
    name: WalName,
    entry: Entry,
    head: catalog::Result<WalHead>,
    /// When it was made, if it is a copy.
    made_at: Option<Timestamp>,
}

/// The versions of one name, under that and under alternate ones.
struct Named {
    name: WalName,
    /// Whether one is under a key that was wrapped for the recipients that count now.
    current: bool,
    /// The one to copy.
    genuine: Option<Entry>,
    /// When the copy that counts was made, whole or not.
    made_at: Option<Timestamp>,
    left: Option<Left>,
}

/// What is to be copied.
struct Todo {
    entry: Entry,
    /// When the copy was made of which the next one takes the place.
    last: Option<Timestamp>,
}

/// Copies all that is to be copied. Beside it, what was missing of what WAL stands on.
pub(super) async fn copy_all(job: &Job<'_>) -> Result<(WalCopies, Vec<String>)> {
    let catalog = job.repository.wal(job.cluster).await?;
    let Some(record) = &catalog.record else {
        if catalog.timelines.is_empty() {
            return Ok((WalCopies::default(), Vec::new()));
        }
        let why = format!("the record of cluster {} is gone: `stonewal wal verify` tells what is there", job.cluster);
        return Err(Error::Usage(why));
    };
    job.progress.set_phase(Phase::Streaming);
    let encoding = Encoding { codec: Codec::Zstd, level: Codec::Zstd.default_level() };
    let now = job.connected.store.clock().now();
    let run = begin_run(job.repository, job.cluster, record.system_identifier, encoding, now)?;
    let (wrapped, outcome, gone) = (HashMap::new(), WalCopies::default(), Vec::new());
    let mut work = Work { job, run, wrapped, outcome, gone };
    for coverage in catalog.timelines.values() {
        work.timeline(coverage).await?;
    }
    Ok((work.outcome, work.gone))
}

struct Work<'a> {
    job: &'a Job<'a>,
    run: WalRun,
    /// Of every data key met: whether it was wrapped for the recipients that count now.
    wrapped: HashMap<KeyId, bool>,
    outcome: WalCopies,
    gone: Vec<String>,
}

impl Work<'_> {
    /// One timeline, by position.
    async fn timeline(&mut self, coverage: &TimelineCoverage) -> Result<()> {
        let (repository, cluster) = (self.job.repository, self.job.cluster);
        let prefix = repository.names().wal_timeline(cluster, coverage.timeline);
        // Of what was copied the original as well: the copy may have been damaged since.
        let mut firsts = Firsts::genuine(repository, &prefix).and_replaced(true);
        let (mut grounded, mut open) = (false, None::<Named>);
        loop {
            let entries = firsts.next().await?;
            let (is_last, mut complete) = (entries.is_none(), Vec::new());
            let wanted = entries.into_iter().flatten().filter_map(|entry| {
                let name = repository.names().wal_of(cluster, entry.key.as_str())?;
                is_wanted(&name, coverage).then_some((name, entry))
            });
            for found in read(repository, cluster, wanted.collect()).await? {
                if let WalName::Partial { .. } = found.name {
                    self.partial(found.head).await;
                    continue;
                }
                let name = found.name.without_tag();
                if open.as_ref().is_some_and(|open: &Named| open.name != name) {
                    complete.extend(open.take());
                }
                let fresh = Named { name, current: false, genuine: None, made_at: None, left: None };
                self.look(open.get_or_insert(fresh), found).await?;
            }
            complete.extend(open.take_if(|_| is_last));
            let todo = self.sort(complete);
            if !todo.is_empty() && !grounded {
                self.ground(coverage.timeline).await?;
                grounded = true;
            }
            self.copy_each(todo).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn partial(&mut self, head: catalog::Result<WalHead>) {
        if let Ok(head) = head
            && !self.is_current(&head).await.unwrap_or(false)
        {
            self.outcome.partials += 1;
        }
    }

    /// Takes in one version of a name.
    async fn look(&mut self, named: &mut Named, found: Found) -> Result<()> {
        let Found { name, entry, head, made_at } = found;
        // The copy that counts comes before what it took the place of, and an alternate counts where nothing else is genuine.
        let counts = made_at >= named.made_at && (name.tag().is_none() || named.genuine.is_none());
        named.made_at = named.made_at.max(made_at);
        let current = match &head {
            Ok(head) => self.is_current(head).await,
            Err(_) => Ok(false),
        };
        match (head, current) {
            (Ok(_), Ok(true)) if counts => named.current = true,
            (Ok(_), Ok(_)) => {
                named.genuine.get_or_insert(entry);
            }
            (Ok(_), Err(error @ catalog::Error::Store(_))) => return Err(error.into()),
            (Ok(_), Err(error)) => named.left = Some(Left::of(&entry, &error, false)),
            // Whatever was planted is nobody's WAL.
            (Err(error), _) if error.is_nothing_of_ours() => {}
            (Err(error), _) => {
                let damaged = !matches!(error, catalog::Error::Store(_));
                named.left = Some(Left::of(&entry, &error, damaged));
            }
        }
        Ok(())
    }

    /// Whether the key of an object was wrapped for the recipients that count now, as the name of its run tells whoever holds the key.
    async fn is_current(&mut self, head: &WalHead) -> catalog::Result<bool> {
        let header = head.header();
        if let Some(known) = self.wrapped.get(&header.key) {
            return Ok(*known);
        }
        let repository = self.job.repository;
        let key = repository.wal_key(head).await?;
        let tag = repository.with_keyring(|ring| ring.wrap_tag(&key));
        let current = header.run.random() == Some(wal_suffix(tag));
        if self.wrapped.len() >= WAL_KEYS_MAX {
            self.wrapped.clear();
        }
        self.wrapped.insert(header.key, current);
        Ok(current)
    }

    /// What is to be copied; the rest is counted.
    fn sort(&mut self, complete: Vec<Named>) -> Vec<Todo> {
        let mut todo = Vec::new();
        for Named { current, genuine, made_at, left, .. } in complete {
            match (current, genuine, left) {
                (true, ..) => self.outcome.already += 1,
                (false, Some(entry), _) => todo.push(Todo { entry, last: made_at }),
                (false, None, Some(left)) => self.leave(left),
                (false, None, None) => {}
            }
        }
        todo
    }

    fn leave(&mut self, left: Left) {
        self.outcome.left_count += 1;
        // Damage is told however much else there is.
        let is_news = left.damaged && self.outcome.left.iter().all(|known| !known.damaged);
        if self.outcome.left.len() < FINDINGS_MAX || is_news {
            self.outcome.left.push(left);
        }
    }

    /// What the copies stand on stays locked for as long as they do (invariant I11).
    async fn ground(&mut self, timeline: Timeline) -> Result<()> {
        let (connected, repository) = (self.job.connected, self.job.repository);
        let Some(lock) = connected.lock()? else { return Ok(()) };
        let (store, most) = (&*connected.store, connected.lock_max());
        let mut gone = outlive(store, repository, lock, most).await?;
        let timelines = BTreeSet::from([timeline]);
        gone.extend(outlive_wal(store, repository, self.job.cluster, &timelines, (lock, most)).await?);
        self.gone.extend(gone.iter().map(Finding::to_string));
        Ok(())
    }

    async fn copy_each(&mut self, todo: Vec<Todo>) -> Result<()> {
        for copied in self.copies(todo).await? {
            match copied {
                Ok(copy::Done { plain_bytes, stored_bytes }) => {
                    self.outcome.copied += 1;
                    self.outcome.plain_bytes += plain_bytes;
                    self.outcome.stored_bytes += stored_bytes;
                }
                Err(left) => self.leave(left),
            }
        }
        Ok(())
    }

    async fn copies(&self, todo: Vec<Todo>) -> Result<Vec<std::result::Result<copy::Done, Left>>> {
        let (job, run) = (self.job, &self.run);
        let copies = stream::iter(todo).map(|todo| async move {
            let copied = copy::one(job, run, todo).await?;
            if let Ok(copy::Done { plain_bytes, stored_bytes }) = &copied {
                job.progress.add_plain_bytes(*plain_bytes);
                job.progress.add_chunk(*stored_bytes);
            }
            Ok::<_, Error>(copied)
        });
        copies.buffered(AT_ONCE).try_collect().await
    }
}

impl Left {
    fn of(entry: &Entry, error: &(dyn std::error::Error + 'static), damaged: bool) -> Self {
        Self { key: entry.key.to_string(), why: chain(error), damaged }
    }
}

/// What versions say of themselves. A copy that is not whole says nothing: it is to be made again.
async fn read(
    repository: &Repository,
    cluster: &ClusterName,
    versions: Vec<(WalName, Entry)>,
) -> catalog::Result<Vec<Found>> {
    let heads = stream::iter(versions).map(|(name, entry)| async move {
        let head = unless_silent(repository.wal_version_head(cluster, &entry).await)?;
        Ok::<_, catalog::Error>((name, entry, head))
    });
    let heads: Vec<_> = heads.buffered(HEADS).try_collect().await?;
    let found = stream::iter(heads).map(|(name, entry, mut head)| async move {
        let copy_of = head.as_ref().ok().and_then(|head| head.header().copy_of);
        if copy_of.is_some() {
            let whole = repository.wal_version(cluster, &entry).await;
            head = unless_silent(whole.map(|whole| whole.head))?;
        }
        Ok(Found { name, entry, head, made_at: copy_of.map(|copy| copy.made_at) })
    });
    found.buffered(READ_AT_ONCE).try_collect().await
}

/// Of copies the one made last counts, also where the clock went back since.
fn made_after(last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let next = last.and_then(|last| last.checked_add(SignedDuration::from_millis(1)).ok());
    next.map_or(now, |next| now.max(next))
}

/// What is wrong with an object is told of it; that the store does not answer ends the run.
fn unless_silent<T>(read: catalog::Result<T>) -> catalog::Result<catalog::Result<T>> {
    match read {
        Err(catalog::Error::Store(error)) if !error.is_about_the_object() => Err(error.into()),
        read => Ok(read),
    }
}

/// Pieces and files; of partials those that no listed piece holds.
fn is_wanted(name: &WalName, coverage: &TimelineCoverage) -> bool {
    let holds = |whole: &WalRange, range: &WalRange| whole.start <= range.start && range.end <= whole.end;
    match name {
        WalName::Piece { .. } | WalName::File { .. } => true,
        WalName::Partial { range, .. } => !coverage.pieces.iter().any(|whole| holds(whole, range)),
        WalName::Gap { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b05_a_copy_is_made_after_the_one_that_counts() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        for (last, now, made) in [(None, 5, 5), (Some(4), 9, 9), (Some(9), 9, 10), (Some(9), 5, 10)] {
            assert_eq!(made_after(last.map(at), at(now)), at(made), "{last:?} {now}");
        }
    }
}
