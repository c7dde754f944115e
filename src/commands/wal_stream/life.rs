//! A streamer's life: connection after connection, until it is told to stop. Where each one goes on is decided in `begin`, what
//! to do about WAL that a server no longer has in `hunt` and `loss`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::hunt::Hunt;
use super::loan::Loan;
use super::sender::{Place, Sender};
use super::session::{End, Session, Streaming};
use super::{Event, How, Listener, Outcome, pace, ready};
use crate::commands::{Error, Result};
use crate::format::{Lsn, Timeline};
use crate::limits::{RECONNECT_MILLIS, RECONNECT_MILLIS_MAX};
use crate::observe::chain;
use crate::pipeline::wal_stream::Pace;
use crate::postgres::replication::{Fault, WalStream};
use crate::postgres::{self, ConnInfo};

/// Everything that outlives a connection.
pub(super) struct Life<'a> {
    pub(super) place: Arc<Place>,
    pub(super) how: How,
    pub(super) source: ConnInfo,
    tell: Listener<'a>,
    cancel: &'a CancellationToken,
    pub(super) sender: Sender,
    pub(super) streaming: Option<Streaming>,
    pub(super) histories: BTreeSet<Timeline>,
    pub(super) ground: Ground,
    /// The server that was connected to last.
    pub(super) server: Option<ConnInfo>,
    /// From here on it holds WAL back for us.
    pub(super) held_from: Lsn,
    /// A server has refused the slot as one that lost WAL, whatever it says when the slot is looked at.
    pub(super) slot_lost: bool,
    /// A server no longer has what was asked for: the search for one that has.
    pub(super) hunt: Option<Hunt>,
    /// The stream is one of another server, found by that search.
    pub(super) borrowed: Option<usize>,
    /// Whether a stream has ever begun: until then whatever is wrong is for the operator.
    settled_in: bool,
    pub(super) gaps: u64,
    warnings: Vec<String>,
}

/// A stream that begins.
pub(super) struct Begun {
    pub(super) stream: WalStream,
    pub(super) pace: pace::PaceWatch,
    pub(super) status_interval: Duration,
    /// It is one of a server that helps out.
    pub(super) loan: Option<Loan>,
}

/// What a connection begins with.
pub(super) enum Begin {
    Stream(Box<Begun>),
    /// There is nothing to stream yet, for this reason.
    Wait(String),
}

impl<'a> Life<'a> {
    pub(super) fn new(
        place: Place,
        how: How,
        source: ConnInfo,
        tell: Listener<'a>,
        cancel: &'a CancellationToken,
        warnings: Vec<String>,
    ) -> Self {
        let place = Arc::new(place);
        Self {
            sender: Sender::new(place.clone()),
            ground: Ground::watch(place.clone()),
            place,
            how,
            source,
            tell,
            cancel,
            streaming: None,
            histories: BTreeSet::new(),
            server: None,
            held_from: Lsn::default(),
            slot_lost: false,
            hunt: None,
            borrowed: None,
            settled_in: false,
            gaps: 0,
            warnings,
        }
    }

    /// Lives.
    pub(super) async fn live(mut self) -> Result<Outcome> {
        let (began, mut pause, mut last) = (Instant::now(), RECONNECT_MILLIS, String::new());
        loop {
            let streamed_from = self.received();
            let trouble = match self.connection().await {
                Ok(End::Stopped) => return self.outcome().await,
                Ok(End::TimelineEnded | End::Enough) => continue,
                Ok(End::Waiting(why)) => why,
                Ok(End::ServerStopped) => "the server ended the stream".to_owned(),
                Ok(End::Lost(error)) | Err(Error::Postgres(error)) => self.trouble(error, began).await?,
                // The server was reached and the store was not: what was received waits, as it does for an upload.
                Err(error) if self.settled_in && error.is_passing() => chain(&error),
                // Nothing that was received is left behind: an error that stays or one of the order ends us, and the
                // server keeps what was not reported.
                Err(error) => return Err(error),
            };
            if self.cancel.is_cancelled() && self.streaming.is_none() {
                return Err(Error::Interrupted);
            }
            if self.received() != streamed_from {
                pause = RECONNECT_MILLIS;
            }
            if trouble != last {
                self.warn(format!("{trouble}; connecting again"));
                last = trouble;
            }
            if self.rest(Duration::from_millis(pause)).await? {
                return self.outcome().await;
            }
            pause = (pause * 2).min(RECONNECT_MILLIS_MAX);
        }
    }

    fn received(&self) -> Option<Lsn> {
        self.streaming.as_ref().map(|streaming| streaming.flow.received())
    }

    /// What a failed connection means for us; an error if there is no use in another one.
    async fn trouble(&mut self, error: postgres::Error, began: Instant) -> Result<String> {
        let fault = match &error {
            postgres::Error::Replication { failure, .. } => Some(&failure.fault),
            _ => None,
        };
        match fault {
            Some(Fault::WalRemoved) if self.streaming.is_some() => self.begin_hunt().await,
            Some(Fault::SlotInUse { .. }) if began.elapsed() < ready::BUSY_MAX => {}
            // The slot went between being looked at and being used; looking again tells what is to be done.
            Some(Fault::SlotMissing) if self.how.create_slot => {}
            Some(Fault::SlotInvalidated) => self.slot_lost = true,
            _ if !self.settled_in => return Err(error.into()),
            _ => {}
        }
        Ok(chain(&error))
    }

    /// The server has lost what comes next. Who else may have it?
    async fn begin_hunt(&mut self) {
        let (Some(streaming), Some(server)) = (&mut self.streaming, &self.server) else { return };
        streaming.asks_another();
        let (timeline, at) = (streaming.timeline, streaming.flow.received());
        if self.hunt.as_ref().is_none_or(|hunt| (hunt.timeline, hunt.at) != (timeline, at)) {
            self.hunt = Some(Hunt::begin(timeline, at, self.source.each_server().await, server));
        }
    }

    /// One connection, from the first packet to its end.
    async fn connection(&mut self) -> Result<End> {
        let cancel = self.cancel.clone();
        let beginning = Box::pin(self.begin());
        let begun = tokio::select! {
            biased;
            () = cancel.cancelled() => return self.stop_between().await,
            begun = beginning => match begun? {
                Begin::Stream(begun) => *begun,
                Begin::Wait(why) => return Ok(End::Waiting(why)),
            },
        };
        self.settled_in = true;
        let Some(streaming) = self.streaming.as_mut() else { return Err(Error::Interrupted) };
        let Begun { stream, pace, status_interval, loan } = begun;
        let segment_bytes = self.place.identity.segment_bytes.bytes();
        let (how, sender, cancel) = (&self.how, &mut self.sender, self.cancel);
        let session = Session { how, sender, streaming, pace, status_interval, loan, segment_bytes, cancel };
        let end = session.run(stream).await;
        let borrowed = self.borrowed.take();
        if let Ok(End::Lost(postgres::Error::Replication { failure, .. })) = &end
            && failure.fault == Fault::WalRemoved
            && self.streaming.as_mut().is_some_and(|streaming| streaming.gives_up_overlap(segment_bytes))
        {
            return Ok(End::Enough);
        }
        let Some(index) = borrowed else { return end };
        let received = self.received().unwrap_or_default();
        match end {
            Ok(End::Stopped) => Ok(End::Stopped),
            // Nothing of it was taken in: that server is none of ours.
            Err(Error::Diverged { what }) => {
                self.warn(format!("a server that was to help out went another way: {what}"));
                self.after_borrowing(index, received, None);
                Ok(End::Enough)
            }
            Err(error) => Err(error),
            Ok(End::Lost(error)) => {
                self.after_borrowing(index, received, Some(&error));
                Ok(End::Enough)
            }
            Ok(end) => {
                self.after_borrowing(index, received, None);
                Ok(if matches!(end, End::TimelineEnded) { end } else { End::Enough })
            }
        }
    }

    /// Told to stop while there is no connection.
    async fn stop_between(&mut self) -> Result<End> {
        if self.streaming.is_none() {
            return Err(Error::Interrupted);
        }
        self.settle().await?;
        Ok(End::Stopped)
    }

    pub(super) async fn finish_timeline(&mut self) -> Result<()> {
        if let Some(streaming) = &mut self.streaming {
            streaming.flow.end_timeline();
        }
        self.settle().await
    }

    /// Waits until everything received is durable.
    async fn settle(&mut self) -> Result<()> {
        let Some(streaming) = &mut self.streaming else { return Ok(()) };
        streaming.flow.set_pace(Pace::Synchronous);
        loop {
            while let Some((cut, ticket)) = streaming.flow.take() {
                self.sender.send(cut, ticket);
            }
            if streaming.flow.is_settled() {
                return Ok(());
            }
            match self.sender.acknowledged().await {
                Some(done) => streaming.acknowledge(done?),
                None => return Err(Error::Interrupted),
            }
        }
    }

    /// A pause between two connections, in which what was received becomes durable and, if it lasts, gets its long lock. True if
    /// we were told to stop.
    async fn rest(&mut self, pause: Duration) -> Result<bool> {
        let until = Instant::now() + pause;
        if self.streaming.is_some() {
            let cancel = self.cancel.clone();
            let settled = tokio::time::timeout_at(until, self.settle()).await;
            settled.unwrap_or(Ok(()))?;
            if cancel.is_cancelled() {
                self.settle().await?;
                return Ok(true);
            }
        }
        let (cancel, place) = (self.cancel, self.sender.place());
        let tail = self.streaming.as_mut().map(|streaming| &mut streaming.tail);
        let looking_after = async {
            let Some(tail) = tail else { return std::future::pending().await };
            tail.look_after(place);
            loop {
                tail.looked_after().await;
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(false),
            () = tokio::time::sleep_until(until) => Ok(false),
            () = looking_after => Ok(false),
        }
    }

    /// The end. What there is of the unfinished piece may be the only copy for long, so it gets the lock that the piece would
    /// have had.
    async fn outcome(mut self) -> Result<Outcome> {
        let Some(streaming) = &mut self.streaming else { return Err(Error::Interrupted) };
        streaming.tail.keep(&self.place).await?;
        let counters = self.sender.counters();
        Ok(Outcome {
            cluster: self.place.cluster.clone(),
            timeline: streaming.timeline,
            durable: streaming.flow.durable(),
            objects: counters.objects.load(Ordering::Relaxed),
            plain_bytes: counters.plain_bytes.load(Ordering::Relaxed),
            stored_bytes: counters.stored_bytes.load(Ordering::Relaxed),
            gaps: self.gaps,
            warnings: self.warnings,
        })
    }

    pub(super) fn note(&self, text: String) {
        (self.tell)(Event::Note(text));
    }

    pub(super) fn warn(&self, text: String) {
        (self.tell)(Event::Warning(text));
    }
}
