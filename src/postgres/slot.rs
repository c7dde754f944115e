//! What SQL knows about a replication slot, on every version: who uses it and how much WAL it can still keep
//! (PostgreSQL docs 54.19 "pg_replication_slots").

use serde::Serialize;

use super::{Error, Result, Session};
use crate::format::Lsn;

/// A slot as `pg_replication_slots` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Whether it is a physical one.
    pub physical: bool,
    /// Whether a connection uses it now.
    pub active: bool,
    /// Process id of that connection's backend.
    pub active_pid: Option<u32>,
    /// Oldest WAL that it keeps.
    pub restart_lsn: Option<Lsn>,
    /// What has become of that WAL; `None` while it keeps none.
    pub wal_status: Option<WalStatus>,
    /// Bytes that may be written before the slot is in danger; `None` if `max_slot_wal_keep_size` does not limit it, or it
    /// is lost. Negative when it is already over the limit.
    pub safe_wal_size: Option<i64>,
    /// `max_slot_wal_keep_size` in bytes; `None` if slots may keep WAL until the disk is full.
    pub keep_limit_bytes: Option<u64>,
    /// End of the server's WAL: of what it wrote, or on a standby received.
    pub server_end: Option<Lsn>,
}

/// `wal_status` of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WalStatus {
    /// Within `max_wal_size`.
    Reserved,
    /// Beyond it, kept for the slot.
    Extended,
    /// No longer kept: may be gone after the next checkpoint.
    Unreserved,
    /// Gone; the slot is of no more use.
    Lost,
}

impl WalStatus {
    /// Reads PostgreSQL's word for it.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "reserved" => Self::Reserved,
            "extended" => Self::Extended,
            "unreserved" => Self::Unreserved,
            "lost" => Self::Lost,
            _ => return None,
        })
    }
}

impl SlotState {
    /// Bytes of WAL that the server keeps for this slot.
    pub fn kept_bytes(&self) -> Option<u64> {
        self.server_end.zip(self.restart_lsn).map(|(end, restart)| end.since(restart))
    }
}

impl Session {
    /// The slot of this name; `None` if there is none.
    pub async fn slot(&self, name: &str) -> Result<Option<SlotState>> {
        let sql = "SELECT slot_type, active, active_pid, restart_lsn::pg_catalog.text, wal_status, safe_wal_size, \
                   (SELECT setting::pg_catalog.int8 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'), \
                   CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() \
                   ELSE pg_catalog.pg_current_wal_flush_lsn() END::pg_catalog.text \
                   FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
        let ask = |e| Error::sql("look at the replication slot", e);
        let Some(row) = self.client().query_opt(sql, &[&name]).await.map_err(ask)? else { return Ok(None) };
        let lsn = |at: usize| row.get::<_, Option<String>>(at).and_then(|text| text.parse().ok());
        let wal_status = row.get::<_, Option<&str>>(4).and_then(WalStatus::parse);
        let keep_mib: Option<i64> = row.get(6);
        Ok(Some(SlotState {
            physical: row.get::<_, String>(0) == "physical",
            active: row.get(1),
            active_pid: row.get::<_, Option<i32>>(2).and_then(|pid| u32::try_from(pid).ok()),
            restart_lsn: lsn(3),
            wal_status,
            safe_wal_size: row.get(5),
            keep_limit_bytes: keep_mib.and_then(|mib| u64::try_from(mib).ok()).map(|mib| mib << 20),
            server_end: lsn(7),
        }))
    }
}
