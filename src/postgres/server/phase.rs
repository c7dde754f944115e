//! How far a server has come, and waiting for it.

use std::process::ExitStatus;
use std::time::Duration;

use super::Server;
use crate::postgres::{Error, Result, Session};

/// How long one question may take: it is asked again.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It runs and takes no connections: it starts, stops, or replays WAL and is not consistent yet.
    Starting,
    /// It takes connections and replays WAL: a standby, or a recovery on its way.
    Recovering,
    /// Its recovery is paused, as at the target with `recovery_target_action = 'pause'`.
    Paused,
    /// It takes connections and writes: never recovered, or promoted.
    Writable,
    /// It does not run.
    Ended(ExitStatus),
}

impl Phase {
    /// Whether it takes connections.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Recovering | Self::Paused | Self::Writable)
    }

    /// Whether it does not run.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

impl Server {
    /// Where it stands now.
    pub async fn phase(&mut self) -> Result<Phase> {
        self.look().await.map(|(phase, _)| phase)
    }

    /// The phase, and what an attempt to connect said if it is [`Phase::Starting`].
    async fn look(&mut self) -> Result<(Phase, String)> {
        let asked = self.child.try_wait();
        if let Some(status) = asked.map_err(|e| self.failed(format!("ask whether it runs: {e}")))? {
            return Ok((Phase::Ended(status), String::new()));
        }
        let info = self.socket_conninfo("postgres")?;
        // A server that stops between question and answer fails the question; the next round sees it.
        Ok(match tokio::time::timeout(ANSWER_PATIENCE, ask(&info)).await {
            Ok(Ok(phase)) => (phase, String::new()),
            Ok(Err(error)) => (Phase::Starting, format!(": {error}")),
            Err(_) => (Phase::Starting, ": it does not answer".into()),
        })
    }

    /// Waits until it stands where it should; returns where that is. Fails, with the end of its log, when it ends
    /// unwanted or the time is up. Safe to drop at any point.
    pub async fn wait_for(&mut self, wanted: impl Fn(&Phase) -> bool, within: Duration) -> Result<Phase> {
        let begun = tokio::time::Instant::now();
        loop {
            let (phase, said) = self.look().await?;
            match phase {
                phase if wanted(&phase) => return Ok(phase),
                Phase::Ended(status) => return Err(self.failed(format!("it ended ({status}){}", self.log.tail()))),
                _ => {}
            }
            if begun.elapsed() >= within {
                let what = format!("it is {phase:?} after {} s{said}{}", within.as_secs(), self.log.tail());
                return Err(self.failed(what));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it takes connections, in recovery or not.
    pub async fn wait_open(&mut self, within: Duration) -> Result<Phase> {
        self.wait_for(Phase::is_open, within).await
    }

    /// Waits until recovery is over and it takes writes.
    pub async fn wait_writable(&mut self, within: Duration) -> Result<()> {
        self.wait_for(|phase| *phase == Phase::Writable, within).await.map(|_| ())
    }

    /// Waits until it has ended by itself; its [`log`](Server::log) says why.
    pub async fn wait_ended(&mut self, within: Duration) -> Result<ExitStatus> {
        match self.wait_for(Phase::is_ended, within).await? {
            Phase::Ended(status) => Ok(status),
            other => Err(self.failed(format!("it is {other:?}"))),
        }
    }
}

/// Docs 9.28.4, "Recovery Control Functions".
async fn ask(info: &crate::postgres::ConnInfo) -> Result<Phase> {
    let session = Session::connect(info, "stonewal start").await?;
    if !session.is_standby() {
        return Ok(Phase::Writable);
    }
    // Before 14, only whether a pause was asked for can be told.
    let paused = if session.major() >= 14 {
        "pg_catalog.pg_get_wal_replay_pause_state() = 'paused'"
    } else {
        "pg_catalog.pg_is_wal_replay_paused()"
    };
    let sql = format!("SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_is_in_recovery() AND {paused}");
    // Promoted in between, the second function raises an error.
    let row = session.client().query_one(&sql, &[]).await.map_err(|e| Error::sql("ask about recovery", e))?;
    Ok(match (row.get(0), row.get(1)) {
        (true, true) => Phase::Paused,
        (true, false) => Phase::Recovering,
        (false, _) => Phase::Writable,
    })
}
