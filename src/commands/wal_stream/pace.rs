//! Whether the server waits for us: then every flush counts, and none waits for the interval.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ready;
use super::{How, Mode};
use crate::limits::WAL_PACE_SECONDS;
use crate::pipeline::wal_stream::Pace;
use crate::postgres::replication::Client;

const STANDBY: &str = "SELECT pg_catalog.bool_or(sync_state IN ('sync', 'quorum')) FROM pg_catalog.pg_stat_replication \
                       WHERE application_name = $1";

/// The pace, watched for as long as this lives.
#[derive(Debug)]
pub(super) struct PaceWatch {
    pace: watch::Receiver<Pace>,
    _task: JoinSet<()>,
}

impl PaceWatch {
    /// Never changes: nobody waits for us here.
    pub(super) fn fixed() -> Self {
        Self { pace: watch::channel(Pace::Interval).1, _task: JoinSet::new() }
    }

    /// Asks the server every few seconds, if that is the mode.
    pub(super) async fn start(client: &Client, how: &How) -> Self {
        let fixed = match how.mode {
            Mode::Synchronous => Pace::Synchronous,
            Mode::Auto | Mode::Interval => Pace::Interval,
        };
        let (sender, pace) = watch::channel(fixed);
        let mut task = JoinSet::new();
        let session = if how.mode == Mode::Auto { ready::session(client).await } else { None };
        if let Some(session) = session {
            let name = how.application_name.clone();
            task.spawn(async move {
                // Ends with the session; the next connection brings another.
                while let Ok(row) = session.client().query_one(STANDBY, &[&name]).await {
                    let waits = row.get::<_, Option<bool>>(0).unwrap_or(false);
                    let pace = if waits { Pace::Synchronous } else { Pace::Interval };
                    sender.send_if_modified(|known| std::mem::replace(known, pace) != pace);
                    tokio::time::sleep(Duration::from_secs(WAL_PACE_SECONDS)).await;
                }
            });
        } else {
            task.spawn(async move { sender.closed().await });
        }
        Self { pace, _task: task }
    }

    /// The pace as last seen.
    pub(super) fn now(&self) -> Pace {
        *self.pace.borrow()
    }

    /// Waits for a change; cancel-safe. For ever, if there will be none.
    pub(super) async fn changed(&mut self) -> Pace {
        if self.pace.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.pace.borrow_and_update()
    }
}
