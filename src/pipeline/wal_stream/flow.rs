//! What to store next, and how much may be held meanwhile.

use std::collections::VecDeque;

use super::assembler::{Assembler, Disorder};
use super::cut::{Cut, CutKind, Ticket};
use super::window::Window;
use crate::format::{Lsn, Timeline};

/// When bytes of an unfinished piece are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When the caller's timer says so, by [`Flow::tick`].
    Interval,
    /// As soon as the previous ones are acknowledged: whoever commits waits for us, and all who wait share one request.
    Synchronous,
}

/// The WAL of one timeline, from the first byte received to the last one acknowledged.
///
/// Holds at most the current piece, `uploads` cuts of a piece each under way, one partial, and the cuts of one message
/// that wait (invariant I12): while any waits, [`Flow::wants_input`] is false, and the server is left waiting.
#[derive(Debug)]
pub struct Flow {
    assembler: Assembler,
    window: Window,
    pace: Pace,
    due: bool,
    waiting: VecDeque<Cut>,
    uploads: usize,
    large_under_way: usize,
    partial_under_way: bool,
    ended: bool,
}

impl Flow {
    /// Begins at `start`, a multiple of `piece_bytes`, before which everything is stored.
    pub fn new(timeline: Timeline, piece_bytes: u64, start: Lsn, uploads: usize, pace: Pace) -> Self {
        Self {
            assembler: Assembler::new(timeline, piece_bytes, start),
            window: Window::new(start),
            pace,
            due: false,
            waiting: VecDeque::new(),
            uploads: uploads.max(1),
            large_under_way: 0,
            partial_under_way: false,
            ended: false,
        }
    }

    /// Whether there is room for more. If not, acknowledgements make some.
    pub fn wants_input(&self) -> bool {
        self.waiting.is_empty() && !self.ended
    }

    /// Whether the timeline was taken for ended: nothing is taken in any more.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes in WAL.
    ///
    /// # Errors
    /// [`Disorder`] unless it continues exactly what came before.
    pub fn receive(&mut self, at: Lsn, bytes: &[u8]) -> Result<(), Disorder> {
        self.assembler.push(at, bytes, |whole| self.waiting.push_back(whole))
    }

    /// End of what was received.
    pub fn received(&self) -> Lsn {
        self.assembler.received()
    }

    /// Everything before this is acknowledged by the store: what may be reported as flushed (invariant I8).
    pub fn durable(&self) -> Lsn {
        self.window.durable()
    }

    /// Bytes held here; what is under way is held by whoever sends it.
    pub fn held_bytes(&self) -> usize {
        self.assembler.held_bytes() + self.waiting.iter().map(|cut| cut.bytes.len()).sum::<usize>()
    }

    /// Changes the pace.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// The flush interval has passed: what is new shall be stored now.
    pub fn tick(&mut self) {
        self.due = true;
    }

    /// Nothing more will come on this timeline: what is left of it is stored for good.
    pub fn end_timeline(&mut self) {
        if !self.ended {
            self.ended = true;
            self.waiting.extend(self.assembler.tail());
        }
    }

    /// What to store now; the ticket comes back by [`Flow::acknowledge`] once the store has acknowledged it.
    pub fn take(&mut self) -> Option<(Cut, Ticket)> {
        if self.large_under_way < self.uploads
            && let Some(cut) = self.waiting.pop_front()
        {
            self.large_under_way += 1;
            return Some(ticketed(cut));
        }
        let wanted = self.due || self.pace == Pace::Synchronous;
        if !wanted || self.partial_under_way || self.ended {
            return None;
        }
        self.due = false;
        let (partial, merged) = self.assembler.flush()?;
        // A merged cut saves requests to whoever reads; when the store is slow, that is not worth making it slower.
        if self.large_under_way < self.uploads {
            self.waiting.extend(merged);
        }
        self.partial_under_way = true;
        Some(ticketed(partial))
    }

    /// The store has acknowledged the cut of this ticket.
    pub fn acknowledge(&mut self, ticket: &Ticket) {
        if ticket.kind == CutKind::Partial {
            self.partial_under_way = false;
        } else {
            self.large_under_way = self.large_under_way.saturating_sub(1);
        }
        self.window.acknowledge(ticket.start, ticket.end);
    }

    /// Whether everything received is acknowledged.
    pub fn is_settled(&self) -> bool {
        self.durable() >= self.received()
            && self.waiting.is_empty()
            && self.large_under_way == 0
            && !self.partial_under_way
    }
}

fn ticketed(cut: Cut) -> (Cut, Ticket) {
    let ticket = Ticket { start: cut.start, end: cut.end, kind: cut.kind };
    (cut, ticket)
}
