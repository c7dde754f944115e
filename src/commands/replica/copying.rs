//! One object over: fetched, hashed, stored with the lock that it has here, and its hold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use ring::digest;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::pace::{Rate, Room};
use crate::catalog;
use crate::commands::Result;
use crate::format::Digest;
use crate::limits::HEADS;
use crate::observe::Progress;
use crate::store::{self, Append as _, Entry, Head, Lock, LockMode, Put, Read as _, Retain as _, S3};

/// What every object needs.
pub(super) struct Copying {
    pub(super) here: Arc<S3>,
    pub(super) there: Arc<S3>,
    pub(super) rate: Rate,
    pub(super) room: Room,
    /// Objects fetched ahead where the order counts.
    pub(super) ahead: usize,
    pub(super) acknowledged: Option<Timestamp>,
    /// No compliance lock is carried over further ahead than this unless it was acknowledged.
    pub(super) lock_max: Duration,
    /// Whether digests are those of genuine manifests. Others, which anybody may have planted, keep nothing from being copied.
    pub(super) genuine: bool,
    pub(super) dry_run: bool,
    pub(super) progress: Progress,
}

/// What is to be done.
pub(super) enum What {
    /// It is there, perhaps more than once: the lock and the hold of the one that is locked best follow those here.
    Follow { here: Entry, there: Vec<Entry> },
    /// It is not there, unless one of these of the same length is it.
    Copy {
        here: Entry,
        same_length: Vec<Entry>,
        /// What its bytes must come to, any of these; nothing where nobody says.
        digests: Vec<Digest>,
    },
}

/// What is known before anything is changed.
enum Prepared {
    Follow { here: Entry, there: Entry, held: (Head, Head) },
    Copy { here: Entry, head: Head, body: Bytes, sha256: [u8; 32], beside: bool, altered: bool },
    Known(Done),
}

/// What became of one object.
pub(super) struct Done {
    pub(super) entry: Entry,
    pub(super) what: Moved,
    pub(super) lock: Follow,
    pub(super) hold: Follow,
    /// Whether something else of its length lies there under its name.
    pub(super) beside: bool,
    /// Whether it was copied although its bytes are not those that a manifest names.
    pub(super) altered: bool,
}

/// Whether it moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Copied(u64),
    Present,
    /// What lies there does not count for a copy: it is to be copied beside that.
    Unprotected,
    Unreadable(String),
}

/// Whether a lock or a hold followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Nothing,
    Set,
    Unacknowledged,
    Refused,
}

impl Copying {
    /// All of them, many at once.
    pub(super) async fn all(&self, what: Vec<What>) -> Result<Vec<Done>> {
        let carry = |what: What| async move {
            let room = self.room.take(what.bytes()).await;
            let prepared = self.prepare(what).await?;
            // Where nothing is stored, nothing of it is held any more.
            let _room = matches!(prepared, Prepared::Copy { .. }).then_some(room);
            self.finish(prepared).await
        };
        stream::iter(what).map(carry).buffer_unordered(HEADS).try_collect().await
    }

    /// All of them, each stored only when the one before is: fetched ahead meanwhile.
    pub(super) async fn in_order(&self, what: Vec<What>) -> Result<Vec<Done>> {
        let (sender, mut receiver) = mpsc::channel(1);
        let fetch = async move {
            let mut fetched = stream::iter(what).map(|what| self.prepare(what)).buffered(self.ahead);
            while let Some(prepared) = fetched.next().await {
                if sender.send(prepared).await.is_err() {
                    break;
                }
            }
        };
        let store = async move {
            let mut done = Vec::new();
            while let Some(prepared) = receiver.recv().await {
                done.push(self.finish(prepared?).await?);
            }
            Ok(done)
        };
        tokio::join!(fetch, store).1
    }

    async fn prepare(&self, what: What) -> Result<Prepared> {
        let (here, same_length, digests) = match what {
            What::Follow { here, there } => {
                let heads = tokio::try_join!(head(&self.here, &here), self.best(there));
                return match heads {
                    Ok((ours, Some((there, theirs)))) => Ok(Prepared::Follow { here, there, held: (ours, theirs) }),
                    Ok((_, None)) => Ok(Prepared::Known(Done::new(here, Moved::Unreadable("its copy is gone".into())))),
                    Err(error) => unreadable(here, error),
                };
            }
            What::Copy { here, same_length, digests } => (here, same_length, digests),
        };
        if self.dry_run && same_length.is_empty() {
            return Ok(Prepared::Known(Done::new(here.clone(), Moved::Copied(here.bytes))));
        }
        self.rate.wait(here.bytes).await;
        let read = self.here.get(&here.key, &here.version, 0..here.bytes);
        let (head, body) = match tokio::try_join!(head(&self.here, &here), read) {
            Ok(read) => read,
            Err(error) => return unreadable(here, error),
        };
        let sha256 = sha256(&body).await?;
        let altered = is_other(&digests, &sha256);
        if altered && self.genuine {
            return Ok(Prepared::Known(Done::rotten(here)));
        }
        // Where ETags say nothing, as under KMS keys, the digest that the far side keeps does.
        let mut same = Vec::new();
        for there in &same_length {
            if self.there.sha256_of(&there.key, &there.version).await? == Some(sha256) {
                same.push(there.clone());
            }
        }
        if let Some((there, theirs)) = self.best(same).await? {
            return Ok(Prepared::Follow { here, there, held: (head, theirs) });
        }
        if self.dry_run {
            return Ok(Prepared::Known(Done::new(here.clone(), Moved::Copied(here.bytes))));
        }
        Ok(Prepared::Copy { here, head, body, sha256, beside: !same_length.is_empty(), altered })
    }

    async fn finish(&self, prepared: Prepared) -> Result<Done> {
        match prepared {
            Prepared::Known(done) => Ok(done),
            Prepared::Follow { here, there, held: (ours, theirs) } => {
                let lock = self.follow_lock(&there, self.lasting(ours.lock), theirs.lock).await?;
                // Bytes that anybody put there beforehand, unlocked, are no copy: whoever put them may remove them.
                if lock == Follow::Unacknowledged && self.lasting(theirs.lock).is_none() {
                    return Ok(Done::new(here, Moved::Unprotected));
                }
                let mut done = Done::new(here, Moved::Present);
                done.lock = lock;
                done.hold = self.follow_hold(&there, ours.held && !theirs.held).await?;
                Ok(done)
            }
            Prepared::Copy { here, head, body, sha256, beside, altered } => {
                let done = self.store(here, &head, body, sha256).await?;
                Ok(Done { beside, altered, ..done })
            }
        }
    }

    async fn store(&self, here: Entry, head: &Head, body: Bytes, sha256: [u8; 32]) -> Result<Done> {
        let (lock, follow) = self.bounded(self.lasting(head.lock));
        let stored = self.there.put_hashed(Put { key: here.key.clone(), body, lock }, sha256).await?;
        self.progress.add_chunk(here.bytes);
        let there = Entry { version: stored.version, ..here.clone() };
        let mut done = Done::new(here, Moved::Copied(there.bytes));
        done.lock = follow;
        done.hold = self.follow_hold(&there, head.held).await?;
        Ok(done)
    }

    /// Of several copies the one that is locked for longest, and most strictly.
    async fn best(&self, copies: Vec<Entry>) -> store::Result<Option<(Entry, Head)>> {
        let mut best: Option<(Entry, Head)> = None;
        for copy in copies {
            let head = head(&self.there, &copy).await?;
            let rank = |head: &Head| self.lasting(head.lock).map(|lock| (is_strict(lock), lock.retain_until));
            if best.as_ref().is_none_or(|(_, before)| rank(&head) > rank(before)) {
                best = Some((copy, head));
            }
        }
        Ok(best)
    }

    /// The lock for a copy. A compliance lock further ahead than ours ever are, which anybody may have put on something beside our
    /// objects, is shortened: in the replica too, nobody could take it back (PAINS E4).
    fn bounded(&self, lock: Option<Lock>) -> (Option<Lock>, Follow) {
        let most = SignedDuration::try_from(self.lock_max).unwrap_or(SignedDuration::MAX);
        let most = self.there.clock().now().checked_add(most).unwrap_or(Timestamp::MAX);
        let most = self.acknowledged.map_or(most, |until| most.max(until));
        match lock {
            Some(lock) if is_strict(lock) && lock.retain_until > most => {
                (Some(Lock { retain_until: most, ..lock }), Follow::Unacknowledged)
            }
            lock => (lock, Follow::Nothing),
        }
    }

    /// A lock that has not ended; a store takes no other.
    fn lasting(&self, lock: Option<Lock>) -> Option<Lock> {
        lock.filter(|lock| lock.retain_until > self.there.clock().now())
    }

    /// Lengthens a lock there to what it is here. Compliance locks only as far as that was acknowledged: nobody can take them back.
    async fn follow_lock(&self, there: &Entry, ours: Option<Lock>, theirs: Option<Lock>) -> Result<Follow> {
        let Some(ours) = ours.filter(|ours| theirs.is_none_or(|theirs| !theirs.outlasts(*ours))) else {
            return Ok(Follow::Nothing);
        };
        // What is locked more strictly there stays so.
        let mode = if theirs.is_some_and(is_strict) { LockMode::Compliance } else { ours.mode };
        let retain_until = theirs.map_or(ours.retain_until, |theirs| theirs.retain_until.max(ours.retain_until));
        let acknowledged = self.acknowledged.is_some_and(|until| retain_until <= until);
        if mode == LockMode::Compliance && !acknowledged {
            return Ok(Follow::Unacknowledged);
        }
        if self.dry_run {
            return Ok(Follow::Set);
        }
        allowed(self.there.set_lock(&there.key, &there.version, Lock { mode, retain_until }).await)
    }

    async fn follow_hold(&self, there: &Entry, wanted: bool) -> Result<Follow> {
        if !wanted {
            return Ok(Follow::Nothing);
        }
        if self.dry_run {
            return Ok(Follow::Set);
        }
        allowed(self.there.set_hold(&there.key, &there.version, true).await)
    }
}

impl What {
    /// Bytes that it will hold in memory.
    fn bytes(&self) -> u64 {
        match self {
            Self::Follow { .. } => 0,
            Self::Copy { here, .. } => here.bytes,
        }
    }
}

impl Done {
    fn new(entry: Entry, what: Moved) -> Self {
        let (lock, hold) = (Follow::Nothing, Follow::Nothing);
        Self { entry, what, lock, hold, beside: false, altered: false }
    }

    /// A copy of it would be a copy of nothing.
    fn rotten(entry: Entry) -> Self {
        let why = "its bytes are not those that its manifest names, so it was not copied";
        Self::new(entry, Moved::Unreadable(why.into()))
    }
}

/// Whether bytes are none of those that manifests name; where none names any, they are not.
pub(super) fn is_other(digests: &[Digest], sha256: &[u8]) -> bool {
    !digests.is_empty() && digests.iter().all(|digest| digest.bytes() != sha256)
}

async fn head(store: &S3, entry: &Entry) -> store::Result<Head> {
    store.head(&entry.key, &entry.version).await
}

fn is_strict(lock: Lock) -> bool {
    lock.mode == LockMode::Compliance
}

async fn sha256(body: &Bytes) -> Result<[u8; 32]> {
    let hashed = body.clone();
    let hash = spawn_blocking(move || <[u8; 32]>::try_from(digest::digest(&digest::SHA256, &hashed).as_ref()));
    Ok(hash.await.map_err(catalog::Error::Worker)?.unwrap_or_default())
}

/// One object that cannot be read is told, and the others are copied.
fn unreadable(here: Entry, error: store::Error) -> Result<Prepared> {
    if !error.is_about_the_object() {
        return Err(error.into());
    }
    Ok(Prepared::Known(Done::new(here, Moved::Unreadable(error.to_string()))))
}

/// Rights that a role lacks are counted, not fatal.
fn allowed(set: store::Result<()>) -> Result<Follow> {
    match set {
        Ok(()) => Ok(Follow::Set),
        Err(store::Error::Denied { .. }) => Ok(Follow::Refused),
        Err(error) => Err(error.into()),
    }
}
