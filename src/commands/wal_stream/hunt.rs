//! Whether any other server still has WAL that one has lost: a gap is recorded on the word of all of them only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::life::{Begin, Begun, Life};
use super::loan::Loan;
use super::{pace, report};
use crate::commands::{self, Result};
use crate::format::wal::History;
use crate::format::{Lsn, Timeline};
use crate::limits::WAL_SERVER_WAIT_SECONDS_MAX;
use crate::observe::chain;
use crate::postgres::replication::{Client, Fault};
use crate::postgres::{ConnInfo, Error};

/// The search for WAL from one position on.
#[derive(Debug)]
pub(super) struct Hunt {
    pub(super) timeline: Timeline,
    pub(super) at: Lsn,
    /// Every server that the settings name.
    servers: Vec<ConnInfo>,
    /// Those that answered and do not have it.
    without: BTreeSet<usize>,
    /// Those that did not answer in this round, with what happened.
    silent: BTreeMap<usize, String>,
    began: Instant,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask this server.
    Ask(usize),
    /// Wait for servers that may still have it; they are named.
    Wait(String),
    /// None has it.
    Lost,
}

const WAIT_MAX: Duration = Duration::from_secs(WAL_SERVER_WAIT_SECONDS_MAX);

impl Hunt {
    /// `asked` has just said that it does not have it.
    pub(super) fn begin(timeline: Timeline, at: Lsn, servers: Vec<ConnInfo>, asked: &ConnInfo) -> Self {
        let without = servers.iter().enumerate().filter(|(_, server)| server.endpoints() == asked.endpoints());
        let without = without.map(|(index, _)| index).collect();
        Self { timeline, at, servers, without, silent: BTreeMap::new(), began: Instant::now() }
    }

    /// Whether it is a search for WAL from there on.
    pub(super) fn is_for(&self, timeline: Timeline, at: Lsn) -> bool {
        (self.timeline, self.at) == (timeline, at)
    }

    pub(super) fn next(&self) -> Next {
        let open = |index: &usize| !self.without.contains(index) && !self.silent.contains_key(index);
        if let Some(index) = (0..self.servers.len()).find(open) {
            return Next::Ask(index);
        }
        if self.silent.is_empty() || self.began.elapsed() >= WAIT_MAX {
            return Next::Lost;
        }
        Next::Wait(self.silent.values().cloned().collect::<Vec<_>>().join("; "))
    }

    /// It answered and does not have it.
    pub(super) fn has_not(&mut self, index: usize) {
        self.without.insert(index);
    }

    /// It did not answer.
    pub(super) fn is_silent(&mut self, index: usize, why: String) {
        self.silent.insert(index, why);
    }

    /// Those that did not answer are asked again.
    pub(super) fn another_round(&mut self) {
        self.silent.clear();
    }
}

impl Life<'_> {
    /// Asks the servers that were not asked yet, in turn. `None`: no server has it.
    pub(super) async fn ask_others(&mut self) -> Result<Option<Begin>> {
        loop {
            let Some(hunt) = &mut self.hunt else { return Ok(None) };
            let index = match hunt.next() {
                Next::Ask(index) => index,
                Next::Lost => return Ok(None),
                Next::Wait(silent) => {
                    hunt.another_round();
                    return Ok(Some(Begin::Wait(format!(
                        "WAL {} of timeline {} is gone from every server that answers, and one that does not may have it ({silent}): it is waited for until {} min are over, before a gap is recorded",
                        hunt.at,
                        hunt.timeline,
                        WAIT_MAX.as_secs() / 60
                    ))));
                }
            };
            let (server, timeline, at) = (hunt.servers[index].clone(), hunt.timeline, hunt.at);
            match self.borrow(&server).await {
                Ok(Some(begun)) => {
                    self.note(format!("WAL {at} of timeline {timeline} is asked for from {}", server.redacted()));
                    self.borrowed = Some(index);
                    return Ok(Some(Begin::Stream(Box::new(begun))));
                }
                Ok(None) => self.other_has_not(index),
                Err(commands::Error::Postgres(error)) => self.other_failed(index, &error),
                Err(error) => return Err(error),
            }
        }
    }

    fn other_has_not(&mut self, index: usize) {
        if let Some(hunt) = &mut self.hunt {
            hunt.has_not(index);
        }
    }

    fn other_failed(&mut self, index: usize, error: &Error) {
        if is_an_answer(error) {
            self.other_has_not(index);
        } else if let Some(hunt) = &mut self.hunt {
            hunt.is_silent(index, chain(error));
        }
    }

    /// A stream without a slot, no further than to where our own server can take over; `None` from another cluster, or one that
    /// came another way to the timeline.
    async fn borrow(&self, server: &ConnInfo) -> Result<Option<Begun>> {
        let Some(streaming) = &self.streaming else { return Ok(None) };
        let (timeline, at) = (streaming.timeline, streaming.ask_from(self.segment()));
        let mut client = Client::connect(server, &self.how.application_name).await?;
        let system = client.identify_system().await?;
        if system.system_identifier != self.place.identity.system_identifier {
            return Ok(None);
        }
        // The first timeline has no history; whoever has none of a later one refuses to stream it.
        if timeline.get() > 1
            && let Some(file) = client.timeline_history(timeline).await?
            && let Some(stored) = self.place.repository.history(&self.place.cluster, timeline).await?
            && !came_the_same_way(&stored, &file.content)
        {
            self.warn(format!("{} came another way to timeline {timeline}: it is of no help", server.redacted()));
            return Ok(None);
        }
        let pace = pace::PaceWatch::fixed();
        let status_interval = report::interval(&client.show("wal_sender_timeout").await?);
        let stream = client.start_replication(None, at, timeline).await.map_err(Error::from)?;
        let loan = Some(Loan::new(self.held_from, system.flush_lsn));
        Ok(Some(Begun { stream, pace, status_interval, loan }))
    }

    /// What came of a borrowed stream; `lost` is how it broke off. True if it helped.
    pub(super) fn after_borrowing(&mut self, index: usize, received: Lsn, lost: Option<&Error>) -> bool {
        let helped = self.hunt.as_ref().is_some_and(|hunt| received > hunt.at);
        if let Some(streaming) = &mut self.streaming {
            streaming.asks_another();
        }
        match lost {
            _ if helped => self.hunt = None,
            Some(error) => self.other_failed(index, error),
            None => self.other_has_not(index),
        }
        helped
    }
}

/// Whether a server has said that it does not have the WAL. Whatever else goes wrong can pass: it is refused for now, or lags.
fn is_an_answer(error: &Error) -> bool {
    match error {
        Error::Replication { failure, .. } => matches!(failure.fault, Fault::WalRemoved | Fault::NotInHistory),
        _ => false,
    }
}

/// Whether a server's history of a timeline is the stored one.
fn came_the_same_way(stored: &History, theirs: &[u8]) -> bool {
    History::parse(stored.timeline, theirs).is_ok_and(|theirs| theirs == *stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<ConnInfo> {
        let url = |port: u16| format!("postgres://u@127.0.0.1:{port}/d");
        let environment = crate::postgres::Environment::default();
        [1, 2, 3].map(|port| ConnInfo::resolve(&url(port), &environment).unwrap()).to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn i09_all_servers_are_asked_and_silent_ones_are_waited_for() {
        let all = servers();
        let mut hunt = Hunt::begin(Timeline::new(1).unwrap(), Lsn::new(7), all.clone(), &all[1]);
        assert_eq!(hunt.next(), Next::Ask(0));
        hunt.is_silent(0, "a".into());
        assert_eq!(hunt.next(), Next::Ask(2));
        hunt.has_not(2);
        assert_eq!(hunt.next(), Next::Wait("a".into()));
        hunt.another_round();
        assert_eq!(hunt.next(), Next::Ask(0), "who has answered is not asked again");
        hunt.is_silent(0, "b".into());
        tokio::time::advance(WAIT_MAX).await;
        assert_eq!(hunt.next(), Next::Lost, "not for ever");
        let mut only = Hunt::begin(Timeline::new(1).unwrap(), Lsn::new(7), all[..1].to_vec(), &all[0]);
        assert_eq!(only.next(), Next::Lost, "one server's word is that of all");
        only.another_round();
        assert_eq!(only.next(), Next::Lost);
    }

    #[test]
    fn i09_only_a_server_that_says_so_does_not_have_it() {
        let refused = |fault: Fault| {
            let error = crate::postgres::replication::ServerMessage::default();
            let failure = Box::new(crate::postgres::replication::Failure { fault, error, notices: Vec::new() });
            Error::Replication { action: "stream".into(), failure }
        };
        for fault in [Fault::WalRemoved, Fault::NotInHistory] {
            assert!(is_an_answer(&refused(fault.clone())), "{fault:?}");
        }
        for fault in [
            Fault::NoWalSender,
            Fault::NoHbaEntry,
            Fault::RoleNotAllowed,
            Fault::ShuttingDown,
            Fault::Denied,
            Fault::Ahead,
            Fault::Other,
        ] {
            assert!(!is_an_answer(&refused(fault.clone())), "{fault:?}");
        }
        let (target, what) = (String::from("t"), String::from("w"));
        assert!(!is_an_answer(&Error::Authentication { target: target.clone(), what: what.clone() }));
        assert!(!is_an_answer(&Error::Protocol { target: target.clone(), what: what.clone() }));
        assert!(!is_an_answer(&Error::Unreachable { target, what }));
    }

    #[test]
    fn only_what_was_hunted_for_is_skipped_and_only_kin_help_out() {
        let timeline = |number| Timeline::new(number).unwrap();
        let all = servers();
        let hunt = Hunt::begin(timeline(1), Lsn::new(7), all.clone(), &all[0]);
        assert!(hunt.is_for(timeline(1), Lsn::new(7)));
        assert!(!hunt.is_for(timeline(2), Lsn::new(7)) && !hunt.is_for(timeline(1), Lsn::new(8)));
        let stored = History::parse(timeline(2), b"1\t0/5000000\tno recovery target specified\n").unwrap();
        assert!(came_the_same_way(&stored, b"1\t0/5000000\tanother reason\n"));
        assert!(!came_the_same_way(&stored, b"1\t0/5000028\tno recovery target specified\n"));
        assert!(!came_the_same_way(&stored, b"garbage"));
    }
}
