//! `stonewal replica verify`: is the replica what the repository is, and how far behind?

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use ring::digest;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::class::{Class, class_of};
use super::copying::is_other;
use super::pace::Room;
use super::pairs::{Pair, Pairs};
use super::pinned::Pinned;
use super::{Ends, Identity, OBJECT_BYTES_MAX};
use crate::catalog::{self, Access, Finding, FindingKind, Repository};
use crate::commands::{RepositoryOptions, Result};
use crate::format::Digest;
use crate::limits::{FINDINGS_MAX, HEADS};
use crate::observe::Progress;
use crate::store::{Entry, Lock, Read as _, S3};

/// Objects that are looked at before what was found is noted.
const BATCH: usize = 512;

/// What to compare.
#[derive(Debug)]
pub struct Options {
    /// The repository, its replicas among them.
    pub repository: RepositoryOptions,
    /// The replica.
    pub replica: String,
    /// Keys of any kind: with them, only genuine manifests say what reading both sides must come to.
    pub access: Option<Access>,
    /// Whether to read both sides.
    pub deep: bool,
    /// So long may something be missing; `None` = as the configuration says.
    pub max_lag: Option<Duration>,
    /// At most so many bytes in memory.
    pub memory_bytes: usize,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The replica.
    pub replica: String,
    /// Its bucket and prefix.
    pub location: String,
    /// Whose record it holds.
    pub identity: Identity,
    /// Whether both sides were read.
    pub deep: bool,
    /// Objects that are there as here.
    pub present: u64,
    /// Their bytes.
    pub present_bytes: u64,
    /// Objects that are not there yet.
    pub missing: u64,
    /// Their bytes.
    pub missing_bytes: u64,
    /// Objects of which the listings do not tell whether they are equal.
    pub unproven: u64,
    /// Objects that are something else there.
    pub different: u64,
    /// Objects whose bytes here are not those that the genuine manifest names, whatever they are there.
    pub rotten: u64,
    /// Objects locked for less time than here, or less strictly.
    pub locks_short: u64,
    /// Objects under a legal hold here and not there.
    pub holds_missing: u64,
    /// Objects that lie there alone.
    pub strays: u64,
    /// When the newest object arrived here (store time).
    pub newest_here: Option<Timestamp>,
    /// When the newest object that is there as well arrived here.
    pub newest_there: Option<Timestamp>,
    /// For how long the object that is missing for longest has been here; seconds.
    pub lag_seconds: u64,
    /// Whether that is longer than allowed.
    pub behind: bool,
    /// What is wrong, as far as it fits.
    pub findings: Vec<Finding>,
}

/// Compares. Differences are results; an error means that we could not look, or that it is the replica of another repository.
pub async fn run(options: Options, progress: &Progress) -> Result<Outcome> {
    let ends = Ends::of(&options.repository, &options.replica).await?;
    let max_lag = options.max_lag.unwrap_or(ends.max_lag);
    let identity = ends.check_identity().await?;
    let now = ends.here.clock().now();
    // What manifests say is compared with what was read of chunks. Their signatures prove themselves: any keys will do.
    let genuine = match options.access.filter(|_| options.deep) {
        Some(access) => Some(ends.open(access).await?),
        None => None,
    };
    let (replica, location) = (ends.name.clone(), ends.location.clone());
    let mut look = Look {
        room: Room::new(options.memory_bytes),
        now,
        oldest_missing: None,
        progress,
        outcome: Outcome {
            replica,
            location,
            identity,
            deep: options.deep,
            present: 0,
            present_bytes: 0,
            missing: 0,
            missing_bytes: 0,
            unproven: 0,
            different: 0,
            rotten: 0,
            locks_short: 0,
            holds_missing: 0,
            strays: 0,
            newest_here: None,
            newest_there: None,
            lag_seconds: 0,
            behind: false,
            findings: Vec::new(),
        },
        ends: &ends,
        genuine: genuine.as_ref(),
    };
    look.all().await?;
    let mut outcome = look.outcome;
    let waits = look.oldest_missing.map_or(0, |since| since.duration_until(now).as_secs().max(0));
    outcome.lag_seconds = u64::try_from(waits).unwrap_or(0);
    outcome.behind = outcome.missing > 0 && outcome.lag_seconds > max_lag.as_secs();
    Ok(outcome)
}

struct Look<'a> {
    ends: &'a Ends,
    genuine: Option<&'a Repository>,
    room: Room,
    now: Timestamp,
    oldest_missing: Option<Timestamp>,
    progress: &'a Progress,
    outcome: Outcome,
}

/// What is wrong with the protection of a copy.
#[derive(Default)]
struct Protection {
    lock: Option<String>,
    hold_missing: bool,
}

/// What one key is there.
enum State {
    Present(Protection),
    Missing,
    Unproven,
    Different(String),
    /// Its bytes here are not those that a manifest names, which without keys anybody may have planted: told beside how the sides
    /// compare.
    Rotten(Box<State>),
}

impl Look<'_> {
    async fn all(&mut self) -> Result<()> {
        let ends = self.ends;
        let mut pinned = Pinned::of(&*ends.here, &ends.names, self.genuine);
        let mut pairs = Pairs::of(&*ends.here, &*ends.there, &ends.names);
        let mut batch = Vec::new();
        loop {
            let pair = pairs.next().await?;
            let is_last = pair.is_none();
            if let Some(pair) = pair {
                match pair.here.first() {
                    Some(here) => {
                        let class = class_of(&ends.names, here.key.as_str());
                        let is_read = self.outcome.deep && class == Some(Class::Chunk);
                        let digests = if is_read { pinned.digests(here.key.as_str()).await? } else { Vec::new() };
                        if class.is_some() {
                            self.passed_over(&pair);
                            batch.push((pair, digests));
                        }
                    }
                    None => self.stray(&pair),
                }
            }
            if batch.len() >= BATCH || is_last {
                let pairs = std::mem::take(&mut batch);
                let looks =
                    stream::iter(pairs).map(|(pair, digests)| self.state(pair, digests)).buffer_unordered(HEADS);
                let states: Vec<Vec<(Entry, State)>> = looks.try_collect().await?;
                for (entry, state) in states.into_iter().flatten() {
                    self.note(&entry, state);
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn stray(&mut self, pair: &Pair) {
        let Some(entry) = pair.there.first() else { return };
        if class_of(&self.ends.names, entry.key.as_str()).is_some() {
            self.outcome.strays += 1;
            self.find(FindingKind::Stray, entry, "it lies in the replica alone");
        }
    }

    /// More versions of a name that everybody can guess than are compared.
    fn passed_over(&mut self, pair: &Pair) {
        let Some(first) = pair.here.first().filter(|_| pair.passed_over > 0) else { return };
        let (few, left) = (pair.here.len(), pair.passed_over);
        let detail = format!("{left} versions beside the oldest and newest {few} were not compared");
        self.outcome.unproven += 1;
        self.find(FindingKind::LaterVersion, first, &detail);
    }

    async fn state(&self, pair: Pair, digests: Vec<Digest>) -> Result<Vec<(Entry, State)>> {
        let mut states = Vec::new();
        for here in &pair.here {
            states.push((here.clone(), self.state_of(here, &pair, &digests).await?));
        }
        Ok(states)
    }

    async fn state_of(&self, here: &Entry, pair: &Pair, digests: &[Digest]) -> Result<State> {
        let copies = pair.copies(here);
        Ok(match copies.as_slice() {
            [_, ..] if self.outcome.deep => self.compare(here, copies, digests).await?,
            [_, ..] => State::Present(self.protection(here, &copies).await?),
            [] if pair.has_nothing_else() => State::Missing,
            [] => {
                let same_length = pair.same_length(here);
                match (same_length.is_empty(), self.outcome.deep) {
                    (true, _) => State::Different(format!("{} versions, none of its length", pair.versions_there)),
                    (false, false) => State::Unproven,
                    (false, true) => self.compare(here, same_length, digests).await?,
                }
            }
        })
    }

    /// Reads both sides.
    async fn compare(&self, here: &Entry, candidates: Vec<Entry>, digests: &[Digest]) -> Result<State> {
        if here.bytes > OBJECT_BYTES_MAX {
            return Ok(State::Different("longer than any object of ours".into()));
        }
        let _room = self.room.take(here.bytes).await;
        let ours = match digest_of(&self.ends.here, here).await? {
            Ok(digest) => digest,
            Err(why) => return Ok(State::Different(format!("it cannot be read here: {why}"))),
        };
        let state = self.against(here, &ours, candidates).await?;
        Ok(if is_other(digests, ours.as_ref()) { State::Rotten(Box::new(state)) } else { state })
    }

    /// What lies there, beside what these bytes here come to.
    async fn against(&self, here: &Entry, ours: &digest::Digest, candidates: Vec<Entry>) -> Result<State> {
        let (mut why, mut same) = ("its bytes are others".to_owned(), Vec::new());
        for there in candidates {
            match digest_of(&self.ends.there, &there).await? {
                Ok(theirs) if theirs.as_ref() == ours.as_ref() => same.push(there),
                Ok(_) => {}
                Err(unread) => why = unread,
            }
        }
        if same.is_empty() {
            return Ok(State::Different(why));
        }
        Ok(State::Present(self.protection(here, &same).await?))
    }

    /// What is wrong with the locks and holds there: nothing if one of the copies is protected as it should be.
    async fn protection(&self, here: &Entry, copies: &[Entry]) -> Result<Protection> {
        let mut first: Option<Protection> = None;
        for there in copies {
            let found = self.protection_of(here, there).await?;
            if found.lock.is_none() && !found.hold_missing {
                return Ok(found);
            }
            first.get_or_insert(found);
        }
        Ok(first.unwrap_or_default())
    }

    async fn protection_of(&self, here: &Entry, there: &Entry) -> Result<Protection> {
        let heads = tokio::try_join!(
            self.ends.here.head(&here.key, &here.version),
            self.ends.there.head(&there.key, &there.version)
        );
        let (ours, theirs) = match heads {
            Ok(heads) => heads,
            Err(error) if error.is_about_the_object() => {
                return Ok(Protection { lock: Some(error.to_string()), hold_missing: false });
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Protection { lock: self.shorter(ours.lock, theirs.lock), hold_missing: ours.held && !theirs.held })
    }

    /// What is wrong with a lock there.
    fn shorter(&self, ours: Option<Lock>, theirs: Option<Lock>) -> Option<String> {
        let ours = ours.filter(|lock| lock.retain_until > self.now)?;
        match theirs {
            Some(theirs) if theirs.outlasts(ours) => None,
            Some(theirs) => Some(format!(
                "it is locked in {} mode until {} there, in {} mode until {} here",
                theirs.mode, theirs.retain_until, ours.mode, ours.retain_until
            )),
            None => Some(format!("it is not locked there, and in {} mode until {} here", ours.mode, ours.retain_until)),
        }
    }

    fn note(&mut self, here: &Entry, state: State) {
        let outcome = &mut self.outcome;
        let at = Some(here.last_modified);
        outcome.newest_here = outcome.newest_here.max(at);
        match state {
            State::Present(Protection { lock, hold_missing }) => {
                outcome.present += 1;
                outcome.present_bytes += here.bytes;
                outcome.newest_there = outcome.newest_there.max(at);
                self.progress.add_chunk(here.bytes);
                if let Some(why) = lock {
                    self.outcome.locks_short += 1;
                    self.find(FindingKind::LockShort, here, &why);
                }
                if hold_missing {
                    self.outcome.holds_missing += 1;
                    self.find(FindingKind::HoldMissing, here, "it is under a legal hold here, and not there");
                }
            }
            State::Missing => {
                outcome.missing += 1;
                outcome.missing_bytes += here.bytes;
                let oldest = self.oldest_missing.unwrap_or(here.last_modified);
                self.oldest_missing = Some(oldest.min(here.last_modified));
            }
            State::Unproven => outcome.unproven += 1,
            State::Rotten(beside) => {
                outcome.rotten += u64::from(self.genuine.is_some());
                let whose = if self.genuine.is_some() { "the manifest" } else { "a manifest beside it" };
                self.find(FindingKind::Altered, here, &format!("its bytes here are not those that {whose} names"));
                self.note(here, *beside);
            }
            State::Different(why) => {
                outcome.different += 1;
                self.find(FindingKind::Altered, here, &format!("the replica has something else: {why}"));
            }
        }
    }

    fn find(&mut self, kind: FindingKind, entry: &Entry, detail: &str) {
        if self.outcome.findings.len() < FINDINGS_MAX {
            let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
            self.outcome.findings.push(Finding::new(kind, key, version, detail));
        }
    }
}

/// SHA-256 of a version, or why it cannot be read.
async fn digest_of(store: &S3, entry: &Entry) -> Result<std::result::Result<digest::Digest, String>> {
    let body = match store.get(&entry.key, &entry.version, 0..entry.bytes).await {
        Ok(body) => body,
        Err(error) if error.is_about_the_object() => return Ok(Err(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let hashed = spawn_blocking(move || digest::digest(&digest::SHA256, &body)).await;
    Ok(Ok(hashed.map_err(catalog::Error::Worker)?))
}
