//! A store that fails on purpose, for tests: [`Faulty`] around any other store.
//!
//! # Fault model
//!
//! Each call meets at most one fault, drawn from a seeded plan in the order of the calls, so that a run of one task repeats
//! from its seed. The faults are those a caller of the traits must survive:
//!
//! - [`Fault::Before`]: the call fails and nothing happened.
//! - [`Fault::After`]: the call happened and its answer was lost. The caller cannot tell it from `Before`: a PUT repeated
//!   after it leaves two versions.
//! - [`Fault::Delay`]: the call takes longer; calls in flight overtake each other.
//! - [`Fault::Truncate`] and [`Fault::Corrupt`] (reads only): the bytes are short, or one bit is wrong, and the store
//!   reports success. A correct [`Read`] does not do this; storage below it may, and no such byte may ever be released.
//!
//! Not modelled: acknowledged objects that vanish (locks and `verify` are the answer to that) and calls that never end
//! (the deadline of the real client is).
//!
//! Nothing outside tests may name this module.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{
    Append, Creation, Error, Head, ListQuery, Lock, Newest, ObjectKey, Page, PageToken, Prune, Put, Read, Result,
    Retain, StoreClock, Stored, VersionId, VersionOf,
};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// An error, and no effect.
    Before,
    /// The effect, and an error.
    After,
    /// The effect, later.
    Delay(Duration),
    /// A read returns a shorter body. Other calls: nothing.
    Truncate,
    /// A read returns a body with one bit flipped. Other calls: nothing.
    Corrupt,
}

/// How often faults come, each in calls per thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// [`Fault::Before`].
    pub before: u32,
    /// [`Fault::After`].
    pub after: u32,
    /// [`Fault::Delay`].
    pub delay: u32,
    /// The longest delay.
    pub delay_max: Duration,
    /// [`Fault::Truncate`].
    pub truncate: u32,
    /// [`Fault::Corrupt`].
    pub corrupt: u32,
}

#[derive(Debug)]
struct Plan {
    random: fastrand::Rng,
    rates: Rates,
    script: VecDeque<Fault>,
    log: Vec<(&'static str, Fault)>,
}

impl Plan {
    fn draw(&mut self) -> Fault {
        if let Some(fault) = self.script.pop_front() {
            return fault;
        }
        let Rates { before, after, delay, delay_max, truncate, corrupt } = self.rates;
        let mut left = self.random.u32(0..1000);
        let longest = u64::try_from(delay_max.as_micros()).unwrap_or(u64::MAX);
        let length = Duration::from_micros(self.random.u64(0..=longest));
        let odds = [
            (before, Fault::Before),
            (after, Fault::After),
            (delay, Fault::Delay(length)),
            (truncate, Fault::Truncate),
            (corrupt, Fault::Corrupt),
        ];
        for (odd, fault) in odds {
            if left < odd {
                return fault;
            }
            left -= odd;
        }
        Fault::None
    }
}

/// `inner`, with faults.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    plan: Mutex<Plan>,
}

impl<S> Faulty<S> {
    /// Faults at random; the same seed and order of calls give the same faults.
    pub fn seeded(inner: S, seed: u64, rates: Rates) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { inner, plan: Mutex::new(Plan { random, rates, script: VecDeque::new(), log: Vec::new() }) }
    }

    /// Exactly these faults, one per call, then none.
    pub fn scripted(inner: S, faults: impl IntoIterator<Item = Fault>) -> Self {
        let store = Self::seeded(inner, 0, Rates::default());
        store.locked(|plan| plan.script.extend(faults));
        store
    }

    /// The store beneath.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Every call so far with the fault it met, for the message of a failed test.
    pub fn log(&self) -> Vec<(&'static str, Fault)> {
        self.locked(|plan| plan.log.clone())
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Plan) -> T) -> T {
        work(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a read gives when the storage below it is broken.
    fn spoil(&self, body: Bytes, fault: Fault) -> Bytes {
        if body.is_empty() {
            return body;
        }
        let at = self.locked(|plan| plan.random.usize(0..body.len()));
        match fault {
            Fault::Truncate => body.slice(..at),
            Fault::Corrupt => {
                let mut bytes = BytesMut::from(&body[..]);
                bytes[at] ^= 1 << (at % 8);
                bytes.freeze()
            }
            _ => body,
        }
    }

    /// One call: draws its fault, lets the effect happen or not.
    async fn meet<T>(&self, name: &'static str, effect: impl Future<Output = Result<T>>) -> Result<(T, Fault)> {
        let fault = self.locked(|plan| {
            let fault = plan.draw();
            plan.log.push((name, fault));
            fault
        });
        match fault {
            Fault::Before => return Err(injected(name)),
            Fault::Delay(length) => tokio::time::sleep(length).await,
            _ => {}
        }
        let value = effect.await?;
        if fault == Fault::After { Err(injected(name)) } else { Ok((value, fault)) }
    }
}

fn injected(name: &'static str) -> Error {
    Error::Unreachable { endpoint: "the faulty store".into(), source: format!("injected fault in {name}").into() }
}

#[async_trait]
impl<S: Read> Read for Faulty<S> {
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> Result<Bytes> {
        let (body, fault) = self.meet("get", self.inner.get(key, version, range)).await?;
        Ok(self.spoil(body, fault))
    }

    async fn newest(&self, key: &ObjectKey, most: u64) -> Result<Option<Newest>> {
        let (newest, fault) = self.meet("newest", self.inner.newest(key, most)).await?;
        Ok(newest.map(|newest| Newest { body: self.spoil(newest.body, fault), ..newest }))
    }

    async fn head(&self, key: &ObjectKey, version: &VersionId) -> Result<Head> {
        self.meet("head", self.inner.head(key, version)).await.map(|(head, _)| head)
    }

    async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
        self.meet("list_page", self.inner.list_page(query, token)).await.map(|(page, _)| page)
    }

    fn clock(&self) -> &StoreClock {
        self.inner.clock()
    }
}

#[async_trait]
impl<S: Append> Append for Faulty<S> {
    async fn put(&self, put: Put) -> Result<Stored> {
        self.meet("put", self.inner.put(put)).await.map(|(stored, _)| stored)
    }

    async fn put_new(&self, put: Put) -> Result<Creation> {
        self.meet("put_new", self.inner.put_new(put)).await.map(|(creation, _)| creation)
    }
}

#[async_trait]
impl<S: Retain> Retain for Faulty<S> {
    async fn lock_of(&self, key: &ObjectKey, version: &VersionId) -> Result<Option<Lock>> {
        self.meet("lock_of", self.inner.lock_of(key, version)).await.map(|(lock, _)| lock)
    }

    async fn set_lock(&self, key: &ObjectKey, version: &VersionId, lock: Lock) -> Result<()> {
        self.meet("set_lock", self.inner.set_lock(key, version, lock)).await.map(drop)
    }

    async fn hold_of(&self, key: &ObjectKey, version: &VersionId) -> Result<bool> {
        self.meet("hold_of", self.inner.hold_of(key, version)).await.map(|(held, _)| held)
    }

    async fn set_hold(&self, key: &ObjectKey, version: &VersionId, on: bool) -> Result<()> {
        self.meet("set_hold", self.inner.set_hold(key, version, on)).await.map(drop)
    }
}

#[async_trait]
impl<S: Prune> Prune for Faulty<S> {
    async fn delete_version(&self, key: &ObjectKey, version: &VersionId, bypass: bool) -> Result<()> {
        self.meet("delete_version", self.inner.delete_version(key, version, bypass)).await.map(drop)
    }

    async fn delete_versions(&self, doomed: &[VersionOf]) -> Result<Vec<Result<()>>> {
        self.meet("delete_versions", self.inner.delete_versions(doomed)).await.map(|(answers, _)| answers)
    }
}
