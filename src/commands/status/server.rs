//! Asking the server, once for everything and once more for its pace.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use crate::limits::STATUS_SERVER_SECONDS_MAX;
use crate::observe::chain;
use crate::observe::clock::Stopwatch;
use crate::postgres::wal_facts::WalFacts;
use crate::postgres::{ConnInfo, Session};

/// How our sessions call themselves.
const APPLICATION_NAME: &str = "stonewal status";
/// A rate measured over less than this says nothing.
const RATE_MEASURED_OVER: Duration = Duration::from_secs(1);

/// What the server had to say.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ServerAnswer {
    /// Nobody asked: no server is configured, or it was not wanted.
    NotAsked,
    /// It did not answer.
    Silent {
        /// Why.
        error: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Its words.
    Facts(Box<WalFacts>),
}

impl ServerAnswer {
    /// The facts, if there are any.
    pub fn facts(&self) -> Option<&WalFacts> {
        match self {
            Self::Facts(facts) => Some(facts),
            Self::NotAsked | Self::Silent { .. } => None,
        }
    }

    fn silent(error: &crate::postgres::Error) -> Self {
        Self::Silent { error: chain(error), hint: error.hint() }
    }
}

/// The server, as first seen.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) answer: ServerAnswer,
    session: Option<Session>,
    since: Stopwatch,
}

impl Asked {
    pub(super) fn nobody() -> Self {
        Self { answer: ServerAnswer::NotAsked, session: None, since: Stopwatch::start() }
    }

    /// Asks. That the server does not answer is an answer too.
    pub(super) async fn at(info: &ConnInfo, application_name: &str) -> Self {
        let limit = Duration::from_secs(STATUS_SERVER_SECONDS_MAX);
        let ask = async {
            let session = Session::connect(info, APPLICATION_NAME).await?;
            let facts = session.wal_facts(application_name).await?;
            Ok::<_, crate::postgres::Error>((session, facts))
        };
        let (answer, session) = match timeout(limit, ask).await {
            Ok(Ok((session, facts))) => (ServerAnswer::Facts(Box::new(facts)), Some(session)),
            Ok(Err(error)) => (ServerAnswer::silent(&error), None),
            Err(_) => {
                let error = format!("{} did not answer within {STATUS_SERVER_SECONDS_MAX} s", info.redacted());
                (ServerAnswer::Silent { error, hint: None }, None)
            }
        };
        Self { answer, session, since: Stopwatch::start() }
    }

    /// Bytes of WAL written since the first look, and the time between. `None` if it cannot be told.
    pub(super) async fn moved(&self) -> Option<(u64, Duration)> {
        let before = self.answer.facts()?.position?;
        let session = self.session.as_ref()?;
        tokio::time::sleep(RATE_MEASURED_OVER.saturating_sub(self.since.elapsed())).await;
        let asked = timeout(Duration::from_secs(STATUS_SERVER_SECONDS_MAX), session.wal_position()).await;
        let now = asked.ok()?.ok()??;
        Some((now.since(before), self.since.elapsed()))
    }
}
