//! Streaming of WAL, sans I/O: messages in, events out (PostgreSQL docs 55.4 "Streaming Replication Protocol").

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use postgres_protocol::message::frontend;

use super::super::server_message::ServerMessage;
use super::super::wire::{Malformed, Message};
use crate::format::{Lsn, Timeline};

/// Microseconds from 1970 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalEvent {
    /// Consecutive bytes of WAL.
    Data {
        /// Position of the first byte: always where the last piece ended.
        start: Lsn,
        /// The bytes, a slice of the read buffer; copy them to keep them for long.
        bytes: Bytes,
        /// How far the server's WAL reaches.
        server_end: Lsn,
        /// The server's clock when it sent them.
        server_time: Timestamp,
    },
    /// A sign of life.
    Keepalive {
        /// How far the server's WAL reaches.
        server_end: Lsn,
        /// Whether the server wants a status at once, and drops us if none comes.
        reply_requested: bool,
    },
    /// The timeline ended: all of it has been sent, and the connection waits for the next command.
    TimelineEnded {
        /// The one that follows.
        next: Timeline,
        /// Where it begins.
        at: Lsn,
    },
    /// The stream is over in good order: the server shuts down, or we ended it.
    Ended,
}

/// What one message led to.
#[derive(Debug, PartialEq, Eq)]
pub enum WalStep {
    /// Nothing to tell.
    More,
    /// Something to tell.
    Event(WalEvent),
    /// The server broke off.
    Failed(Box<ServerMessage>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Streaming,
    /// The server's copy is done, or the server said that all is complete.
    Closing,
    Ready,
}

/// The state of one stream.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "five things that happen in any order")]
pub struct WalCore {
    phase: Phase,
    timeline: Timeline,
    position: Lsn,
    server_done: bool,
    done_sent: bool,
    /// The outcome was handed out.
    over: bool,
    failed: bool,
    completed: bool,
    next: Option<(Timeline, Lsn)>,
    error: Option<Box<ServerMessage>>,
}

impl WalCore {
    /// A stream of this timeline that begins at `at`.
    pub fn new(timeline: Timeline, at: Lsn) -> Self {
        Self {
            phase: Phase::Streaming,
            timeline,
            position: at,
            server_done: false,
            done_sent: false,
            over: false,
            failed: false,
            completed: false,
            next: None,
            error: None,
        }
    }

    /// The end of what was handed out.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// We have said that our copy is done.
    pub fn done_sent(&mut self) {
        self.done_sent = true;
    }

    /// Whether we have said so.
    pub fn is_done_sent(&self) -> bool {
        self.done_sent
    }

    /// The timeline being streamed.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Whether the server waits for our copy to be done.
    pub fn owes_done(&self) -> bool {
        self.server_done && !self.done_sent
    }

    /// Whether the outcome was handed out.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether that was a failure.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether the connection waits for the next command.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Takes one message.
    pub fn on(&mut self, message: Message) -> Result<WalStep, Malformed> {
        match (message, self.phase) {
            (Message::Notice(_) | Message::Parameter(..) | Message::Other, _)
            | (Message::Columns(_), Phase::Closing) => Ok(WalStep::More),
            (Message::Error(error), _) => {
                self.phase = Phase::Closing;
                self.error.get_or_insert(error);
                Ok(WalStep::More)
            }
            (Message::CopyData(bytes), Phase::Streaming) => self.data(bytes).map(WalStep::Event),
            (Message::CopyDone, Phase::Streaming) => {
                self.phase = Phase::Closing;
                self.server_done = true;
                Ok(WalStep::More)
            }
            // A server that shuts down completes the command without ending the copy.
            (Message::Complete, Phase::Streaming | Phase::Closing) => {
                self.phase = Phase::Closing;
                self.completed = true;
                Ok(WalStep::More)
            }
            (Message::Row(row), Phase::Closing) => self.next_timeline(&row).map(|()| WalStep::More),
            (Message::Ready, Phase::Closing) => {
                self.phase = Phase::Ready;
                Ok(self.outcome())
            }
            (other, _) => Err(Malformed::new(format!("{} while WAL was streamed", other.kind()))),
        }
    }

    /// The connection ended. `None` if that is a loss.
    pub fn on_end(&mut self) -> Option<WalStep> {
        (self.error.is_some() || self.completed).then(|| self.outcome())
    }

    /// Takes one message of an answer that comes instead of a stream: the timeline ended where we wanted to begin.
    pub fn on_without_stream(&mut self, message: Message) -> Result<(), Malformed> {
        self.phase = Phase::Closing;
        match message {
            Message::Ready if self.next.is_none() => Err(Malformed::new("neither a stream nor a following timeline")),
            Message::Ready => {
                self.phase = Phase::Ready;
                Ok(())
            }
            message => self.on(message).map(drop),
        }
    }

    /// What is left to say when the connection is ready and the outcome was not handed out.
    pub fn pending(&mut self) -> Option<WalStep> {
        (self.is_ready() && !self.over).then(|| self.outcome())
    }

    fn outcome(&mut self) -> WalStep {
        self.over = true;
        match (self.error.take(), self.next) {
            (Some(error), _) => {
                self.failed = true;
                WalStep::Failed(error)
            }
            (None, Some((next, at))) => WalStep::Event(WalEvent::TimelineEnded { next, at }),
            (None, None) => WalStep::Event(WalEvent::Ended),
        }
    }

    fn data(&mut self, mut bytes: Bytes) -> Result<WalEvent, Malformed> {
        let short = |_| Malformed::new("a message of the stream is cut short");
        match bytes.try_get_u8().map_err(short)? {
            b'w' => {
                let start = Lsn::new(bytes.try_get_u64().map_err(short)?);
                let server_end = Lsn::new(bytes.try_get_u64().map_err(short)?);
                let server_time = time(bytes.try_get_i64().map_err(short)?)?;
                if start != self.position {
                    let expected = self.position;
                    return Err(Malformed::new(format!("WAL from {start} where {expected} comes next")));
                }
                let end = start.get().checked_add(bytes.len() as u64);
                self.position = Lsn::new(end.ok_or_else(|| Malformed::new("WAL beyond the last position there is"))?);
                Ok(WalEvent::Data { start, bytes, server_end, server_time })
            }
            b'k' => {
                let server_end = Lsn::new(bytes.try_get_u64().map_err(short)?);
                let _time = bytes.try_get_i64().map_err(short)?;
                let reply_requested = bytes.try_get_u8().map_err(short)? != 0;
                Ok(WalEvent::Keepalive { server_end, reply_requested })
            }
            kind => {
                Err(Malformed::new(format!("a message of kind {} in the stream", char::from(kind).escape_default())))
            }
        }
    }

    fn next_timeline(&mut self, row: &[Option<Bytes>]) -> Result<(), Malformed> {
        let text = |at: usize| row.get(at)?.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let next = text(0).and_then(|text| text.parse().ok()).and_then(|number| Timeline::new(number).ok());
        let at = text(1).and_then(|text| text.parse().ok());
        match (next, at) {
            (Some(next), Some(at)) if next > self.timeline && self.next.is_none() => self.next = Some((next, at)),
            _ => return Err(Malformed::new("a following timeline that makes no sense")),
        }
        Ok(())
    }
}

/// A standby status update, as copy data.
pub fn status(
    write: Lsn,
    flush: Lsn,
    apply: Lsn,
    now: Timestamp,
    reply: bool,
    out: &mut BytesMut,
) -> Result<(), Malformed> {
    let mut body = [0_u8; 34];
    let mut rest = &mut body[..];
    rest.put_u8(b'r');
    for position in [write, flush, apply] {
        rest.put_u64(position.get());
    }
    rest.put_i64(now.as_microsecond().saturating_sub(EPOCH_MICROS));
    rest.put_u8(u8::from(reply));
    frontend::CopyData::new(&body[..])?.write(out);
    Ok(())
}

fn time(micros: i64) -> Result<Timestamp, Malformed> {
    let unix = micros.checked_add(EPOCH_MICROS).and_then(|micros| Timestamp::from_microsecond(micros).ok());
    unix.ok_or_else(|| Malformed::new("a time that no calendar has"))
}
