//! Whether the server can be streamed from, and the slot. What is wrong is named with its remedy before anything is written.

use std::time::Duration;

use super::How;
use crate::commands::{Error, Result};
use crate::format::Lsn;
use crate::limits::SLOT_BUSY_SECONDS_MAX;
use crate::observe::chain;
use crate::postgres::replication::{Client, Fault};
use crate::postgres::slot::{SlotState, WalStatus};
use crate::postgres::{self, Session};

/// What the slot is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// It holds WAL back from here on; from its first use on if there is no position.
    Holds(Option<Lsn>),
    /// There is none.
    Missing,
    /// It has lost WAL and is of no more use.
    Lost,
}

/// Settings of the server that streaming depends on. That a connection for replication was made proves the role, pg_hba.conf
/// and max_wal_senders.
pub(super) async fn check(client: &mut Client, how: &How) -> Result<()> {
    let not_ready = |what: String, remedy: &str| Err(Error::NotReady { what, remedy: remedy.into() });
    if client.show("wal_level").await? == "minimal" {
        let what = "wal_level of the server is minimal: its WAL is not enough to recover from".into();
        return not_ready(what, "set wal_level = replica and restart the server");
    }
    if client.show("max_replication_slots").await? == "0" {
        let what = "max_replication_slots of the server is 0".into();
        return not_ready(what, "set max_replication_slots = 10 and restart the server");
    }
    if client.show("fsync").await? == "off" {
        tracing::warn!("fsync of the server is off: a crash of its host may leave it corrupted");
    }
    if client.show("max_slot_wal_keep_size").await? == "-1" && !how.unbounded_slot {
        let what = "max_slot_wal_keep_size of the server is unlimited: while the bucket cannot be reached, the slot would fill the server's disk";
        return not_ready(
            what.into(),
            "ALTER SYSTEM SET max_slot_wal_keep_size = '100GB' (what the disk of pg_wal can spare), then SELECT pg_reload_conf(); or give --unbounded-slot (wal.unbounded_slot = true), if a full disk is better than a gap",
        );
    }
    Ok(())
}

/// A session for what a replication connection cannot be asked; `None` where there is no way in for SQL.
pub(super) async fn session(client: &Client) -> Option<Session> {
    match Session::to_server(client.info(), "stonewal watch").await {
        Err(error) => {
            tracing::warn!("no SQL session beside the stream: {}", chain(&error));
            None
        }
        Ok(session) => Some(session),
    }
}

/// The slot as it is.
pub(super) async fn slot(client: &mut Client, how: &How) -> Result<Slot> {
    let state = match session(client).await {
        Some(session) => session.slot(&how.slot).await?,
        None if client.server_version_num() >= 150_000 => {
            let read = client.read_slot(&how.slot).await?;
            return Ok(read.map_or(Slot::Missing, |slot| Slot::Holds(slot.restart_lsn)));
        }
        None => {
            let what = format!("the replication slot {} cannot be looked at: SQL is refused", how.slot);
            let remedy =
                "let the role connect to its database, too: pg_hba.conf, or the database in the connection URL";
            return Err(Error::NotReady { what, remedy: remedy.into() });
        }
    };
    judge(state, how)
}

fn judge(state: Option<SlotState>, how: &How) -> Result<Slot> {
    let Some(state) = state else { return Ok(Slot::Missing) };
    if !state.physical {
        let what = format!("the replication slot {} is a logical one", how.slot);
        let remedy = "choose another name for the slot of the streamer (WAL_SLOT_NAME, wal.slot)";
        return Err(Error::NotReady { what, remedy: remedy.into() });
    }
    let lost = state.wal_status == Some(WalStatus::Lost);
    Ok(if lost { Slot::Lost } else { Slot::Holds(state.restart_lsn) })
}

/// A slot that holds WAL back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Provided {
    /// From here on; from its first use on if there is no position.
    pub(super) at: Option<Lsn>,
    /// Whether it did not exist.
    pub(super) created: bool,
}

/// Sees to it that there is a slot that holds WAL back, if that is allowed. `refused`: the server has just refused to stream from
/// it because it lost WAL. Without SQL that cannot be told from one that was never used.
pub(super) async fn provide(client: &mut Client, how: &How, refused: bool) -> Result<Provided> {
    let name = &how.slot;
    match believed(slot(client, how).await?, refused) {
        Slot::Holds(at) => return Ok(Provided { at, created: false }),
        Slot::Lost | Slot::Missing if how.create_slot => {}
        Slot::Lost => {
            let what =
                format!("the replication slot {name} has lost WAL: it held back more than max_slot_wal_keep_size");
            let remedy = format!(
                "SELECT pg_drop_replication_slot('{name}'), then let the streamer create it anew: --create-slot, CREATE_WAL_SLOT=true or wal.create_slot = true; what is gone will be recorded as a gap"
            );
            return Err(Error::NotReady { what, remedy });
        }
        Slot::Missing => {
            let what = format!("the server has no replication slot {name}");
            let remedy = "let the streamer create it: --create-slot, CREATE_WAL_SLOT=true or wal.create_slot = true";
            return Err(Error::NotReady { what, remedy: remedy.into() });
        }
    }
    // A slot that has lost WAL is in the way of a new one; one that is missing cannot be dropped.
    match client.drop_slot(name).await {
        Ok(()) => {}
        Err(postgres::Error::Replication { failure, .. }) if failure.fault == Fault::SlotMissing => {}
        Err(error) => return Err(error.into()),
    }
    client.create_slot(name, true).await?;
    match slot(client, how).await? {
        Slot::Holds(at) => Ok(Provided { at, created: true }),
        Slot::Missing | Slot::Lost => {
            let what = format!("the replication slot {name} vanished as soon as it was created");
            Err(Error::NotReady { what, remedy: "see who drops slots on this server".into() })
        }
    }
}

fn believed(slot: Slot, refused: bool) -> Slot {
    if refused && slot == Slot::Holds(None) { Slot::Lost } else { slot }
}

/// How long a slot that is in use is waited for: a connection that died is noticed after `wal_sender_timeout`.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(SLOT_BUSY_SECONDS_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::wal_stream::Mode;

    #[test]
    fn slots_are_judged() {
        let how = How {
            slot: "s".into(),
            create_slot: false,
            unbounded_slot: false,
            flush_interval: Duration::from_secs(1),
            mode: Mode::Auto,
            application_name: "stonewal".into(),
            partial_retain: Duration::from_hours(1),
            uploads: 1,
            until: None,
        };
        let good = SlotState {
            physical: true,
            active: false,
            active_pid: None,
            restart_lsn: Some(Lsn::new(7)),
            wal_status: Some(WalStatus::Extended),
            safe_wal_size: None,
            keep_limit_bytes: None,
            server_end: None,
        };
        assert_eq!(judge(None, &how).unwrap(), Slot::Missing);
        assert_eq!(judge(Some(good.clone()), &how).unwrap(), Slot::Holds(Some(Lsn::new(7))));
        let lost = SlotState { wal_status: Some(WalStatus::Lost), ..good.clone() };
        assert_eq!(judge(Some(lost), &how).unwrap(), Slot::Lost);
        // One that was refused and keeps nothing has lost what it kept; one that keeps something was made anew meanwhile.
        let kept = Slot::Holds(Some(Lsn::new(7)));
        assert_eq!((believed(Slot::Holds(None), true), believed(kept, true)), (Slot::Lost, kept));
        assert_eq!(believed(Slot::Holds(None), false), Slot::Holds(None), "it was never used");
        let logical = SlotState { physical: false, ..good };
        assert_eq!(judge(Some(logical), &how).unwrap_err().to_string(), "the replication slot s is a logical one");
    }
}
