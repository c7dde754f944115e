//! A streamer's life: connection after connection, timeline after timeline, until it is told to stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sender::{Place, Sender};
use super::session::{End, Session, Streaming};
use super::way::Way;
use super::{Event, How, Listener, Outcome, RENEWAL, gap, pace, ready, report, stored};
use crate::catalog::{self, ClusterIdentity, outlive};
use crate::commands::{Error, Result};
use crate::format::wal::piece_bytes;
use crate::format::{Lsn, Timeline};
use crate::limits::{RECONNECT_MILLIS, RECONNECT_MILLIS_MAX};
use crate::observe::chain;
use crate::pipeline::WalRun;
use crate::pipeline::wal_stream::{Flow, Pace, Start, plan_skip, plan_start};
use crate::postgres::replication::{Client, Fault, System, WalStream};
use crate::postgres::{self, ConnInfo};

/// Everything that outlives a connection.
pub(super) struct Life<'a> {
    place: Arc<Place>,
    how: How,
    source: ConnInfo,
    tell: Listener<'a>,
    cancel: &'a CancellationToken,
    sender: Sender,
    streaming: Option<Streaming>,
    histories: BTreeSet<Timeline>,
    /// The server no longer has what was asked for last.
    gone: bool,
    /// Whether a stream has ever begun: until then whatever is wrong is for the operator.
    settled_in: bool,
    gaps: u64,
    warnings: Vec<String>,
    renewed: Instant,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        place: Place,
        run: WalRun,
        how: How,
        source: ConnInfo,
        tell: Listener<'a>,
        cancel: &'a CancellationToken,
        warnings: Vec<String>,
    ) -> Self {
        let place = Arc::new(place);
        Self {
            sender: Sender::new(place.clone(), run),
            place,
            how,
            source,
            tell,
            cancel,
            streaming: None,
            histories: BTreeSet::new(),
            gone: false,
            settled_in: false,
            gaps: 0,
            warnings,
            renewed: Instant::now(),
        }
    }

    /// Lives.
    pub(super) async fn live(mut self) -> Result<Outcome> {
        let (began, mut pause, mut last) = (Instant::now(), RECONNECT_MILLIS, String::new());
        loop {
            let streamed_from = self.streaming.as_ref().map(|streaming| streaming.flow.received());
            let trouble = match self.connection().await {
                Ok(End::Stopped) => return self.outcome(),
                Ok(End::TimelineEnded) => continue,
                Ok(End::ServerStopped) => "the server ended the stream".to_owned(),
                Ok(End::Lost(error)) | Err(Error::Postgres(error)) => self.trouble(error, began)?,
                // The server was reached and the store was not: what was received waits, as it does for an upload.
                Err(error) if self.settled_in && error.is_passing() => chain(&error),
                // Nothing that was received is left behind: an error that stays or one of the order ends us, and the
                // server keeps what was not reported.
                Err(error) => return Err(error),
            };
            if self.cancel.is_cancelled() && self.streaming.is_none() {
                return Err(Error::Interrupted);
            }
            if self.streaming.as_ref().map(|streaming| streaming.flow.received()) != streamed_from {
                pause = RECONNECT_MILLIS;
            }
            if trouble != last {
                self.warn(format!("{trouble}; connecting again"));
                last = trouble;
            }
            if self.rest(Duration::from_millis(pause)).await? {
                return self.outcome();
            }
            pause = (pause * 2).min(RECONNECT_MILLIS_MAX);
        }
    }

    /// What a failed connection means for us; an error if there is no use in another one.
    fn trouble(&mut self, error: postgres::Error, began: Instant) -> Result<String> {
        let fault = match &error {
            postgres::Error::Replication { failure, .. } => Some(&failure.fault),
            _ => None,
        };
        match fault {
            Some(Fault::WalRemoved) if self.streaming.is_some() => self.gone = true,
            Some(Fault::SlotInUse { .. }) if began.elapsed() < ready::BUSY_MAX => {}
            // The slot went between being looked at and being used; looking again tells what is to be done.
            Some(Fault::SlotMissing | Fault::SlotInvalidated) if self.how.create_slot => {}
            _ if !self.settled_in => return Err(error.into()),
            _ => {}
        }
        Ok(chain(&error))
    }

    /// One connection, from the first packet to its end.
    async fn connection(&mut self) -> Result<End> {
        let cancel = self.cancel.clone();
        let beginning = Box::pin(self.begin());
        let (stream, pace, status_interval) = tokio::select! {
            biased;
            () = cancel.cancelled() => return self.stop_between().await,
            begun = beginning => begun?,
        };
        self.settled_in = true;
        let Some(streaming) = self.streaming.as_mut() else { return Err(Error::Interrupted) };
        let session =
            Session { how: &self.how, sender: &mut self.sender, streaming, pace, status_interval, cancel: self.cancel };
        session.run(stream).await
    }

    /// Told to stop while there is no connection.
    async fn stop_between(&mut self) -> Result<End> {
        if self.streaming.is_none() {
            return Err(Error::Interrupted);
        }
        self.settle().await?;
        Ok(End::Stopped)
    }

    /// Connects, finds out where to go on, and asks for it.
    async fn begin(&mut self) -> Result<(WalStream, pace::PaceWatch, Duration)> {
        let mut client = Client::connect(&self.source, &self.how.application_name).await?;
        let system = client.identify_system().await?;
        self.check_identity(&system)?;
        self.renew().await?;
        let way = Way::of(&mut client, &system).await?;
        let (slot, created) = ready::provide(&mut client, &self.how).await?;
        if created {
            self.note(format!("created the replication slot {}", self.how.slot));
        }
        self.store_histories(&way).await?;
        self.reconcile(&way).await?;
        if self.streaming.is_none() {
            let known = stored::stored(&self.place, &way.legs, system.flush_lsn).await?;
            let start = plan_start(&way.legs, &known, slot, system.flush_lsn, self.segment());
            self.start(start.ok_or(Error::NothingLeft { at: system.flush_lsn })?);
        }
        if self.gone {
            self.skip(&way, &system, slot).await?;
            self.gone = false;
        }
        let pace = pace::PaceWatch::start(&client, &self.how).await;
        let status_interval = report::interval(&client.show("wal_sender_timeout").await?);
        let Some(streaming) = &self.streaming else { return Err(Error::NothingLeft { at: system.flush_lsn }) };
        let (timeline, at) = (streaming.timeline, streaming.flow.received());
        let stream =
            client.start_replication(Some(&self.how.slot), at, timeline).await.map_err(postgres::Error::from)?;
        self.note(format!("streaming timeline {timeline} from {at}; the server is at {}", system.flush_lsn));
        Ok((stream, pace, status_interval))
    }

    fn check_identity(&self, system: &System) -> Result<()> {
        let found = self.place.identity;
        if system.system_identifier == found.system_identifier {
            return Ok(());
        }
        let identity = ClusterIdentity { system_identifier: system.system_identifier, ..found };
        Err(catalog::Error::OtherCluster { cluster: self.place.cluster.clone(), found, identity }.into())
    }

    /// The keys must stay locked for longer than what is written from now on (invariant I11).
    async fn renew(&mut self) -> Result<()> {
        let connected = &self.place.connected;
        if self.renewed.elapsed() >= RENEWAL
            && let Some(lock) = connected.lock_for(connected.retain().saturating_add(RENEWAL * 2))?
        {
            outlive(&*connected.store, &self.place.repository, lock).await?;
            self.renewed = Instant::now();
        }
        Ok(())
    }

    /// A timeline's history is stored before its first WAL: whoever finds the WAL can find the way to it.
    async fn store_histories(&mut self, way: &Way) -> Result<()> {
        for (timeline, file) in &way.histories {
            if !self.histories.contains(timeline) {
                self.sender.history(*timeline, file.content.clone()).await?;
                self.histories.insert(*timeline);
            }
        }
        Ok(())
    }

    /// Leaves the timeline that was streamed before, if the server has left it.
    async fn reconcile(&mut self, way: &Way) -> Result<()> {
        let Some(streaming) = &self.streaming else { return Ok(()) };
        let (timeline, received) = (streaming.timeline, streaming.flow.received());
        let Some(leg) = way.leg(timeline) else {
            self.warn(format!(
                "the server was never on timeline {timeline}, of which {received} is stored: it is kept"
            ));
            self.finish_timeline().await?;
            self.streaming = None;
            return Ok(());
        };
        let Some(until) = leg.until.filter(|until| received >= *until) else { return self.go_on_after_an_end().await };
        if received > until {
            self.warn(format!(
                "timeline {timeline} was left at {until} and stored up to {received}: what lies between is kept, and no part of the new timeline"
            ));
        }
        self.finish_timeline().await?;
        let next = way.legs.iter().find(|next| next.timeline > timeline).map_or(timeline, |next| next.timeline);
        self.note(format!("timeline {timeline} ended at {until}; going on with timeline {next}"));
        self.start(Start { timeline: next, at: until.floor(self.segment()), continues: true });
        Ok(())
    }

    /// One server has ended the timeline, and the one that answers now is still on it: an endpoint that has not followed yet,
    /// or one that was left behind. It is streamed from like any other, but not in a loop without rest.
    async fn go_on_after_an_end(&mut self) -> Result<()> {
        let piece = piece_bytes(self.place.identity.segment_bytes);
        let anew = self.streaming.as_ref().and_then(|streaming| streaming.anew(piece));
        let Some(start) = anew.filter(|_| !self.gone) else { return Ok(()) };
        self.finish_timeline().await?;
        self.warn(format!(
            "timeline {} had ended, and this server is still on it: it is streamed again from {}",
            start.timeline, start.at
        ));
        tokio::time::sleep(Duration::from_millis(RECONNECT_MILLIS)).await;
        self.start(start);
        Ok(())
    }

    /// Goes on behind WAL that is gone. What was received before stays for good, the rest is recorded as missing.
    async fn skip(&mut self, way: &Way, system: &System, slot: Option<Lsn>) -> Result<()> {
        let Some(streaming) = &self.streaming else { return Ok(()) };
        let (timeline, continues) = (streaming.timeline, streaming.has_stored());
        let mut at = streaming.flow.received();
        if at > streaming.first {
            self.finish_timeline().await?;
        } else if continues {
            at = stored::keep_partials(&self.place, timeline, at).await?;
        }
        let known = stored::stored(&self.place, &way.legs, system.flush_lsn).await?;
        let from = Start { timeline, at, continues };
        let skip = plan_skip(&way.legs, &known, from, slot, system.flush_lsn, self.segment());
        let skip = skip.ok_or(Error::NothingLeft { at })?;
        if let Some((start, end)) = skip.gap {
            let reason = "the server no longer had it when it was asked for";
            gap::record(&self.place, timeline, start, end, reason).await?;
            self.gaps += 1;
            self.warn(format!(
                "WAL {start} to {end} of timeline {timeline} is gone from the server: the gap is recorded, take a new base backup"
            ));
        }
        self.start(skip.start);
        Ok(())
    }

    fn start(&mut self, start: Start) {
        let piece = piece_bytes(self.place.identity.segment_bytes);
        let flow = Flow::new(start.timeline, piece, start.at, self.how.uploads, Pace::Interval);
        let (timeline, first, continues) = (start.timeline, start.at, start.continues);
        self.streaming = Some(Streaming { timeline, flow, first, continues });
    }

    async fn finish_timeline(&mut self) -> Result<()> {
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
                Some(done) => streaming.flow.acknowledge(&done?),
                None => return Err(Error::Interrupted),
            }
        }
    }

    /// A pause between two connections, in which what was received becomes durable. True if we were told to stop.
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
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Ok(false),
            () = tokio::time::sleep_until(until) => Ok(false),
        }
    }

    fn outcome(self) -> Result<Outcome> {
        let Some(streaming) = &self.streaming else { return Err(Error::Interrupted) };
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

    fn segment(&self) -> u64 {
        self.place.identity.segment_bytes.bytes()
    }

    fn note(&self, text: String) {
        tracing::info!("{text}");
        (self.tell)(Event::Note(text));
    }

    fn warn(&self, text: String) {
        tracing::warn!("{text}");
        (self.tell)(Event::Warning(text));
    }
}
