//! A connection that has logged in: messages read, bytes written, both safe to interrupt.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::{Error, Result};
use super::wire::{Decoder, Malformed, Message};

/// What a session runs over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(super) type Stream = Box<dyn Duplex>;

/// Both directions.
pub(super) struct Link {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("target", &self.reader.target).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(stream: Stream, target: String) -> Self {
        let (read, write) = tokio::io::split(stream);
        let reader =
            Reader { half: read, decoder: Decoder::new(), target: target.clone(), waiting_since: None, broken: false };
        Self { reader, writer: Writer(Arc::new(Mutex::new(Outgoing { half: write, out: BytesMut::new(), target }))) }
    }
}

/// The direction from the server.
pub(super) struct Reader {
    half: ReadHalf<Stream>,
    decoder: Decoder,
    target: String,
    /// Since when we have been waiting for a byte.
    waiting_since: Option<Instant>,
    /// Whether it was given up: whatever may still come is not to be trusted.
    broken: bool,
}

impl Reader {
    /// The next message; `None` when the server closed the connection between two messages. Cancel-safe: a message that
    /// has begun to arrive is kept.
    pub(super) async fn next(&mut self) -> Result<Option<Message>> {
        if self.broken {
            return Err(self.lost("it was given up after an earlier error"));
        }
        loop {
            if let Some(message) = self.decoder.message().map_err(|e| self.malformed(&e))? {
                return Ok(Some(message));
            }
            let read = self.half.read_buf(self.decoder.space()).await;
            self.waiting_since = None;
            match read {
                Ok(0) if self.decoder.pending() == 0 => return Ok(None),
                Ok(0) => return Err(self.lost("it ended inside a message")),
                Ok(_) => {}
                Err(error) => return Err(self.lost(&error.to_string())),
            }
        }
    }

    /// As [`Reader::next`], with an error when the server has been silent for so long. Interrupted waits count together.
    pub(super) async fn next_within(&mut self, silence: Duration) -> Result<Option<Message>> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        match tokio::time::timeout_at(since + silence, self.next()).await {
            Ok(message) => {
                self.waiting_since = None;
                message
            }
            Err(_) => Err(self.lost(&format!("nothing came from the server for {} s", silence.as_secs()))),
        }
    }

    pub(super) fn logged_in(&mut self) {
        self.decoder.logged_in();
    }

    /// Gives the connection up: nothing is read from it any more.
    pub(super) fn lost(&mut self, what: &str) -> Error {
        self.broken = true;
        Error::Lost { target: self.target.clone(), what: what.to_owned() }
    }

    /// The same, because of what came.
    pub(super) fn malformed(&mut self, error: &Malformed) -> Error {
        self.broken = true;
        Error::Protocol { target: self.target.clone(), what: error.what.clone() }
    }
}

/// The direction to the server, shared by whoever has something to say.
#[derive(Clone)]
pub(super) struct Writer(Arc<Mutex<Outgoing>>);

struct Outgoing {
    half: WriteHalf<Stream>,
    /// What is not written yet; an interrupted write goes on from here.
    out: BytesMut,
    target: String,
}

impl Writer {
    /// Adds a message and writes all there is. Cancel-safe: what was added is written by the next call at the latest.
    /// `add` runs once, when its turn has come.
    pub(super) async fn send(&self, add: impl FnOnce(&mut BytesMut) -> Result<(), Malformed>) -> Result<()> {
        let mut outgoing = self.0.lock().await;
        let Outgoing { half, out, target } = &mut *outgoing;
        add(out).map_err(|e| Error::Protocol { target: target.clone(), what: e.what })?;
        let lost = |e: std::io::Error| Error::Lost { target: target.clone(), what: e.to_string() };
        half.write_all_buf(out).await.map_err(lost)?;
        half.flush().await.map_err(lost)
    }
}
