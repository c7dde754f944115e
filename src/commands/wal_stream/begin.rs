//! Where a connection goes on: on which timeline, from which position, with which slot.

use std::time::Duration;

use super::life::{Begin, Begun, Life};
use super::session::Streaming;
use super::way::Way;
use super::{pace, prove, ready, report, stored};
use crate::catalog::{self, ClusterIdentity};
use crate::commands::{Error, Result};
use crate::format::wal::piece_bytes;
use crate::limits::RECONNECT_MILLIS;
use crate::pipeline::wal_stream::{Flow, Pace, Start, plan_start};
use crate::postgres;
use crate::postgres::replication::{Client, System};

impl Life<'_> {
    /// Connects, finds out where to go on, and asks for it.
    pub(super) async fn begin(&mut self) -> Result<Begin> {
        if let Some(begin) = self.ask_others().await? {
            return Ok(begin);
        }
        let mut client = Client::connect(&self.source, &self.how.application_name).await?;
        self.server = Some(client.info().clone());
        let system = client.identify_system().await?;
        self.check_identity(&system)?;
        let way = Way::of(&mut client, &system).await?;
        // Nothing is written, on the server or to the bucket, before it has proved that it is where the bucket's WAL leads.
        let known = match &self.streaming {
            None => {
                let known = stored::stored(&self.place, &way.legs).await?;
                if let Some(why) = prove::at_start(&self.place, &mut client, &system, &known).await? {
                    self.warn(format!("the server's newest WAL is not compared with what is stored: {why}"));
                }
                Some(known)
            }
            Some(streaming) => {
                prove::not_set_back(&mut client, &system, streaming.timeline, streaming.flow.received()).await?;
                None
            }
        };
        let slot = ready::provide(&mut client, &self.how, self.slot_lost).await?;
        self.slot_lost = false;
        self.held_from = slot.at.unwrap_or(system.flush_lsn).floor(self.segment());
        if slot.created {
            self.note(format!("created the replication slot {}", self.how.slot));
        }
        self.store_histories(&way).await?;
        self.reconcile(&way).await?;
        if let Some(known) = known {
            let start = plan_start(&way.legs, &known.done, slot.at, system.flush_lsn, self.segment());
            self.start(start.ok_or(Error::NothingLeft { at: system.flush_lsn })?);
        }
        // By now something else than what was looked for may be wanted: that is nobody's gap yet.
        let wanted = self.streaming.as_ref().map(|streaming| (streaming.timeline, streaming.flow.received()));
        if let Some(hunt) = self.hunt.take()
            && wanted.is_some_and(|(timeline, at)| hunt.is_for(timeline, at))
        {
            self.skip(&way, &system, slot.at).await?;
        }
        let pace = pace::PaceWatch::start(&client, &self.how).await;
        let status_interval = report::interval(&client.show("wal_sender_timeout").await?);
        let Some(streaming) = &self.streaming else { return Err(Error::NothingLeft { at: system.flush_lsn }) };
        let (timeline, at) = (streaming.timeline, streaming.ask_from(self.segment()));
        let stream =
            client.start_replication(Some(&self.how.slot), at, timeline).await.map_err(postgres::Error::from)?;
        let received = streaming.flow.received();
        self.note(format!("streaming timeline {timeline} from {received}; the server is at {}", system.flush_lsn));
        Ok(Begin::Stream(Box::new(Begun { stream, pace, status_interval, loan: None })))
    }

    fn check_identity(&self, system: &System) -> Result<()> {
        let found = self.place.identity;
        if system.system_identifier == found.system_identifier {
            return Ok(());
        }
        let identity = ClusterIdentity { system_identifier: system.system_identifier, ..found };
        Err(catalog::Error::OtherCluster { cluster: self.place.cluster.clone(), found, identity }.into())
    }

    /// A timeline's history is stored before its first WAL: whoever finds the WAL can find the way to it.
    async fn store_histories(&mut self, way: &Way) -> Result<()> {
        for (timeline, file) in &way.histories {
            if !self.histories.contains(timeline) {
                self.sender.history(*timeline, file.content.clone()).await?;
                self.histories.insert(*timeline);
            }
        }
        for gone in self.ground.holds(way.legs.iter().map(|leg| leg.timeline)).await? {
            self.warn(gone.to_string());
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
            let known = stored::stored(&self.place, &way.legs).await?;
            let start = plan_start(&way.legs, &known.done, Some(self.held_from), self.held_from, self.segment());
            self.start(start.ok_or(Error::NothingLeft { at: self.held_from })?);
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
        let Some(start) = anew.filter(|_| self.hunt.is_none()) else { return Ok(()) };
        self.finish_timeline().await?;
        self.warn(format!(
            "timeline {} had ended, and this server is still on it: it is streamed again from {}",
            start.timeline, start.at
        ));
        tokio::time::sleep(Duration::from_millis(RECONNECT_MILLIS)).await;
        self.start(start);
        Ok(())
    }

    pub(super) fn start(&mut self, start: Start) {
        let piece = piece_bytes(self.place.identity.segment_bytes);
        let flow = Flow::new(start.timeline, piece, start.at, self.how.uploads, Pace::Interval);
        self.streaming = Some(Streaming::new(start, flow, self.how.partial_retain));
    }

    pub(super) fn segment(&self) -> u64 {
        self.place.identity.segment_bytes.bytes()
    }
}
