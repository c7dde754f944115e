//! One connection: bytes in, objects out, reports back, until it ends.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::How;
use super::loan::{Loan, silence};
use super::pace::PaceWatch;
use super::recent::Recent;
use super::report::Reports;
use super::sender::{Sender, Sent};
use super::tail::Tail;
use crate::commands::{Error, Result};
use crate::format::{Lsn, Timeline};
use crate::pipeline::wal_stream::{Disorder, Flow, Pace, Start, Ticket};
use crate::postgres;
use crate::postgres::replication::{WalEvent, WalStream};

/// The timeline being streamed, over all connections that it takes.
#[derive(Debug)]
pub(super) struct Streaming {
    pub(super) timeline: Timeline,
    pub(super) flow: Flow,
    /// Where it began.
    pub(super) first: Lsn,
    /// Whether everything before that is durable, or recorded as missing.
    pub(super) continues: bool,
    /// The last bytes received.
    recent: Recent,
    /// What is stored of the unfinished piece.
    pub(super) tail: Tail,
    /// Of what lies before here nothing can be compared: the server that was asked last no longer has that segment.
    uncompared: Option<Lsn>,
}

impl Streaming {
    /// `partial_retain` is the short lock of partials.
    pub(super) fn new(start: Start, flow: Flow, partial_retain: Duration) -> Self {
        let Start { timeline, at: first, continues } = start;
        let (recent, tail) = (Recent::default(), Tail::new(partial_retain));
        Self { timeline, flow, first, continues, recent, tail, uncompared: None }
    }

    /// From where to ask for more: from before the end of what was received, in the segment that the server has in any case, so
    /// that a server that is not the same any more is found out. At the start of a segment, from the one before, as long as
    /// the server has that.
    pub(super) fn ask_from(&self, segment_bytes: u64) -> Lsn {
        let received = self.flow.received();
        let room = match received.since(received.floor(segment_bytes)) {
            0 if self.uncompared != Some(received) => segment_bytes,
            room => room,
        };
        Lsn::new(received.get() - (self.recent.bytes() as u64).min(room))
    }

    /// The server no longer has what it was asked for. True if that may be what was to be compared only: without that it is to
    /// be asked again.
    pub(super) fn gives_up_overlap(&mut self, segment_bytes: u64) -> bool {
        let received = self.flow.received();
        let overlaps = self.ask_from(segment_bytes) < received.floor(segment_bytes);
        if overlaps {
            self.uncompared = Some(received);
        }
        overlaps
    }

    /// Another server is asked next.
    pub(super) fn asks_another(&mut self) {
        self.uncompared = None;
    }

    /// Takes in WAL, of which the beginning may be known.
    fn receive(&mut self, start: Lsn, bytes: &[u8]) -> Result<()> {
        let received = self.flow.received();
        let new = match received.since(start) {
            0 => bytes,
            known => {
                let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
                let (again, new) = bytes.split_at(known);
                if !self.recent.agrees(received.since(start), again) {
                    let what = format!(
                        "the server sends other WAL between {start} and {received} of timeline {} than it sent before: it was set back to an earlier state",
                        self.timeline
                    );
                    return Err(Error::Diverged { what });
                }
                new
            }
        };
        if !new.is_empty() {
            self.flow.receive(start.max(received), new)?;
            self.recent.add(new);
        }
        Ok(())
    }

    /// The store has acknowledged something.
    pub(super) fn acknowledge(&mut self, (ticket, sent): (Ticket, Sent)) {
        self.flow.acknowledge(&ticket);
        self.tail.stored(sent);
    }

    /// What may be reported (invariant I8): nothing, until something is durable.
    pub(super) fn reported(&self) -> Lsn {
        let durable = self.flow.durable();
        if self.continues || durable > self.first { durable } else { Lsn::default() }
    }

    /// Where to begin anew, if the timeline was taken for ended and yet goes on: at the piece whose end was stored as the
    /// last one.
    pub(super) fn anew(&self, piece_bytes: u64) -> Option<Start> {
        let at = self.flow.received().floor(piece_bytes);
        let start = Start { timeline: self.timeline, at, continues: self.has_stored() };
        self.flow.is_ended().then_some(start)
    }

    /// Whether there is something before `received` that the bucket has.
    pub(super) fn has_stored(&self) -> bool {
        self.continues || self.flow.received() > self.first
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// We were asked to stop, and everything received is durable.
    Stopped,
    /// The timeline ended, and all of it is durable.
    TimelineEnded,
    /// The server ended the stream in good order.
    ServerStopped,
    /// A stream that was to go so far only has gone so far, or has no more to give.
    Enough,
    /// There was nothing to stream.
    Waiting(String),
    /// The connection is gone, or the server cannot go on.
    Lost(postgres::Error),
}

/// One running connection.
pub(super) struct Session<'a> {
    pub(super) how: &'a How,
    pub(super) sender: &'a mut Sender,
    pub(super) streaming: &'a mut Streaming,
    pub(super) pace: PaceWatch,
    pub(super) status_interval: Duration,
    /// The stream is one of a server that helps out.
    pub(super) loan: Option<Loan>,
    pub(super) segment_bytes: u64,
    pub(super) cancel: &'a CancellationToken,
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// Told to stop: what the server has sent is still taken in, until it pauses or this moment has come.
    Draining {
        last: Instant,
    },
    /// Nothing more is read; what was received becomes durable.
    Stopping,
    /// The server has sent the last byte of the timeline.
    Ending,
}

impl Session<'_> {
    /// Streams. An error is one that another connection cannot mend.
    pub(super) async fn run(mut self, stream: WalStream) -> Result<End> {
        let (mut reader, writer) = stream.split();
        let mut reports = Reports::start(writer, self.streaming.reported(), self.status_interval);
        let mut ticks = interval(self.how.flush_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut state = State::Reading;
        self.streaming.flow.set_pace(self.pace.now());
        loop {
            let Streaming { flow, tail, .. } = &mut *self.streaming;
            while let Some((cut, ticket)) = flow.take() {
                self.sender.send(cut, ticket);
            }
            if matches!(state, State::Stopping | State::Ending) && flow.is_settled() {
                break;
            }
            let received = flow.received();
            if self.loan.is_some_and(|loan| loan.is_enough(received)) {
                return Ok(End::Enough);
            }
            let reads = matches!(state, State::Reading | State::Draining { .. });
            let wants_input = flow.wants_input() && reads;
            if let Some(loan) = &mut self.loan {
                loan.listens(wants_input);
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled(), if state == State::Reading => {
                    flow.set_pace(Pace::Synchronous);
                    state = State::Draining { last: Instant::now() + DRAIN_MAX };
                }
                Some(done) = self.sender.acknowledged(), if !self.sender.is_idle() => {
                    self.streaming.acknowledge(done?);
                    reports.durable(self.streaming.reported());
                    if reads && self.how.until.is_some_and(|until| self.streaming.reported() >= until) {
                        self.streaming.flow.set_pace(Pace::Synchronous);
                        state = State::Stopping;
                    }
                }
                failed = reports.failed(), if state != State::Ending => {
                    return Ok(failed.map_or(End::ServerStopped, End::Lost));
                }
                _ = ticks.tick(), if state == State::Reading => {
                    flow.tick();
                    tail.look_after(self.sender.place());
                }
                () = tail.looked_after() => {}
                pace = self.pace.changed(), if state == State::Reading => flow.set_pace(pace),
                event = reader.next(), if wants_input => match event {
                    Ok(WalEvent::Data { start, bytes, server_end, .. }) => self.take_in(start, &bytes, server_end)?,
                    Ok(WalEvent::Keepalive { reply_requested, .. }) => {
                        if reply_requested {
                            reports.asked();
                        }
                    }
                    Ok(WalEvent::TimelineEnded { at, .. }) => {
                        self.end_timeline(at)?;
                        state = State::Ending;
                    }
                    Ok(WalEvent::Ended) => return Ok(End::ServerStopped),
                    Err(error) => return Ok(End::Lost(error)),
                },
                () = pause(state), if wants_input => state = State::Stopping,
                end = silence(self.loan, received), if wants_input => return Ok(end),
            }
        }
        reports.durable(self.streaming.reported());
        reports.finish().await;
        Ok(if state == State::Ending { End::TimelineEnded } else { End::Stopped })
    }

    /// Takes in WAL of a server that has it up to `server_end`.
    fn take_in(&mut self, start: Lsn, bytes: &[u8], server_end: Lsn) -> Result<()> {
        self.streaming.receive(start, bytes)?;
        if let Some(loan) = &mut self.loan {
            loan.heard(server_end);
        }
        Ok(())
    }

    /// PostgreSQL may have sent the beginning of a record that was never finished before its timeline ended in front of it (a standby
    /// that is promoted, see `XLogSendPhysical`). More than a segment is no such beginning.
    fn end_timeline(&mut self, at: Lsn) -> Result<()> {
        let (timeline, expected) = (self.streaming.timeline, self.streaming.flow.received());
        if expected < at {
            return Err(Disorder { expected, got: at }.into());
        }
        if expected.since(at) > self.segment_bytes {
            let what = format!("the server ends timeline {timeline} at {at}, and it was streamed up to {expected}");
            return Err(Error::Diverged { what });
        }
        self.streaming.flow.end_timeline();
        Ok(())
    }
}

/// How long the last bytes are waited for: a server that writes without pause must not keep us.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// A server that sends nothing for so long has sent everything.
const DRAIN_PAUSE: Duration = Duration::from_millis(200);

/// While draining: the end of it, unless something comes before.
async fn pause(state: State) {
    match state {
        State::Draining { last } => tokio::time::sleep_until(last.min(Instant::now() + DRAIN_PAUSE)).await,
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_received_is_asked_for_again_across_the_start_of_a_segment() {
        let (timeline, piece, segment, first) = (Timeline::new(1).unwrap(), 64, 128, Lsn::new(128));
        let flow = Flow::new(timeline, piece, first, 1, Pace::Interval);
        let mut streaming =
            Streaming::new(Start { timeline, at: first, continues: false }, flow, Duration::from_hours(1));
        assert_eq!(streaming.ask_from(segment), first, "nothing was received yet");
        assert!(!streaming.gives_up_overlap(segment));
        streaming.receive(first, &[7; 128]).unwrap();
        let received = Lsn::new(256);
        assert_eq!(streaming.ask_from(segment), first);
        // Another server's bytes are found out at the start of a segment, too.
        let differs = streaming.receive(first, &[8; 128]);
        assert!(matches!(differs, Err(Error::Diverged { .. })), "{differs:?}");
        assert!(streaming.gives_up_overlap(segment), "the segment before may be gone");
        assert_eq!(streaming.ask_from(segment), received);
        assert!(!streaming.gives_up_overlap(segment), "then the WAL itself is");
        streaming.asks_another();
        assert_eq!(streaming.ask_from(segment), first);
        streaming.receive(received, &[7; 10]).unwrap();
        assert_eq!(streaming.ask_from(segment), received, "no further than the segment that is there in any case");
        assert!(!streaming.gives_up_overlap(segment));
    }

    #[test]
    fn a_timeline_that_goes_on_after_its_end_is_read_again() {
        let (timeline, piece, first) = (Timeline::new(1).unwrap(), 64, Lsn::new(128));
        let begin = |start: Start| {
            let flow = Flow::new(start.timeline, piece, start.at, 1, Pace::Interval);
            Streaming::new(start, flow, Duration::from_hours(1))
        };
        let mut streaming = begin(Start { timeline, at: first, continues: false });
        streaming.flow.receive(first, &[7; 100]).unwrap();
        assert_eq!(streaming.anew(piece), None);
        streaming.flow.end_timeline();
        while let Some((_, ticket)) = streaming.flow.take() {
            streaming.flow.acknowledge(&ticket);
        }
        assert!(streaming.flow.is_settled() && !streaming.flow.wants_input());
        let start = streaming.anew(piece).unwrap();
        assert_eq!(start, Start { timeline, at: Lsn::new(192), continues: true });
        let mut again = begin(start);
        assert!(again.flow.wants_input());
        again.flow.receive(start.at, &[7; 64]).unwrap();
        let (whole, _) = again.flow.take().unwrap();
        assert_eq!((whole.start, whole.end), (Lsn::new(192), Lsn::new(256)));
    }
}
