//! A server with its timelines, a bucket, and what must hold between them.

use std::collections::BTreeMap;

use super::{PIECE, SEGMENT, byte, timeline};
use crate::format::{Lsn, Timeline};
use crate::pipeline::wal_stream::{Cut, CutKind, Leg, Stored};

/// The server that is primary now.
pub(super) struct Server {
    pub(super) path: Vec<Leg>,
    pub(super) flushed: Lsn,
    /// WAL before this is removed.
    pub(super) kept_from: Lsn,
}

impl Server {
    pub(super) fn new(flushed: u64) -> Self {
        let path = vec![Leg { timeline: timeline(1), until: None }];
        Self { path, flushed: Lsn::new(flushed), kept_from: Lsn::new(0) }
    }

    /// A standby that has replayed up to `at` becomes the primary.
    pub(super) fn fail_over(&mut self, at: Lsn) {
        // Whatever branched off later than here was never on the standby.
        let leg = self.path.last_mut().unwrap();
        let number = leg.timeline.get() + 1;
        leg.until = Some(at);
        self.path.push(Leg { timeline: timeline(number), until: None });
        self.flushed = at;
        self.kept_from = self.kept_from.min(at.floor(SEGMENT));
    }

    /// The byte at `at`, as the segment file of `timeline` holds it.
    pub(super) fn byte(&self, of: Timeline, at: Lsn) -> u8 {
        let leg = self.path.iter().find(|leg| leg.until.is_none_or(|until| at < until) || leg.timeline == of);
        byte(leg.unwrap().timeline, at)
    }

    /// End of what it can send on `timeline`.
    pub(super) fn end(&self, of: Timeline) -> Option<Lsn> {
        let leg = self.path.iter().find(|leg| leg.timeline == of)?;
        Some(leg.until.unwrap_or(self.flushed))
    }

    /// Where the timeline `at` belongs to begins being kept: the oldest segment it can send.
    pub(super) fn can_send_from(&self, at: Lsn) -> bool {
        at >= self.kept_from
    }
}

/// Everything stored. Whole pieces have one object each; the rest have names of their own.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) whole: BTreeMap<(Timeline, Lsn), Cut>,
    pub(super) others: Vec<Cut>,
    pub(super) gaps: Vec<(Timeline, Lsn, Lsn)>,
}

impl Bucket {
    pub(super) fn store(&mut self, cut: &Cut) {
        if cut.kind != CutKind::Whole {
            self.others.push(cut.clone());
            return;
        }
        let kept = self.whole.entry((cut.timeline, cut.start)).or_insert_with(|| cut.clone());
        assert!(kept.bytes == cut.bytes, "{cut:?} differs from what is stored");
    }

    /// As a listing would show it, with the gaps that are recorded.
    pub(super) fn stored(&self) -> Vec<Stored> {
        let whole = self.whole.keys().map(|(of, start)| (*of, *start, start.plus(PIECE)));
        let mut done: Vec<_> = whole.chain(self.gaps.iter().copied()).collect();
        done.sort_unstable();
        let mut all: Vec<Stored> = Vec::new();
        for (of, start, end) in done {
            if all.last().is_none_or(|last| last.timeline != of) {
                all.push(Stored { timeline: of, ranges: Vec::new() });
            }
            let ranges = &mut all.last_mut().unwrap().ranges;
            match ranges.last_mut().filter(|(_, last)| *last >= start) {
                Some((_, last)) => *last = end.max(*last),
                None => ranges.push((start, end)),
            }
        }
        // A timeline of which there is only the beginning of a piece so far.
        for cut in &self.others {
            if all.iter().all(|stored| stored.timeline != cut.timeline) {
                let start = cut.start.floor(PIECE);
                all.push(Stored { timeline: cut.timeline, ranges: vec![(start, start)] });
            }
        }
        all
    }

    /// Fails unless every byte of the server's WAL in `from..to` is stored as it was, or recorded as missing. `lasting`:
    /// count nothing whose lock is short.
    pub(super) fn check(&self, server: &Server, from: Lsn, to: Lsn, lasting: bool, seed: u64) {
        for at in (from.get()..to.get()).map(Lsn::new) {
            let of = server.path.iter().find(|leg| leg.until.is_none_or(|until| at < until)).unwrap().timeline;
            let on_path = |cut: &&Cut| server.path.iter().any(|leg| leg.timeline == cut.timeline && leg.timeline >= of);
            let short = |cut: &Cut| matches!(cut.kind, CutKind::Partial | CutKind::Merged);
            let all = self.whole.values().chain(self.others.iter().filter(|cut| !lasting || !short(cut)));
            let holding = all.filter(|cut| cut.start <= at && at < cut.end).find(on_path);
            if let Some(cut) = holding {
                let got = cut.bytes[usize::try_from(at.since(cut.start)).unwrap()];
                assert_eq!(got, byte(of, at), "seed {seed}: {at} in {cut:?}");
            } else {
                let known = self.gaps.iter().any(|(t, start, end)| *t >= of && *start <= at && at < *end);
                assert!(known, "seed {seed}: {at} on timeline {of} is missing (lasting: {lasting})");
            }
        }
    }
}
