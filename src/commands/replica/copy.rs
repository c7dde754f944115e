//! `stonewal replica copy`: what the replica lacks, as it is stored here: ciphertext, names and locks.
//!
//! The order makes every interruption harmless: keys and records, then chunks, then the manifests that pin them, then WAL in the
//! order of its positions. Nothing is remembered between runs; each compares the two listings and copies what is missing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::class::{Class, class_of, folder_of};
use super::copying::{Copying, Done, Follow, Moved, What};
use super::pace::{Rate, Room};
use super::pairs::{Pair, Pairs};
use super::pinned::Pinned;
use super::{Ends, Identity, OBJECT_BYTES_MAX};
use crate::catalog::{Access, Finding, FindingKind, Repository};
use crate::commands::{Error, Immutability, RepositoryOptions, Result};
use crate::format::Digest;
use crate::limits::{FINDINGS_MAX, HEADS, WAL_OBJECT_BYTES_MAX};
use crate::observe::{Phase, Progress};
use crate::store::{Entry, Read as _};

/// So long before the copy began a manifest must have arrived to be copied by it: its chunks were there then.
const MARGIN: SignedDuration = SignedDuration::from_secs(2);

/// Objects that are looked at before what became of them is noted.
const BATCH: usize = 512;

/// What to copy where.
#[derive(Debug)]
pub struct Options {
    /// The repository, its replicas among them.
    pub repository: RepositoryOptions,
    /// The replica.
    pub replica: String,
    /// Keys of any kind: with them, only genuine manifests are copied.
    pub access: Option<Access>,
    /// At most so many bytes a second.
    pub bytes_per_second: Option<u64>,
    /// At most so many bytes in memory.
    pub memory_bytes: usize,
    /// Compliance locks may be lengthened up to this moment.
    pub acknowledged: Option<Timestamp>,
    /// Without that, no copy is locked further ahead than this in compliance mode.
    pub lock_max: Duration,
    /// Whether to only tell.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// The replica.
    pub replica: String,
    /// Its bucket and prefix.
    pub location: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Objects copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that were there already.
    pub present: u64,
    /// Locks there that were lengthened to what they are here.
    pub locks_lengthened: u64,
    /// Compliance locks left shorter than here because nobody acknowledged.
    pub locks_unacknowledged: u64,
    /// Locks and holds left as they are because the role there may not set them.
    pub refused: u64,
    /// The holds among them.
    pub holds_refused: u64,
    /// Legal holds set.
    pub holds_set: u64,
    /// Manifests that arrived while the copy was under way, and those of backups of which something cannot be read: for the next run.
    pub left: u64,
    /// Objects that lie there alone.
    pub strays: u64,
    /// What cannot be copied, or lies in the way.
    pub findings: Vec<Finding>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Copies. What cannot be read here is a finding; an error leaves a replica that restores everything whose manifest it has.
pub async fn run(options: Options, progress: &Progress) -> Result<Outcome> {
    let ends = Ends::of(&options.repository, &options.replica).await?;
    let identity = ends.check_identity().await?;
    if !matches!(options.repository.immutability, Immutability::None) {
        check_immutable(&ends).await?;
    }
    let genuine = match options.access {
        Some(access) => Some(Arc::new(ends.open(access).await?)),
        None => None,
    };
    let begun = ends.here.clock().now().checked_sub(MARGIN).unwrap_or(Timestamp::MIN);
    let copying = Copying {
        here: ends.here.clone(),
        there: ends.there.clone(),
        rate: Rate::new(options.bytes_per_second),
        acknowledged: options.acknowledged,
        lock_max: options.lock_max,
        genuine: genuine.is_some(),
        dry_run: options.dry_run,
        progress: progress.clone(),
        room: Room::new(options.memory_bytes),
        // In order, so many are fetched ahead as fit beside the one that is stored and the one that waits for it.
        ahead: (options.memory_bytes / WAL_OBJECT_BYTES_MAX).saturating_sub(2).clamp(1, HEADS),
    };
    let (replica, location) = (ends.name.clone(), ends.location.clone());
    let outcome = Outcome { replica, location, dry_run: options.dry_run, ..Outcome::default() };
    let mut run = Run { ends: &ends, copying, genuine, begun, broken: HashSet::new(), outcome };
    progress.set_phase(Phase::Streaming);
    for class in [Class::Ground, Class::Chunk, Class::Manifest, Class::Wal] {
        run.pass(class).await?;
    }
    progress.set_phase(Phase::Done);
    let mut outcome = run.outcome;
    outcome.warnings = warnings(&outcome, identity);
    Ok(outcome)
}

async fn check_immutable(ends: &Ends) -> Result<()> {
    let state = ends.there.bucket_state().await?;
    let missing = match (state.versioning, state.object_lock) {
        (false, _) => "no versioning",
        (true, false) => "no Object Lock",
        (true, true) => return Ok(()),
    };
    Err(Error::NotImmutable { bucket: ends.there.bucket().to_owned(), missing })
}

fn warnings(outcome: &Outcome, identity: Identity) -> Vec<String> {
    let mut warnings = Vec::new();
    if outcome.locks_unacknowledged > 0 {
        let count = outcome.locks_unacknowledged;
        warnings.push(format!(
            "{count} compliance locks are shorter in the replica: --acknowledge-compliance DATE lets them be lengthened"
        ));
    }
    if outcome.refused > 0 {
        let of = |count, what, action| {
            format!("{count} {what} were not carried over: the replica's credentials lack {action}")
        };
        let (holds, locks) = (outcome.holds_refused, outcome.refused - outcome.holds_refused);
        warnings.extend((locks > 0).then(|| of(locks, "locks", "s3:PutObjectRetention")));
        warnings.extend(
            (holds > 0).then(|| of(holds, "legal holds", "s3:PutObjectLegalHold, which a writer does not have")),
        );
    }
    if outcome.left > 0 {
        let count = outcome.left;
        warnings.push(format!("{count} manifests are left for the next run"));
    }
    if identity == Identity::None && outcome.copied == 0 && !outcome.dry_run {
        warnings.push("nothing was copied to an empty replica".into());
    }
    warnings
}

/// Everything that the passes share.
struct Run<'a> {
    ends: &'a Ends,
    copying: Copying,
    genuine: Option<Arc<Repository>>,
    begun: Timestamp,
    /// Folders of backups of which something was not copied; with keys, something that the genuine manifest names.
    broken: HashSet<String>,
    outcome: Outcome,
}

impl Run<'_> {
    /// Both listings once, for the objects of one class.
    async fn pass(&mut self, class: Class) -> Result<()> {
        let (ends, genuine) = (self.ends, self.genuine.clone());
        let mut pinned = Pinned::of(&*ends.here, &ends.names, genuine.as_deref());
        let mut pairs = Pairs::of(&*self.ends.here, &*self.ends.there, &self.ends.names);
        let mut batch = Vec::new();
        loop {
            let pair = pairs.next().await?;
            let is_last = pair.is_none();
            if let Some(pair) = pair {
                batch.extend(self.choose(class, pair, &mut pinned).await?);
            }
            if batch.len() >= BATCH || is_last {
                let what = std::mem::take(&mut batch);
                let beside = self.carry(class, what, &mut pinned).await?;
                self.carry(class, beside, &mut pinned).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Copies, and notes what became of each. Gives what is still to be copied beside something that does not count for a copy.
    async fn carry(&mut self, class: Class, what: Vec<What>, pinned: &mut Pinned<'_>) -> Result<Vec<What>> {
        let mut done = match class {
            Class::Wal => self.copying.in_order(what).await?,
            Class::Ground | Class::Chunk | Class::Manifest => self.copying.all(what).await?,
        };
        // One backup after the other, so that no manifest is read twice.
        done.sort_by(|a, b| a.entry.key.cmp(&b.entry.key));
        let mut beside = Vec::new();
        for one in done {
            match one.what {
                Moved::Unprotected => {
                    let digests = digests(class, &one.entry, pinned).await?;
                    beside.push(What::Copy { here: one.entry, same_length: Vec::new(), digests });
                }
                Moved::Unreadable(why) => {
                    // What anybody laid beside the chunks of a backup keeps its manifest from nothing.
                    if self.genuine.is_none() || !digests(class, &one.entry, pinned).await?.is_empty() {
                        self.broken.insert(folder_of(&self.ends.names, one.entry.key.as_str()));
                    }
                    self.find(FindingKind::Opaque, &one.entry, &why);
                }
                Moved::Copied(_) | Moved::Present => self.note(&one),
            }
        }
        Ok(beside)
    }

    /// What is to be done about a key in this pass.
    async fn choose(&mut self, class: Class, mut pair: Pair, pinned: &mut Pinned<'_>) -> Result<Vec<What>> {
        let Some(first) = pair.here.first() else {
            self.outcome.strays += u64::from(class == Class::Ground);
            return Ok(Vec::new());
        };
        if class_of(&self.ends.names, first.key.as_str()) != Some(class) {
            return Ok(Vec::new());
        }
        if pair.passed_over > 0 {
            self.search(&mut pair).await?;
        }
        let mut chosen = Vec::new();
        for here in std::mem::take(&mut pair.here) {
            chosen.extend(self.choose_one(class, here, &pair, pinned).await?);
        }
        Ok(chosen)
    }

    /// Among more versions than are copied unread ours may be one of the others. Keys tell.
    async fn search(&mut self, pair: &mut Pair) -> Result<()> {
        let Some(first) = pair.here.first() else { return Ok(()) };
        let (key, few, left) = (first.key.to_string(), pair.here.len(), pair.passed_over);
        let of = self.genuine.as_ref().zip(self.ends.names.guessable(&key));
        let found = match of {
            Some((repository, cluster)) => {
                repository.first_genuine(&cluster, key.clone(), |other| other == key).await?
            }
            None => None,
        };
        match found {
            Some(found) if pair.here.iter().all(|here| here.version != found.version) => pair.here.push(found),
            Some(_) => {}
            None => {
                let detail = format!(
                    "{left} versions beside the oldest and newest {few} were not copied: with keys, the genuine one is looked for among all"
                );
                let first = first.clone();
                self.find(FindingKind::LaterVersion, &first, &detail);
            }
        }
        Ok(())
    }

    async fn choose_one(
        &mut self,
        class: Class,
        here: Entry,
        pair: &Pair,
        pinned: &mut Pinned<'_>,
    ) -> Result<Option<What>> {
        let most = if class == Class::Wal { WAL_OBJECT_BYTES_MAX as u64 } else { OBJECT_BYTES_MAX };
        if here.bytes > most {
            self.find(FindingKind::Stray, &here, "it is longer than any object of ours, and was not copied");
            return Ok(None);
        }
        let copies = pair.copies(&here);
        if !copies.is_empty() {
            return Ok(Some(What::Follow { here, there: copies }));
        }
        if class == Class::Manifest && !self.may_copy(&here).await? {
            return Ok(None);
        }
        let (same_length, digests) = (pair.same_length(&here), digests(class, &here, pinned).await?);
        Ok(Some(What::Copy { here, same_length, digests }))
    }

    /// A manifest is copied once everything it pins is there, and if it is genuine as far as that can be told.
    async fn may_copy(&mut self, manifest: &Entry) -> Result<bool> {
        let names = &self.ends.names;
        let folder = folder_of(names, manifest.key.as_str());
        if manifest.last_modified >= self.begun || self.broken.contains(&folder) {
            self.outcome.left += 1;
            return Ok(false);
        }
        let Some(repository) = &self.genuine else { return Ok(true) };
        let cluster = folder.strip_prefix(names.prefix()).and_then(|rest| rest.split('/').next()?.parse().ok());
        let place = cluster.and_then(|cluster| Some((names.backup_of(&cluster, &folder)?, cluster)));
        let backup = match place {
            Some((id, cluster)) => repository.look(&cluster, &id).await?.0,
            None => None,
        };
        let is_it = backup.is_some_and(|backup| backup.entry.key == manifest.key);
        if !is_it {
            self.find(FindingKind::ForgedManifest, manifest, "it is not the manifest of a backup, and was not copied");
        }
        Ok(is_it)
    }

    /// Something that is there now.
    fn note(&mut self, done: &Done) {
        let outcome = &mut self.outcome;
        if let Moved::Copied(bytes) = done.what {
            outcome.copied += 1;
            outcome.copied_bytes += bytes;
        } else {
            outcome.present += 1;
        }
        match done.lock {
            Follow::Nothing => {}
            Follow::Set => outcome.locks_lengthened += 1,
            Follow::Unacknowledged => outcome.locks_unacknowledged += 1,
            Follow::Refused => outcome.refused += 1,
        }
        match done.hold {
            Follow::Set => outcome.holds_set += 1,
            Follow::Refused => {
                outcome.refused += 1;
                outcome.holds_refused += 1;
            }
            Follow::Nothing | Follow::Unacknowledged => {}
        }
        if done.beside {
            let detail = "the replica holds other bytes of the same length under its name; the copy lies beside them";
            self.find(FindingKind::LaterVersion, &done.entry, detail);
        }
        if done.altered {
            let detail = "its bytes are not those that a manifest beside it names; it was copied, since only keys tell whether that manifest is genuine";
            self.find(FindingKind::Altered, &done.entry, detail);
        }
    }

    fn find(&mut self, kind: FindingKind, entry: &Entry, detail: &str) {
        if self.outcome.findings.len() < FINDINGS_MAX {
            let (key, version) = (entry.key.as_str(), Some(entry.version.as_str()));
            self.outcome.findings.push(Finding::new(kind, key, version, detail));
        }
    }
}

/// What the bytes of an object that is copied must come to, any of these; nothing where nobody says. Costs the reading of manifests.
async fn digests(class: Class, here: &Entry, pinned: &mut Pinned<'_>) -> Result<Vec<Digest>> {
    if class == Class::Chunk { pinned.digests(here.key.as_str()).await } else { Ok(Vec::new()) }
}
