//! One timeline: arrivals of any size, ticks at any time, acknowledgements in any order.

use proptest::prelude::*;

use super::{PIECE, byte, timeline};
use crate::format::Lsn;
use crate::pipeline::wal_stream::{Cut, CutKind, Flow, Pace, Ticket};

const UPLOADS: usize = 3;
/// The longest message.
const MESSAGE: u64 = 200;

#[derive(Clone, Debug)]
enum Event {
    Receive(u64),
    Tick,
    Acknowledge(usize),
    Pace(Pace),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..=MESSAGE).prop_map(Event::Receive),
        3 => Just(Event::Tick),
        5 => any::<usize>().prop_map(Event::Acknowledge),
        1 => any::<bool>().prop_map(|sync| Event::Pace(if sync { Pace::Synchronous } else { Pace::Interval })),
    ];
    prop::collection::vec(event, 0..400)
}

struct Bench {
    flow: Flow,
    start: Lsn,
    under_way: Vec<(Cut, Ticket)>,
    acknowledged: Vec<(Lsn, Lsn, CutKind)>,
}

impl Bench {
    fn new(start: u64) -> Self {
        let start = Lsn::new(start * PIECE);
        let flow = Flow::new(timeline(1), PIECE, start, UPLOADS, Pace::Interval);
        Self { flow, start, under_way: Vec::new(), acknowledged: Vec::new() }
    }

    fn receive(&mut self, length: u64) {
        if !self.flow.wants_input() {
            return;
        }
        let at = self.flow.received();
        let bytes: Vec<u8> = (0..length).map(|n| byte(timeline(1), at.plus(n))).collect();
        self.flow.receive(at, &bytes).unwrap();
    }

    fn take(&mut self) {
        while let Some((cut, ticket)) = self.flow.take() {
            assert_eq!(cut.end.since(cut.start), cut.bytes.len() as u64);
            assert!(cut.start < cut.end, "no empty object: {cut:?}");
            assert_eq!(cut.start.floor(PIECE), Lsn::new(cut.end.get() - 1).floor(PIECE), "{cut:?} crosses a piece");
            assert_eq!(cut.kind == CutKind::Whole, cut.bytes.len() as u64 == PIECE, "{cut:?}");
            assert!(cut.bytes.iter().zip(0..).all(|(b, n)| *b == byte(timeline(1), cut.start.plus(n))), "{cut:?}");
            self.under_way.push((cut, ticket));
        }
        let partials = self.under_way.iter().filter(|(cut, _)| cut.kind == CutKind::Partial).count();
        assert!(partials <= 1 && self.under_way.len() <= UPLOADS + 1);
        let held = self.flow.held_bytes() as u64;
        assert!(held <= PIECE + MESSAGE + PIECE, "{held} bytes are held");
        assert!(!self.flow.wants_input() || held < PIECE, "input is wanted while {held} bytes are held");
    }

    fn acknowledge(&mut self, which: usize) {
        if self.under_way.is_empty() {
            return;
        }
        let (cut, ticket) = self.under_way.swap_remove(which % self.under_way.len());
        self.acknowledged.push((cut.start, cut.end, cut.kind));
        self.flow.acknowledge(&ticket);
    }

    /// How far the acknowledged ranges reach without a hole.
    fn reach(&self) -> Lsn {
        let mut reach = self.start;
        while let Some((_, end, _)) = self.acknowledged.iter().find(|(start, end, _)| *start <= reach && *end > reach) {
            reach = *end;
        }
        reach
    }
}

proptest! {
    #[test]
    fn i08_durable_is_what_was_acknowledged(start in 0_u64..3, events in events()) {
        let mut bench = Bench::new(start);
        for event in events {
            match event {
                Event::Receive(length) => bench.receive(length),
                Event::Tick => bench.flow.tick(),
                Event::Acknowledge(which) => bench.acknowledge(which),
                Event::Pace(pace) => bench.flow.set_pace(pace),
            }
            bench.take();
            prop_assert_eq!(bench.flow.durable(), bench.reach());
        }
        // A graceful end: everything received becomes durable.
        bench.flow.set_pace(Pace::Synchronous);
        for _ in 0..1000 {
            bench.take();
            bench.acknowledge(0);
        }
        prop_assert!(bench.flow.is_settled());
        prop_assert_eq!(bench.reach(), bench.flow.received());
    }
}

#[test]
fn only_the_continuation_is_taken() {
    let mut flow = Flow::new(timeline(1), PIECE, Lsn::new(PIECE), 1, Pace::Interval);
    flow.receive(Lsn::new(PIECE), b"abc").unwrap();
    for wrong in [PIECE, PIECE + 2, PIECE + 4, 0] {
        let error = flow.receive(Lsn::new(wrong), b"x").unwrap_err();
        assert_eq!((error.expected, error.got), (Lsn::new(PIECE + 3), Lsn::new(wrong)));
    }
    flow.receive(Lsn::new(PIECE + 3), b"").unwrap();
    assert_eq!(flow.received(), Lsn::new(PIECE + 3));
}

#[test]
fn nothing_new_is_nothing_to_store() {
    let mut flow = Flow::new(timeline(1), PIECE, Lsn::new(0), 1, Pace::Synchronous);
    flow.tick();
    assert!(flow.take().is_none(), "an idle server writes nothing");
    flow.receive(Lsn::new(0), b"abc").unwrap();
    let (cut, ticket) = flow.take().unwrap();
    assert_eq!(&cut.bytes[..], b"abc");
    flow.acknowledge(&ticket);
    flow.tick();
    assert!(flow.take().is_none());
}

/// A piece that fills slowly: what a reader of the unfinished piece must fetch stays a handful of objects.
#[test]
fn many_partials_are_merged() {
    let piece = 2048;
    let mut flow = Flow::new(timeline(1), piece, Lsn::new(0), 2, Pace::Interval);
    let (mut cuts, mut sent) = (Vec::new(), 0);
    for n in 0..piece - 1 {
        flow.receive(Lsn::new(n), &[0]).unwrap();
        flow.tick();
        while let Some((cut, ticket)) = flow.take() {
            sent += cut.end.since(cut.start);
            cuts.push((cut.start, cut.end));
            flow.acknowledge(&ticket);
        }
        let (mut reach, mut needed) = (Lsn::new(0), 0);
        while reach < flow.received() {
            let best = cuts.iter().filter(|(start, _)| *start <= reach).map(|(_, end)| *end).max().unwrap();
            assert!(best > reach);
            (reach, needed) = (best, needed + 1);
        }
        assert!(needed <= 45, "{needed} objects for {n} bytes");
    }
    assert!(sent <= 5 * piece, "{sent} bytes were sent for {piece}");
}
