//! The timelines that led the server to where it is.

use crate::commands::Result;
use crate::format::Timeline;
use crate::format::wal::History;
use crate::pipeline::wal_stream::Leg;
use crate::postgres::replication::{Client, System, TimelineHistory};

/// The way of a server.
#[derive(Debug)]
pub(super) struct Way {
    /// Oldest first.
    pub(super) legs: Vec<Leg>,
    /// The history files that it still has.
    pub(super) histories: Vec<(Timeline, TimelineHistory)>,
}

impl Way {
    /// Asks the server.
    pub(super) async fn of(client: &mut Client, system: &System) -> Result<Self> {
        let (mut legs, mut histories) = (Vec::new(), Vec::new());
        let present = system.timeline;
        if let Some(file) = history(client, present).await? {
            let history = History::parse(present, &file.content)?;
            legs.extend(history.ancestors.iter().map(|e| Leg { timeline: e.timeline, until: Some(e.switch) }));
            histories.push((present, file));
        }
        for leg in &legs {
            // The file of the present timeline tells everything; the others are kept for whoever restores to a moment
            // on an old timeline.
            if let Some(file) = history(client, leg.timeline).await? {
                histories.push((leg.timeline, file));
            }
        }
        legs.push(Leg { timeline: present, until: None });
        Ok(Self { legs, histories })
    }

    /// The leg of `timeline`, if the server was ever on it.
    pub(super) fn leg(&self, timeline: Timeline) -> Option<Leg> {
        self.legs.iter().copied().find(|leg| leg.timeline == timeline)
    }
}

async fn history(client: &mut Client, timeline: Timeline) -> Result<Option<TimelineHistory>> {
    // The first timeline has none.
    Ok(if timeline.get() == 1 { None } else { client.timeline_history(timeline).await? })
}
