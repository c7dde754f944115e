//! A stream of WAL from a slot: reading and reporting run apart, so that neither waits for the other.

use std::time::Duration;

use postgres_protocol::message::frontend;
use tokio::time::Instant;

use super::super::{Error, Result};
use super::client::{Client, Refused, failed};
use super::commands::check_slot_name;
use super::link::Writer;
use super::wire::Message;
use crate::format::{Lsn, Timeline};
use crate::limits::{REPLICATION_ANSWER_SECONDS, REPLICATION_PING_SECONDS, REPLICATION_SILENCE_SECONDS};
use crate::observe::clock;

pub mod core;

use self::core::{WalCore, WalStep};
pub use core::WalEvent;

impl Client {
    /// `START_REPLICATION … PHYSICAL`: WAL of this timeline from `at` on, bytes in order without a gap.
    ///
    /// That the WAL is gone, or that `at` lies ahead of the server, comes as an error of the first [`WalStream::next`].
    /// Without a slot the server may remove WAL before it is sent. Send a status at least every
    /// `wal_sender_timeout / 2` (default 30 s), or the server ends the session.
    pub async fn start_replication(
        mut self,
        slot: Option<&str>,
        at: Lsn,
        timeline: Timeline,
    ) -> Result<WalStream, Refused> {
        let began = async {
            slot.map_or(Ok(()), check_slot_name)?;
            if self.server_version_num() < 150_000 {
                // These learn their timeline by it, and refuse to stream before.
                self.identify_system().await?;
            }
            let slot = slot.map(|name| format!("SLOT \"{name}\" ")).unwrap_or_default();
            self.send(&format!("START_REPLICATION {slot}PHYSICAL {at} TIMELINE {timeline}")).await?;
            self.stream_begins(at, timeline).await
        };
        match began.await {
            Ok(core) => Ok(WalStream::new(self, core)),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Reads up to the first message of the stream.
    async fn stream_begins(&mut self, at: Lsn, timeline: Timeline) -> Result<WalCore> {
        let action = action(at, timeline);
        let (mut error, mut core) = (None, WalCore::new(timeline, at));
        let silence = Duration::from_secs(REPLICATION_ANSWER_SECONDS);
        loop {
            match self.link().reader.next_within(silence).await {
                Ok(Some(Message::CopyBoth)) => return Ok(core),
                Ok(Some(Message::Error(e))) => error = Some(*e),
                Ok(Some(Message::Ready)) if error.is_some() => {
                    self.in_step();
                    return Err(failed(&action, error.unwrap_or_default()));
                }
                // A timeline that ended exactly there: the server answers without streaming.
                Ok(Some(message @ (Message::Columns(_) | Message::Row(_) | Message::Complete | Message::Ready))) => {
                    let ready = message == Message::Ready;
                    core.on_without_stream(message).map_err(|e| self.malformed(&e))?;
                    if ready {
                        return Ok(core);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(Error::Lost { .. }) if error.is_some() => {
                    return Err(failed(&action, error.unwrap_or_default()));
                }
                Ok(None) => return Err(self.link().reader.lost("the server closed it")),
                Err(e) => return Err(e),
            }
        }
    }
}

fn action(at: Lsn, timeline: Timeline) -> String {
    format!("stream WAL from {at} on timeline {timeline}")
}

/// A running stream; both halves in one. Dropping it closes the connection.
#[derive(Debug)]
pub struct WalStream {
    reader: WalReader,
    writer: StatusWriter,
}

impl WalStream {
    fn new(mut client: Client, core: WalCore) -> Self {
        let writer = client.link().writer.clone();
        let silence = Duration::from_secs(REPLICATION_SILENCE_SECONDS);
        let status = StatusWriter { writer: writer.clone(), asked: Instant::now() };
        Self {
            reader: WalReader { action: action(core.position(), core.timeline()), client, core, silence, writer },
            writer: status,
        }
    }

    /// See [`WalReader::next`].
    pub async fn next(&mut self) -> Result<WalEvent> {
        self.reader.next().await
    }

    /// See [`StatusWriter::status`].
    pub async fn status(&mut self, write: Lsn, flush: Lsn, apply: Lsn, reply: bool) -> Result<()> {
        self.writer.status(write, flush, apply, reply).await
    }

    /// See [`WalReader::position`].
    pub fn position(&self) -> Lsn {
        self.reader.position()
    }

    /// Reader and status writer apart, for two tasks.
    pub fn split(self) -> (WalReader, StatusWriter) {
        (self.reader, self.writer)
    }

    /// The halves together again.
    pub fn join(reader: WalReader, writer: StatusWriter) -> Self {
        Self { reader, writer }
    }

    /// See [`WalReader::finish`].
    pub async fn finish(self) -> Result<Client> {
        self.reader.finish().await
    }
}

/// The half that reads.
pub struct WalReader {
    client: Client,
    core: WalCore,
    writer: Writer,
    action: String,
    silence: Duration,
}

impl std::fmt::Debug for WalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WalReader").field("core", &self.core).finish_non_exhaustive()
    }
}

impl WalReader {
    /// The next event. After `TimelineEnded`, `Ended` or an error there is nothing more to come: `Ended` again, or again an error.
    ///
    /// Cancel-safe. An error if the server is silent for a minute: the status writer asks it for signs of life.
    pub async fn next(&mut self) -> Result<WalEvent> {
        if self.core.has_failed() {
            let target = self.client.info().redacted();
            return Err(Error::Lost { target, what: "the stream has failed before".into() });
        }
        if self.core.is_over() {
            return Ok(WalEvent::Ended);
        }
        if let Some(WalStep::Event(event)) = self.core.pending() {
            return Ok(event);
        }
        loop {
            if self.core.owes_done() {
                let core = &mut self.core;
                self.writer
                    .send(|out| {
                        frontend::copy_done(out);
                        core.done_sent();
                        Ok(())
                    })
                    .await?;
            }
            if let WalStep::Event(event) = self.step().await? {
                return Ok(event);
            }
        }
    }

    /// End of the bytes handed out so far: where the next ones begin.
    pub fn position(&self) -> Lsn {
        self.core.position()
    }

    /// How long the server may be silent before the connection counts as dead. Longer than the pauses between statuses.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// Ends the stream in good order: says so, reads (and drops) the rest, and hands back the connection for the next
    /// command. After `TimelineEnded` nothing is dropped.
    pub async fn finish(mut self) -> Result<Client> {
        let limit = Duration::from_secs(REPLICATION_ANSWER_SECONDS);
        match tokio::time::timeout(limit, self.wind_up()).await {
            Ok(done) => done?,
            Err(_) => {
                return Err(self.client.link().reader.lost(&format!("it did not end within {} s", limit.as_secs())));
            }
        }
        self.client.in_step();
        Ok(self.client)
    }

    async fn wind_up(&mut self) -> Result<()> {
        while !self.core.is_ready() {
            if self.core.is_over() {
                return Err(self.client.link().reader.lost("the server closed it"));
            }
            if !self.core.is_done_sent() {
                let core = &mut self.core;
                self.writer
                    .send(|out| {
                        frontend::copy_done(out);
                        core.done_sent();
                        Ok(())
                    })
                    .await?;
            }
            self.step().await?;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<WalStep> {
        let step = match self.client.link().reader.next_within(self.silence).await {
            Ok(Some(message)) => self.core.on(message).map_err(|e| self.client.malformed(&e))?,
            Ok(None) => {
                let lost = self.client.link().reader.lost("the server closed it");
                self.core.on_end().ok_or(lost)?
            }
            // The last words before the end say more than the end.
            Err(lost @ Error::Lost { .. }) => self.core.on_end().ok_or(lost)?,
            Err(error) => return Err(error),
        };
        match step {
            WalStep::Failed(error) => Err(failed(&self.action, *error)),
            step => Ok(step),
        }
    }
}

/// The half that reports.
pub struct StatusWriter {
    writer: Writer,
    /// When the server was last asked for a sign of life.
    asked: Instant,
}

impl std::fmt::Debug for StatusWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusWriter").finish_non_exhaustive()
    }
}

impl StatusWriter {
    /// Reports positions: `flush` is what the server may forget, and what a synchronous COMMIT waits for (invariant I8).
    /// With `reply` the server answers with a keepalive; every quarter of a minute it is asked to anyway.
    ///
    /// Cancel-safe; waits only when the server does not even take a few bytes.
    pub async fn status(&mut self, write: Lsn, flush: Lsn, apply: Lsn, reply: bool) -> Result<()> {
        let ask = reply || self.asked.elapsed() >= Duration::from_secs(REPLICATION_PING_SECONDS);
        if ask {
            self.asked = Instant::now();
        }
        self.writer.send(|out| core::status(write, flush, apply, clock::host_now(), ask, out)).await
    }
}
