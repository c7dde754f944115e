//! A bucket and its replicas as one: whatever one side does not give, another is asked for.
//!
//! - A side that fails says nothing about what exists. Such failures are counted ([`Read::unheard`]), and whoever would conclude
//!   that something is absent asks [`Read::all_heard`] first (invariant I10): a replica may lag, so its silence proves nothing
//!   while another side is not heard.
//! - A version belongs to a side ([`VersionId::side`]): ids of one bucket mean nothing in another. Listings have the versions of
//!   all sides; what a manifest pins is found on each by its content.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::pinned::Pin;
use super::{
    Archive, Error, Head, ListQuery, Newest, ObjectKey, Page, PageToken, Read, Result, StoreClock, Thaw, VersionId,
};
use crate::limits::{FINDINGS_MAX, SIDE_FAILURES_MAX};
use breaker::Breaker;

mod breaker;
mod merge;
#[cfg(test)]
mod tests;

/// One bucket of several with the same objects.
pub struct Side {
    name: String,
    store: Arc<dyn Read>,
    breaker: Breaker,
}

impl Side {
    /// A side, called `name` in messages.
    pub fn new(name: impl Into<String>, store: Arc<dyn Read>) -> Self {
        Self { name: name.into(), store, breaker: Breaker::after(SIDE_FAILURES_MAX) }
    }

    /// Passed over after its first failure already: for whoever has no time to find out twice.
    #[must_use]
    pub fn once(self) -> Self {
        Self { breaker: Breaker::after(1), ..self }
    }
}

/// All sides, the preferred one first.
pub struct Sides {
    sides: Vec<Side>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    unheard: u64,
    last: Option<(usize, String, Arc<Error>)>,
    failures: BTreeMap<usize, (u64, String)>,
    altered: Vec<Altered>,
}

/// An object that one side gave with other bytes than it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// The object.
    pub key: String,
    /// The side.
    pub side: String,
    /// The difference.
    pub what: String,
}

/// A side that did not answer although it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The side.
    pub side: String,
    /// How often.
    pub times: u64,
    /// The last failure.
    pub last: String,
}

impl Sides {
    /// Several sides as one store.
    pub fn new(sides: Vec<Side>) -> Self {
        Self { sides, notes: Mutex::default() }
    }

    /// Objects that a side gave with other bytes than were recorded, and another side gave rightly.
    pub fn altered(&self) -> Vec<Altered> {
        self.noted(|notes| notes.altered.clone())
    }

    /// Sides that did not answer.
    pub fn failing(&self) -> Vec<Failing> {
        let tell = |(side, (times, last)): (&usize, &(u64, String))| {
            let side = self.sides.get(*side).map(|side| side.name.clone()).unwrap_or_default();
            Failing { side, times: *times, last: last.clone() }
        };
        self.noted(|notes| notes.failures.iter().map(tell).collect())
    }

    fn count(&self) -> usize {
        self.sides.len()
    }

    fn noted<T>(&self, work: impl FnOnce(&mut Notes) -> T) -> T {
        work(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks one side, unless it rests. What is not about the object is the side's failure.
    async fn ask<T>(&self, at: usize, target: &str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let side = self.sides.get(at).ok_or_else(|| Error::Setup(format!("there is no side {at} of {target}")))?;
        if let Some(last) = side.breaker.refusal() {
            let source = format!("it is passed over for a while after: {last}").into();
            let error = Error::Unreachable { endpoint: side.name.clone(), source };
            return Err(self.unheard_from(at, target, error));
        }
        match call.await {
            Err(error) if !error.is_about_the_object() => {
                side.breaker.failed(&crate::observe::chain(&error));
                Err(self.unheard_from(at, target, error))
            }
            answer => {
                side.breaker.answered();
                answer
            }
        }
    }

    /// Notes that a side did not say what it has.
    fn unheard_from(&self, at: usize, target: &str, error: Error) -> Error {
        let (side, words) = (self.sides[at].name.clone(), crate::observe::chain(&error));
        tracing::debug!(side, target, error = words, "a side does not answer");
        let source = Arc::new(error);
        self.noted(|notes| {
            notes.unheard += 1;
            notes.last = Some((at, target.to_owned(), source.clone()));
            let failed = notes.failures.entry(at).or_default();
            *failed = (failed.0 + 1, words);
        });
        Error::Unheard { side, target: target.to_owned(), source }
    }

    /// One page of one side. Here a refusal is a failure as well: what the side has is not known.
    async fn list_side(&self, at: usize, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
        let target = format!("listing of {}", query.prefix);
        let listing = self.sides[at].store.list_page(query, token);
        match self.ask(at, &target, listing).await {
            Err(error @ Error::Unheard { .. }) => Err(error),
            Err(error) => Err(self.unheard_from(at, &target, error)),
            page => page,
        }
    }

    fn note_altered(&self, key: &ObjectKey, at: usize, what: &str) {
        let (key, side, what) = (key.to_string(), self.sides[at].name.clone(), what.to_owned());
        tracing::warn!(key, side, what, "another side is asked");
        self.noted(|notes| {
            let altered = Altered { key, side, what };
            if notes.altered.len() < FINDINGS_MAX && !notes.altered.contains(&altered) {
                notes.altered.push(altered);
            }
        });
    }
}

#[async_trait]
impl Read for Sides {
    async fn get(&self, key: &ObjectKey, version: &VersionId, range: Range<u64>) -> Result<Bytes> {
        let at = version.side();
        let Some(side) = self.sides.get(at) else { return Err(foreign(key, version)) };
        let version = version.clone().on_side(0);
        self.ask(at, key.as_str(), side.store.get(key, &version, range)).await
    }

    async fn pinned(&self, key: &ObjectKey, pin: &Pin) -> Result<Bytes> {
        let mut worst: Option<Error> = None;
        for (at, side) in self.sides.iter().enumerate() {
            let error = match self.ask(at, key.as_str(), side.store.pinned(key, pin)).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            if let Error::Corrupt { what, .. } = &error {
                self.note_altered(key, at, what);
            }
            worst = Some(match worst {
                Some(before) if weight(&before) >= weight(&error) => before,
                _ => error,
            });
        }
        Err(worst.unwrap_or_else(|| foreign(key, &pin.version)))
    }

    async fn newest(&self, key: &ObjectKey, most: u64) -> Result<Option<Newest>> {
        let (mut heard, mut first_error) = (false, None);
        for (at, side) in self.sides.iter().enumerate() {
            match self.ask(at, key.as_str(), side.store.newest(key, most)).await {
                Ok(Some(newest)) => {
                    let version = newest.version.on_side(u8::try_from(at).unwrap_or(u8::MAX));
                    return Ok(Some(Newest { version, ..newest }));
                }
                Ok(None) => heard = true,
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if !heard => Err(error),
            _ => Ok(None),
        }
    }

    async fn head(&self, key: &ObjectKey, version: &VersionId) -> Result<Head> {
        let at = version.side();
        let Some(side) = self.sides.get(at) else { return Err(foreign(key, version)) };
        let version = version.clone().on_side(0);
        self.ask(at, key.as_str(), side.store.head(key, &version)).await
    }

    async fn thaw(&self, key: &ObjectKey, version: &VersionId, archive: Archive, thaw: Thaw) -> Result<()> {
        let at = version.side();
        let Some(side) = self.sides.get(at) else { return Err(foreign(key, version)) };
        let version = version.clone().on_side(0);
        self.ask(at, key.as_str(), side.store.thaw(key, &version, archive, thaw)).await
    }

    async fn list_page(&self, query: &ListQuery, token: Option<&PageToken>) -> Result<Page> {
        merge::page(self, query, token).await
    }

    fn clock(&self) -> &StoreClock {
        self.sides[0].store.clock()
    }

    fn unheard(&self) -> u64 {
        self.noted(|notes| notes.unheard)
    }

    fn all_heard(&self, since: u64) -> Result<()> {
        let last = self.noted(|notes| notes.last.clone().filter(|_| notes.unheard > since));
        let Some((at, target, source)) = last else { return Ok(()) };
        Err(Error::Unheard { side: self.sides[at].name.clone(), target, source })
    }
}

/// Of what several sides answer, the failure that leaves most open: one that did not answer may have the object, one with other
/// bytes had it once.
fn weight(error: &Error) -> u8 {
    match error {
        Error::NotFound { .. } => 0,
        Error::Corrupt { .. } => 1,
        Error::Unheard { .. } => 3,
        _ => 2,
    }
}

fn foreign(key: &ObjectKey, version: &VersionId) -> Error {
    Error::NotFound { key: key.clone(), version: Some(version.clone()) }
}
