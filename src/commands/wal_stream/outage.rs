//! A bucket that takes nothing: uploads wait and the server keeps the WAL, but somebody must be told, once, and once more when it
//! is over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Event, Listener};
use crate::store::S3;

/// So long may nothing be acknowledged before it is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked at.
const GLANCE: Duration = Duration::from_secs(1);

/// What is under way, and since when nothing of it was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    bytes: u64,
    /// The last acknowledgement, or the begin of what is under way now if that was later.
    quiet_since: Option<Instant>,
    /// Since when, for what has been told.
    told: Option<Instant>,
    /// When it was over, of what has been told.
    over: Option<Instant>,
}

/// One upload.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    outage: &'a Outage,
    bytes: u64,
}

impl Outage {
    /// An upload of so many bytes of WAL begins.
    pub(super) fn upload(&self, bytes: usize) -> Upload<'_> {
        self.begin(bytes as u64, Instant::now());
        Upload { outage: self, bytes: bytes as u64 }
    }

    /// Tells, for ever.
    pub(super) async fn watch(&self, store: &S3, tell: Listener<'_>) {
        loop {
            tokio::time::sleep(GLANCE).await;
            self.look(Instant::now(), |since| store.last_failure(since)).into_iter().for_each(tell);
        }
    }

    /// What is to be told now.
    pub(super) fn look(&self, now: Instant, why: impl Fn(Instant) -> Option<String>) -> Option<Event> {
        let mut state = self.state();
        if let (Some(since), Some(over)) = (state.told, state.over) {
            (state.told, state.over) = (None, None);
            let seconds = over.duration_since(since).as_secs();
            return Some(Event::Note(format!("the bucket stores WAL again; it took {seconds} s")));
        }
        let since = state.quiet_since.filter(|since| now.duration_since(*since) >= PATIENCE)?;
        if state.told.is_some() {
            return None;
        }
        state.told = Some(since);
        let waits = format!("{} bytes of WAL wait here, the server keeps what comes after them", state.bytes);
        Some(Event::Warning(match why(since) {
            Some(why) => format!("the bucket cannot be reached ({why}): {waits}"),
            None => format!("the bucket has taken nothing for {} s: {waits}", now.duration_since(since).as_secs()),
        }))
    }

    fn begin(&self, bytes: u64, now: Instant) {
        let mut state = self.state();
        if state.under_way == 0 {
            state.quiet_since = Some(now);
        }
        state.under_way += 1;
        state.bytes += bytes;
    }

    fn acknowledge(&self, now: Instant) {
        let mut state = self.state();
        state.quiet_since = Some(now);
        if state.told.is_some() && state.over.is_none() {
            state.over = Some(now);
        }
    }

    fn end(&self, bytes: u64) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(bytes);
        if state.under_way == 0 {
            state.quiet_since = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload<'_> {
    /// The store has it.
    pub(super) fn stored(self) {
        self.outage.acknowledge(Instant::now());
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.outage.end(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(outage: &Outage, at: Instant) -> Option<String> {
        outage.look(at, |_| Some("refused".into())).map(|event| match event {
            Event::Note(text) => format!("note: {text}"),
            Event::Warning(text) => format!("warning: {text}"),
        })
    }

    /// PAINS C1.
    #[test]
    fn an_outage_is_told_once_and_its_end_once() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(told(&outage, at(100)), None, "nothing to store is no outage");
        outage.begin(40, at(100));
        outage.begin(2, at(105));
        assert_eq!(told(&outage, at(109)), None);
        let said = told(&outage, at(110)).unwrap();
        assert!(said.starts_with("warning: the bucket cannot be reached (refused): 42 bytes of WAL wait"), "{said}");
        assert_eq!(told(&outage, at(111)), None, "not for each try");
        outage.acknowledge(at(125));
        outage.end(40);
        assert_eq!(told(&outage, at(126)).as_deref(), Some("note: the bucket stores WAL again; it took 25 s"));
        assert_eq!(told(&outage, at(127)), None);
        // One upload after the other, each of them slow, is none.
        for round in 0..5 {
            outage.acknowledge(at(130 + 9 * round));
            assert_eq!(told(&outage, at(138 + 9 * round)), None);
        }
        outage.end(2);
        assert_eq!(told(&outage, at(1000)), None);
    }
}
